"""What rules on lines share: where lines end, what stands at their ends, and how many words are in them.

All kernels work on one buffer of UTF-8 bytes and on arrays of line bounds, ``start`` and ``end``, in the order of the
text.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.bits import as_read_only, copy_bytes, inner, kernel
from textmill.characters import decode_before
from textmill.errors import UnknownNameError
from textmill.filters import segments
from textmill.filters.segments import strip_end, strip_start
from textmill.text import SPACE, Segmentation

LINE_SPLITS = ("newline", "splitlines")
_N_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Lines:
    """Line k is ``data[start[k]:end[k]]``; document i has those from ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def cut_lines(pieces: Segmentation, split: str) -> Lines:
    """The lines that ``str.split("\\n")`` ("newline") or ``str.splitlines()`` gives. Errors: `UnknownNameError`."""
    if split not in LINE_SPLITS:
        raise UnknownNameError("line split", split, LINE_SPLITS)
    return Lines(*segments.lines(pieces, "plain" if split == "newline" else "splitlines"))


def words_of_lines(pieces: Segmentation, split: str) -> NDArray[np.int64]:
    """Line k of `cut_lines` has the words from number ``offsets[k]`` to ``offsets[k + 1]``: int64 [lines + 1].

    Found once a batch. No word crosses a line end, and none is outside of lines.
    """
    return pieces.once(("words of lines", split), lambda: _words_of_lines(pieces, split))


def _words_of_lines(pieces: Segmentation, split: str) -> NDArray[np.int64]:
    lines, starts = cut_lines(pieces, split), pieces.words.start
    offsets = np.zeros(len(lines.end) + 1, np.int64)
    known = np.empty(0, np.int64), np.empty(0, np.int64)
    if split != "newline":
        known = pieces.lines.end, words_of_lines(pieces, "newline")
    _count_before(starts, lines.end, *known, offsets)
    return offsets


@functools.cache
def character_set(characters: str) -> NDArray[np.bool_]:
    """Which code points are in ``characters``: bool [0x110000]."""
    table = np.zeros(_N_CODE_POINTS, np.bool_)
    table[[ord(character) for character in characters]] = True
    return table


# Kernels


@inner
def last_character(data, start, end):  # type: ignore[no-untyped-def]
    """The last code point of ``data[start:end]``, which is not empty, and where it begins."""
    i = end - 1
    while i > start and data[i] & 0xC0 == 0x80:  # a later byte of a longer character
        i -= 1
    return decode_before(data, i, end)[0], i


@inner
def strip_in_place(out, start, end, classes):  # type: ignore[no-untyped-def]
    """Removes the whitespace around ``out[start:end]``; returns where it ends then."""
    end = strip_end(as_read_only(out), start, end, classes)
    n_before = strip_start(as_read_only(out), start, end, classes) - start
    if n_before:
        copy_bytes(out, start, out, start + n_before, end - n_before - start)
    return end - n_before


@inner
def count_words(data, start, end, classes):  # type: ignore[no-untyped-def]
    """How many words ``str.split()`` gives for ``data[start:end]``."""
    n_words = 0
    was_space = True
    while start < end:
        code_point, size = decode_before(data, start, end)
        space = classes[code_point] == SPACE
        n_words += space < was_space
        was_space = space
        start += size
    return n_words


@kernel
def _count_before(word_start, line_end, known_end, known, offsets):  # type: ignore[no-untyped-def]
    """Writes how many words start before each line end, behind a 0: int64 [lines + 1].

    It may be known of other lines, most of which end in the same places.
    """
    line, word = np.uint64(0), np.uint64(0)  # unsigned: see `textmill.whitespace`
    n_known, n_words = np.uint64(known_end.size), np.uint64(word_start.size)
    for k in range(line_end.size):
        while line < n_known and known_end[line] < line_end[k]:
            line += np.uint64(1)
        if line < n_known and known_end[line] == line_end[k]:
            word = np.uint64(known[line + np.uint64(1)])
        while word + np.uint64(8) <= n_words and word_start[word + np.uint64(7)] < line_end[k]:
            word += np.uint64(8)
        while word < n_words and word_start[word] < line_end[k]:
            word += np.uint64(1)
        offsets[k + 1] = word
