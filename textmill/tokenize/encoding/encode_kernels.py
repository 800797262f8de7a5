"""Kernels of encoding: merging the bytes of a pretoken to tokens, and writing the tokens of a text.

The merges are a table of open addressing (linear probing, at most half full) from a pair of ids to what the pair is
worth: the rank of its merge in the upper 32 bits, the id that it makes in the lower. Of two values the smaller is to
be merged first. Most pairs that are looked up are not there, and a byte of their hash is enough to tell: those bytes
are in an array of their own, which stays in the processor's cache. Pairs of single bytes, with which every pretoken
begins, have a table without probing.

A pretoken of up to `SHORT` bytes is merged by looking for the smallest value again after each merge; that is quadratic,
and quickest where words are short. A longer one has a heap and takes O(n log n), with some 26 bytes of memory a byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, leaf
from textmill.tokenize.files.definition import N_BYTES

SHORT = 48  # bytes
NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)  # the value of a pair without a merge
NO_RANK = np.uint32(0xFFFFFFFF)
_HALF = np.uint64(32)
_LOW, _LOW31 = np.uint64(0xFFFFFFFF), np.uint64(0x7FFFFFFF)
MAX_INLINE, INLINE_BITS = 3, 20  # ids in an entry, and bits of each
_INLINE = np.uint64((1 << INLINE_BITS) - 1)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # the fraction of the golden ratio


class MergeTables(NamedTuple):
    """What kernels know of a tokenizer. `merge_tables` makes it."""

    byte_ids: NDArray[np.uint32]  # [256]
    byte_pairs: NDArray[np.uint64]  # [256 * 256], the value of each pair of bytes
    tags: NDArray[np.uint8]  # [slots], 0 where the slot is empty; their number is a power of two
    pairs: NDArray[np.uint64]  # [slots, 2], a pair of ids and its value


def merge_tables(
    byte_ids: NDArray[np.uint32], left: NDArray[np.uint32], right: NDArray[np.uint32], merged: NDArray[np.uint32]
) -> MergeTables:
    """The tables of merges in the order of their ranks; of two merges of one pair the first counts."""
    tags, pairs = empty_pairs(len(left))
    _fill_pairs(tags, pairs, left, right, merged)
    byte_pairs = np.empty(N_BYTES * N_BYTES, np.uint64)
    _fill_byte_pairs(tags, pairs, byte_ids, byte_pairs)
    return MergeTables(byte_ids, byte_pairs, tags, pairs)


def empty_pairs(n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """``tags`` and ``pairs`` with room for n merges."""
    n_slots = 1 << (2 * n).bit_length()
    return np.zeros(n_slots, np.uint8), np.empty((n_slots, 2), np.uint64)


@kernel
def _fill_pairs(
    tags: NDArray[np.uint8],
    pairs: NDArray[np.uint64],
    left: NDArray[np.uint32],
    right: NDArray[np.uint32],
    merged: NDArray[np.uint32],
) -> None:
    for rank in range(len(left)):
        if value_of(tags, pairs, left[rank], right[rank]) == NOTHING:
            put_pair(tags, pairs, left[rank], right[rank], rank, merged[rank])


@kernel
def _fill_byte_pairs(
    tags: NDArray[np.uint8], pairs: NDArray[np.uint64], byte_ids: NDArray[np.uint32], values: NDArray[np.uint64]
) -> None:
    for first in range(N_BYTES):
        for second in range(N_BYTES):
            values[first * N_BYTES + second] = value_of(tags, pairs, byte_ids[first], byte_ids[second])


@leaf
def value_of(tags: NDArray[np.uint8], pairs: NDArray[np.uint64], left: np.uint32, right: np.uint32) -> np.uint64:
    """The value of a pair of ids, `NOTHING` where no merge joins them."""
    pair = np.uint64(left) << _HALF | np.uint64(right)
    slot, tag = _slot_and_tag(pair, len(tags))
    while tags[slot] != 0:
        if tags[slot] == tag and pairs[slot, 0] == pair:
            return pairs[slot, 1]
        slot = (slot + 1) & (len(tags) - 1)
    return NOTHING


@leaf
def put_pair(
    tags: NDArray[np.uint8], pairs: NDArray[np.uint64], left: np.uint32, right: np.uint32, rank: int, merged: np.uint32
) -> None:
    """Enter a merge; its pair has none so far."""
    pair = np.uint64(left) << _HALF | np.uint64(right)
    slot, tag = _slot_and_tag(pair, len(tags))
    while tags[slot] != 0:
        slot = (slot + 1) & (len(tags) - 1)
    tags[slot] = tag
    pairs[slot, 0] = pair
    pairs[slot, 1] = np.uint64(rank) << _HALF | np.uint64(merged)


@leaf
def _slot_and_tag(pair: np.uint64, n_slots: int) -> tuple[np.int64, np.uint8]:
    """Where to begin looking for a pair, and the mark of its slot."""
    mixed = pair * _FACTOR
    return np.int64(mixed >> np.uint64(32)) & (n_slots - 1), np.uint8(mixed >> np.uint64(24)) | np.uint8(1)


# --- Merging ---


@kernel
def encode_pretokens(
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    first: int,
    byte_ids: NDArray[np.uint32],
    byte_pairs: NDArray[np.uint64],
    tags: NDArray[np.uint8],
    pairs: NDArray[np.uint64],
    entries: NDArray[np.uint64],
    ids: NDArray[np.uint32],
    n_ids: int,
) -> int:
    """Encode the pretokens from number ``first`` on; returns the new length of ``ids``, to which theirs are appended.

    ``ids`` must have room for one id a byte. ``entries`` gets one number a pretoken, as `_entry_of` makes it.
    """
    values = np.empty(SHORT, np.uint64)
    for number in range(first, len(starts) - 1):
        start, end = starts[number], starts[number + 1]
        for i in range(start, end):
            ids[n_ids + i - start] = byte_ids[arena[i]]
        if end - start <= SHORT:
            for i in range(start, end - 1):
                values[i - start] = byte_pairs[np.int64(arena[i]) * N_BYTES + np.int64(arena[i + 1])]
            n = merge_short(ids, n_ids, end - start, values, tags, pairs)
        else:
            n = merge_long(ids[n_ids : n_ids + end - start], tags, pairs)
        entries[number] = _entry_of(ids, n_ids, n)
        n_ids += n
    return n_ids


@leaf
def _entry_of(ids: NDArray[np.uint32], start: int, n: int) -> np.uint64:
    """The ``n`` ids from ``start`` on as one number.

    Up to three ids below 2**20, which nearly all pretokens have, are in it: their number in 2 bits, then 20 bits each.
    Otherwise the 2 bits are 0, then follow 31 bits with the number of ids and 31 with their start.
    """
    entry = np.uint64(n)
    for i in range(min(n, MAX_INLINE)):
        entry |= np.uint64(ids[start + i]) << np.uint64(2 + INLINE_BITS * i)
    for i in range(n):
        if n > MAX_INLINE or ids[start + i] >> INLINE_BITS:
            return np.uint64(n) << np.uint64(2) | np.uint64(start) << np.uint64(33)
    return entry


@leaf
def merge_short(
    ids: NDArray[np.uint32],
    start: int,
    n: int,
    values: NDArray[np.uint64],
    tags: NDArray[np.uint8],
    pairs: NDArray[np.uint64],
) -> int:
    """Merge the ``n`` ids from ``start`` on, in place; returns how many are left. ``values[i]`` is that of ids i, i+1.

    What stands behind the last pair's value is not read.
    """
    while n > 1:
        best, at = values[0], 0
        for i in range(1, n - 1):
            if values[i] < best:
                best, at = values[i], i
        if best == NOTHING:
            break
        n -= 1
        ids[start + at] = np.uint32(best & _LOW)
        for i in range(at + 1, n):
            ids[start + i] = ids[start + i + 1]
            values[i - 1] = values[i]
        if at > 0:
            values[at - 1] = value_of(tags, pairs, ids[start + at - 1], ids[start + at])
        if at + 1 < n:
            values[at] = value_of(tags, pairs, ids[start + at], ids[start + at + 1])
    return n


@kernel
def merge_long(ids: NDArray[np.uint32], tags: NDArray[np.uint8], pairs: NDArray[np.uint64]) -> int:
    """Merge ``ids`` in place; returns how many are left, at the front.

    The tokens form a linked list, each at the place of its first byte. The heap holds rank and place of the merges that
    may apply; an entry is void when the pair at its place has another rank by now.
    """
    n = len(ids)
    ranks = np.full(n, NO_RANK)
    following = np.arange(1, n + 1).astype(np.int32)
    previous = np.arange(-1, n - 1).astype(np.int32)
    heap = np.empty(2 * n, np.uint64)  # a merge takes one entry out and puts at most two in
    size = 0
    for i in range(n - 1):
        size = _push(heap, size, ids, ranks, tags, pairs, i, i + 1)
    while size > 0:
        entry = heap[0]
        size = _pop(heap, size)
        at = np.int64(entry & _LOW)
        if np.uint64(ranks[at]) != entry >> _HALF:
            continue
        gone = following[at]
        ids[at] = np.uint32(value_of(tags, pairs, ids[at], ids[gone]) & _LOW)
        ranks[at] = ranks[gone] = NO_RANK
        following[at] = following[gone]
        if following[at] < n:
            previous[following[at]] = at
            size = _push(heap, size, ids, ranks, tags, pairs, at, following[at])
        if previous[at] >= 0:
            size = _push(heap, size, ids, ranks, tags, pairs, previous[at], at)
    return _close_up(ids, following)


@leaf
def _close_up(ids: NDArray[np.uint32], following: NDArray[np.int32]) -> int:
    """Move the ids of the list to the front."""
    n, at = 0, 0
    while at < len(ids):
        ids[n] = ids[at]
        n += 1
        at = following[at]
    return n


@leaf
def _push(
    heap: NDArray[np.uint64],
    size: int,
    ids: NDArray[np.uint32],
    ranks: NDArray[np.uint32],
    tags: NDArray[np.uint8],
    pairs: NDArray[np.uint64],
    at: int,
    after: int,
) -> int:
    """Note the rank of the pair at ``at`` and ``after``, and put it on the heap if it has one; returns its size."""
    value = value_of(tags, pairs, ids[at], ids[after])
    ranks[at] = np.uint32(value >> _HALF)
    if value == NOTHING:
        return size
    entry = value >> _HALF << _HALF | np.uint64(at)
    hole = size
    while hole > 0 and heap[(hole - 1) >> 1] > entry:
        heap[hole] = heap[(hole - 1) >> 1]
        hole = (hole - 1) >> 1
    heap[hole] = entry
    return size + 1


@leaf
def _pop(heap: NDArray[np.uint64], size: int) -> int:
    """Take the smallest entry off the heap; returns its size."""
    size -= 1
    entry, hole = heap[size], 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[hole] = heap[child]
        hole = child
    heap[hole] = entry
    return size


# --- Writing the tokens of texts ---


@kernel
def gather(
    numbers: NDArray[np.int32],
    pretoken_ends: NDArray[np.int64],
    entries: NDArray[np.uint64],
    ids: NDArray[np.uint32],
    text_ends: NDArray[np.int64],
    tokens: NDArray[np.uint16] | NDArray[np.uint32],
    token_ends: NDArray[np.int64],
) -> np.int64:
    """Write the ids of all pretokens to ``tokens``, and where those of each text end; returns their number.

    Pretoken i has the entry of ``numbers[i]`` (see `_entry_of`) and ends at byte ``pretoken_ends[i]``. ``tokens`` must
    have room for `MAX_INLINE` more.
    """
    i, n = 0, np.int64(0)
    for text in range(len(text_ends)):
        while i < len(numbers) and pretoken_ends[i] <= text_ends[text]:
            entry = entries[numbers[i]]
            size = np.int64(entry & np.uint64(3))
            if size:  # all three places are written, whatever the size: that needs no decision
                tokens[n] = entry >> np.uint64(2) & _INLINE
                tokens[n + 1] = entry >> np.uint64(2 + INLINE_BITS) & _INLINE
                tokens[n + 2] = entry >> np.uint64(2 + 2 * INLINE_BITS)
            else:
                size, start = np.int64(entry >> np.uint64(2) & _LOW31), np.int64(entry >> np.uint64(33))
                for k in range(size):
                    tokens[n + k] = ids[start + k]
            n += size
            i += 1
        token_ends[text] = n
    return n
