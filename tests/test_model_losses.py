"""Losses of documents by a model, as scores that rules judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.filters.base import failures, measure
from textmill.filters.model_losses import find_losses, rule
from textmill.pipeline import dag as dags
from textmill.pipeline.stages.scores import Decide
from textmill.text import Documents

IDS = [5, (7 << 32) + 2, 9]


def write(path: Path, **columns: Any) -> str:
    rows = {
        "doc_id": IDS,
        "n_tokens": [10, 20, 0],
        "loss": [2.0, 3.5, None],
        "bits_per_byte": [0.5, 1.25, None],
    } | columns
    kinds = {"doc_id": pa.uint64()}
    pq.write_table(pa.table({name: pa.array(values, kinds.get(name)) for name, values in rows.items()}), path)
    return str(path)


def documents(ids: list[int]) -> Documents:
    return Documents(
        pa.table({"doc_id": pa.array(ids, pa.uint64()), "text": pa.array(["a"] * len(ids), pa.large_string())})
    )


def test_losses_are_found_by_id_and_judged(tmp_path: Path) -> None:
    scorer = find_losses(write(tmp_path / "losses.parquet"))
    scores = measure([scorer], documents([9, 6, IDS[1], 5]))
    assert scores["model_n_tokens"].to_pylist() == [0, 0, 20, 10]
    assert scores["model_loss"].to_pylist() == [0.0, 0.0, 3.5, 2.0]
    assert scores["model_bits_per_byte"].to_pylist() == [0.0, 0.0, 1.25, 0.5]
    assert failures([rule(1.0)], scores)[:, 0].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"doc_id": [5, 5, 9]}, "holds a document twice"),
        ({"loss": ["a", "b", "c"]}, "no table of losses"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        find_losses(write(tmp_path / "losses.parquet", **columns))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        find_losses(str(tmp_path / "nothing.parquet"))
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(InputError, match="no table of losses"):
        find_losses(str(tmp_path / "text.parquet"))
    pq.write_table(pa.table({"doc_id": pa.array([1], pa.uint64())}), tmp_path / "ids.parquet")
    with pytest.raises(InputError, match="no table of losses"):
        find_losses(str(tmp_path / "ids.parquet"))


def test_a_table_that_has_changed_is_named(tmp_path: Path) -> None:
    scorer = find_losses(write(tmp_path / "losses.parquet"))
    write(tmp_path / "losses.parquet", loss=[1.0, 1.0, 1.0])
    from textmill.filters import model_losses

    model_losses._load.cache_clear()  # as in another process
    with pytest.raises(EnvironmentFault, match="put it back"):
        measure([scorer], documents([5]))


def test_a_run_takes_the_losses_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n")
    dag = dags.load_dag("common_crawl")

    def built(*settings: str) -> Decide:
        given = [f"warcs={tmp_path / 'a.warc'}", "language_model=builtin", *settings]
        target = dags.build(dag, *dags.parse_settings(dag, given))
        return next(stage for stage in target.ancestry() if isinstance(stage, Decide) and stage.name == "decisions")

    losses = f"losses={write(tmp_path / 'losses.parquet')}"
    decide = built(losses, "bits_per_byte=1.1")
    assert decide.rules[-1] == rule(1.1) and "model_loss" in decide.scores.schema.names
    assert "model_loss" in built(losses).scores.schema.names
    with pytest.raises(UserError, match="name their table"):
        built("bits_per_byte=1.1")
