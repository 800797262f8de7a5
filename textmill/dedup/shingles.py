"""Shingle sets on disk (see `mapped`), read by id in any order: what candidate pairs are compared by.

Rows are (doc_id, ascending hashes, their sum). Arrow has no checksums; the sums stand for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.dedup.mapped import MappedRows, by_batch

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.uint64(), nullable=False),
        pa.field("shingles", pa.large_list(pa.field("item", pa.uint64(), nullable=False)), nullable=False),
        pa.field("sum", pa.uint64(), nullable=False),  # modulo 2**64
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
        self._writer.write_batch(pa.record_batch([pa.array(doc_ids), sets, _sums(hashes, offsets)], schema=SCHEMA))
        self.rows += len(doc_ids)

    def __enter__(self) -> ShingleWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()


class ShingleStore:
    """The sets of several files, whose ids ascend from file to file."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._rows = MappedRows(uris, SCHEMA)
        sets = [batch.column(1) for batch in self._rows.batches]
        self._offsets = [each.offsets.to_numpy() for each in sets]
        self._hashes = [each.values.to_numpy() for each in sets]
        self._sums = [batch.column(2).to_numpy() for batch in self._rows.batches]

    def batches(
        self, left: NDArray[np.uint64], right: NDArray[np.uint64]
    ) -> Iterator[tuple[slice, Sets, NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of documents with their sets: a slice of the pairs, sets, and the places of each pair's two in them.

        As many at once as have `BATCH_SHINGLES`, or one. Memory: the sets of a batch. Errors: `InvariantError` for an
        id that is not there, `InputError` for a set that is damaged.
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
            begin, end = offsets[row], offsets[row + 1]
            if ((begin < 0) | (begin > end) | (end > len(self._hashes[number]))).any():
                raise self._rows.damaged(number)
            sizes[of_batch] = end - begin
        return sizes

    def _sets(self, places: NDArray[np.int64]) -> Sets:
        """The sets of ascending places, one after the other."""
        offsets = np.zeros(len(places) + 1, np.int64)
        np.cumsum(self._sizes(places), out=offsets[1:])
        hashes = np.empty(offsets[-1], np.uint64)
        for number, of_batch, row in by_batch(places):
            sums = _copy(self._hashes[number], self._offsets[number], row, hashes, offsets[of_batch])
            if (sums != self._sums[number][row]).any():
                raise self._rows.damaged(number)
        return hashes, offsets


def _sums(hashes: NDArray[np.uint64], offsets: NDArray[np.int64]) -> pa.Array:
    """The sum of each set."""
    until = np.append(np.uint64(0), np.cumsum(hashes, dtype=np.uint64))
    return pa.array(until[offsets[1:]] - until[offsets[:-1]])


@kernel
def _copy(
    source: NDArray[np.uint64],
    source_offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
    target: NDArray[np.uint64],
    starts: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Copies sets; gives the sum of each."""
    sums = np.zeros(len(rows), np.uint64)
    for i in range(len(rows)):
        begin, end = source_offsets[rows[i]], source_offsets[rows[i] + 1]
        for k in range(end - begin):
            target[starts[i] + k] = source[begin + k]
            sums[i] += source[begin + k]
    return sums
