"""Finds many short phrases in one pass: 64 bytes at a time, at two bytes of each phrase that are rare together.

Phrases are compared in either case of the ASCII letters, or exactly; other letters must agree as they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.bits import as_number, equal_mask, inner, kernel, lowest_one

# From rare to common in English. What is not here, such as marks, is taken to be rare.
_LETTERS = "zqjxkvbywgpfmucdlhrsnioate "
_CASE = 0x20  # the bit that tells letters in upper case from those in lower case


@dataclass(frozen=True)
class Phrases:
    """Phrases, in lower case if any will do, ordered by their anchor, the byte at which they are looked for."""

    first: NDArray[np.int64]  # [256]: those with this byte as anchor are numbers first .. last - 1
    last: NDArray[np.int64]  # [256]
    anchor: NDArray[np.int64]  # where in the phrase the anchor is, [phrases]
    offsets: NDArray[np.int64]  # [phrases + 1], into text
    text: NDArray[np.uint8]
    mark: NDArray[np.uint8]  # what a line with the phrase is marked with, [phrases]
    pairs: NDArray[np.uint8]  # see `pair_table`: the anchors, each with the byte behind it
    case: int  # what is added to a letter in upper case before it is compared


@functools.cache
def phrase_table(groups: tuple[tuple[str, ...], ...], any_case: bool = True) -> Phrases:
    """For `find_phrases`: a line with a phrase of group g gets bit g. A phrase has no newline and is not empty."""
    found = []
    for group, phrases in enumerate(groups):
        for phrase in phrases:
            data = (phrase.lower() if any_case else phrase).encode()
            anchor = min(range(max(len(data) - 1, 1)), key=lambda i: sum(map(_commonness, data[i : i + 2])))
            found.append((data[anchor], anchor, data, 1 << group))
    found.sort()
    case = _CASE if any_case else 0
    bytes_of_case = np.arange(256)
    bytes_of_case[ord("A") : ord("Z") + 1] += case
    anchors = np.array([byte for byte, *_ in found], np.int64)
    return Phrases(
        first=np.searchsorted(anchors, bytes_of_case, "left"),
        last=np.searchsorted(anchors, bytes_of_case, "right"),
        anchor=np.array([anchor for _, anchor, _, _ in found], np.int64),
        offsets=np.cumsum([0, *(len(data) for _, _, data, _ in found)]),
        text=np.frombuffer(b"".join(data for _, _, data, _ in found), np.uint8),
        mark=np.array([mark for *_, mark in found], np.uint8),
        pairs=pair_table(tuple((data[i : i + 2], 1) for _, i, data, _ in found), any_case),
        case=case,
    )


def _commonness(byte: int) -> int:
    return _LETTERS.find(chr(byte))


def pair_table(pairs: tuple[tuple[bytes, int], ...], any_case: bool = False) -> NDArray[np.uint8]:
    """For `pair_mask`: one or two bytes, and how far the second is behind the first. A row: (bits that are set in the
    first byte before it is compared, what it must be then, distance, the same two of the second): uint8 [pairs, 5]."""
    rows = {(*_comparison(pair[:1], any_case), distance, *_comparison(pair[1:], any_case)) for pair, distance in pairs}
    return np.array(sorted(rows), np.uint8).reshape(-1, 5)


def _comparison(byte: bytes, any_case: bool) -> tuple[int, int]:
    if not byte:
        return 0xFF, 0xFF  # any byte
    case = _CASE if any_case and byte >= b"@" else 0  # of [ and {, too: one look for both
    return case, byte[0] | case


def find_phrases(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], phrases: Phrases
) -> NDArray[np.uint8]:
    """The groups of the phrases in each line ``data[start[k]:end[k]]``, as bits: uint8 [lines]."""
    parts = (phrases.first, phrases.last, phrases.anchor, phrases.offsets, phrases.text, phrases.mark, phrases.pairs)
    return _find_phrases(data, start, end, *parts, phrases.case)


@inner
def pair_mask(data: NDArray[np.uint8], i: int, pairs: NDArray[np.uint8]) -> np.uint64:
    """Where in the 64 bytes from i on one of the pairs begins. Reads as far as the greatest distance beyond them."""
    found = np.uint64(0)
    for k in range(len(pairs)):
        first = equal_mask(data, i, pairs[k, 0], pairs[k, 1])
        found |= first & equal_mask(data, i + pairs[k, 2], pairs[k, 3], pairs[k, 4])
    return as_number(found)


@kernel
def _find_phrases(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    anchor: NDArray[np.int64],
    offsets: NDArray[np.int64],
    text: NDArray[np.uint8],
    mark: NDArray[np.uint8],
    pairs: NDArray[np.uint8],
    case: int,
) -> NDArray[np.uint8]:
    """See `find_phrases`."""
    marks = np.zeros(len(start), dtype=np.uint8)
    if len(start) == 0:
        return marks
    line = 0
    i, stop = start[0], end[-1]
    while i < stop:
        if i + 65 <= stop:
            places, step = pair_mask(data, i, pairs), 64
        else:
            places, step = np.uint64(1), 1
        while places:
            at = i + np.int64(lowest_one(places))
            places &= places - np.uint64(1)
            while end[line] <= at:  # a line may begin where the one before ends, in another document
                line += 1
            for p in range(first[data[at]], last[data[at]]):
                begin = at - anchor[p]
                if begin >= start[line] and _is_at(data, begin, end[line], text, offsets[p], offsets[p + 1], case):
                    marks[line] |= mark[p]
        i += step
    return marks


@inner
def _is_at(
    data: NDArray[np.uint8], begin: int, end: int, text: NDArray[np.uint8], first: int, last: int, case: int
) -> bool:
    """Whether ``data[begin:end]`` begins with the phrase ``text[first:last]``; see `Phrases.case`."""
    if begin + last - first > end:
        return False
    for k in range(last - first):
        byte = data[begin + k]
        if byte + case * (0x41 <= byte <= 0x5A) != text[first + k]:
            return False
    return True


@inner
def begins_with(text: NDArray[np.uint8], i: int, phrase: NDArray[np.uint8]) -> bool:
    """Whether ``text[i:]`` begins with exactly these bytes."""
    if i + len(phrase) > len(text):
        return False
    k = 0
    while k < len(phrase) and text[i + k] == phrase[k]:
        k += 1
    return k == len(phrase)
