"""Token shards: what the model trains on, with the way back from every token to the record it came from.

For each split of a shard there are three files in the shards' folder:

    {split}/tokens-NNNNN.bin      token ids without a header, little-endian uint16, or uint32 above 65,536 ids
    {split}/docs-NNNNN.u64        n_docs + 1 little-endian uint64: where documents begin in the first file, in tokens
    {split}/docs-NNNNN.parquet    a row a document: its id, source, URL and archive record, its tokens and UTF-8 bytes

With uint16 the first file is what nanoGPT reads. The end-of-text token is appended to every document, also to an empty
one, and counts as its last token. Bytes per document make bits per byte computable without decoding. What a file of
bare ids cannot say (`TokenFormat`: its type, tokenizer, end-of-text policy, and how documents were mixed) is in
``meta`` of the manifest of shard NNNNN, with the size and sha256 of each file. `TokenShards` opens only what manifests
name, and refuses shards that disagree. ``tokenizer.json`` may lie beside them.

Reading maps the files and costs nothing until tokens are touched. `writer` writes them, `check` reads every byte of
them, `exports` and `imports` speak the formats of other trainers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from textmill import storage
from textmill.errors import InputError, UnknownNameError, UserError
from textmill.tokenize.encoding.tokenizer import Tokenizer, token_dtype

FORMAT = "textmill-tokens-2"
SPLITS = ("train", "val")
TOKENIZER_FILE = "tokenizer.json"  # in a folder that no run stands behind
SHOWN_DIGITS = 12  # of a digest, in messages

RECORD = [
    pa.field("doc_id", pa.uint64(), nullable=False),
    pa.field("source", pa.string(), nullable=False),  # of a mix; ids are unique within it
    pa.field("url", pa.string(), nullable=False),
    pa.field("warc_file", pa.string(), nullable=False),
    pa.field("warc_offset", pa.int64(), nullable=False),
    pa.field("warc_length", pa.int64(), nullable=False),
]
N_BYTES = pa.field("n_bytes", pa.int64())  # of the text, in UTF-8; null where the tokenizer is not known
DOCUMENTS = pa.schema(
    [
        *RECORD,
        pa.field("url_hash", pa.uint64(), nullable=False),  # of `textmill.bits`
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the first token, in the shard's file
        pa.field("n_tokens", pa.int64(), nullable=False),  # with the end-of-text token
        N_BYTES,
    ]
)


@dataclass(frozen=True)
class TokenFormat:
    """What bare ids cannot say. All shards of a folder agree on it."""

    dtype: str  # uint16 or uint32, little-endian
    vocab_size: int
    tokenizer_sha256: str  # "" where nobody knows
    eot_id: int
    eot_policy: str = "append"
    seed: int | None = None  # of the order of documents; None: as they came
    mix: Mapping[str, Any] | None = None  # what was taken from which source

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> TokenFormat:
        """Errors: `UserError` for a tokenizer without an end-of-text token."""
        vocab_size = tokenizer.vocab_size
        return cls(token_dtype(vocab_size).name, vocab_size, tokenizer.digest, tokenizer.eot_id)

    def as_meta(self) -> dict[str, Any]:
        """As a manifest holds it."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any], uri: str) -> TokenFormat:
        """What the manifest at ``uri`` says. Errors: `InputError`."""
        if meta.get("format") != FORMAT:
            raise InputError(f"{uri}: not token shards of format {FORMAT!r}; tokenize again")
        try:
            found = cls(**{name: value for name, value in meta.items() if name != "format"})
            sound = (
                found.dtype == token_dtype(found.vocab_size).name
                and 0 <= found.eot_id < found.vocab_size
                and found.eot_policy == "append"
                and isinstance(found.tokenizer_sha256, str)
                and isinstance(found.vocab_size, int)
                and isinstance(found.eot_id, int)
                and isinstance(found.seed, int | None)
                and isinstance(found.mix, Mapping | None)
            )
        except TypeError:
            sound = False
        if not sound:
            raise InputError(f"{uri}: its meta is none of format {FORMAT!r}; tokenize again")
        return found

    def check_tokenizer(self, tokenizer: Tokenizer, where: str) -> None:
        """Errors: `InputError` when the shards at ``where`` were made with another tokenizer."""
        if self.tokenizer_sha256 not in ("", tokenizer.digest):
            raise InputError(
                f"{where}: written with tokenizer {self.tokenizer_sha256[:SHOWN_DIGITS]}, not with "
                f"{tokenizer.digest[:SHOWN_DIGITS]}; give the one that it was written with"
            )
        if tokenizer.vocab_size > self.vocab_size:
            raise InputError(
                f"{where}: has {self.vocab_size:,} ids, the tokenizer {tokenizer.vocab_size:,}; "
                "give the one that it was written with"
            )


def names(split: str, shard: str) -> tuple[str, str, str]:
    """The files of a split of a shard: tokens, offsets, documents."""
    return f"{split}/tokens-{shard}.bin", f"{split}/docs-{shard}.u64", f"{split}/docs-{shard}.parquet"


def place_of(path: str) -> tuple[str, str, str] | None:
    """The folder, split and shard of a path as `names` gives them, or None for another one."""
    folder, name = (parent := Path(path).parent).parent, Path(path).name
    shard = name.removeprefix("tokens-").removesuffix(".bin")
    return (str(folder), parent.name, shard) if names(parent.name, shard)[0] == f"{parent.name}/{name}" else None


@dataclass(frozen=True)
class Location:
    """Where a token comes from: the document, its archive record, and the token's place in the document."""

    doc_id: int
    source: str
    url: str
    warc_file: str
    warc_offset: int
    warc_length: int
    shard: int
    offset: int  # of the document's first token in the shard's file
    n_tokens: int  # of the document, with the end-of-text token
    token: int  # from 0


@dataclass(frozen=True)
class TokenShards:
    """One split of a folder of token shards, mapped into memory. `open` makes it.

    ``tokens`` and ``offsets`` hold one array a shard: its ids, and the n_docs + 1 places at which its documents begin.
    """

    folder: str
    split: str
    names: list[str]  # of the shards: 00000, ...
    tokens: list[npt.NDArray[Any]]
    offsets: list[npt.NDArray[np.uint64]]
    documents: list[str]  # URIs of the tables of documents
    n_tokens: int
    n_docs: int
    n_bytes: int  # of text, in UTF-8, where it is known
    format: TokenFormat

    @classmethod
    def open(cls, folder: str, split: str) -> TokenShards:
        """The shards that manifests in the local ``folder`` name, in the order of their numbers.

        Errors: `UnknownNameError` for the split; `InputError` when there are no shards, when two of them differ in
        format or tokenizer, or when a file is missing or has another size than when it was published.
        """
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        manifests = manifests_of(folder)
        form = common_format(folder, manifests)
        dtype = np.dtype(form.dtype).newbyteorder("<")
        files = [names(split, shard) for shard in manifests]
        for manifest, (tokens, offsets, documents) in zip(manifests.values(), files, strict=True):
            check_file(folder, manifest, tokens, dtype.itemsize)
            check_file(folder, manifest, offsets, 8)
            check_file(folder, manifest, documents, 1)
        return cls(
            folder=folder,
            split=split,
            names=list(manifests),
            tokens=[_map(storage.join(folder, tokens), dtype) for tokens, _, _ in files],
            offsets=[_map(storage.join(folder, offsets), np.dtype("<u8")) for _, offsets, _ in files],
            documents=[storage.join(folder, documents) for _, _, documents in files],
            n_tokens=_total(folder, manifests, f"{split}_n_tokens"),
            n_docs=_total(folder, manifests, f"{split}_n_docs"),
            n_bytes=_total(folder, manifests, f"{split}_n_bytes"),
            format=form,
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.format.dtype).newbyteorder("<")

    @property
    def vocab_size(self) -> int:
        return self.format.vocab_size

    @property
    def tokenizer_sha256(self) -> str:
        return self.format.tokenizer_sha256

    @property
    def eot_id(self) -> int:
        return self.format.eot_id

    def locate(self, position: int) -> Location:
        """Where the token at ``position``, counted over all shards, comes from. Errors: `UserError`: no such token."""
        if not 0 <= position < self.n_tokens:
            raise UserError(f"token {position}: split {self.split!r} has {self.n_tokens:,} tokens, the first is 0")
        shard = 0
        while position >= len(self.tokens[shard]):
            position -= len(self.tokens[shard])
            shard += 1
        return self.locate_in(shard, position)

    def locate_in(self, shard: int, position: int) -> Location:
        """Where the token at ``position`` of the shard at index ``shard`` comes from.

        Errors: `UserError`: no such token; `InputError` for damaged offsets.
        """
        if not 0 <= position < len(self.tokens[shard]):
            name = names(self.split, self.names[shard])[0]
            raise UserError(f"token {position}: {name} has {len(self.tokens[shard]):,} tokens, the first is 0")
        offsets = self.offsets[shard]
        document = int(np.searchsorted(offsets, np.uint64(position), side="right")) - 1
        if not (0 <= document < len(offsets) - 1 and offsets[document] <= position < offsets[document + 1]):
            raise InputError(f"{self.folder}: damaged offsets; `textmill shards verify` says where")
        row = _read_row(self.documents[shard], document)
        row = {name: row[name] for name in Location.__dataclass_fields__ if name in row}
        return Location(**row, token=position - row["offset"])


def manifests_of(folder: str) -> dict[str, storage.Manifest]:
    """The manifests of a folder of token shards. Errors: `InputError`: there are none."""
    if not storage.is_local(folder):
        raise InputError(f"{folder}: token shards are mapped into memory; copy them to a local folder")
    manifests = storage.manifests(folder)
    if not manifests:
        raise InputError(f"{folder}: no token shards (no manifests); give the folder of a finished tokens stage")
    if other := next((shard for shard in manifests if not shard.isdecimal()), None):
        raise InputError(f"{storage.manifest_uri(folder, other)}: not the manifest of a token shard")
    return manifests


def common_format(folder: str, manifests: Mapping[str, storage.Manifest]) -> TokenFormat:
    """The format on which all manifests agree. Errors: `InputError`."""
    (first, manifest), *others = manifests.items()
    form = TokenFormat.from_meta(manifest.meta, storage.manifest_uri(folder, first))
    for shard, other in others:
        for key, value in form.as_meta().items():
            if other.meta.get(key) != value:
                raise InputError(
                    f"{folder}: shards {first} and {shard} differ in {key} ({value!r}, {other.meta.get(key)!r}); "
                    "do not mix them"
                )
    return form


def check_file(folder: str, manifest: storage.Manifest, name: str, row_bytes: int) -> None:
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


def _total(folder: str, manifests: Mapping[str, storage.Manifest], name: str) -> int:
    for shard, manifest in manifests.items():
        if not isinstance(manifest.counts.get(name), int):
            raise InputError(f"{storage.manifest_uri(folder, shard)}: no count {name!r}; tokenize again")
    return sum(manifest.counts[name] for manifest in manifests.values())


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
