"""Writing token shards: the three files of each split of a shard, and whole folders of shards.

`write_shard` encodes texts, for a stage that publishes the shard itself. `write_folder` takes documents that are tokens
already, from somebody else's files or from other shards, and cuts them into shards; the folder appears when all of them
are written. Both hold one batch of documents in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import hash_pieces, read_only
from textmill.errors import InvariantError
from textmill.tokenize.encoding.tokenizer import Tokenizer
from textmill.tokenize.pretokens.blocks import text_buffers
from textmill.tokenize.shards.token_shards import DOCUMENTS, N_BYTES, RECORD, SPLITS, TOKENIZER_FILE, TokenFormat, names

SHARD_TOKENS = 100_000_000  # of a split in a shard that `write_folder` makes: the usual unit, 200 MB of uint16


class WrittenShard(NamedTuple):
    """Local files by final name, their rows (tokens, offsets, documents), counts that add up, and the format."""

    files: dict[str, Path]
    rows: dict[str, int]
    counts: dict[str, int]
    meta: dict[str, Any]


class TokenBatch(NamedTuple):
    """Whole documents, one after the other, the end-of-text token last in each."""

    tokens: NDArray[Any]
    offsets: NDArray[np.int64]  # n_docs + 1
    rows: pa.Table  # the columns of RECORD and n_bytes


def write_shard(
    scratch: Path, number: int, batches: Iterable[pa.Table], tokenizer: Tokenizer, source: str = "web"
) -> WrittenShard:
    """Write the documents of ``batches`` to the files of shard ``number`` under ``scratch``.

    A batch has the columns doc_id, url, warc_file, warc_offset, warc_length, text (large_string) and split ("train" or
    "val"). Within a split, documents keep their order. A split without documents gets its files too. Errors:
    `InvariantError` for another split, a null, or an id that the file cannot hold; `UserError` for a tokenizer without
    an end-of-text token.
    """
    with _ShardWriter(scratch, number, TokenFormat.of(tokenizer)) as shard:
        for batch in batches:
            unknown = set(pc.unique(batch["split"]).to_pylist()) - set(SPLITS)
            if unknown:
                raise InvariantError(f"shard {number}: split {unknown.pop()!r}, expected one of {', '.join(SPLITS)}")
            for split in SPLITS:
                chosen = batch.filter(pc.equal(batch["split"], split))
                shard.write(split, encode_batch(chosen, tokenizer, source))
    return shard.written


def encode_batch(batch: pa.Table, tokenizer: Tokenizer, source: str) -> TokenBatch:
    """The documents of ``batch`` (columns as for `write_shard`) as tokens."""
    text = batch["text"].combine_chunks()
    ordinary, ends = tokenizer.encode_batch(text)
    tokens = np.insert(ordinary, ends[1:], tokenizer.eot_id)
    sources = pa.array([source]).take(pa.array(np.zeros(len(text), np.int32)))
    columns = [sources if field.name == "source" else batch[field.name] for field in RECORD]
    columns.append(pc.binary_length(text).cast(pa.int64()))
    rows = pa.Table.from_arrays(columns, schema=pa.schema([*RECORD, N_BYTES]))
    return TokenBatch(tokens, ends + np.arange(len(ends)), rows)


def write_folder(
    out: str,
    form: TokenFormat,
    splits: Mapping[str, Iterator[TokenBatch]],
    *,
    tokenizer: Tokenizer | None = None,
    shard_tokens: int = SHARD_TOKENS,
    on_tokens: Callable[[int], object] = lambda n_tokens: None,
) -> dict[str, int]:
    """Write the documents of each split to a new folder of shards; the counts of all of them.

    A split of a shard is full with the batch that brings it to ``shard_tokens``. ``on_tokens`` is told how many more
    are written. Errors: `WorkspaceError` when ``out`` holds something; `InvariantError` for an id that does not fit.
    """
    totals: dict[str, int] = {}
    with storage.whole_folder(out) as folder:
        if tokenizer is not None:
            tokenizer.save(str(folder / TOKENIZER_FILE))
        batches = {split: _Feed(splits.get(split, iter(()))) for split in SPLITS}
        number = 0
        while number == 0 or any(feed.more for feed in batches.values()):
            with _ShardWriter(folder, number, form) as shard:
                for split, feed in batches.items():
                    for batch in feed.up_to(shard_tokens):
                        shard.write(split, batch)
                        on_tokens(len(batch.tokens))
            written = shard.written
            outputs = storage.describe(written.files, written.rows)
            manifest = storage.Manifest("tokens", "", f"{number:05d}", outputs, written.counts, written.meta)
            storage.write_manifest(str(folder), manifest)
            totals = {name: totals.get(name, 0) + n for name, n in written.counts.items()}
            number += 1
    return totals


class _Feed:
    """Batches, some tokens at a time."""

    def __init__(self, batches: Iterator[TokenBatch]) -> None:
        self._batches = batches
        self._next = next(batches, None)

    @property
    def more(self) -> bool:
        return self._next is not None

    def up_to(self, n_tokens: int) -> Iterator[TokenBatch]:
        """The next batches, until they have at least ``n_tokens``."""
        while n_tokens > 0 and self._next is not None:
            batch, self._next = self._next, next(self._batches, None)
            n_tokens -= len(batch.tokens)
            yield batch


class _ShardWriter:
    """All splits of one shard."""

    def __init__(self, folder: Path, number: int, form: TokenFormat) -> None:
        self._form = form
        self._splits = {split: _SplitWriter(folder, split, number, form) for split in SPLITS}

    def __enter__(self) -> _ShardWriter:
        with ExitStack() as stack:
            for writer in self._splits.values():
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def write(self, split: str, batch: TokenBatch) -> None:
        self._splits[split].write(batch)

    @property
    def written(self) -> WrittenShard:
        files: dict[str, Path] = {}
        rows: dict[str, int] = {}
        counts: dict[str, int] = {}
        for writer in self._splits.values():
            files |= writer.files
            rows |= writer.rows
            counts |= writer.counts
        return WrittenShard(files, rows, counts, self._form.as_meta())


class _SplitWriter:
    """The three files of one split of one shard."""

    def __init__(self, folder: Path, split: str, number: int, form: TokenFormat) -> None:
        self._split, self._number, self._form = split, number, form
        self._dtype = np.dtype(form.dtype).newbyteorder("<")
        self._names = names(split, f"{number:05d}")
        self.files = {name: folder / name for name in self._names}
        self.n_tokens = self.n_docs = self.n_bytes = 0

    def __enter__(self) -> _SplitWriter:
        tokens, offsets, documents = self.files.values()
        tokens.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._tokens = stack.enter_context(tokens.open("wb"))
            self._offsets = stack.enter_context(offsets.open("wb"))
            self._documents = stack.enter_context(storage.TableWriter(documents, DOCUMENTS))
            self._stack = stack.pop_all()
        self._offsets.write(np.zeros(1, "<u8").tobytes())
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def write(self, batch: TokenBatch) -> None:
        """Append the documents of ``batch``."""
        self._refuse_wide(batch.tokens)
        offsets = self.n_tokens + batch.offsets
        self._tokens.write(np.ascontiguousarray(batch.tokens, self._dtype).data)
        self._offsets.write(offsets[1:].astype("<u8").data)
        self._documents.write(self._rows(batch, offsets))
        self.n_tokens += len(batch.tokens)
        self.n_docs += batch.rows.num_rows
        self.n_bytes += pc.sum(batch.rows["n_bytes"], min_count=0).as_py()

    def _rows(self, batch: TokenBatch, offsets: NDArray[np.int64]) -> pa.Table:
        own = {
            "url_hash": pa.array(hash_strings(batch.rows["url"].combine_chunks())),
            "shard": pa.array(np.full(batch.rows.num_rows, self._number, np.int32)),
            "offset": pa.array(offsets[:-1]),
            "n_tokens": pa.array(np.diff(offsets)),
        }
        columns = [own[name] if name in own else batch.rows[name] for name in DOCUMENTS.names]
        return pa.Table.from_arrays(columns, schema=DOCUMENTS)

    def _refuse_wide(self, tokens: NDArray[Any]) -> None:
        largest = int(tokens.max(initial=0))
        if largest >= self._form.vocab_size:
            raise InvariantError(
                f"{self._names[0]}: token id {largest} does not fit a vocabulary of {self._form.vocab_size} ids "
                f"in {self._dtype.name}"
            )

    @property
    def rows(self) -> dict[str, int]:
        return dict(zip(self._names, (self.n_tokens, self.n_docs + 1, self.n_docs), strict=True))

    @property
    def counts(self) -> dict[str, int]:
        split = self._split
        return {
            f"{split}_n_tokens": self.n_tokens,
            f"{split}_n_docs": self.n_docs,
            f"{split}_n_bytes": self.n_bytes,
        }


def hash_strings(strings: pa.StringArray) -> NDArray[np.uint64]:
    """The hash (`textmill.bits`) of each string, in UTF-8."""
    data, bounds = text_buffers(strings)
    return np.asarray(hash_pieces(read_only(data), bounds))
