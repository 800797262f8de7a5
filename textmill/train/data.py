"""Batches from token shards: the shards are read as one stream, cut into chunks, and the chunks are shuffled by index.

Chunk i is tokens ``i·T`` to ``i·T + T``: T inputs and, shifted by one, T targets. So every token but the first is
predicted once an epoch, and only a last partial chunk is left out (packing by "concatenate and chunk"; documents are
not cropped, which would change the data that is being compared). Nothing masks attention across documents.

The shuffle is a keyed permutation of chunk numbers (a Feistel network with cycle walking, Black and Rogaway 2002): no
table, no state. The batch of a step is a pure function of (seed, step), so a run resumes from one integer and any
batch can be looked at again later. Cost: a page fault or two a chunk, and one copy to int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from textmill.errors import InputError, UserError

Batch = tuple[torch.Tensor, torch.Tensor]  # inputs and targets, int64 [B, T]

N_ROUNDS = 4  # a Feistel network of 4 rounds is a strong pseudo-random permutation (Luby and Rackoff 1988)


class TokenSource(Protocol):
    """What training needs to know of a split; `textmill.tokenize.shards.TokenShards` is one."""

    @property
    def tokens(self) -> Sequence[np.ndarray]: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_docs(self) -> int: ...
    @property
    def n_bytes(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def tokenizer_sha256(self) -> str: ...


def permute(indices: np.ndarray, n: int, *, seed: int, epoch: int) -> np.ndarray:
    """Where the shuffle of ``epoch`` sends ``indices`` (int64, each in 0 to n - 1): a permutation of these numbers."""
    half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(N_ROUNDS, np.uint64)
    places = _feistel(indices.astype(np.uint64), half_bits, keys)
    while (outside := places >= n).any():  # the network permutes 4^half_bits < 16 n numbers: walk on until inside
        places[outside] = _feistel(places[outside], half_bits, keys)
    return places.astype(np.int64)


def _feistel(values: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    """One pass of the network over ``values`` (uint64 of 2 · half_bits bits)."""
    mask = np.uint64((1 << half_bits) - 1)
    left, right = values >> np.uint64(half_bits), values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << np.uint64(half_bits)) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """Spreads every bit over all 64: the finisher of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Chunks:
    """The chunks of a split, by number."""

    def __init__(self, source: TokenSource, context_length: int) -> None:
        self._shards = source.tokens
        self._vocab_size = source.vocab_size
        self._ends = np.cumsum([len(shard) for shard in source.tokens], dtype=np.int64)
        self._context_length = context_length
        self.n_tokens = int(self._ends[-1]) if len(self._ends) else 0

    def __len__(self) -> int:
        return max(0, self.n_tokens - 1) // self._context_length

    def read(self, numbers: np.ndarray) -> Batch:
        """The chunks with these ``numbers``, in this order. Errors: `InputError` for a token that is no id."""
        rows = np.stack([self._read_one(int(number)) for number in numbers])
        if rows.max() >= self._vocab_size:
            raise InputError(
                f"a token shard holds the id {rows.max()}, but its vocabulary has {self._vocab_size}; "
                "the shard is damaged: write it again"
            )
        return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])

    def _read_one(self, number: int) -> np.ndarray:
        """T + 1 tokens, across the ends of shards."""
        position = number * self._context_length
        stop = position + self._context_length + 1
        pieces = []
        while position < stop:
            shard = int(np.searchsorted(self._ends, position, side="right"))
            start = int(self._ends[shard]) - len(self._shards[shard])
            pieces.append(self._shards[shard][position - start : stop - start])
            position += len(pieces[-1])
        return np.concatenate(pieces).astype(np.int64)


class TrainBatches:
    """The batch of every step, epoch after epoch without a gap."""

    def __init__(self, source: TokenSource, context_length: int, batch_size: int, seed: int) -> None:
        """Errors: `UserError` when the split cannot fill one batch."""
        self._chunks = Chunks(source, context_length)
        self._batch_size = batch_size
        self._seed = seed
        needed = batch_size * context_length + 1
        if self._chunks.n_tokens < needed:
            raise UserError(
                f"the training set has {self._chunks.n_tokens} tokens, but one batch takes {needed} "
                f"(batch_size {batch_size} x context_length {context_length} + 1); lower batch_size or context_length"
            )

    def at(self, step: int) -> Batch:
        """The batch of the step after ``step`` finished ones."""
        return self._chunks.read(self.chunk_numbers(step))

    def chunk_numbers(self, step: int) -> np.ndarray:
        """Which chunks that batch holds, int64 [B]."""
        samples = np.arange(step * self._batch_size, (step + 1) * self._batch_size, dtype=np.int64)
        epochs, places = np.divmod(samples, len(self._chunks))
        numbers = np.empty_like(samples)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = permute(places[here], len(self._chunks), seed=self._seed, epoch=int(epoch))
        return numbers


def eval_batches(source: TokenSource, context_length: int, batch_size: int, n_batches: int) -> list[Batch]:
    """The same batches at every evaluation: chunks spread evenly over the split, at most all of them, each once. The
    last batch may be short. Empty when the split does not hold one chunk."""
    chunks = Chunks(source, context_length)
    n_chosen = min(n_batches * batch_size, len(chunks))
    numbers = np.arange(n_chosen, dtype=np.int64) * len(chunks) // max(1, n_chosen)
    return [chunks.read(numbers[start : start + batch_size]) for start in range(0, n_chosen, batch_size)]
