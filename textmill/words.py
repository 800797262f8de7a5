"""Kernels that cut text into words: by whitespace, by Unicode word boundaries, and in the manner of the Penn Treebank.

Each takes the UTF-8 bytes of all documents and their offsets, and gives the offsets of the pieces (int64
[documents + 1]) and their bounds in bytes (int64 [pieces], twice). Time is linear in the bytes, whatever they are.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.characters import (
    LETTER,
    NUMBER,
    SPACE,
    character_classes,
    decode,
    load,
    property_table,
)

Bounds = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # offsets, start, end

# --- Unicode words ---

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
    """The pieces between Unicode word boundaries (UAX #29) that hold a letter or a number."""
    start, end = np.empty((2, int(offsets[-1] - offsets[0])), dtype=np.int64)
    word_offsets = _cut_unicode_words(data, offsets, _word_break_table(), start, end)
    return word_offsets, start[: word_offsets[-1]], end[: word_offsets[-1]]


@numba.njit(cache=True, nogil=True)
def _cut_unicode_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Writes the bounds; gives the offsets.

    A character between two letters or numbers ("can't", "3.14") joins them only if the second comes, so the boundary
    before it is remembered (``open``) and taken if it does not.
    """
    word_offsets = np.zeros_like(offsets)
    n = 0
    for document in range(len(offsets) - 1):
        text, base = data[offsets[document] : offsets[document + 1]], offsets[document]
        piece, counted = 0, False  # where the piece begins; whether it holds a letter or a number
        open_at, open_counted = -1, False  # the same for the piece that begins if the open boundary stays
        before, last = _OTHER, _NEWLINE  # the two characters before, what is ignored aside
        previous = _NEWLINE  # the very character before
        odd_flags = False
        i = 0
        while i < len(text):
            code_point, size = decode(text, i)
            entry = table[code_point]
            kind = int(entry & _KIND)
            if _is_ignored(kind, last):
                joins = True
            else:
                joins = _bridges(before, last, kind)
                if open_at >= 0 and joins:
                    counted |= open_counted
                elif open_at >= 0:
                    if counted:
                        start[n], end[n] = base + piece, base + open_at
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
                    start[n], end[n] = base + piece, base + i
                    n += 1
                piece, counted = i, False
            if open_at >= 0:
                open_counted |= entry & _COUNTED != 0
            else:
                counted |= entry & _COUNTED != 0
            previous = kind
            i += size
        if open_at >= 0:
            if counted:
                start[n], end[n] = base + piece, base + open_at
                n += 1
            piece, counted = open_at, open_counted
        if counted:
            start[n], end[n] = base + piece, base + len(text)
            n += 1
        word_offsets[document + 1] = n
    return word_offsets


@numba.njit(cache=True, nogil=True)
def _is_ignored(kind: int, last: int) -> bool:
    """WB4: marks and format characters belong to what stands before them, unless that is a line end."""
    return (kind == _IGNORED or kind == _ZWJ) and not _CR <= last <= _NEWLINE


@numba.njit(cache=True, nogil=True)
def _joins(last: int, kind: int, odd_flags: bool) -> bool:
    """Whether two neighbours belong together: WB3, WB5, WB7a, WB8 to WB10, WB13a, WB13b, WB15 and WB16."""
    if _LETTER <= last <= _JOINER and _LETTER <= kind <= _JOINER:
        return True
    if last == _HEBREW and kind == _SINGLE_QUOTE:
        return True
    return (last == _CR and kind == _LF) or (last == kind == _REGIONAL and odd_flags)


@numba.njit(cache=True, nogil=True)
def _stick(previous: int, entry: int) -> bool:
    """WB3c and WB3d, which see what others ignore: a picture after a zero-width joiner, and a run of spaces."""
    return (previous == _ZWJ and entry & _PICTURE != 0) or (previous == _WHITE and entry & _KIND == _WHITE)


@numba.njit(cache=True, nogil=True)
def _may_bridge(last: int, kind: int) -> bool:
    """Whether a character between two of a kind may join them."""
    if last == _LETTER or last == _HEBREW:
        letters = kind == _MID_LETTER or kind == _MID_BOTH or kind == _SINGLE_QUOTE
        return letters or (last == _HEBREW and kind == _DOUBLE_QUOTE)
    return last == _NUMERIC and (kind == _MID_NUMBER or kind == _MID_BOTH or kind == _SINGLE_QUOTE)


@numba.njit(cache=True, nogil=True)
def _bridges(before: int, last: int, kind: int) -> bool:
    """Whether the character before joins its two neighbours: WB6 and WB7, WB7b and WB7c, WB11 and WB12."""
    if not _may_bridge(before, last):
        return False
    if before == _NUMERIC:
        return kind == _NUMERIC
    return kind == _HEBREW or (kind == _LETTER and last != _DOUBLE_QUOTE)


# --- Treebank words ---

# What a character does to the token that it meets. EARLY and LATE ones are tokens of their own; they differ in whether
# a quote before them has become a token by the time that clitics are looked for, see `_close`.
_ATTACHED, _WORD, _DIGIT, _BLANK, _WHITESPACE, _EARLY, _LATE, _QUOTE, _DOT, _SEPARATOR, _BACKTICK, _DASH = range(12)


@functools.cache
def _treebank_table() -> NDArray[np.uint8]:
    table = property_table({"Nd": _DIGIT})
    classes = character_classes()
    table[(table == 0) & ((classes & (LETTER | NUMBER)) != 0)] = _WORD
    table[classes == SPACE] = _WHITESPACE
    kinds = {" ": _BLANK, ";@#$%&?!«“‘„‒–—―": _EARLY, '*()[]{}<>»”’"': _LATE, "'": _QUOTE, ".": _DOT}
    kinds |= {":,": _SEPARATOR, "`": _BACKTICK, "-": _DASH, "_": _WORD}
    for characters, kind in kinds.items():
        table[[ord(c) for c in characters]] = kind
    table.flags.writeable = False
    return table


def treebank_words(data: NDArray[np.uint8], offsets: NDArray[np.int64], sentences: Bounds) -> Bounds:
    """The tokens of each sentence in the manner of the Penn Treebank."""
    sentence_offsets, begin, stop = sentences
    start, end = np.empty((2, int(offsets[-1] - offsets[0])), dtype=np.int64)
    table = _treebank_table()
    word_offsets = _cut_treebank_words(data, sentence_offsets, begin, stop, table, start, end)
    return word_offsets, start[: word_offsets[-1]], end[: word_offsets[-1]]


@numba.njit(cache=True, nogil=True)
def _cut_treebank_words(
    data: NDArray[np.uint8],
    sentence_offsets: NDArray[np.int64],
    begin: NDArray[np.int64],
    stop: NDArray[np.int64],
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Writes the bounds; gives the offsets."""
    word_offsets = np.zeros_like(sentence_offsets)
    n = 0
    for document in range(len(sentence_offsets) - 1):
        for k in range(sentence_offsets[document], sentence_offsets[document + 1]):
            n_before = n
            n = _cut_sentence(data[begin[k] : stop[k]], table, start, end, n)
            for token in range(n_before, n):
                start[token] += begin[k]
                end[token] += begin[k]
        word_offsets[document + 1] = n
    return word_offsets


@numba.njit(cache=True, nogil=True)
def _cut_sentence(
    text: NDArray[np.uint8], table: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], n: int
) -> int:
    """Writes the bounds of a sentence's tokens from number n on; gives the number of the next.

    ``token`` is where the characters that have not been given away begin.
    """
    final = _final_period(text)
    token = i = 0
    run = -1
    kind = _BLANK
    swallowed = False  # whether a separator may not stand alone, because it follows one that does
    while i < len(text):
        before = kind
        code_point, size = decode(text, i)
        kind = int(table[code_point])
        after = i + size
        if kind == _WORD or kind == _DIGIT:
            after = _end_of_run(text, after, table)
            whole = i
            if run >= token and run < i - 1 and text[i - 1] == _APOSTROPHE and _end_of_run(text, run, table) == i - 1:
                whole = run
            cut = _contraction(text, whole, i, after)
            if cut > 0:
                whole = i if cut > i else whole
                if whole > token:
                    n = _emit(text, table, start, end, n, token, whole)
                n = _emit(text, table, start, end, n, whole, cut)
                n = _emit(text, table, start, end, n, cut, after)
                token = after
            run = i
        elif kind == _BLANK or kind == _WHITESPACE:
            n = _close(text, table, start, end, n, token, i, kind == _BLANK)
            token = after
        elif kind == _EARLY or kind == _LATE:
            n = _close(text, table, start, end, n, token, i, kind == _EARLY)
            n = _emit(text, table, start, end, n, i, after)
            token = after
        elif kind == _SEPARATOR:
            at_end = after == len(text)
            if at_end or not (swallowed or table[decode(text, after)[0]] == _DIGIT):
                n = _close(text, table, start, end, n, token, i, True)
                n = _emit(text, table, start, end, n, i, after)
                token = after
                swallowed = True
            else:
                swallowed = False
        elif kind == _DOT:
            after = _end_of_equal(text, i)
            if after > i + 1 or i == final:
                n = _close(text, table, start, end, n, token, i, True)
                n = _emit(text, table, start, end, n, i, after)
                token = after
        elif kind == _DASH:
            if after < len(text) and text[after] == text[i]:
                n = _close(text, table, start, end, n, token, i, False)
                n = _emit(text, table, start, end, n, i, i + 2)
                token = after = i + 2
        elif kind == _BACKTICK or kind == _QUOTE:
            after = _end_of_equal(text, i)
            if kind == _BACKTICK or after > i + 1:
                n = _close(text, table, start, end, n, token, i, kind == _BACKTICK)
                while i + 1 < after:
                    n = _emit(text, table, start, end, n, i, i + 2)
                    i += 2
                token = i
                before = kind
            if i < after:  # one is left
                inside = before == _WORD or before == _DIGIT
                if kind == _BACKTICK or (not inside and _opens(text, after, table)):
                    n = _close(text, table, start, end, n, token, i, True)
                    n = _emit(text, table, start, end, n, i, after)
                    token = after
        if kind != _SEPARATOR:
            swallowed = False
        i = after
    return _close(text, table, start, end, n, token, len(text), False)


@numba.njit(cache=True, nogil=True)
def _emit(
    text: NDArray[np.uint8],
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n: int,
    begin: int,
    stop: int,
) -> int:
    """Writes a token; "wanna" at its end as tokens of their own."""
    if stop - begin >= 5 and load(text, stop - 5, stop) | _LOWER_CASE_5 == _WANNA:
        at = _character_before(text, begin, stop - 5)
        kind = table[decode(text, at)[0]] if at < stop - 5 else _BLANK
        if kind != _WORD and kind != _DIGIT:
            if stop - begin > 5:
                start[n], end[n] = begin, stop - 5
                n += 1
            start[n], end[n] = stop - 5, stop - 2
            begin = stop - 2
            n += 1
    start[n], end[n] = begin, stop
    return n + 1


@numba.njit(cache=True, nogil=True)
def _close(
    text: NDArray[np.uint8],
    table: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n: int,
    begin: int,
    stop: int,
    early: bool,
) -> int:
    """Writes the tokens of a run that a break ends: quotes and clitics at its end are tokens of their own.

    One quote or clitic of one letter, and then one of two; before an early break, a quote comes off first.
    """
    if begin == stop:
        return n
    quote = early and stop - begin >= 2 and text[stop - 1] == _APOSTROPHE
    last = stop - 1 if quote else stop
    short = _short_clitic(text, begin, last)
    long = _long_clitic(text, begin, short)
    n = _emit(text, table, start, end, n, begin, long)
    if long < short:
        n = _emit(text, table, start, end, n, long, short)
    if short < last:
        n = _emit(text, table, start, end, n, short, last)
    if quote:
        n = _emit(text, table, start, end, n, last, stop)
    return n


_APOSTROPHE = np.uint8(ord("'"))


def _number(word: str) -> np.uint64:
    return np.uint64(int.from_bytes(word.encode(), "little"))


_LOWER_CASE_5, _LOWER_CASE_6 = _number("     "), _number("      ")  # or-ed to letters, makes them lower case
_WANNA, _CANNOT = _number("wanna"), _number("cannot")
_DYE, _MORE_N = _number("d'ye  "), _number("more'n")
_GIMME, _GONNA, _GOTTA, _LEMME = (_number(word) for word in ("gimme", "gonna", "gotta", "lemme"))


@numba.njit(cache=True, nogil=True)
def _short_clitic(text: NDArray[np.uint8], begin: int, stop: int) -> int:
    """Where a ``'s``, ``'m``, ``'d`` or ``'`` at the end of a token begins; ``stop`` if there is none."""
    size = stop - begin
    letter = text[stop - 1] | 0x20
    one = letter == ord("s") or letter == ord("m") or letter == ord("d")
    if one and size >= 3 and text[stop - 2] == _APOSTROPHE and text[stop - 3] != _APOSTROPHE:
        return stop - 2
    if size >= 2 and text[stop - 1] == _APOSTROPHE and text[stop - 2] != _APOSTROPHE:
        return stop - 1
    return stop


@numba.njit(cache=True, nogil=True)
def _long_clitic(text: NDArray[np.uint8], begin: int, stop: int) -> int:
    """Where a ``'ll``, ``'re``, ``'ve`` or ``n't`` at the end of a token begins; ``stop`` if there is none."""
    if stop - begin < 4 or text[stop - 4] == _APOSTROPHE:
        return stop
    a, b, c = text[stop - 3], text[stop - 2], text[stop - 1]
    if (a ^ b if a != _APOSTROPHE else b ^ c) & 0x20 and b != _APOSTROPHE:
        return stop  # mixed case
    if b == _APOSTROPHE:
        return stop - 3 if (a == ord("n") and c == ord("t")) or (a == ord("N") and c == ord("T")) else stop
    b, c = b | 0x20, c | 0x20
    long = (b == ord("l") and c == ord("l")) or ((b == ord("r") or b == ord("v")) and c == ord("e"))
    return stop - 3 if a == _APOSTROPHE and long else stop


@numba.njit(cache=True, nogil=True)
def _contraction(text: NDArray[np.uint8], whole: int, begin: int, stop: int) -> int:
    """Where to cut "cannot", "gimme", "gonna", "gotta", "lemme", "d'ye" or "more'n"; 0 if it is none of them.

    The run of word characters is ``text[begin:stop]``; ``text[whole:stop]`` has the one before and an apostrophe, too.
    """
    size = stop - whole
    if begin > whole:
        word = load(text, whole, stop) | _LOWER_CASE_6
        if (size == 4 and word == _DYE) or (size == 6 and word == _MORE_N):
            return begin - 1
        size = stop - begin
    if size == 5:
        word = load(text, begin, stop) | _LOWER_CASE_5
        return begin + 3 if word == _GIMME or word == _GONNA or word == _GOTTA or word == _LEMME else 0
    if size == 6:
        return begin + 3 if load(text, begin, stop) | _LOWER_CASE_6 == _CANNOT else 0
    return 0


@numba.njit(cache=True, nogil=True)
def _opens(text: NDArray[np.uint8], i: int, table: NDArray[np.uint8]) -> bool:
    """Whether a word, but no clitic, begins at byte i."""
    stop = _end_of_run(text, i, table)
    if stop == i:
        return False
    a, b = text[i] | 0x20, text[stop - 1] | 0x20
    if stop - i == 1:
        return not (a == ord("m") or a == ord("t") or a == ord("s") or a == ord("d") or a == ord("n"))
    clitic = (b == ord("e") and (a == ord("r") or a == ord("v"))) or (a == ord("l") and b == ord("l"))
    return not (clitic and stop - i == 2)


@numba.njit(cache=True, nogil=True)
def _end_of_run(text: NDArray[np.uint8], i: int, table: NDArray[np.uint8]) -> int:
    """Where the word characters from byte i on end."""
    while i < len(text):
        code_point, size = decode(text, i)
        kind = table[code_point]
        if kind != _WORD and kind != _DIGIT:
            break
        i += size
    return i


@numba.njit(cache=True, nogil=True)
def _end_of_equal(text: NDArray[np.uint8], i: int) -> int:
    """Where the run of bytes like byte i ends."""
    stop = i + 1
    while stop < len(text) and text[stop] == text[i]:
        stop += 1
    return stop


@numba.njit(cache=True, nogil=True)
def _character_before(text: NDArray[np.uint8], begin: int, i: int) -> int:
    """Where the character that ends at byte i begins; i if nothing stands before it."""
    at = i
    while at > begin:
        at -= 1
        if text[at] & 0xC0 != 0x80:
            break
    return at


@numba.njit(cache=True, nogil=True)
def _final_period(text: NDArray[np.uint8]) -> int:
    """Where the period is behind which nothing but closing quotes and brackets stands; -1 if nowhere."""
    i = len(text)
    while i > 0:
        at = _character_before(text, 0, i)
        code_point = decode(text, at)[0]
        if code_point == ord("."):
            return at if at > 0 and text[at - 1] != text[at] else -1
        quote = code_point == ord('"') or code_point == _APOSTROPHE
        if not (quote or _closes_sentence(code_point)):
            return -1
        i = at
    return -1


@numba.njit(cache=True, nogil=True)
def _closes_sentence(code_point: int) -> bool:
    ascii_ = code_point == ord("]") or code_point == ord(")") or code_point == ord("}") or code_point == ord(">")
    return ascii_ or code_point == ord(" ") or code_point == 0xBB or code_point == 0x201D or code_point == 0x2019
