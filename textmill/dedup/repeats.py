"""Pieces of text that occur more than once in a whole set of files, in bounded memory.

Pieces (lines, paragraphs, texts) are numbered in the order in which they come. Each gives a record of 88 bits of hash
and its number; sorted by hash, equal pieces lie side by side. What is to go is sorted again, by number, so that a
second pass over the files meets it in order. Two different pieces share a hash with a chance of n**2 / 2**89
for n pieces: one in a billion for a billion lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.bits import hash_begin, hash_end, hash_step, kernel, load
from textmill.dedup import records
from textmill.errors import UnknownNameError, UserError

KEEP = ("first", "none")  # of pieces that are equal: the first, or no copy at all
NUMBER_BITS = np.uint64(40)
MOST_PIECES = 1 << int(NUMBER_BITS)
_NUMBER = np.uint64(MOST_PIECES - 1)
_NOTHING, _STAYS, _GOES = np.uint64(0), np.uint64(1), np.uint64(2)
_OTHER_SEED = 0x2545F4914F6CDD1D  # of the second hash, of which 24 bits are used


def check_keep(keep: str) -> None:
    """Errors: `UnknownNameError` for a ``keep`` that is none of `KEEP`."""
    if keep not in KEEP:
        raise UnknownNameError("copies to keep:", keep, KEEP)


class Repeats:
    """Finds out which pieces to remove: first `add` them all, then ask `removed` for ascending ranges of numbers.

    ``folder`` takes files while it works; memory is that of two `records.Sorter`.
    """

    def __init__(self, folder: Path, keep: str, n_records: int = records.SORT_RECORDS) -> None:
        check_keep(keep)
        self.keep, self.n_pieces = keep, 0
        self._sorter = records.Sorter(folder / "pieces", n_records)
        self._removed = records.Sorter(folder / "removed", n_records)
        self._blocks: Iterator[records.Block] | None = None
        self._ahead = np.empty(0, np.uint64)

    def add(self, data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        """The next pieces, ``data[start[i]:end[i]]``. Errors: `UserError` when they are too many."""
        key, value = np.empty((2, len(start)), np.uint64)
        _hash_pieces(data, start, end, np.uint64(self.n_pieces), key, value)
        self.n_pieces += len(start)
        if self.n_pieces > MOST_PIECES:
            raise UserError(f"more than {MOST_PIECES:,} pieces of text; take fewer files at once")
        self._sorter.add(key, value)

    def removed(self, n: int) -> NDArray[np.bool_]:
        """For each of the next ``n`` pieces, in the order in which they were added, whether it is to go."""
        if self._blocks is None:
            for numbers in repeated(self._sorter.blocks(), self.keep):
                self._removed.add(numbers, np.zeros_like(numbers))
            self._blocks, self._next = self._removed.blocks(), 0
        flags = np.zeros(n, np.bool_)
        stop = np.uint64(self._next + n)
        while True:
            n_here = int(np.searchsorted(self._ahead, stop))
            flags[self._ahead[:n_here].astype(np.int64) - self._next] = True
            self._ahead = self._ahead[n_here:]
            block = next(self._blocks, None) if len(self._ahead) == 0 else None
            if block is None:
                break
            self._ahead = block[0]
        self._next += n
        return flags


def repeated(blocks: Iterable[records.Block], keep: str) -> Iterator[NDArray[np.uint64]]:
    """The numbers of the pieces to remove, of sorted records."""
    group = np.array([0, 0, _NOTHING], np.uint64)  # the last record, and what became of it
    for key, value in blocks:
        numbers = np.empty(2 * len(key), np.uint64)
        yield numbers[: _find_repeated(key, value, keep == "none", group, numbers)]


@kernel
def _find_repeated(
    key: NDArray[np.uint64],
    value: NDArray[np.uint64],
    all_copies: bool,
    group: NDArray[np.uint64],
    numbers: NDArray[np.uint64],
) -> int:
    n = 0
    last_key, last_value, last = group
    for i in range(len(key)):
        equal = key[i] == last_key and value[i] >> NUMBER_BITS == last_value >> NUMBER_BITS
        if equal and last != _NOTHING:
            if all_copies and last == _STAYS:
                numbers[n] = last_value & _NUMBER
                n += 1
            numbers[n] = value[i] & _NUMBER
            n += 1
            last = _GOES
        else:
            last = _STAYS
        last_key, last_value = key[i], value[i]
    group[:] = last_key, last_value, last
    return n


@kernel
def _hash_pieces(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    number: np.uint64,
    key: NDArray[np.uint64],
    value: NDArray[np.uint64],
) -> None:
    for i in range(len(start)):
        size = end[i] - start[i]
        one, other = hash_begin(size), hash_begin(size ^ _OTHER_SEED)
        for at in range(start[i], end[i], 8):
            eight = load(data, at, end[i])
            one, other = hash_step(one, eight), hash_step(other, eight)
        key[i] = hash_end(one)
        value[i] = hash_end(other) >> NUMBER_BITS << NUMBER_BITS | (number + np.uint64(i))
