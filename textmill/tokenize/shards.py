"""Token shards: what the model trains on, with the way back from every token to the record it came from.

For each split of a shard there are three files in the shards' folder:

    {split}/tokens-NNNNN.bin      token ids without a header, little-endian uint16, or uint32 above 65,536 ids
    {split}/docs-NNNNN.u64        n_docs + 1 little-endian uint64: where documents begin in the first file, in tokens
    {split}/docs-NNNNN.parquet    a row a document: its id, URL and archive record, its tokens and its UTF-8 bytes

With uint16 the first file is what nanoGPT reads. The end-of-text token is appended to every document, also to an empty
one, and counts as its last token. Bytes per document make bits per byte computable without decoding. What a file of
bare ids cannot say (its type, tokenizer, end-of-text policy) is in ``meta`` of the task's manifest, whose shard is
named NNNNN. `TokenShards` opens only what manifests name, and refuses shards that disagree.

Writing holds one batch in memory. Reading maps the files and costs nothing until tokens are touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.tokenize.encode import Tokenizer, token_dtype

FORMAT = "textmill-tokens-1"
SPLITS = ("train", "val")
META = ("format", "dtype", "vocab_size", "tokenizer_sha256", "eot_id", "eot_policy")

_RECORD = [
    pa.field("doc_id", pa.uint64(), nullable=False),
    pa.field("url", pa.string(), nullable=False),
    pa.field("warc_file", pa.string(), nullable=False),
    pa.field("warc_offset", pa.int64(), nullable=False),
    pa.field("warc_length", pa.int64(), nullable=False),
]
DOCUMENTS = pa.schema(
    [
        *_RECORD,
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the first token, in the shard's file
        pa.field("n_tokens", pa.int64(), nullable=False),  # with the end-of-text token
        pa.field("n_bytes", pa.int64(), nullable=False),  # of the text, in UTF-8
    ]
)


class WrittenShard(NamedTuple):
    """Local files by final name, their rows (tokens, offsets, documents), counts that add up, and the format."""

    files: dict[str, Path]
    rows: dict[str, int]
    counts: dict[str, int]
    meta: dict[str, Any]


def write_shard(scratch: Path, number: int, batches: Iterable[pa.Table], tokenizer: Tokenizer) -> WrittenShard:
    """Write the documents of ``batches`` to the files of shard ``number`` under ``scratch``.

    A batch has the columns doc_id, url, warc_file, warc_offset, warc_length, text (large_string) and split ("train" or
    "val"). Within a split, documents keep their order. A split without documents gets its files too. Errors:
    `InvariantError` for another split, a null, or an id that the file cannot hold; `UserError` for a tokenizer without
    an end-of-text token.
    """
    with ExitStack() as stack:
        writers = {split: stack.enter_context(_SplitWriter(scratch, split, number, tokenizer)) for split in SPLITS}
        for batch in batches:
            unknown = set(pc.unique(batch["split"]).to_pylist()) - set(SPLITS)
            if unknown:
                raise InvariantError(f"shard {number}: split {unknown.pop()!r}, expected one of {', '.join(SPLITS)}")
            for split, writer in writers.items():
                writer.write(batch.filter(pc.equal(batch["split"], split)))
    files: dict[str, Path] = {}
    rows: dict[str, int] = {}
    counts: dict[str, int] = {}
    for writer in writers.values():
        files |= writer.files
        rows |= writer.rows
        counts |= writer.counts
    return WrittenShard(files, rows, counts, _meta(tokenizer))


def _meta(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "dtype": token_dtype(tokenizer.vocab_size).name,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_sha256": tokenizer.digest,
        "eot_id": tokenizer.eot_id,
        "eot_policy": "append",
    }


def _names(split: str, shard: str) -> tuple[str, str, str]:
    return f"{split}/tokens-{shard}.bin", f"{split}/docs-{shard}.u64", f"{split}/docs-{shard}.parquet"


class _SplitWriter:
    """The three files of one split of one shard."""

    def __init__(self, scratch: Path, split: str, number: int, tokenizer: Tokenizer) -> None:
        self._split, self._number, self._tokenizer = split, number, tokenizer
        self._eot_id, self._dtype = tokenizer.eot_id, token_dtype(tokenizer.vocab_size)
        self._names = _names(split, f"{number:05d}")
        self.files = {name: scratch / name for name in self._names}
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

    def write(self, batch: pa.Table) -> None:
        """Append the documents of ``batch``, all of them of this split."""
        text = batch["text"].combine_chunks()
        ordinary, ends = self._tokenizer.encode_batch(text)
        self._refuse_wide(ordinary)
        tokens = np.insert(ordinary, ends[1:], self._eot_id)
        offsets = self.n_tokens + ends + np.arange(len(ends))
        self._tokens.write(tokens.astype(self._dtype, copy=False).tobytes())
        self._offsets.write(offsets[1:].astype("<u8").tobytes())
        n_bytes = pc.binary_length(text)
        self._documents.write(self._rows(batch, offsets, n_bytes))
        self.n_tokens += len(tokens)
        self.n_docs += len(text)
        self.n_bytes += pc.sum(n_bytes, min_count=0).as_py()

    def _rows(self, batch: pa.Table, offsets: npt.NDArray[np.int64], n_bytes: pa.Int64Array) -> pa.Table:
        shard = np.full(batch.num_rows, self._number, np.int32)
        columns = [batch[field.name] for field in _RECORD]
        columns += [pa.array(shard), pa.array(offsets[:-1]), pa.array(np.diff(offsets)), n_bytes.cast(pa.int64())]
        return pa.Table.from_arrays(columns, schema=DOCUMENTS)

    def _refuse_wide(self, tokens: npt.NDArray[Any]) -> None:
        largest = max(int(tokens.max(initial=0)), self._eot_id)
        if largest >= self._tokenizer.vocab_size or largest > np.iinfo(self._dtype).max:
            raise InvariantError(
                f"{self._names[0]}: token id {largest} does not fit a vocabulary of {self._tokenizer.vocab_size} ids "
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


@dataclass(frozen=True)
class Location:
    """Where a token comes from: the document, its archive record, and the token's place in the document."""

    doc_id: int
    url: str
    warc_file: str
    warc_offset: int
    warc_length: int
    shard: int
    n_tokens: int  # of the document, with the end-of-text token
    token: int  # from 0


@dataclass(frozen=True)
class TokenShards:
    """One split of a folder of token shards, mapped into memory. `open` makes it.

    ``tokens`` and ``offsets`` hold one array a shard: its ids, and the n_docs + 1 places at which its documents begin.
    """

    split: str
    tokens: list[npt.NDArray[Any]]
    offsets: list[npt.NDArray[np.uint64]]
    documents: list[str]  # URIs of the tables of documents
    n_tokens: int
    n_docs: int
    n_bytes: int  # of text, in UTF-8
    dtype: np.dtype[Any]
    vocab_size: int
    tokenizer_sha256: str
    eot_id: int

    @classmethod
    def open(cls, folder: str, split: str) -> TokenShards:
        """The shards that manifests in the local ``folder`` name, in the order of their numbers.

        Errors: `UnknownNameError` for the split; `InputError` when there are no shards, when two of them differ in
        format or tokenizer, or when a file is missing or has another size than when it was published.
        """
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        manifests = _manifests(folder)
        meta = _common_meta(folder, manifests)
        dtype = np.dtype(meta["dtype"]).newbyteorder("<")
        names = [_names(split, shard) for shard in manifests]
        for manifest, (tokens, offsets, documents) in zip(manifests.values(), names, strict=True):
            _check_file(folder, manifest, tokens, dtype.itemsize)
            _check_file(folder, manifest, offsets, 8)
            _check_file(folder, manifest, documents, 1)
        return cls(
            split=split,
            tokens=[_map(storage.join(folder, tokens), dtype) for tokens, _, _ in names],
            offsets=[_map(storage.join(folder, offsets), np.dtype("<u8")) for _, offsets, _ in names],
            documents=[storage.join(folder, documents) for _, _, documents in names],
            n_tokens=sum(manifest.counts[f"{split}_n_tokens"] for manifest in manifests.values()),
            n_docs=sum(manifest.counts[f"{split}_n_docs"] for manifest in manifests.values()),
            n_bytes=sum(manifest.counts[f"{split}_n_bytes"] for manifest in manifests.values()),
            dtype=dtype,
            vocab_size=meta["vocab_size"],
            tokenizer_sha256=meta["tokenizer_sha256"],
            eot_id=meta["eot_id"],
        )

    def locate(self, position: int) -> Location:
        """Where the token at ``position``, counted over all shards, comes from. Errors: `UserError`: no such token."""
        if not 0 <= position < self.n_tokens:
            raise UserError(f"token {position}: split {self.split!r} has tokens 0 to {self.n_tokens - 1}")
        shard = 0
        while position >= len(self.tokens[shard]):
            position -= len(self.tokens[shard])
            shard += 1
        document = int(np.searchsorted(self.offsets[shard], np.uint64(position), side="right")) - 1
        row = _read_row(self.documents[shard], document)
        token = position - row.pop("offset")
        del row["n_bytes"]
        return Location(**row, token=token)


def _manifests(folder: str) -> dict[str, storage.Manifest]:
    if not storage.is_local(folder):
        raise InputError(f"{folder}: token shards are mapped into memory; copy them to a local folder")
    manifests = storage.manifests(folder)
    if not manifests:
        raise InputError(f"{folder}: no token shards (no manifests); give the folder of a finished tokens stage")
    return manifests


def _common_meta(folder: str, manifests: Mapping[str, storage.Manifest]) -> Mapping[str, Any]:
    """The ``meta`` on which all manifests agree."""
    (first, manifest), *others = manifests.items()
    meta = manifest.meta
    if meta.get("format") != FORMAT or not set(META) <= set(meta):
        raise InputError(
            f"{storage.manifest_uri(folder, first)}: not token shards of format {FORMAT!r}; tokenize again"
        )
    for shard, other in others:
        for key in META:
            if other.meta.get(key) != meta[key]:
                raise InputError(
                    f"{folder}: shards {first} and {shard} differ in {key} ({meta[key]!r}, {other.meta.get(key)!r}); "
                    "do not mix them"
                )
    return meta


def _check_file(folder: str, manifest: storage.Manifest, name: str, row_bytes: int) -> None:
    """Refuse a file that is not what was published; ``row_bytes`` are the fewest that a row of it takes."""
    uri = storage.join(folder, name)
    if name not in manifest.outputs:
        raise InputError(f"{storage.manifest_uri(folder, manifest.shard)}: does not name {name}; tokenize again")
    expected = manifest.outputs[name]
    try:
        n_bytes = storage.size(uri)
    except FileNotFoundError as error:
        raise InputError(f"{uri}: missing, though its manifest names it; tokenize again") from error
    if n_bytes != expected.n_bytes:
        state = "cut short" if n_bytes < expected.n_bytes else "overwritten"
        raise InputError(f"{uri}: {state}: {n_bytes} bytes, its manifest says {expected.n_bytes}; tokenize again")
    if row_bytes > 1 and n_bytes != expected.rows * row_bytes:
        raise InputError(f"{uri}: {n_bytes} bytes are not {expected.rows} rows of {row_bytes} bytes; tokenize again")


def _map(uri: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    path = storage.filesystem(uri)[1]
    return (
        np.memmap(path, dtype, mode="r") if storage.size(uri) else np.empty(0, dtype)
    )  # an empty file cannot be mapped


def _read_row(uri: str, number: int) -> dict[str, Any]:
    """One row of a Parquet file, by column; reads only the row group that holds it."""
    with storage.open_parquet(uri) as file:
        group = 0
        while number >= file.metadata.row_group(group).num_rows:
            number -= file.metadata.row_group(group).num_rows
            group += 1
        (row,) = file.read_row_group(group).slice(number, 1).to_pylist()
    return dict(row)
