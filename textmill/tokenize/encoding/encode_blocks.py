"""Encoding at the speed of memory: texts in blocks, with the ids of every pretoken kept from when it first came.

A block of text goes through four kernels: its pretokens are cut, each gets the number of its byte string in an
`Inventory`, the strings that are new are merged to ids, and the ids of all are written one after the other. Nearly all
pretokens of real text have come before, so merging is a small part. Blocks are small enough for the processor's cache,
hold whole texts, and cut a longer text only where its pretokens stay the same, so no result depends on them.

The kernels hold no lock: threads take blocks from one list, each with a memory of its own, which `MAX_KEPT` holds below
some 100 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import enlarged
from textmill.errors import InputError
from textmill.tokenize.encoding.encode_kernels import MAX_INLINE, MergeTables, encode_pretokens, gather
from textmill.tokenize.pretokens.blocks import blocks
from textmill.tokenize.pretokens.cut import cut_pretokens
from textmill.tokenize.pretokens.inventory import Inventory

MAX_KEPT = 1 << 20  # pretokens, and
MAX_KEPT_BYTES = 1 << 24  # of these; what is more begins anew
MAX_BLOCK_BYTES = 1 << 30  # so that all ids that are kept have a place below 2**31

TokenArray = NDArray[np.uint16] | NDArray[np.uint32]


class Block(NamedTuple):
    """Tokens, and where those of each text end."""

    tokens: TokenArray
    ends: NDArray[np.int64]


def join_blocks(blocks: Sequence[Block], dtype: np.dtype) -> Block:
    """One block of all texts."""
    if len(blocks) == 1:
        return blocks[0]
    before = np.cumsum([0, *(len(block.tokens) for block in blocks)])
    tokens = [np.empty(0, dtype), *(block.tokens for block in blocks)]
    ends = [np.empty(0, np.int64), *(block.ends + n for block, n in zip(blocks, before, strict=False))]
    return Block(np.concatenate(tokens), np.concatenate(ends))


def encode_strings(tables: MergeTables, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Block:
    """The tokens of the strings ``data[bounds[i] : bounds[i + 1]]``, each one pretoken; none may be empty."""
    entries, ids = np.empty(len(bounds) - 1, np.uint64), np.empty(len(data), np.uint32)
    encode_pretokens(data, bounds, 0, *tables, entries, ids, 0)
    tokens, ends = np.empty(len(data) + MAX_INLINE, np.uint32), np.empty(len(bounds) - 1, np.int64)
    n = gather(np.arange(len(entries), dtype=np.int32), bounds[1:], entries, ids, bounds[1:], tokens, ends)
    return Block(tokens[:n], ends)


class BlockEncoder:
    """Encodes blocks one at a time, and keeps the ids of up to ``max_kept`` pretokens, unless one block has more."""

    def __init__(self, tables: MergeTables, pattern: str, dtype: np.dtype, max_kept: int | None = None) -> None:
        self._tables, self._pattern, self._dtype = tables, pattern, dtype
        self._max_kept = MAX_KEPT if max_kept is None else max_kept
        self._forget()

    def _forget(self) -> None:
        vars(self).pop("_inventory", None)  # so that there are never two in memory
        self._inventory = Inventory()
        self._entries = np.empty(0, np.uint64)  # of each pretoken; see `encode_pretokens`
        self._ids = np.empty(0, np.uint32)
        self._n_encoded = self._n_ids = 0

    def encode(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Block:
        """Encode the texts ``data[bounds[i] : bounds[i + 1]]``."""
        n_bytes = int(bounds[-1] - bounds[0])
        if n_bytes > MAX_BLOCK_BYTES:
            raise InputError(f"{n_bytes} bytes of text without a space; cut them at {MAX_BLOCK_BYTES} or earlier")
        ends = np.empty(n_bytes, np.int64)
        ends = ends[: cut_pretokens(self._pattern, data, bounds, ends)]
        if len(self._inventory) + len(ends) > self._max_kept or len(self._inventory.arena) + n_bytes > MAX_KEPT_BYTES:
            self._forget()
        numbers = self._inventory.number(data, int(bounds[0]), ends)
        self._encode_new()
        tokens, token_ends = np.empty(n_bytes + MAX_INLINE, self._dtype), np.empty(len(bounds) - 1, np.int64)
        n = gather(numbers, ends, self._entries, self._ids, bounds[1:], tokens, token_ends)
        return Block(tokens[:n].copy(), token_ends)

    def _encode_new(self) -> None:
        """Make the ids of the pretokens that the inventory has got since the last time."""
        arena, starts = self._inventory.arena, self._inventory.starts
        n_new_bytes = int(starts[-1] - starts[self._n_encoded])
        self._entries = _with_room(self._entries, self._n_encoded, len(self._inventory))
        self._ids = _with_room(self._ids, self._n_ids, self._n_ids + n_new_bytes)
        self._n_ids = encode_pretokens(
            arena, starts, self._n_encoded, *self._tables, self._entries, self._ids, self._n_ids
        )
        self._n_encoded = len(self._inventory)


class TextEncoder:
    """Encodes texts of any size, in one or several threads. Calls from several threads do not disturb each other."""

    def __init__(self, tables: MergeTables, pattern: str, dtype: np.dtype) -> None:
        self._arguments = tables, pattern, dtype
        self._idle: list[BlockEncoder] = []  # what they have learnt serves the next call

    def __reduce__(self) -> tuple[type[TextEncoder], tuple[MergeTables, str, np.dtype]]:
        return type(self), self._arguments

    def encode(self, data: NDArray[np.uint8], bounds: NDArray[np.int64], threads: int = 1) -> Block:
        """The tokens of the texts ``data[bounds[i] : bounds[i + 1]]``."""
        pieces = list(blocks(data, bounds))
        if threads > 1 and len(pieces) > 1:
            with ThreadPoolExecutor(threads) as pool:
                encoded = list(pool.map(self._encode_block, [data] * len(pieces), pieces))
        else:
            encoded = [self._encode_block(data, piece) for piece in pieces]
        whole = join_blocks(encoded, self._arguments[-1])
        if len(whole.ends) == len(bounds) - 1:
            return whole
        ends = np.concatenate([piece[1:] for piece in pieces])  # more than texts: some were cut
        return Block(whole.tokens, whole.ends[np.searchsorted(ends, bounds[1:])])

    def _encode_block(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Block:
        try:
            encoder = self._idle.pop()
        except IndexError:
            encoder = BlockEncoder(*self._arguments)
        block = encoder.encode(data, bounds)
        self._idle.append(encoder)  # not one that failed: what it has learnt may be half
        return block


def _with_room(array: NDArray, n_used: int, n: int) -> NDArray:
    """``array`` with room for n values, the first ``n_used`` of them kept."""
    return array if len(array) >= n else enlarged(array, n_used, max(n, 2 * len(array)))
