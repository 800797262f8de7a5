"""A kernel that finds all pretokens among 64 bytes at once: masks, shifts and additions in place of the expressions.

A mask has one bit a byte: bit k stands for byte i + k, where a pretoken starts at byte i. Letters, digits, white space
and all else are masks, and so are the places where pretokens start, which follow from them in some forty operations.
ASCII becomes masks by comparisons; other characters are read one after the other.

Whatever masks cannot do is odd: numbers and white space that are not ASCII, bytes that are no UTF-8, and the end of the
64 bytes or of the text. Starts are given as far as they hold whatever is at the first odd byte and behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, as_number, byte_mask, highest_one, leaf, lowest_one
from textmill.tokenize.pretokens.next_pretoken import APOSTROPHE, BLANK, SLASH, contraction_bytes, look
from textmill.tokenize.pretokens.patterns import GPT2, LETTER, LOWER, NANOCHAT, NUMBER, O200K, SPACE, UPPER

_ONE, _NONE = np.uint64(1), np.uint64(0)
_TWO, _THREE = np.uint64(2), np.uint64(3)


@leaf
def pretoken_starts(
    pattern: int, data: NDArray[np.uint8], i: int, stop: int, kinds: NDArray[np.uint8]
) -> tuple[np.uint64, np.int64]:
    """Where pretokens start among the next 64 bytes, as far as masks tell; and how many bytes come before what is odd.

    A pretoken starts at byte i. Bit k stands for byte i + k, and the bytes of one character have the same bits.
    """
    upper, lower = byte_mask(data, i, ord("A"), 26), byte_mask(data, i, ord("a"), 26)
    letter, number = upper | lower, byte_mask(data, i, ord("0"), 10)
    blank = byte_mask(data, i, BLANK, 1)
    space = blank | byte_mask(data, i, 9, 5)
    apostrophe = byte_mask(data, i, APOSTROPHE, 1)
    size = min(64, stop - i)
    odd = _NONE if size == 64 else ALL_ONES << np.uint64(size)
    inner = both = _NONE
    if byte_mask(data, i, 0x80, 0x80):
        inner = as_number(byte_mask(data, i, 0x80, 0x40))
        wide_letter, wide_upper, wide_lower, wide_odd = _wide_letters(data, i, size, inner, kinds)
        both = wide_upper & wide_lower
        upper, lower, odd = upper | wide_upper & ~both, lower | wide_lower & ~both, odd | wide_odd
        if pattern == O200K:
            odd |= (both & ~wide_letter) & ~((letter | wide_letter | both) << _ONE)  # a mark behind no letter
            wide_letter |= both
        letter |= wide_letter
    other = ~(letter | number | space)
    if pattern == GPT2:
        starts = _gpt2_starts(letter, number, space, blank, other)
    else:
        newline = byte_mask(data, i, 10, 1) | byte_mask(data, i, 13, 1)
        starts = _later_starts(letter, number, space, blank, other, newline, inner)
        starts |= _starts_in_numbers(number, 2 if pattern == NANOCHAT else 3)
        if pattern == O200K:
            starts |= upper & (lower << _ONE)
            odd |= upper & (both << _ONE) | byte_mask(data, i, SLASH, 1) & (newline << _ONE)
    apostrophe &= letter << _ONE if pattern == O200K else ~((other | blank) << _ONE)
    if apostrophe:
        starts, chained = _contract(starts, apostrophe, pattern, data, i)
        odd |= chained
    n_told = np.int64(lowest_one(odd)) if odd else np.int64(64)
    return _settled(starts, space, np.uint64(n_told)), n_told


@leaf
def _wide_letters(
    data: NDArray[np.uint8], i: int, size: int, inner: np.uint64, kinds: NDArray[np.uint8]
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Letters that are not ASCII, UPPER and LOWER characters among the next ``size`` bytes, and what is odd.

    Odd are numbers and white space that are not ASCII, bytes that are no UTF-8, and a character that is cut off.
    """
    two, three, four = byte_mask(data, i, 0xC2, 30), byte_mask(data, i, 0xE0, 16), byte_mask(data, i, 0xF0, 5)
    odd_bytes = byte_mask(data, i, 0xC0, 2) | byte_mask(data, i, 0xF5, 11)
    expected = (two | three | four) << _ONE | (three | four) << _TWO | four << _THREE
    last = np.uint64(size - 1)
    cut_off = (two | three | four) & _ONE << last | (three | four) & _THREE << last >> _ONE
    cut_off |= four & np.uint64(7) << last >> _TWO
    wrong = expected ^ inner
    odd = as_number(odd_bytes | cut_off | wrong | wrong >> _ONE | wrong >> _TWO | wrong >> _THREE)
    leads = (two | three | four) & (ALL_ONES >> (np.uint64(63) - last))
    leads = as_number(leads & ((odd & (_NONE - odd)) - _ONE))  # those before the first that is odd
    letter = upper = lower = _NONE
    while leads:
        at = lowest_one(leads)
        leads &= leads - _ONE
        kind, n_bytes = look(data, i + np.int64(at), i + size, kinds)
        letter |= np.uint64(kind & LETTER != 0) << at
        upper |= np.uint64(kind & UPPER != 0) << at
        lower |= np.uint64(kind & LOWER != 0) << at
        if kind & (NUMBER | SPACE) or n_bytes == 1:
            odd |= _ONE << at
            break
    return _whole(letter, inner), _whole(upper, inner), _whole(lower, inner), odd


@leaf
def _whole(leads: np.uint64, inner: np.uint64) -> np.uint64:
    """All bytes of the characters that begin there."""
    leads |= (leads << _ONE) & inner
    leads |= (leads << _ONE) & inner
    return leads | (leads << _ONE) & inner


@leaf
def _gpt2_starts(
    letter: np.uint64, number: np.uint64, space: np.uint64, blank: np.uint64, other: np.uint64
) -> np.uint64:
    """A run of each kind, with a blank before it; of white space, the last before something else stands alone."""
    words = _first(letter) | _first(number) | _first(other)
    return words & ~(blank << _ONE) | _first(space) | space & ~(space >> _ONE)


@leaf
def _later_starts(
    letter: np.uint64,
    number: np.uint64,
    space: np.uint64,
    blank: np.uint64,
    other: np.uint64,
    newline: np.uint64,
    inner: np.uint64,
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
    words = _first(letter) & ~((inline | _whole(others, inner)) << _ONE)
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
            size = contraction_bytes(data, k, k + 3, pattern != GPT2)
            two |= np.uint64(size == 2) << at
            three |= np.uint64(size == 3) << at
    starts &= ~((two | three) << _ONE | three << _TWO)
    starts |= two << _TWO | three << _THREE
    if pattern == O200K:
        starts &= ~(two | three)
        return starts, (two | three) & (two << _TWO | three << _THREE)
    return starts, _NONE


@leaf
def _settled(starts: np.uint64, space: np.uint64, size: np.uint64) -> np.uint64:
    """The starts that hold whatever comes behind the first ``size`` bytes.

    Contractions look two bytes ahead of their apostrophe, and white space looks at all of its run.
    """
    if size < _THREE:
        return _ONE
    words = ~space & (ALL_ONES >> (np.uint64(64) - size))
    if not words:
        return _ONE
    last = min(size - _THREE, highest_one(words) + _ONE)
    return starts & (ALL_ONES >> (np.uint64(63) - last))
