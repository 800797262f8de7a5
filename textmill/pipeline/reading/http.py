"""One HTTP response as an archive stores it: status, headers, and the body with its encodings undone, within bounds.

Written for what crawls hold (RFC 9112 is the intent, not the limit): bare LF line ends, folded header lines, lines that
are no fields, no status line at all (HTTP/0.9, taken as 200), bodies whose labels lie. The bytes know better than the
label: gzip and zstd have a magic number, and text is not compressed, whatever it is called; Common Crawl, for one,
stores decoded bodies. Brotli and bare deflate have no magic number: without their label they are taken for binary. Of
several gzip members, the first counts.

A body cut short by the crawler is kept as far as it goes; a corrupt one is an error. Brotli and zstd report both alike,
so there, what came before the fault is kept. Memory is bounded by `MAX_BODY_BYTES`, whatever the body expands to.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from fastwarc.stream_io import BrotliReader, ZstdReader

MAX_HEADER_BYTES = 64 << 10
MAX_BODY_BYTES = 16 << 20
MAX_RATIO = 200  # a body that expands further is a bomb; HTML of templates reaches some 30
RATIO_FREE_BYTES = 1 << 20  # up to this size any ratio is harmless
MAX_COMPRESSIONS = 2
STEP_BYTES = 64 << 10

# Fields that may be given several times (RFC 9110, 5.3).
LISTS = frozenset(("content-encoding", "transfer-encoding", "x-robots-tag", "tdm-reservation", "content-usage"))

HEADER_END = re.compile(rb"\n\r?\n")  # without the "\r" before it, which costs ten times as much to look for
_STATUS = re.compile(rb"HTTP/\S*\s+(\d{3})(?!\d)")
_SPACES = " \t\r\v\f"
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[ \t]*0{0,16}([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,4096})?\r?\n")
_MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # never in text of an ASCII-compatible charset

Fault = Literal["", "bad_header", "bad_encoding", "unsupported_encoding", "too_large"]


class Response(NamedTuple):
    """A decoded response. With an ``error``, the body is empty."""

    status: int  # 0 when the status line has no number
    content_type: str  # media type in lower case, without parameters; "" when missing
    charset: str  # as declared in the header; "" when missing
    headers: dict[str, str]  # lower-case names; see `read_fields`
    body: bytes
    error: Fault


class _TooLargeError(Exception):
    """The body expands beyond its bound."""


class _BadEncodingError(Exception):
    """The body is not what its label says, and is no plain text either."""


def read_fields(lines: bytes) -> dict[str, str]:
    """Header fields of HTTP and WARC: lower-case names, folded lines joined, lines without a colon ignored.

    The first of equal names counts; of `LISTS` all do, one a line. Values are UTF-8 where they can be, else Latin-1.
    """
    unfolded: list[str] = []
    for line in lines.decode("latin-1").split("\n"):
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1] += " " + line.strip(_SPACES)
        else:
            unfolded.append(line)
    fields: dict[str, str] = {}
    for line in unfolded:
        name, colon, value = line.partition(":")
        if not colon:
            continue
        if not line.isascii():
            name, value = _as_utf8(name), _as_utf8(value)
        key, content = name.strip().lower(), value.strip()
        if key not in fields:
            fields[key] = content
        elif key in LISTS:
            fields[key] += f"\n{content}"
    return fields


def media_type(content_type: str) -> tuple[str, str]:
    """Media type (lower case) and charset of a Content-Type value, each "" when missing."""
    charset = _CHARSET.search(content_type)
    return content_type.partition(";")[0].strip().lower(), charset.group(1) if charset else ""


def read_response(block: bytes) -> Response:
    """Decode one response. ``block`` is a whole HTTP message. Never raises; see `Response.error`."""
    head = _split_head(block)
    if head is None:
        return Response(0, "", "", {}, b"", "bad_header")
    status, headers, body = head
    content_type, charset = media_type(headers.get("content-type", ""))
    error: Fault = ""
    codings = _codings(headers)
    if len([c for c in codings if c != "chunked"]) > MAX_COMPRESSIONS:
        error = "unsupported_encoding"
    else:
        try:
            body = _decode(body, codings)
        except _TooLargeError:
            error = "too_large"
        except _BadEncodingError:
            error = "bad_encoding"
    return Response(status, content_type, charset, headers, b"" if error else body, error)


def _as_utf8(latin: str) -> str:
    """What was read as Latin-1, read as UTF-8 if it can be."""
    try:
        return latin.encode("latin-1").decode()
    except UnicodeDecodeError:
        return latin


def _split_head(block: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and raw body, or None when there is no readable header."""
    if not block.startswith(b"HTTP/") and not _FIELD.match(block):
        return (200, {}, block) if block else None  # HTTP/0.9 knows no header, and no failure
    end = HEADER_END.search(block, 0, MAX_HEADER_BYTES)
    if end is None:
        return None
    first_line, _, rest = block[: end.start()].partition(b"\n")
    if not block.startswith(b"HTTP/"):
        return 200, read_fields(block[: end.start()]), block[end.end() :]
    code = _STATUS.match(first_line)
    return int(code.group(1)) if code else 0, read_fields(rest), block[end.end() :]


def _codings(headers: dict[str, str]) -> list[str]:
    """What was applied to the body, in order: content codings, then transfer codings."""
    if "content-encoding" not in headers and "transfer-encoding" not in headers:
        return []
    labels = f"{headers.get('content-encoding', '')},{headers.get('transfer-encoding', '')}".lower()
    known = {"x-gzip": "gzip", "x-deflate": "deflate", "x-br": "br", "x-zstd": "zstd"}
    codings = [known.get(label.strip(), label.strip()) for label in re.split("[,\n]", labels)]
    return [coding for coding in codings if coding == "chunked" or coding in _DECODERS]


def _decode(body: bytes, codings: list[str]) -> bytes:
    """``body`` with ``codings`` undone, the last one first, and then what its magic number tells."""
    n_compressions = 0
    for coding in reversed(codings):
        body = _unchunk(body) if coding == "chunked" else _decompress(body, coding)
        n_compressions += coding != "chunked"
    while n_compressions < MAX_COMPRESSIONS and (coding := _magic_coding(body)):
        body = _decompress(body, coding)
        n_compressions += 1
    if len(body) > MAX_BODY_BYTES:
        raise _TooLargeError
    return body


def _magic_coding(body: bytes) -> str:
    return next((coding for magic, coding in _MAGIC if body.startswith(magic)), "")


def _decompress(body: bytes, coding: str) -> bytes:
    """``body`` with one compression undone; ``body`` itself when it is empty or text, whatever its label."""
    limit = min(MAX_BODY_BYTES, max(RATIO_FREE_BYTES, MAX_RATIO * len(body)))
    if not body or not _BINARY.search(body, 0, 512):
        return body
    pieces = []
    n_bytes = 0
    try:
        for piece in _DECODERS[_magic_coding(body) or coding](body):
            pieces.append(piece)
            n_bytes += len(piece)
            if n_bytes > limit:
                raise _TooLargeError
    except zlib.error as error:
        raise _BadEncodingError from error
    except OSError as error:  # brotli and zstd: corrupt, or only cut short
        if not n_bytes:
            raise _BadEncodingError from error
    return b"".join(pieces)


def _inflate(body: bytes, wbits: int) -> Iterator[bytes]:
    """The first member only; what follows it is left out."""
    inflater = zlib.decompressobj(wbits)
    for start in range(0, len(body), STEP_BYTES):
        if inflater.eof:
            break
        yield inflater.decompress(body[start : start + STEP_BYTES], MAX_BODY_BYTES + 1)


def _inflate_gzip(body: bytes) -> Iterator[bytes]:
    """Gzip, or what is called so and has another wrapper."""
    return _inflate(body, 31) if body.startswith(b"\x1f\x8b") else _inflate_deflate(body)


def _inflate_deflate(body: bytes) -> Iterator[bytes]:
    """RFC 9110 asks for the zlib wrapper; many servers send bare deflate, which can begin like a wrapper."""
    if not (body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0):
        return _inflate(body, -15)
    try:
        zlib.decompressobj(15).decompress(body[:STEP_BYTES], 1)
    except zlib.error:
        return _inflate(body, -15)
    return _inflate(body, 15)


def _read_brotli(body: bytes) -> Iterator[bytes]:
    reader = BrotliReader(io.BytesIO(body))
    return iter(lambda: reader.read(STEP_BYTES), b"")


def _read_zstd(body: bytes) -> Iterator[bytes]:
    reader = ZstdReader(io.BytesIO(body))
    return iter(lambda: reader.read(STEP_BYTES), b"")


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _inflate_gzip,
    "deflate": _inflate_deflate,
    "br": _read_brotli,
    "zstd": _read_zstd,
}


def _unchunk(body: bytes) -> bytes:
    """Chunks joined, as far as they are well formed; ``body`` itself when it does not begin with a chunk."""
    size_line = _CHUNK_SIZE.match(body)
    if size_line is None:
        return body
    chunks = []
    while size_line and (n_bytes := int(size_line.group(1), 16)):
        start = size_line.end()
        chunks.append(body[start : start + n_bytes])
        after = start + n_bytes
        after += 2 if body.startswith(b"\r\n", after) else 1
        size_line = _CHUNK_SIZE.match(body, after)
    return b"".join(chunks)
