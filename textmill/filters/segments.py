"""Lines and paragraphs as the published rules cut them: five ways to split a text at its newlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, as_number, byte_mask, count_ones, glue, inner, kernel, lowest_one
from textmill.text import NEWLINE, SPACE, Segmentation, Spans, character_classes, decode

Split = Literal[
    "plain",  # at each separator (lines: a newline; paragraphs: two); empty pieces are pieces
    "nonblank",  # the same, without the blank pieces
    "stripped",  # the same, and the others without the whitespace around them
    "runs",  # at each run of newlines (lines: one or more; paragraphs: two or more, in the text stripped of whitespace)
    "splitlines",  # as str.splitlines(): also at carriage returns and the like, and no empty line after the last one
]
Bounds: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # as `Spans`: offsets, start, end
_BREAK_REACH = 66


def lines(pieces: Segmentation, how: Split) -> Bounds:
    """Offsets [documents + 1] of the lines, and the positions where they start and end; cut once a batch."""
    return pieces.once(("lines", how), lambda: _lines(pieces, how))


def _lines(pieces: Segmentation, how: Split) -> Bounds:
    if how == "splitlines":
        return _cut_splitlines(pieces.data, pieces.offsets, *pieces.lines.bounds)
    cut = pieces.lines
    if how == "plain":
        return cut.bounds
    if how in ("nonblank", "stripped"):
        return _written(_leave_out_blank, cut, how == "stripped", character_classes())
    return _written(_join_lines, cut, 1, *_ways(how), character_classes())


def paragraphs(pieces: Segmentation, how: Split) -> Bounds:
    """The same of the paragraphs."""
    return _written(_join_lines, pieces.lines, 2, *_ways(how), character_classes())


def _written(write: Callable[..., None], lines: Spans, *arguments: object) -> Bounds:
    """The bounds of at most as many pieces as there are lines, which a kernel writes."""
    offsets = np.zeros(len(lines.offsets), np.int64)
    start, end = np.empty(len(lines), np.int64), np.empty(len(lines), np.int64)
    write(lines.data, *lines.bounds, *arguments, offsets, start, end)
    return offsets, start[: offsets[-1]].copy(), end[: offsets[-1]].copy()


def _ways(how: Split) -> tuple[bool, bool, bool]:
    """Whether separators are runs, blank pieces are left out, and pieces are stripped."""
    return how == "runs", how in ("nonblank", "stripped"), how == "stripped"


@kernel
def strip_all(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], classes: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`strip` for every piece."""
    starts, ends = np.empty_like(start), np.empty_like(end)
    for k in range(len(start)):
        starts[k], ends[k] = strip(data, start[k], end[k], classes)
    return starts, ends


@kernel
def _leave_out_blank(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    stripped: bool,
    classes: NDArray[np.uint8],
    kept_offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> None:
    """Writes the bounds of the pieces that are not blank."""
    n = 0
    for document in range(len(offsets) - 1):
        for k in range(offsets[document], offsets[document + 1]):
            first, last = strip(data, start[k], end[k], classes)
            starts[n], ends[n] = (first, last) if stripped else (start[k], end[k])
            n += first < last
        kept_offsets[document + 1] = n


@inner
def strip(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
    """Where what ``str.strip()`` leaves of ``data[start:end]`` starts and ends."""
    if start < end and (not 0x20 < data[start] < 0x7F) | (not 0x20 < data[end - 1] < 0x7F):  # rarely
        start = _skip_spaces(data, start, end, classes)
        end = _skip_spaces_back(data, start, end, classes)
    return start, end


@inner
def strip_start(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> int:
    """Where ``data[start:end]`` begins without the whitespace before it; ``end`` if there is nothing else."""
    if start < end and not 0x20 < data[start] < 0x7F:  # rarely
        return _skip_spaces(data, start, end, classes)
    return start


@inner
def _skip_spaces(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> int:
    while start < end:
        code_point, size = decode(data, start)
        if classes[code_point] != SPACE or start + size > end:
            break
        start += size
    return start


@inner
def strip_end(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> int:
    """Where ``data[start:end]`` ends without the whitespace behind it; ``start`` if there is nothing else."""
    if start < end and not 0x20 < data[end - 1] < 0x7F:  # rarely
        return _skip_spaces_back(data, start, end, classes)
    return end


@inner
def _skip_spaces_back(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint8]) -> int:
    while start < end:
        last = end - 1
        while last > start and data[last] & 0xC0 == 0x80:  # a later byte of a longer character
            last -= 1
        code_point, size = decode(data, last)
        if classes[code_point] != SPACE or last + size > end:
            break
        end = last
    return end


@kernel
def _join_lines(
    data: NDArray[np.uint8],
    line_offsets: NDArray[np.int64],
    line_start: NDArray[np.int64],
    line_end: NDArray[np.int64],
    n_newlines: int,
    runs: bool,
    leave_out_blank: bool,
    stripped: bool,
    classes: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> None:
    """Writes the bounds of the pieces between separators of n newlines, made of whole lines."""
    n = 0
    for document in range(len(line_offsets) - 1):
        line, last = line_offsets[document], line_offsets[document + 1]
        text_start, text_end = line_start[line], line_end[last - 1]
        if runs and n_newlines > 1:
            text_start, text_end = strip(data, text_start, text_end, classes)
            while line_end[line] < text_start:
                line += 1
            while line_start[last - 1] > text_end:
                last -= 1
        piece_start = text_start
        while line < last:
            step = _newlines_after(line_start, line_end, line, last, n_newlines, runs)
            ends = step >= n_newlines or line + step >= last
            if ends:
                a, b = piece_start, min(line_end[line], text_end)
                inner_a, inner_b = strip(data, a, b, classes) if leave_out_blank else (a, b)
                if not leave_out_blank or inner_a < inner_b:
                    start[n], end[n] = (inner_a, inner_b) if stripped else (a, b)
                    n += 1
            line += step
            if ends and line < last:
                piece_start = line_start[line]
        offsets[document + 1] = n


@inner
def _newlines_after(
    start: NDArray[np.int64], end: NDArray[np.int64], line: int, last: int, n_newlines: int, runs: bool
) -> int:
    """How many newlines follow a line: n, if it is followed by so many and runs do not count, or fewer than n."""
    after = line + 1
    while after < last - 1 and start[after] == end[after] and (runs or after - line < n_newlines):
        after += 1
    return after - line


@kernel
def _cut_splitlines(
    data: NDArray[np.uint8],
    text_offsets: NDArray[np.int64],
    line_offsets: NDArray[np.int64],
    line_start: NDArray[np.int64],
    line_end: NDArray[np.int64],
) -> Bounds:
    """What ``str.splitlines()`` gives: of most documents, their lines."""
    n_odd = np.zeros(len(text_offsets) - 1, np.int64)
    most = len(line_start)
    for document in range(len(n_odd)):
        n_odd[document] = _count_odd_breaks(data, text_offsets[document], text_offsets[document + 1])
        most += n_odd[document]
    offsets = np.zeros_like(text_offsets)
    start, end = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    n = np.int64(0)
    for document in range(len(n_odd)):
        if n_odd[document]:
            n = _cut_document(data, text_offsets[document], text_offsets[document + 1], start, end, n)
        else:
            for line in range(line_offsets[document], line_offsets[document + 1]):
                start[n], end[n] = line_start[line], line_end[line]
                n += 1
            n -= start[n - 1] == end[n - 1]  # no empty line after the last newline
        offsets[document + 1] = n
    return offsets, start[:n].copy(), end[:n].copy()


@glue
def _count_odd_breaks(data: NDArray[np.uint8], i: int, stop: int) -> np.int64:
    """Line breaks of ``data[i:stop]`` that are no newlines; or somewhat more, if there are any."""
    n_breaks = np.uint64(0)
    while i < stop:
        if i + _BREAK_REACH <= len(data):
            n_breaks += count_ones(_odd_breaks(data, i) & ALL_ONES >> np.uint64(64 - min(64, stop - i)))
            i += 64
        else:
            n_breaks += np.uint64(data[i] != NEWLINE and not 0x1E < data[i] < 0xC2 and _line_break(data, i, stop) != 0)
            i += 1
    return np.int64(n_breaks)


@glue
def _cut_document(
    data: NDArray[np.uint8], begin: int, last: int, start: NDArray[np.int64], end: NDArray[np.int64], n: int
) -> int:
    """Writes the bounds of what ``str.splitlines()`` gives for ``data[begin:last]``; gives the number of the next."""
    block = begin
    while block < last:
        if block + _BREAK_REACH <= last:
            places, step = as_number(byte_mask(data, block, NEWLINE, 1)) | _odd_breaks(data, block), 64
        else:
            places, step = np.uint64(not 0x1E < data[block] < 0xC2), 1
        while places:
            i = block + np.int64(lowest_one(places))
            places &= places - np.uint64(1)
            size = _line_break(data, i, last)
            if size and i >= begin:  # no second half of a break
                start[n], end[n] = begin, i
                n += 1
                begin = i + size
        block += step
    if begin < last:
        start[n], end[n] = begin, last
        n += 1
    return n


@inner
def _odd_breaks(data: NDArray[np.uint8], i: int) -> np.uint64:
    """Where in the 64 bytes from i on a line break begins that is no newline; looks at `_BREAK_REACH` bytes."""
    wide = byte_mask(data, i, 0xC2, 1) & byte_mask(data, i + 1, 0x85, 1)
    wide |= byte_mask(data, i, 0xE2, 1) & byte_mask(data, i + 1, 0x80, 1) & byte_mask(data, i + 2, 0xA8, 2)
    return as_number(byte_mask(data, i, 0x0B, 3) | byte_mask(data, i, 0x1C, 3) | wide)


@inner
def _line_break(data: NDArray[np.uint8], i: int, end: int) -> int:
    """Bytes of the line break at byte i, in a text up to ``end``; 0 if none is there."""
    byte = data[i]
    if byte == 0x0D:
        return 2 if i + 1 < end and data[i + 1] == NEWLINE else 1
    if byte < 0x80:
        return int(0x0A <= byte <= 0x0C or 0x1C <= byte <= 0x1E)
    code_point, size = decode(data, i)
    is_break = code_point == 0x85 or code_point == 0x2028 or code_point == 0x2029
    return size if is_break and i + size <= end else 0  # of bytes that are no UTF-8, a character may reach beyond
