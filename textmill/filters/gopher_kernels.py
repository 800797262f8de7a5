"""The counts of `gopher.GopherQuality`, made on UTF-8 bytes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.filters.segments import strip
from textmill.filters.stop_words import find
from textmill.text import LETTER, NUMBER, PUNCTUATION, SYMBOL, decode

ALL, NOT_PUNCTUATION, ALPHANUMERIC = range(3)  # places in gopher.Counted
N_COUNTED, N_MEASURED, MEASURED_CHARS, N_ALPHA, N_STOP, N_DISTINCT_STOP = range(6)  # rows of what count_words gives

_HASH = ord("#")
_MAX_EXACT = 64  # longer words share a bin of a histogram


@numba.njit(cache=True, nogil=True)
def count_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    found: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    counted: int,
    measured: int,
    ascii_letters: bool,
    hashes: NDArray[np.uint64],
    stop_hashes: NDArray[np.uint64],
    stop_numbers: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Counts of the words of each document, [6, documents]; rows are named above."""
    counts = np.zeros((6, len(offsets) - 1), dtype=np.int64)
    last_seen = np.full(stop_numbers.max() + 1, -1, dtype=np.int64)  # the latest document that has the stop word
    for document in range(len(offsets) - 1):
        n_counted = n_measured = chars = n_alpha = n_stop = n_distinct = 0
        for k in range(offsets[document], offsets[document + 1]):
            word = data[start[k] : end[k]]
            n_counted += is_counted(word, n_chars[k], found[k], classes, counted)
            if is_counted(word, n_chars[k], found[k], classes, measured):
                n_measured += 1
                chars += n_chars[k]
            n_alpha += found[k] & LETTER != 0 and not (ascii_letters and not _has_ascii_letter(word))
            number = find(hashes[k], stop_hashes, stop_numbers)
            if number >= 0:
                n_stop += 1
                n_distinct += last_seen[number] != document
                last_seen[number] = document
        counts[N_COUNTED, document], counts[N_MEASURED, document] = n_counted, n_measured
        counts[MEASURED_CHARS, document], counts[N_ALPHA, document] = chars, n_alpha
        counts[N_STOP, document], counts[N_DISTINCT_STOP, document] = n_stop, n_distinct
    return counts


@numba.njit(cache=True, nogil=True)
def is_counted(word: NDArray[np.uint8], n_chars: int, found: int, classes: NDArray[np.uint8], how: int) -> bool:
    """Whether a word counts; see `gopher.Counted`. ``found``: the classes of its characters."""
    if how == ALL:
        return True
    if how == ALPHANUMERIC:
        return classes[decode(word, 0)[0]] & (LETTER | NUMBER) != 0
    if found & ~(PUNCTUATION | SYMBOL) != 0:
        return True
    return found & SYMBOL != 0 and len(word) > n_chars and _has_symbol_beyond_ascii(word, classes)


@numba.njit(cache=True, nogil=True)
def _has_symbol_beyond_ascii(word: NDArray[np.uint8], classes: NDArray[np.uint8]) -> bool:
    i = 0
    while i < len(word):
        code_point, size = decode(word, i)
        if code_point >= 0x80 and classes[code_point] == SYMBOL:
            return True
        i += size
    return False


@numba.njit(cache=True, nogil=True)
def _has_ascii_letter(word: NDArray[np.uint8]) -> bool:
    i = 0
    while i < len(word) and not 0x61 <= (word[i] | 0x20) <= 0x7A:
        i += 1
    return i < len(word)


@numba.njit(cache=True, nogil=True)
def median_chars(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    found: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    measured: int,
) -> NDArray[np.float64]:
    """The median length of the words that count, [documents]; 0 where none does."""
    medians = np.zeros(len(offsets) - 1)
    histogram = np.zeros(_MAX_EXACT + 1, dtype=np.int64)
    for document in range(len(offsets) - 1):
        lengths = np.empty(offsets[document + 1] - offsets[document], dtype=np.int32)
        histogram[:] = 0
        n = 0
        for k in range(offsets[document], offsets[document + 1]):
            if is_counted(data[start[k] : end[k]], n_chars[k], found[k], classes, measured):
                histogram[min(n_chars[k], _MAX_EXACT)] += 1
                lengths[n] = n_chars[k]
                n += 1
        if n:
            lower, upper = _at_rank(histogram, (n - 1) // 2), _at_rank(histogram, n // 2)
            if upper == _MAX_EXACT:  # rarely
                in_order = np.sort(lengths[:n])
                lower, upper = in_order[(n - 1) // 2], in_order[n // 2]
            medians[document] = (lower + upper) / 2
    return medians


@numba.njit(cache=True, nogil=True)
def _at_rank(histogram: NDArray[np.int64], rank: int) -> int:
    """The value with so many before it, in order of size."""
    value = 0
    while histogram[value] <= rank:
        rank -= histogram[value]
        value += 1
    return value


@numba.njit(cache=True, nogil=True)
def count_occurrences(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    marks: NDArray[np.uint8],
    mark_offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Occurrences in each document of the first mark, of any other, of all: [3, documents].

    Those of one mark do not overlap, as in ``str.count``.
    """
    counts = np.zeros((3, len(offsets) - 1), dtype=np.int64)
    begins_one = _first_bytes(marks, mark_offsets)
    free = np.empty(len(mark_offsets) - 1, dtype=np.int64)  # where each mark's last occurrence ended
    for document in range(len(offsets) - 1):
        text = data[offsets[document] : offsets[document + 1]]
        free[:] = 0
        for i in range(len(text)):
            if not begins_one[text[i]]:
                continue
            for k in range(len(free)):
                mark = marks[mark_offsets[k] : mark_offsets[k + 1]]
                if free[k] <= i and _is_at(text, i, mark):
                    counts[min(k, 1), document] += 1
                    free[k] = i + len(mark)
        counts[2, document] = counts[0, document] + counts[1, document]
    return counts


@numba.njit(cache=True, nogil=True)
def count_symbol_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    marks: NDArray[np.uint8],
    mark_offsets: NDArray[np.int64],
    whole: bool,
) -> NDArray[np.int64]:
    """Words of each document with the first mark, with any other, with either: [3, documents].

    If ``whole``: words that begin a run of ``#`` with more than half of their characters, and words that are a mark.
    """
    counts = np.zeros((3, len(offsets) - 1), dtype=np.int64)
    first_mark = marks[: mark_offsets[1]]
    begins_one = _first_bytes(marks, mark_offsets)
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            word = data[start[k] : end[k]]
            if not _has_any(word, begins_one):
                continue
            has_first = 2 * _n_runs(word) > n_chars[k] if whole else _has(word, first_mark)
            has_other = False
            for m in range(1, len(mark_offsets) - 1):
                mark = marks[mark_offsets[m] : mark_offsets[m + 1]]
                if whole:
                    has_other |= len(mark) == len(word) and _is_at(word, 0, mark)
                else:
                    has_other |= _has(word, mark)
            counts[0, document] += has_first
            counts[1, document] += has_other
            counts[2, document] += has_first or has_other
    return counts


@numba.njit(cache=True, nogil=True)
def _first_bytes(marks: NDArray[np.uint8], mark_offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which bytes a mark begins with, [256]."""
    first = np.zeros(256, dtype=np.bool_)
    for k in range(len(mark_offsets) - 1):
        first[marks[mark_offsets[k]]] = True
    return first


@numba.njit(cache=True, nogil=True)
def _has_any(word: NDArray[np.uint8], wanted: NDArray[np.bool_]) -> bool:
    i = 0
    while i < len(word) and not wanted[word[i]]:
        i += 1
    return i < len(word)


@numba.njit(cache=True, nogil=True)
def _n_runs(word: NDArray[np.uint8]) -> int:
    """Maximal runs of ``#``."""
    n = 0
    for i in range(len(word)):
        n += word[i] == _HASH and (i == 0 or word[i - 1] != _HASH)
    return n


@numba.njit(cache=True, nogil=True)
def _has(word: NDArray[np.uint8], mark: NDArray[np.uint8]) -> bool:
    last = len(word) - len(mark)
    i = 0
    while i <= last and not (word[i] == mark[0] and _is_at(word, i, mark)):
        i += 1
    return i <= last


@numba.njit(cache=True, nogil=True)
def _is_at(text: NDArray[np.uint8], i: int, mark: NDArray[np.uint8]) -> bool:
    """Whether the text goes on with the mark at byte i."""
    if i + len(mark) > len(text):
        return False
    k = 0
    while k < len(mark) and text[i + k] == mark[k]:
        k += 1
    return k == len(mark)


@numba.njit(cache=True, nogil=True)
def count_marked_lines(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    classes: NDArray[np.uint8],
    stripped: bool,
    bullets: NDArray[np.uint32],
    ellipses: NDArray[np.uint8],
    ellipsis_offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Lines of each document that begin with a bullet, and that end with an ellipsis: [2, documents].

    Ellipses are given in lower case, and found in either case.
    """
    counts = np.zeros((2, len(offsets) - 1), dtype=np.int64)
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            first, last = strip(data, start[k], end[k], classes) if stripped else (start[k], end[k])
            line = data[first:last]
            if len(line) == 0:
                continue
            character = decode(line, 0)[0]
            for bullet in bullets:
                if character == bullet:
                    counts[0, document] += 1
                    break
            for m in range(len(ellipsis_offsets) - 1):
                if _ends_with(line, ellipses[ellipsis_offsets[m] : ellipsis_offsets[m + 1]]):
                    counts[1, document] += 1
                    break
    return counts


@numba.njit(cache=True, nogil=True)
def _ends_with(line: NDArray[np.uint8], mark: NDArray[np.uint8]) -> bool:
    """Whether a line, its ASCII letters in lower case, ends with a mark."""
    before = len(line) - len(mark)
    k = len(mark) if before >= 0 else 0
    while k > 0:
        byte = line[before + k - 1]
        if byte + 32 * (0x41 <= byte <= 0x5A) != mark[k - 1]:
            break
        k -= 1
    return k == 0 and before >= 0
