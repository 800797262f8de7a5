"""Where each pair of neighbouring symbols occurs, and how often. Kernels.

A hash table leads from two symbols to the number of their pair. The places of a pair lie together in one array, in
rising order: its own part of ``positions``, written once and never moved. Some are outdated; a look at the text tells.

Kernels that may meet the end of an array stop before that and say where; the caller makes the arrays larger.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, leaf
from textmill.tokenize.bpe.merge_text import BOUNDARY, FIRST_SYMBOL, Text, weight_of

NO_PAIR = -1
# What the state holds, an array of numbers that kernels change: tokens, pairs and entries of the queue so far, symbols
# of the text (by weight), and of the last merge the places and the different symbols to their left and right.
N_TOKENS, N_PAIRS, N_QUEUED, N_SYMBOLS, N_PLACES, N_LEFT, N_RIGHT, STATE_SIZE = range(8)

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # multiplied with it, the upper bits of a number become a hash


class Pairs(NamedTuple):
    """Pair k: its symbols, its count, and that its positions are ``positions[start[k] : end[k]]``.

    ``slots`` is the hash table, of a size that is a power of two, and never more than half full.
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    counts: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    slots: NDArray[np.int32]
    positions: NDArray[np.uint32]


@leaf
def find(pairs: Pairs, left: int, right: int) -> int:
    """The number of a pair, or NO_PAIR."""
    return pairs.slots[_slot_of(pairs, left, right)]


@leaf
def add(pairs: Pairs, pair: int, left: int, right: int) -> None:
    """Gives a number to a pair that has none."""
    pairs.slots[_slot_of(pairs, left, right)] = pair
    pairs.left[pair], pairs.right[pair] = left, right


@leaf
def _slot_of(pairs: Pairs, left: int, right: int) -> np.int64:
    """Where the hash table has the pair, or the free slot where it would go."""
    mask = np.int64(len(pairs.slots) - 1)
    slot = np.int64(_hash_of(left, right) & np.uint64(mask))
    while True:
        pair = pairs.slots[slot]
        if pair == NO_PAIR or (pairs.left[pair] == left and pairs.right[pair] == right):
            return slot
        slot = (slot + 1) & mask


@leaf
def _hash_of(left: int, right: int) -> np.uint64:
    return (np.uint64(left) << np.uint64(32) | np.uint64(right)) * _FACTOR >> np.uint64(28)


@kernel
def fill_slots(pairs: Pairs, n_pairs: int) -> None:
    """Enters the pairs in a hash table that is empty."""
    for pair in range(n_pairs):
        add(pairs, pair, pairs.left[pair], pairs.right[pair])


# --- The index of a whole text ---


@kernel
def bound_counts(text: Text, length: NDArray[np.int64], bounds: NDArray[np.int64]) -> np.int64:
    """Adds the weight of each place to the bound that its pair shares with others; no pair can occur more often.

    The number of bounds is a power of two. Returns their sum.
    """
    total = np.int64(0)
    left, cell = np.int64(BOUNDARY), np.int64(0)
    while cell < len(text.cells):
        symbol = np.int64(text.cells[cell])
        if left >= FIRST_SYMBOL and symbol >= FIRST_SYMBOL:
            weight = weight_of(text, cell)
            bounds[_hash_of(left, symbol) & np.uint64(len(bounds) - 1)] += weight
            total += weight
        left = symbol
        cell += length[symbol]
    return total


@kernel
def count_pairs(
    text: Text,
    length: NDArray[np.int64],
    bounds: NDArray[np.int64],
    floor: int,
    pairs: Pairs,
    state: NDArray[np.int64],
    first_cell: int,
) -> np.int64:
    """Numbers and counts the pairs that may occur ``floor`` times; ``end`` has how many places.

    Begins at ``first_cell``; returns where to go on when there is no room for another pair, else the number of cells.
    """
    left, left_cell, cell = np.int64(BOUNDARY), np.int64(first_cell), np.int64(first_cell)
    while cell < len(text.cells):
        symbol = np.int64(text.cells[cell])
        if _may_matter(bounds, left, symbol, floor):
            pair = np.int64(find(pairs, left, symbol))
            if pair == NO_PAIR:
                pair = state[N_PAIRS]
                if pair == len(pairs.counts):
                    return left_cell
                state[N_PAIRS] += 1
                add(pairs, pair, left, symbol)
                pairs.counts[pair] = pairs.end[pair] = 0
            pairs.counts[pair] += weight_of(text, cell)
            pairs.end[pair] += 1
        left, left_cell = symbol, cell
        cell += length[symbol]
    return cell


@leaf
def _may_matter(bounds: NDArray[np.int64], left: int, right: int, floor: int) -> bool:
    if left < FIRST_SYMBOL or right < FIRST_SYMBOL:
        return False
    return bounds[_hash_of(left, right) & np.uint64(len(bounds) - 1)] >= floor


@kernel
def allot(pairs: Pairs, n_pairs: int, floor: int) -> np.int64:
    """Gives the pairs that occur ``floor`` times room for their positions; returns the most places that one has."""
    start = most = np.int64(0)
    for pair in range(n_pairs):
        n = pairs.end[pair] if pairs.counts[pair] >= floor else np.int64(0)
        pairs.start[pair] = pairs.end[pair] = start
        start += n
        most = max(most, n)
    return most


@kernel
def place_pairs(text: Text, length: NDArray[np.int64], floor: int, pairs: Pairs) -> None:
    """Writes the positions of the pairs that occur ``floor`` times."""
    left, left_cell, cell = np.int64(BOUNDARY), np.int64(0), np.int64(0)
    while cell < len(text.cells):
        symbol = np.int64(text.cells[cell])
        if left >= FIRST_SYMBOL and symbol >= FIRST_SYMBOL:
            pair = find(pairs, left, symbol)
            if pair != NO_PAIR and pairs.counts[pair] >= floor:
                pairs.positions[pairs.end[pair]] = left_cell
                pairs.end[pair] += 1
        left, left_cell = symbol, cell
        cell += length[symbol]
