"""The merges of BPE training, one after the other. Kernels.

A merge looks at the places of its pair in rising order. It rewrites those that are still right, and adds up what stands
to their left and right, by symbol. Then each different neighbour costs one look-up to lower the count of the pair that
broke, and gives one new pair, whose count and places are known in full: a new pair is made once, at one go.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, leaf
from textmill.tokenize.bpe.merge_index import (
    N_LEFT,
    N_PAIRS,
    N_PLACES,
    N_QUEUED,
    N_RIGHT,
    N_SYMBOLS,
    N_TOKENS,
    NO_PAIR,
    Pairs,
    add,
    find,
)
from textmill.tokenize.bpe.merge_queue import Queue, drop_first, push, tie_by_bytes, tie_by_ids
from textmill.tokenize.bpe.merge_text import FIRST_SYMBOL, INSIDE, Spelling, Text, weight_of
from textmill.tokenize.files.definition import N_BYTES

BYTES, IDS, FIRST = 0, 1, 2  # the rules for ties
DONE, PAUSED, FULL = 0, 1, 2  # why merging stopped
LEFT_WEIGHT, LEFT_N, RIGHT_WEIGHT, RIGHT_N = 0, 1, 2, 3  # columns of `Neighbours.sums`
LEFT_AT, RIGHT_AT = LEFT_N, RIGHT_N  # the same columns, once they say where the next position goes
BLOCK = 512  # places that are looked at before the first of them is rewritten
MERGE_WORK = 16  # what a merge costs besides its places, in places


class Neighbours(NamedTuple):
    """What stands beside the places of a merge."""

    sums: NDArray[np.int64]  # [symbols, 4], all 0 between merges
    met: NDArray[np.int32]  # [2, symbols]: those to the left, and those to the right, each once
    beside: NDArray[np.int32]  # [places, 2]


@kernel
def queue_pairs(
    spelling: Spelling, pairs: Pairs, queue: Queue, state: NDArray[np.int64], rule: int, floor: int
) -> None:
    """Queues the pairs that occur ``floor`` times, in an empty queue."""
    state[N_QUEUED] = 0
    for pair in range(state[N_PAIRS]):
        if pairs.counts[pair] >= floor:
            _queue_pair(spelling, pairs, queue, state, rule, pair)


@kernel
def merge_some(
    text: Text,
    spelling: Spelling,
    pairs: Pairs,
    queue: Queue,
    near: Neighbours,
    state: NDArray[np.int64],
    rule: int,
    floor: int,
    n_places: int,
    merges: NDArray[np.int32],
    n_symbols: NDArray[np.int64],
) -> int:
    """Makes merges until all are made or no pair occurs ``floor`` times: DONE. Earlier when there may be no room for
    the next one's pairs: FULL, or when it has looked at ``n_places``: PAUSED."""
    seen = 0
    while state[N_TOKENS] < N_BYTES + len(n_symbols):
        pair = _next_pair(text, spelling, pairs, queue, state, rule, floor)
        if pair == NO_PAIR:
            return DONE
        n = pairs.end[pair] - pairs.start[pair]
        if seen >= n_places:
            return PAUSED
        if state[N_PAIRS] + 2 * min(n, state[N_TOKENS] + 1) > len(pairs.counts):  # the token may be beside itself
            return FULL
        seen += n + MERGE_WORK
        drop_first(queue, state[N_QUEUED], spelling)
        state[N_QUEUED] -= 1
        merge = state[N_TOKENS] - N_BYTES
        merges[0, merge], merges[1, merge] = pairs.left[pair] - FIRST_SYMBOL, pairs.right[pair] - FIRST_SYMBOL
        _rewrite(text, spelling, pairs, near, state, pair)
        _update_pairs(spelling, pairs, queue, near, state, rule, floor, pair)
        state[N_TOKENS] += 1
        n_symbols[merge] = state[N_SYMBOLS]
    return DONE


# --- The queue ---


@leaf
def _next_pair(
    text: Text, spelling: Spelling, pairs: Pairs, queue: Queue, state: NDArray[np.int64], rule: int, floor: int
) -> np.int64:
    """The pair at the head of the queue, once its entry is right; NO_PAIR when none occurs ``floor`` times."""
    while state[N_QUEUED] > 0 and queue.counts[0] >= floor:
        pair = np.int64(queue.pair[0])
        right = pairs.counts[pair] == queue.counts[0]
        if rule == FIRST and not _pass_outdated(text, spelling, pairs, pair):
            right = False
        if right:
            return pair
        drop_first(queue, state[N_QUEUED], spelling)
        state[N_QUEUED] -= 1
        if pairs.counts[pair] >= floor:
            _queue_pair(spelling, pairs, queue, state, rule, pair)
    return np.int64(NO_PAIR)


@leaf
def _pass_outdated(text: Text, spelling: Spelling, pairs: Pairs, pair: int) -> bool:
    """Drops positions until the first one holds; gives whether it did before."""
    left, right = np.int64(pairs.left[pair]), np.int64(pairs.right[pair])
    first = pairs.start[pair]
    while pairs.start[pair] < pairs.end[pair]:
        cell = np.int64(pairs.positions[pairs.start[pair]])
        if text.cells[cell] == left and text.cells[cell + spelling.length[left]] == right:
            break
        pairs.start[pair] += 1
    return pairs.start[pair] == first


@leaf
def _queue_pair(spelling: Spelling, pairs: Pairs, queue: Queue, state: NDArray[np.int64], rule: int, pair: int) -> None:
    left, right = np.int64(pairs.left[pair]), np.int64(pairs.right[pair])
    if rule == BYTES:
        tie = tie_by_bytes(spelling, left)
    elif rule == IDS:
        tie = tie_by_ids(left, right)
    else:
        tie = np.uint64(pairs.positions[pairs.start[pair]])
    push(queue, state[N_QUEUED], spelling, pairs.counts[pair], tie, pair, left, right)
    state[N_QUEUED] += 1


# --- One merge ---


@leaf
def _rewrite(
    text: Text, spelling: Spelling, pairs: Pairs, near: Neighbours, state: NDArray[np.int64], pair: int
) -> None:
    """Joins a pair wherever it occurs, from left to right. Its positions become those of the joined symbol."""
    left, right = np.int64(pairs.left[pair]), np.int64(pairs.right[pair])
    first, end = pairs.start[pair], pairs.end[pair]
    symbol = state[N_TOKENS] + FIRST_SYMBOL
    spelling.length[symbol] = spelling.length[left] + spelling.length[right]
    state[N_PLACES] = state[N_LEFT] = state[N_RIGHT] = 0
    for block in range(first, end, BLOCK):
        to = first + state[N_PLACES]
        n = _hold(text, pairs, left, right, spelling.length[left], block, min(block + BLOCK, end), to)
        _join(text, pairs, near, state, symbol, spelling.length[left], spelling.length[symbol], to, n)
        state[N_PLACES] += n
    spelling.example[symbol] = pairs.positions[first]


@leaf
def _hold(text: Text, pairs: Pairs, left: int, right: int, left_length: int, entry: int, end: int, to: int) -> np.int64:
    """Moves those of some positions that still hold to ``positions[to:]``; gives their number.

    Without a branch, so that the processor waits for many cells at a time.
    """
    n = np.int64(0)
    free = np.int64(0)  # where the last one ends: of three equal symbols the first two are joined
    for i in range(entry, end):
        cell = np.int64(pairs.positions[i])
        holds = np.int64((text.cells[cell] == left) & (text.cells[cell + left_length] == right) & (cell >= free))
        pairs.positions[to + n] = cell
        free = cell + 2 * left_length if holds and left == right else free
        n += holds
    return n


@leaf
def _join(
    text: Text,
    pairs: Pairs,
    near: Neighbours,
    state: NDArray[np.int64],
    symbol: int,
    left_length: int,
    length: int,
    to: int,
    n: int,
) -> None:
    """Rewrites ``n`` places and adds up what is beside them."""
    cells, sums = text.cells, near.sums
    place = state[N_PLACES]
    for i in range(to, to + n):
        cell = np.int64(pairs.positions[i])
        before, behind = np.int64(cells[cell - 1]), np.int64(cells[cell + length])
        cells[cell + left_length] = INSIDE
        cells[cell] = cells[cell + length - 1] = symbol
        weight = weight_of(text, cell)
        near.beside[place, 0], near.beside[place, 1] = before, behind
        place += 1
        if sums[before, LEFT_N] == 0:
            near.met[0, state[N_LEFT]] = before
            state[N_LEFT] += 1
        if sums[behind, RIGHT_N] == 0:
            near.met[1, state[N_RIGHT]] = behind
            state[N_RIGHT] += 1
        sums[before, LEFT_N] += 1
        sums[before, LEFT_WEIGHT] += weight
        sums[behind, RIGHT_N] += 1
        sums[behind, RIGHT_WEIGHT] += weight
        state[N_SYMBOLS] -= weight


@leaf
def _update_pairs(
    spelling: Spelling,
    pairs: Pairs,
    queue: Queue,
    near: Neighbours,
    state: NDArray[np.int64],
    rule: int,
    floor: int,
    pair: int,
) -> None:
    """Lowers the counts of the pairs that a merge broke, and adds and queues those that it made."""
    n_before = state[N_PAIRS]
    _change_left(pairs, near, state, floor, pair)
    _change_right(pairs, near, state, floor, pair)
    pairs.counts[pair] = 0
    if state[N_PAIRS] > n_before:
        _write_positions(spelling, pairs, near, state, pairs.start[pair])
    for new_pair in range(n_before, state[N_PAIRS]):
        _queue_pair(spelling, pairs, queue, state, rule, new_pair)
    for side, n in enumerate((state[N_LEFT], state[N_RIGHT])):
        for i in range(n):
            near.sums[near.met[side, i]] = 0


@leaf
def _change_left(pairs: Pairs, near: Neighbours, state: NDArray[np.int64], floor: int, pair: int) -> None:
    """Of "before left right", "before left" is broken, and "before symbol" is new."""
    left, symbol = np.int64(pairs.left[pair]), state[N_TOKENS] + FIRST_SYMBOL
    for i in range(state[N_LEFT]):
        before = np.int64(near.met[0, i])
        weight, n = near.sums[before, LEFT_WEIGHT], near.sums[before, LEFT_N]
        near.sums[before, LEFT_AT] = NO_PAIR
        if before < FIRST_SYMBOL:
            continue
        _lower(pairs, before, left, weight)  # of the symbol itself, which has no pairs yet: nothing
        near.sums[before, LEFT_AT] = _add_counted(pairs, state, floor, before, symbol, weight, n)


@leaf
def _change_right(pairs: Pairs, near: Neighbours, state: NDArray[np.int64], floor: int, pair: int) -> None:
    """Of "left right behind", "right behind" is broken, and "symbol behind" is new."""
    left, right, symbol = np.int64(pairs.left[pair]), np.int64(pairs.right[pair]), state[N_TOKENS] + FIRST_SYMBOL
    for i in range(state[N_RIGHT]):
        behind = np.int64(near.met[1, i])
        weight, n = near.sums[behind, RIGHT_WEIGHT], near.sums[behind, RIGHT_N]
        near.sums[behind, RIGHT_AT] = NO_PAIR
        if behind < FIRST_SYMBOL:
            continue
        _lower(pairs, right, behind, weight)
        if behind == left:  # where the next place followed at once, it has become "symbol symbol"
            weight -= near.sums[symbol, LEFT_WEIGHT]
        near.sums[behind, RIGHT_AT] = _add_counted(pairs, state, floor, symbol, behind, weight, n)


@leaf
def _lower(pairs: Pairs, left: int, right: int, weight: int) -> None:
    pair = find(pairs, left, right)
    if pair != NO_PAIR:
        pairs.counts[pair] -= weight


@leaf
def _add_counted(
    pairs: Pairs, state: NDArray[np.int64], floor: int, left: int, right: int, count: int, n: int
) -> np.int64:
    """A new pair with room for ``n`` positions; gives where they go, or NO_PAIR when it occurs too seldom."""
    if count < floor:
        return np.int64(NO_PAIR)
    pair = state[N_PAIRS]
    state[N_PAIRS] += 1
    add(pairs, pair, left, right)
    pairs.counts[pair] = count
    pairs.start[pair] = pairs.end[pair - 1]
    pairs.end[pair] = pairs.start[pair] + n
    return pairs.start[pair]


@leaf
def _write_positions(spelling: Spelling, pairs: Pairs, near: Neighbours, state: NDArray[np.int64], first: int) -> None:
    """Writes where the new pairs are. ``first`` is where the positions of the merge begin."""
    sums = near.sums
    for i in range(state[N_PLACES]):
        cell = np.int64(pairs.positions[first + i])
        before, behind = np.int64(near.beside[i, 0]), np.int64(near.beside[i, 1])
        if sums[before, LEFT_AT] != NO_PAIR:
            pairs.positions[sums[before, LEFT_AT]] = cell - spelling.length[before]
            sums[before, LEFT_AT] += 1
        if sums[behind, RIGHT_AT] != NO_PAIR:
            pairs.positions[sums[behind, RIGHT_AT]] = cell
            sums[behind, RIGHT_AT] += 1
