"""Distinct byte strings, numbered in order of first appearance: what counting and encoding both stand on.

A pretoken of real text has mostly been seen before: of 10 million in 50 MB of manual pages, 267,000 are distinct. So
the hash table is made for finding. An entry holds the string itself when it is short (up to 15 bytes, which covers 99%
of English), so that finding it touches one place in memory and is exact; of a longer string it holds the hash, and the
bytes are compared. Hashes are salted anew in every process: text that is made to collide in one does not in the next,
and no result depends on the order of the table.

Costs 18 ns a pretoken of the manual pages once they are known, 150 where all are new; 48 to 96 bytes and the string for
each distinct one, half as much again while the table grows.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from textmill.bits import copy_bytes, enlarged, kernel, leaf, load, load_eight, prefetch, read_only, salted_hash
from textmill.errors import InvariantError

MAX_STRINGS = (1 << 31) - 1  # numbers are int32
_N_FIRST = 1 << 12  # strings that a new table has room for
_AT_ONCE = 32  # strings whose places are fetched while others are looked up: 17 ns a string instead of 39
_INLINE = 15  # bytes of a string that fit its entry, beside its size
_LONG = np.uint64(0xFF) << np.uint64(56)  # stands where the size of a short string does
# masks: which bytes of 16 are those of a short string
_FIRST = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(16)], np.uint64)
_SIZE = np.array([size << 56 for size in range(16)], np.uint64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Inventory:
    """The distinct strings seen so far. String i is ``arena[starts[i] : starts[i + 1]]``.

    ``arena`` and ``starts`` are views that hold until the next `number`.
    """

    def __init__(self) -> None:
        self._salt = np.uint64(secrets.randbits(64))
        self._slots = np.zeros(3 * 2 * _N_FIRST, np.uint64)  # by threes: head, tail with the size, number
        self._arena = np.empty(8 * _N_FIRST, np.uint8)
        self._starts = np.zeros(_N_FIRST + 1, np.int64)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def starts(self) -> NDArray[np.int64]:
        return self._starts[: self._n + 1]

    @property
    def arena(self) -> NDArray[np.uint8]:
        return self._arena[: self._starts[self._n]]

    @property
    def n_bytes(self) -> int:
        """Of memory."""
        return int(self._slots.nbytes + self._arena.nbytes + self._starts.nbytes)

    def number(self, data: NDArray[np.uint8], start: int, ends: NDArray[np.int64]) -> NDArray[np.int32]:
        """The number of each of the strings that lie end to end in ``data``, the first from ``start`` on.

        Strings that are new are added. None may be empty. Errors: `InvariantError` beyond `MAX_STRINGS`.
        """
        data, ends = read_only(data), read_only(ends)
        numbers = np.empty(len(ends), np.int32)
        k = 0
        while True:
            k, self._n = _number(
                data, start, ends, k, numbers, self._slots, self._salt, self._arena, self._starts, self._n
            )
            if k == len(ends):
                return numbers
            self._grow(int(ends[k] - (ends[k - 1] if k else start)))

    def _grow(self, size: int) -> None:
        """Make room for one more string, of ``size`` bytes."""
        if self._n == MAX_STRINGS:
            raise InvariantError(f"more than {MAX_STRINGS} different pretokens in one table")
        used = self._starts[self._n]
        if used + size > len(self._arena):
            self._arena = enlarged(self._arena, int(used), max(2 * len(self._arena), int(used) + size))
        if self._n + 1 == len(self._starts):
            n_strings = 2 * (len(self._starts) - 1)
            starts = enlarged(self._starts, self._n + 1, n_strings + 1)
            slots = np.zeros(3 * 2 * n_strings, np.uint64)
            _move(self._slots, slots, self._salt)
            self._starts, self._slots = starts, slots  # both or none: a table with more strings than slots has no end


@kernel
def _number(
    data: NDArray[np.uint8],
    start: int,
    ends: NDArray[np.int64],
    k: int,
    numbers: NDArray[np.int32],
    slots: NDArray[np.uint64],
    salt: np.uint64,
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    n: int,
) -> tuple[int, int]:
    """Numbers strings from the k-th on, until one is new and finds no room. Gives that one, and how many there are."""
    first, last, places = np.empty(_AT_ONCE, np.uint64), np.empty(_AT_ONCE, np.uint64), np.empty(_AT_ONCE, np.int64)
    begin = ends[k - 1] if k else start
    while k < len(ends):
        base, stop = k, min(k + _AT_ONCE, len(ends))
        _look_ahead(data, begin, ends, base, stop, slots, salt, first, last, places)
        while k < stop:
            end = ends[k]
            head, tail, i = first[k - base], last[k - base], places[k - base]
            while slots[i + 1] != 0:
                if slots[i] == head and slots[i + 1] == tail:
                    if tail < _LONG or _equal(data, begin, end, arena, starts[np.int64(slots[i + 2])]):
                        break
                i = i + 3 if i + 3 < len(slots) else 0
            if slots[i + 1] == 0:
                used = starts[n]
                if n + 1 == len(starts) or used + end - begin > len(arena):
                    return k, n
                slots[i], slots[i + 1], slots[i + 2] = head, tail, np.uint64(n)
                copy_bytes(arena, used, data, begin, end - begin)
                n += 1
                starts[n] = used + end - begin
            numbers[k] = np.int32(slots[i + 2])
            begin = end
            k += 1
    return k, n


@leaf
def _look_ahead(
    data: NDArray[np.uint8],
    begin: int,
    ends: NDArray[np.int64],
    k: int,
    stop: int,
    slots: NDArray[np.uint64],
    salt: np.uint64,
    first: NDArray[np.uint64],
    last: NDArray[np.uint64],
    places: NDArray[np.int64],
) -> None:
    """Writes the keys of strings k to ``stop`` and where to look for them, and has these places fetched."""
    for j in range(stop - k):
        end = ends[k + j]
        first[j], last[j] = _key(data, begin, end, salt)
        places[j] = _place(first[j], last[j], salt, len(slots))
        prefetch(slots, places[j])
        begin = end


@leaf
def _key(data: NDArray[np.uint8], begin: int, end: int, salt: np.uint64) -> tuple[np.uint64, np.uint64]:
    """What an entry holds of a string. The second is never 0."""
    size = end - begin
    if size > _INLINE:
        return salted_hash(data, begin, end, salt), _LONG | np.uint64(size)
    if begin + 16 <= len(data):
        return load_eight(data, begin) & _FIRST[size], load_eight(data, begin + 8) & _LAST[size] | _SIZE[size]
    if size <= 8:
        return load(data, begin, end), _SIZE[size]
    return load(data, begin, end), load(data, begin + 8, end) | _SIZE[size]


@leaf
def _place(first: np.uint64, last: np.uint64, salt: np.uint64, n_slots: int) -> int:
    """Where to begin looking among 3 · 2^k numbers."""
    value = (first ^ salt) * _FACTOR
    value = (value ^ (value >> np.uint64(32)) ^ last) * _FACTOR
    return 3 * int((value ^ (value >> np.uint64(29))) & np.uint64(n_slots // 3 - 1))


@leaf
def _equal(data: NDArray[np.uint8], begin: int, end: int, arena: NDArray[np.uint8], at: int) -> bool:
    """Whether a string of ``data`` stands at ``at`` in the arena, where one of its size does."""
    for i in range(begin, end, 8):
        if load(data, i, end) != load(arena, at + i - begin, at + end - begin):
            return False
    return True


@kernel
def _move(slots: NDArray[np.uint64], larger: NDArray[np.uint64], salt: np.uint64) -> None:
    """Fills a larger table, which is empty."""
    for k in range(0, len(slots), 3):
        if slots[k + 1] != 0:
            i = _place(slots[k], slots[k + 1], salt, len(larger))
            while larger[i + 1] != 0:
                i = i + 3 if i + 3 < len(larger) else 0
            larger[i], larger[i + 1], larger[i + 2] = slots[k], slots[k + 1], slots[k + 2]
