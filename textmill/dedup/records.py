"""Sorted records of two 64-bit numbers, more than fit in memory: sorting, files, and merging.

A record is (key, value), sorted by key and then by value: band hash and document, or the two documents of a pair. They
travel in blocks, two uint64 arrays side by side. What is larger than memory is sorted by parts, each part is written to
a file, and the files are merged block by block.

A file is Parquet, uncompressed, since hashes do not compress: 16 bytes a record. It holds sections one after the other
(one a band), each sorted by itself; a row group belongs to one section, and its statistics tell which keys it holds, so
that a range of keys is read without the rest. Pages carry checksums, and every reader checks that keys ascend.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import kernel
from textmill.errors import InputError

Block = tuple[NDArray[np.uint64], NDArray[np.uint64]]

LARGEST = (1 << 64) - 1
BLOCK_RECORDS = 1 << 15  # in a row group, and so in a block: 512 KiB
SORT_RECORDS = 1 << 23  # that a `Sorter` holds; with what sorting takes beside them, 400 MB
SORTED_AT_ONCE = 1 << 17  # records; of 8 million, 214 ns each all at once, 95 by pieces; with ties 763 and 129
FAN_IN = 512  # files merged at once: each has one block in memory
_META = b"textmill"
_NOTHING = np.empty(0, np.uint64)


class RecordWriter:
    """Writes a file of sorted records, section by section.

    ``names`` are those of the two columns; ``meta`` is any JSON, for whoever opens the file.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        sections: Sequence[str] = ("all",),
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.rows = path, 0
        self._sections = dict.fromkeys(sections, 0)  # row groups
        self._meta = dict(meta or {})
        self._schema = pa.schema([pa.field(name, pa.uint64(), nullable=False) for name in names])
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="none", use_dictionary=False, write_page_checksum=True
        )

    def write(self, section: str, blocks: Iterable[Block]) -> None:
        """Appends the sorted records of a section. Sections come in their order; one may be left out, it is empty."""
        for block in _resized(blocks, BLOCK_RECORDS):
            self._writer.write_table(pa.table(block, schema=self._schema), row_group_size=len(block[0]))
            self._sections[section] += 1
            self.rows += len(block[0])

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        about = {"sections": list(self._sections.items()), "meta": self._meta}
        self._writer.add_key_value_metadata({_META: json.dumps(about, sort_keys=True)})
        self._writer.close()


class RecordFile:
    """A file that `RecordWriter` wrote. Errors: `InputError` when it is damaged, or none."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with storage.open_parquet(uri) as file:
            try:
                about = json.loads(file.metadata.metadata[_META])
                self.meta: dict[str, Any] = about["meta"]
                self._sections = dict(about["sections"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{uri}: no file of sorted records of textmill") from error

    @property
    def sections(self) -> list[str]:
        return list(self._sections)

    def read(self, section: str = "all", low: int = 0, high: int = LARGEST) -> Iterator[Block]:
        """The records of a section with keys from ``low`` to ``high``, block by block.

        Errors: `InputError` when they are not in order.
        """
        first = sum(self._sections[name] for name in self.sections[: self.sections.index(section)])
        last = (0, 0)
        with storage.open_parquet(self.uri) as file:
            for group in range(first, first + self._sections[section]):
                statistics = file.metadata.row_group(group).column(0).statistics
                if statistics.max < low or statistics.min > high:
                    continue
                key, value = (column.to_numpy() for column in file.read_row_group(group).columns)
                if (int(key[0]), int(value[0])) < last or not _is_sorted(key, value):
                    raise InputError(f"{self.uri}: records out of order; delete it, and its task runs again")
                last = int(key[-1]), int(value[-1])
                begin, end = np.searchsorted(key, np.uint64(low)), np.searchsorted(key, np.uint64(high), "right")
                yield key[begin:end], value[begin:end]


def sort(key: NDArray[np.uint64], value: NDArray[np.uint64]) -> Block:
    """The records in order. Many are sorted by pieces that stay in the cache, which are merged.

    By their keys first, which numpy has vectorized for one array of 64-bit numbers; then those of equal keys that are
    not in order by themselves. A fifth of the time of sorting by both at once, where few keys are equal.
    """
    if len(key) > SORTED_AT_ONCE:
        places = range(0, len(key), SORTED_AT_ONCE)
        return _merged([sort(key[i : i + SORTED_AT_ONCE], value[i : i + SORTED_AT_ONCE]) for i in places])
    order = np.argsort(key)
    key, value = key[order], value[order]
    equal = key[1:] == key[:-1]
    if (equal & (value[1:] < value[:-1])).any():
        tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
        value[tied] = value[tied][np.lexsort((value[tied], key[tied]))]
    return key, value


def merge(runs: Iterable[Iterable[Block]]) -> Iterator[Block]:
    """The records of all runs, each of which is sorted, in order. Memory: some five blocks a run.

    Time: about 10 ns a record for each doubling of the number of runs.
    """
    heads = [head for head in map(_Head, runs) if head.fill()]
    while heads:
        # What is not after the last record at hand of any run that goes on is complete.
        bound = min((head.last() for head in heads if not head.ended), default=(LARGEST, LARGEST))
        yield _merged([head.take(bound) for head in heads])
        heads = [head for head in heads if head.fill()]


def merge_many(runs: Sequence[Iterable[Block]], folder: Path) -> Iterator[Block]:
    """`merge` of any number of runs: where they are more than `FAN_IN`, by way of files in ``folder``."""
    parts: list[Iterable[Block]] = list(runs)
    while len(parts) > FAN_IN:
        path = folder / f"merged-{len(parts):06d}.sorted"
        with RecordWriter(path, ("key", "value")) as writer:
            writer.write("all", merge(parts[:FAN_IN]))
        parts = [*parts[FAN_IN:], RecordFile(os.fspath(path)).read()]
    return merge(parts)


def unique(blocks: Iterable[Block]) -> Iterator[Block]:
    """Sorted records without repeats."""
    last = None
    for key, value in blocks:
        if len(key) == 0:
            continue
        is_new = np.ones(len(key), np.bool_)
        is_new[1:] = (key[1:] != key[:-1]) | (value[1:] != value[:-1])
        is_new[0] = last != (key[0], value[0])
        last = key[-1], value[-1]
        yield key[is_new], value[is_new]


class Sorter:
    """Sorts records that come in any order, in bounded memory, and leaves out repeats.

    ``folder`` takes the parts that have been sorted; what was written there is deleted as soon as it has been merged.
    """

    def __init__(self, folder: Path, n_records: int = SORT_RECORDS) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._limit = folder, n_records
        self._held: list[Block] = []
        self._n_held = self._n_written = 0
        self._files: list[Path] = []

    def add(self, key: NDArray[np.uint64], value: NDArray[np.uint64]) -> None:
        """Errors: OSError when the disk is full."""
        self._held.append((key, value))
        self._n_held += len(key)
        if self._n_held >= self._limit:
            self._files.append(self._write([self._sorted()]))
        if len(self._files) == FAN_IN:
            self._files = [self._write(self._merged_files())]

    def blocks(self) -> Iterator[Block]:
        """All records in order, each once. Ends the sorter."""
        held = _resized([self._sorted()], BLOCK_RECORDS)
        return unique(merge([self._merged_files(), held] if self._files else [held]))

    def _sorted(self) -> Block:
        """What is held, in order; nothing is held from now on."""
        keys, values = [key for key, _ in self._held], [value for _, value in self._held]
        self._held, self._n_held = [], 0
        return sort(np.concatenate([*keys, _NOTHING]), np.concatenate([*values, _NOTHING]))

    def _write(self, blocks: Iterable[Block]) -> Path:
        path = self._folder / f"{self._n_written:06d}.sorted"
        self._n_written += 1
        with RecordWriter(path, ("key", "value")) as writer:
            writer.write("all", unique(blocks))
        return path

    def _merged_files(self) -> Iterator[Block]:
        """The records of the files written so far, which are deleted after the last record."""
        files, self._files = self._files, []
        yield from merge([RecordFile(os.fspath(path)).read() for path in files])
        for path in files:
            path.unlink()


class _Head:
    """The records at the head of a run that have not been taken: half a block at least, until the run has ended."""

    def __init__(self, run: Iterable[Block]) -> None:
        self._run = iter(run)
        self._key = self._value = _NOTHING
        self.ended = False

    def fill(self) -> bool:
        """Reads on where little is left: else the shortest head would decide how far a round goes. False at the end."""
        while len(self._key) < BLOCK_RECORDS // 2 and not self.ended:
            block = next(self._run, None)
            if block is None:
                self.ended = True
            elif len(self._key):
                self._key, self._value = (
                    np.concatenate(pair) for pair in zip((self._key, self._value), block, strict=True)
                )
            else:
                self._key, self._value = block
        return len(self._key) > 0

    def last(self) -> tuple[int, int]:
        return int(self._key[-1]), int(self._value[-1])

    def take(self, bound: tuple[int, int]) -> Block:
        """What is not after ``bound``."""
        key, value = np.uint64(bound[0]), np.uint64(bound[1])
        begin, end = np.searchsorted(self._key, key), np.searchsorted(self._key, key, "right")
        n = begin + np.searchsorted(self._value[begin:end], value, "right")
        taken = self._key[:n], self._value[:n]
        self._key, self._value = self._key[n:], self._value[n:]
        return taken


def _merged(blocks: Sequence[Block]) -> Block:
    """One block of several, merged by pairs."""
    while len(blocks) > 1:
        pairs = zip(blocks[::2], blocks[1::2], strict=False)
        rest = [blocks[-1]] if len(blocks) % 2 else []
        blocks = [*(_merge_two(*a, *b) for a, b in pairs), *rest]
    return blocks[0]


def _resized(blocks: Iterable[Block], n_records: int) -> Iterator[Block]:
    """The same records, in blocks of ``n_records`` but for the last."""
    held: list[Block] = []
    n_held = 0
    for block in blocks:
        held.append(block)
        n_held += len(block[0])
        if n_held >= n_records:
            key, value = (np.concatenate(column) for column in zip(*held, strict=True))
            n_whole = n_held - n_held % n_records
            for begin in range(0, n_whole, n_records):
                yield key[begin : begin + n_records], value[begin : begin + n_records]
            held, n_held = [(key[n_whole:], value[n_whole:])], n_held - n_whole
    if n_held:
        key, value = (np.concatenate(column) for column in zip(*held, strict=True))
        yield key, value


@kernel
def _merge_two(
    a_key: NDArray[np.uint64], a_value: NDArray[np.uint64], b_key: NDArray[np.uint64], b_value: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    n_a, n_b = len(a_key), len(b_key)
    key, value = np.empty(n_a + n_b, np.uint64), np.empty(n_a + n_b, np.uint64)
    a = b = 0
    while a < n_a and b < n_b:
        first = a_key[a] < b_key[b] or (a_key[a] == b_key[b] and a_value[a] <= b_value[b])
        key[a + b], value[a + b] = (a_key[a], a_value[a]) if first else (b_key[b], b_value[b])
        a, b = a + first, b + (not first)
    key[a + b : n_a + b], value[a + b : n_a + b] = a_key[a:], a_value[a:]
    key[n_a + b :], value[n_a + b :] = b_key[b:], b_value[b:]
    return key, value


@kernel
def _is_sorted(key: NDArray[np.uint64], value: NDArray[np.uint64]) -> bool:
    for i in range(1, len(key)):
        if key[i] < key[i - 1] or (key[i] == key[i - 1] and value[i] < value[i - 1]):
            return False
    return True
