"""Shingle sets on disk (see `mapped`), read by id in any order: what candidate pairs are compared by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.dedup.mapped import MappedRows, by_batch

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("shingles", pa.large_list(pa.field("item", pa.uint64(), nullable=False)), nullable=False),
    ]
)
BATCH_SHINGLES = 1 << 22  # copied together to be compared: 32 MB

Sets = tuple[NDArray[np.uint64], NDArray[np.int64]]  # hashes and offsets, as of `MinHash.shingle_sets`


class ShingleWriter:
    """Writes a file, a batch at a time; ids ascend."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._writer = pa.ipc.new_file(os.fspath(path), SCHEMA)

    def write(self, doc_ids: NDArray[np.uint64], hashes: NDArray[np.uint64], offsets: NDArray[np.int64]) -> None:
        sets = pa.LargeListArray.from_arrays(offsets, pa.array(hashes), type=SCHEMA.field("shingles").type)
        self._writer.write_batch(pa.record_batch([pa.array(doc_ids), sets], schema=SCHEMA))
        self.rows += len(doc_ids)

    def __enter__(self) -> ShingleWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()


class ShingleStore:
    """The sets of several files, whose ids ascend from file to file."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._rows = MappedRows(uris)
        sets = [batch.column(1) for batch in self._rows.batches]
        self._offsets = [each.offsets.to_numpy() for each in sets]
        self._hashes = [each.values.to_numpy() for each in sets]

    def batches(
        self, left: NDArray[np.uint64], right: NDArray[np.uint64]
    ) -> Iterator[tuple[slice, Sets, NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of documents with their sets: a slice of the pairs, sets, and the places of each pair's two in them.

        As many at once as have `BATCH_SHINGLES`, or one. Memory: the sets of a batch. Errors: `InvariantError` for an
        id that is not there.
        """
        places = self._rows.find(np.stack([left, right], axis=1).ravel())
        total = np.cumsum(self._sizes(places).reshape(-1, 2).sum(axis=1))
        begin = 0
        while begin < len(left):
            before = total[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(total, before + BATCH_SHINGLES, "right")))
            part, inverse = np.unique(places[2 * begin : 2 * end], return_inverse=True)
            yield slice(begin, end), self._sets(part), inverse[::2], inverse[1::2]
            begin = end

    def _sizes(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Shingles of each."""
        sizes = np.empty(len(places), np.int64)
        for number, of_batch, row in by_batch(places):
            offsets = self._offsets[number]
            sizes[of_batch] = offsets[row + 1] - offsets[row]
        return sizes

    def _sets(self, places: NDArray[np.int64]) -> Sets:
        """The sets of ascending places, one after the other."""
        offsets = np.zeros(len(places) + 1, np.int64)
        np.cumsum(self._sizes(places), out=offsets[1:])
        hashes = np.empty(offsets[-1], np.uint64)
        for number, of_batch, row in by_batch(places):
            _copy(self._hashes[number], self._offsets[number], row, hashes, offsets[of_batch])
        return hashes, offsets


@numba.njit(cache=True, nogil=True)
def _copy(
    source: NDArray[np.uint64],
    source_offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
    target: NDArray[np.uint64],
    starts: NDArray[np.int64],
) -> None:
    for i in range(len(rows)):
        begin, end = source_offsets[rows[i]], source_offsets[rows[i] + 1]
        target[starts[i] : starts[i] + end - begin] = source[begin:end]
