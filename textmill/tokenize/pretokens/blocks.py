"""Text by the block: what counting and encoding work on, a piece that fits the processor's cache at a time.

A text longer than a block is cut where that cannot change a pretoken, so no result depends on the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.errors import InvariantError
from textmill.tokenize.pretokens.cut import next_cut

BLOCK_BYTES = 1 << 18  # a block, and where its pretokens end, fit a second-level cache of 1 MB


def text_buffers(documents: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of n documents (string or large_string), and the n + 1 places, from 0 on, where they begin and end.

    Errors: `InvariantError` for a null, or a column that is no text.
    """
    if documents.null_count:
        raise InvariantError(f"{documents.null_count} documents without text reached the tokenizer")
    widths = {pa.string(): np.int32, pa.large_string(): np.int64}
    if documents.type not in widths:
        raise InvariantError(f"documents are {documents.type}, expected string or large_string")
    _, offsets, data = documents.buffers()
    if len(documents) == 0 or data is None:
        return np.empty(0, np.uint8), np.zeros(len(documents) + 1, np.int64)
    bounds = np.frombuffer(offsets, widths[documents.type])[documents.offset :][: len(documents) + 1].astype(np.int64)
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def blocks(data: NDArray[np.uint8], bounds: NDArray[np.int64], *, may_cut: bool = True) -> Iterator[NDArray[np.int64]]:
    """The bounds of the texts ``data[bounds[i]:bounds[i + 1]]`` by the block: as many texts as fit it, at least one.

    A text of more than two blocks is cut into several, if it may be.
    """
    first = 0
    while first + 1 < len(bounds):
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + BLOCK_BYTES, side="right")) - 1)
        start, stop = int(bounds[first]), int(bounds[last])
        if last > first + 1 or not may_cut:
            yield bounds[first : last + 1]
        else:
            yield from _parts(data, start, stop)
        first = last


def _parts(data: NDArray[np.uint8], start: int, stop: int) -> Iterator[NDArray[np.int64]]:
    """The bounds of the parts of one text."""
    while stop - start > 2 * BLOCK_BYTES:
        cut = next_cut(data, start + BLOCK_BYTES, stop)
        yield np.array([start, cut])
        start = cut
    yield np.array([start, stop])
