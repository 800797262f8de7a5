"""Words with their places: what is compared when stretches of text are looked for, and how stretches are cut out.

**Words** are those of `normalize.LETTERS_AND_DIGITS`: letters and digits, in lower case and without accents; a letter
of a script that is written without spaces begins a new word. So two stretches are equal if they differ in nothing but
case, accents, punctuation and white space. Every word carries a 64-bit hash and the bytes that it takes.

**Windows** are n words in a row. The hash of a window rolls: a polynomial in the hashes of its words, modulo 2**64,
with its bits spread. No window crosses from one document into the next.

Costs on one core that others kept busy, in nanoseconds a byte of web pages: words 6, windows 1. Memory: 24 bytes a
word, 8 a window; room for a word every two bytes is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.characters import decode
from textmill.dedup.normalize import IGNORED, LETTERS_AND_DIGITS, SEPARATOR, STARTS_WORD
from textmill.text import Segmentation

NEWLINE, SPACE, TAB = np.uint8(0x0A), np.uint8(0x20), np.uint8(0x09)
NO_WINDOW = np.uint64(0)  # the hash of a window that would cross the end of its document; no window has it
_BASIS, _FACTOR = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)
_BASE = np.uint64(0xD6E8FEB86659FD93)  # of the polynomial; odd


class Words(NamedTuple):
    """The words of a batch; document i has those from ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]  # [documents + 1]
    hashes: NDArray[np.uint64]  # [words]
    start: NDArray[np.int64]  # [words], in bytes from the beginning of the document
    end: NDArray[np.int64]


def cut_words(text: pa.LargeStringArray) -> Words:
    """The words of each text."""
    cut = Segmentation(text)  # for its buffers; nothing is cut before it is asked for
    n_most = (int(cut.offsets[-1] - cut.offsets[0]) + len(text) + 1) // 2  # a word takes a byte and a separator
    start, end = np.empty((2, n_most), np.int64)
    hashes, offsets = np.empty(n_most, np.uint64), np.zeros(len(text) + 1, np.int64)
    _cut_words(cut.data, cut.offsets, LETTERS_AND_DIGITS.characters(), offsets, hashes, start, end)
    n = offsets[-1]
    return Words(offsets, hashes[:n], start[:n], end[:n])


@kernel
def _cut_words(data, text_offsets, characters, offsets, hashes, start, end):  # type: ignore[no-untyped-def]
    n = 0
    for document in range(len(offsets) - 1):
        base, stop = text_offsets[document], text_offsets[document + 1]
        text = data[:stop]
        word, i = _BASIS, base
        while i < stop:
            byte = text[i]
            if byte < 0x80:
                character, size = characters[byte], 1
            else:
                code_point, size = decode(text, i)
                character = characters[code_point]
            if not character & IGNORED:
                if word != _BASIS and character & (SEPARATOR | STARTS_WORD):
                    hashes[n], end[n] = spread(word), i - base
                    n += 1
                    word = _BASIS
                if not character & SEPARATOR:
                    if word == _BASIS:
                        start[n] = i - base
                    word = (word ^ np.uint64(character)) * _FACTOR
            i += size
        if word != _BASIS:
            hashes[n], end[n] = spread(word), stop - base
            n += 1
        offsets[document + 1] = n


@kernel
def spread(value):  # type: ignore[no-untyped-def]
    """Spreads every bit over all 64 (the finalizer of MurmurHash3)."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


def folded(text: bytes) -> bytes:
    """The words of one stretch of UTF-8, for comparing: four bytes a letter, a zero before each word."""
    data = np.frombuffer(text, np.uint8)
    letters = np.empty(2 * len(data) + 1, np.uint32)
    return letters[: _fold(data, LETTERS_AND_DIGITS.characters(), letters)].tobytes()


@kernel
def _fold(text, characters, letters):  # type: ignore[no-untyped-def]
    n = i = 0
    in_word = False
    while i < len(text):
        code_point, size = decode(text, i)
        i += size
        character = characters[code_point]
        if character & IGNORED:
            continue
        if character & SEPARATOR:
            in_word = False
            continue
        if not in_word or character & STARTS_WORD:
            letters[n], in_word = 0, True
            n += 1
        letters[n] = character
        n += 1
    return n


@kernel
def window_hashes(hashes: NDArray[np.uint64], offsets: NDArray[np.int64], n: int) -> NDArray[np.uint64]:
    """For each word the hash of the n words that begin with it, `NO_WINDOW` where the document has not so many."""
    windows = np.full(len(hashes), NO_WINDOW)
    out = np.uint64(1)  # what the oldest word has been multiplied with when it leaves
    for _ in range(n):
        out *= _BASE
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1]
        if last - first < n:
            continue
        value = np.uint64(0)
        for i in range(first, first + n):
            value = value * _BASE + hashes[i]
        windows[first] = max(spread(value), np.uint64(1))
        for i in range(first + n, last):
            value = value * _BASE + hashes[i] - out * hashes[i - n]
            windows[i - n + 1] = max(spread(value), np.uint64(1))
    return windows


class Stretches(NamedTuple):
    """Stretches of the texts of a batch, in order, none touching another; each within one document."""

    row: NDArray[np.int64]  # [stretches], of the document in its batch
    start: NDArray[np.int64]  # [stretches], in bytes from the beginning of the document
    end: NDArray[np.int64]


def merged(row: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Stretches:
    """The union of stretches that may overlap and come in any order."""
    order = np.lexsort((start, row))
    row, start, end = (array[order].astype(np.int64) for array in (row, start, end))
    n = _merge(row, start, end)
    return Stretches(row[:n], start[:n], end[:n])


@kernel
def _merge(row, start, end):  # type: ignore[no-untyped-def]
    """In place; returns how many stretches are left."""
    n = 0
    for i in range(len(row)):
        if n and row[n - 1] == row[i] and start[i] <= end[n - 1]:
            end[n - 1] = max(end[n - 1], end[i])
        else:
            row[n], start[n], end[n] = row[i], start[i], end[i]
            n += 1
    return n


def replace_stretches(text: pa.LargeStringArray, cuts: Stretches, replacement: str = "") -> pa.LargeStringArray:
    """The texts with something else in the place of each stretch.

    If it is nothing, and blanks stand on both sides, those behind go too; and of a line with nothing left, its end.
    Stretches begin and end between characters.
    """
    cut = Segmentation(text)
    mask = np.frombuffer(replacement.encode(), np.uint8)
    n_most = int(cut.offsets[-1] - cut.offsets[0]) + len(mask) * len(cuts.row)
    data, offsets = np.empty(n_most, np.uint8), np.zeros(len(text) + 1, np.int64)
    _replace(cut.data, cut.offsets, *cuts, mask, data, offsets)
    return pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data[: offsets[-1]]))


@kernel
def _replace(text, text_offsets, row, start, end, mask, data, offsets):  # type: ignore[no-untyped-def]
    n = k = 0
    for document in range(len(offsets) - 1):
        base, stop = text_offsets[document], text_offsets[document + 1]
        i = base
        while k < len(row) and row[k] == document:
            n = _copy(text, i, base + start[k], data, n)
            n = _copy(mask, 0, len(mask), data, n)
            i = base + end[k]
            if not len(mask):
                i = _skip_blanks(text, i, stop, data[n - 1] if n > offsets[document] else NEWLINE)
            k += 1
        n = _copy(text, i, stop, data, n)
        offsets[document + 1] = n


@kernel
def _copy(source, start, end, target, n):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        target[n] = source[i]
        n += 1
    return n


@kernel
def _skip_blanks(text, i, stop, before):  # type: ignore[no-untyped-def]
    """Where to go on when nothing stands between byte ``before`` and byte i."""
    if before == NEWLINE or before == SPACE or before == TAB:
        while i < stop and (text[i] == SPACE or text[i] == TAB):
            i += 1
    if before == NEWLINE and i < stop and text[i] == NEWLINE:
        i += 1
    return i
