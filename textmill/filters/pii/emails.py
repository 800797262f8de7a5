"""E-mail addresses: ``name@host.org``, and spelt out as people do to hide them from harvesters.

An address is a local part of up to 64 ASCII characters (RFC 5321, 4.5.3.1) without two dots in a row, an *at*, and a
domain of up to 255 bytes whose last label is a word or punycode and not its only one. Of a longer local part the last
64 characters go. Inner labels may have Latin, Greek and Cyrillic letters. Quoted local parts and address literals are
left, and so is ``name @ host.org``: on the web that is "Kiran @ kirantarun.com" far more often than an address.

Spelt out, *at* is ``(at)``, ``[at]``, ``{at}``, ``<at>``, ``(@)`` with or without spaces, `` - at - ``, or the bare
word; a dot may be ``(dot)`` or the bare word. After the bare word *at*, a spelt dot, a known last label, and a host
that is not an article are asked for: "look at the dot matrix" is no address. ``-at-`` and ``_at_`` count as bare words.

Each *at* is an anchor with a bounded look to both sides, so the time is linear in the text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.filters.pii.alphabet import (
    ALNUM,
    CASE,
    DIGIT,
    LABEL,
    LETTER,
    LOCAL,
    ascii_bytes,
    is_in,
    isa,
    peek,
    reads,
    word_hash,
    word_set,
)

MAX_LOCAL, MAX_LABEL, MAX_DOMAIN = 64, 63, 255  # bytes
MAX_MARK = 4  # brackets and spaces on one side of a spelt mark

_AT, _DOT, _DASH, _LINE, _SPACE, _PERCENT = map(ord, "@.-_ %")
_DOT_WORD, _PUNYCODE = ascii_bytes("dot"), ascii_bytes("xn--")

PLAIN, BRACKETED, BARE = 1, 2, 3  # how a mark is written

# Last labels of addresses whose marks are bare words. Country codes that are English words are left out.
_TOP_LABELS = word_set(
    "com net org edu gov mil info biz name pro dev app io eu uk de fr nl es ch se pl ru jp cn au ca br cz dk fi gr hu"
    " ie il kr mx nz pt ro sk tr tw ua za ar cl hk sg lt lv ee si hr rs bg lu tv fm cc co".split()
)
_NO_HOSTS = word_set(
    "a an the this that these those each every any some one another no my your our his her its their which what".split()
)
_FILE_NAMES = word_set("png jpg jpeg gif svg webp avif css js".split())  # icon@2x.png


@inner
def plain_email(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the address around the ``@`` at i; the end is 0 if there is none."""
    start = _local_start(data, i, lo)
    if start == i:
        left, right, style = _mark(data, i, i + 1, lo, hi)
        return _marked_email(data, left, right, style, lo, hi) if style == BRACKETED else (0, 0)
    end, _ = _domain_end(data, i + 1, lo, hi, PLAIN)
    return start, end


@inner
def spelt_email(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the address around the letters ``at`` at i; the end is 0 if there is none."""
    left, right, style = _mark(data, i, i + 2, lo, hi)
    return _marked_email(data, left, right, style, lo, hi) if style else (0, 0)


@inner
def _marked_email(data: NDArray[np.uint8], left: int, right: int, style: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the address around a mark for *at* of this style; the end is 0 if there is none."""
    start = _local_start(data, left, lo)
    if start == left or not isa(data, left - 1, lo, hi, ALNUM):
        return 0, 0
    if style == BARE and is_in(_label_hash(data, right, hi), _NO_HOSTS):
        return 0, 0
    end, n_spelt = _domain_end(data, right, lo, hi, style)
    if end == 0 or (style == BARE and n_spelt == 0):
        return 0, 0
    return _spelt_local_start(data, start, lo, hi), end


@inner
def _local_start(data: NDArray[np.uint8], at: int, lo: int) -> int:
    """Where the local part before ``at`` begins; ``at`` if there is none."""
    start = at
    floor = max(lo, at - MAX_LOCAL)
    while start > floor and isa(data, start - 1, lo, at, LOCAL) and not _two_dots(data, start - 1, at):
        start -= 1
    while start < at and data[start] in (_DOT, _DASH, _PERCENT):  # leaders and dashes before the address
        start += 1
    return start


@inner
def _two_dots(data: NDArray[np.uint8], i: int, end: int) -> bool:
    return i + 1 < end and data[i] == _DOT and data[i + 1] == _DOT


@inner
def _spelt_local_start(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> int:
    """Where a local part of which the last piece begins at ``start`` begins: there may be spelt dots in it."""
    for _ in range(2):
        word = start
        while word > lo and start - word < MAX_MARK and not isa(data, word - 1, lo, hi, ALNUM):
            word -= 1
        if word - 3 < lo or not reads(data, word - 3, hi, _DOT_WORD):
            break
        left, right, style = _mark(data, word - 3, word, lo, hi)
        piece = _local_start(data, left, lo) if style and right == start else left
        if piece == left:
            break
        start = piece
    return start


@inner
def _domain_end(data: NDArray[np.uint8], start: int, lo: int, hi: int, at: int) -> tuple[int, int]:
    """Where the longest domain that begins at ``start`` ends, 0 if there is none, and how many dots in it are spelt.

    ``at`` is how the *at* before it is written. Unless that is in brackets, which no prose has, a bare word for a dot
    needs a known last label.
    """
    end = n_spelt = n_spelt_at_end = 0
    is_prose = at == BARE
    position = start
    first = True
    while position - start <= MAX_DOMAIN:
        label_end = _label_end(data, position, lo, hi)
        if label_end == position:
            break
        if not first:
            top = _top_label_end(data, position, label_end, lo, hi)
            known = not is_prose or is_in(word_hash(data, position, top), _TOP_LABELS)
            if top and known and not is_in(word_hash(data, position, top), _FILE_NAMES):
                end, n_spelt_at_end = top, n_spelt
        first = False
        position, style = _dot(data, label_end, lo, hi)
        if style == 0:
            break
        n_spelt += style != PLAIN
        is_prose = is_prose or (style == BARE and at != BRACKETED)
    if position - start > MAX_DOMAIN:
        return 0, 0
    return end, n_spelt_at_end


@inner
def _label_end(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> int:
    """Where the label that begins at ``start`` ends; ``start`` if none does."""
    i = start
    if peek(data, i, lo, hi) == _DASH:
        return start
    while i - start <= MAX_LABEL:
        if isa(data, i, lo, hi, LABEL):
            if data[i] == _DASH and _spelt_dash(data, i, lo, hi):
                break
            i += 1
        elif 0xC3 <= peek(data, i, lo, hi) <= 0xD4 and peek(data, i + 1, lo, hi) & 0xC0 == 0x80:  # U+00C0 to U+053F
            i += 2
        else:
            break
    return i if i - start <= MAX_LABEL else start


@inner
def _spelt_dash(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> bool:
    """Whether ``-dot-`` stands at i."""
    return reads(data, i + 1, hi, _DOT_WORD) and peek(data, i + 4, lo, hi) == _DASH


@inner
def _top_label_end(data: NDArray[np.uint8], start: int, end: int, lo: int, hi: int) -> int:
    """Where a last label that begins at ``start`` ends, not after ``end``; 0 if none does."""
    i = start
    if reads(data, start, end, _PUNYCODE):
        i = end
        while i > start + len(_PUNYCODE) and not isa(data, i - 1, lo, hi, ALNUM):
            i -= 1
        return i if i > start + len(_PUNYCODE) else 0
    while i < end and isa(data, i, lo, hi, LETTER):
        i += 1
    return i if i - start >= 2 and not isa(data, i, lo, hi, DIGIT) else 0


@inner
def _dot(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Where the dot at i ends, and how it is written; 0 if there is none."""
    if peek(data, i, lo, hi) == _DOT:
        return i + 1, PLAIN
    word = i
    while word - i < MAX_MARK and (_is_open(data, word, lo, hi) or peek(data, word, lo, hi) in (_SPACE, _DASH, _LINE)):
        word += 1
    if word == i:
        return i, 0
    if reads(data, word, hi, _DOT_WORD):
        left, right, style = _mark(data, word, word + 3, lo, hi)
    elif peek(data, word, lo, hi) == _DOT and _is_open(data, word - 1, lo, hi):  # [.]
        left, right, style = _mark(data, word, word + 1, lo, hi)
    else:
        return i, 0
    return right, style if left == i else 0


@inner
def _mark(data: NDArray[np.uint8], start: int, end: int, lo: int, hi: int) -> tuple[int, int, int]:
    """Bounds of a spelt mark with what sets it off, given its bare word, and its style: BRACKETED, BARE, or 0."""
    left, right = start, end
    n_open = n_close = 0
    while start - left < MAX_MARK and (_is_open(data, left - 1, lo, hi) or peek(data, left - 1, lo, hi) == _SPACE):
        left -= 1
        n_open += data[left] != _SPACE
    while right - end < MAX_MARK and (_is_close(data, right, lo, hi) or peek(data, right, lo, hi) == _SPACE):
        n_close += data[right] != _SPACE
        right += 1
    if n_open and n_close:
        return left, right, BRACKETED
    if n_open or n_close:
        return left, right, 0
    if left < start and right > end:
        if _is_dashed(data, left, right, lo, hi):
            return left - 2, right + 2, BRACKETED
        return left, right, BARE
    joint = peek(data, start - 1, lo, hi)
    if joint in (_DASH, _LINE) and joint == peek(data, end, lo, hi):
        is_apart = peek(data, start - 2, lo, hi) == peek(data, end + 1, lo, hi) == _SPACE
        return start - 1 - is_apart, end + 1 + is_apart, BARE
    return left, right, 0


@inner
def _is_dashed(data: NDArray[np.uint8], left: int, right: int, lo: int, hi: int) -> bool:
    """Whether a mark with spaces around it is set off by dashes and spaces again."""
    before = peek(data, left - 1, lo, hi) == _DASH and peek(data, left - 2, lo, hi) == _SPACE
    return before and peek(data, right, lo, hi) == _DASH and peek(data, right + 1, lo, hi) == _SPACE


@inner
def _is_open(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> bool:
    return peek(data, i, lo, hi) in (ord("("), ord("["), ord("{"), ord("<"))


@inner
def _is_close(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> bool:
    return peek(data, i, lo, hi) in (ord(")"), ord("]"), ord("}"), ord(">"))


@inner
def _label_hash(data: NDArray[np.uint8], start: int, hi: int) -> np.uint64:
    """Hash of the run of letters, at most a label, that begins at ``start``."""
    end = start
    while end < hi and end - start < MAX_LABEL and isa(data, end, start, hi, LETTER):
        end += 1
    return word_hash(data, start, end)


@inner
def may_spell_at(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> bool:
    """Whether a word or mark ``at`` begins at i, in any case: a cheap look before `spelt_email`."""
    if i + 2 > hi or data[i + 1] | CASE != ord("t") or i == lo:
        return False
    return not isa(data, i - 1, lo, hi, ALNUM) and not isa(data, i + 2, lo, hi, ALNUM)
