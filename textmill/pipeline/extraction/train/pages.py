"""Pages to learn from: a crawl with ground truth, and teachers for the pages that have none.

The folder holds ``pages.warc.gz``; ``pages.truth.jsonl.gz`` (record_id, source, text: the main content of a page);
``pages.segments.jsonl.gz`` (record_id, with, without: strings that belong to it, and strings that do not); and
``pages.meta.jsonl.gz`` (record_id, source, charset: the true one).

Truth is scarce on modern pages. Those without it are read by three other extractors (`TEACHERS`), whose votes become a
label between 0 and 1. Asked on pages that do have truth, their vote is better than any of them (RESULTS.md).
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.progress import track

from textmill.errors import InputError, MissingExtraError
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.warc import Record, read_range

MAX_TAUGHT_BYTES = 3_000_000  # larger pages take the teachers minutes
TEACHERS = {"trafilatura": 2.0, "trafilatura_precise": 1.0, "readability": 1.0}  # weights of their votes


@dataclass(frozen=True)
class Example:
    """A page to learn from. Either ``truth`` or ``taught`` says what its main content is."""

    record_id: str
    source: str
    site: str  # host, or the page itself where the host is made up: what may not be split between train and test
    html: bytes  # UTF-8
    truth: str | None
    wanted: tuple[str, ...]  # strings that belong to the main content
    unwanted: tuple[str, ...]
    taught: tuple[tuple[float, str], ...]  # weight and text of each teacher


def read_examples(folder: Path, taught_file: Path | None) -> list[Example]:
    """All pages of the folder. What teachers say is kept in ``taught_file``, and asked for only where it is missing.

    Without a file, no teacher is asked.

    Errors: `InputError` for a folder without the files; `MissingExtraError` if teachers are needed and not installed.
    """
    if not (folder / "pages.warc.gz").is_file():
        raise InputError(f"{folder}: no pages.warc.gz there; see the help for the files that are needed")
    meta = {row["record_id"]: row for row in _rows(folder / "pages.meta.jsonl.gz")}
    truth = {row["record_id"]: row["text"] for row in _rows(folder / "pages.truth.jsonl.gz")}
    segments = {row["record_id"]: row for row in _rows(folder / "pages.segments.jsonl.gz")}
    pages = dict(_read_pages(folder / "pages.warc.gz", meta))
    untold = {i: html for i, (_, html) in pages.items() if i not in truth}
    taught = _ask_teachers(untold, taught_file) if taught_file else {}
    return [
        Example(
            record_id, meta[record_id]["source"], _site(url), html, truth.get(record_id),
            tuple(segments.get(record_id, {}).get("with", ())), tuple(segments.get(record_id, {}).get("without", ())),
            tuple((TEACHERS[name], text) for name, text in taught.get(record_id, {}).items()),
        )
        for record_id, (url, html) in pages.items()
    ]  # fmt: skip


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _read_pages(path: Path, meta: dict[str, dict[str, Any]]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Record id, URL, and the page in UTF-8, decoded by its true charset. A record without an entry is left out."""
    size = path.stat().st_size
    by_url = {(row["url"], row["bytes"]): row for row in meta.values()}
    with path.open("rb") as stream:
        for item in read_range(stream, 0, size, size, {"response"}):
            if not isinstance(item, Record):
                continue
            body = read_response(item.block).body
            row = by_url.get((item.url, len(body)))
            if row is not None:
                yield row["record_id"], (item.url, body.decode(row["charset"], "replace").encode("utf-8", "replace"))


def _site(url: str) -> str:
    host = (urlsplit(url).hostname or url).removeprefix("www.")
    return url if host == "example.org" else host


# Teachers


def _ask_teachers(pages: dict[str, bytes], file: Path) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = {}
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                known[row.pop("record_id")] = row
    missing = {i: html for i, html in pages.items() if i not in known and len(html) <= MAX_TAUGHT_BYTES}
    if missing:
        teachers = _teachers()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            for record_id, html in track(missing.items(), "asking teachers"):
                known[record_id] = {name: _ask(teacher, html.decode()) for name, teacher in teachers.items()}
                lines.write(json.dumps({"record_id": record_id, **known[record_id]}) + "\n")
    return {i: answers for i, answers in known.items() if i in pages}


def _ask(teacher: Callable[[str], str], html: str) -> str:
    try:
        return teacher(html)
    except Exception:  # a teacher that fails on a page says nothing about it
        return ""


def _teachers() -> dict[str, Callable[[str], str]]:
    logging.disable(logging.CRITICAL)
    try:
        import lxml.html
        import trafilatura
        from readability import Document
    except ImportError as error:
        raise MissingExtraError(error.name or "trafilatura", "extraction") from error

    def readability(html: str) -> str:
        return str(lxml.html.fromstring(Document(html).summary()).text_content())

    return {
        "trafilatura": lambda html: trafilatura.extract(html, include_comments=False) or "",
        "trafilatura_precise": lambda html: (
            trafilatura.extract(html, include_comments=False, favor_precision=True) or ""
        ),
        "readability": readability,
    }
