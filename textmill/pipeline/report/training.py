"""A training as plain values, read from its log, and as plots: the part of a report that says what a model learned.

The log has a line a step; of a long one, `CURVE_POINTS` means are shown. Losses are in nats a token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from textmill import storage
from textmill.pipeline.report.plots import Axis, Line, Linear, Logarithmic, counted, plot
from textmill.pipeline.report.values import (
    Section,
    compact,
    lines,
    long_text,
    number,
    percent,
    plain,
    templates,
)
from textmill.terminal import safe

LOG_FILE, SPIKES_FILE = "log.jsonl", "spikes.jsonl"
CURVE_POINTS = 500
N_SPIKES = 50
N_SOURCES = 8  # lines in one plot that can be told apart
TALL, LOW = 340, 150
MEASURED = ("loss", "grad_norm", "lr", "tokens_per_s", "mfu_frac")
EVALUATED = (
    "val_loss",
    "bits_per_byte",
    "val_loss_by_source",
    "bits_per_byte_by_source",
    "accuracy",
)


def training_of(folder: str) -> Section:
    """The account of the training whose log lies in ``folder``; nothing but empty lists for one that has not begun."""
    log = [line for line in _lines(storage.join(folder, LOG_FILE)) if "loss" in line]
    spikes = list(_lines(storage.join(folder, SPIKES_FILE)))
    every = max(1, math.ceil(len(log) / CURVE_POINTS))
    parts = [log[i : i + every] for i in range(0, len(log), every)]
    return {
        "last": {name: plain(log[-1][name]) for name in ("step", "tokens", "seconds") if name in log[-1]}
        if log
        else {},
        "curve": [{"step": part[-1]["step"], **_means(part)} for part in parts],
        "loss_by_source": _by_source(parts),
        "evaluations": [_evaluation(line) for line in log if line.get("val_loss") is not None or line.get("accuracy")],
        "n_spikes": len(spikes),
        "spikes": [_spike(line) for line in spikes[:N_SPIKES]],
    }


def _lines(uri: str) -> Iterable[Section]:
    """The lines of a log; the last one may have been cut off while it was written."""
    if not storage.exists(uri):
        return
    with storage.open_read(uri) as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _means(part: Sequence[Section]) -> Section:
    """What steps next to each other measured, in the middle."""
    found = {name: [line[name] for line in part if line.get(name) is not None] for name in MEASURED}
    return {name: plain(fmean(values)) for name, values in found.items() if values}


def _by_source(parts: Sequence[Sequence[Section]]) -> dict[str, list[tuple[int, float]]]:
    """Of each source its mean losses with their steps, where it had any."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for part in parts:
        for name in {name: None for line in part for name in line.get("loss_by_source", {})}:
            losses = [line["loss_by_source"][name] for line in part if name in line.get("loss_by_source", {})]
            curves.setdefault(name, []).append((part[-1]["step"], plain(fmean(losses))))
    return curves


def _evaluation(line: Section) -> Section:
    """What was found after a step, without what was not asked for."""
    return {"step": line["step"], **{name: _plain(line[name]) for name in EVALUATED if line.get(name)}}


def _plain(value: Any) -> Any:
    return {name: plain(own) for name, own in value.items()} if isinstance(value, dict) else plain(value)


def _spike(line: Section) -> Section:
    named = {name: plain(line.get(name)) for name in ("step", "loss_z", "grad_norm_z")}
    return {**named, "n_documents": len(line.get("doc_ids", []))}


def plots_of(training: Section) -> list[Section]:
    """What is drawn of a training: a list of plots with their titles and how their ticks are written."""
    curve, evaluations = training["curve"], training["evaluations"]
    if not curve:
        return []
    losses = [Line("training", _points(curve, "loss"), faint=True)]
    if any("val_loss" in row for row in evaluations):
        losses.append(Line("validation", _points(evaluations, "val_loss")))
    bits, nats = (_curves_in(evaluations, f"{name}_by_source") for name in ("bits_per_byte", "val_loss"))
    by_name = [
        ("Loss by source", "training, nats a token", training["loss_by_source"]),
        ("Validation by source", "bits a byte" if bits else "nats a token", bits or nats),
        ("Multiple choice", "share answered right", _curves_in(evaluations, "accuracy")),
    ]
    rates, norms = _points(curve, "lr"), [point for point in _points(curve, "grad_norm") if point[1] > 0]
    return [
        _plot("Loss", "nats a token", losses, curve, TALL),
        *(_plot(title, unit, _largest(own), curve, TALL) for title, unit, own in by_name if own),
        *([_plot("Gradient norm", "before clipping", [Line("", norms)], curve, LOW, training)] if norms else []),
        *([_plot("Learning rate", "", [Line("", rates)], curve, LOW)] if rates else []),
    ]


def _points(rows: Iterable[Section], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if name in row]


def _curves_in(evaluations: Iterable[Section], name: str) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in evaluations:
        for source, value in row.get(name, {}).items():
            curves.setdefault(source, []).append((row["step"], value))
    return curves


def _largest(curves: dict[str, list[tuple[int, float]]]) -> list[Line]:
    """Lines for the sources with most points: those that were met most often."""
    order = sorted(curves, key=lambda name: -len(curves[name]))[:N_SOURCES]
    return [Line(name, curves[name]) for name in order]


def _plot(
    title: str, unit: str, shown: Sequence[Line], curve: Sequence[Section], height: int, spikes: Section | None = None
) -> Section:
    """A plot over the steps of ``curve``. With ``spikes``, a training, its axis is logarithmic and they are marked."""
    values = [value for line in shown for _, value in line.points]
    y: Axis = Logarithmic(min(values) / 1.1, max(values) * 1.1) if spikes else Linear(min(values), max(values))
    marks = _marks(spikes, shown[0].points) if spikes else []
    drawn = plot(shown, Linear(curve[0]["step"], curve[-1]["step"], counted), y, height, marks)
    return {"title": title, "unit": unit, **drawn}


def _marks(training: Section, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each spike on the first point of the line that is not before it."""
    found = (
        (spike["step"], [value for step, value in points if step >= spike["step"]]) for spike in training["spikes"]
    )
    return [(step, later[0]) for step, later in found if later]


def filters() -> dict[str, Any]:
    """What ``training.html.j2`` writes values with."""
    return {
        "compact": compact,
        "lines": lines,
        "number": number,
        "percent": percent,
        "plots_of": plots_of,
        "safe_text": long_text,
    }


def write_page(folder: str, title: str) -> str:
    """Draws the training in ``folder`` as a page beside its log. Returns where it lies."""
    environment = templates()
    environment.filters |= filters()
    page = environment.get_template("training_page.html.j2").render(model=training_of(folder), title=safe(title, 500))
    uri = storage.join(folder, "report.html")
    storage.write_text(page, uri)
    return uri
