"""A kernel that cuts one pretoken, character by character: what the expressions of `patterns` say, as plain code.

It takes any bytes. One that is not part of valid UTF-8 is a character that is no letter, number or white space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inlined, leaf
from textmill.tokenize.pretokens.patterns import (
    CL100K,
    GPT2,
    LETTER,
    LOWER,
    NANOCHAT,
    NEWLINE,
    NUMBER,
    O200K,
    OTHER,
    SPACE,
    UPPER,
)

LINE_FEED, BLANK, APOSTROPHE, SLASH = 0x0A, 0x20, 0x27, 0x2F


@leaf
def end_of_next(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """Where the pretoken that begins at byte i of a text that ends at ``stop`` ends."""
    if pattern == GPT2:
        return _end_gpt2(data, i, stop, kinds)
    if pattern == O200K:
        return _end_o200k(data, i, stop, kinds)
    return _end_cl100k(pattern, data, i, stop, kinds)


@leaf
def _end_gpt2(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    size = contraction_bytes(data, i, stop, False)
    if size:
        return i + size
    kind, size = look(data, i, stop, kinds)
    if data[i] == BLANK:
        following, _ = look(data, i + 1, stop, kinds)
        if following & (LETTER | NUMBER | OTHER):
            return _skip(data, i + 1, stop, kinds, following & (LETTER | NUMBER | OTHER))
    if kind & SPACE:
        return _end_of_space(GPT2, data, i, stop, kinds)
    return _skip(data, i + size, stop, kinds, kind & (LETTER | NUMBER | OTHER))


@leaf
def _end_cl100k(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    size = contraction_bytes(data, i, stop, True)
    if size:
        return i + size
    kind, size = look(data, i, stop, kinds)
    if kind & LETTER:
        return _skip(data, i + size, stop, kinds, LETTER)
    if kind & NUMBER:
        return _end_of_number(data, i, stop, kinds, 2 if pattern == NANOCHAT else 3)
    following, _ = look(data, i + size, stop, kinds)
    if following & LETTER and not kind & NEWLINE:
        return _skip(data, i + size, stop, kinds, LETTER)
    if kind & OTHER or (data[i] == BLANK and following & OTHER):
        return _skip(data, _skip(data, i + size, stop, kinds, OTHER), stop, kinds, NEWLINE)
    return _end_of_space(pattern, data, i, stop, kinds)


@leaf
def _end_o200k(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    kind, size = look(data, i, stop, kinds)
    if kind & (UPPER | LOWER):  # a mark too: taken as the character before the word, it would give the same
        return _end_of_word(data, i, stop, kinds)
    if kind & NUMBER:
        return _end_of_number(data, i, stop, kinds, 3)
    following, _ = look(data, i + size, stop, kinds)
    if following & (UPPER | LOWER) and not kind & NEWLINE:
        return _end_of_word(data, i + size, stop, kinds)
    if kind & OTHER or (data[i] == BLANK and following & OTHER):
        i = _skip(data, i + size, stop, kinds, OTHER)
        while i < stop and (data[i] == 10 or data[i] == 13 or data[i] == SLASH):
            i += 1
        return i
    return _end_of_space(O200K, data, i, stop, kinds)


@leaf
def _end_of_word(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The end of a word of o200k: capitals, then small letters; characters that can be both are wherever they fit.

    Without small letters behind the capitals, the last character that can be both takes their place.
    """
    begin = last = i
    kind, size = look(data, i, stop, kinds)
    while kind & UPPER:
        i += size
        if kind & LOWER:
            last = i
        kind, size = look(data, i, stop, kinds)
    if kind & LOWER:
        i = _skip(data, i, stop, kinds, LOWER)
    elif last > begin:
        i = last
    return i + contraction_bytes(data, i, stop, True)


@leaf
def _end_of_number(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8], most: int) -> int:
    for _ in range(most):
        kind, size = look(data, i, stop, kinds)
        if not kind & NUMBER:
            break
        i += size
    return i


@leaf
def _end_of_space(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The end of a pretoken of white space: its last line end, or else the last but one character before others."""
    begin = last = i
    newline_end = 0
    kind, size = look(data, i, stop, kinds)
    while kind & SPACE:
        last = i
        i += size
        if kind & NEWLINE:
            newline_end = i
        kind, size = look(data, i, stop, kinds)
    if pattern == CL100K and i == stop:
        return i
    if newline_end and pattern != GPT2:
        return newline_end
    return last if begin < last and i < stop else i


@leaf
def contraction_bytes(data: NDArray[np.uint8], i: int, stop: int, any_case: bool) -> int:
    """The bytes of the contraction at byte i of a text that ends at ``stop``, 0 when there is none.

    In any case also means the long s (U+017F), which folds to an s.
    """
    if i + 1 >= stop or data[i] != APOSTROPHE:
        return 0
    fold = 0x20 if any_case else 0
    first = data[i + 1] | fold
    if first == ord("s") or first == ord("t") or first == ord("m") or first == ord("d"):
        return 2
    if i + 2 >= stop:
        return 0
    second = data[i + 2] | fold
    if (first == ord("r") or first == ord("v")) and second == ord("e"):
        return 3
    if first == ord("l") and second == ord("l"):
        return 3
    return 3 if any_case and data[i + 1] == 0xC5 and data[i + 2] == 0xBF else 0


# Read by the character: not inlined, these two take most of the time. Called from few places, or compiling takes it.


@inlined
def _skip(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8], wanted: int) -> int:
    """Where the run of characters with one of the bits ``wanted`` ends that begins at byte i."""
    while True:
        kind, size = look(data, i, stop, kinds)
        if not kind & wanted:
            return i
        i += size


@inlined
def look(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> tuple[np.int64, int]:
    """What the character at byte i is, and its bytes; 0, 0 at the end of the text."""
    if i >= stop:
        return np.int64(0), 0
    lead = np.int64(data[i])
    if lead < 0x80:
        return np.int64(kinds[lead]), 1
    if i + 4 > stop:
        return _look_wide(data, i, stop, kinds)
    second = np.int64(data[i + 1]) ^ 0x80
    third = np.int64(data[i + 2]) ^ 0x80
    if 0xC2 <= lead < 0xE0 and second < 0x40:
        return np.int64(kinds[(lead & 0x1F) << 6 | second]), 2
    if 0xE1 <= lead < 0xED and (second | third) < 0x40:
        return np.int64(kinds[(lead & 0xF) << 12 | second << 6 | third]), 3
    return _look_wide(data, i, stop, kinds)


@leaf
def _look_wide(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> tuple[np.int64, int]:
    """The same for a character that is not ASCII, or a byte that is no character."""
    lead = np.int64(data[i])
    size = 2 + int(lead >= 0xE0) + int(lead >= 0xF0)
    if lead < 0xC2 or i + size > stop:
        return OTHER, 1
    code_point = lead & np.int64(0x7F >> size)
    for k in range(1, size):
        byte = np.int64(data[i + k])
        if byte & 0xC0 != 0x80:
            return OTHER, 1
        code_point = code_point << 6 | byte & 0x3F
    smallest = 0x80 if size == 2 else 0x800 if size == 3 else 0x10000
    if code_point < smallest or code_point >= 0x110000 or 0xD800 <= code_point < 0xE000:
        return OTHER, 1
    return np.int64(kinds[code_point]), size
