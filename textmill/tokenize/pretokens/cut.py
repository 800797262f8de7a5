"""Cutting UTF-8 text into pretokens, exactly as the regular expressions of `patterns` do, without a Python object each.

A pretoken depends on nothing that stands before it, so cutting can go on from the end of any of them in either of two
ways: `pretoken_starts` finds all of them in 64 bytes at once, `end_of_next` cuts one, whatever its characters.

A byte that is not part of valid UTF-8 counts as a character that is no letter, number or white space.

Time is linear in the bytes, whatever they are. One core cuts 1 to 1.4 GB of English a second, 0.7 of French, 0.16 to
0.5 of Russian, Chinese, Hindi, Arabic, Thai or Korean, and 10 MB of the worst: white space that is not ASCII between
single letters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, lowest_one, read_only
from textmill.errors import InvariantError
from textmill.tokenize.pretokens.masks import pretoken_starts
from textmill.tokenize.pretokens.next_pretoken import BLANK, LINE_FEED, end_of_next, look
from textmill.tokenize.pretokens.patterns import LETTER, NUMBER, SPACE, character_kinds, pattern_number


def cut_pretokens(pattern: str, data: NDArray[np.uint8], bounds: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Cut the texts ``data[bounds[i]:bounds[i + 1]]``, each by itself, into pretokens, and give the number of these.

    ``bounds`` is int64 [texts + 1], rising. Writes where each pretoken ends in ``data`` to ``ends``, which has room for
    as many as there are bytes; each begins where the one before ends, the first at ``bounds[0]``. An empty text has
    none. Errors: `UnknownNameError` for the pattern; `InvariantError` for bounds that are none, or too little room.
    """
    number = pattern_number(pattern)
    if len(bounds) < 2:
        return 0
    if not 0 <= bounds[0] <= bounds[-1] <= len(data) or len(ends) < bounds[-1] - bounds[0]:
        raise InvariantError(f"texts from {bounds[0]} to {bounds[-1]} of {len(data)} bytes, room for {len(ends)} ends")
    if (bounds[1:] < bounds[:-1]).any():
        raise InvariantError("a text ends before it begins")
    return int(_cut(number, read_only(data), read_only(bounds), ends, character_kinds()))


def next_cut(data: NDArray[np.uint8], i: int, stop: int) -> int:
    """The first place at byte i or behind it where a text that ends at ``stop`` may be cut in two, else ``stop``.

    The pretokens of the parts are those of the whole. A place is before a blank (U+0020) between two characters that
    are no white space, or behind a line feed between one that is no white space and a letter or number (where Chinese
    has no blanks): there every pattern cuts. Special tokens may hold such places, and are to be cut off first.
    """
    return int(_next_cut(read_only(data), i, min(stop, len(data)), character_kinds()))


@kernel
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
            odd = i
            if i + 64 <= len(data):
                starts, n_told = pretoken_starts(pattern, data, i, stop, kinds)
                begin, odd = i, i + n_told
                starts &= starts - np.uint64(1)  # but for the first, where we are
                while starts:
                    i = begin + np.int64(lowest_one(starts))
                    starts &= starts - np.uint64(1)
                    ends[n] = i
                    n += 1
                if n_told == 64 and i > begin:
                    continue
            while i <= odd and i < stop:
                i = end_of_next(pattern, data, i, stop, kinds)
                ends[n] = i
                n += 1
    return n


@kernel
def _next_cut(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    for place in range(max(i, 1), stop - 1):
        if data[place] == BLANK:
            following, _ = look(data, place + 1, stop, kinds)
            if not following & SPACE and not _is_space_before(data, place, kinds):
                return place
        elif data[place - 1] == LINE_FEED and place > 1:
            following, _ = look(data, place, stop, kinds)
            if following & (LETTER | NUMBER) and not _is_space_before(data, place - 1, kinds):
                return place
    return stop


@kernel
def _is_space_before(data: NDArray[np.uint8], place: int, kinds: NDArray[np.uint8]) -> bool:
    """Whether the character that ends at ``place`` is white space."""
    i = place - 1
    while i > 0 and i > place - 3 and data[i] & 0xC0 == 0x80:
        i -= 1
    kind, size = look(data, i, place, kinds)
    return kind & SPACE != 0 and i + size == place
