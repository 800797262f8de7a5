"""A simulated crawl: web archives, and a truth table that says what is in them.

The same arguments give the same bytes: one ``random.Random(seed)``, no clock, no host name, no set order. (Another
version of zlib or pyarrow may pack the same content differently.) A record is one gzip member, as in Common Crawl;
warcinfo comes first, and a request record follows about a third of the responses. The two ways in which archives
most often fail are there too: members with flipped bytes, and a last member that was cut off.

The truth table has one row for each response written; `TRUTH` is its schema. Cost, on one 2 GHz core: 3,000 pages,
6 MB of text, in about 2.5 s.
"""

from __future__ import annotations

import gzip
import io
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from textmill import storage
from textmill.errors import UserError
from textmill.simulate.pages import Page, PageMaker

TRUTH = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),  # "" where there is no main text
        pa.field("cluster", pa.string(), nullable=False),  # "" when alone
        pa.field("original_url", pa.string(), nullable=False),  # of copies and near duplicates, else ""
        pa.field("jaccard", pa.float64()),  # similarity of word 5-grams to the original
        pa.field("emails", pa.list_(pa.string()), nullable=False),  # as spelt in the text
        pa.field("phones", pa.list_(pa.string()), nullable=False),
        pa.field("ips", pa.list_(pa.string()), nullable=False),
        pa.field("true_charset", pa.string(), nullable=False),
        pa.field("declared_charset", pa.string(), nullable=False),
        pa.field("text", pa.large_string()),  # the main text as a reader sees it
        pa.field("broken", pa.bool_(), nullable=False),  # the record was damaged after writing
        pa.field("warc_file", pa.string(), nullable=False),
    ]
)

# Shares of all pages; articles take what is left. Each kind has at least one page.
SHARES = {
    "exact_copy": 0.05,
    "near_duplicate": 0.08,
    "spam": 0.04,
    "boilerplate_only": 0.03,
    "personal_data": 0.05,
    "wrong_charset": 0.04,
    "short": 0.03,
    "link_list": 0.02,
    "redirect": 0.015,
    "not_found": 0.02,
    "binary": 0.025,
    "hostile": 0.025,
    "long": 0.002,
    "broken": 0.002,
}
MIN_PAGES = 50
MIN_BROKEN = 2  # one flipped, one cut off
ORIGINALS_FRAC = 1 / 3  # of the articles are there to be copied, so that some clusters have more than two members
FIRST_CAPTURE = datetime(2025, 1, 1, tzinfo=UTC)
CRAWL_S = 30 * 24 * 3600
REASONS = {200: "OK", 301: "Moved Permanently", 404: "Not Found"}
CODINGS = ("", "", "", "gzip", "chunked", "gzip, chunked")
REQUEST_FRAC = 0.3


@dataclass(frozen=True)
class Crawl:
    """The files of a simulated crawl."""

    warcs: list[Path]
    truth: Path


def write_crawl(folder: Path, *, n_pages: int = 3000, seed: int = 0, n_files: int = 2) -> Crawl:
    """Write ``crawl-00000.warc.gz`` and so on, then ``truth.parquet``, into ``folder``.

    A file appears whole or not at all, and replaces one of the same name.

    Errors: `UserError` for fewer than 50 pages, or for no file, or for more files than pages.
    """
    if n_pages < MIN_PAGES:
        raise UserError(f"simulated crawl: n_pages is {n_pages}; ask for at least {MIN_PAGES}, so that every kind fits")
    if not 1 <= n_files <= n_pages:
        raise UserError(f"simulated crawl: n_files is {n_files}; ask for 1 to {n_pages} (one page a file)")
    rng = random.Random(seed)
    pages = make_pages(rng, n_pages)
    parts = [pages[i * n_pages // n_files : (i + 1) * n_pages // n_files] for i in range(n_files)]
    names = [f"crawl-{i:05d}.warc.gz" for i in range(n_files)]
    with storage.scratch(str(folder)) as scratch:
        for name, part in zip(names, parts, strict=True):
            _write_warc(rng, scratch / name, part, cut_off=name == names[-1])
        pq.write_table(_truth_table(names, parts), scratch / "truth.parquet")
        for name in (*names, "truth.parquet"):
            storage.publish(scratch / name, storage.join(str(folder), name))
    return Crawl([folder / name for name in names], folder / "truth.parquet")


def make_pages(rng: random.Random, n_pages: int) -> list[Page]:
    """``n_pages`` pages of all kinds in the order of the crawl; a broken page comes last."""
    maker = PageMaker(rng)
    counts = {kind: max(1, round(share * n_pages)) for kind, share in SHARES.items()}
    counts["broken"] = max(MIN_BROKEN, counts["broken"])
    pages = _articles_and_copies(maker, n_pages - sum(counts.values()), counts)
    for kind, make in _singles(maker).items():
        pages += [make() for _ in range(counts[kind])]
    last = pages.pop()
    rng.shuffle(pages)
    return [*pages, last]


def _singles(maker: PageMaker) -> dict[str, Callable[[], Page]]:
    """What makes a page of each kind that needs no other page; the kind that is written last comes last."""
    return {
        "spam": maker.spam,
        "boilerplate_only": maker.boilerplate_only,
        "personal_data": maker.personal_data,
        "wrong_charset": maker.wrong_charset,
        "short": maker.short,
        "link_list": maker.link_list,
        "redirect": maker.redirect,
        "not_found": maker.not_found,
        "binary": maker.binary,
        "hostile": maker.hostile,
        "long": maker.long,
        "broken": maker.broken,
    }


def _articles_and_copies(maker: PageMaker, n_articles: int, counts: dict[str, int]) -> list[Page]:
    """Articles, and copies of some of them; those that were copied, and their copies, carry the name of a cluster."""
    originals = [maker.article() for _ in range(n_articles)]
    n_copyable = max(1, int(ORIGINALS_FRAC * n_articles))
    copies = []
    for kind, copy in (("exact_copy", maker.copy), ("near_duplicate", maker.near_duplicate)):
        for _ in range(counts[kind]):
            number = maker.rng.randrange(n_copyable)
            article, page = originals[number]
            originals[number] = article, replace(page, cluster=f"cluster-{number:05d}")
            copies.append(copy(*originals[number]))
    return [page for _, page in originals] + copies


def _truth_table(names: Sequence[str], parts: Sequence[Sequence[Page]]) -> pa.Table:
    rows = [
        {**vars(page), "broken": page.kind == "broken", "warc_file": name}
        for name, part in zip(names, parts, strict=True)
        for page in part
    ]
    return pa.Table.from_pylist(rows, TRUTH)


def _write_warc(rng: random.Random, path: Path, pages: Sequence[Page], *, cut_off: bool) -> None:
    """One archive. With ``cut_off`` its last record, which must be a broken page, ends in the middle."""
    with path.open("wb") as stream:
        stream.write(_warcinfo(rng, path.name))
        for page in pages:
            date = _date(rng)
            response = _response(rng, page, date)
            if page.kind != "broken":
                stream.write(response)
                if rng.random() < REQUEST_FRAC:
                    stream.write(_request(rng, page, date))
            elif cut_off and page is pages[-1]:
                stream.write(response[: len(response) // 2])
            else:
                stream.write(_flipped(response))


def _flipped(member: bytes) -> bytes:
    """``member`` with 16 bytes inverted in its middle, where no checksum forgives it."""
    middle = len(member) // 2
    flipped = bytes(byte ^ 0xFF for byte in member[middle : middle + 16])
    return member[:middle] + flipped + member[middle + 16 :]


def _date(rng: random.Random) -> str:
    return (FIRST_CAPTURE + timedelta(seconds=rng.randrange(CRAWL_S))).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(rng: random.Random, date: str) -> dict[str, str]:
    """The WARC headers that warcio would otherwise take from the clock and from chance."""
    record_id = uuid.UUID(int=rng.getrandbits(128), version=4)
    return {"WARC-Record-ID": f"<urn:uuid:{record_id}>", "WARC-Date": date}


def _member(url: str, record_type: str, payload: bytes, named: dict[str, str], http: StatusAndHeaders | None) -> bytes:
    """One record as a gzip member of its own."""
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=True)
    record = writer.create_warc_record(
        url, record_type, payload=io.BytesIO(payload), length=len(payload), warc_headers_dict=named, http_headers=http
    )
    writer.write_record(record)
    return buffer.getvalue()


def _warcinfo(rng: random.Random, name: str) -> bytes:
    named = {**_named(rng, _date(rng)), "WARC-Filename": name}
    fields = b"software: textmill simulated crawl\r\nformat: WARC File Format 1.0\r\n"
    return _member("", "warcinfo", fields, named, None)


def _request(rng: random.Random, page: Page, date: str) -> bytes:
    host, _, path = page.url.removeprefix("https://").partition("/")
    http = StatusAndHeaders(f"GET /{path} HTTP/1.1", [("Host", host)], is_http_request=True)
    return _member(page.url, "request", b"", _named(rng, date), http)


def _response(rng: random.Random, page: Page, date: str) -> bytes:
    """The response record; its body travels as it is, packed, in chunks, or both."""
    coding = rng.choice(CODINGS)
    headers = [("Content-Type", page.content_type), ("Server", "nginx")]
    if page.location:
        headers.append(("Location", page.location))
    body = page.body
    if "gzip" in coding:
        body = gzip.compress(body, 6, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    if "chunked" in coding:
        body = b"".join(_chunks(rng, body))
        headers.append(("Transfer-Encoding", "chunked"))
    else:
        headers.append(("Content-Length", str(len(body))))
    http = StatusAndHeaders(f"{page.status} {REASONS[page.status]}", headers, protocol="HTTP/1.1")
    return _member(page.url, "response", body, _named(rng, date), http)


def _chunks(rng: random.Random, body: bytes) -> Iterator[bytes]:
    """``body`` in the chunked transfer coding (RFC 9112, 7.1)."""
    start = 0
    while start < len(body):
        chunk = body[start : start + rng.randint(500, 5000)]
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
        start += len(chunk)
    yield b"0\r\n\r\n"
