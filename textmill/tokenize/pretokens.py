"""Kernels that cut UTF-8 text into pretokens, exactly as the regular expressions of `patterns` do.

A pretoken depends on nothing that stands before it, so cutting can go on from any place between two of them in any
way. There are two. `_ascii_starts` finds all pretokens of 64 bytes of ASCII at once: masks of letters, digits, white
space and the rest, one bit a byte, and a few shifts and additions in place of the expression. `_end_of_next` cuts one
pretoken, character by character, and serves for what masks cannot do: other characters, long pretokens, and ends of
texts.

A byte that is not part of valid UTF-8 counts as a character that is no letter, number or white space. Time is linear
in the bytes, whatever they are: a pretoken is read at most three times.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, byte_mask, highest_one, leaf, load_eight, lowest_one
from textmill.errors import InvariantError, UnknownNameError
from textmill.tokenize.patterns import LETTER, LOWER, NEWLINE, NUMBER, OTHER, PATTERNS, SPACE, UPPER, character_kinds

_GPT2, _CL100K, _NANOCHAT, _O200K = range(4)
_NUMBER_OF = {"gpt2": _GPT2, "cl100k": _CL100K, "nanochat": _NANOCHAT, "o200k": _O200K}

_ONE, _NONE = np.uint64(1), np.uint64(0)
_TWO, _THREE = np.uint64(2), np.uint64(3)
_HIGH_BITS = np.uint64(0x8080808080808080)
_BLANK, _APOSTROPHE, _SLASH = 0x20, 0x27, 0x2F


def cut_pretokens(pattern: str, data: NDArray[np.uint8], bounds: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Cut the texts ``data[bounds[i]:bounds[i + 1]]``, each by itself, into pretokens, and give the number of these.

    ``bounds`` is int64 [texts + 1], rising. Writes where each pretoken ends in ``data`` to ``ends``, which has room for
    as many as there are bytes; each begins where the one before ends, the first at ``bounds[0]``. An empty text has
    none. Errors: `UnknownNameError` for the pattern.
    """
    if pattern not in PATTERNS:
        raise UnknownNameError("pretokenizer pattern", pattern, PATTERNS)
    if len(bounds) < 2:
        return 0
    if not 0 <= bounds[0] <= bounds[-1] <= len(data) or len(ends) < bounds[-1] - bounds[0]:
        raise InvariantError(f"texts from {bounds[0]} to {bounds[-1]} of {len(data)} bytes, room for {len(ends)} ends")
    return int(_cut(_NUMBER_OF[pattern], data, bounds, ends, character_kinds()))


@numba.njit(cache=True, nogil=True)
def _cut(
    pattern: int,
    data: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    ends: NDArray[np.int64],
    kinds: NDArray[np.uint8],
) -> int:
    n = np.int64(0)
    for text in range(len(bounds) - 1):
        i, stop = bounds[text], bounds[text + 1]
        while i < stop:
            if i + 64 <= len(data) and load_eight(data, i) & _HIGH_BITS == 0:
                starts, go_on = _ascii_starts(pattern, data, i, stop)
                starts &= starts - _ONE  # the first is where we are
                begin = i
                while starts:
                    i = begin + np.int64(lowest_one(starts))
                    starts &= starts - _ONE
                    ends[n] = i
                    n += 1
                if go_on and i > begin:
                    continue
            i = _end_of_next(pattern, data, i, stop, kinds)
            ends[n] = i
            n += 1
    return n


# --- Sixty-four bytes of ASCII ---


@leaf
def _ascii_starts(pattern: int, data: NDArray[np.uint8], i: int, stop: int) -> tuple[np.uint64, bool]:
    """Where pretokens start among the next 64 bytes, as far as these tell; and whether all 64 were ASCII of the text.

    A pretoken starts at byte i. Bit k stands for byte i + k.
    """
    upper, lower = byte_mask(data, i, ord("A"), 26), byte_mask(data, i, ord("a"), 26)
    letter, number = upper | lower, byte_mask(data, i, ord("0"), 10)
    blank = byte_mask(data, i, _BLANK, 1)
    space = blank | byte_mask(data, i, 9, 5)
    other = ~(letter | number | space)
    apostrophe = byte_mask(data, i, _APOSTROPHE, 1)
    odd = byte_mask(data, i, 0x80, 0x80)
    if stop - i < 64:
        odd |= ALL_ONES << np.uint64(stop - i)
    if pattern == _GPT2:
        starts = _gpt2_starts(letter, number, space, blank, other)
        apostrophe &= ~((other | blank) << _ONE)
    else:
        newline = byte_mask(data, i, 10, 1) | byte_mask(data, i, 13, 1)
        starts = _later_starts(letter, number, space, blank, other, newline)
        starts |= _starts_in_numbers(number, 2 if pattern == _NANOCHAT else 3)
        if pattern == _O200K:
            starts |= upper & (lower << _ONE)
            odd |= byte_mask(data, i, _SLASH, 1) & (newline << _ONE)
            apostrophe &= letter << _ONE
        else:
            apostrophe &= ~((other | blank) << _ONE)
    if apostrophe:
        starts, chained = _contract(starts, apostrophe, pattern, data, i)
        odd |= chained
    return _settled(starts, space, odd), odd == 0


@leaf
def _gpt2_starts(
    letter: np.uint64, number: np.uint64, space: np.uint64, blank: np.uint64, other: np.uint64
) -> np.uint64:
    """A run of each kind, with a blank before it; of white space, the last before something else stands alone."""
    words = _first(letter) | _first(number) | _first(other)
    return words & ~(blank << _ONE) | _first(space) | space & ~(space >> _ONE)


@leaf
def _later_starts(
    letter: np.uint64, number: np.uint64, space: np.uint64, blank: np.uint64, other: np.uint64, newline: np.uint64
) -> np.uint64:
    """The same for the patterns since cl100k, without the cuts in numbers and between small letters and capitals.

    There, letters take any one character before them but a line end, other characters take line ends behind them, and
    white space is cut behind its last line end.
    """
    inline = space & ~newline
    newline_after = newline & (other << _ONE)
    taken = newline & ~(newline + newline_after)  # the carry runs through the line ends that follow
    others = _first(other) & ~(blank << _ONE)
    spaces = _first(space & ~taken) | inline & ~(space >> _ONE)
    words = _first(letter) & ~((inline | others) << _ONE)
    return words | _first(number) | others | spaces | _after_newlines(inline, newline)


@leaf
def _first(mask: np.uint64) -> np.uint64:
    """The first byte of each run."""
    return mask & ~(mask << _ONE)


@leaf
def _after_newlines(inline: np.uint64, newline: np.uint64) -> np.uint64:
    """White space behind line ends that no other line end follows in its run."""
    after = inline & (newline << _ONE)
    before = (after + inline) & ~inline & newline  # line ends where the carry through such white space arrives
    while before:
        below = (before & (_NONE - before)) - _ONE
        after &= ~(_ONE << highest_one(after & below))
        before &= before - _ONE
    return after


@leaf
def _starts_in_numbers(number: np.uint64, most: int) -> np.uint64:
    """Where numbers of more than ``most`` digits are cut, from the left."""
    inside = number & (number << _ONE)  # digits with at least one, then ``most`` before them
    for k in range(2, most + 1):
        inside &= number << np.uint64(k)
    cuts, found = _first(inside), _NONE
    while cuts:
        found |= cuts
        cuts = (cuts << np.uint64(most)) & inside
    return found


@leaf
def _contract(
    starts: np.uint64, apostrophe: np.uint64, pattern: int, data: NDArray[np.uint8], i: int
) -> tuple[np.uint64, np.uint64]:
    """The starts with contractions (``'s``, ``'ll``) at some of the apostrophes, and those right behind another one.

    A contraction is a pretoken, in o200k the end of one; the next starts behind it.
    """
    two = three = _NONE
    while apostrophe:
        at = lowest_one(apostrophe)
        apostrophe &= apostrophe - _ONE
        if at < 62:
            k = i + np.int64(at)
            size = _contraction_chars(data, k, k + 3, pattern != _GPT2)
            two |= np.uint64(size == 2) << at
            three |= np.uint64(size == 3) << at
    starts &= ~((two | three) << _ONE | three << _TWO)
    starts |= two << _TWO | three << _THREE
    if pattern == _O200K:
        starts &= ~(two | three)
        return starts, (two | three) & (two << _TWO | three << _THREE)
    return starts, _NONE


@leaf
def _settled(starts: np.uint64, space: np.uint64, odd: np.uint64) -> np.uint64:
    """The starts that hold whatever stands at the first odd byte and behind it.

    Contractions look two bytes ahead of their apostrophe, and white space looks at all of its run.
    """
    size = lowest_one(odd) if odd else np.uint64(64)
    words = ~space & (ALL_ONES >> (np.uint64(64) - size))
    if size < _THREE or not words:
        return _ONE
    last = min(size - _THREE, highest_one(words) + _ONE)
    return starts & (ALL_ONES >> (np.uint64(63) - last))


# --- One pretoken of any characters ---


@leaf
def _end_of_next(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """Where the pretoken that begins at byte i of a text that ends at ``stop`` ends."""
    if pattern == _GPT2:
        return _end_gpt2(data, i, stop, kinds)
    if pattern == _O200K:
        return _end_o200k(data, i, stop, kinds)
    return _end_cl100k(pattern, data, i, stop, kinds)


@leaf
def _end_gpt2(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    size = _contraction_chars(data, i, stop, False)
    if size:
        return i + size
    kind, size = _look(data, i, stop, kinds)
    if data[i] == _BLANK:
        following, _ = _look(data, i + 1, stop, kinds)
        if following & (LETTER | NUMBER | OTHER):
            return _skip(data, i + 1, stop, kinds, following & (LETTER | NUMBER | OTHER))
    if kind & SPACE:
        return _end_of_space(_GPT2, data, i, stop, kinds)
    return _skip(data, i + size, stop, kinds, kind & (LETTER | NUMBER | OTHER))


@leaf
def _end_cl100k(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    size = _contraction_chars(data, i, stop, True)
    if size:
        return i + size
    kind, size = _look(data, i, stop, kinds)
    if kind & LETTER:
        return _skip(data, i + size, stop, kinds, LETTER)
    if kind & NUMBER:
        return _end_of_number(data, i, stop, kinds, 2 if pattern == _NANOCHAT else 3)
    following, _ = _look(data, i + size, stop, kinds)
    if following & LETTER and not kind & NEWLINE:
        return _skip(data, i + size, stop, kinds, LETTER)
    if kind & OTHER or (data[i] == _BLANK and following & OTHER):
        return _skip(data, _skip(data, i + size, stop, kinds, OTHER), stop, kinds, NEWLINE)
    return _end_of_space(pattern, data, i, stop, kinds)


@leaf
def _end_o200k(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    kind, size = _look(data, i, stop, kinds)
    if kind & (UPPER | LOWER):  # a mark too: taken as the character before the word, it would give the same
        return _end_of_word(data, i, stop, kinds)
    if kind & NUMBER:
        return _end_of_number(data, i, stop, kinds, 3)
    following, _ = _look(data, i + size, stop, kinds)
    if following & (UPPER | LOWER) and not kind & NEWLINE:
        return _end_of_word(data, i + size, stop, kinds)
    if kind & OTHER or (data[i] == _BLANK and following & OTHER):
        i = _skip(data, i + size, stop, kinds, OTHER)
        while i < stop and (data[i] == 10 or data[i] == 13 or data[i] == _SLASH):
            i += 1
        return i
    return _end_of_space(_O200K, data, i, stop, kinds)


@leaf
def _end_of_word(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The end of a word of o200k: capitals, then small letters; characters that can be both are wherever they fit.

    Without small letters behind the capitals, the last character that can be both takes their place.
    """
    begin = last = i
    kind, size = _look(data, i, stop, kinds)
    while kind & UPPER:
        i += size
        if kind & LOWER:
            last = i
        kind, size = _look(data, i, stop, kinds)
    if kind & LOWER:
        i = _skip(data, i, stop, kinds, LOWER)
    elif last > begin:
        i = last
    return i + _contraction_chars(data, i, stop, True)


@leaf
def _end_of_number(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8], most: int) -> int:
    for _ in range(most):
        kind, size = _look(data, i, stop, kinds)
        if not kind & NUMBER:
            break
        i += size
    return i


@leaf
def _end_of_space(pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """The end of a pretoken of white space: its last line end, or else the last but one character before others."""
    begin = last = i
    newline_end = np.int64(0)
    kind, size = _look(data, i, stop, kinds)
    while kind & SPACE:
        last = i
        i += size
        if kind & NEWLINE:
            newline_end = i
        kind, size = _look(data, i, stop, kinds)
    if pattern == _CL100K and i == stop:
        return i
    if newline_end and pattern != _GPT2:
        return newline_end
    return last if begin < last and i < stop else i


@leaf
def _contraction_chars(data: NDArray[np.uint8], i: int, stop: int, any_case: bool) -> int:
    """The bytes of the contraction at byte i of a text that ends at ``stop``, 0 when there is none.

    In any case also means the long s (U+017F), which folds to an s.
    """
    if i + 1 >= stop or data[i] != _APOSTROPHE:
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


@leaf
def _skip(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8], wanted: int) -> int:
    """Where the run of characters with one of the bits ``wanted`` ends that begins at byte i."""
    while True:
        kind, size = _look(data, i, stop, kinds)
        if not kind & wanted:
            return i
        i += size


@leaf
def _look(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> tuple[int, int]:
    """What the character at byte i is, and its bytes; 0, 0 at the end of the text."""
    if i >= stop:
        return 0, 0
    lead = np.int64(data[i])
    if lead < 0x80:
        return np.int64(kinds[lead]), 1
    return _look_wide(data, i, stop, kinds)


@leaf
def _look_wide(data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]) -> tuple[int, int]:
    """The same for a character that is not ASCII, or a byte that is no character."""
    lead = np.int64(data[i])
    size = 2 + np.int64(lead >= 0xE0) + np.int64(lead >= 0xF0)
    if lead < 0xC2 or i + size > stop:
        return OTHER, 1
    code_point = lead & (0x7F >> size)
    for k in range(1, size):
        byte = np.int64(data[i + k])
        if byte & 0xC0 != 0x80:
            return OTHER, 1
        code_point = code_point << 6 | byte & 0x3F
    smallest = 0x80 if size == 2 else 0x800 if size == 3 else 0x10000
    if code_point < smallest or code_point >= 0x110000 or 0xD800 <= code_point < 0xE000:
        return OTHER, 1
    return np.int64(kinds[code_point]), size
