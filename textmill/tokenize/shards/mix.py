"""Token shards of several sources mixed into one folder: so much of each, in one shuffled order of documents.

**How much.** Each source has a weight, a number of tokens, or a number of epochs. Tokens and epochs are taken as they
are; weights share what is left of the total, or, without a total, as much as makes no weighted source repeat. A source
that is asked for more than it has repeats: first all of it, then all of it again. To the fourth epoch or so, repeated
tokens are worth about as much as new ones (Muennighoff et al. 2023, arXiv 2305.16264).

**In which order.** Each pass over a source has an order of its own, a keyed permutation of its documents, whose key is
the seed, the source's name and the number of the pass (`permutation`). The next document is always one of the source
that is farthest behind its share. So the mix holds for every stretch of it, to within a document a source, passes over
a source do not overlap, and the order depends on seed, names and documents only: not on how they lie in shards.

Documents are not split between training and validation anew: no site is on both sides if all sources were split by
one share of validation (the split follows from a hash of the host). The validation documents of all sources follow each
other, source by source, each once; the table of documents says which is whose.

Tokens are copied, not encoded anew (`reader`). One batch of documents, 4 M tokens, is in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import kernel
from textmill.errors import InputError, UserError
from textmill.tokenize.encoding.tokenizer import Tokenizer
from textmill.tokenize.shards.permutation import permute_passes
from textmill.tokenize.shards.reader import DocumentReader
from textmill.tokenize.shards.token_shards import RECORD, SPLITS, TokenFormat, TokenShards
from textmill.tokenize.shards.writer import SHARD_TOKENS, TokenBatch, write_folder

BATCH_TOKENS = 1 << 22
AHEAD_DOCS = 4096  # of a source, whose lengths are looked up together
USEFUL_EPOCHS = 4
MOST_TOKENS = 1 << 48  # of a mix: more is a slip, and would not fit a disk
SOURCE = [field.name for field in RECORD].index("source")


@dataclass(frozen=True)
class Source:
    """Shards to take from, and how much: by a weight, or so many tokens, or so many epochs."""

    name: str
    folder: str
    weight: float | None = None
    n_tokens: int | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        amounts = [n for n in (self.weight, self.n_tokens, self.epochs) if n is not None]
        if len(amounts) != 1 or not 0 < amounts[0] < float("inf"):
            raise UserError(f"source {self.name!r}: give one of weight, tokens or epochs, above 0")


@dataclass(frozen=True)
class Share:
    """What is taken of a source, of its training tokens."""

    source: Source
    n_available: int
    n_tokens: int

    @property
    def epochs(self) -> float:
        return self.n_tokens / self.n_available


def plan(sources: Sequence[Source], n_tokens: int | None = None) -> list[Share]:
    """How much is taken of each source, for a mix of ``n_tokens`` in all. Errors: `UserError`, `InputError`."""
    if twice := next((s.name for i, s in enumerate(sources) if s.name in [o.name for o in sources[:i]]), None):
        raise UserError(f"source {twice!r} is named twice; give each a name of its own")
    opened = [TokenShards.open(source.folder, "train") for source in sources]
    common_format([source.folder for source in sources], [shards.format for shards in opened])
    if empty := next((shards.folder for shards in opened if not shards.n_tokens), None):
        raise InputError(f"{empty}: no training documents to mix")
    available = [shards.n_tokens for shards in opened]
    return [Share(*parts) for parts in zip(sources, available, amounts(sources, available, n_tokens), strict=True)]


def amounts(sources: Sequence[Source], available: Sequence[int], n_tokens: int | None) -> list[int]:
    """The tokens to take of each source, which has so many ``available``; they add up to ``n_tokens``.

    Errors: `UserError` where that comes to none, or to more than `MOST_TOKENS`.
    """
    taken = _amounts(sources, available, n_tokens)
    if sum(taken) > MOST_TOKENS:
        raise UserError(f"the mix would have more than {MOST_TOKENS:,} tokens; ask for less")
    if not any(taken):
        raise UserError("the mix comes to no token; ask for more")
    return taken


def _amounts(sources: Sequence[Source], available: Sequence[int], n_tokens: int | None) -> list[int]:
    too_many = MOST_TOKENS + 1  # stands for whatever is more
    fixed = [
        source.n_tokens if source.epochs is None else round(min(source.epochs * n, too_many))
        for source, n in zip(sources, available, strict=True)
    ]
    weights = [source.weight or 0.0 for source in sources]
    n_fixed = sum(n or 0 for n in fixed)
    if not any(weights):
        if n_tokens not in (None, n_fixed):
            raise UserError(f"the sources add up to {n_fixed:,} tokens, not {n_tokens:,}; give one of them a weight")
        return [n or 0 for n in fixed]
    if n_tokens is None:
        least = min(n / weight for n, weight in zip(available, weights, strict=True) if weight)
        rest = int(min(least * sum(weights), too_many))
    else:
        rest = min(n_tokens, too_many) - n_fixed
    if rest <= 0:
        raise UserError(f"{n_tokens:,} tokens leave nothing for weights: the other sources take {n_fixed:,}")
    shared = _share(rest, weights)
    return [part if n is None else n for n, part in zip(fixed, shared, strict=True)]


def _share(total: int, weights: Sequence[float]) -> list[int]:
    """``total`` in parts as ``weights`` are, rounded so that they add up."""
    ends = np.cumsum(weights) / sum(weights)
    ends[-1] = 1.0
    return [int(n) for n in np.diff(np.rint(ends * total).astype(np.int64), prepend=0)]


def common_format(folders: Sequence[str], formats: Sequence[TokenFormat]) -> TokenFormat:
    """The format of all sources, for shards in the order that they came. Errors: `InputError` when two differ."""
    bare = [replace(form, seed=None, mix=None) for form in formats]
    for folder, form in zip(folders, bare, strict=True):
        for name, value in bare[0].as_meta().items():
            if (other := form.as_meta()[name]) != value:
                raise InputError(
                    f"{folders[0]} and {folder} differ in {name} ({value!r}, {other!r}); "
                    "only shards of one tokenizer can be mixed"
                )
    return bare[0]


def mix(
    shares: Sequence[Share],
    out: str,
    seed: int,
    *,
    tokenizer: Tokenizer | None = None,
    shard_tokens: int = SHARD_TOKENS,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> dict[str, int]:
    """Write the mix that ``shares`` describe to a new folder of shards; its counts.

    ``on_tokens`` is told how many more are written. Errors: `InputError` for shards that are not whole; `UserError`
    for a negative seed; `WorkspaceError` when ``out`` holds something.
    """
    if seed < 0:
        raise UserError(f"seed {seed}: must not be negative")
    folders = [share.source.folder for share in shares]
    splits = {split: [TokenShards.open(folder, split) for folder in folders] for split in SPLITS}
    form = common_format(folders, [shards.format for shards in splits["train"]])
    form = replace(form, seed=seed, mix=_as_meta(shares))
    names = [share.source.name for share in shares]

    def batches(split: str) -> Iterator[TokenBatch]:
        readers = [DocumentReader(shards, scratch / f"{split}-{i}") for i, shards in enumerate(splits[split])]
        order = _blended(shares, readers, seed) if split == "train" else _one_by_one(readers)
        yield from _batches(names, readers, order)

    with storage.passing_scratch(str(storage.local_path(out).absolute().parent)) as scratch:
        made = {split: batches(split) for split in SPLITS}
        return write_folder(out, form, made, tokenizer=tokenizer, shard_tokens=shard_tokens, on_tokens=on_tokens)


def _as_meta(shares: Sequence[Share]) -> Mapping[str, Any]:
    sources = {
        share.source.name: {
            "folder": storage.absolute(share.source.folder),
            "n_available": share.n_available,
            "n_tokens": share.n_tokens,
            "epochs": round(share.epochs, 6),
        }
        for share in shares
    }
    return {"sources": sources}


class _Order(NamedTuple):
    """Documents to come: the number of the source of each, and its number there."""

    sources: NDArray[np.int32]
    docs: NDArray[np.int64]


def _blended(shares: Sequence[Share], readers: Sequence[DocumentReader], seed: int) -> Iterator[_Order]:
    """The order of the mix, up to `BATCH_TOKENS` at a time."""
    n = len(shares)
    docs, lengths = np.empty((n, AHEAD_DOCS), np.int64), np.empty((n, AHEAD_DOCS), np.int64)
    ranks = np.zeros(n, np.int64)  # of the first document that is not looked up
    at = np.full(n, AHEAD_DOCS)  # in docs
    taken, targets = np.zeros(n, np.int64), np.array([share.n_tokens for share in shares])
    keys = [(seed, _key(share.source.name)) for share in shares]
    chosen: list[NDArray[np.int32]] = []
    found: list[NDArray[np.int64]] = []
    n_tokens = 0
    while (taken < targets).any():
        for s in np.flatnonzero(at == AHEAD_DOCS).tolist():
            docs[s] = permute_passes(np.arange(ranks[s], ranks[s] + AHEAD_DOCS), readers[s].n_docs, keys[s])
            lengths[s] = readers[s].lengths(docs[s])
            ranks[s] += AHEAD_DOCS
            at[s] = 0
        before = at.copy()
        sources, more = _blend(lengths, at, taken, targets, BATCH_TOKENS - n_tokens)
        numbers = np.empty(len(sources), np.int64)
        for s in range(n):
            numbers[sources == s] = docs[s, before[s] : at[s]]
        chosen.append(sources)
        found.append(numbers)
        n_tokens += more
        if n_tokens >= BATCH_TOKENS:
            yield _Order(np.concatenate(chosen), np.concatenate(found))
            chosen, found, n_tokens = [], [], 0
    if n_tokens:
        yield _Order(np.concatenate(chosen), np.concatenate(found))


@kernel
def _blend(
    lengths: NDArray[np.int64], at: NDArray[np.int64], taken: NDArray[np.int64], targets: NDArray[np.int64], room: int
) -> tuple[NDArray[np.int32], int]:
    """The sources of the next documents, and their tokens: until ``room`` is full, the next length is not known, or
    there is enough of all. Moves ``at`` and ``taken`` on."""
    n_sources, n_ahead = lengths.shape
    chosen = np.empty(n_sources * n_ahead, np.int32)
    n = n_tokens = 0
    while n_tokens < room:
        behind, least = -1, 1.0
        for s in range(n_sources):
            if taken[s] < targets[s] and taken[s] / targets[s] < least:
                behind, least = s, taken[s] / targets[s]
        if behind < 0 or at[behind] == n_ahead:
            break
        length = lengths[behind, at[behind]]
        at[behind] += 1
        taken[behind] += length
        n_tokens += length
        chosen[n] = behind
        n += 1
    return chosen[:n].copy(), n_tokens


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _one_by_one(readers: Sequence[DocumentReader]) -> Iterator[_Order]:
    """All documents of all sources, as they lie there."""
    for s, reader in enumerate(readers):
        for start in range(0, reader.n_docs, AHEAD_DOCS):
            docs = np.arange(start, min(start + AHEAD_DOCS, reader.n_docs))
            yield _Order(np.full(len(docs), s, np.int32), docs)


def _batches(names: Sequence[str], readers: Sequence[DocumentReader], orders: Iterator[_Order]) -> Iterator[TokenBatch]:
    """The documents themselves; the source of each is called by its name in the mix."""
    for order in orders:
        of_source = [np.flatnonzero(order.sources == s) for s in range(len(readers))]
        lengths = np.empty(len(order.docs), np.int64)
        for reader, places in zip(readers, of_source, strict=True):
            lengths[places] = reader.lengths(order.docs[places])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.empty(offsets[-1], readers[0].dtype)
        tables, filled = [], []
        for name, reader, places in zip(names, readers, of_source, strict=True):
            reader.copy(order.docs[places], tokens, offsets[places])
            table, sorting = reader.rows(order.docs[places])
            tables.append(table.set_column(SOURCE, RECORD[SOURCE], pa.array([name] * len(places), pa.string())))
            filled.append(places[sorting])
        rows = pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(filled))))
        yield TokenBatch(tokens, offsets, rows)
