"""From the counts of pretokens to the merges of a byte-pair encoding: exact, and nearly linear in the text.

The algorithm is that of Sennrich et al. (2016, arXiv 1508.07909) on bytes: the most frequent pair of neighbouring
symbols is joined everywhere, from left to right, and again. Counts are kept up to date, never counted anew, in 64 bits.
Pairs that overlap ("aaa" holds "aa" twice) all count. No two merges make the same bytes: how a piece of text is joined
depends on its own bytes alone, as long as no merge crosses its ends.

Ties between pairs of equal count:

- ``bytes``: the greatest pair of byte strings, compared as Python compares tuples (the rule of Stanford's CS336).
- ``ids``: the smallest pair of ids, where bytes are numbered in the order of the characters that GPT-2 writes for them.
  These are the merges of Hugging Face's trainer with the byte-level alphabet.
- ``first``: the pair whose first occurrence begins first in the pretokens, in the order given, as they are joined so
  far. With pretokens in order of first appearance these are the merges of tiktoken's educational trainer.

What makes it fast: text, places and counts lie in flat arrays (`merge_text`, `merge_index`); a merge goes through its
places in rising order and touches the table of pairs once for each different neighbour, not for each place
(`merge_kernels`); the queue is lazy (`merge_queue`); and **pairs too rare to matter are left out**. The count of a pair
never rises once both its symbols exist, so what falls below a floor stays there. The floor is a guess at what the last
merge needs; when nothing above it is left, the rest of the text is indexed anew with a lower one. The result does not
depend on the guess.

Costs on one core, for 32,000 merges: 267,000 different pretokens (50 MB of manual pages) half a second, a million (12
MB of them) 1.3 s and 480 MB in the whole process, eight million (109 MB) 14 s and 1.6 GB. Compiling takes 11 s, once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from textmill.bits import enlarged
from textmill.errors import UnknownNameError, UserError
from textmill.tokenize.bpe import merge_index as index
from textmill.tokenize.bpe import merge_kernels as kernels
from textmill.tokenize.bpe.merge_index import N_PAIRS, N_SYMBOLS, N_TOKENS, NO_PAIR, STATE_SIZE, Pairs
from textmill.tokenize.bpe.merge_kernels import DONE, FULL, Neighbours
from textmill.tokenize.bpe.merge_queue import Queue
from textmill.tokenize.bpe.merge_text import lay_out
from textmill.tokenize.files.definition import N_BYTES

TIE_BREAKS = {"bytes": kernels.BYTES, "ids": kernels.IDS, "first": kernels.FIRST}

MOST_BYTES = 1 << 32  # of different pretokens, with one more for each: what a position can say
SLICE_PLACES = 1 << 18  # a kernel returns after so many, some hundredths of a second, for progress and interrupts
FLOOR_FRAC = 1 / 64  # the first floor, of the pairs there are for each merge that is wanted
FEW_MERGES = 1 << 10  # for fewer, the floor is that for so many
FLOOR_STEP = 8
N_BOUNDS = 1 << 20
N_PAIRS_AT_FIRST = 1 << 14
SLOTS_PER_PAIR = 4

Merged = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]


def train_merges(
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    n_merges: int,
    tie_break: str = "bytes",
    on_merge: Callable[[int], None] | None = None,
) -> Merged:
    """At most ``n_merges`` merges of the pretokens ``arena[starts[i]:starts[i + 1]]``, which occur ``counts[i]`` times.

    Returns the ids left and right of each merge (int32 [merges]), and how many tokens the whole text has after it
    (int64 [merges]). Ids 0 to 255 are the bytes, merge k makes id 256 + k; there are fewer merges when no pair is left.
    ``on_merge`` gets the number of merges so far, now and then. Errors: `UserError`, `UnknownNameError`.
    """
    if tie_break not in TIE_BREAKS:
        raise UnknownNameError("tie-break", tie_break, TIE_BREAKS)
    _check(arena, starts, counts)
    return _Training(arena, starts, counts, n_merges, TIE_BREAKS[tie_break]).run(on_merge or (lambda _: None))


def _check(arena: NDArray[np.uint8], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    sizes = np.diff(starts)
    if len(sizes) != len(counts) or starts[0] < 0 or starts[-1] > len(arena) or (sizes < 0).any():
        raise UserError(f"starts of {len(counts)} pretokens: not rising bounds in {len(arena)} bytes")
    if (counts < 0).any():
        raise UserError(f"counts of pretokens: {counts.min()} is below 0")
    if float(counts.astype(np.float64) @ sizes) >= 2**62:
        raise UserError("counts of pretokens: the text has 2**62 bytes or more, too many for 64-bit counts")
    if len(starts) + int(sizes.sum()) > MOST_BYTES:
        raise UserError(
            f"{len(counts):,} different pretokens of {int(sizes.sum()):,} bytes: at most 4 GB; give less text"
        )


class _Training:
    """The arrays that the kernels share."""

    def __init__(
        self,
        arena: NDArray[np.uint8],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
        n_merges: int,
        rule: int,
    ) -> None:
        sizes = np.diff(starts)
        n_merges = max(0, min(n_merges, int(sizes.sum())))  # each takes a symbol
        self._rule = rule
        keep_order = rule == kernels.FIRST
        self._text, self._spelling = lay_out(arena, starts, counts, N_BYTES + n_merges, keep_order)
        self._state = np.zeros(STATE_SIZE, np.int64)
        self._state[N_TOKENS] = N_BYTES
        self._state[N_SYMBOLS] = counts @ sizes
        self._n_places = int(counts @ np.maximum(sizes - 1, 0))  # of any pair, by weight
        self._merges = np.empty((2, n_merges), np.int32)
        self._n_symbols = np.empty(n_merges, np.int64)

    @property
    def n_made(self) -> int:
        return int(self._state[N_TOKENS]) - N_BYTES

    def run(self, on_merge: Callable[[int], None]) -> Merged:
        """Merges with falling floors until all merges are made or nothing is left."""
        n_wanted, floor = len(self._n_symbols), FLOOR_STEP * self._n_places
        while self.n_made < n_wanted and self._n_places > 0 and floor > 1:
            bounds = self._bound_counts()
            guess = int(self._n_places * FLOOR_FRAC / max(n_wanted - self.n_made, FEW_MERGES))
            floor = max(1, min(guess, floor // FLOOR_STEP))
            self._index_pairs(floor, bounds)
            self._merge(floor, on_merge)
        n = self.n_made
        return self._merges[0, :n], self._merges[1, :n], self._n_symbols[:n]

    def _bound_counts(self) -> NDArray[np.int64]:
        """What keeps rare pairs from being counted one by one; see `merge_index.bound_counts`."""
        if self.n_made == 0:
            return np.full(1, self._n_places)  # pairs of bytes are few: all may be counted
        bounds = np.zeros(N_BOUNDS, np.int64)
        self._n_places = index.bound_counts(self._text, self._spelling.length, bounds)
        return bounds

    def _index_pairs(self, floor: int, bounds: NDArray[np.int64]) -> None:
        """Finds the places of all pairs that occur ``floor`` times, and queues these pairs."""
        text, length = self._text, self._spelling.length
        # A merge takes a place, and gives new pairs two positions: three for each cell are never too few. Those that
        # are never written take no memory.
        positions = np.empty(3 * len(text.cells), np.uint32)
        self._pairs = _no_pairs(N_PAIRS_AT_FIRST, positions)
        self._count_pairs(floor, bounds)
        most_places = index.allot(self._pairs, self._state[N_PAIRS], floor)
        index.place_pairs(text, length, floor, self._pairs)
        n_symbols = len(length)
        self._near = Neighbours(
            np.zeros((n_symbols, 4), np.int64), np.empty((2, n_symbols), np.int32), np.empty((most_places, 2), np.int32)
        )
        self._queue = _no_queue(len(self._pairs.counts))
        kernels.queue_pairs(self._spelling, self._pairs, self._queue, self._state, self._rule, floor)

    def _count_pairs(self, floor: int, bounds: NDArray[np.int64]) -> None:
        self._state[N_PAIRS] = cell = 0
        while True:
            cell = index.count_pairs(self._text, self._spelling.length, bounds, floor, self._pairs, self._state, cell)
            if cell >= len(self._text.cells):
                return
            self._pairs = _more_pairs(self._pairs, int(self._state[N_PAIRS]), 1)

    def _merge(self, floor: int, on_merge: Callable[[int], None]) -> None:
        """Makes the merges of pairs that occur ``floor`` times, a slice at a time."""
        status = FULL
        while status != DONE:
            status = kernels.merge_some(
                self._text,
                self._spelling,
                self._pairs,
                self._queue,
                self._near,
                self._state,
                self._rule,
                floor,
                SLICE_PLACES,
                self._merges,
                self._n_symbols,
            )
            on_merge(self.n_made)
            if status == FULL:
                self._pairs = _more_pairs(self._pairs, int(self._state[N_PAIRS]), 2 * int(self._state[N_TOKENS] + 1))
                self._queue = _more_queue(self._queue, len(self._pairs.counts))


def _no_pairs(size: int, positions: NDArray[np.uint32]) -> Pairs:
    (left, right), (counts, start, end) = np.empty((2, size), np.int32), np.empty((3, size), np.int64)
    return Pairs(left, right, counts, start, end, _no_slots(size), positions)


def _more_pairs(pairs: Pairs, n_pairs: int, n_more: int) -> Pairs:
    """Room for ``n_more`` pairs at least, and for twice as many as before."""
    size = 2 * len(pairs.counts)
    while size < n_pairs + n_more:
        size *= 2
    left, right = (enlarged(array, len(array), size) for array in (pairs.left, pairs.right))
    counts, start, end = (enlarged(array, len(array), size) for array in (pairs.counts, pairs.start, pairs.end))
    larger = Pairs(left, right, counts, start, end, _no_slots(size), pairs.positions)
    index.fill_slots(larger, n_pairs)
    return larger


def _no_slots(n_pairs: int) -> NDArray[np.int32]:
    return np.full(SLOTS_PER_PAIR * n_pairs, NO_PAIR, np.int32)


def _no_queue(size: int) -> Queue:
    symbols = np.empty((size, 2), np.int32)
    return Queue(np.empty(size, np.int64), np.empty(size, np.uint64), np.empty(size, np.int32), symbols)


def _more_queue(queue: Queue, size: int) -> Queue:
    n = len(queue.counts)
    counts, ties = enlarged(queue.counts, n, size), enlarged(queue.tie, n, size)
    return Queue(counts, ties, enlarged(queue.pair, n, size), enlarged(queue.symbols, n, size))
