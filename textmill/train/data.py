"""Batches from token shards: samples are numbered, and shuffled by number.

`Chunks` reads the shards as one stream: chunk i is tokens ``i·T`` to ``i·T + T``: T inputs and, shifted by one, T
targets. So every token but the first is predicted once an epoch, and only a last partial chunk is left out (packing by
"concatenate and chunk"; documents are not cropped, which would change the data that is being compared).

`PackedRows` has whole documents in a row (`packing`), and what is longer than a row in pieces. Every token is a target
once; the input before the first one of a document is the end-of-text token, as it is in the stream. Padding has that
token as input and `IGNORED` as target.

Both say where documents are (`Documents`), so that attention need not cross from one to the next. In the stream, an
end-of-text token as input belongs to the document that follows it, of which it predicts the first token.

The shuffle is a keyed permutation of sample numbers (`textmill.tokenize.shards.permutation`): no table, no state. The
batch of a step is a pure function of (seed, step), so a run resumes from one integer and any batch can be looked at
again later; ranks share out a batch, and workers share out steps, so that neither changes what a step sees. Cost: a
page fault or two a chunk, and one copy to int64.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from textmill.bits import kernel
from textmill.errors import InputError, UnknownNameError, UserError
from textmill.tokenize.shards.permutation import permute_passes
from textmill.train.config import DOCUMENTS, ModelConfig, TrainConfig
from textmill.train.packing import pack_documents

Batch = tuple[torch.Tensor, torch.Tensor]  # inputs and targets, int64 [B, T]

IGNORED = -100  # a target that does not count: what `torch.nn.functional.cross_entropy` leaves out


class TokenSource(Protocol):
    """What training needs to know of a split; `textmill.tokenize.shards.token_shards.TokenShards` is one."""

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


class DocumentSource(TokenSource, Protocol):
    """A split that knows where documents are. `TokenShards` is one."""

    @property
    def offsets(self) -> Sequence[np.ndarray]: ...  # n_docs + 1 a shard
    @property
    def eot_id(self) -> int: ...


class Documents(NamedTuple):
    """Where the documents of a batch are, counted over its inputs, row after row; three ways to say the same."""

    ids: torch.Tensor  # int64 [B, T], the number of each input's document in the batch
    bounds: torch.Tensor  # int32 [n + 1], from 0 to B·T: what variable-length attention calls cu_seqlens
    positions: torch.Tensor  # int64 [B, T], of each input in its document, or in the part of it that is in the row
    longest: int


class StepBatch(NamedTuple):
    """A batch with what a step may ask of it; all tensors are int64 [B, T]."""

    inputs: torch.Tensor
    targets: torch.Tensor
    document_ids: torch.Tensor | None = None  # where attention stays within documents
    positions: torch.Tensor | None = None  # in them
    sources: torch.Tensor | None = None  # the number of each target's source

    @property
    def n_targets(self) -> int:
        """Targets that count."""
        return int((self.targets != IGNORED).sum())

    def split(self, n_rows: int) -> list[StepBatch]:
        """Parts of at most as many rows."""
        parts = [itertools.repeat(None) if part is None else torch.split(part, n_rows) for part in self]
        return [StepBatch(*part) for part in zip(*parts, strict=False)]

    def to(self, device: torch.device) -> StepBatch:
        """To a GPU of CUDA the copy goes on while the program does."""
        if device.type == "cpu":
            return self
        return StepBatch(*(part if part is None else _sent(part, device) for part in self))  # type: ignore[arg-type]


def _sent(part: torch.Tensor, device: torch.device) -> torch.Tensor:
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)


class Samples(Protocol):
    """Numbered samples of T inputs and T targets."""

    def __len__(self) -> int: ...
    def read(self, numbers: np.ndarray) -> Batch: ...
    def documents(self, numbers: np.ndarray) -> Documents: ...
    def first_targets(self, numbers: np.ndarray, documents: Documents) -> np.ndarray: ...
    def n_targets(self, numbers: np.ndarray) -> int: ...


class TokenStream:
    """The tokens of all shards, one after the other."""

    def __init__(self, tokens: Sequence[np.ndarray], vocab_size: int) -> None:
        self._shards = [np.asarray(shard) for shard in tokens]
        self._vocab_size = vocab_size
        self.ends = np.cumsum([len(shard) for shard in tokens], dtype=np.int64)
        self.n_tokens = int(self.ends[-1]) if len(self.ends) else 0

    def copy(self, starts: np.ndarray, lengths: np.ndarray, out: np.ndarray, places: np.ndarray) -> None:
        """Write stretches of tokens, which begin at ``starts``, to the flat int64 array ``out`` from ``places`` on.

        Errors: `InputError` for a token that is no id.
        """
        if len(starts) and (starts.min() < 0 or (starts + lengths).max() > self.n_tokens):
            raise IndexError(f"tokens beyond 0 to {self.n_tokens}")
        for shard, end in zip(self._shards, self.ends, strict=True):
            _copy_within(shard, end - len(shard), starts, lengths, out, places)
        if (largest := int(out.max(initial=0))) >= self._vocab_size:
            raise InputError(
                f"a token shard holds the id {largest}, but its vocabulary has {self._vocab_size}; "
                "the shard is damaged: write it again"
            )


@kernel
def _copy_within(shard, first, starts, lengths, out, places):  # type: ignore[no-untyped-def]
    """Copy what of the stretches lies in the shard whose first token is number ``first``."""
    for i in range(len(starts)):
        start, stop = max(starts[i], first), min(starts[i] + lengths[i], first + len(shard))
        shift = places[i] - starts[i]
        for at in range(start, stop):
            out[at + shift] = shard[at - first]


class Chunks:
    """The chunks of a split, by number."""

    def __init__(self, source: TokenSource, context_length: int) -> None:
        self._stream = TokenStream(source.tokens, source.vocab_size)
        self._context_length = context_length
        self._offsets: Sequence[np.ndarray] | None = getattr(source, "offsets", None)
        self.n_tokens = self._stream.n_tokens

    def __len__(self) -> int:
        return max(0, self.n_tokens - 1) // self._context_length

    def read(self, numbers: np.ndarray) -> Batch:
        """The chunks with these ``numbers``, in this order. Errors: `InputError` for a token that is no id."""
        width = self._context_length + 1
        rows = np.empty((len(numbers), width), np.int64)
        places = np.arange(len(numbers)) * width
        self._stream.copy(numbers * self._context_length, np.full(len(numbers), width), rows.reshape(-1), places)
        return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])

    def documents(self, numbers: np.ndarray) -> Documents:
        """Where documents are in these chunks. Errors: `UserError` when the source does not know."""
        if self._offsets is None:
            raise UserError("these tokens do not say where documents begin; only 'across' can be done")
        starts, rows = numbers * self._context_length, np.arange(len(numbers)) * self._context_length
        begins = [rows]
        for i in _touched(self._stream.ends, starts, starts + self._context_length - 1):
            shard_start = int(self._stream.ends[i - 1]) if i else 0
            row, place = _ends_within(self._offsets[i], starts - shard_start, self._context_length)
            begins.append(rows[row] + place)
        return _documents(np.sort(np.concatenate(begins)), len(numbers), self._context_length)

    def first_targets(self, numbers: np.ndarray, documents: Documents) -> np.ndarray:
        """The place in the stream of the first target of each of these ``documents``, int64."""
        row, place = np.divmod(documents.bounds[:-1].numpy().astype(np.int64), self._context_length)
        return numbers[row] * self._context_length + place + 1

    def n_targets(self, numbers: np.ndarray) -> int:
        """Targets of these chunks."""
        return len(numbers) * self._context_length


def _touched(ends: np.ndarray, first: np.ndarray, last: np.ndarray) -> list[int]:
    """The shards, which end at ``ends``, that hold a token of any of these stretches."""
    change = np.zeros(len(ends) + 1, np.int64)
    np.add.at(change, np.searchsorted(ends, first, side="right"), 1)
    np.add.at(change, np.searchsorted(ends, last, side="right") + 1, -1)
    return np.flatnonzero(np.cumsum(change)).tolist()


def _ends_within(offsets: np.ndarray, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The last tokens of a shard's documents in stretches of the stream, each without its first token.

    ``starts`` count from the beginning of the shard, and may be negative. Returns the stretch of each, and its place
    there.
    """
    bounds = (np.maximum(at, 0).astype(np.uint64) for at in (starts + 1, starts + length))
    low, high = (np.searchsorted(offsets, at, side="right") for at in bounds)
    n = high - low
    stretch = np.repeat(np.arange(len(starts)), n)
    found = offsets[np.arange(n.sum()) + np.repeat(low - (np.cumsum(n) - n), n)].astype(np.int64)
    return stretch, found - 1 - starts[stretch]


class PackedRows:
    """Rows of whole documents, by number."""

    def __init__(self, source: DocumentSource, context_length: int) -> None:
        self._stream = TokenStream(source.tokens, source.vocab_size)
        self._context_length = context_length
        self._eot_id = source.eot_id
        self._rows = pack_documents(source.offsets, context_length)
        self.n_tokens = self._stream.n_tokens
        if int(self._rows.lengths.sum(dtype=np.int64)) != self.n_tokens:
            raise InputError("offsets of documents and tokens do not fit; `textmill shards verify` says where")

    def __len__(self) -> int:
        return len(self._rows.bounds) - 1

    def read(self, numbers: np.ndarray) -> Batch:
        """The rows with these ``numbers``, in this order. Errors: `InputError` for a token that is no id."""
        rows, (pieces, places) = self._rows, self._places(numbers)
        inputs = np.full((len(numbers), self._context_length), self._eot_id, np.int64)
        targets = np.full((len(numbers), self._context_length), IGNORED, np.int64)
        starts, lengths = rows.starts[pieces], rows.lengths[pieces].astype(np.int64)
        self._stream.copy(starts, lengths, targets.reshape(-1), places)
        inputs[:, 1:] = np.where(targets[:, :-1] == IGNORED, self._eot_id, targets[:, :-1])
        inputs.reshape(-1)[places] = self._eot_id
        later = ~rows.begins[pieces]  # parts of documents: the token before is one of theirs
        self._stream.copy(starts[later] - 1, np.ones(later.sum(), np.int64), inputs.reshape(-1), places[later])
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def documents(self, numbers: np.ndarray) -> Documents:
        """Where documents are in these rows; what stays empty counts as one of its own."""
        pieces, places = self._places(numbers)
        ends = places + self._rows.lengths[pieces]
        begins = np.union1d(places, ends[ends < len(numbers) * self._context_length])
        return _documents(begins, len(numbers), self._context_length)

    def first_targets(self, numbers: np.ndarray, documents: Documents) -> np.ndarray:
        """The place in the stream of the first target of each of these ``documents``, int64; -1 for padding."""
        pieces, places = self._places(numbers)
        found = np.full(len(documents.bounds) - 1, -1, np.int64)
        found[np.searchsorted(documents.bounds[:-1].numpy(), places)] = self._rows.starts[pieces]
        return found

    def n_targets(self, numbers: np.ndarray) -> int:
        """Targets of these rows, without padding."""
        return int(self._rows.lengths[self._places(numbers)[0]].sum())

    def _places(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pieces of these rows, and where each goes in a flat batch."""
        first, stop = self._rows.bounds[numbers], self._rows.bounds[numbers + 1]
        n_pieces = stop - first
        row = np.repeat(np.arange(len(numbers)), n_pieces)
        pieces = np.arange(n_pieces.sum()) + np.repeat(first - (np.cumsum(n_pieces) - n_pieces), n_pieces)
        ends = np.cumsum(self._rows.lengths[pieces], dtype=np.int64)
        before = ends - self._rows.lengths[pieces]
        row_start = before[np.cumsum(n_pieces) - n_pieces]
        return pieces, before - row_start[row] + row * self._context_length


def _documents(begins: np.ndarray, n_rows: int, context_length: int) -> Documents:
    """`Documents` that begin at these places of a flat batch, in order."""
    shape = n_rows, context_length
    bounds = np.append(begins, n_rows * context_length)
    lengths = np.diff(bounds)
    ids = np.repeat(np.arange(len(begins)), lengths)
    positions = np.arange(bounds[-1]) - begins[ids]
    return Documents(
        torch.from_numpy(ids.reshape(shape)),
        torch.from_numpy(bounds.astype(np.int32)),
        torch.from_numpy(positions.reshape(shape)),
        int(lengths.max(initial=0)),
    )


class TrainBatches:
    """The batch of every step, epoch after epoch without a gap. Of ``n_ranks``, each gets its part of every batch."""

    def __init__(
        self,
        source: TokenSource,
        context_length: int,
        batch_size: int,
        seed: int,
        *,
        documents: str = "across",
        rank: int = 0,
        n_ranks: int = 1,
        warmup_steps: int = 0,
    ) -> None:
        """``batch_size`` counts the samples of all ranks; in the first ``warmup_steps`` batches grow to it.

        Errors: `UserError` when the split cannot fill one batch, or the ranks cannot share one;
        `UnknownNameError` for ``documents``, which is one of `DOCUMENTS`."""
        if documents not in DOCUMENTS:
            raise UnknownNameError("documents", documents, DOCUMENTS)
        if batch_size % n_ranks:
            raise UserError(f"batch_size {batch_size} cannot be shared by {n_ranks} ranks; make it a multiple of that")
        packed = documents == "packed"
        self.samples: Samples = PackedRows(source, context_length) if packed else Chunks(source, context_length)  # type: ignore[arg-type]
        self.masked = documents != "across"
        self._batch_size, self._seed = batch_size, seed
        sizes = np.maximum(1, batch_size // n_ranks * np.arange(1, warmup_steps + 1) // max(1, warmup_steps)) * n_ranks
        self._warmup_bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._rank, self._n_ranks = rank, n_ranks
        if len(self.samples) < batch_size:
            needed = batch_size * context_length + 1
            raise UserError(
                f"the training set has {source.n_tokens} tokens, but one batch takes {needed} "
                f"(batch_size {batch_size} x context_length {context_length} + 1); lower batch_size or context_length"
            )

    @classmethod
    def of(
        cls, source: TokenSource, model: ModelConfig, config: TrainConfig, rank: int = 0, n_ranks: int = 1
    ) -> TrainBatches:
        """Those that a training with these configurations sees."""
        return cls(
            source,
            model.context_length,
            config.batch_size,
            config.seed,
            documents=config.documents,
            rank=rank,
            n_ranks=n_ranks,
            warmup_steps=config.batch_warmup_steps,
        )

    def at(self, step: int) -> Batch:
        """The batch of the step after ``step`` finished ones."""
        return self.samples.read(self.chunk_numbers(step))

    def documents_at(self, step: int) -> Documents:
        """Where documents are in that batch."""
        return self.samples.documents(self.chunk_numbers(step))

    def n_targets_at(self, step: int) -> int:
        """Targets of that batch, in the parts of all ranks, that count."""
        return self.samples.n_targets(self._whole(step))

    def first_targets_of(self, step: int) -> np.ndarray:
        """The place in the stream of the first target of each document of that batch, in the parts of all ranks."""
        numbers = self._whole(step)
        return self.samples.first_targets(numbers, self.samples.documents(numbers))

    def chunk_numbers(self, step: int) -> np.ndarray:
        """Which samples this rank's part of that batch holds, int64 [B / n_ranks]."""
        first = self.n_samples_before(step)
        n = (self.n_samples_before(step + 1) - first) // self._n_ranks
        return self._numbers(first + self._rank * n, n)

    def n_samples_before(self, step: int) -> int:
        """Samples in the batches of as many steps."""
        n_warmup_steps = len(self._warmup_bounds) - 1
        n_full = max(0, step - n_warmup_steps)
        return int(self._warmup_bounds[step - n_full]) + n_full * self._batch_size

    def _whole(self, step: int) -> np.ndarray:
        """Which samples the parts of all ranks hold."""
        first = self.n_samples_before(step)
        return self._numbers(first, self.n_samples_before(step + 1) - first)

    def _numbers(self, first: int, n: int) -> np.ndarray:
        """Which samples come at the places ``first`` to ``first + n`` of a training."""
        return permute_passes(np.arange(first, first + n, dtype=np.int64), len(self.samples), [self._seed])


class StepDataset(IterableDataset[tuple[Any, ...]]):
    """`TrainBatches` for ``torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=...)``, from a step on.

    Gives (inputs, targets), and `Documents` as a third where attention is masked: step after step, in order, whatever
    the number of workers. To resume, begin with the number of finished steps.
    """

    def __init__(self, batches: TrainBatches, finished_steps: int = 0) -> None:
        self._batches, self._finished_steps = batches, finished_steps

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        worker = get_worker_info()  # DataLoader takes from its workers in turn
        step, stride = self._finished_steps, 1
        if worker is not None:
            step, stride = step + worker.id, worker.num_workers
        while True:
            batch = self._batches.at(step)
            yield (*batch, self._batches.documents_at(step)) if self._batches.masked else batch
            step += stride


def eval_numbers(n_chunks: int, batch_size: int, n_batches: int) -> list[np.ndarray]:
    """Which chunks are in each batch of an evaluation: spread evenly over the split, at most all of them, each once.
    The last batch may be short. None when the split does not hold one chunk."""
    n_chosen = min(n_batches * batch_size, n_chunks)
    numbers = np.arange(n_chosen, dtype=np.int64) * n_chunks // max(1, n_chosen)
    return [numbers[start : start + batch_size] for start in range(0, n_chosen, batch_size)]
