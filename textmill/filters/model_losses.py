"""How hard documents are for a language model of one's own: what ``textmill eval --out`` wrote, as scores.

Perplexity filtering with a model that was trained on the corpus itself (Marion et al. 2023, "When less is more",
arXiv 2309.04564): the losses of a run's documents become columns of the next run, and rules judge them like any other.
Losses are joined by ``doc_id``, so both runs must read the same input files in the same order.

A document that the table does not have (one that the earlier run dropped, or did not evaluate) has 0 in all columns:
an upper bound lets it pass, and ``model_n_tokens`` says which they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError
from textmill.filters import list_files
from textmill.filters.base import Rule, Scorer, numbers
from textmill.filters.list_files import ListFile
from textmill.text import Documents

COLUMNS = pa.schema(
    [
        pa.field("model_n_tokens", pa.int32(), nullable=False),  # that the model read; 0: not known
        pa.field("model_loss", pa.float32(), nullable=False),  # nats a token
        pa.field("model_bits_per_byte", pa.float32(), nullable=False),
    ]
)
NAMES = ("n_tokens", "loss", "bits_per_byte")  # of the table
WHAT = "table of losses"


@dataclass(frozen=True)
class ModelLoss(Scorer):
    """The losses of documents in ``table``, which `find_losses` checks."""

    inputs: ClassVar[tuple[str, ...]] = ("doc_id",)

    table: ListFile

    @property
    def columns(self) -> pa.Schema:
        """Always the same."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`. Errors: `EnvironmentFault` if the table is no longer what it was."""
        ids, losses = _load(self.table)
        wanted = documents.column("doc_id").to_numpy()
        known = storage.is_among(wanted, ids)
        place = np.searchsorted(ids, wanted[known])
        found = np.zeros((len(losses), len(wanted)))
        found[:, known] = losses[:, place]
        return numbers(list(found), COLUMNS)


def find_losses(path: str) -> ModelLoss:
    """The scorer with the table at ``path``. Errors: `InputError` for what ``textmill eval --out`` did not write."""
    scorer = ModelLoss(list_files.identify(Path(path), WHAT))
    _load(scorer.table)
    return scorer


def rule(bits_per_byte: float) -> Rule:
    """Keeps what the model needs at most so many bits a byte for."""
    return Rule("model_bits_per_byte", "model_bits_per_byte", high=bits_per_byte, source="a model of one's own")


@functools.lru_cache(maxsize=2)
def _load(table: ListFile) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """Ids, ascending, and the three `NAMES` of each, [3, ids]; read once a process."""
    content = pa.BufferReader(list_files.read(table, WHAT))
    try:
        rows = pq.read_table(content, columns=["doc_id", *NAMES]).cast(
            pa.schema([("doc_id", pa.uint64()), *((name, pa.float64()) for name in NAMES)])
        )
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{table.path}: no table of losses; give what `textmill eval --out` wrote ({reason})"
        ) from error
    rows = rows.sort_by("doc_id")
    ids = rows["doc_id"].to_numpy()
    if (ids[1:] == ids[:-1]).any():
        raise InputError(f"{table.path}: holds a document twice; evaluate one source at a time")
    return ids, np.stack([rows[name].fill_null(0.0).to_numpy() for name in NAMES])
