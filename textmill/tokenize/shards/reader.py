"""Documents of token shards, in any order by number.

Tokens are copied from mapped files. A Parquet file has no rows by number, so the tables are first unpacked to scratch,
about 200 bytes a document, and mapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import kernel
from textmill.errors import InputError
from textmill.tokenize.shards.token_shards import N_BYTES, RECORD, TokenShards

UNPACKED_DOCS = 1 << 16  # rows of the tables of documents that lie together in scratch
SCHEMA = pa.schema([*RECORD, N_BYTES])


class DocumentReader:
    """The documents of a split by number, counted over its shards. ``scratch``: where the tables are unpacked."""

    def __init__(self, shards: TokenShards, scratch: Path) -> None:
        self._shards = shards
        self._first_docs = np.cumsum([0, *(len(offsets) - 1 for offsets in shards.offsets)])
        self.n_docs = int(self._first_docs[-1])
        self.dtype = shards.dtype
        self._unpack(scratch)

    def lengths(self, docs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of each document. Errors: `InputError` for offsets that lead out of the file."""
        lengths = np.empty(len(docs), np.int64)
        for found in self._by_shard(docs):
            lengths[found.here] = found.end - found.begin
        return lengths

    def copy(self, docs: NDArray[np.int64], out: NDArray[Any], to: NDArray[np.int64]) -> None:
        """Write the tokens of each document to ``out`` from the place ``to`` on."""
        for found in self._by_shard(docs):
            _copy(out, to[found.here], found.tokens, found.begin, found.end)

    def _by_shard(self, docs: NDArray[np.int64]) -> Iterator[_Found]:
        numbers = np.searchsorted(self._first_docs, docs, side="right") - 1
        for i in np.unique(numbers):
            here = np.flatnonzero(numbers == i)
            local = docs[here] - self._first_docs[i]
            offsets, tokens = self._shards.offsets[i], np.asarray(self._shards.tokens[i])
            begin, end = offsets[local].astype(np.int64), offsets[local + 1].astype(np.int64)
            if ((begin < 0) | (end <= begin) | (end > len(tokens))).any():
                where = f"{self._shards.folder}, shard {self._shards.names[i]}"
                raise InputError(f"{where}: damaged offsets; `textmill shards verify` says where")
            yield _Found(here, begin, end, tokens)

    def rows(self, docs: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.intp]]:
        """The rows of ``docs`` as they lie in the tables, and which of ``docs`` each of them is."""
        sorting = np.argsort(docs, kind="stable")
        wanted = docs[sorting]
        numbers = np.searchsorted(self._first_rows, wanted, side="right") - 1
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(wanted)] if len(wanted) else []
        found = []
        for start, stop in pairwise(bounds):
            number = int(numbers[start])
            local = pa.array(wanted[start:stop] - self._first_rows[number])
            found.append(self._unpacked.get_batch(number).take(local))
        return pa.Table.from_batches(found, SCHEMA), sorting

    def _unpack(self, path: Path) -> None:
        """The tables of documents in a form that can be mapped, in larger pieces."""
        first_rows = [0]
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for table in _in_pieces(self._shards.documents):
                writer.write_table(table, max_chunksize=None)
                first_rows.append(first_rows[-1] + table.num_rows)
        if first_rows[-1] != self.n_docs:
            raise InputError(f"{self._shards.folder}: {first_rows[-1]} documents, but offsets of {self.n_docs}")
        self._first_rows = np.array(first_rows)
        self._unpacked = pa.ipc.open_file(pa.memory_map(str(path)))


class _Found(NamedTuple):
    """Some of the documents asked for that lie in one shard."""

    here: NDArray[np.intp]  # which of them
    begin: NDArray[np.int64]  # in the shard
    end: NDArray[np.int64]
    tokens: NDArray[Any]  # of the shard


def _in_pieces(uris: Sequence[str]) -> Iterator[pa.Table]:
    """The tables at ``uris`` as one, in pieces of at least `UNPACKED_DOCS` rows but for the last."""
    pending: list[pa.Table] = []
    for uri in uris:
        with storage.open_parquet(uri) as file:
            for group in range(file.num_row_groups):
                pending.append(file.read_row_group(group, SCHEMA.names))
                if sum(table.num_rows for table in pending) >= UNPACKED_DOCS:
                    yield pa.concat_tables(pending).combine_chunks()
                    pending = []
    if pending:
        yield pa.concat_tables(pending).combine_chunks()


@kernel
def _copy(
    out: NDArray[Any],
    to: NDArray[np.int64],
    tokens: NDArray[Any],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> None:
    for i in range(len(to)):
        out[to[i] : to[i] + end[i] - begin[i]] = tokens[begin[i] : end[i]]
