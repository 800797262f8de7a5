"""Cutting UTF-8 text into pretokens, exactly as the regular expressions of `patterns` do, without a Python object each.

A pretoken depends on nothing that stands before it, so cutting can go on from the end of any of them in either of two
ways: `pretoken_starts` finds all of them in 64 bytes at once, `end_of_next` cuts one, whatever its characters.

A byte that is not part of valid UTF-8 counts as a character that is no letter, number or white space. Time is linear in
the bytes, whatever they are.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.bits import lowest_one
from textmill.errors import InvariantError
from textmill.tokenize.next_pretoken import BLANK, end_of_next, look
from textmill.tokenize.patterns import SPACE, character_kinds, pattern_number
from textmill.tokenize.pretoken_masks import pretoken_starts


def cut_pretokens(pattern: str, data: NDArray[np.uint8], bounds: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Cut the texts ``data[bounds[i]:bounds[i + 1]]``, each by itself, into pretokens, and give the number of these.

    ``bounds`` is int64 [texts + 1], rising. Writes where each pretoken ends in ``data`` to ``ends``, which has room for
    as many as there are bytes; each begins where the one before ends, the first at ``bounds[0]``. An empty text has
    none. Errors: `UnknownNameError` for the pattern.
    """
    number = pattern_number(pattern)
    if len(bounds) < 2:
        return 0
    if not 0 <= bounds[0] <= bounds[-1] <= len(data) or len(ends) < bounds[-1] - bounds[0]:
        raise InvariantError(f"texts from {bounds[0]} to {bounds[-1]} of {len(data)} bytes, room for {len(ends)} ends")
    return int(_cut(number, _read_only(data), _read_only(bounds), ends, character_kinds()))


def cut_places(data: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """Where to cut a text into at most ``n`` parts of about one size whose pretokens are those of the whole.

    Returns int64 [parts + 1], from 0 to ``len(data)``. A place is before a blank (U+0020) between two characters that
    are no white space: there every pattern cuts. Special tokens may hold such blanks, and are to be cut off first.
    """
    places = [0]
    for part in range(1, n):
        wished = max(part * len(data) // n, places[-1] + 1)
        place = int(_next_place(_read_only(data), wished, character_kinds()))
        if place == len(data):
            break
        places.append(place)
    return np.array([*places, len(data)], np.int64)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written through, so that there is one kernel to compile."""
    view = array.view()
    view.flags.writeable = False
    return view


@numba.njit(cache=True, nogil=True)
def _cut(
    pattern: int,
    data: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    ends: NDArray[np.int64],
    kinds: NDArray[np.uint8],
) -> np.int64:
    n = np.int64(0)
    for text in range(len(bounds) - 1):
        i, stop = bounds[text], bounds[text + 1]
        while i < stop:
            if i + 64 <= len(data):
                starts, all_known = pretoken_starts(pattern, data, i, stop, kinds)
                starts &= starts - np.uint64(1)  # but for the first, where we are
                begin = i
                while starts:
                    i = begin + np.int64(lowest_one(starts))
                    starts &= starts - np.uint64(1)
                    ends[n] = i
                    n += 1
                if all_known and i > begin:
                    continue
            i = end_of_next(pattern, data, i, stop, kinds)
            ends[n] = i
            n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _next_place(data: NDArray[np.uint8], i: int, kinds: NDArray[np.uint8]) -> int:
    """The first place at byte i > 0 or behind it where a text may be cut, or its end."""
    for place in range(i, len(data) - 1):
        if data[place] != BLANK:
            continue
        following, _ = look(data, place + 1, len(data), kinds)
        if not following & SPACE and not _is_space_before(data, place, kinds):
            return place
    return len(data)


@numba.njit(cache=True, nogil=True)
def _is_space_before(data: NDArray[np.uint8], place: int, kinds: NDArray[np.uint8]) -> bool:
    """Whether the character that ends at ``place`` is white space."""
    i = place - 1
    while i > 0 and i > place - 3 and data[i] & 0xC0 == 0x80:
        i -= 1
    kind, size = look(data, i, place, kinds)
    return kind & SPACE != 0 and i + size == place
