"""Files that people have: rows of Parquet, JSON lines and CSV, packed with gzip or not; and documents in them.

Documents are read in batches of bounded size and can be written back with other texts, in the format in which they
came: every other column and every row that did not change stay as they were, to the byte in JSON lines.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UnknownNameError, UserError, WorkspaceError
from textmill.pipeline.workspace import is_run, open_run

PARQUET, JSON_LINES, CSV = ".parquet", (".jsonl", ".ndjson"), (".csv", ".tsv")
BATCH_BYTES = 8 << 20
TEXT_TABLES = ("corpus", "edited", "documents", "pages")  # of a run, the best one first
ROWS_TOGETHER = 1024


def read_rows(uri: str) -> Iterator[Any]:
    """The rows of a table (dictionaries), or the value of each line of JSON. Errors: `InputError`."""
    name = uri.removesuffix(".gz")
    try:
        if name.endswith(PARQUET):
            with storage.open_parquet(uri, remedy="") as file:
                for batch in file.iter_batches(ROWS_TOGETHER):
                    yield from batch.to_pylist()
        elif name.endswith(CSV):
            with storage.open_unpacked(uri) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as lines:
                # Strict: else a quotation mark that nothing closes makes one value of the rest of the file.
                table = csv.DictReader(lines, delimiter="\t" if name.endswith(".tsv") else ",", strict=True)
                for row in table:
                    if None in row:
                        raise InputError(f"{uri}: line {table.line_num} has more values than the first line has names")
                    yield row
        elif name.endswith(JSON_LINES):
            for number, line in enumerate(_lines(uri), 1):
                yield _value(uri, line, number)
        else:
            raise InputError(f"{uri}: not a table; its name must end in {_endings(PARQUET, *JSON_LINES, *CSV)}")
    except (*storage.UNREADABLE, csv.Error, ValueError) as error:
        raise InputError(f"{uri}: cannot read this file ({error})") from error


def _endings(*endings: str) -> str:
    return f"{', '.join(endings)}, or one of them with .gz"


def _lines(uri: str) -> Iterator[bytes]:
    """The lines that are not blank, without their ends."""
    with storage.open_unpacked(uri) as file:
        for line in file:
            if stripped := line.strip():
                yield stripped


def _value(uri: str, line: bytes, number: int) -> Any:
    """The value of a line of JSON. Errors: `InputError`."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{uri}: line {number} is no JSON ({error})") from error


class Batch(NamedTuple):
    """Some documents of a file: their ids, their texts, and all that the file says of them."""

    doc_ids: NDArray[np.uint64]  # [documents]
    text: pa.LargeStringArray  # [documents]
    rows: pa.Table  # columns of Parquet; of JSON lines, the lines
    is_parquet: bool

    def values(self, name: str) -> pa.Array:
        """What the file says under this name, as text; "" where it says nothing, or no text."""
        if not self.is_parquet:
            found = [json.loads(line).get(name) for line in self.rows["line"].to_pylist()]
            values = [value if isinstance(value, str) else "" for value in found]
            return pa.array([value.encode(errors="replace") for value in values], pa.binary()).cast(pa.string())
        if name not in self.rows.column_names:
            return pa.array([""] * len(self.rows), pa.string())
        try:
            return self.rows[name].cast(pa.string()).fill_null("").combine_chunks()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            return pa.array([""] * len(self.rows), pa.string())


class TextFile:
    """Documents in Parquet or JSON lines, with a text each in the column ``column``.

    A document's id is the number of its file and of its row, as in `schema`; with ``has_ids``, for the tables of a run,
    what the column ``doc_id`` says.
    """

    def __init__(self, uri: str, number: int, column: str = "text", has_ids: bool = False) -> None:
        self.uri, self.number, self.column, self.has_ids = uri, number, column, has_ids
        self.is_parquet = uri.endswith(PARQUET)
        if not self.is_parquet and not uri.removesuffix(".gz").endswith(JSON_LINES):
            raise InputError(f"{uri}: no documents; its name must end in {_endings(PARQUET, *JSON_LINES)}")

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    def batches(self) -> Iterator[Batch]:
        """All documents, in order. Errors: `InputError`; `UnknownNameError` for a file without that column."""
        n_rows = 0
        for text, rows in self._parquet() if self.is_parquet else self._json():
            doc_ids = np.arange(n_rows, n_rows + len(text), dtype=np.uint64) + (np.uint64(self.number) << np.uint64(32))
            n_rows += len(text)
            if self.has_ids:
                doc_ids = rows["doc_id"].to_numpy()
            yield Batch(doc_ids, text, rows, self.is_parquet)

    def _parquet(self) -> Iterator[tuple[pa.LargeStringArray, pa.Table]]:
        with storage.open_parquet(self.uri, remedy="") as file:
            names = file.schema_arrow.names
            if self.column not in names:
                raise UnknownNameError(f"column of {self.uri}:", self.column, names)
            if names.count(self.column) > 1:
                raise InputError(f"{self.uri}: {names.count(self.column)} columns are called {self.column!r}")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                if not (plain := _without_views(table.schema)).equals(table.schema):
                    table = table.cast(plain)
                try:
                    text = table[self.column].cast(pa.large_string()).fill_null("").combine_chunks()
                    text.validate(full=True)  # Parquet promises UTF-8, and does not look
                except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
                    raise InputError(f"{self.uri}: column {self.column!r} holds no text ({error})") from error
                for first, n in pieces(text, BATCH_BYTES):
                    yield text.slice(first, n), table.slice(first, n)

    def _json(self) -> Iterator[tuple[pa.LargeStringArray, pa.Table]]:
        texts: list[bytes] = []
        lines: list[bytes] = []
        n_bytes = 0
        try:
            for number, line in enumerate(_lines(self.uri), 1):
                texts.append(self._text_of(line, number))
                lines.append(line)
                n_bytes += len(line)
                if n_bytes >= BATCH_BYTES:
                    yield _table(texts, lines)
                    texts, lines, n_bytes = [], [], 0
        except storage.UNREADABLE as error:
            raise InputError(f"{self.uri}: cannot read this file ({error})") from error
        if texts:
            yield _table(texts, lines)

    def _text_of(self, line: bytes, number: int) -> bytes:
        row = _value(self.uri, line, number)
        text = row.get(self.column, None) if isinstance(row, dict) else 0
        if isinstance(row, dict) and self.column not in row:
            raise UnknownNameError(f"value in line {number} of {self.uri}:", self.column, row)
        if not isinstance(text, str | None):
            raise InputError(f"{self.uri}: line {number} has no text in {self.column!r}")
        return (text or "").encode(errors="replace")


def pieces(text: pa.LargeStringArray, n_bytes: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of pieces of at most ``n_bytes``; a larger document is alone."""
    ends = np.cumsum(pc.binary_length(text).to_numpy())
    first = 0
    while first < len(text):
        begin = ends[first - 1] if first else 0
        n = max(1, int(np.searchsorted(ends, begin + n_bytes, "right")) - first)
        yield first, min(n, len(text) - first)
        first += n


def _table(texts: list[bytes], lines: list[bytes]) -> tuple[pa.LargeStringArray, pa.Table]:
    text = pa.array(texts, pa.large_binary()).cast(pa.large_string())
    return text, pa.table({"line": pa.array(lines, pa.large_binary())})


def _without_views(schema: pa.Schema) -> pa.Schema:
    """``schema`` with strings for views of strings, which Arrow cannot filter; in Parquet they are the same."""
    return pa.schema([field.with_type(_without_view(field.type)) for field in schema], schema.metadata)


def _without_view(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_view(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_view(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_view(field.type)) for field in kind.fields])
    return kind


class TextWriter:
    """Writes batches of a `TextFile` to a local file of the same format, with other texts."""

    def __init__(self, file: TextFile, path: Path) -> None:
        self._file = file
        if file.is_parquet:
            with storage.open_parquet(file.uri, remedy="") as source:
                self._out: Any = pq.ParquetWriter(path, _without_views(source.schema_arrow), compression="zstd")
        else:
            self._out = gzip.GzipFile(path, "wb", mtime=0) if path.suffix == ".gz" else path.open("wb")

    def write(self, batch: Batch, text: pa.LargeStringArray, kept: NDArray[np.bool_]) -> None:
        """The rows that are kept, with their text from ``text`` [documents]."""
        changed = pc.not_equal(batch.text, text)
        if self._file.is_parquet:
            rows = self._with_text(batch.rows, text, changed) if pc.any(changed).as_py() else batch.rows
            self._out.write_table(rows.filter(pa.array(kept)))
            return
        for row in np.flatnonzero(kept).tolist():
            line = batch.rows["line"][row].as_py()
            self._out.write((self._edited(line, text[row].as_py()) if changed[row].as_py() else line) + b"\n")

    def _with_text(self, rows: pa.Table, text: pa.LargeStringArray, changed: pa.BooleanArray) -> pa.Table:
        place = rows.schema.get_field_index(self._file.column)
        column = rows.schema.field(place)
        edited = pc.if_else(changed, text, rows[place].cast(pa.large_string()))  # what is null and unchanged stays null
        return rows.set_column(place, column, edited.cast(column.type))

    def _edited(self, line: bytes, text: str) -> bytes:
        row = json.loads(line) | {self._file.column: text}
        return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace")  # as JSON writes lone surrogates

    def __enter__(self) -> TextWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._out.close()


def find_text_files(addresses: Sequence[str], column: str = "text") -> list[TextFile]:
    """The documents that are meant: files, folders of them, and runs (their corpus, or what comes nearest to it).

    Errors: `InputError` for what is not there, or holds none; `UserError` for two files of one name.
    """
    uris = [uri for address in addresses for uri in _uris(address)]
    has_ids = len(addresses) == 1 and is_run(addresses[0])  # else other documents could have the same ones
    files = [TextFile(uri, number, column, has_ids) for number, uri in enumerate(uris)]
    names = Counter(file.name for file in files)
    if twice := next((name for name, n in names.items() if n > 1), None):
        raise UserError(f"two files are called {twice}; give them one after the other, or rename one")
    return files


def check_targets(files: Sequence[TextFile], folder: str) -> None:
    """Whether the files can be written anew, under their names, to ``folder``, which need not be there yet.

    Errors: `WorkspaceError` if it is a file, or in one; `UserError` if that would overwrite what is read.
    """
    if not storage.is_local(folder):
        return
    local = storage.local_path(folder)
    there = next(path for path in (local, *local.parents) if path.exists())
    if not there.is_dir():
        raise WorkspaceError(f"{there}: is a file, not a folder; choose another --out")
    for source in (storage.local_path(file.uri) for file in files if storage.is_local(file.uri)):
        target = local / source.name
        if target.exists() and source.exists() and target.samefile(source):
            raise UserError(f"{target}: would be overwritten; choose another --out")


def _uris(address: str) -> list[str]:
    if is_run(address):
        workspace, run = open_run(address)
        for table in TEXT_TABLES:
            if table in run.stages and (uris := workspace.tables(run.stages[table])):
                return uris
        raise InputError(f"{address}: run {run.name} has no documents yet")
    fs, path = storage.filesystem(address)
    if not fs.exists(path):
        raise InputError(f"{address}: no such file, folder or run")
    if not fs.isdir(path):
        return [address]
    names = sorted(name.rpartition("/")[2] for name in fs.ls(path, detail=False))
    found = [name for name in names if name.endswith(PARQUET) or name.removesuffix(".gz").endswith(JSON_LINES)]
    if not found:
        raise InputError(f"{address}: no file in this folder ends in {_endings(PARQUET, *JSON_LINES)}")
    return [storage.join(address, name) for name in found]
