"""Token ids back to text, for many documents at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import copy_bytes, kernel
from textmill.errors import InputError

_DTYPES = (np.uint16, np.uint32, np.int64)  # of ids, for which kernels are compiled


class Decoder:
    """The byte strings of a vocabulary, end to end in the order of their ids."""

    def __init__(self, vocab: Mapping[int, bytes]) -> None:
        self._ids = np.array(sorted(vocab), np.int64)
        tokens = [vocab[number] for number in self._ids.tolist()]
        self._arena = np.frombuffer(b"".join(tokens), np.uint8)
        self._starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)

    def decode(self, tokens: NDArray[Any], offsets: NDArray[Any]) -> pa.LargeStringArray:
        """See `Tokenizer.decode_batch`."""
        tokens, offsets = np.asarray(tokens), np.asarray(offsets).astype(np.int64)
        if len(offsets) == 0 or offsets[0] < 0 or offsets[-1] > len(tokens) or (np.diff(offsets) < 0).any():
            raise InputError(f"offsets of documents must ascend and be places in the {len(tokens)} tokens")
        places = self._places(tokens[offsets[0] : offsets[-1]])
        ends = np.zeros(len(offsets), np.int64)
        _count_bytes(places, self._starts, offsets, ends[1:])
        data = np.empty(ends[-1], np.uint8)
        _copy_tokens(places, self._arena, self._starts, data)
        return _as_text(ends, data)

    def _places(self, tokens: NDArray[Any]) -> NDArray[Any]:
        """Where each id stands in the sorted ones. Errors: `InputError` for an id that is not there."""
        tokens = np.ascontiguousarray(tokens if tokens.dtype in _DTYPES else tokens.astype(np.int64))
        last = len(self._ids) - 1
        if self._ids[last] == last:  # all ids up to the last: they are their own places
            places = tokens
            unknown = np.flatnonzero((tokens < 0) | (tokens > last)) if _strays(tokens, last) else np.empty(0, np.int64)
        else:
            places = np.searchsorted(self._ids[:-1], tokens)
            unknown = np.flatnonzero(self._ids[places] != tokens)
        if len(unknown):
            number, size = tokens[unknown[0]], self._ids[last] + 1
            raise InputError(f"token id {number}: not in this vocabulary of {size} ids")
        return places


def _strays(tokens: NDArray[Any], last: int) -> bool:
    return len(tokens) > 0 and bool(tokens.min() < 0 or tokens.max() > last)


def _as_text(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> pa.LargeStringArray:
    """Texts of these bytes, with U+FFFD where they are not UTF-8."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    text = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        raw = pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
        return pa.array([document.as_py().decode(errors="replace") for document in raw], pa.large_string())
    return text


@kernel
def _count_bytes(
    places: NDArray, starts: NDArray[np.int64], offsets: NDArray[np.int64], ends: NDArray[np.int64]
) -> None:
    """Writes where the bytes of each document end."""
    n = 0
    for document in range(len(offsets) - 1):
        for i in range(offsets[document] - offsets[0], offsets[document + 1] - offsets[0]):
            n += starts[places[i] + 1] - starts[places[i]]
        ends[document] = n


@kernel
def _copy_tokens(places: NDArray, arena: NDArray[np.uint8], starts: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
    """Writes the bytes of all tokens one after the other."""
    n = 0
    for i in range(len(places)):
        start = starts[places[i]]
        size = starts[places[i] + 1] - start
        copy_bytes(data, n, arena, start, size)
        n += size
