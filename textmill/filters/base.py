"""What a filter is made of: scorers, which measure, and rules, which decide.

If changing a value changes a number in the score table, it is a field of the scorer; if it changes only who survives,
it is a rule. Scorers run once for every document; rules are applied to the stored columns in milliseconds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from textmill.errors import UserError
from textmill.text import Documents


@dataclass(frozen=True)
class Rule:
    """Keep a document while ``low <= column <= high``. Either bound may be left out.

    Bounds are numbers, or strings for a column of labels (``low="en", high="en"``: the label must be ``en``).
    ``reason`` names the verdict when the rule fails, ``source`` says where the bound was published. A null or NaN in
    the column is a bug of its scorer and raises; it never keeps or drops a document.
    """

    reason: str
    column: str
    low: float | str | None = None
    high: float | str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if isinstance(bound, float) and not math.isfinite(bound):
                raise UserError(f"rule {self.reason!r}: a bound is {bound}; use a finite number, or none")
        if self.low is None and self.high is None:
            raise ValueError(f"rule {self.reason!r} has neither low nor high")


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
    """A scorer written for one text at a time, in plain Python. Subclasses give `columns` and `score_text`."""

    @abstractmethod
    def score_text(self, text: str) -> tuple[float | int | str | bool, ...]:
        """One value a column, for one text."""

    def score(self, documents: Documents) -> list[pa.Array]:
        rows = [self.score_text(text) for text in documents.text.to_pylist()]
        return [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(self.columns)]
