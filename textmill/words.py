"""Cuts text into words at Unicode word boundaries. Time is linear in the bytes, whatever they are."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, byte_mask, highest_one, kernel, leaf, lowest_one
from textmill.characters import (
    LETTER,
    NUMBER,
    character_classes,
    decode_before,
    property_table,
)

Bounds = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # offsets, start, end

# Values of the property Word_Break; Hebrew letters are letters with a bit more.
_OTHER, _LETTER, _HEBREW, _NUMERIC, _JOINER = range(5)
_MID_LETTER, _MID_NUMBER, _MID_BOTH, _SINGLE_QUOTE, _DOUBLE_QUOTE = range(5, 10)
_IGNORED, _ZWJ, _REGIONAL, _CR, _LF, _NEWLINE, _WHITE = range(10, 17)
_KIND = 0x1F
_PICTURE = 0x40  # Extended_Pictographic
_COUNTED = 0x80  # a letter or a number: makes its piece a word
_WORD_BREAK = {
    "WB=ALetter": _LETTER,
    "WB=Hebrew_Letter": _HEBREW,
    "WB=Numeric": _NUMERIC,
    "WB=ExtendNumLet": _JOINER,
    "WB=MidLetter": _MID_LETTER,
    "WB=MidNum": _MID_NUMBER,
    "WB=MidNumLet": _MID_BOTH,
    "WB=Single_Quote": _SINGLE_QUOTE,
    "WB=Double_Quote": _DOUBLE_QUOTE,
    "WB=Extend": _IGNORED,
    "WB=Format": _IGNORED,
    "WB=ZWJ": _ZWJ,
    "WB=Regional_Indicator": _REGIONAL,
    "WB=CR": _CR,
    "WB=LF": _LF,
    "WB=Newline": _NEWLINE,
    "WB=WSegSpace": _WHITE,
}


@functools.cache
def _word_break_table() -> NDArray[np.uint8]:
    table = property_table(_WORD_BREAK)
    table |= property_table({"Extended_Pictographic": _PICTURE})
    table[(character_classes() & (LETTER | NUMBER)) != 0] |= _COUNTED
    table.flags.writeable = False
    return table


def unicode_words(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Bounds:
    """The pieces between Unicode word boundaries (UAX #29) that hold a letter or a number.

    One rule is left out, WB13: a Katakana character is a word, as a Chinese one and a Hiragana are. Nothing is looked
    up in a dictionary: of Thai, Lao, Khmer and Burmese each letter with its marks is a word. Which characters are
    letters depends on the Unicode version of the package `regex` (the boundaries) and of Python (what holds a letter).
    """
    start, end = np.empty((2, int(offsets[-1] - offsets[0])), dtype=np.int64)
    word_offsets = _cut_unicode_words(data, offsets, _word_break_table(), start, end)
    return word_offsets, start[: word_offsets[-1]], end[: word_offsets[-1]]


@kernel
def _cut_unicode_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Writes the bounds; gives the offsets. Words are cut 64 bytes at a time, with masks, but for odd stretches."""
    word_offsets = np.zeros_like(offsets)
    n = np.int64(0)
    for document in range(len(offsets) - 1):
        i, stop = offsets[document], offsets[document + 1]
        while i < stop:
            odd = True
            if i + 64 <= len(data):
                first, last, size, odd = _word_masks(data, i, stop, table)
                while first:
                    start[n], end[n] = i + np.int64(lowest_one(first)), i + np.int64(lowest_one(last)) + 1
                    first &= first - _ONE
                    last &= last - _ONE
                    n += 1
                i += size
            if odd:
                n, i = _cut_stretch(data, i, stop, table, start, end, n)
        word_offsets[document + 1] = n
    return word_offsets


_ONE, _NONE = np.uint64(1), np.uint64(0)


@leaf
def _word_masks(
    text: NDArray[np.uint8], i: int, stop: int, table: NDArray[np.uint8]
) -> tuple[np.uint64, np.uint64, int, bool]:
    """The first and the last bytes of words among the next 64, up to a stretch that is odd or goes on behind them.

    Also how many bytes that is, and whether the stretch there is odd or longer than 64 bytes. A stretch begins with a
    letter or a number behind something else, where there is a boundary whatever stands around the two.
    """
    within = ALL_ONES >> np.uint64(64 - min(64, stop - i))
    letter = (byte_mask(text, i, ord("a"), 26) | byte_mask(text, i, ord("A"), 26)) & within
    digit = byte_mask(text, i, ord("0"), 10) & within
    both = byte_mask(text, i, ord("."), 1) | byte_mask(text, i, ord("'"), 1)
    mid_letter = (both | byte_mask(text, i, ord(":"), 1)) & within
    mid_number = (both | byte_mask(text, i, ord(","), 1) | byte_mask(text, i, ord(";"), 1)) & within
    odd = byte_mask(text, i, ord("_"), 1) & within
    high = byte_mask(text, i, 0x80, 0x80) & within
    inner = alone = quote = _NONE
    if high:
        inner = byte_mask(text, i, 0x80, 0x40) & within
        wide_letter, wide_digit, alone, quote, wide_odd = _wide_words(text, i, stop, high, inner, table)
        letter, digit, odd = letter | wide_letter, digit | wide_digit, odd | wide_odd
    word = letter | digit
    joined = mid_letter & (letter << _ONE) & (letter >> _ONE) | mid_number & (digit << _ONE) & (digit >> _ONE)
    if quote:
        three = np.uint64(3)
        joins = quote & ((letter << _ONE) & (letter >> three) | (digit << _ONE) & (digit >> three))
        joined |= joins | joins << _ONE | joins << np.uint64(2)
        mid_letter |= quote | quote << _ONE | quote << np.uint64(2)
    breaks = within & ~(word | mid_letter | mid_number | odd)
    begins = (word | alone) & ~inner & (breaks << _ONE)
    size, is_odd = min(64, stop - i), False
    if stop - i > 64:
        size = int(np.int64(highest_one(begins))) if begins else 0
        is_odd = begins == _NONE
    odd &= (_ONE << np.uint64(size)) - _ONE if size < 64 else ALL_ONES
    if odd:
        begins &= (_ONE << lowest_one(odd)) - _ONE
        size, is_odd = int(np.int64(highest_one(begins))) if begins else 0, True
    word |= joined
    within = (_ONE << np.uint64(size)) - _ONE if size < 64 else ALL_ONES
    first = (word & ~(word << _ONE) | alone & ~inner) & within
    last = (word & ~(word >> _ONE) | alone & ~(inner >> _ONE)) & within
    return first, last, size, is_odd


@leaf
def _wide_words(
    text: NDArray[np.uint8], i: int, stop: int, high: np.uint64, inner: np.uint64, table: NDArray[np.uint8]
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """Of the bytes that are no ASCII: letters, digits, words of one character, where a ``’`` begins, and odd ones.

    What is none of these stands between words.
    """
    letter = digit = alone = quote = odd = seen = _NONE
    leads = high & ~inner
    while leads:
        at = lowest_one(leads)
        leads &= leads - _ONE
        code_point, size = decode_before(text, i + np.int64(at), stop)
        entry = table[code_point]
        character = ((_ONE << np.uint64(size)) - _ONE) << at
        seen |= character
        if (character & ~inner) != _ONE << at:
            odd |= character
        elif entry == _LETTER | _COUNTED:
            letter |= character
        elif entry == _NUMERIC | _COUNTED:
            digit |= character
        elif entry == _OTHER | _COUNTED:
            alone |= character
        elif entry == _MID_BOTH and size == 3:
            quote |= _ONE << at
        elif entry != _OTHER and entry != _OTHER | _PICTURE and entry != _WHITE and entry != _NEWLINE:
            odd |= character
    return letter, digit, alone, quote, odd | (seen ^ high)


@leaf
def _cut_stretch(
    text: NDArray[np.uint8],
    i: int,
    stop: int,
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n: int,
) -> tuple[int, int]:
    """Writes the words up to an ASCII letter or digit behind whitespace, character by character; gives the next number,
    and byte.

    A character between two letters or numbers ("can't", "3.14") joins them only if the second comes, so the boundary
    before it is remembered (``open``) and taken if it does not.
    """
    begin = i
    piece, counted = i, False  # where the piece begins; whether it holds a letter or a number
    open_at, open_counted = -1, False  # the same for the piece that begins if the open boundary stays
    before, last = np.int64(_OTHER), np.int64(_NEWLINE)  # the two characters before, what is ignored aside
    previous = np.int64(_NEWLINE)  # the very character before
    odd_flags = False
    while i < stop:
        code_point, size = decode_before(text, i, stop)
        entry = table[code_point]
        kind = np.int64(entry & _KIND)
        if _CR <= previous <= _WHITE and code_point < 0x80 and entry & _COUNTED and i > begin:
            break
        if _is_ignored(kind, last):
            joins = True
        else:
            joins = _bridges(before, last, kind)
            if open_at >= 0 and joins:
                counted |= open_counted
            elif open_at >= 0:
                if counted:
                    start[n], end[n] = piece, open_at
                    n += 1
                piece, counted = open_at, open_counted
            open_at = -1
            joins |= _joins(last, kind, odd_flags) or _stick(previous, entry)
            if not joins and _may_bridge(last, kind):
                joins, open_at, open_counted = True, i, False
            odd_flags = kind == _REGIONAL and not odd_flags
            before, last = last, kind
        if not joins:
            if counted:
                start[n], end[n] = piece, i
                n += 1
            piece, counted = i, False
        if open_at >= 0:
            open_counted |= entry & _COUNTED != 0
        else:
            counted |= entry & _COUNTED != 0
        previous = kind
        i += size
        if entry == _LETTER | _COUNTED:  # quickly over letters, which change nothing now
            while i < stop and text[i] < 0x80 and table[text[i]] == entry:
                before = np.int64(_LETTER)
                i += 1
    if open_at >= 0:
        if counted:
            start[n], end[n] = piece, open_at
            n += 1
        piece, counted = open_at, open_counted
    if counted:
        start[n], end[n] = piece, i
        n += 1
    return n, i


@leaf
def _is_ignored(kind: int, last: int) -> bool:
    """WB4: marks and format characters belong to what stands before them, unless that is a line end."""
    return (kind == _IGNORED or kind == _ZWJ) and not _CR <= last <= _NEWLINE


@leaf
def _joins(last: int, kind: int, odd_flags: bool) -> bool:
    """Whether two neighbours belong together: WB3, WB5, WB7a, WB8 to WB10, WB13a, WB13b, WB15 and WB16."""
    if _LETTER <= last <= _JOINER and _LETTER <= kind <= _JOINER:
        return True
    if last == _HEBREW and kind == _SINGLE_QUOTE:
        return True
    return (last == _CR and kind == _LF) or (last == kind == _REGIONAL and odd_flags)


@leaf
def _stick(previous: int, entry: int) -> bool:
    """WB3c and WB3d, which see what others ignore: a picture after a zero-width joiner, and a run of spaces."""
    return (previous == _ZWJ and entry & _PICTURE != 0) or (previous == _WHITE and entry & _KIND == _WHITE)


@leaf
def _may_bridge(last: int, kind: int) -> bool:
    """Whether a character between two of a kind may join them."""
    if last == _LETTER or last == _HEBREW:
        letters = kind == _MID_LETTER or kind == _MID_BOTH or kind == _SINGLE_QUOTE
        return letters or (last == _HEBREW and kind == _DOUBLE_QUOTE)
    return last == _NUMERIC and (kind == _MID_NUMBER or kind == _MID_BOTH or kind == _SINGLE_QUOTE)


@leaf
def _bridges(before: int, last: int, kind: int) -> bool:
    """Whether the character before joins its two neighbours: WB6 and WB7, WB7b and WB7c, WB11 and WB12."""
    if not _may_bridge(before, last):
        return False
    if before == _NUMERIC:
        return kind == _NUMERIC
    return kind == _HEBREW or (kind == _LETTER and last != _DOUBLE_QUOTE)
