"""Token files of other trainers, as token shards of ours; `formats` has the layouts.

Where a format says where documents end, that is taken; else they are cut at the end-of-text token, and the files given
are one stream: a document may begin in one and end in the next, as llm.c writes them. In our shards the token is last
in each document: it moves there, or is added. Where a document lay (file, first byte, bytes) takes the place of its
archive record.

Files are mapped into memory; one block of tokens, or the longest document, is held.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from textmill.errors import InputError, UserError
from textmill.tokenize.encoding.tokenizer import Tokenizer, token_dtype
from textmill.tokenize.files.definition import MAX_IDS
from textmill.tokenize.shards.formats import (
    HEADER_INTS,
    MEGATRON_MAGIC,
    MEGATRON_TYPES,
    TokenFileFormat,
)
from textmill.tokenize.shards.token_shards import N_BYTES, RECORD, TokenFormat
from textmill.tokenize.shards.writer import TokenBatch, write_folder

BLOCK = 1 << 20  # tokens


@dataclass(frozen=True)
class TokenFile:
    """A file of tokens, mapped into memory, with what lies beside it."""

    path: str
    tokens: NDArray[Any]
    first_byte: int = 0  # of the tokens
    offsets: NDArray[np.int64] | None = None  # n_docs + 1, in tokens; None where nothing says where documents end
    names: pa.StringArray | None = None  # of documents


@dataclass(frozen=True)
class Import:
    """How ids of somebody else's become documents of ours."""

    form: TokenFormat
    token_bytes: NDArray[np.int64] | None  # UTF-8 bytes of each id; None where the tokenizer is not known
    source: str

    @classmethod
    def of(cls, source: str, tokenizer: Tokenizer | None, vocab_size: int | None, eot_id: int | None) -> Import:
        """With a tokenizer, or else with the number of ids and the one that ends documents. Errors: `UserError`."""
        if tokenizer is not None:
            n_ids = max(tokenizer.vocab_size, vocab_size or 0)  # models often have some more
            eot_id = tokenizer.eot_id if eot_id is None else eot_id
            token_bytes = np.zeros(n_ids, np.int64)
            token_bytes[list(tokenizer.vocab)] = [len(token) for token in tokenizer.vocab.values()]
            digest = tokenizer.digest
        elif vocab_size is None or eot_id is None:
            raise UserError("give the tokenizer; or, if there is none, the size of its vocabulary and end-of-text id")
        else:
            n_ids, token_bytes, digest = vocab_size, None, ""
        if n_ids > MAX_IDS:
            raise UserError(f"a vocabulary of {n_ids:,} ids: shards hold at most {MAX_IDS:,}")
        if not 0 <= eot_id < n_ids:
            raise UserError(f"end-of-text id {eot_id}: not in a vocabulary of {n_ids:,} ids")
        if token_bytes is not None:
            token_bytes[eot_id] = 0  # it is no text
        return cls(TokenFormat(token_dtype(n_ids).name, n_ids, digest, eot_id), token_bytes, source)

    def batches(self, files: Sequence[TokenFile], prepends: bool, first_file: int = 0) -> Iterator[TokenBatch]:
        """All documents of ``files``, whose numbers in ids of documents begin at ``first_file``.

        ``prepends``: the end-of-text token stands before a document, where it shows the bounds. Errors: `InputError`
        for an id that the vocabulary does not have.
        """
        without = [file.path for file in files if file.offsets is None]
        if without and len(without) < len(files):
            raise InputError(f"{without[0]}: nothing beside it says where documents end, as it does for other files")
        n_docs = 0
        for block in self._delimited(files, prepends) if without else self._bounded(files):
            yield self._batch(files, block, first_file, n_docs)
            n_docs += len(block.offsets) - 1

    def _bounded(self, files: Sequence[TokenFile]) -> Iterator[_Block]:
        """Documents as ``offsets`` have them."""
        for number, file in enumerate(files):
            assert file.offsets is not None
            first, n_docs = 0, len(file.offsets) - 1
            while first < n_docs:
                last = int(np.searchsorted(file.offsets, file.offsets[first] + BLOCK, side="right")) - 1
                last = min(max(last, first + 1), n_docs)
                bounds = file.offsets[first : last + 1]
                tokens = self._read(file, int(bounds[0]), int(bounds[-1]))
                names = file.names[first:last] if file.names is not None else None
                yield _Block(tokens, bounds - bounds[0], np.full(last - first, number), bounds[:-1], names)
                first = last

    def _delimited(self, files: Sequence[TokenFile], prepends: bool) -> Iterator[_Block]:
        """Documents as end-of-text tokens cut them; a file goes on where the one before it ended."""
        file_starts = np.cumsum([0, *(len(file.tokens) for file in files)])
        pending: list[NDArray[Any]] = []
        at = n_pending = 0

        def block(end: NDArray[Any], cuts: NDArray[np.int64]) -> _Block:
            offsets = np.concatenate([[0], n_pending + cuts])
            starts = at - n_pending + offsets[:-1]
            numbers = np.searchsorted(file_starts, starts, side="right") - 1
            return _Block(np.concatenate([*pending, end]), offsets, numbers, starts - file_starts[numbers])

        for tokens in self._blocks(files):
            cuts = np.flatnonzero(tokens == self.form.eot_id) + (0 if prepends else 1)
            cuts = cuts[1:] if len(cuts) and n_pending + cuts[0] == 0 else cuts  # nothing is before the first
            rest = int(cuts[-1]) if len(cuts) else 0
            if len(cuts):
                yield block(tokens[:rest], cuts)
                pending, n_pending = [], 0
            pending.append(tokens[rest:])
            n_pending += len(tokens) - rest
            at += len(tokens)
        if n_pending:
            yield block(np.empty(0, self.form.dtype), np.zeros(1, np.int64))

    def _blocks(self, files: Sequence[TokenFile]) -> Iterator[NDArray[Any]]:
        for file in files:
            for at in range(0, len(file.tokens), BLOCK):
                yield self._read(file, at, min(at + BLOCK, len(file.tokens)))

    def _read(self, file: TokenFile, start: int, stop: int) -> NDArray[Any]:
        """Tokens of a file, as ids of the type that our shards have."""
        tokens = file.tokens[start:stop]
        wrong = (tokens >= self.form.vocab_size) | (tokens < 0)
        if wrong.any():
            at = int(wrong.argmax())
            raise InputError(
                f"{file.path}: token {start + at} is {tokens[at]}, but there are {self.form.vocab_size} ids; "
                "is this the tokenizer of the file, and the type of its ids?"
            )
        return tokens.astype(self.form.dtype)

    def _batch(self, files: Sequence[TokenFile], block: _Block, first_file: int, n_docs: int) -> TokenBatch:
        tokens, offsets = end_with(self.form.eot_id, block.tokens, block.offsets)
        n = len(offsets) - 1
        item_bytes = np.array([file.tokens.itemsize for file in files])[block.files]
        ids = (first_file + block.files.astype(np.uint64) << np.uint64(32)) + np.arange(n_docs, n_docs + n, dtype="u8")
        n_bytes = None
        if self.token_bytes is not None and n:
            n_bytes = np.add.reduceat(self.token_bytes[tokens], offsets[:-1])
        columns = [
            pa.array(ids),
            pa.array([self.source] * n, pa.string()),
            pa.array([""] * n, pa.string()) if block.names is None else block.names,
            pa.array([file.path for file in files], pa.string()).take(pa.array(block.files)),
            pa.array(np.array([file.first_byte for file in files])[block.files] + block.places * item_bytes),
            pa.array(np.diff(block.offsets) * item_bytes),
            pa.nulls(n, pa.int64()) if n_bytes is None else pa.array(n_bytes),
        ]
        return TokenBatch(tokens, offsets, pa.Table.from_arrays(columns, schema=pa.schema([*RECORD, N_BYTES])))


class _Block(NamedTuple):
    """Some whole documents as they are in files."""

    tokens: NDArray[Any]
    offsets: NDArray[np.int64]  # n_docs + 1, into these tokens
    files: NDArray[np.int64]  # the number of each document's file
    places: NDArray[np.int64]  # of its first token in that file
    names: pa.StringArray | None = None


def end_with(eot_id: int, tokens: NDArray[Any], offsets: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The documents, with the end-of-text token last in each, and their offsets.

    It stays where it is last, moves from the first place to the last, and is added where it is at neither.
    """
    begin, end = offsets[:-1], offsets[1:]
    some = end > begin
    closed, opened = some.copy(), some.copy()
    closed[some] = tokens[end[some] - 1] == eot_id
    opened[some] = tokens[begin[some]] == eot_id
    opened &= ~closed
    made = np.insert(tokens, end[~closed], eot_id)
    n_before: NDArray[np.int64] = np.cumsum(~closed) - ~closed  # tokens that were put in before a document
    made = np.delete(made, (begin + n_before)[opened])
    lengths = end - begin + ~closed - opened
    return made, np.concatenate([[0], np.cumsum(lengths)])


def import_files(
    splits: Mapping[str, Sequence[TokenFile]],
    importing: Import,
    out: str,
    *,
    prepends: bool,
    tokenizer: Tokenizer | None = None,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> dict[str, int]:
    """Write the documents of each split's files to a new folder of shards; their counts.

    Errors: `InputError` for files that are not what they should be; `WorkspaceError` when ``out`` holds something.
    """
    batches, first_file = {}, 0
    for split, files in splits.items():
        batches[split] = importing.batches(files, prepends, first_file)
        first_file += len(files)
    return write_folder(out, importing.form, batches, tokenizer=tokenizer, on_tokens=on_tokens)


# -- reading files


def open_files(form: TokenFileFormat, paths: Sequence[str], dtype: str, vocab_size: int) -> list[TokenFile]:
    """The files at ``paths``, mapped. ``dtype``: of ids, where the format does not say; "": what the vocabulary needs.

    Errors: `InputError` for a file that is missing, cut short, or of another format.
    """
    given = np.dtype(dtype or form.dtype or token_dtype(vocab_size)).newbyteorder("<")
    try:
        return [_READERS.get(form.name, _open_bare)(form, Path(path), given) for path in paths]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


def prepends(form: TokenFileFormat, files: Sequence[TokenFile], eot_id: int) -> bool:
    """Whether the end-of-text token stands before documents: the first token of all decides, else the format does."""
    filled = [file.tokens for file in files if len(file.tokens)]
    if not filled:
        return form.prepends
    first, last = int(filled[0][0]), int(filled[-1][-1])
    return form.prepends if (first == eot_id) == (last == eot_id) else first == eot_id


def _map(path: Path, dtype: np.dtype[Any], first_byte: int = 0) -> NDArray[Any]:
    n_bytes = path.stat().st_size - first_byte
    if n_bytes % dtype.itemsize:
        raise InputError(f"{path}: {n_bytes:,} bytes are no whole number of {dtype.name}; cut short, or another type")
    return np.memmap(path, dtype, "r", first_byte) if n_bytes else np.empty(0, dtype)


def _open_bare(form: TokenFileFormat, path: Path, dtype: np.dtype[Any]) -> TokenFile:
    return TokenFile(str(path), _map(path, dtype))


def _open_llmc(form: TokenFileFormat, path: Path, dtype: np.dtype[Any]) -> TokenFile:
    header = np.fromfile(path, "<i4", HEADER_INTS)
    if len(header) < HEADER_INTS or (header[0], header[1]) != form.magic:
        raise InputError(f"{path}: does not begin like a file of {form.name}")
    if path.stat().st_size != header.nbytes + int(header[2]) * dtype.itemsize:
        raise InputError(f"{path}: its header says {header[2]:,} tokens, its size does not; cut short?")
    return TokenFile(str(path), _map(path, dtype, header.nbytes), header.nbytes)


def _open_megatron(form: TokenFileFormat, path: Path, dtype: np.dtype[Any]) -> TokenFile:
    path, index = path.with_suffix(".bin"), path.with_suffix(".idx")
    data = index.read_bytes()
    n_head = len(MEGATRON_MAGIC) + struct.calcsize("<QBQQ")
    if not data.startswith(MEGATRON_MAGIC) or len(data) < n_head:
        raise InputError(f"{index}: does not begin like an index of Megatron")
    version, code, n_sequences, n_documents = struct.unpack_from("<QBQQ", data, len(MEGATRON_MAGIC))
    if version != 1 or code not in MEGATRON_TYPES or len(data) < n_head + 12 * n_sequences + 8 * n_documents:
        raise InputError(f"{index}: version {version}, type {code}, {len(data):,} bytes: cut short, or not of tokens")
    tokens = _map(path, np.dtype(MEGATRON_TYPES[code]))
    lengths = np.frombuffer(data, "<i4", n_sequences, n_head)
    begins = np.frombuffer(data, "<i8", n_documents, n_head + 12 * n_sequences)
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    if len(begins) and begins[0] == 0 and begins[-1] == n_sequences and (np.diff(begins) >= 0).all():
        return TokenFile(str(path), tokens, offsets=_sound(index, ends[begins], tokens))
    raise InputError(f"{index}: its documents are not all of its {n_sequences:,} sequences, in order")


def _open_datatrove(form: TokenFileFormat, path: Path, dtype: np.dtype[Any]) -> TokenFile:
    about, index = (path.with_name(path.name + ending) for ending in (".metadata", ".index"))
    if about.exists():
        size = about.read_text().partition("\n")[0].rpartition("|")[2]
        if size not in ("2", "4"):
            raise InputError(f"{about}: does not say how many bytes a token has")
        dtype = np.dtype(f"<u{size}")
    tokens = _map(path, dtype)
    if not index.exists():
        return TokenFile(str(path), tokens)
    ends = _map(index, np.dtype("<u8")).astype(np.int64)
    return TokenFile(str(path), tokens, offsets=_sound(index, np.concatenate([[0], ends]), tokens))


def _open_olmo(form: TokenFileFormat, path: Path, dtype: np.dtype[Any]) -> TokenFile:
    tokens, beside = _map(path, dtype), path.with_suffix(".csv.gz")
    if not beside.exists():
        return TokenFile(str(path), tokens)
    if not len(tokens):
        return TokenFile(str(path), tokens, offsets=np.zeros(1, np.int64))
    names = ["start", "end", "id", "src", "loc"]
    types = {"start": pa.int64(), "end": pa.int64(), "id": pa.string()}
    try:
        table = pyarrow.csv.read_csv(
            beside,
            pyarrow.csv.ReadOptions(column_names=names),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(types), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{beside}: not five columns of documents ({' '.join(str(error).split())})") from error
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    if (starts[1:] != ends[:-1]).any():
        raise InputError(f"{beside}: a document does not begin where the one before it ends")
    offsets = _sound(beside, np.concatenate([starts[:1], ends]), tokens)
    return TokenFile(str(path), tokens, offsets=offsets, names=table["id"].combine_chunks())


def _sound(where: Path, offsets: NDArray[np.int64], tokens: NDArray[Any]) -> NDArray[np.int64]:
    """Errors: `InputError` unless ``offsets`` go from 0 to the number of tokens and nowhere back."""
    if offsets[0] != 0 or offsets[-1] != len(tokens) or (np.diff(offsets) < 0).any():
        raise InputError(f"{where}: its documents are not the {len(tokens):,} tokens beside it; cut short?")
    return offsets


_READERS: dict[str, Callable[[TokenFileFormat, Path, np.dtype[Any]], TokenFile]] = {
    "llm.c": _open_llmc,
    "llama3": _open_llmc,
    "megatron": _open_megatron,
    "datatrove": _open_datatrove,
    "olmo": _open_olmo,
}
