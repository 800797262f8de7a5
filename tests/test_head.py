"""What a page says of itself, and what its owner asks of machines."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.filters.optout import RULES, OptOut
from textmill.pipeline.extract import extract_record
from textmill.pipeline.reading import head
from textmill.pipeline.reading.head import Head, read_head
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.optout import NO_OPTOUT, read_optout
from textmill.pipeline.reading.warc import Record
from textmill.text import Documents

SHARED = Path(__file__).parents[2] / "shared" / "data"
URL = "https://a.example/dir/page?x=1"


def read(html: str, fetched: str = "2024-06-01T00:00:00Z") -> Head:
    return read_head(html.encode(), URL, fetched)


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title>Gr&uuml;&szlig;e\n  aus &#x4b;öln </title>", "Grüße aus Köln"),
        ("<TITLE lang=de>a</TITLE><title>b</title>", "a"),
        ("<title></title><meta property='og:title' content='x'>", "x"),
        ("<meta content=\"a 'b' > c\" property=OG:Title>", "a 'b' > c"),
        ("<!-- <title>no</title> --><title>a<b>c</b></title>", "a<b>c</b>"),
        ("<script>'<title>no</title>'</script><style><title>no</title></style><title>a</title>", "a"),
        ("<titles>no</titles>", ""),
        ("<body><title>no</title>", ""),
        ("<title>never closed", "never closed"),
        ("<title>" + "word " * 1000 + "</title>", ("word " * 100).strip()),
        ("<title>a\u202eb&#0;c\ud800</title>".encode(errors="replace").decode(), "ab\ufffdc?"),
        ("<link title='<title>no</title>' x=\"'\"><title>a</title>", "a"),
        ("<meta x='><title>no</title>", ""),
    ],
)
def test_titles(html: str, title: str) -> None:
    assert read(html).title == title


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ("<!doctype html><html class=x lang=de-AT>", "de-at"),
        ("<html xml:lang='pt-BR'>", "pt-br"),
        ("<html lang=''><meta http-equiv=Content-Language content='fr, en'>", "fr"),
        ("<html data-lang=de>", ""),
        (f"<html lang={'x' * 100}>", "x" * 35),
    ],
)
def test_languages(html: str, language: str) -> None:
    assert read(html).html_lang == language


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ("<link rel=canonical href=/b?x=1&amp;y=2>", "https://a.example/b?x=1&y=2"),
        ("<link href='//b.example/' rel='Canonical'>", "https://b.example/"),
        ("<link rel=stylesheet href=/x.css><link rel=canonical href=/y>", "https://a.example/y"),
        ("<link rel=canonical href=''><meta property=og:url content='http://b.example/a b'>", "http://b.example/a%20b"),
        ("<link rel=canonical href='javascript:alert(1)'>", ""),
        ("<link rel=canonical href='ftp://b.example/'>", ""),
        ("<link rel=canonical href='http://[x'>", ""),
        ("<link rel=canonical href='http:///x'>", ""),
        (f"<link rel=canonical href='/{'x' * 3000}'>", ""),
        ("<a rel=canonical href=/x>", ""),
    ],
)
def test_canonical_urls(html: str, url: str) -> None:
    assert read(html).canonical_url == url


@pytest.mark.parametrize(
    ("html", "day"),
    [
        ("<meta property='article:published_time' content='2020-02-29T23:59:59-08:00'>", "2020-02-29"),
        ("<meta name=date content=2019-01-01><meta name=article:published_time content=2020-01-02>", "2020-01-02"),
        ("<meta itemprop=datePublished content=20200102>", "2020-01-02"),
        ("<meta name=DC.date.issued content='2020/1/2 10:00'>", "2020-01-02"),
        ("<meta name=pubdate content='Thu, 02 Jan 2020 10:00:00 GMT'>", "2020-01-02"),
        ("<meta name=pubdate content='January 2nd, 2020'>", "2020-01-02"),
        ("<meta name=pubdate content='2 Sept. 2020'>", "2020-09-02"),
        ("<meta name=pubdate content='01/02/2020'>", ""),  # which is the month?
        ("<meta name=pubdate content='2020-02-30'>", ""),
        ("<meta name=pubdate content='2020-1'>", ""),
        ("<meta name=pubdate content='foo bar 12 xyz 2020'>", ""),
        ("<meta name=pubdate content='1970-01-01'><meta name=date content=2020-01-02>", "2020-01-02"),
        ("<meta name=pubdate content='2024-06-02'>", "2024-06-02"),
        ("<meta name=pubdate content='2024-06-03'>", ""),  # after it was fetched
        ('<body><script type="application/ld+json">{"datePublished" : "2020-01-02T00:00"}</script>', "2020-01-02"),
        (r'<script>"{\"datePublished\":\"2020-01-02\"}"</script>', "2020-01-02"),
        ('<script>{"datePublished": null, "x": {"datePublished": "2020-01-02"}}</script>', "2020-01-02"),
        ("<body><span itemprop='datePublished' content='2020-01-02'>x</span>", "2020-01-02"),
        ("<body><time itemprop=datePublished datetime=2020-01-02>x</time>", "2020-01-02"),
        ("<body><p itemprop=datePublished> 2 January 2020</p>", "2020-01-02"),
        ("<body><del datetime=2019-01-01>x</del><time datetime='2020-01-02'>x</time>", "2020-01-02"),
        ("<body><time>2020-01-02</time>", ""),
        ("<body>datePublished", ""),
        ("<time datetime=2020-01-02", ""),
    ],
)
def test_dates(html: str, day: str) -> None:
    assert read(html).published == day


def test_dates_of_pages_fetched_nobody_knows_when() -> None:
    html = "<meta name=date content=2098-01-01>"
    for fetched in ("", "9999-99", "9999-12-31"):
        assert read(html, fetched).published == "2098-01-01"
    assert read(html.replace("2098", "2101"), "9999-01-01").published == ""


def test_directives() -> None:
    html = (
        "<meta name=robots content=noai><meta name=googlebot content=noindex><meta name=CCBot content='nofollow, none'>"
    )
    found = read(html + "<meta name=tdm-reservation content=1>")
    assert found.directives == (("robots", "noai"), ("ccbot", "nofollow, none"))
    assert found.reservation == "1"


# The kernel


def reference_tags(html: str) -> tuple[list[tuple[int, int, int]], int]:
    """Plain Python, with regular expressions."""
    space = r"[\t-\r ]"
    value = rf"={space}*(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|(?![\"'])[^\t-\r >]*)"
    tag = re.compile(rf"<([A-Za-z][^\t-\r />]*)((?:[^>=]|{value})*)(?:>|\Z)")
    tags = []
    position = 0
    while position < len(html) - 1:
        comment = re.compile(r"<!--(?:-?>|.*?(?:-->|\Z))|<!", re.DOTALL).match(html, position)
        if comment:
            position = comment.end()
            continue
        found = tag.match(html, position)
        if not found:
            position += 1
            continue
        name = found[1].lower()
        if name == "body":
            return tags, position
        start, end = position, found.end()
        position = end
        if name in ("script", "style", "textarea", "title"):
            close = re.compile(rf"</{name}(?=[\t-\r />]|\Z)", re.IGNORECASE).search(html, position)
            start, end = end, close.start() if close else len(html)
            position = end
        values = [re.sub(rf"^=|{space}|\"|'", "", v).lower() for v in re.findall(value, found[2])]
        wanted = any(v in head._NAMES or v == "canonical" for v in values)
        if name in ("html", "title") or (wanted and name in ("meta", "link")):
            tags.append((head._key(name), start, end))
    return tags, len(html)


PIECES = re.split(
    r" (?=\S)",
    "<meta <META <link <html <html> <title> </title> </TITLE <script> </script> <style> </style <body> <bodyx> <p> </p>"
    " name=robots name='date' rel=\"canonical\" property = 'og:url' content=x = == > / \" ' <!-- --> <!--> <!---> <!x>"
    " < </ a \t \n",
)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([*PIECES, " ", "<meta name=robots content=a>"]) | st.text("ab<>=", max_size=3)))
def test_the_kernel_agrees_with_plain_python(pieces: list[str]) -> None:
    html = "".join(pieces)
    found = head._look_through(html.encode())
    assert ([tuple(tag) for tag in found.tags], found.body) == reference_tags(html)


def occurrences(letters: str, text: str) -> list[int]:
    return [found.start() for found in re.finditer(letters, text)]


NEARLY = [
    "datetime=",
    "datePublished",
    "datetim",
    "datatetime=",
    "datePublishe",
    "<body>",
    "e=",
    "d",
    "dP",
    "=",
    "x" * 50,
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(NEARLY), max_size=40).map("".join))
def test_dates_are_where_regular_expressions_find_them(text: str) -> None:
    padded = np.frombuffer(text.encode() + b"datetime=datePublished", np.uint8)  # what is read past the end would match
    places = np.empty((2, head.MAX_TRIES), np.int64)
    _, body, *numbers = head._scan(padded[: len(text)], head._VALUES, np.empty((9, 3), np.uint64), places)
    times = [place for place in occurrences("datetime=", text) if place >= body]
    found = [of_kind[:n].tolist() for of_kind, n in zip(places, numbers, strict=True)]
    assert found == [of_kind[: head.MAX_TRIES] for of_kind in (occurrences("datePublished", text), times)]


def test_times_are_looked_for_near_the_top() -> None:
    for before in range(head.TIME_BYTES - 12, head.TIME_BYTES):
        page = "datetime=<body>".ljust(9 + before) + "datetime= datetime="
        assert head._look_through(page.encode()).times == [9 + before] * (before + 9 <= head.TIME_BYTES)


@settings(deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from([*PIECES, "datePublished", "datetime="])).map("".join))
def test_no_page_raises(page: bytes | str) -> None:
    markup = page if isinstance(page, bytes) else page.encode()
    assert isinstance(read_head(markup, "http://[", "x"), Head)


@pytest.mark.parametrize(
    "piece",
    [
        "<meta",
        "<meta ",
        "<meta name='",
        "<meta name=robots content=x>",
        "<meta name=date content=x>",
        "<title>",
        "<title></title>",
        "<script></",
        "<script></s",
        "</script",
        "<!--",
        "<!-->",
        "datePublished",
        "datePublished:'",
        "<time datetime=",
        "<time datetime=x>",
        "<link rel=canonical href=",
        "<link rel=canonical href=&amp;>",
        "<html lang>",
        "=",
        "= ",
        "a=",
        "='",
        "&amp;",
        "&#1114112",
    ],
)
def test_hostile_pages_take_linear_time(piece: str) -> None:
    """Measured in CPU time, and with a wide margin: what is quadratic here takes minutes."""
    for prefix in ("", "<meta name=robots content=", "<title>", "<meta name=date content='"):
        read_head((prefix + piece * 100).encode(), URL)
        before = time.thread_time()
        read_head((prefix + piece * (1_000_000 // len(piece))).encode(), URL)
        assert time.thread_time() - before < 1


# Opt-out


def wishes(*fields: str) -> set[str]:
    response = read_response("\r\n".join(["HTTP/1.1 200 OK", *fields, "", "x"]).encode())
    found = read_optout(response.headers)
    return {name.removeprefix("optout_") for name, stated in found._asdict().items() if stated}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X-Robots-Tag: noai, NoImageAI"], {"noai", "noimageai"}),
        (["X-Robots-Tag: noindex", "x-robots-tag: noarchive"], {"noindex", "noarchive"}),
        (["X-Robots-Tag: none"], {"noindex"}),
        (["X-Robots-Tag: googlebot: noai, noindex"], set()),
        (["X-Robots-Tag: googlebot: noindex, GPTBot: noai, noarchive"], {"noai", "noarchive"}),
        (["X-Robots-Tag: otherbot: noai", "X-Robots-Tag: noarchive"], {"noarchive"}),  # a scope ends with its header
        (["X-Robots-Tag: *: noai"], {"noai"}),
        (["X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], {"noai"}),
        (["X-Robots-Tag: max-snippet: -1, noai"], {"noai"}),
        (["X-Robots-Tag: noairplanes"], set()),
        (["TDM-Reservation: 1"], {"tdm"}),
        (["TDM-Reservation: 0"], set()),
        (["TDM-Reservation: 0", "TDM-Reservation: 1"], {"tdm"}),
        (["Content-Usage: train-ai=n"], {"train_ai"}),
        (["Content-Usage: search=y, train-ai=n;exceptions=x"], {"train_ai"}),
        (["Content-Usage: train-ai=y"], set()),
        (["Content-Usage: train-ai"], set()),
        (["Content-Usage: train-ai=n, train-ai=y"], set()),  # the last one counts
        (["Content-Usage: search=n", "Content-Usage: train-ai = n"], {"train_ai"}),
        (["Content-Usage: =n,,; ,x"], set()),
        ([], set()),
    ],
)
def test_wishes_in_headers(fields: list[str], expected: set[str]) -> None:
    assert wishes(*fields) == expected


def test_wishes_in_a_page() -> None:
    html = "<meta name=robots content='noai;noarchive'><meta name=GPTBot content=noindex>"
    found = read(html + "<meta name=tdm-reservation content=1>")
    expected = NO_OPTOUT._replace(optout_noai=True, optout_noarchive=True, optout_noindex=True, optout_tdm=True)
    assert read_optout({}, found.directives, found.reservation) == expected


def record(html: str, *fields: str) -> Record:
    block = "\r\n".join(["HTTP/1.1 200 OK", *fields, "", html]).encode()
    return Record(0, 0, len(block), "response", URL, "2024-06-01T00:00:00Z", "application/http", "", block)


def test_pages_carry_what_they_state() -> None:
    html = "<html lang=en><title>T</title><meta name=robots content=noai><p>text"
    page = extract_record(record(html, "Content-Type: text/html", "tdm-reservation: 1"))
    assert (page.head.title, page.head.html_lang) == ("T", "en")
    assert page.optout == NO_OPTOUT._replace(optout_noai=True, optout_tdm=True)
    plain = extract_record(record(html, "Content-Type: text/plain", "X-Robots-Tag: noarchive"))
    assert plain.head == Head()
    assert plain.optout == NO_OPTOUT._replace(optout_noarchive=True)
    assert extract_record(record("", "X-Robots-Tag: noai")).optout == NO_OPTOUT  # no page, no wish


def test_rules() -> None:
    rows = [NO_OPTOUT._replace(**{name: True}) for name in NO_OPTOUT._fields]
    scorer = OptOut()
    scores = scorer.score(Documents(pa.Table.from_pylist([row._asdict() for row in rows])))
    table = dict(zip(scorer.columns.names, scores, strict=True))
    failing = [{rule.reason for rule in RULES if rule.fails(table[rule.column])[i]} for i in range(len(rows))]
    assert failing == [{"noai"}, set(), set(), set(), {"tdm_reservation"}, {"train_ai"}]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the pages of other parsers are not here")
def test_heads_of_pages_that_once_broke_a_parser() -> None:
    for path in sorted((SHARED / "malformed" / "html").rglob("*.*")):
        assert isinstance(read_head(path.read_bytes(), URL), Head)
