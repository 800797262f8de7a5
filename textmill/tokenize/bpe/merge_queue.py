"""Which pair to merge next: a heap of pairs by falling count, and the three rules for ties. Kernels.

An entry holds the count and the tie key that its pair had when it came in, and each pair has one entry at most. Both
get only worse with time, so an entry that comes up and is outdated goes back in with what holds now.

The tie key decides between equal counts, the smaller first. Under ``bytes`` it is made of the first eight bytes of the
left token, and equal keys are settled by the bytes of both tokens; under ``ids`` and ``first`` no two keys are equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, leaf
from textmill.tokenize.bpe.merge_text import FIRST_SYMBOL, Spelling
from textmill.tokenize.files.byte_alphabet import PLACES
from textmill.tokenize.files.definition import N_BYTES

N_CHILDREN = 4


class Queue(NamedTuple):
    """A heap with four children a node: of entry i the count, the tie key, the pair, and the symbols of the pair."""

    counts: NDArray[np.int64]
    tie: NDArray[np.uint64]
    pair: NDArray[np.int32]
    symbols: NDArray[np.int32]  # [entries, 2]


@leaf
def push(
    queue: Queue, n: int, spelling: Spelling, count: int, tie: np.uint64, pair: int, left: int, right: int
) -> None:
    """Adds an entry to the ``n`` there are."""
    hole = n
    while hole > 0:
        parent = (hole - 1) // N_CHILDREN
        if not _goes_first(queue, spelling, count, tie, left, right, parent):
            break
        _move(queue, parent, hole)
        hole = parent
    queue.counts[hole], queue.tie[hole], queue.pair[hole] = count, tie, pair
    queue.symbols[hole, 0], queue.symbols[hole, 1] = left, right


@leaf
def drop_first(queue: Queue, n: int, spelling: Spelling) -> None:
    """Removes the first of ``n`` entries: the last takes its place and sinks."""
    last = n - 1
    count, tie, left, right = queue.counts[last], queue.tie[last], queue.symbols[last, 0], queue.symbols[last, 1]
    hole = 0
    while True:
        child = N_CHILDREN * hole + 1
        if child >= last:
            break
        best = _first_of(queue, spelling, child, min(child + N_CHILDREN, last))
        if _goes_first(queue, spelling, count, tie, left, right, best):
            break
        _move(queue, best, hole)
        hole = best
    _move(queue, last, hole)


@leaf
def _first_of(queue: Queue, spelling: Spelling, entry: int, end: int) -> int:
    best = entry
    for other in range(entry + 1, end):
        left, right = queue.symbols[other, 0], queue.symbols[other, 1]
        if _goes_first(queue, spelling, queue.counts[other], queue.tie[other], left, right, best):
            best = other
    return best


@leaf
def _move(queue: Queue, entry: int, to: int) -> None:
    queue.counts[to], queue.tie[to], queue.pair[to] = queue.counts[entry], queue.tie[entry], queue.pair[entry]
    queue.symbols[to, 0], queue.symbols[to, 1] = queue.symbols[entry, 0], queue.symbols[entry, 1]


@leaf
def _goes_first(
    queue: Queue, spelling: Spelling, count: int, tie: np.uint64, left: int, right: int, entry: int
) -> bool:
    """Whether a pair goes before that of an entry."""
    if count != queue.counts[entry]:
        return count > queue.counts[entry]
    if tie != queue.tie[entry]:
        return tie < queue.tie[entry]
    order = _compare(spelling, left, queue.symbols[entry, 0])
    if order == 0:
        order = _compare(spelling, right, queue.symbols[entry, 1])
    return order > 0


@leaf
def _compare(spelling: Spelling, one: int, other: int) -> np.int64:
    """Positive when the bytes of symbol ``one`` sort after those of ``other``, 0 when they are the same."""
    start, other_start = spelling.example[one], spelling.example[other]
    size, other_size = spelling.length[one], spelling.length[other]
    for i in range(min(size, other_size) if one != other else 0):
        difference = np.int64(spelling.text[start + i]) - np.int64(spelling.text[other_start + i])
        if difference != 0:
            return difference
    return size - other_size


# --- Tie keys ---


@leaf
def tie_by_bytes(spelling: Spelling, symbol: int) -> np.uint64:
    """Smaller for pairs whose left symbol, this one, has bytes that sort later."""
    start, size = spelling.example[symbol], spelling.length[symbol]
    value = np.uint64(0)
    for i in range(8):
        value <<= np.uint64(8)
        if i < size:
            value |= np.uint64(spelling.text[start + i])
    return value ^ ALL_ONES


@leaf
def tie_by_ids(left: int, right: int) -> np.uint64:
    """Smaller for smaller ids, where those of bytes are Hugging Face's."""
    return np.uint64(_huggingface_id(left)) << np.uint64(32) | np.uint64(_huggingface_id(right))


@leaf
def _huggingface_id(symbol: int) -> np.int64:
    """The id of a symbol where bytes are numbered as the alphabet of GPT-2 has them."""
    token = np.int64(symbol) - FIRST_SYMBOL
    return token if token >= N_BYTES else PLACES[token]
