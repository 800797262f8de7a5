"""Where two presets disagree about the documents of a run, and why.

Two readings of the same published rules keep other documents. This measures both on the same texts: how often they
agree, which reason decides where they do not, and some of those documents with the value on either side. Nothing is
written. The documents are read a row group at a time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill.errors import UserError
from textmill.filters.base import Preset, Rule, failures, measure
from textmill.filters.pii import mask_text
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.samples import READ_CHARS, SHOWN_CHARS, mix
from textmill.pipeline.report.values import bounds, plain
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Materialize
from textmill.schema import show_doc_id
from textmill.terminal import console, safe, table
from textmill.text import Documents


@dataclass(frozen=True)
class Deciding:
    """How often a rule stood against the other preset, which keeps the document."""

    preset: str
    reason: str
    n_first: int  # it is the first rule, in order, that the document fails
    n_only: int  # it is the only one


@dataclass(frozen=True)
class Difference:
    """A document that one preset keeps and the other one drops, under the first rule that it fails."""

    doc_id: str
    url: str
    dropped_by: str
    reason: str
    column: str
    bounds: str
    value: Any
    other_value: Any  # what the preset that keeps it has in the same column; None if it has no such column
    text: str  # the beginning, masked


@dataclass(frozen=True)
class Fidelity:
    """What a comparison found."""

    presets: tuple[str, str]
    n_documents: int
    n_kept_by_both: int
    n_kept_by_first: int  # and not by the second
    n_kept_by_second: int
    n_kept_by_none: int
    deciding: tuple[Deciding, ...]  # the most frequent first
    samples: tuple[Difference, ...]

    @property
    def agreement_frac(self) -> float:
        """Share of the documents with the same verdict; 1 of no documents."""
        return (self.n_kept_by_both + self.n_kept_by_none) / self.n_documents if self.n_documents else 1.0

    def as_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {"agreement_frac": plain(self.agreement_frac)} | asdict(self)


def documents_of(run: FinishedRun) -> tuple[Stage, int]:
    """The stage of a run that has its documents, those that passed the gate if there is one, and how many there are.

    Errors: `UserError` for a run that has not come so far.
    """
    stage = run.one(Materialize) or run.one(Extract)
    if stage is None:
        raise UserError("this run has no documents yet; run it up to its documents first")
    return stage, run.counts(stage)["rows_out"]


def compare(
    run: FinishedRun, first: Preset, second: Preset, n_samples: int, on_rows: Callable[[float], None] = lambda _: None
) -> Fidelity:
    """Measure two presets on the documents of a run; ``n_samples`` for each of the two ways to disagree.

    ``on_rows`` is told how many more documents are done. Errors: as of `documents_of`; `UserError` for a preset that
    needs what documents do not have.
    """
    sides = _Side(first), _Side(second)
    kept: Counter[tuple[bool, bool]] = Counter()
    for rows, n_read in _row_groups(run, sides):
        documents = Documents(rows)
        judged = [side.judge(documents) for side in sides]
        kept.update(zip(*(verdict.keeps.tolist() for verdict in judged), strict=True))
        sides[0].note_differences(rows, judged[0], judged[1], n_samples)
        sides[1].note_differences(rows, judged[1], judged[0], n_samples)
        on_rows(n_read)
    deciding = [row for side in sides for row in side.deciding()]
    return Fidelity(
        presets=(first.name, second.name),
        n_documents=kept.total(),
        n_kept_by_both=kept[True, True],
        n_kept_by_first=kept[True, False],
        n_kept_by_second=kept[False, True],
        n_kept_by_none=kept[False, False],
        deciding=tuple(sorted(deciding, key=lambda row: -row.n_first)),
        samples=tuple(difference for side in sides for difference in side.samples()),
    )


class _Judged(NamedTuple):
    """What one preset makes of a batch."""

    scores: pa.Table
    fails: NDArray[np.bool_]  # [documents, rules]
    keeps: NDArray[np.bool_]  # [documents]


class _Draw(NamedTuple):
    """A sampled document. Ordered by hash, which no two documents share."""

    hash: int
    difference: Difference


class _Side:
    """One of the two presets, and what it drops although the other one keeps it."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._n_first: Counter[str] = Counter()
        self._n_only: Counter[str] = Counter()
        self._drawn: list[_Draw] = []

    def judge(self, documents: Documents) -> _Judged:
        scores = measure(self.preset.scorers, documents)
        rules = self.preset.rules
        fails = failures(rules, scores) if rules else np.zeros((len(documents), 0), np.bool_)
        return _Judged(scores, fails, np.logical_not(fails.any(axis=1)))

    def note_differences(self, rows: pa.Table, own: _Judged, other: _Judged, n_samples: int) -> None:
        """Count the documents that only the other preset keeps, and draw from them."""
        chosen = np.flatnonzero(~own.keeps & other.keeps)
        if not len(chosen):
            return
        fails = own.fails[chosen]
        first = fails.argmax(axis=1)
        reasons = np.array([rule.reason for rule in self.preset.rules])
        self._n_first.update(reasons[first].tolist())
        self._n_only.update(reasons[first[fails.sum(axis=1) == 1]].tolist())
        hashes = mix(rows["doc_id"].to_numpy()[chosen])
        for i in np.argsort(hashes)[:n_samples].tolist():
            row = int(chosen[i])
            difference = self._difference(rows.slice(row, 1), self.preset.rules[first[i]], own, other, row)
            self._drawn = heapq.nsmallest(n_samples, [*self._drawn, _Draw(int(hashes[i]), difference)])

    def _difference(self, document: pa.Table, rule: Rule, own: _Judged, other: _Judged, row: int) -> Difference:
        text = pc.utf8_slice_codeunits(document["text"], 0, READ_CHARS)[0].as_py()
        known = rule.column in other.scores.column_names
        return Difference(
            doc_id=show_doc_id(document["doc_id"][0].as_py()),
            url=document["url"][0].as_py(),
            dropped_by=self.preset.name,
            reason=rule.reason,
            column=rule.column,
            bounds=bounds(asdict(rule)),
            value=plain(own.scores[rule.column][row].as_py()),
            other_value=plain(other.scores[rule.column][row].as_py()) if known else None,
            text=mask_text(text)[0][:SHOWN_CHARS],
        )

    def deciding(self) -> Iterator[Deciding]:
        for reason, n in self._n_first.items():
            yield Deciding(self.preset.name, reason, n, self._n_only[reason])

    def samples(self) -> Iterator[Difference]:
        return (draw.difference for draw in self._drawn)


def _row_groups(run: FinishedRun, sides: tuple[_Side, _Side]) -> Iterator[tuple[pa.Table, int]]:
    """The documents with the columns that the presets read, a row group at a time; and how many rows were read."""
    stage, _ = documents_of(run)
    inputs = {name for side in sides for scorer in side.preset.scorers for name in scorer.inputs}
    columns = sorted({"doc_id", "url", "text"} | inputs | ({"status"} if isinstance(stage, Extract) else set()))
    for group in run.groups(stage, columns):
        rows = group.filter(pc.equal(group["status"], "ok")) if "status" in columns else group
        yield rows, len(group)


def print_fidelity(found: Fidelity) -> None:
    """Print everything as tables; page text is made safe to show."""
    to = console()
    first, second = found.presets
    to.print(f"{found.n_documents:,} documents, the same verdict on {found.agreement_frac:.2%}", markup=False)
    rows = [
        [f"kept by {first}", found.n_kept_by_both, found.n_kept_by_first],
        [f"dropped by {first}", found.n_kept_by_second, found.n_kept_by_none],
    ]
    to.print(table("", ["", f"kept by {second}", f"dropped by {second}"], rows))
    if found.deciding:
        header = ["dropped by", "first reason", "documents", "its only reason"]
        counted = [[row.preset, row.reason, row.n_first, row.n_only] for row in found.deciding]
        to.print(table("what decides where only one of them keeps a document", header, counted))
    for sample in found.samples:
        to.print()
        for line in _shown(sample, next(name for name in found.presets if name != sample.dropped_by)):
            to.print(line, markup=False, soft_wrap=True)


def _shown(sample: Difference, keeper: str) -> Iterator[str]:
    yield f"{sample.doc_id}  {safe(sample.url, 500)}"
    there = f"has no {sample.column}" if sample.other_value is None else safe(sample.other_value)
    yield f"  {sample.dropped_by} drops it: {sample.reason}, {safe(sample.value)} (wants {sample.bounds})"
    yield f"  {keeper} keeps it: {there}"
    yield f"  {safe(' '.join(sample.text.split()), SHOWN_CHARS)}"
