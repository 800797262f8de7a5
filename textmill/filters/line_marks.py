"""What rules on lines share: where lines end, what stands at their ends, and which phrases are in them.

All kernels work on one buffer of UTF-8 bytes and on arrays of line bounds, ``start`` and ``end``, in the order of the
text. Phrases are compared in either case of the ASCII letters; other letters must agree as they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from textmill.errors import UnknownNameError
from textmill.filters import segments
from textmill.filters.segments import strip_end, strip_start
from textmill.text import SPACE, Segmentation, decode

LINE_SPLITS = ("newline", "splitlines")
# From rare to common in English; a phrase is looked for at its rarest letter.
_LETTERS = "zqjxkvbywgpfmucdlhrsnioate "
_N_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Lines:
    """Line k is ``data[start[k]:end[k]]``; document i has those from ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


@dataclass(frozen=True)
class Phrases:
    """Phrases in lower case, ordered by their anchor, the byte at which they are looked for."""

    first: NDArray[np.int64]  # [256]: those with this byte as anchor are numbers first .. last - 1
    last: NDArray[np.int64]  # [256]
    anchor: NDArray[np.int64]  # where in the phrase the anchor is, [phrases]
    offsets: NDArray[np.int64]  # [phrases + 1], into text
    text: NDArray[np.uint8]
    mark: NDArray[np.uint8]  # what a line with the phrase is marked with, [phrases]
    pairs: NDArray[
        np.bool_
    ]  # [256, 256]: whether a byte, then an anchor may belong to a phrase; tells most places apart


def cut_lines(pieces: Segmentation, split: str) -> Lines:
    """The lines that ``str.split("\\n")`` ("newline") or ``str.splitlines()`` gives. Errors: `UnknownNameError`."""
    if split not in LINE_SPLITS:
        raise UnknownNameError("line split", split, LINE_SPLITS)
    lines = pieces.lines
    if split == "newline":
        return Lines(lines.offsets, lines.start, lines.end)
    return Lines(*segments.lines(pieces, "splitlines"))


@functools.cache
def phrase_table(groups: tuple[tuple[str, ...], ...]) -> Phrases:
    """For `find_phrases`: a line with a phrase of group g gets bit g. A phrase has no newline and is not empty."""
    found = []
    for group, phrases in enumerate(groups):
        for phrase in phrases:
            data = phrase.lower().encode()
            anchor = min(range(len(data)), key=lambda i: _LETTERS.find(chr(data[i])))
            found.append((data[anchor], anchor, data, 1 << group))
    found.sort()
    bytes_of_case = np.arange(256)
    bytes_of_case[ord("A") : ord("Z") + 1] += 32
    anchors = np.array([byte for byte, *_ in found], np.int64)
    return Phrases(
        first=np.searchsorted(anchors, bytes_of_case, "left"),
        last=np.searchsorted(anchors, bytes_of_case, "right"),
        anchor=np.array([anchor for _, anchor, _, _ in found], np.int64),
        offsets=np.cumsum([0, *(len(data) for _, _, data, _ in found)]),
        text=np.frombuffer(b"".join(data for _, _, data, _ in found), np.uint8),
        mark=np.array([mark for *_, mark in found], np.uint8),
        pairs=_pairs([(data[anchor - 1] if anchor else None, data[anchor]) for _, anchor, data, _ in found]),
    )


def _pairs(pairs: list[tuple[int | None, int]]) -> NDArray[np.bool_]:
    """Which of two bytes, in either case, are among these; None stands for any byte."""
    table = np.zeros((256, 256), np.bool_)
    for before, anchor in pairs:
        for byte in _both_cases(anchor):
            if before is None:
                table[:, byte] = True
            else:
                table[_both_cases(before), byte] = True
    return table


def _both_cases(byte: int) -> list[int]:
    return [byte, byte - 32] if ord("a") <= byte <= ord("z") else [byte]


def find_phrases(data: NDArray[np.uint8], lines: Lines, phrases: Phrases) -> NDArray[np.uint8]:
    """The groups of the phrases in each line, as bits: uint8 [lines]."""
    parts = (phrases.first, phrases.last, phrases.anchor, phrases.offsets, phrases.text, phrases.mark, phrases.pairs)
    return _find_phrases(data, lines.start, lines.end, *parts)


@functools.cache
def character_set(characters: str) -> NDArray[np.bool_]:
    """Which code points are in ``characters``: bool [0x110000]."""
    table = np.zeros(_N_CODE_POINTS, np.bool_)
    table[[ord(character) for character in characters]] = True
    return table


# Kernels


@njit(cache=True, nogil=True)
def _find_phrases(data, start, end, first, last, anchor, offsets, text, mark, pairs):  # type: ignore[no-untyped-def]
    """See `find_phrases`."""
    marks = np.zeros(start.size, np.uint8)
    if start.size == 0:
        return marks
    line = 0
    before = np.uint8(0)
    for i in range(start[0], end[-1]):
        byte = data[i]
        pair = pairs[before, byte]
        before = byte
        if pair:
            while end[line] < i:
                line += 1
            for p in range(first[byte], last[byte]):
                begin = i - anchor[p]
                phrase = text[offsets[p] : offsets[p + 1]]
                if begin >= start[line] and begin + phrase.size <= end[line] and _begins(data, begin, phrase):
                    marks[line] |= mark[p]
    return marks


@njit(cache=True, nogil=True)
def _begins(data, begin, phrase):  # type: ignore[no-untyped-def]
    """Whether the phrase, which is in lower case, stands at byte ``begin``."""
    for k in range(phrase.size):
        byte = data[begin + k]
        if 65 <= byte <= 90:
            byte += np.uint8(32)
        if byte != phrase[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def last_character(data, start, end):  # type: ignore[no-untyped-def]
    """The last code point of ``data[start:end]``, which is not empty, and where it begins."""
    i = end - 1
    while i > start and data[i] & 0xC0 == 0x80:  # a later byte of a longer character
        i -= 1
    return decode(data[i:end], 0)[0], i


@njit(cache=True, nogil=True)
def strip_in_place(out, start, end, classes):  # type: ignore[no-untyped-def]
    """Removes the whitespace around ``out[start:end]``; returns where it ends then."""
    end = strip_end(out, start, end, classes)
    n_before = strip_start(out, start, end, classes) - start
    if n_before:
        for i in range(start, end - n_before):
            out[i] = out[i + n_before]
    return end - n_before


@njit(cache=True, nogil=True)
def count_words(data, start, end, classes):  # type: ignore[no-untyped-def]
    """How many words ``str.split()`` gives for ``data[start:end]``."""
    n_words = 0
    was_space = True
    while start < end:
        code_point, size = decode(data[start:end], 0)
        space = classes[code_point] == SPACE
        n_words += space < was_space
        was_space = space
        start += size
    return n_words


@njit(cache=True, nogil=True)
def words_of_lines(word_start, n_chars, line_end, max_word_chars):  # type: ignore[no-untyped-def]
    """Words in each line, and whether one of them is longer than ``max_word_chars``. No word crosses a line end."""
    n_words = np.zeros(line_end.size, np.int32)
    has_long = np.zeros(line_end.size, np.bool_)
    word = 0
    for k in range(line_end.size):
        first = word
        longest = np.int32(0)
        while word < word_start.size and word_start[word] < line_end[k]:
            longest = max(longest, n_chars[word])
            word += 1
        n_words[k] = word - first
        has_long[k] = longest > max_word_chars
    return n_words, has_long
