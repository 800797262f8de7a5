"""What a filter is made of: scorers, which measure; rules, which decide; editors, which change texts; and presets.

If changing a value changes a number in the score table, it is a field of the scorer; if it changes only who survives,
it is a rule. Scorers run once for every document; rules are applied to the stored columns in milliseconds.

A preset is a published set of rules under a name that says whose reading of them it is: ``gopher@dolma`` and
``gopher@datatrove`` have the same thresholds and give other verdicts, because they count other things.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill.errors import InvariantError, UnknownNameError, UserError
from textmill.text import Documents


@dataclass(frozen=True)
class Rule:
    """Keep a document while ``low <= column <= high``. Either bound may be left out.

    Bounds are numbers, or strings for a column of labels (``low="en", high="en"``: the label must be ``en``).
    ``exclusive``: the bounds themselves fail, too. ``reason`` names the verdict when the rule fails, ``source`` says
    where the bound was published. A null or NaN in the column is a bug of its scorer and raises; it never keeps or
    drops a document.
    """

    reason: str
    column: str
    low: float | str | None = None
    high: float | str | None = None
    source: str = ""
    exclusive: bool = False

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if isinstance(bound, float) and not math.isfinite(bound):
                raise UserError(f"rule {self.reason!r}: a bound is {bound}; use a finite number, or none")
        if self.low is None and self.high is None:
            raise ValueError(f"rule {self.reason!r} has neither low nor high")

    def fails(self, values: pa.Array) -> NDArray[np.bool_]:
        """Which values the rule rejects.

        Bounds are compared in the type of the column: a float32 column that holds .1 is not above .1. Written as
        "unless low <= value <= high", so that nothing slips through a comparison. Errors: `InvariantError` for a bound
        that does not fit the type.
        """
        above, below = (pc.greater, pc.less) if self.exclusive else (pc.greater_equal, pc.less_equal)
        holds = np.ones(len(values), bool)
        if self.low is not None:
            holds &= above(values, self._bound(self.low, values.type)).to_numpy(zero_copy_only=False)
        if self.high is not None:
            holds &= below(values, self._bound(self.high, values.type)).to_numpy(zero_copy_only=False)
        return ~holds

    def _bound(self, bound: float | str, kind: pa.DataType) -> pa.Scalar:
        if pa.types.is_integer(kind):  # 2.5 stays 2.5
            return pa.scalar(float(bound))
        try:
            return pa.scalar(bound, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise InvariantError(f"rule {self.reason!r}: bound {bound!r} does not fit {kind}") from error


@dataclass(frozen=True)
class Scorer(ABC):
    """Turns a batch of documents into columns of numbers (or labels).

    Frozen; its fields are what can change its numbers. ``score`` is total (it never raises on text, whatever the text)
    and pure (the same row gives the same values in every batch).
    """

    version: ClassVar[int] = 1  # raised whenever the same fields and text give other numbers
    inputs: ClassVar[tuple[str, ...]] = ("text",)  # the columns of the documents that it reads

    @property
    @abstractmethod
    def columns(self) -> pa.Schema:
        """Names and types of the columns that `score` returns, all of them non-null."""

    @abstractmethod
    def score(self, documents: Documents) -> list[pa.Array]:
        """One array a column, in the order of `columns`, one value a document."""


@dataclass(frozen=True)
class PerDocument(Scorer):
    """A scorer written for one text at a time, in plain Python. Subclasses give `columns` and `score_text`.

    Errors: whatever `score_text` raises, with a note that shows the text; `InvariantError` for too few or many values.
    """

    @abstractmethod
    def score_text(self, text: str) -> tuple[float | int | str | bool, ...]:
        """One value a column, for one text."""

    def score(self, documents: Documents) -> list[pa.Array]:
        rows = [self._values(text) for text in documents.text.to_pylist()]
        return [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(self.columns)]

    def _values(self, text: str) -> tuple[float | int | str | bool, ...]:
        try:
            values = self.score_text(text)
        except Exception as error:
            error.add_note(f"{type(self).__name__}: a text of {len(text):,} characters that begins {text[:80]!r}")
            raise
        if len(values) != len(self.columns):
            raise InvariantError(f"{type(self).__name__}: {len(values)} values for {len(self.columns)} columns")
        return values


@dataclass(frozen=True)
class Editor(ABC):
    """Changes texts, for example drops lines, and counts what it did. Total and pure, as a scorer is."""

    version: ClassVar[int] = 1
    name: ClassVar[str]  # of the family
    kinds: ClassVar[tuple[str, ...]]  # of the changes that it counts

    @abstractmethod
    def edit(self, documents: Documents) -> tuple[pa.LargeStringArray, Mapping[str, NDArray[np.int64]]]:
        """The texts afterwards, and how many changes of each of `kinds` there were, [documents]."""


@dataclass(frozen=True)
class After(Scorer):
    """Another scorer's columns, of the text as an editor leaves it. The edited text is made once a batch."""

    editor: Editor
    scorer: Scorer

    @property
    def columns(self) -> pa.Schema:
        """Those of the other scorer."""
        return self.scorer.columns

    def score(self, documents: Documents) -> list[pa.Array]:
        edited = documents.once(self.editor, lambda: Documents(pa.table({"text": self.editor.edit(documents)[0]})))
        return self.scorer.score(edited)


@dataclass(frozen=True)
class Preset:
    """Published rules, in their published order, and what measures their columns."""

    name: str  # family@whose reading
    source: str
    scorers: tuple[Scorer, ...]
    rules: tuple[Rule, ...]
    editors: tuple[Editor, ...] = ()  # what it does to the texts of the documents that it keeps

    def passes(self, text: str) -> bool:
        """Whether one text passes all of the rules."""
        return not failures(self.rules, measure(self.scorers, Documents.from_texts([text]))).any()


def stack(presets: Sequence[Preset]) -> Preset:
    """Presets one after the other: each measures the text as the editors of those before it leave it."""
    scorers: list[Scorer] = []
    editors: list[Editor] = []
    for preset in presets:
        scorers += [_after(editors, scorer) for scorer in preset.scorers]
        editors += preset.editors
    rules = tuple(rule for preset in presets for rule in preset.rules)
    name, source = (", ".join(getattr(preset, part) for preset in presets) for part in ("name", "source"))
    return Preset(name, source, tuple(scorers), rules, tuple(editors))


def _after(editors: Sequence[Editor], scorer: Scorer) -> Scorer:
    """The scorer of the text that all of the editors, in their order, leave."""
    for editor in reversed(editors):
        scorer = After(editor, scorer)
    return scorer


def named(presets: Mapping[str, Preset], name: str) -> Preset:
    """The preset of this name. Errors: `UnknownNameError`."""
    if name not in presets:
        raise UnknownNameError("preset", name, presets)
    return presets[name]


def measure(scorers: Sequence[Scorer], documents: Documents) -> pa.Table:
    """The columns of all scorers. Errors: `InvariantError` for a wrong length, a wrong type, a null or a NaN."""
    scored = [(scorer, *column) for scorer in scorers for column in _columns(scorer, documents)]
    for scorer, array, field in scored:  # not between two scorers, whose kernels leave nothing of this in the cache
        _check(array, field, len(documents), type(scorer).__name__)
    fields = [field.with_nullable(False) if field.nullable else field for _, _, field in scored]
    return pa.table([array for _, array, _ in scored], schema=pa.schema(fields))


def _columns(scorer: Scorer, documents: Documents) -> list[tuple[pa.Array, pa.Field]]:
    return list(zip(scorer.score(documents), scorer.columns, strict=True))


def numbers(values: Sequence[NDArray], schema: pa.Schema) -> list[pa.Array]:
    """Arrays [documents], one a column of the schema, in its types, which are numbers. (Arrow's casts cost five times
    as much.)"""
    arrays = []
    for column, field in zip(values, schema, strict=True):
        buffer = pa.py_buffer(np.ascontiguousarray(column, field.type.to_pandas_dtype()))
        arrays.append(pa.Array.from_buffers(field.type, len(column), [None, buffer]))
    return arrays


def _check(array: pa.Array, field: pa.Field, n: int, scorer: str) -> None:
    if array.type != field.type or len(array) != n:
        raise InvariantError(f"{scorer}: column {field.name!r}: {len(array)} x {array.type}, not {n} x {field.type}")
    if array.null_count or (pa.types.is_floating(array.type) and np.isnan(array.to_numpy()).any()):
        row = pc.is_null(array, nan_is_null=True).index(True).as_py()
        raise InvariantError(f"{scorer}: column {field.name!r}: null or NaN in row {row} of the batch")


def failures(rules: Sequence[Rule], scores: pa.Table) -> NDArray[np.bool_]:
    """Which document fails which rule: [documents, rules]."""
    verdicts = np.zeros((len(scores), len(rules)), bool)
    for i, rule in enumerate(rules):
        verdicts[:, i] = rule.fails(scores[rule.column].combine_chunks())
    return verdicts
