"""The counts of `gopher.GopherQuality`, made on UTF-8 bytes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.bits import helper
from textmill.filters.segments import strip
from textmill.filters.stop_words import find
from textmill.text import LETTER, NUMBER, PUNCTUATION, SYMBOL, decode

ALL, NOT_PUNCTUATION, ALPHANUMERIC = range(3)  # places in gopher.Counted
N_COUNTED, N_MEASURED, MEASURED_CHARS, N_ALPHA, N_STOP, N_DISTINCT_STOP = range(6)  # rows of what count_words gives

_HASH = ord("#")
_BLOCK = 64
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
            a, b = start[k], end[k]
            n_counted += counted == ALL or _is_counted(data, a, b, n_chars[k], found[k], classes, counted)
            if measured == ALL or _is_counted(data, a, b, n_chars[k], found[k], classes, measured):
                n_measured += 1
                chars += n_chars[k]
            n_alpha += found[k] & LETTER != 0 and (not ascii_letters or _has_ascii_letter(data, a, b))
            number = find(hashes[k], stop_hashes, stop_numbers)
            if number >= 0:
                n_stop += 1
                n_distinct += last_seen[number] != document
                last_seen[number] = document
        counts[N_COUNTED, document], counts[N_MEASURED, document] = n_counted, n_measured
        counts[MEASURED_CHARS, document], counts[N_ALPHA, document] = chars, n_alpha
        counts[N_STOP, document], counts[N_DISTINCT_STOP, document] = n_stop, n_distinct
    return counts


@helper
def _is_counted(
    data: NDArray[np.uint8], start: int, end: int, n_chars: int, found: int, classes: NDArray[np.uint8], how: int
) -> bool:
    """Whether a word counts; see `gopher.Counted`. ``found``: the classes of its characters."""
    if how == ALL:
        return True
    if how == ALPHANUMERIC:
        return classes[decode(data, start)[0]] & (LETTER | NUMBER) != 0
    if found & ~(PUNCTUATION | SYMBOL) != 0:
        return True
    return found & SYMBOL != 0 and end - start > n_chars and _has_symbol_beyond_ascii(data, start, end, classes)


@helper
def _has_symbol_beyond_ascii(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> bool:
    while start < end:
        code_point, size = decode(data, start)
        if code_point >= 0x80 and classes[code_point] == SYMBOL:
            return True
        start += size
    return False


@helper
def _has_ascii_letter(data: NDArray[np.uint8], start: int, end: int) -> bool:
    while start < end and not 0x61 <= (data[start] | 0x20) <= 0x7A:
        start += 1
    return start < end


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
            if _is_counted(data, start[k], end[k], n_chars[k], found[k], classes, measured):
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


@helper
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
    free = np.zeros(len(mark_offsets) - 1, dtype=np.int64)  # where each mark's last occurrence ended
    for document in range(len(offsets) - 1):
        end = offsets[document + 1]
        for block in range(offsets[document], end, _BLOCK):
            if not _may_be_in(data, block, end, marks, mark_offsets):
                continue
            for i in range(block, min(block + _BLOCK, end)):
                if not begins_one[data[i]]:
                    continue
                for mark in range(len(free)):
                    size = mark_offsets[mark + 1] - mark_offsets[mark]
                    if free[mark] <= i and _is_at(data, i, end, marks, mark_offsets[mark], size):
                        counts[min(mark, 1), document] += 1
                        free[mark] = i + size
        counts[2, document] = counts[0, document] + counts[1, document]
    return counts


@helper
def _may_be_in(
    data: NDArray[np.uint8], block: int, end: int, marks: NDArray[np.uint8], mark_offsets: NDArray[np.int64]
) -> bool:
    """Whether a mark may begin in a block of the text: looks for its first and its last byte, many places at a time."""
    found = False
    for mark in range(len(mark_offsets) - 1):
        size = mark_offsets[mark + 1] - mark_offsets[mark]
        if block + _BLOCK + size > end:
            return True
        first, last = marks[mark_offsets[mark]], marks[mark_offsets[mark + 1] - 1]
        begins, ends = data[block : block + _BLOCK], data[block + size - 1 : block + size - 1 + _BLOCK]
        for i in range(_BLOCK):
            found |= (begins[i] == first) & (ends[i] == last)
    return found


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
    begins_one = _first_bytes(marks, mark_offsets)
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            first, last = start[k], end[k]
            while first < last and not begins_one[data[first]]:
                first += 1
            if first == last:
                continue
            first = start[k]
            has_hash = has_other = False
            for mark in range(len(mark_offsets) - 1):
                a, size = mark_offsets[mark], mark_offsets[mark + 1] - mark_offsets[mark]
                if whole:
                    is_there = last - first == size and _is_at(data, first, last, marks, a, size)
                else:
                    is_there = _is_in(data, first, last, marks, a, size)
                has_hash |= mark == 0 and is_there
                has_other |= mark > 0 and is_there
            if whole:
                has_hash = 2 * _n_runs(data, first, last) > n_chars[k]
            counts[0, document] += has_hash
            counts[1, document] += has_other
            counts[2, document] += has_hash or has_other
    return counts


@numba.njit(cache=True, nogil=True)
def _first_bytes(marks: NDArray[np.uint8], mark_offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which bytes a mark begins with, [256]."""
    first = np.zeros(256, dtype=np.bool_)
    for mark in range(len(mark_offsets) - 1):
        first[marks[mark_offsets[mark]]] = True
    return first


@helper
def _n_runs(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Maximal runs of ``#``."""
    n = 0
    for i in range(start, end):
        n += data[i] == _HASH and (i == start or data[i - 1] != _HASH)
    return n


@helper
def _is_in(data: NDArray[np.uint8], start: int, end: int, marks: NDArray[np.uint8], mark: int, size: int) -> bool:
    """Whether ``marks[mark : mark + size]`` is in ``data[start:end]``."""
    while start + size <= end and not _is_at(data, start, end, marks, mark, size):
        start += 1
    return start + size <= end


@helper
def _is_at(data: NDArray[np.uint8], i: int, end: int, marks: NDArray[np.uint8], mark: int, size: int) -> bool:
    """Whether ``data[i:end]`` begins with ``marks[mark : mark + size]``."""
    k = 0
    while k < size and i + k < end and data[i + k] == marks[mark + k]:
        k += 1
    return k == size


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
            first, last = start[k], end[k]
            if stripped:
                first, last = strip(data, first, last, classes)
            if first == last:
                continue
            character = decode(data, first)[0]
            for bullet in bullets:
                if character == bullet:
                    counts[0, document] += 1
                    break
            for mark in range(len(ellipsis_offsets) - 1):
                if _ends_with(data, first, last, ellipses, ellipsis_offsets[mark], ellipsis_offsets[mark + 1]):
                    counts[1, document] += 1
                    break
    return counts


@helper
def _ends_with(data: NDArray[np.uint8], start: int, end: int, marks: NDArray[np.uint8], first: int, last: int) -> bool:
    """Whether ``data[start:end]``, its ASCII letters in lower case, ends with ``marks[first:last]``."""
    while last > first and end > start:
        byte = data[end - 1]
        if byte + 32 * (0x41 <= byte <= 0x5A) != marks[last - 1]:
            break
        end -= 1
        last -= 1
    return last == first
