"""Pages whose owners do not want them in training data. What counts as such a wish: `textmill.pipeline.reading.optout`.

The default drops what concerns this use: ``noai`` (DeviantArt, 2022), reserved text and data mining (TDMRep, 2024; in
the EU, article 4(3) of directive 2019/790), and ``train-ai=n`` (IETF AIPREF drafts). ``noindex``, ``noarchive`` and
``noimageai`` ask something else of others; they are measured, and ``--set noindex.high=0`` drops them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from textmill.filters.base import Rule, Scorer
from textmill.text import Documents

WISHES = ("noai", "tdm", "train_ai", "noimageai", "noindex", "noarchive")

RULES = (
    Rule("noai", "optout_noai", high=0, source="DeviantArt's noai"),
    Rule("tdm_reservation", "optout_tdm", high=0, source="TDMRep: tdm-reservation: 1"),
    Rule("train_ai", "optout_train_ai", high=0, source="AIPREF: train-ai=n"),
    Rule("noimageai", "optout_noimageai", high=1, source="about images; high=0 drops these pages"),
    Rule("noindex", "optout_noindex", high=1, source="about search; high=0 drops these pages"),
    Rule("noarchive", "optout_noarchive", high=1, source="about copies for readers; high=0 drops these pages"),
)


@dataclass(frozen=True)
class OptOut(Scorer):
    """1 where a page states the wish, else 0, from the columns of the pages table."""

    inputs: ClassVar[tuple[str, ...]] = tuple(f"optout_{wish}" for wish in WISHES)

    @property
    def columns(self) -> pa.Schema:
        """The columns of the pages table, as numbers."""
        return pa.schema([pa.field(name, pa.uint8(), nullable=False) for name in self.inputs])

    def score(self, documents: Documents) -> list[pa.Array]:
        return [documents.column(name).cast(pa.uint8()) for name in self.inputs]
