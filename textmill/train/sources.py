"""Which document and which source a target comes from, by its place in the stream of a split.

Documents are found by bisection in the offsets of the shards, sources in a column of the tables of documents, of which
two bytes a document are kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.train.data import Documents, Samples, StepBatch, TrainBatches

PADDING = -1


@runtime_checkable
class RecordedSource(Protocol):
    """A split with tables of its documents; `textmill.tokenize.shards.token_shards.TokenShards` is one."""

    @property
    def tokens(self) -> Sequence[NDArray[Any]]: ...
    @property
    def offsets(self) -> Sequence[NDArray[Any]]: ...
    @property
    def documents(self) -> Sequence[str]: ...  # URIs


class Found(NamedTuple):
    """Documents of a split, in order of appearance."""

    shard: NDArray[np.int64]
    document: NDArray[np.int64]  # in the shard


class Records:
    """The documents of a split with what is written about them."""

    def __init__(self, split: RecordedSource) -> None:
        self._offsets, self._uris = split.offsets, split.documents
        self._ends = np.cumsum([len(shard) for shard in split.tokens], dtype=np.int64)

    @classmethod
    def of(cls, split: object) -> Records | None:
        """None for a split without tables."""
        return cls(split) if isinstance(split, RecordedSource) else None

    def ids_in(self, batches: TrainBatches, step: int) -> list[int]:
        """The ids of the documents in the whole batch of ``step``, in order, each once."""
        positions = batches.first_targets_of(step - 1)
        ids = self.rows(self.at(np.unique(positions[positions != PADDING])), ["doc_id"])["doc_id"]
        return list(dict.fromkeys(ids.to_pylist()))

    def at(self, positions: NDArray[np.int64]) -> Found:
        """The documents that hold the tokens at ``positions`` of the stream."""
        shard = np.searchsorted(self._ends, positions, side="right")
        document = np.empty(len(positions), np.int64)
        for i in np.unique(shard):
            here = shard == i
            begin = int(self._ends[i - 1]) if i else 0
            local = (positions[here] - begin).astype(np.uint64)
            document[here] = np.searchsorted(self._offsets[i], local, side="right") - 1
        return Found(shard, document)

    def rows(self, found: Found, columns: list[str]) -> pa.Table:
        """What the tables say of these documents, a row for each."""
        order = np.argsort(found.shard, kind="stable")
        tables = []
        for i in np.unique(found.shard):
            here = order[found.shard[order] == i]
            tables.append(storage.read_table(self._uris[i], columns).take(pa.array(found.document[here])))
        return pa.concat_tables(tables).take(pa.array(np.argsort(order)))


class Sources:
    """The sources of a split, numbered."""

    def __init__(self, split: RecordedSource, names: Sequence[str] = ()) -> None:
        """``names`` come first in the numbering, even if they have no document here."""
        self.records = Records(split)
        columns = [_column(uri, len(offsets) - 1) for uri, offsets in zip(split.documents, split.offsets, strict=True)]
        found = {name for column in columns for name in column.dictionary.to_pylist()}
        self.names = [*names, *sorted(found - set(names))]
        self._numbers = [_renumbered(column, self.names) for column in columns]
        self._split = split

    @classmethod
    def of(cls, split: object) -> Sources | None:
        """None for a split without tables, or with one source: there is nothing to tell apart."""
        if not isinstance(split, RecordedSource):
            return None
        sources = cls(split)
        return sources if len(sources.names) > 1 else None

    def of_targets(self, first_targets: NDArray[np.int64], documents: Documents) -> torch.Tensor:
        """The number of each target's source, int64 [B, T]; that of padding is 0, which counts for nothing."""
        numbers = self.numbers(first_targets)
        lengths = np.diff(documents.bounds.numpy())
        return torch.from_numpy(np.repeat(numbers, lengths).reshape(documents.ids.shape))

    def numbers(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the source of the token at each of ``positions``; 0 for padding."""
        numbers = np.zeros(len(positions), np.int64)
        real = positions != PADDING
        found = self.records.at(positions[real])
        own = np.empty(len(found.shard), np.int64)
        for i in np.unique(found.shard):
            here = found.shard == i
            own[here] = self._numbers[i][found.document[here]]
        numbers[real] = own
        return numbers

    def tokens_per_byte(self) -> dict[str, float]:
        """Tokens of a UTF-8 byte of text, by source; of none where the bytes of a document are not known."""
        n_bytes, n_tokens = np.zeros((2, len(self.names)), np.int64)
        for uri, numbers, offsets in zip(self._split.documents, self._numbers, self._split.offsets, strict=True):
            column = storage.read_table(uri, ["n_bytes"])["n_bytes"]
            if column.null_count:
                return {}
            np.add.at(n_bytes, numbers, column.to_numpy())
            np.add.at(n_tokens, numbers, np.diff(offsets.astype(np.int64)))
        sizes = zip(self.names, n_tokens.tolist(), n_bytes.tolist(), strict=True)
        return {name: n / size for name, n, size in sizes if size}


def step_batch(samples: Samples, numbers: NDArray[np.int64], sources: Sources | None, *, masked: bool) -> StepBatch:
    """The samples with these ``numbers``, with their ``sources``, and with documents to stay in where ``masked``."""
    inputs, targets = samples.read(numbers)
    if not masked and sources is None:
        return StepBatch(inputs, targets)
    documents = samples.documents(numbers)
    return StepBatch(
        inputs,
        targets,
        documents.ids if masked else None,
        documents.positions if masked else None,
        None if sources is None else sources.of_targets(samples.first_targets(numbers, documents), documents),
    )


def means_by_source(names: Sequence[str], sums: Sequence[float]) -> dict[str, float]:
    """The mean loss of each source that has targets, from the sums of `sums_by_source` in a row."""
    n = len(names)
    return {
        name: total / n_targets for name, total, n_targets in zip(names, sums[:n], sums[n:], strict=True) if n_targets
    }


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums of losses are kept in: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def sums_by_source(losses: torch.Tensor, batch: StepBatch, n_sources: int) -> torch.Tensor:
    """Losses and counting targets of each source, `sum_dtype` [2, n_sources], from those of ``batch`` [B, T]."""
    if batch.sources is None:
        raise UserError("this batch does not say where it comes from")
    dtype = sum_dtype(losses.device)
    sums = torch.zeros(2, n_sources, dtype=dtype, device=losses.device)
    numbers = batch.sources.flatten()
    sums[0].index_add_(0, numbers, losses.flatten().to(dtype))
    sums[1].index_add_(0, numbers, (batch.targets.flatten() >= 0).to(dtype))
    return sums


def _column(uri: str, n_docs: int) -> pa.DictionaryArray:
    column = storage.read_table(uri, ["source"])["source"].combine_chunks().dictionary_encode()
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if len(column) != n_docs:
        raise InputError(f"{uri}: {len(column)} documents, but offsets of {n_docs}; `textmill shards verify` says more")
    return column


def _renumbered(column: pa.DictionaryArray, names: list[str]) -> NDArray[np.uint16]:
    numbers = np.array([names.index(name) for name in column.dictionary.to_pylist()], np.uint16)
    return numbers[column.indices.to_numpy()] if len(column) else np.empty(0, np.uint16)
