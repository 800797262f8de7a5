"""Comparing tokenizers on the text that people have, as tables and as a page: `textmill tokenizer compare`.

Text is plain (UTF-8, a name in `PLAIN`), JSON lines, Parquet, or a run; the first two packed with gzip or not. Plain
text counts as documents of some 16 kB that end with a line. The groups, by which fertility is shown, are the values of
a column: the one that is asked for, else the first of `GROUP_COLUMNS` that there is, else the names of the files.

Tokenizers that are trained for the comparison (bytes, characters, words, and a byte-pair encoding) learn from every
other document, and are measured, as all are, on the documents between, which they have not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.pipeline.report.comparison import to_html
from textmill.pipeline.rows import Batch as Rows
from textmill.pipeline.rows import TextFile, find_text_files
from textmill.pipeline.training_text import PLAIN
from textmill.tokenize import Tokenizer
from textmill.tokenize.baselines import ByteTokenizer, CharacterTokenizer, WordTokenizer
from textmill.tokenize.bpe.train import check, train
from textmill.tokenize.compare import Batch, Comparison, TextTokenizer
from textmill.tokenize.pretokens.count import count_texts

GROUP_COLUMNS = ("language", "lang")
READ_BYTES = 8 << 20
PLAIN_BYTES = 16 << 10  # of a document of plain text, at least


def read_batches(addresses: Sequence[str], column: str = "text", by: str | None = None) -> Iterator[Batch]:
    """The documents of files, folders and runs, with their groups. Errors: `InputError`; see `find_text_files`."""
    for address in addresses:
        if address.removesuffix(".gz").endswith(PLAIN):
            for documents in _plain(address):
                yield _batch(documents, address.rpartition("/")[2])
        else:
            for file in find_text_files([address], column):
                for rows in file.batches():
                    yield _grouped(file, rows, by)


def split_batches(batches: Iterator[Batch], part: int) -> Iterator[Batch]:
    """Every other document: part 0 or 1 of them."""
    n = 0
    for documents, groups in batches:
        chosen = pa.array((np.arange(n, n + len(documents)) & 1) == part)
        n += len(documents)
        yield Batch(documents.filter(chosen), groups.filter(chosen))


def train_tokenizers(batches: Iterator[Batch], vocab_size: int, pattern: str) -> dict[str, TextTokenizer]:
    """Bytes, characters, words, and a byte-pair encoding, of at most ``vocab_size`` entries. Errors: see `check`."""
    check(vocab_size, [], pattern)
    counts = count_texts((documents for documents, _ in batches), pattern=pattern)
    merged = train(counts, vocab_size, [])
    return {
        "bytes": ByteTokenizer(),
        "characters": CharacterTokenizer.from_counts(counts, vocab_size),
        "words": WordTokenizer.from_counts(counts, vocab_size, pattern),
        f"BPE ({pattern})": Tokenizer(merged.vocab, merged.merges, pattern=pattern),
    }


def write_page(comparison: Comparison, uri: str) -> None:
    """Write the page to ``uri``, whole or not at all. Errors: `UserError` where that cannot be written."""
    try:
        storage.write_text(to_html(comparison), uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


def _plain(address: str) -> Iterator[pa.LargeStringArray]:
    """The documents of a text, some megabytes at a time. Errors: `InputError` if it cannot be read, or is not UTF-8."""
    rest = b""
    try:
        with storage.open_unpacked(address) as file:
            while data := file.read(READ_BYTES):
                whole, newline, rest = (rest + data).rpartition(b"\n")
                yield _documents(whole + newline, address)
            yield _documents(rest, address)
    except storage.UNREADABLE as error:
        raise InputError(f"{address}: cannot read this file ({error})") from error


def _documents(data: bytes, address: str) -> pa.LargeStringArray:
    starts = [0]
    while 0 < (end := data.find(b"\n", starts[-1] + PLAIN_BYTES) + 1) < len(data):
        starts.append(end)
    pieces = [data[start:end] for start, end in pairwise([*starts, len(data)]) if start < end]
    try:
        return pa.array(pieces, pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid as error:
        raise InputError(f"{address}: not UTF-8; convert it first") from error


def _grouped(file: TextFile, rows: Rows, by: str | None) -> Batch:
    """A batch of rows by the first column that says something; where it says nothing, by the file."""
    for column in (by,) if by else GROUP_COLUMNS:
        found = rows.values(column).to_pylist()
        if any(found):
            return Batch(rows.text, pa.array([value or file.name for value in found], pa.string()))
    if by:
        raise InputError(f"{file.uri}: no text in {by!r}, by which documents are to be grouped")
    return _batch(rows.text, file.name)


def _batch(documents: pa.LargeStringArray, group: str) -> Batch:
    return Batch(documents, pa.array([group] * len(documents), pa.string()))
