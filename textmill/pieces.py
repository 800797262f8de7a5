"""What is in pieces of text: their hash, their number of characters, and the classes of these."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    byte_mask,
    count_ones,
    hash_begin,
    hash_end,
    hash_step,
    inner,
    kernel,
    load,
    load_eight,
    lowest_one,
)
from textmill.characters import BEGINS_ALNUM, LETTER, NUMBER, SPACE, character_classes, decode_before


class Measures(NamedTuple):
    """Of pieces, [pieces]; see `textmill.text.Spans`."""

    hash: NDArray[np.uint64]
    n_chars: NDArray[np.int32]
    classes: NDArray[np.uint8]


def hashes_and_lengths(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Those of the pieces ``data[start[k]:end[k]]``."""
    hashes, n_chars = np.empty(len(start), np.uint64), np.empty(len(start), np.int32)
    _hash_and_count(data, start, end, hashes, n_chars)
    return hashes, n_chars


def classes_within(data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The classes of the characters of each piece, and `BEGINS_ALNUM`."""
    found = np.empty(len(start), np.uint8)
    _find_classes(data, start, end, character_classes(), found)
    return found


def blank(data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pieces are empty or nothing but whitespace; of nearly all others, only the first character is read."""
    found = np.empty(len(start), np.bool_)
    _find_blank(data, start, end, character_classes(), found)
    return found


@kernel
def _hash_and_count(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    n_chars: NDArray[np.int32],
) -> None:
    for k in range(len(start)):
        hashes[k], n_chars[k] = hash_and_length(data, start[k], end[k])


@kernel
def _find_classes(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    classes: NDArray[np.uint8],
    found: NDArray[np.uint8],
) -> None:
    for k in range(len(start)):
        found[k] = classes_of(data, start[k], end[k], classes)


@kernel
def _find_blank(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    classes: NDArray[np.uint8],
    found: NDArray[np.bool_],
) -> None:
    for k in range(len(start)):
        i, stop = start[k], end[k]
        while i < stop:
            code_point, size = decode_before(data, i, stop)
            if classes[code_point] != SPACE:
                break
            i += size
        found[k] = i >= stop


def sums(values: NDArray, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of ``values[offsets[i]:offsets[i + 1]]``, for each i."""
    found = np.zeros(len(offsets) - 1, np.int64)
    _add_up(values, offsets, found)
    return found


@kernel
def _add_up(values: NDArray, offsets: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    for i in range(len(found)):
        for k in range(np.uint64(offsets[i]), np.uint64(offsets[i + 1])):
            found[i] += values[k]


@inner
def hash_and_length(data: NDArray[np.uint8], i: int, stop: int) -> tuple[np.uint64, np.uint64]:
    """The hash and the characters of ``data[i:stop]``. All bytes but 80 to BF begin a character."""
    value, length = hash_begin(stop - i), np.uint64(stop - i)
    at = i
    while at < stop and at + 64 <= len(data):
        length -= count_ones(byte_mask(data, at, 0x80, 0x40) & ALL_ONES >> np.uint64(64 - min(64, stop - at)))
        at += 64
    for k in range(at, stop):
        length -= np.uint64(data[k] & 0xC0 == 0x80)
    while i + 8 <= stop:
        value = hash_step(value, load_eight(data, i))
        i += 8
    if i < stop:
        value = hash_step(value, load(data, i, stop))
    return hash_end(value), length


@inner
def classes_of(data: NDArray[np.uint8], i: int, stop: int, classes: NDArray[np.uint8]) -> np.uint64:
    """The classes of the characters of ``data[i:stop]``, and `BEGINS_ALNUM`."""
    seen = np.uint64(0)
    if i < stop:
        first = classes[decode_before(data, i, stop)[0]]
        seen = np.uint64(BEGINS_ALNUM) * np.uint64(first & (LETTER | NUMBER) != 0)
    while i + 64 <= stop:
        seen |= _classes_of_64(data, i, stop, classes)
        i += 64
    while i < stop:
        valid = ALL_ONES >> np.uint64(64 - 8 * min(stop - i, 8))
        eight = load(data, i, stop)
        if eight & _HIGH_BITS:
            seen |= _classes_of_any(data, i, min(i + 8, stop), stop, classes)
        else:  # what lies behind the end repeats the first byte
            seen |= _classes_of_ascii(eight | (eight & np.uint64(0xFF)) * (_LOW_BITS & ~valid), classes)
        i += 8
    return seen


_HIGH_BITS, _LOW_BITS = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)  # of eight bytes


@inner
def _classes_of_64(data: NDArray[np.uint8], i: int, stop: int, classes: NDArray[np.uint8]) -> np.uint64:
    """The classes of the characters that begin in the 64 bytes from i on: most are found without looking them up."""
    letters = byte_mask(data, i, 0x41, 26) | byte_mask(data, i, 0x61, 26)
    digits, blanks = byte_mask(data, i, 0x30, 10), byte_mask(data, i, 0x20, 1)
    seen = np.uint64(LETTER) * np.uint64(letters != 0) | np.uint64(NUMBER) * np.uint64(digits != 0)
    seen |= np.uint64(SPACE) * np.uint64(blanks != 0)
    others = ~(letters | digits | blanks | byte_mask(data, i, 0x80, 0x40))
    while others:
        at = i + np.int64(lowest_one(others))
        others &= others - np.uint64(1)
        seen |= np.uint64(classes[decode_before(data, at, stop)[0]])
    return seen


@inner
def _classes_of_any(data: NDArray[np.uint8], i: int, last: int, stop: int, classes: NDArray[np.uint8]) -> np.uint64:
    """The classes of the characters that begin in ``data[i:last]``, of a piece that ends at ``stop``."""
    seen = np.uint64(0)
    for at in range(i, last):
        byte = data[at]
        if byte < 0x80:
            seen |= np.uint64(classes[byte])
        elif byte >= 0xC0:
            seen |= np.uint64(classes[decode_before(data, at, stop)[0]])
    return seen


@inner
def _classes_of_ascii(eight: np.uint64, classes: NDArray[np.uint8]) -> np.uint64:
    """The classes of eight ASCII characters."""
    seen = np.uint8(0)
    for shift in range(0, 64, 8):
        seen |= classes[eight >> np.uint64(shift) & np.uint64(0x7F)]
    return np.uint64(seen)
