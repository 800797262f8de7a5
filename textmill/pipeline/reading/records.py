"""Records along their lengths: WARC (0.17 to 1.1, ISO 28500) and its forerunner ARC (versions 1 and 2).

A record counts if its length leads to where a record may end. If it does not, what reaches from it to the next line
that begins a readable record is a stretch that is none, and the walk goes on there.

ARC records are read as what WARC would call them: ``warcinfo`` for the ``filedesc:`` record at the head of the file,
``response`` for everything else. Read here and not by warcio, whose positions are lost after the first bad length; the
tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from textmill.pipeline.reading.http import HEADER_END, read_fields
from textmill.pipeline.reading.source import Source
from textmill.schema import SLOT_BYTES

MAX_HEADER_BYTES = 64 << 10
USUAL_HEADER_BYTES = 2 << 10

_VERSION = re.compile(rb"(?i:WARC)/\d{1,2}\.\d{1,3}[ \t]{0,8}\r?\n")
_VERSION_AFTER_LINE = re.compile(rb"\n(?i:WARC)/\d{1,2}\.\d{1,3}[ \t]{0,8}\r?\n")
_WARC_SEPARATOR = re.compile(rb"\r?\n\r?\n")
_SCHEMES = rb"(?:filedesc|https?|ftp|dns|whois|news|nntp|gopher):"
_SCHEME = re.compile(_SCHEMES)
_SCHEME_AFTER_LINE = re.compile(rb"\n" + _SCHEMES)
_ARC_SEPARATOR = re.compile(rb"\r?\n|\r")
_ARC_DATE = re.compile("[0-9]{8,18}")
_NOT_LINE_END = re.compile(rb"[^\r\n]")
_LENGTH = re.compile("[0-9]{1,15}")


class Span(NamedTuple):
    """A record, or a stretch that is none."""

    start: int
    end: int  # after the separator
    fields: dict[str, str]  # by the names that they have in WARC, in lower case
    block_start: int
    block_end: int
    fault: str  # "" for a record


@dataclass(frozen=True)
class Dialect:
    """How records of a format begin and end. ``header`` gives the bytes of a header and its fields, or None."""

    begins: re.Pattern[bytes]
    begins_after_line: re.Pattern[bytes]  # matches at most 64 bytes
    separator: re.Pattern[bytes]
    n_separator: int  # its bytes as the standard has it
    header: Callable[[bytes], tuple[int, dict[str, str]] | None]


def is_record_start(dialect: Dialect, content: bytes) -> bool:
    """Whether ``content``, which may be cut short, begins with a record."""
    if not dialect.begins.match(content):
        return False
    if dialect is WARC:
        return True
    header = dialect.header(content)
    return content.startswith(b"filedesc:") or (header is not None and header[1]["warc-date"] != "")


def begins_in(dialect: Dialect, content: bytes) -> bool:
    """Whether a line of ``content`` after the first begins a record."""
    lines = dialect.begins_after_line.finditer(content)
    return any(is_record_start(dialect, content[line.start() + 1 :][:MAX_HEADER_BYTES]) for line in lines)


def walk(dialect: Dialect, source: Source, start: int, end: int) -> Iterator[Span]:
    """Records, and the stretches between them that are none, that begin from ``start`` up to ``end``.

    The walk begins at byte 0 all the same: only it tells records from an archive that is the content of a record.
    """
    position = 0
    while position < min(end, source.size):
        span = _span(dialect, source, position)
        if span.fault:
            span = _gap(dialect, source, position, span.fault)
        if span.start >= start:
            yield span
        position = span.end


def no_record(start: int, end: int, fault: str) -> Span:
    return Span(start, end, {}, start, start, fault)


def _span(dialect: Dialect, source: Source, start: int) -> Span:
    """The record that begins at ``start``; with a fault unless its length leads to where a record may end."""
    size = source.size
    head = source.read(start, USUAL_HEADER_BYTES)
    if not dialect.begins.match(head):  # a few bytes may be what is left of one
        return no_record(start, size, "not a record" if len(head) >= SLOT_BYTES else "truncated")
    header = dialect.header(head) or dialect.header(source.read(start, MAX_HEADER_BYTES))
    if header is None:
        return no_record(start, size, "truncated" if size - start <= MAX_HEADER_BYTES else "header too long")
    n_bytes, fields = header
    length = fields.get("content-length", "")
    if not _LENGTH.fullmatch(length):
        return no_record(start, size, "no usable length")
    block_start = start + n_bytes
    block_end = block_start + int(length)
    if block_end > size:
        return no_record(start, size, "truncated")
    end = _end(dialect, source, block_end)
    if end is None:
        return no_record(start, size, "wrong length")
    return Span(start, end, fields, block_start, block_end, "")


def _end(dialect: Dialect, source: Source, block_end: int) -> int | None:
    """Where a record ends whose block ends at ``block_end``; None if no record may end there."""
    tail = source.read(block_end, 64)
    found = _NOT_LINE_END.search(tail)
    end = block_end + found.start() if found else next(source.find(_NOT_LINE_END, block_end + len(tail)), source.size)
    if end == source.size or dialect.separator.match(tail[: dialect.n_separator]):
        return end
    for place in (end, block_end + dialect.n_separator):  # no separator, or a damaged one
        if dialect.begins.match(source.read(place, 64)):
            return place
    return None


def _gap(dialect: Dialect, source: Source, start: int, fault: str) -> Span:
    """What reaches from ``start``, where no readable record is, to the next line that begins one."""
    for line_end in source.find(dialect.begins_after_line, start):
        if not _span(dialect, source, line_end + 1).fault:
            return no_record(start, line_end + 1, "wrong length" if fault == "truncated" else fault)
    return no_record(start, source.size, fault)


def _warc_header(head: bytes) -> tuple[int, dict[str, str]] | None:
    end = HEADER_END.search(head)
    if end is None:
        return None
    return end.end(), read_fields(head[head.index(b"\n") + 1 : end.start()])


def _arc_header(head: bytes) -> tuple[int, dict[str, str]] | None:
    """One line: URL, IP address, date, media type, in version 2 five fields more, length. URLs may hold spaces."""
    line, line_end, _ = head.partition(b"\n")
    words = line.decode("utf-8", "replace").split()
    if not line_end or len(words) < 2:
        return None
    places = [len(words) - 3, len(words) - 8, *range(2, len(words) - 1)]
    date = next((i for i in places if i >= 2 and _ARC_DATE.fullmatch(words[i])), len(words))
    return len(line) + 1, {
        "warc-type": "warcinfo" if line.startswith(b"filedesc:") else "response",
        "warc-target-uri": " ".join(words[: max(date - 1, 1)]) if date < len(words) else words[0],
        "warc-date": _iso(words[date]) if date < len(words) else "",
        "content-type": words[date + 1] if date + 2 < len(words) else "",
        "content-length": words[-1],
    }


def _iso(date: str) -> str:
    """``20080430204825`` as WARC writes it; what is missing is zero, what is more is left out."""
    d = date.ljust(14, "0")
    return f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:12]}:{d[12:14]}Z"


WARC = Dialect(_VERSION, _VERSION_AFTER_LINE, _WARC_SEPARATOR, 4, _warc_header)
ARC = Dialect(_SCHEME, _SCHEME_AFTER_LINE, _ARC_SEPARATOR, 1, _arc_header)
