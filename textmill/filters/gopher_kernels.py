"""The counts of `gopher.GopherQuality`, made on UTF-8 bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner, kernel, lowest_one
from textmill.filters.phrases import pair_mask
from textmill.filters.stop_words import find
from textmill.text import LETTER, MARK, NUMBER, OTHER, SPACE, SYMBOL, decode

N_COUNTED, N_MEASURED, MEASURED_CHARS, N_ALPHA, N_STOP, N_DISTINCT_STOP = range(6)  # rows of what count_words gives

MAX_DISTANCE = 7  # between the two bytes at which marks are looked for
_HASH = ord("#")
_MAX_EXACT = 64  # longer words share a bin of a histogram


@kernel
def not_punctuation(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    found: NDArray[np.uint8],
    classes: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """1 for a word with a character that is no punctuation, else 0: [words]. ``found``: the classes in it."""
    counts = np.ones(len(start), dtype=np.uint8)
    for k in range(len(start)):
        counts[k] = found[k] & (LETTER | MARK | NUMBER | SPACE | OTHER) != 0
        if counts[k] == 0 and found[k] & SYMBOL != 0 and end[k] - start[k] > n_chars[k]:  # rarely
            counts[k] = _has_symbol_beyond_ascii(data, start[k], end[k], classes)
    return counts


@kernel
def count_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    found: NDArray[np.uint8],
    counted: NDArray[np.uint8],
    measured: NDArray[np.uint8],
    ascii_letters: bool,
    hashes: NDArray[np.uint64],
    stop_hashes: NDArray[np.uint64],
    stop_numbers: NDArray[np.uint64],
    last_seen: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Writes counts of the words of each document, [6, documents]; rows are named above.

    ``last_seen``: the latest document that has each number of `stop_words.find`; at first -1 for all.
    """
    for document in range(len(offsets) - 1):
        first, last = np.uint64(offsets[document]), np.uint64(offsets[document + 1])  # unsigned: see `whitespace`
        n_counted = n_measured = chars = n_alpha = n_stop = 0
        for k in range(first, last):  # a loop of its own takes many words at a time; a letter is bit 0
            n_counted += counted[k]
            n_measured += measured[k]
            chars += measured[k] * n_chars[k]
            n_alpha += found[k] & LETTER
        if ascii_letters:
            n_alpha = 0
            for k in range(first, last):
                n_alpha += found[k] & LETTER != 0 and _has_ascii_letter(data, start[k], end[k])
        for k in range(first, last):
            number = find(hashes[k], stop_hashes, stop_numbers)  # no branch depends on it: it cannot be guessed
            n_stop += number != 0
            last_seen[number] = document
        counts[N_COUNTED, document], counts[N_MEASURED, document] = n_counted, n_measured
        counts[MEASURED_CHARS, document], counts[N_ALPHA, document] = chars, n_alpha
        counts[N_STOP, document] = n_stop
        for number in range(1, len(last_seen)):
            counts[N_DISTINCT_STOP, document] += last_seen[number] == document


@inner
def _has_symbol_beyond_ascii(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> bool:
    while start < end:
        code_point, size = decode(data, start)
        if code_point >= 0x80 and classes[code_point] == SYMBOL:
            return True
        start += size
    return False


@inner
def _has_ascii_letter(data: NDArray[np.uint8], start: int, end: int) -> bool:
    while start < end and not 0x61 <= (data[start] | 0x20) <= 0x7A:
        start += 1
    return start < end


@kernel
def median_chars(
    offsets: NDArray[np.int64], n_chars: NDArray[np.int32], measured: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """The median length of the words that count, [documents]; 0 where none does."""
    medians = np.zeros(len(offsets) - 1)
    histogram = np.zeros(_MAX_EXACT + 1, dtype=np.int64)
    for document in range(len(offsets) - 1):
        first, last = offsets[document], offsets[document + 1]
        histogram[:] = 0
        n = 0
        for k in range(first, last):
            histogram[min(n_chars[k], _MAX_EXACT)] += measured[k]
            n += measured[k]
        if n:
            lower, upper = _at_rank(histogram, (n - 1) // 2), _at_rank(histogram, n // 2)
            if upper == _MAX_EXACT:  # rarely
                in_order = _in_order(n_chars[first:last], measured[first:last], n)
                lower, upper = in_order[(n - 1) // 2], in_order[n // 2]
            medians[document] = (lower + upper) / 2
    return medians


@kernel
def _in_order(n_chars: NDArray[np.int32], measured: NDArray[np.uint8], n: int) -> NDArray[np.int32]:
    """The lengths of the n words that count, ascending."""
    lengths = np.empty(n + 1, dtype=np.int32)
    n = 0
    for k in range(len(n_chars)):
        lengths[n] = n_chars[k]
        n += measured[k]
    return np.sort(lengths[:n])


@inner
def _at_rank(histogram: NDArray[np.int64], rank: int) -> int:
    """The value with so many before it, in order of size."""
    value = 0
    while histogram[value] <= rank:
        rank -= histogram[value]
        value += 1
    return value


@kernel
def count_occurrences(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    marks: NDArray[np.uint8],
    mark_offsets: NDArray[np.int64],
    pairs: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Occurrences in each document of the first mark, of any other, of all: [3, documents].

    Those of one mark do not overlap, as in ``str.count``. ``pairs``: the first byte of each mark and another of it, at
    most `MAX_DISTANCE` bytes behind; see `phrases.pair_table`.
    """
    counts = np.zeros((3, len(offsets) - 1), dtype=np.int64)
    free = np.zeros(len(mark_offsets) - 1, dtype=np.int64)  # where each mark's last occurrence ended
    for document in range(len(offsets) - 1):
        i, end = offsets[document], offsets[document + 1]
        while i < end:
            if i + 64 + MAX_DISTANCE <= end:
                places, step = pair_mask(data, i, pairs), 64
            else:
                places, step = np.uint64(1), 1
            while places:
                at = i + np.int64(lowest_one(places))
                places &= places - np.uint64(1)
                for mark in range(len(free)):
                    size = mark_offsets[mark + 1] - mark_offsets[mark]
                    if free[mark] <= at and _is_at(data, at, end, marks, mark_offsets[mark], size):
                        counts[min(mark, 1), document] += 1
                        free[mark] = at + size
            i += step
        counts[2, document] = counts[0, document] + counts[1, document]
    return counts


@kernel
def count_symbol_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int32],
    inside: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    mark_offsets: NDArray[np.int64],
    whole: bool,
) -> NDArray[np.int64]:
    """Words of each document with the first mark, with any other, with either: [3, documents].

    ``inside``: bit 0 for a word with the first mark in it, bit 1 for one with any other. If ``whole``: words that begin
    a run of ``#`` with more than half of their characters, and words that are a mark.
    """
    counts = np.zeros((3, len(offsets) - 1), dtype=np.int64)
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            if inside[k] == 0:
                continue
            has_hash, has_other = inside[k] & 1 != 0, inside[k] & 2 != 0
            if whole:
                has_hash = 2 * _n_runs(data, start[k], end[k]) > n_chars[k]
                has_other = has_other and _is_another(data, start[k], end[k], marks, mark_offsets)
            counts[0, document] += has_hash
            counts[1, document] += has_other
            counts[2, document] += has_hash or has_other
    return counts


@inner
def _is_another(
    data: NDArray[np.uint8], start: int, end: int, marks: NDArray[np.uint8], mark_offsets: NDArray[np.int64]
) -> bool:
    """Whether a word is one of the marks, the first aside."""
    for mark in range(1, len(mark_offsets) - 1):
        size = mark_offsets[mark + 1] - mark_offsets[mark]
        if end - start == size and _is_at(data, start, end, marks, mark_offsets[mark], size):
            return True
    return False


@inner
def _n_runs(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Maximal runs of ``#``."""
    n = 0
    for i in range(start, end):
        n += data[i] == _HASH and (i == start or data[i - 1] != _HASH)
    return n


@inner
def _is_at(data: NDArray[np.uint8], i: int, end: int, marks: NDArray[np.uint8], mark: int, size: int) -> bool:
    """Whether ``data[i:end]`` begins with ``marks[mark : mark + size]``."""
    k = 0
    while k < size and i + k < end and data[i + k] == marks[mark + k]:
        k += 1
    return k == size


@kernel
def count_marked_lines(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    edges: NDArray[np.uint8],
    bullets: NDArray[np.uint32],
    ellipses: NDArray[np.uint8],
    ellipsis_offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Lines of each document that begin with a bullet, and that end with an ellipsis: [2, documents].

    Ellipses are given in lower case, and found in either case. ``edges``: 1 for bytes that begin a bullet, 2 for those
    that end an ellipsis, [256]; few lines have them.
    """
    counts = np.zeros((2, len(offsets) - 1), dtype=np.int64)
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            first, last = start[k], end[k]
            if first == last:
                continue
            if edges[data[first]] & 1:
                character = decode(data, first)[0]
                for bullet in bullets:
                    if character == bullet:
                        counts[0, document] += 1
                        break
            if edges[data[last - 1]] & 2:
                for mark in range(len(ellipsis_offsets) - 1):
                    if _ends_with(data, first, last, ellipses, ellipsis_offsets[mark], ellipsis_offsets[mark + 1]):
                        counts[1, document] += 1
                        break
    return counts


@inner
def _ends_with(data: NDArray[np.uint8], start: int, end: int, marks: NDArray[np.uint8], first: int, last: int) -> bool:
    """Whether ``data[start:end]``, its ASCII letters in lower case, ends with ``marks[first:last]``."""
    while last > first and end > start:
        byte = data[end - 1]
        if byte + 32 * (0x41 <= byte <= 0x5A) != marks[last - 1]:
            break
        end -= 1
        last -= 1
    return last == first
