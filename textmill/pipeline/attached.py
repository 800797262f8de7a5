"""Scores from elsewhere, found by the ids of documents: rules on them can be tried on a run that never measured them.

A table is Parquet with a column ``doc_id`` and columns of numbers, such as the losses that ``textmill eval --out``
writes. A document without a value (no row, null, NaN) is not judged: it counts neither as kept nor as dropped.

Memory: 8 bytes for each row and column that a rule is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UnknownNameError
from textmill.filters.base import Rule
from textmill.pipeline.dag import change_bounds
from textmill.schema import show_doc_id


@dataclass(frozen=True)
class Attached:
    """Rules on columns of tables, and the documents that have a value in all of these columns."""

    rules: tuple[Rule, ...]
    scores: pa.Table  # doc_id, ascending, then the columns as float64

    @classmethod
    def read(cls, uris: Sequence[str], wanted: Mapping[str, Mapping[str, str]], reasons: Sequence[str]) -> Attached:
        """For those of the ``wanted`` bounds (name -> bound -> text) that are about no rule of a run, which are called
        ``reasons``, but about columns of the tables at ``uris``, which all have them.

        Errors: `UnknownNameError` for what is neither; `UserError` for a text that is no bound; `InputError` for tables
        without ids, with one twice, or with a column of something else than numbers.
        """
        columns = [name for name in wanted if name not in reasons]
        tables = [_read(uri, columns, reasons) for uri in uris]
        scores = pa.concat_tables(tables)
        for name in columns:
            scores = scores.filter(pc.invert(pc.is_null(scores[name], nan_is_null=True)))
        scores = scores.sort_by("doc_id").combine_chunks()
        ids = scores["doc_id"].to_numpy()
        if (twice := np.flatnonzero(ids[1:] == ids[:-1])).size:
            raise InputError(f"{', '.join(uris)}: document {show_doc_id(int(ids[twice[0]]))} is there twice")
        rules = [change_bounds([Rule(n, n, low=0.0)], {n: {"low": "none", **wanted[n]}})[0] for n in columns]
        return cls(tuple(rule for rule in rules if rule is not None), scores)

    def of(self, doc_ids: NDArray[np.uint64]) -> tuple[NDArray[np.int64], pa.Table]:
        """Which of ``doc_ids`` have values, and these."""
        ids = self.scores["doc_id"].to_numpy()
        place = np.flatnonzero(storage.is_among(doc_ids, ids))
        return place, self.scores.take(pa.array(np.searchsorted(ids, doc_ids[place])))


def _read(uri: str, columns: Sequence[str], reasons: Sequence[str]) -> pa.Table:
    with storage.open_parquet(uri, remedy="") as file:
        schema = file.schema_arrow
        if "doc_id" not in schema.names or schema.field("doc_id").type != pa.uint64():
            raise InputError(f"{uri}: no column doc_id of type uint64; give what `textmill eval --out` wrote")
        numeric = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
        for name in columns:
            if name not in schema.names:
                raise UnknownNameError(f"rule, or column of {uri}:", name, {*reasons, *numeric} - {"doc_id"})
            if name not in numeric:
                raise InputError(f"{uri}: column {name!r} holds {schema.field(name).type}, no numbers")
        table = file.read(["doc_id", *columns])
    return table.cast(pa.schema([("doc_id", pa.uint64()), *((name, pa.float64()) for name in columns)]))
