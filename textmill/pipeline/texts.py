"""Texts of what textmill reads, one after the other: archives, tables, JSON lines, plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from textmill import storage
from textmill.errors import InputError
from textmill.pipeline.extract import extract_record
from textmill.pipeline.reading.warc import Record, read_range
from textmill.pipeline.rows import CSV, JSON_LINES, PARQUET, read_rows
from textmill.pipeline.sources.inputs import ARCHIVE_ENDINGS
from textmill.text import Documents

BATCH_CHARS = 1 << 22

Cut = Callable[[Iterable[bytes]], Iterator[str]]  # the lines of plain text, to texts


class Text(NamedTuple):
    """A text, and what says which others are its neighbours: the host, where it has one; "" of plain text."""

    text: str
    group: str


def paragraphs(lines: Iterable[bytes]) -> Iterator[str]:
    """What stands between blank lines, in pieces of at most some `BATCH_CHARS`."""
    paragraph: list[str] = []
    n_chars = 0
    for line in lines:
        text = line.decode("utf-8", "replace")
        blank = text.isspace()
        if paragraph and (blank or n_chars >= BATCH_CHARS):
            yield "".join(paragraph)
            paragraph, n_chars = [], 0
        if not blank:
            paragraph.append(text)
            n_chars += len(text)
    if paragraph:
        yield "".join(paragraph)


def read_texts(path: str, cut: Cut = paragraphs) -> Iterator[Text]:
    """The texts of a file, packed with gzip or not, by the ending of its name.

    Of an archive, the main content of each page that has any. Of Parquet, CSV and JSON lines, what is not empty in
    ``text``; beside it may stand ``group``, ``host`` or ``url``. Else plain text, ``cut``. Errors: `InputError` for a
    file that cannot be read, or a row without a text.
    """
    try:
        if path.endswith(ARCHIVE_ENDINGS):
            yield from _of_archive(path)
        elif path.removesuffix(".gz").endswith((PARQUET, *CSV, *JSON_LINES)):
            yield from _of_rows(path)
        else:
            with storage.open_unpacked(path) as lines:
                yield from (Text(text, "") for text in cut(lines))
    except storage.UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot read this file ({reason})") from error


def read_batches(paths: Iterable[str]) -> Iterator[Documents]:
    """The texts of all files in batches of some `BATCH_CHARS`. Errors: those of `read_texts`."""
    texts: list[str] = []
    n_chars = 0
    for path in paths:
        for text, _ in read_texts(path):
            texts.append(text)
            n_chars += len(text)
            if n_chars >= BATCH_CHARS:
                yield Documents.from_texts(texts)
                texts, n_chars = [], 0
    if texts:
        yield Documents.from_texts(texts)


def _of_archive(path: str) -> Iterator[Text]:
    size = storage.size(path)
    try:
        with storage.open_read(path) as stream:
            for item in read_range(stream, 0, size, size, {"response", "conversion"}):
                if isinstance(item, Record) and (text := extract_record(item).text):
                    yield Text(text, storage.host_of(item.url) or str(item.offset))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _of_rows(path: str) -> Iterator[Text]:
    for number, row in enumerate(read_rows(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("text", 0), str | None):
            raise InputError(f"{path}: row {number} has no text under the name 'text'; rename the column that holds it")
        if text := row["text"]:
            yield Text(text, _group_of(row) or text)


def _group_of(row: dict[str, Any]) -> str:
    group, host, url = (str(row.get(name) or "") for name in ("group", "host", "url"))  # JSON may hold anything
    return group or host or storage.host_of(url)
