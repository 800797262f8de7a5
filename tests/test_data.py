"""Samples, shuffles and rows for training: nothing twice, nothing lost, the same at every rank, worker and restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader  # noqa: E402

from textmill.errors import InputError, UnknownNameError, UserError  # noqa: E402
from textmill.train.data import IGNORED, Chunks, Documents, PackedRows, StepDataset, TrainBatches  # noqa: E402
from textmill.train.packing import pack_documents  # noqa: E402

E = 0  # the end-of-text token


@dataclass
class Split:
    """A split in memory."""

    tokens: list[np.ndarray]
    offsets: list[np.ndarray]
    eot_id: int = E
    n_bytes: int = 0
    vocab_size: int = 60_000
    tokenizer_sha256: str = ""
    n_docs: int = 0
    n_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.n_tokens = sum(map(len, self.tokens))


def split_of(shards: Sequence[Sequence[int]]) -> Split:
    """Shards of documents of these lengths; every token but the last of a document is another one."""
    ends = [np.cumsum([0, *lengths]).astype("<u8") for lengths in shards]
    tokens, first = [], 1
    for offsets in ends:
        shard = np.arange(first, first + int(offsets[-1]), dtype=np.uint16)
        shard[offsets[1:] - np.uint64(1)] = E
        first += len(shard)
        tokens.append(shard)
    return Split(tokens, ends)


shards = st.lists(st.lists(st.integers(1, 12), max_size=6), min_size=1, max_size=4)


def documents_of(split: Split) -> list[list[int]]:
    return [
        tokens[int(a) : int(b)].tolist()
        for tokens, offsets in zip(split.tokens, split.offsets, strict=True)
        for a, b in pairwise(offsets)
    ]


def starts_of(documents: Documents) -> list[int]:
    """The bounds, after checking that ids, positions and the longest say the same."""
    bounds = documents.bounds.tolist()
    assert documents.bounds.dtype == torch.int32
    lengths = [b - a for a, b in pairwise(bounds)]
    assert documents.positions.flatten().tolist() == [i for n in lengths for i in range(n)]
    assert documents.ids.flatten().tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]
    assert documents.longest == max(lengths, default=0)
    assert min(lengths, default=1) > 0
    return bounds


@settings(deadline=None)
@given(lengths=shards, context_length=st.integers(1, 9))
def test_masks_of_chunks_begin_with_end_of_text(lengths: list[list[int]], context_length: int) -> None:
    split = split_of(lengths)
    chunks = Chunks(split, context_length)
    numbers = np.arange(len(chunks))[::-1]
    inputs, _ = chunks.read(numbers) if len(numbers) else (torch.zeros(0, context_length), None)
    bounds = starts_of(chunks.documents(numbers))
    flat = inputs.flatten().tolist()
    assert bounds == [i for i, token in enumerate(flat) if token == E or i % context_length == 0] + [len(flat)]


@settings(deadline=None)
@given(lengths=shards, context_length=st.integers(1, 9))
def test_rows_lose_no_token_and_say_where_documents_are(lengths: list[list[int]], context_length: int) -> None:
    split = split_of(lengths)
    rows = PackedRows(split, context_length)
    numbers = np.arange(len(rows))[::-1]
    inputs, targets = rows.read(numbers)
    assert inputs.shape == targets.shape == (len(rows), context_length)
    kept = targets[targets != IGNORED]
    stream = [token for text in documents_of(split) for token in text]
    assert sorted(kept.tolist()) == sorted(stream)  # every token is a target once
    bounds = starts_of(rows.documents(numbers))
    assert set(range(0, inputs.numel(), context_length)) <= set(bounds)
    before = dict(zip(stream, [E, *stream], strict=False))  # what comes before a token: unique but for ends
    flat_inputs, flat_targets = inputs.flatten().tolist(), targets.flatten().tolist()
    pieces = []
    for a, b in pairwise(bounds):
        own = flat_targets[a:b]
        if own[0] == IGNORED:
            assert set(own) == {IGNORED}
            assert set(flat_inputs[a:b]) == {E}
            continue
        pieces.append(own)
        assert flat_inputs[a + 1 : b] == own[:-1]
        assert flat_inputs[a] == (before[own[0]] if own[0] != E else flat_inputs[a])
    expected = [
        text[i : i + context_length] for text in documents_of(split) for i in range(0, len(text), context_length)
    ]
    assert sorted(pieces) == sorted(expected)  # documents are whole, or in pieces of a row


def test_positions_begin_anew_in_each_document() -> None:
    batches = TrainBatches(SPLIT, 8, 3, seed=5, documents="packed")
    for step in range(5):
        documents = batches.documents_at(step)
        for ids, positions in zip(documents.ids.tolist(), documents.positions.tolist(), strict=True):
            assert positions == [i - ids.index(number) for i, number in enumerate(ids)]


def best_fit(lengths: Sequence[int], row: int) -> list[list[int]]:
    """Best-fit decreasing, as one would write it."""
    rooms: list[int] = []
    rows: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [r for r, room in enumerate(rooms) if room >= lengths[i]]
        if fitting:
            best = min(fitting, key=lambda r: rooms[r])
        else:
            best = len(rows)
            rows.append([])
            rooms.append(row)
        rows[best].append(lengths[i])
        rooms[best] -= lengths[i]
    return rows


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 130), max_size=60), row=st.sampled_from([1, 7, 63, 64, 65, 130]))
def test_packing_is_best_fit_decreasing(lengths: list[int], row: int) -> None:
    rows = pack_documents([np.cumsum([0, *lengths]).astype("<u8")], row)
    pieces = [min(row, n - i) for n in lengths for i in range(0, n, row)]
    found = [rows.lengths[a:b].tolist() for a, b in pairwise(rows.bounds)]
    assert all(0 < sum(own) <= row for own in found)
    # Rows with the same room may be swapped, which changes what is in them but not how full they are.
    assert sorted(map(sum, found)) == sorted(map(sum, best_fit(pieces, row)))


def test_packing_leaves_little_empty() -> None:
    lengths = np.random.default_rng(0).lognormal(6, 1, 20_000).astype(np.int64) + 1
    rows = pack_documents([np.cumsum([0, *lengths]).astype("<u8")], 2048)
    assert lengths.sum() / ((len(rows.bounds) - 1) * 2048) > 0.99


SPLIT = split_of([[3, 9, 1], [], [12, 4, 4, 7, 20, 2], [30, 5, 5, 5, 40]])


@pytest.mark.parametrize("documents", ["across", "masked", "packed"])
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 6])
def test_ranks_share_out_each_batch_and_epochs_hold_all(documents: str, n_ranks: int) -> None:
    whole = TrainBatches(SPLIT, 4, 6, seed=5, documents=documents)
    parts = [TrainBatches(SPLIT, 4, 6, seed=5, documents=documents, rank=r, n_ranks=n_ranks) for r in range(n_ranks)]
    n = len(whole.samples)
    seen = []
    for step in range(n):  # n batches of 6 are 6 epochs
        numbers = whole.chunk_numbers(step)
        assert np.concatenate([part.chunk_numbers(step) for part in parts]).tolist() == numbers.tolist()
        assert torch.equal(torch.cat([part.at(step)[0] for part in parts]), whole.at(step)[0])
        seen += numbers.tolist()
    for epoch in range(6):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_batches_grow_and_miss_nothing(n_ranks: int) -> None:
    parts = [TrainBatches(SPLIT, 4, 6, seed=5, rank=r, n_ranks=n_ranks, warmup_steps=4) for r in range(n_ranks)]
    whole = TrainBatches(SPLIT, 4, 1, seed=5)
    steps = [np.concatenate([part.chunk_numbers(step) for part in parts]) for step in range(8)]
    assert [len(numbers) for numbers in steps] == ([1, 3, 4, 6] if n_ranks == 1 else [2, 2, 4, 6]) + [6] * 4
    seen = np.concatenate(steps).tolist()
    assert seen == [int(whole.chunk_numbers(i)[0]) for i in range(len(seen))]
    assert [parts[0].n_samples_before(step) for step in (0, 1, 8)] == [0, len(steps[0]), len(seen)]
    assert [parts[0].n_targets_at(step) for step in range(8)] == [4 * len(numbers) for numbers in steps]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("n_workers", [0, 1, 3])
def test_workers_and_restarts_change_nothing(n_workers: int) -> None:
    batches = TrainBatches(SPLIT, 4, 4, seed=5, documents="masked")
    loader = DataLoader(StepDataset(batches, finished_steps=2), batch_size=None, num_workers=n_workers)
    for step, (inputs, targets, documents) in zip(range(2, 9), loader, strict=False):
        expected = batches.at(step)
        assert torch.equal(inputs, expected[0])
        assert torch.equal(targets, expected[1])
        assert torch.equal(documents.bounds, batches.documents_at(step).bounds)


def test_what_cannot_be_shared_or_masked_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size 6 cannot be shared by 4 ranks"):
        TrainBatches(SPLIT, 4, 6, seed=5, n_ranks=4)
    with pytest.raises(UnknownNameError, match="did you mean 'packed'"):
        TrainBatches(SPLIT, 4, 6, seed=5, documents="pack")
    bare = split_of([[50]])
    del bare.offsets
    with pytest.raises(UserError, match="do not say where documents begin"):
        TrainBatches(bare, 4, 2, seed=1, documents="masked").documents_at(0)
    broken = split_of([[5, 5]])
    broken.offsets[0] = np.array([0, 5, 9], "<u8")
    with pytest.raises(InputError, match="offsets of documents and tokens do not fit"):
        PackedRows(broken, 4)
