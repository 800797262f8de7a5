"""From an archive record to the text of its page: payload, charset, budgets, main content.

Charset: byte order mark, HTTP header, ``<meta>`` (first 4 KB; labels as WHATWG reads them), UTF-8, then uchardet on
64 KB. A charset that garbles the page is passed over for the next one; the least bad wins if all are bad.

Budgets: resiliparse's cost (2.0.1) grows with the square of nesting, of attributes on a tag and of options in a select,
so one byte pass measures these before any parse, and pages beyond the limits are not parsed. What is left costs under a
second a page. The limits depend on the bytes alone, so a page has the same status everywhere. No budget sees every
trick of HTML's error recovery, and native code can crash: run this in a process that can be killed.

Cost, one core: 2.3 to 2.8 ms of CPU time for a page of 94 KB (every fifth of 4,847 real pages), of which resiliparse
takes 1.9 and the byte pass .1.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from textmill.errors import UnknownNameError
from textmill.pipeline.http import Response, media_type, read_response
from textmill.pipeline.warc import Record

MAX_HTML_BYTES = 8 << 20
MAX_TAGS = 300_000
MAX_DEPTH = 2_000
MAX_ATTRIBUTES = 1_000
MAX_OPTIONS = 5_000
MAX_WORK = 20_000_000  # 40 ns each: .8 s
FORMATTING_WORK = 16  # an element made again costs some .7 us
MAX_BAD_FRAC = 0.01  # share of U+FFFD in a text that still has status ok

HTML_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = ("text/plain",)

_META_BYTES = 4096
_DETECT_BYTES = 64 << 10
_SNIFF_BYTES = 1024
_MAGIC = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"RIFF", b"\x7fELF", b"Rar!")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(
    rb"""<meta\b[^>]{0,512}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})"""
    rb"""|<\?xml\b[^>]{0,99}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)
_UNWANTED = re.compile("[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SPACE_BEFORE_LINE_END = re.compile(r"[^\S\n]+(?=\n)")
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Page:
    """What became of a record; ``status`` is one of `textmill.schema.STATUSES`."""

    status: str
    http_status: int  # 0 when there is none
    content_type: str  # media type, lower case, as declared; "" when missing
    charset: str  # that the text was decoded with, as Python names it; "" when it came to no decoding
    html_bytes: int  # length of the decoded body
    text: str | None  # null unless the status is "ok"


def extract_record(record: Record, engine: str = "resiliparse") -> Page:
    """The page of a response, or of a record whose block is the payload itself (resource, conversion).

    Never raises on account of the record. Errors: `UnknownNameError` for an unknown engine.
    """
    extract = _engine(engine)
    response = _payload(record)
    status, charset, text = _extract(response, record.url, extract)
    kept = text if status == "ok" else None
    return Page(status, response.status, response.content_type, charset, len(response.body), kept)


def html_to_text(
    html: bytes, *, charset: str | None = None, url: str | None = None, engine: str = "resiliparse"
) -> str:
    """The text of an HTML page: lines without trailing spaces, at most one blank line in a row.

    ``charset`` is what the server declared; ``url`` is for engines that use it. No budget applies: a hostile page can
    take minutes (see `over_budget`). Errors: `UnknownNameError` for an unknown engine.
    """
    extract = _engine(engine)
    _, text = decode_html(html, charset or "")
    return _tidy(extract(text, url))


# Engines


def _resiliparse(html: str, main_content: bool) -> str:
    """Without alternative texts and comments: on pages with ground truth they cost .010 and .034 of F1."""
    return extract_plain_text(
        html, main_content=main_content, preserve_formatting=True, list_bullets=True, alt_texts=False, comments=False
    )


def _main_content(html: str, url: str | None) -> str:
    return _resiliparse(html, main_content=True)


def _all_text(html: str, url: str | None) -> str:
    return _resiliparse(html, main_content=False)


# From the decoded page and its address to its text, not yet tidied.
ENGINES: Mapping[str, Callable[[str, str | None], str]] = {
    "resiliparse": _main_content,
    "resiliparse-all": _all_text,
}


def _engine(name: str) -> Callable[[str, str | None], str]:
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


def _extract(response: Response, url: str, extract: Callable[[str, str | None], str]) -> tuple[str, str, str]:
    """Status, charset and text."""
    refused = _refuse(response)
    if refused:
        return refused, "", ""
    charset, text = decode_html(response.body, response.charset)
    if text.count("\ufffd") > MAX_BAD_FRAC * len(text):
        return "bad_charset", charset, ""
    if response.content_type not in TEXT_TYPES:
        exceeded = over_budget(text.encode(errors="replace"))
        if exceeded:
            return exceeded, charset, ""
        text = extract(text, url)
    text = _tidy(text)
    return "ok" if text else "empty", charset, text


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
    """By magic number, or by NULs; UTF-16, which is half NULs, counts as text when it begins with its mark."""
    head = body[:_SNIFF_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    return head.startswith(_MAGIC) or head.count(0) > len(head) // 100


# Charset and characters


def decode_html(body: bytes, declared: str) -> tuple[str, str]:
    """Python's name of the charset, and the text, with U+FFFD for what the charset does not explain.

    ``declared`` is the charset of the HTTP header, or "".
    """
    best = ("utf-8", "")
    fewest = len(body) + 1
    for charset in _charsets(body, declared):
        text = body.decode(charset, "replace").removeprefix("\ufeff")
        n_bad = text.count("\ufffd")
        if n_bad == 0 or n_bad <= 1 + _n_non_ascii(text) // 20:
            return charset, text
        if n_bad < fewest:
            best, fewest = (charset, text), n_bad
    return best


def _charsets(body: bytes, declared: str) -> Iterator[str]:
    """The charsets to try, the most credible first."""
    for mark, charset in _BOMS:
        if body.startswith(mark):
            yield charset
            return
    if in_header := _known(declared):
        yield in_header
    meta = _META.search(body, 0, _META_BYTES)
    if meta and (in_meta := _known((meta.group(1) or meta.group(2)).decode("latin-1"))):
        yield "utf-8" if in_meta.startswith("utf-16") else in_meta  # the label was read as bytes, so not UTF-16
    yield "utf-8"
    yield detect_encoding(body, _DETECT_BYTES) or "utf-8"


def _known(label: str) -> str:
    return map_encoding_to_html5(label, fallback_utf8=False) or ""


def _n_non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _tidy(text: str) -> str:
    """Without control characters, surrogates and bidi controls, trailing spaces and rows of blank lines."""
    text = _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _BLANK_LINES.sub("\n\n", _SPACE_BEFORE_LINE_END.sub("", text)).strip()


# Budgets


class Extremes(NamedTuple):
    """What makes a page expensive to parse. Counting stops once ``max_depth`` exceeds `MAX_DEPTH`."""

    n_tags: int  # opening and closing
    max_depth: int
    max_attributes: int  # of one tag
    n_options: int
    work: int  # ancestors of each opening tag, and unclosed formatting, which HTML opens again in every paragraph


def over_budget(html: bytes) -> str:
    """The status of a page (ASCII-compatible bytes) that is too expensive to parse; else ""."""
    if len(html) > MAX_HTML_BYTES:
        return "too_large"
    found = markup_extremes(html)
    if found.max_depth > MAX_DEPTH or found.work > MAX_WORK:
        return "too_deep"
    if found.n_tags > MAX_TAGS or found.max_attributes > MAX_ATTRIBUTES or found.n_options > MAX_OPTIONS:
        return "too_many_tags"
    return ""


def markup_extremes(html: bytes) -> Extremes:
    """Measure ``html`` (ASCII-compatible bytes) in one pass, 1 to 2 ns a byte.

    Depth is that of elements whose end tag is required; it is too high where HTML closes others by itself.
    """
    return Extremes(*_measure(np.frombuffer(html, np.uint8)))


_FNV_PRIME = np.uint64(0x100000001B3)


def _keys(names: str) -> np.ndarray:
    """The keys that `_name` gives to these tag names: 64-bit FNV-1 from 0."""
    keys = []
    for name in names.split():
        key = 0
        for byte in name.encode():
            key = (key * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF) ^ byte
        keys.append(key)
    return np.array(keys, np.uint64)


# Elements that do not nest in themselves: they are empty, or their end tag may be left out, or one closes the last.
_NO_DEPTH = _keys(
    "a area base br col embed hr img input link meta param source track wbr frame "
    "html head body p li dt dd tr td th thead tbody tfoot colgroup option optgroup rp rt"
)
_RAW = _keys("script style textarea title xmp iframe noembed noframes")  # their content is no markup
_FORMATTING = _keys("b big code em font i nobr s small strike strong tt u")
_FOREIGN = _keys("svg math")  # within these, every element nests, "/>" closes, and nothing is raw
_OPTION = _keys("option")
_LT, _GT, _SLASH, _BANG, _DASH, _EQUALS, _QUOTE, _APOSTROPHE = (np.uint8(ord(c)) for c in "<>/!-='\"")


@njit(cache=True, nogil=True)
def _measure(html):  # type: ignore[no-untyped-def]
    """The fields of `Extremes`, of uint8[n]."""
    stack = np.empty(MAX_DEPTH + 2, np.uint64)
    depth = foreign = n_tags = max_depth = max_attributes = n_options = n_formatting = work = 0
    position = _next_tag(html, 0)
    while position < html.size and max_depth <= MAX_DEPTH:
        closing = html[position + 1] == _SLASH
        key, end = _name(html, position + 1 + closing)
        n_attributes, self_closing, position = _attributes(html, end)
        n_tags += 1
        max_attributes = max(max_attributes, n_attributes)
        if closing:
            n_formatting = max(n_formatting - _among(key, _FORMATTING), 0)
            depth = _pop(stack, depth, key)
            foreign = 0 if depth < foreign else foreign
        else:
            work += depth + FORMATTING_WORK * n_formatting
            n_formatting += _among(key, _FORMATTING)
            n_options += _among(key, _OPTION)
            begins_foreign = _among(key, _FOREIGN)
            if not foreign and _among(key, _RAW):
                position = _raw_end(html, position, key)
            elif not (self_closing if foreign or begins_foreign else _among(key, _NO_DEPTH)):
                stack[depth] = key
                depth += 1
                max_depth = max(max_depth, depth)
                foreign = depth if begins_foreign and not foreign else foreign
        position = _next_tag(html, position)
    return n_tags, max_depth, max_attributes, n_options, work


@njit(cache=True, nogil=True)
def _next_tag(html, position):  # type: ignore[no-untyped-def]
    """Where the next tag begins, comments left out; the size if nowhere."""
    while position < html.size - 1:
        if html[position] == _LT:
            if _is_letter(html[position + 1]):
                return position
            if html[position + 1] == _SLASH and position + 2 < html.size and _is_letter(html[position + 2]):
                return position
            if html[position + 1] == _BANG:
                position = _comment_end(html, position)
                continue
        position += 1
    return html.size


@njit(cache=True, nogil=True)
def _comment_end(html, position):  # type: ignore[no-untyped-def]
    """Behind the comment at ``position``; behind its first two bytes when "<!" begins none."""
    after = position + 2
    if after + 1 >= html.size or html[after] != _DASH or html[after + 1] != _DASH:
        return after
    for i in range(after + 2, html.size):  # "<!-->" and "<!--->" are whole comments, "--!>" ends one
        if html[i] == _GT and html[i - 1] == _DASH and html[i - 2] == _DASH:
            return i + 1
        if html[i] == _GT and html[i - 1] == _BANG and html[i - 2] == _DASH and html[i - 3] == _DASH and i > after + 4:
            return i + 1
    return html.size


@njit(cache=True, nogil=True)
def _name(html, start):  # type: ignore[no-untyped-def]
    """Key and end of the tag name that begins at ``start``; upper and lower case are one."""
    key = np.uint64(0)
    for i in range(start, html.size):
        byte = html[i]
        if _is_space(byte) or byte in (_SLASH, _GT):
            return key, i
        lower = byte + 32 if 65 <= byte <= 90 else byte
        key = (key * _FNV_PRIME) ^ np.uint64(lower)
    return key, html.size


@njit(cache=True, nogil=True)
def _attributes(html, position):  # type: ignore[no-untyped-def]
    """(n_attributes, whether "/>" ends the tag, position behind it), from the end of the tag name on."""
    n_attributes = 0
    slash = False
    while position < html.size:
        byte = html[position]
        if byte == _GT:
            return n_attributes, slash, position + 1
        slash = byte == _SLASH
        if slash or _is_space(byte):
            position += 1
        else:
            n_attributes += 1
            position = _attribute_end(html, position)
    return n_attributes, False, html.size


@njit(cache=True, nogil=True)
def _attribute_end(html, start):  # type: ignore[no-untyped-def]
    """Behind the attribute that begins at ``start``: a name, and perhaps "=" and a value, quoted or not."""
    position = start + 1
    while position < html.size and not _ends_name(html[position]):
        position += 1
    value = position
    while value < html.size and _is_space(html[value]):
        value += 1
    if value == html.size or html[value] != _EQUALS:
        return position
    value += 1
    while value < html.size and _is_space(html[value]):
        value += 1
    if value < html.size and (html[value] == _QUOTE or html[value] == _APOSTROPHE):
        for i in range(value + 1, html.size):
            if html[i] == html[value]:
                return i + 1
        return html.size
    while value < html.size and not _is_space(html[value]) and html[value] != _GT:
        value += 1
    return value


@njit(cache=True, nogil=True)
def _raw_end(html, position, key):  # type: ignore[no-untyped-def]
    """Where the end tag of a raw element begins; the size if nowhere."""
    while position < html.size - 2:
        if html[position] == _LT and html[position + 1] == _SLASH and _name(html, position + 2)[0] == key:
            return position
        position += 1
    return html.size


@njit(cache=True, nogil=True)
def _pop(stack, depth, key):  # type: ignore[no-untyped-def]
    """The depth after an end tag: that of the innermost open element of its name; unchanged if there is none."""
    for i in range(depth - 1, -1, -1):
        if stack[i] == key:
            return i
    return depth


@njit(cache=True, nogil=True)
def _among(key, keys):  # type: ignore[no-untyped-def]
    for other in keys:  # noqa: SIM110 - no generators in a kernel
        if other == key:
            return True
    return False


@njit(cache=True, nogil=True)
def _ends_name(byte):  # type: ignore[no-untyped-def]
    return _is_space(byte) or byte in (_SLASH, _GT, _EQUALS)


@njit(cache=True, nogil=True)
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or 9 <= byte <= 13


@njit(cache=True, nogil=True)
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 65 <= byte <= 90 or 97 <= byte <= 122
