"""Histograms of the scores, over the documents that have text.

The range is that of a bounded number of documents, chosen by their hashed ids. Looks at every score twice, shard by
shard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from textmill.filters.base import Rule
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.samples import mix
from textmill.pipeline.report.values import Section, plain
from textmill.pipeline.stages.scores import Decide, Score

N_BINS = 40
RANGE_PERCENTILES = (0.5, 99.5)  # what a histogram shows; the rest is counted at its sides
RANGE_DOCUMENTS = 100_000  # documents that the range is taken from


class Bins(NamedTuple):
    """Edges of a histogram."""

    edges: npt.NDArray[np.float64]
    integer: bool  # then the edges lie between integers
    log: bool  # spaced evenly in the logarithm


def histograms_of(run: FinishedRun, scores: Score) -> list[Section]:
    """A histogram of every numeric column, over the documents that have text; none of flags that a rule counts."""
    stored = set(run.columns(scores)) - {"doc_id"}
    is_integer = {f.name: pa.types.is_integer(f.type) for f in scores.schema if f.name in stored and _is_number(f)}
    rules = [rule for decide in run.all(Decide) if decide.scores.folder == scores.folder for rule in decide.rules]
    judged = {rule.column for rule in rules}
    flags = {field.name for field in scores.schema if field.type == pa.uint8()} & judged
    columns = [name for name in is_integer if name not in flags]
    sample = _sample_values(run, scores, columns)
    bins = {
        name: choose_bins(sample[name], is_integer[name], _bounds(rules, name)) for name in columns if len(sample[name])
    }
    counts = {name: np.zeros(len(made.edges) + 1, np.int64) for name, made in bins.items()}
    ranges: dict[str, list[float]] = {name: [math.inf, -math.inf] for name in bins}
    for (table,) in run.with_text(scores.documents, (scores, columns)):
        for name, made in bins.items():
            values = table[name].to_numpy()
            counts[name] += _count(values, made.edges)
            if len(values):
                ranges[name] = [min(ranges[name][0], values.min()), max(ranges[name][1], values.max())]
    return [_histogram(scores, name, bins[name], counts[name], rules) | _range(ranges[name]) for name in bins]


def _range(ends: Sequence[float]) -> Section:
    """The smallest and the largest value."""
    low, high = (plain(float(end)) for end in ends)
    return {"min": low, "max": high, "is_constant": low == high}


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_integer(field.type) or pa.types.is_floating(field.type))


def _bounds(rules: Iterable[Rule], column: str) -> list[float]:
    bounds = [bound for rule in rules if rule.column == column for bound in (rule.low, rule.high)]
    return [bound for bound in bounds if isinstance(bound, int | float)]


def _sample_values(run: FinishedRun, scores: Score, columns: list[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The finite values of a bounded number of documents, chosen by their hashed ids."""
    share = min(1.0, RANGE_DOCUMENTS / max(1, run.counts(scores)["rows_out"]))
    last = np.uint64(share * (2**64 - 2**11))  # the largest float64 below 2**64
    values: dict[str, list[npt.NDArray[np.float64]]] = {name: [np.array([])] for name in columns}
    for (table,) in run.with_text(scores.documents, (scores, columns)):
        chosen = mix(table["doc_id"].to_numpy()) <= last
        for name in columns:
            column = table[name].to_numpy()[chosen].astype(np.float64)
            values[name].append(column[np.isfinite(column)])
    return {name: np.concatenate(parts) for name, parts in values.items()}


def choose_bins(values: npt.NDArray[np.float64], is_integer: bool, bounds: Sequence[float]) -> Bins:
    """At most `N_BINS` bins or so over the usual range of ``values``, which hold at least one.

    Bounds of rules that lie near the range are inside of it. Bins of integers have edges between the integers, and
    all hold equally many, so that no comb appears; only counts that span two decades are spaced in the logarithm.
    """
    low, high = (float(value) for value in np.percentile(values, RANGE_PERCENTILES))
    if is_integer and high >= 100 * max(low, 1):
        first, last = _stretched(math.log(max(low, 1)), math.log(high), [math.log(b) for b in bounds if b >= 1])
        low, high = round(math.exp(first)), round(math.exp(last))
        return Bins(np.unique(np.round(np.geomspace(low - 0.5, high + 0.5, N_BINS + 1) - 0.5) + 0.5), True, True)
    first, last = _stretched(low, high, bounds)
    if is_integer:
        first, last = math.floor(first), math.ceil(last)
        width = math.ceil((last - first + 1) / N_BINS)
        return Bins(np.arange(first, last + width + 1, width, dtype=np.float64) - 0.5, True, False)
    if first == last:
        first, last = first - 0.5, last + 0.5
    return Bins(np.linspace(first, last, N_BINS + 1), False, False)


def _stretched(first: float, last: float, marks: Sequence[float]) -> tuple[float, float]:
    """The range, made to hold the marks that are no further from it than it is wide; a single value, the nearest."""
    width = last - first or min((abs(mark - first) for mark in marks), default=0.0)
    near = [mark for mark in marks if first - width <= mark <= last + width]
    return min([first, *near]), max([last, *near])


def _count(values: npt.NDArray[Any], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many values lie below the edges, in each bin (the last one closed), and above."""
    ordered = np.sort(values)  # what is no number, last
    below = np.append(np.searchsorted(ordered, edges[:-1]), np.searchsorted(ordered, edges[-1], "right"))
    n_above = np.count_nonzero(values > edges[-1])
    return np.array([below[0], *np.diff(below), n_above], np.int64)


def _histogram(scores: Score, column: str, bins: Bins, counts: npt.NDArray[np.int64], rules: Iterable[Rule]) -> Section:
    judging = [rule for rule in rules if rule.column == column]
    lows = [rule.low for rule in judging if isinstance(rule.low, int | float)]
    highs = [rule.high for rule in judging if isinstance(rule.high, int | float)]
    return {
        "stage": scores.name,
        "column": column,
        "edges": [plain(float(edge)) for edge in bins.edges],
        "integer": bins.integer,
        "log": bins.log,
        "counts": counts[1:-1].tolist(),
        "n_below": int(counts[0]),
        "n_above": int(counts[-1]),
        "low": max(lows, default=None),
        "high": min(highs, default=None),
    }
