"""From a record to its text: HTTP bodies, charsets, hostile pages, statuses."""

from __future__ import annotations

import dataclasses
import gzip
import io
import re
import zlib
from pathlib import Path

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError
from textmill.pipeline import extract
from textmill.pipeline.extract import Page, extract_record, html_to_text
from textmill.pipeline.extraction.budgets import Extremes, markup_extremes
from textmill.pipeline.reading.http import LISTS, MAX_BODY_BYTES, Response, media_type, read_fields, read_response
from textmill.pipeline.reading.warc import Record, read_range
from textmill.schema import STATUSES

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
BODY = ("<html><body><p>" + "Grüße aus Köln, a sentence of several words. " * 20 + "</p></body></html>").encode()


def response(body: bytes, *fields: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *fields, "", ""]).encode() + body


def record(block: bytes, content_type: str = "application/http; msgtype=response", kind: str = "response") -> Record:
    return Record(0, 0, len(block), kind, "http://a.example/", "", content_type, "", block)


def page(body: bytes, *fields: str, status: str = "HTTP/1.1 200 OK", engine: str = "textmill") -> Page:
    return extract_record(record(response(body, *fields, status=status)), engine)


# HTTP


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def written(writer_type: type, body: bytes) -> bytes:
    packed = io.BytesIO()
    writer = writer_type(packed)
    writer.write(body)
    writer.close()
    return packed.getvalue()


def chunked(body: bytes) -> bytes:
    chunks = [body[i : i + 100] for i in range(0, len(body), 100)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    ("label", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("br", written(BrotliWriter, BODY)),
        ("zstd", written(ZstdWriter, BODY)),
        ("gzip, br", written(BrotliWriter, gzip.compress(BODY))),
        ("identity", BODY),
        ("utf-8", BODY),
        ("gzip\r\nContent-Encoding: br", written(BrotliWriter, gzip.compress(BODY))),  # two fields
        ("none", BODY),
        ("", gzip.compress(BODY)),  # unlabelled
        ("", written(ZstdWriter, BODY)),
        ("identity", gzip.compress(gzip.compress(BODY))),
        ("gzip", gzip.compress(gzip.compress(BODY))),  # once more than it says
        ("br", gzip.compress(BODY)),  # one for another
        ("deflate", gzip.compress(BODY)),
        ("gzip", written(ZstdWriter, BODY)),
        ("gzip", zlib.compress(BODY)),
        ("gzip", raw_deflate(BODY)),
        ("gzip", BODY),  # mislabelled, or decoded by the crawler
        ("deflate", BODY),
        ("br", BODY),
        ("zstd", BODY),
        ("gzip", b""),
    ],
)
@pytest.mark.parametrize("in_chunks", [False, True])
def test_content_codings(label: str, packed: bytes, in_chunks: bool) -> None:
    fields = [f"Content-Encoding: {label}"] + ["Transfer-Encoding: chunked"] * in_chunks
    found = read_response(response(chunked(packed) if in_chunks else packed, *fields))
    assert found.error == ""
    assert found.body == (BODY if packed else b"")


@pytest.mark.parametrize("body", [BODY, gzip.compress(BODY), chunked(BODY)])
def test_a_crawler_renames_what_it_has_undone(body: bytes) -> None:
    """As Common Crawl does; what it forgot to undo, the bytes tell, but for chunks."""
    fields = ["X-Crawler-Content-Encoding: gzip", "X-Crawler-Transfer-Encoding: chunked"]
    assert read_response(response(body, *fields)).body == (body if body == chunked(BODY) else BODY)


def test_a_body_cut_short_is_kept_and_a_corrupt_one_is_not() -> None:
    packed = gzip.compress(BODY * 100 + bytes(range(256)) * 100)
    cut = read_response(response(packed[:-50], "Content-Encoding: gzip"))
    assert cut.error == ""
    assert cut.body.startswith(BODY)
    corrupt = packed[:30] + bytes(30) + packed[60:]
    assert read_response(response(corrupt, "Content-Encoding: gzip")).error == "bad_encoding"
    assert read_response(response(b"\0\1\2" * 50, "Content-Encoding: br")).error == "bad_encoding"
    assert read_response(response(packed, "Content-Encoding: gzip, gzip, gzip")).error == "unsupported_encoding"


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"5\nhello\n0\n\n", b"hello"),
        (b"00000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5 ; a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"5" + b";" * 5000 + b"\r\nhello", b"5" + b";" * 5000 + b"\r\nhello"),
        (b"5\r\nhello\r\n6\r\n wor", b"hello wor"),
        (b"5\r\nhello\r\nzz\r\nx", b"hello"),
        (b"<html>not in chunks", b"<html>not in chunks"),
        (b"-1\r\nx", b"-1\r\nx"),
        (b"0x5\r\nhello\r\n", b"0x5\r\nhello\r\n"),
        (b"fffffffffffffffff\r\nx", b"fffffffffffffffff\r\nx"),
        (b"0\r\n\r\n", b""),
    ],
)
def test_chunks(body: bytes, decoded: bytes) -> None:
    assert read_response(response(body, "Transfer-Encoding: chunked")).body == decoded


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (response(b"<p>the first bytes of a very long page", "Content-Type: text/html"), "too_large"),
        (response(b"\x1f\x8b\x08 cut", "Content-Encoding: gzip"), "too_large"),
        (response(b"...", "Content-Type: video/mp4"), "not_html"),
        (response(b"...", status="HTTP/1.1 404 Not Found"), "bad_status"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, "bad_http"),
    ],
)
def test_of_a_record_too_long_to_read_the_header_counts(block: bytes, status: str) -> None:
    whole = record(block)
    found = extract_record(dataclasses.replace(whole, is_cut=True))
    assert (found.status, found.text) == (status, None)


def test_bombs_are_refused() -> None:
    zeros = bytes(50 << 20)
    for label, packed in (("gzip", gzip.compress(zeros)), ("br", written(BrotliWriter, zeros))):
        found = read_response(response(packed, f"Content-Encoding: {label}"))
        assert (found.error, found.body) == ("too_large", b"")
    assert read_response(response(gzip.compress(bytes(4 << 20)))).error == "too_large"
    assert read_response(response(gzip.compress(bytes(1 << 19)))).error == ""
    assert read_response(response(b"x" * (MAX_BODY_BYTES + 1))).error == "too_large"


@pytest.mark.parametrize(
    ("block", "status", "body", "error"),
    [
        (b"HTTP/1.1 200 OK\nContent-Type: text/html\n\nx", 200, b"x", ""),
        (b"HTTP/1.0 404\r\n\r\nx", 404, b"x", ""),
        (b"HTTP/1.1 200OK\r\n\r\nx", 200, b"x", ""),
        (b"HTTP/2 abc\r\n\r\nx", 0, b"x", ""),
        (b"HTTP/1.1 2000 x\r\n\r\nx", 0, b"x", ""),
        (b"Content-Type: text/html\r\n\r\nx", 200, b"x", ""),
        (b"<html>x", 200, b"<html>x", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", 0, b"", "bad_header"),
        (b"", 0, b"", "bad_header"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000 + b"\r\nx", 0, b"", "bad_header"),
    ],
)
def test_heads(block: bytes, status: int, body: bytes, error: str) -> None:
    found = read_response(block)
    assert (found.status, found.body, found.error) == (status, body, error)


def test_header_fields() -> None:
    fields = ["Content-Type: Text/HTML;", '\tcharset="UTF-8"', "no field", "X: \xff", "X: again", ": nameless"]
    block = "\r\n".join(["HTTP/1.1 200 OK", *fields, "", "x"]).encode("latin-1")
    found = read_response(block)
    assert (found.content_type, found.charset, found.headers["x"]) == ("text/html", "UTF-8", "ÿ")
    assert media_type("text/html; Charset = 'koi8-r'; x=y") == ("text/html", "koi8-r")


def reference_fields(lines: bytes) -> dict[str, str]:
    """Line by line, in bytes."""
    unfolded: list[bytes] = []
    for line in lines.split(b"\n"):
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1] += b" " + line.strip()
        else:
            unfolded.append(line)
    values: dict[str, list[str]] = {}
    for name, colon, value in (line.partition(b":") for line in unfolded):
        if colon:
            values.setdefault(in_utf8_or_latin(name).strip().lower(), []).append(in_utf8_or_latin(value).strip())
    return {name: "\n".join(found if name in LISTS else found[:1]) for name, found in values.items()}


def in_utf8_or_latin(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


FIELDS = [
    "X-Robots-Tag",
    "x-robots-tag",
    "Content-Type",
    "X",
    ":",
    ": ",
    "\n",
    "\r\n",
    "\n ",
    "\n\t",
    "\n \x1c",
    "\r",
    " ",
]
FIELD_PIECES = [*FIELDS, "\x0b", "\x1c", "\x85", "\xa0", "a", "\xc3", "\xa9", "\xff", "\0"]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(FIELD_PIECES)).map(lambda pieces: "".join(pieces).encode("latin-1")))
def test_fields_are_those_of_the_reference(lines: bytes) -> None:
    assert read_fields(lines) == reference_fields(lines)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "chunked"]))
def test_no_response_raises(body: bytes, coding: str) -> None:
    for block in (body, response(body, f"Content-Encoding: {coding}", "Transfer-Encoding: chunked")):
        found = read_response(block)
        assert isinstance(found, Response)
        assert extract_record(record(block)).status in STATUSES


# Charsets that come to nothing: see test_charset.py for the others


GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 10


def test_bytes_that_no_charset_explains() -> None:
    body = "<p>Grüße</p>".encode("utf-16-le")[:-1] + b"\xd8" * 41
    found = page(b"\xff\xfe" + body, "Content-Type: text/html")
    assert (found.status, found.text) == ("bad_charset", None)


def test_what_is_removed_from_text() -> None:
    hostile = "<p>a\u202eb\u2066c\ufffed\x07e&#x202e;f&#0;g&#xd800;h</p><p>x  \r\n\r\n\r\n\r\ny\u200dz</p>"
    text = html_to_text(hostile.encode(), engine="resiliparse-all")
    assert not re.search("[\0-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe]", text)
    assert text.startswith("abcdef")
    assert "y\u200dz" in text  # joiners spell words in many scripts
    assert extract._tidy("a \t\r\n\r\r\n\n\u3000\nb\udfff\n ") == "a\n\nb"


# Engines


def test_main_content_leaves_out_what_surrounds_it() -> None:
    html = "<nav><ul><li><a href=/>Home</a></ul></nav><main><p>" + GERMAN + "<ul><li>one<li>two</ul></main>"
    text = html_to_text(html.encode(), charset="utf-8", url="http://a.example/")
    assert "Home" not in text
    assert GERMAN.strip() in text
    everything = html_to_text(html.encode(), engine="resiliparse-all")
    assert "Home" in everything
    assert "• one" in everything


def test_unknown_engine() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'resiliparse'"):
        html_to_text(b"", engine="resiliparce")
    with pytest.raises(UnknownNameError):
        extract_record(record(b""), engine="none")


# Budgets


def reference_extremes(html: str) -> tuple[int, int, int, int, int]:
    """Plain Python, with regular expressions, for ASCII and other text alike."""
    no_depth = re.compile(
        "a|area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|frame|html|head|body|p|li|dt|dd|tr|td|th"
        "|thead|tbody|tfoot|colgroup|option|optgroup|rp|rt"
    )
    raw = re.compile("script|style|textarea|title|xmp|iframe|noembed|noframes")
    formatting = re.compile("b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u")
    space = r"[\t-\r ]"
    value = rf"{space}*={space}*(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|(?![\"'])[^\t-\r >]*)"
    attribute = re.compile(rf"[^\t-\r />][^\t-\r />=]*(?:{value})?")
    skip = re.compile(r"[\t-\r /]*")
    stack: list[str] = []
    n_tags = deepest = most = n_options = unclosed = work = position = 0
    foreign = 0
    while position < len(html):
        comment = re.compile(r"<!--(?:>|->|.*?(?:-->|--!>)|.*\Z)", re.DOTALL).match(html, position)
        if comment:
            position = comment.end()
            continue
        tag = re.compile(r"<(/?)([A-Za-z][^\t-\r />]*)").match(html, position)
        if not tag:
            position += 1
            continue
        name = "".join(c.lower() if c.isascii() else c for c in tag.group(2))
        position = tag.end()
        n_attributes = 0
        slash = False
        while position < len(html) and html[position] != ">":
            gap = skip.match(html, position)
            assert gap
            slash = gap.group().endswith("/")
            position = gap.end()
            one = attribute.match(html, position)
            if one:
                n_attributes += 1
                slash = False
                position = one.end()
        slash = slash and position < len(html)
        position += 1
        n_tags += 1
        most = max(most, n_attributes)
        if tag.group(1):
            unclosed = max(unclosed - bool(formatting.fullmatch(name)), 0)
            if name in stack:
                del stack[len(stack) - 1 - stack[::-1].index(name) :]
            foreign = 0 if len(stack) < foreign else foreign
            continue
        work += len(stack) + 16 * unclosed
        unclosed += bool(formatting.fullmatch(name))
        n_options += name == "option"
        inside = foreign or name in ("svg", "math")
        if not foreign and raw.fullmatch(name):
            end = re.compile(rf"</{name}(?=[\t-\r />]|\Z)", re.IGNORECASE).search(html, position)
            position = end.start() if end else len(html)
        elif not (slash if inside else no_depth.fullmatch(name)):
            stack.append(name)
            deepest = max(deepest, len(stack))
            foreign = len(stack) if inside and not foreign else foreign
    return n_tags, deepest, most, n_options, work


PIECES = re.split(
    r" (?=\S)",
    "<div> </div> <DIV <b> </b> <p> </p> <svg> </svg> <svg/> <g/> <g a=/> <script> </script> </scriptx> <style> </style"
    " <!-- --> <!--> <!---> <!--!> <!---!> --!> <! < </ > / = \" ' a='>' a=\">\" b=c/ <option> <select> ä 中"
    " \t \n x <é> <aé> </a1>",
)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([*PIECES, " ", "<i a b=1 c>"]) | st.text(max_size=3), max_size=25).map("".join))
def test_the_kernel_agrees_with_plain_python(html: str) -> None:
    html = html.encode(errors="replace").decode()
    assert tuple(markup_extremes(html.encode())) == reference_extremes(html)


def test_extremes_of_a_page() -> None:
    html = b"<div><p a=1 b>x<p><br><b>y</b></div><!-- <i> --><script>'<div>'</script><select><option>1<option></select>"
    assert markup_extremes(html) == Extremes(13, 2, 2, 2, 6)
    assert markup_extremes(b"<svg></svg><script><div></script>").max_depth == 1
    assert markup_extremes(b"<!---!><i>--><i>").n_tags == 1
    assert markup_extremes(b"") == Extremes(0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("html", "status"),
    [
        ("<div>" * 100_000, "too_deep"),
        ("<div></b>" * 50_000, "too_deep"),  # end tags of nothing close nothing
        ("<svg><style>" + "<g>" * 50_000, "too_deep"),  # within SVG, style is not raw
        ("<div>" * 1500 + "<p>x</p>" * 100_000, "too_deep"),
        ("<div>" + "".join(f"<b a{n}>" for n in range(300)) + "</div>" + "<p>x</p>" * 20_000, "too_deep"),
        ("<p " + " ".join(f"a{n}=1" for n in range(40_000)) + ">", "too_many_tags"),
        ("<p " + "".join(f"a{n}='1'" for n in range(40_000)) + ">", "too_many_tags"),
        ("<select>" + "<option>x" * 40_000, "too_many_tags"),
        ("<b>x</b>" * 200_000, "too_many_tags"),
        ("x" * (9 << 20), "too_large"),
        ("<p>" + "word " * 100_000 + "<!--" * 1000, "ok"),
        ("<p title='" + "w" * (7 << 20) + "'>x", "ok"),
        ("<script>" + "document.write('<div>');" * 50_000 + "</script><p>x", "ok"),
        ("<p>x" * 100_000, "ok"),
        ("<div>" * 250 + "x" + "</div>" * 250 + "y", "ok"),
        ("<" * 1_000_000, "ok"),
        ("</" * 1_000_000, "ok"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_hostile_pages(html: str, status: str) -> None:
    parsed = page(html.encode(), "Content-Type: text/html", engine="resiliparse").status
    assert parsed in (status, "empty" if status == "ok" else status)
    assert page(html.encode(), "Content-Type: text/html").status in ("ok", "empty", "too_large", "too_many_tags")


# Statuses


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (page(BODY, "Content-Type: text/html"), "ok"),
        (page(BODY, "Content-Type: application/xhtml+xml"), "ok"),
        (page(BODY), "ok"),
        (page(b"plain <b> text", "Content-Type: text/plain"), "ok"),
        (page(BODY, "Content-Type: image/png"), "not_html"),
        (page(b"%PDF-1.4 x", "Content-Type: text/html"), "not_html"),
        (page(b"\r\n%PDF-1.4 x", "Content-Type: text/html"), "not_html"),
        (page(b"PK\x03\x04 x"), "not_html"),
        (page(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 x", "Content-Type: text/html"), "not_html"),
        (page(b"wOF2\0\1\0\0\0\0x" + bytes(range(99)), "Content-Type: text/html"), "not_html"),
        (page(b"<!-- \1\2\3 -->" + BODY, "Content-Type: text/html"), "ok"),
        (page(b"<p>" + b"x" * 90 + b"\1\2\3" * 3 + BODY[:99], "Content-Type: text/html"), "ok"),
        (page(b"RIFF is a file format, ID3 a tag", "Content-Type: text/plain"), "ok"),
        (page(b"{\\rtf1 x", "Content-Type: text/plain"), "not_html"),
        (page(written(BrotliWriter, BODY), "Content-Type: text/html"), "not_html"),  # nothing tells that it is brotli
        (page(b"a\0b\0\0c" * 50, "Content-Type: text/html"), "not_html"),
        (page(BODY.decode().encode("utf-16-le"), "Content-Type: text/html"), "ok"),
        (page(BODY.decode().encode("utf-16-be"), "Content-Type: text/html"), "ok"),
        (page(BODY.decode().encode("utf-32"), "Content-Type: text/html"), "ok"),
        (page(BODY, status="HTTP/1.1 404 Not Found"), "bad_status"),
        (page(b"\0\1\2" * 50, "Content-Encoding: br"), "bad_http"),
        (page(gzip.compress(bytes(30 << 20)), "Content-Encoding: gzip"), "too_large"),
        (page(b"", "Content-Type: text/html"), "empty"),
        (page(b"<script>x</script>", "Content-Type: text/html"), "empty"),
        (extract_record(record(b"")), "bad_http"),
        (extract_record(record("Grüße\r\n\r\n\r\nx".encode(), "text/plain", "conversion")), "ok"),
        (extract_record(record(BODY, "text/html; charset=utf-8", "resource")), "ok"),
        (extract_record(record(b"20080430 example.org. 1 A 10.0.0.1", "text/dns")), "not_html"),
    ],
)
def test_statuses(found: Page, status: str) -> None:
    assert found.status == status
    assert status in STATUSES
    assert (found.text is None) == (status != "ok")


def test_a_page_says_what_it_was() -> None:
    found = page(gzip.compress(BODY), "Content-Type: Text/HTML; charset=UTF8", "Content-Encoding: gzip")
    assert (found.http_status, found.content_type, found.charset, found.html_bytes) == (
        200,
        "text/html",
        "utf-8",
        len(BODY),
    )
    assert found.text
    assert found.text.startswith("Grüße aus Köln")
    text = extract_record(record("Grüße\r\n\r\n\r\nx ".encode(), "text/plain", "conversion")).text
    assert text == "Grüße\n\nx"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the pages of other parsers are not here")
def test_pages_that_once_broke_a_parser() -> None:
    paths = sorted((SHARED / "malformed" / "html").rglob("*.*"))
    assert paths
    for path in paths:
        assert page(path.read_bytes(), "Content-Type: text/html").status in STATUSES


@pytest.mark.skipif(not SHARED.is_dir(), reason="the archives of other crawlers are not here")
def test_payloads_found_in_the_wild() -> None:
    for path in sorted((SHARED / "archives").glob("ukwa_transfer_*.warc.gz")):
        size = path.stat().st_size
        with path.open("rb") as stream:
            (found,) = (i for i in read_range(stream, 0, size, size, {"response"}) if isinstance(i, Record))
        assert extract_record(found).status == "ok", path.name
