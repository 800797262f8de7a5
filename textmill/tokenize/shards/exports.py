"""Token shards written in the formats of other trainers; `formats` has the layouts.

Documents stay whole and in their order; files begin and end with documents. The end-of-text token moves to where the
format wants it. What a format cannot hold is refused before anything is written. One block of tokens is in memory, and
the folder appears when all of it is written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.schema import show_doc_id
from textmill.tokenize.shards.formats import HEADER_INTS, MEGATRON_MAGIC, TokenFileFormat, format_named, megatron_type
from textmill.tokenize.shards.token_shards import SPLITS, TokenShards

FILE_TOKENS = 100_000_000  # the usual unit
BLOCK = 1 << 20  # tokens or documents in memory


@dataclass(frozen=True)
class Piece:
    """Consecutive documents of a split that become one file."""

    shards: TokenShards
    parts: list[tuple[int, int, int]]  # the index of a shard, a document in it, and the document behind the last

    @property
    def n_docs(self) -> int:
        return sum(stop - start for _, start, stop in self.parts)

    @property
    def n_tokens(self) -> int:
        return sum(int(self.shards.offsets[i][stop] - self.shards.offsets[i][start]) for i, start, stop in self.parts)

    def tokens(self, form: TokenFileFormat) -> Iterator[NDArray[Any]]:
        """All tokens, block by block, each document with the end-of-text token where the format wants it."""
        last = np.array([self.shards.eot_id], self.shards.dtype)
        for i, start, stop in self.parts:
            first, end = (int(self.shards.offsets[i][document]) for document in (start, stop))
            for at in range(first, end, BLOCK):
                block = self.shards.tokens[i][at : min(at + BLOCK, end)]
                yield np.concatenate([last, block[:-1]]) if form.prepends else block
                last = block[-1:]

    def ends(self) -> Iterator[NDArray[np.int64]]:
        """Where documents end, in tokens from the beginning of the piece, block by block."""
        done = 0
        for i, start, stop in self.parts:
            offsets = self.shards.offsets[i]
            for at in range(start, stop, BLOCK):
                yield offsets[at + 1 : min(at + BLOCK, stop) + 1].astype(np.int64) - int(offsets[start]) + done
            done += int(offsets[stop] - offsets[start])

    def rows(self, columns: list[str]) -> Iterator[pa.Table]:
        """The rows of the documents."""
        for i, start, stop in self.parts:
            first = 0
            with storage.open_parquet(self.shards.documents[i]) as file:
                for group in range(file.num_row_groups):
                    n = file.metadata.row_group(group).num_rows
                    low, high = max(start - first, 0), min(stop - first, n)
                    if low < high:
                        yield file.read_row_group(group, columns).slice(low, high - low)
                    first += n


def export(
    folder: str,
    format_name: str,
    out: str,
    *,
    file_tokens: int = FILE_TOKENS,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> dict[str, int]:
    """Write the shards in ``folder`` in another format to the new folder ``out``; the tokens of each file of tokens.

    A file is full when the next document would take it above ``file_tokens``, where a format has several files.
    ``on_tokens`` is told how many more are written. Errors: `UnknownNameError` for the format; `UserError` for ids or
    documents that it cannot hold, or when there are no documents; `InputError` for damaged shards.
    """
    form = format_named(format_name)
    write = WRITERS[form.name]
    splits = [TokenShards.open(folder, split) for split in SPLITS]
    _check_fits(form, splits)
    written: dict[str, int] = {}
    with storage.whole_folder(out) as scratch:
        for shards in splits:
            limit = shards.n_tokens if form.one_file else min(file_tokens, form.file_limit)
            for number, piece in enumerate(pieces(shards, limit)):
                path = scratch / _file_name(form, shards.split, number)
                path.parent.mkdir(exist_ok=True)
                write(form, piece, path)
                written[str(path.relative_to(scratch))] = piece.n_tokens
                on_tokens(piece.n_tokens)
    return written


def _check_fits(form: TokenFileFormat, splits: list[TokenShards]) -> None:
    vocab_size = splits[0].vocab_size
    if form.dtype and vocab_size - 1 > np.iinfo(form.dtype).max:
        wide = "llama3, " if form.prepends else ""
        raise UserError(
            f"{form.name} has 16 bits for an id, but the vocabulary has {vocab_size:,}; "
            f"use {wide}megatron, datatrove or olmo"
        )
    if not any(shards.n_docs for shards in splits):
        raise UserError(f"{splits[0].folder}: no documents to export")
    for shards in splits:
        lengths = [np.diff(offsets.astype(np.int64)) for offsets in shards.offsets]
        if any(len(n) and n.min() < 1 for n in lengths) or sum(int(n.sum()) for n in lengths) != shards.n_tokens:
            raise InputError(f"{shards.folder}: damaged offsets; `textmill shards verify` says where")
        longest = max((int(n.max(initial=0)) for n in lengths), default=0)
        if longest > form.file_limit:
            raise UserError(f"{form.name} holds {form.file_limit:,} tokens a file, but a document has {longest:,}")


def pieces(shards: TokenShards, n_tokens: int) -> Iterator[Piece]:
    """The documents of a split in order, as many a piece as have up to ``n_tokens``, and at least one."""
    parts: list[tuple[int, int, int]] = []
    room = n_tokens
    for i, offsets in enumerate(shards.offsets):
        start = 0
        while start < len(offsets) - 1:
            reach = np.uint64(int(offsets[start]) + max(room, 0))
            stop = int(np.searchsorted(offsets, reach, side="right")) - 1
            if stop == start and parts:
                yield Piece(shards, parts)
                parts, room = [], n_tokens
                continue
            stop = max(stop, start + 1)  # a document that is longer by itself
            parts.append((i, start, stop))
            room -= int(offsets[stop] - offsets[start])
            start = stop
    if parts:
        yield Piece(shards, parts)


def _file_name(form: TokenFileFormat, split: str, number: int) -> str:
    if form.one_file:
        return f"{split}{form.ending}"
    if form.magic:
        return f"textmill_{split}_{number:06d}{form.ending}"
    stem = f"part-{number:05d}" if form.name == "olmo" else f"{number:05d}_tokens"
    return f"{split}/{stem}{form.ending}"


def _write_tokens(stream: BinaryIO, form: TokenFileFormat, piece: Piece, dtype: np.dtype[Any]) -> None:
    for block in piece.tokens(form):
        stream.write(np.ascontiguousarray(block, dtype).data)


def _write_bin(form: TokenFileFormat, piece: Piece, path: Path) -> None:
    """nanogpt, llm.c and llama3."""
    with path.open("wb") as stream:
        if form.magic:
            header = np.zeros(HEADER_INTS, "<i4")
            header[:3] = (*form.magic, piece.n_tokens)
            stream.write(header.data)
        _write_tokens(stream, form, piece, np.dtype(form.dtype))


def _write_megatron(form: TokenFileFormat, piece: Piece, path: Path) -> None:
    code, dtype = megatron_type(piece.shards.vocab_size)
    with path.open("wb") as stream:
        _write_tokens(stream, form, piece, dtype)
    with path.with_suffix(".idx").open("wb") as stream:
        stream.write(MEGATRON_MAGIC + struct.pack("<QBQQ", 1, code, piece.n_docs, piece.n_docs + 1))
        before = 0
        for ends in piece.ends():
            stream.write(np.diff(ends, prepend=before).astype("<i4").data)
            before = int(ends[-1])
        before = 0
        for ends in piece.ends():
            stream.write((np.concatenate([[before], ends[:-1]]) * dtype.itemsize).astype("<i8").data)
            before = int(ends[-1])
        for start in range(0, piece.n_docs + 1, BLOCK):
            stream.write(np.arange(start, min(start + BLOCK, piece.n_docs + 1), dtype="<i8").data)


def _write_datatrove(form: TokenFileFormat, piece: Piece, path: Path) -> None:
    dtype = piece.shards.dtype
    with path.open("wb") as stream:
        _write_tokens(stream, form, piece, dtype)
    with path.with_name(f"{path.name}.index").open("wb") as stream:
        for ends in piece.ends():
            stream.write(ends.astype("<u8").data)
    tokenizer = piece.shards.tokenizer_sha256 or "Unknown Tokenizer"
    lines = [f"{tokenizer}|{dtype.itemsize}", str(piece.n_tokens), _for_people(piece.n_tokens)]
    path.with_name(f"{path.name}.metadata").write_text("\n".join(lines))


def _for_people(n_tokens: int) -> str:
    """Three digits and the prefix of a unit: 1.23 MT."""
    rounded = round(n_tokens, 3 - len(str(n_tokens)))
    power = len(str(rounded)) - 1
    value = rounded / 1000 ** (power // 3)
    return f"{value:.{2 - power % 3}f} {' kMGTP'[power // 3].strip()}T"


def _write_olmo(form: TokenFileFormat, piece: Piece, path: Path) -> None:
    """The columns after start and end are our document id, and the archive record: file and byte."""
    with path.open("wb") as stream:
        _write_tokens(stream, form, piece, piece.shards.dtype)
    options = pyarrow.csv.WriteOptions(include_header=False)
    begin = 0
    with pa.CompressedOutputStream(str(path.with_suffix(".csv.gz")), "gzip") as stream:
        for rows in piece.rows(["doc_id", "n_tokens", "warc_file", "warc_offset"]):
            ends = begin + np.cumsum(rows["n_tokens"].to_numpy())
            starts = np.concatenate([[begin], ends[:-1]])
            ids = pa.array([show_doc_id(doc_id) for doc_id in rows["doc_id"].to_pylist()])
            columns = {"start": starts, "end": ends, "id": ids, "src": rows["warc_file"], "loc": rows["warc_offset"]}
            pyarrow.csv.write_csv(pa.table(columns), stream, options)
            begin = int(ends[-1])


WRITERS: dict[str, Callable[[TokenFileFormat, Piece, Path], None]] = {
    "nanogpt": _write_bin,
    "llm.c": _write_bin,
    "llama3": _write_bin,
    "megatron": _write_megatron,
    "datatrove": _write_datatrove,
    "olmo": _write_olmo,
}
