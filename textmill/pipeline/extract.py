"""From an archive record to the text of its page: payload, charset, budgets, main content.

Engines: ``textmill``, our own (`textmill.pipeline.extraction`); ``resiliparse``, its main-content mode, and
``resiliparse-all``, all its text; and ``trafilatura``, if that is installed. Those that build a document tree get only
pages within the budgets of `extraction.budgets`; ours is linear in the page, and asks for a bounded number of tags.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from resiliparse.extract.html2text import extract_plain_text

from textmill import storage
from textmill.errors import EnvironmentFault, MissingExtraError, UnknownNameError
from textmill.pipeline.extraction.budgets import MAX_HTML_BYTES, over_budget
from textmill.pipeline.extraction.engine import main_content, model_version
from textmill.pipeline.reading.charset import n_unexplained, to_utf8, unmarked_utf16
from textmill.pipeline.reading.head import NO_HEAD, Head, read_head
from textmill.pipeline.reading.http import Response, media_type, read_response
from textmill.pipeline.reading.optout import NO_OPTOUT, OptOut, read_optout
from textmill.pipeline.reading.warc import Record

MAX_BAD_FRAC = 0.01  # share of U+FFFD in a text that still has status ok

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = ("text/plain",)

_SNIFF_BYTES = 1024
# First bytes of documents, images and archives that may pass for text; all else that is served as HTML and is none
# (sound, film, fonts, programs) has controls in its head.
_MAGIC = (
    b"%PDF-",
    b"%!PS",
    b"{\\rtf",
    b"\xd0\xcf\x11\xe0",  # Office before 2007
    b"PK\x03\x04",  # Office since, and any zip file
    b"\x89PNG",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"\x1f\x8b",  # gzip
    b"\x28\xb5\x2f\xfd",  # zstd
    b"Rar!",
    b"7z\xbc\xaf",
    b"\x7fELF",
)
# All bytes but controls that are never in text of an ASCII-compatible charset.
_NO_CONTROLS = bytes([*range(9, 14), 27, *range(32, 256)])
_MAX_NUL_FRAC = 0.01
_MAX_CONTROL_FRAC = 0.05  # of compressed or random bytes it is a tenth; some old pages have 2 % in their comments

# Controls, bidi controls, tags (which hide text), lone surrogates, byte order marks, noncharacters.
_UNWANTED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)


class Page(NamedTuple):
    """What became of a record; ``status`` is one of `textmill.schema.STATUSES`."""

    status: str
    http_status: int  # 0 when there is none
    content_type: str  # media type, lower case, as declared; "" when missing
    charset: str  # that the text was decoded with, as Python names it; "" when it came to no decoding
    html_bytes: int  # length of the decoded body
    text: str | None  # null unless the status is "ok"
    head: Head = NO_HEAD  # unless the status is "ok"
    optout: OptOut = NO_OPTOUT  # unless the status is "ok"

    @classmethod
    def untried(cls, status: str) -> Page:
        """Of a record that is not looked at, for a reason known before."""
        return cls(status, http_status=0, content_type="", charset="", html_bytes=0, text=None)


def extract_record(record: Record, engine: str = "textmill", *, comments: bool = False) -> Page:
    """The page of a response, or of a record whose block is the payload itself (resource, conversion).

    Never raises on account of the record. Errors: `UnknownNameError` for an unknown engine, `MissingExtraError` for one
    that is not installed.
    """
    chosen = find_engine(engine)
    response = _payload(record)
    if record.is_cut:
        response = response._replace(body=b"", error="bad_header" if response.error == "bad_header" else "too_large")
    status, charset, markup, text = _extract(response, record.url, chosen, comments)
    served = response.status, response.content_type, charset, len(response.body)
    if status != "ok":
        return Page(status, *served, None)
    head = read_head(markup, record.url, record.date)
    optout = read_optout(response.headers, head.directives, head.reservation)
    return Page(status, *served, text, head, optout)


def html_to_text(
    html: bytes,
    *,
    charset: str | None = None,
    url: str | None = None,
    engine: str = "textmill",
    comments: bool = False,
) -> str:
    """The text of an HTML page: lines without trailing spaces, at most one blank line in a row, but for code.

    ``charset`` is what the server declared; ``url`` is for engines that use it; ``comments``, whether readers' comments
    are wanted. No budget applies: engines other than textmill's can take minutes for a hostile page (see
    `over_budget`). Errors: `UnknownNameError`, `MissingExtraError`.
    """
    chosen = find_engine(engine)
    _, markup = to_utf8(html, charset or "")
    found = chosen.extract(markup, url or "", comments)
    return found if chosen.is_tidy else _tidy(found)


# Engines


@dataclass(frozen=True)
class Engine:
    """A way to extract text."""

    extract: Callable[[bytes, str, bool], str]  # page in UTF-8, its URL, whether comments are wanted -> untidy text
    builds_tree: bool  # at a cost that grows faster than the page
    is_tidy: bool  # the text needs no `_tidy`
    version: Callable[[], str]  # what its text depends on, beside textmill's own code


def _textmill(html: bytes, url: str, comments: bool) -> str:
    return main_content(html, comments)


def _resiliparse(html: bytes, url: str, comments: bool) -> str:
    return _parse(html, main_content=True, comments=comments)


def _resiliparse_all(html: bytes, url: str, comments: bool) -> str:
    return _parse(html, main_content=False, comments=comments)


def _parse(html: bytes, *, main_content: bool, comments: bool) -> str:
    """Without alternative texts: on pages with ground truth they cost .010 of F1 (comments .034)."""
    return extract_plain_text(
        html.decode(),
        main_content=main_content,
        preserve_formatting=True,
        list_bullets=True,
        alt_texts=False,
        comments=comments,
    )


def _trafilatura(html: bytes, url: str, comments: bool) -> str:
    try:
        import trafilatura
    except ImportError as error:
        raise MissingExtraError("trafilatura", "trafilatura") from error
    return trafilatura.extract(html.decode(), url=url or None, include_comments=comments) or ""


def _version_of(package: str) -> Callable[[], str]:
    return lambda: storage.package_version(package)


def _trafilatura_version() -> str:
    try:
        return storage.package_version("trafilatura")
    except EnvironmentFault as error:
        raise MissingExtraError("trafilatura", "trafilatura") from error


ENGINES: Mapping[str, Engine] = {
    "textmill": Engine(_textmill, builds_tree=False, is_tidy=True, version=model_version),
    "resiliparse": Engine(_resiliparse, builds_tree=True, is_tidy=False, version=_version_of("resiliparse")),
    "resiliparse-all": Engine(_resiliparse_all, builds_tree=True, is_tidy=False, version=_version_of("resiliparse")),
    "trafilatura": Engine(_trafilatura, builds_tree=True, is_tidy=False, version=_trafilatura_version),
}


def find_engine(name: str) -> Engine:
    """An engine by name. Errors: `UnknownNameError`."""
    if name not in ENGINES:
        raise UnknownNameError("extraction engine", name, ENGINES)
    return ENGINES[name]


# The way to a status


def _payload(record: Record) -> Response:
    """The HTTP response, or, of a block that holds none, the block as if it had been served."""
    content_type, charset = media_type(record.content_type)
    if content_type == "application/http" or record.block.startswith(b"HTTP/"):
        return read_response(record.block)
    return Response(200, content_type, charset, {}, record.block, "")


def _extract(response: Response, url: str, engine: Engine, comments: bool) -> tuple[str, str, bytes, str]:
    """Status, charset, markup as UTF-8 (b"" for plain text) and text."""
    refused = _refuse(response)
    if refused:
        return refused, "", b"", ""
    charset, decoded = to_utf8(response.body, response.charset)
    n_bad = n_unexplained(decoded)
    if n_bad and n_bad > MAX_BAD_FRAC * len(decoded.decode()):
        return "bad_charset", charset, b"", ""
    if response.content_type in TEXT_TYPES:
        text = _tidy(decoded.decode())
        return "ok" if text else "empty", charset, b"", text
    exceeded = over_budget(decoded, engine.builds_tree)
    if exceeded:
        return exceeded, charset, decoded, ""
    text = engine.extract(decoded, url, comments)
    text = text if engine.is_tidy else _tidy(text)
    return "ok" if text else "empty", charset, decoded, text


def _refuse(response: Response) -> str:
    """The status of a response that holds no page, as far as its header and first bytes tell; else ""."""
    if response.error == "bad_header":
        return "bad_http"
    if response.status != 200:
        return "bad_status"
    if response.content_type not in (*HTML_TYPES, *TEXT_TYPES, ""):
        return "not_html"
    if response.error == "too_large" or len(response.body) > MAX_HTML_BYTES:
        return "too_large"
    if response.error:
        return "bad_http"
    return "not_html" if _is_binary(response.body) else ""


def _is_binary(body: bytes) -> bool:
    """By magic number, or by controls, which UTF-16 and UTF-32 abound in."""
    head = body[:_SNIFF_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or unmarked_utf16(head):
        return False
    controls = head.translate(None, _NO_CONTROLS)
    by_controls = controls.count(0) > _MAX_NUL_FRAC * len(head) or len(controls) > _MAX_CONTROL_FRAC * len(head)
    return by_controls or head.lstrip().startswith(_MAGIC)


def _tidy(text: str) -> str:
    """Without what `_UNWANTED` lists, trailing spaces and rows of blank lines."""
    text = _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "\n".join(map(str.rstrip, text.split("\n")))
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip()
