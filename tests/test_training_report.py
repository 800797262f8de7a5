"""What a report says of a training: means of its log, evaluations, spikes; and plots whose points lie as axes say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from textmill.pipeline.report.plots import Line, Linear, Logarithmic, plot
from textmill.pipeline.report.training import CURVE_POINTS, plots_of, training_of, write_page


def logged(folder: Path, n_steps: int, **more: Any) -> str:
    """A log of ``n_steps``, evaluated after each tenth."""
    lines: list[dict[str, Any]] = [{"step": 0, "note": "nothing"}]
    for step in range(1, n_steps + 1):
        evaluated = {"val_loss": 100.0 / step, "bits_per_byte": 1.5} if step % 10 == 0 else {"val_loss": None}
        lines.append({"step": step, "loss": float(step), "grad_norm": 1.0, "lr": 0.1, **evaluated, **more})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def test_a_short_log_is_shown_whole(tmp_path: Path) -> None:
    made = training_of(logged(tmp_path, 20))
    assert [row["loss"] for row in made["curve"]] == [float(step) for step in range(1, 21)]
    assert made["evaluations"] == [
        {"step": 10, "val_loss": 10.0, "bits_per_byte": 1.5},
        {"step": 20, "val_loss": 5.0, "bits_per_byte": 1.5},
    ]
    assert made["last"] == {"step": 20}


def test_of_a_long_log_means_are_shown_and_every_step_counts(tmp_path: Path) -> None:
    n_steps = 2 * CURVE_POINTS + 1
    curve = training_of(logged(tmp_path, n_steps))["curve"]
    assert len(curve) <= CURVE_POINTS and curve[-1]["step"] == n_steps
    assert curve[0] == {"step": 3, "loss": 2.0, "grad_norm": 1.0, "lr": 0.1}
    assert curve[-1]["loss"] == (n_steps - 1 + n_steps) / 2  # the rest: two steps


def test_sources_that_a_step_did_not_meet_have_no_point(tmp_path: Path) -> None:
    losses = [{"a": 1.0, "b": 4.0}, {"a": 3.0}, {"b": 5.0}]
    lines = [{"step": i + 1, "loss": 2.0, "loss_by_source": own} for i, own in enumerate(losses)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = training_of(str(tmp_path))
    assert made["loss_by_source"] == {"a": [(1, 1.0), (2, 3.0)], "b": [(1, 4.0), (3, 5.0)]}
    shown = next(drawn for drawn in plots_of(made) if drawn["title"] == "Loss by source")
    assert [line["name"] for line in shown["lines"]] == ["a", "b"]


@pytest.mark.parametrize("text", ["", '{"step": 1, "lo', '{"step": 0, "note": "nothing"}\n'])
def test_a_log_without_a_step_gives_an_empty_page(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.jsonl").write_text(text)
    assert training_of(str(tmp_path))["curve"] == [] and plots_of(training_of(str(tmp_path))) == []
    assert "<svg" not in Path(write_page(str(tmp_path), "model")).read_text()


def test_a_training_of_one_step_is_drawn(tmp_path: Path) -> None:
    page = Path(write_page(logged(tmp_path, 1), "model")).read_text()
    assert "<circle" in page and "nan" not in page.lower().replace("nanosecond", "")


def test_spikes_are_marked_and_listed(tmp_path: Path) -> None:
    folder = logged(tmp_path, 30)
    spike = {"step": 7, "loss_z": None, "grad_norm_z": 8.5, "doc_ids": [1, 2, 3]}
    (tmp_path / "spikes.jsonl").write_text(json.dumps(spike) + "\n")
    made = training_of(folder)
    assert made["spikes"] == [{"step": 7, "loss_z": None, "grad_norm_z": 8.5, "n_documents": 3}]
    norm = next(drawn for drawn in plots_of(made) if drawn["title"] == "Gradient norm")
    assert norm["marks"] == [norm["lines"][0]["points"][6]]
    assert 'class="mark"' in Path(write_page(folder, "model")).read_text()


def test_names_of_sources_are_data(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m"
    folder = logged(tmp_path, 10, loss_by_source={hostile: 1.0}, val_loss_by_source={hostile: 2.0})
    page = Path(write_page(folder, f"model {hostile}")).read_text()
    assert "<script" not in page and "\x1b" not in page and "&lt;script" in page


def test_points_stand_where_the_axes_say() -> None:
    made = plot([Line("a", [(0, 1), (10, 100)])], Linear(0, 10), Logarithmic(1, 100), 200)
    assert made["lines"][0]["points"] == [(0, 200), (1040, 0)]
    assert (416, "4") in made["x_ticks"] and (100, "10") in made["y_ticks"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 1), (3, 10_000), (-2.5, 7.25), (0.001, 0.0011)])
def test_a_linear_axis_has_some_round_ticks(low: float, high: float) -> None:
    axis = Linear(low, high)
    assert 2 <= len(axis.ticks()) <= 11
    assert all(-1e-9 <= axis.share(tick) <= 1 + 1e-9 for tick in axis.ticks())
