"""Texts to train a classifier on, from whatever textmill reads: archives, tables, JSON lines, plain text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill import storage
from textmill.errors import InputError
from textmill.pipeline.extract import extract_record
from textmill.pipeline.reading.warc import Record, read_range
from textmill.pipeline.rows import JSON_LINES, PARQUET, read_rows
from textmill.pipeline.sources.inputs import ARCHIVE_ENDINGS

PIECE_CHARS = 1500  # of plain text, cut between paragraphs where there are any
PIECES_TOGETHER = 50  # neighbours that are not split between training and test
TEST_SHARE = 5  # one group of so many is held out


@dataclass(frozen=True)
class Example:
    """A text, and the group (its host, where it has one) that is not split between training and test."""

    text: str
    group: str

    @property
    def is_test(self) -> bool:
        """Whether its group is held out: by a hash of its name, so always the same."""
        return int(hashlib.sha256(self.group.encode(errors="replace")).hexdigest(), 16) % TEST_SHARE == 0


def read_examples(paths: Sequence[str]) -> list[Example]:
    """The texts of all files, without exact copies (upper and lower case and white space aside), in their order.

    Tables and JSON lines have a column ``text`` and may have ``host``, ``url`` or ``group``. Errors: `InputError` for
    a file that cannot be read or holds no text.
    """
    seen: set[bytes] = set()
    examples = []
    for path in paths:
        found = 0
        for example in _read(Path(path)):
            found += 1
            if (key := content_key(example.text)) not in seen:
                seen.add(key)
                examples.append(example)
        if not found:
            raise InputError(f"{path}: no text in this file")
    return examples


def content_key(text: str) -> bytes:
    """The same for texts that differ in white space and case alone."""
    return hashlib.sha256(" ".join(text.lower().split()).encode(errors="replace")).digest()


def _read(path: Path) -> Iterator[Example]:
    name = path.name.removesuffix(".gz")
    try:
        if path.name.endswith(ARCHIVE_ENDINGS):
            yield from _read_archive(path)
        elif name.endswith((PARQUET, *JSON_LINES)):
            yield from _from_rows(read_rows(str(path)), path)
        else:
            with storage.open_unpacked(str(path)) as file:
                yield from _cut(file.read().decode(errors="replace"), path.name)
    except storage.UNREADABLE as error:
        raise InputError(f"{path}: cannot read this file ({error})") from error


def _read_archive(path: Path) -> Iterator[Example]:
    """The main content of each page of an archive that has any."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response", "conversion"}):
            if isinstance(item, Record) and (text := extract_record(item).text):
                yield Example(text, storage.host_of(item.url) or str(item.offset))


def _from_rows(rows: Iterator[Any], path: Path) -> Iterator[Example]:
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("text", ""), str | None):
            raise InputError(f"{path}: a row without a column 'text'; rename the column that holds the texts")
        if text := row.get("text"):
            yield Example(text, row.get("group") or row.get("host") or storage.host_of(row.get("url") or "") or text)


def _cut(text: str, name: str) -> Iterator[Example]:
    """Pieces of plain text of about `PIECE_CHARS`."""
    lines, n_chars, number = [], 0, 0
    for line in text.split("\n"):
        lines.append(line)
        n_chars += len(line) + 1
        if n_chars >= PIECE_CHARS and (not line.strip() or n_chars >= 2 * PIECE_CHARS):
            yield Example("\n".join(lines).strip(), f"{name}:{number // PIECES_TOGETHER}")
            lines, n_chars, number = [], 0, number + 1
    if rest := "\n".join(lines).strip():
        yield Example(rest, f"{name}:{number // PIECES_TOGETHER}")
