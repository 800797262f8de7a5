"""Special tokens in bytes: found from left to right, the longest where several begin at one place.

Costs nothing to speak of where the first bytes of the special tokens are rare.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.bits import byte_mask, copy_bytes, kernel, leaf, lowest_one, read_only

_N_FOUND = 1 << 10  # places that are looked up at once


class SpecialTokens:
    """A set of special tokens; none may be empty."""

    def __init__(self, tokens: Sequence[str]) -> None:
        longest_first = sorted((token.encode() for token in tokens), key=len, reverse=True)
        self._arena = np.frombuffer(b"".join(longest_first), np.uint8)
        self._starts = np.cumsum([0, *map(len, longest_first)], dtype=np.int64)
        self._firsts = np.array(sorted({token[0] for token in longest_first}), np.uint8)
        # Whether no `next_cut` falls inside one: such a place is before a blank or behind a line feed.
        self.cross_no_cut = not any(b" " in token[1:] or b"\n" in token[:-1] for token in longest_first)

    def find(self, data: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.int64]:
        """Where special tokens begin and end in ``data[start:stop]``, int64 [found, 2]."""
        found, data = [], read_only(data)
        while start < stop and len(self._firsts):
            places = np.empty((_N_FOUND, 2), np.int64)
            n, start = _find(data, start, stop, self._firsts, self._arena, self._starts, places)
            found.append(places[:n])
        return np.concatenate(found) if found else np.empty((0, 2), np.int64)

    def cut_out(
        self, data: NDArray[np.uint8], bounds: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The texts ``data[bounds[i]:bounds[i + 1]]`` without their special tokens, each part a text by itself.

        No special token reaches over the end of a text. Returns new ``data`` and ``bounds``, where there were any.
        """
        found = self._within(data, bounds)
        if not len(found):
            return data, bounds
        edges = np.union1d(found, bounds)
        inside = np.isin(edges[:-1], found[:, 0])
        sizes = np.diff(edges)[~inside]
        rest = np.empty(int(sizes.sum()), np.uint8)
        copy_pieces(read_only(data), edges[:-1][~inside], sizes, rest)
        return rest, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def _within(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self.find(data, int(bounds[0]), int(bounds[-1]))
        texts = np.searchsorted(bounds, found[:, 0], side="right")
        if np.array_equal(texts, np.searchsorted(bounds, found[:, 1], side="left")):
            return found
        pairs = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)  # rare: two texts, together a special token
        return np.concatenate([self.find(data, start, stop) for start, stop in pairs])


@kernel
def _find(
    data: NDArray[np.uint8],
    i: int,
    stop: int,
    firsts: NDArray[np.uint8],
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
) -> tuple[int, int]:
    """Writes places until there is no more room; gives their number, and where to go on."""
    n = 0
    while i < stop and n < len(places):
        if i + 64 <= len(data):
            mask = np.uint64(0)
            for k in range(len(firsts)):
                mask |= byte_mask(data, i, firsts[k], 1)
            if mask == np.uint64(0):
                i += 64
                continue
            i += int(lowest_one(mask))
        size = _size_at(data, i, stop, arena, starts)
        if size:
            places[n, 0], places[n, 1] = i, i + size
            n += 1
        i += max(size, 1)
    return n, min(i, stop)


@leaf
def _size_at(data: NDArray[np.uint8], i: int, stop: int, arena: NDArray[np.uint8], starts: NDArray[np.int64]) -> int:
    """The size of the longest special token at byte i, 0 when there is none."""
    for token in range(len(starts) - 1):
        size = starts[token + 1] - starts[token]
        if i + size <= stop:
            same = 0
            while same < size and data[i + same] == arena[starts[token] + same]:
                same += 1
            if same == size:
                return size
    return 0


@kernel
def copy_pieces(
    data: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    """Writes pieces of ``data`` to ``out``, end to end."""
    n = 0
    for start, size in zip(starts, sizes):  # noqa: B905 - of one length; numba knows no strict
        copy_bytes(out, n, data, start, size)
        n += size
