"""Where archives come from: bad servers, an object store, Common Crawl by name. All on loopback; nobody waits."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill import cli, storage
from textmill.errors import EnvironmentFault, InputError, MissingExtraError, UnknownNameError, UserError
from textmill.pipeline.benchmark_items import ItemFile
from textmill.pipeline.rows import read_rows
from textmill.pipeline.sources import crawls, store
from textmill.pipeline.sources.download import PLANNING, Downloader, Patience, RemoteFile
from textmill.pipeline.sources.inputs import Inputs, find_inputs, open_archive
from textmill.pipeline.sources.server import Facts
from textmill.pipeline.sources.web import Web
from textmill.pipeline.stages.model import _on_this_machine
from textmill.simulate.crawl import write_crawl

CRAWL = "CC-MAIN-2026-04"
BODY = bytes(range(256)) * 16384  # 4 MiB, so that a fetch has many pieces


@dataclass
class Site:
    """A web server with faults. ``faults`` befall the next requests, one each; afterwards it behaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    etag: str | None = '"one"'
    ranges: bool = True
    heeds_if_match: bool = True
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def ranges_asked(self) -> list[str]:
        return [headers["Range"].removeprefix("bytes=") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.requests.append((self.path, dict(self.headers)))
        fault = site.faults.pop(0) if site.faults else ""
        data = site.files.get(self.path.partition("?")[0])
        if fault[:3].isdigit():
            status, _, rest = fault.partition(" ")
            self.answer(int(status), {"Retry-After": rest} if rest.isdigit() or "GMT" in rest else {}, rest.encode())
        elif fault.startswith("to "):
            self.answer(302, {"Location": fault.removeprefix("to ")}, b"")
        elif data is None:
            self.answer(404, {}, b"not here")
        elif site.heeds_if_match and self.headers.get("If-Match", site.etag) != site.etag:
            self.answer(412, {}, b"")
        else:
            self.send_file(data, fault)

    def send_file(self, data: bytes, fault: str) -> None:
        headers = {"ETag": self.site.etag} if self.site.etag else {}
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()  # type: ignore[union-attr]
        start, end = int(first), min(int(last) + 1, len(data))
        if not self.site.ranges or fault == "whole":
            return self.answer(200, headers, data, fault)
        if start >= len(data):
            return self.answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        shift = 7 if fault == "other range" else 0
        headers["Content-Range"] = f"bytes {start + shift}-{end + shift - 1}/{len(data)}"
        return self.answer(206, headers, data[start:end], fault)

    def answer(self, status: int, headers: dict[str, str], body: bytes, fault: str = "") -> None:
        length = {"small length": len(body) // 2, "large length": len(body) + 9}.get(fault, len(body))
        self.send_response(status)
        for name, value in ({"Content-Length": str(length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "silence":
            self.site.closing.wait()
        self.close_connection = fault not in ("", "whole", "other range")
        if fault in ("reset", "short", "silence"):
            body = body[: len(body) // 2]
        try:
            self.wfile.write(body)
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # what a reset connection gives
            super().finish()

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    made = Site(files={"/a.warc.gz": BODY})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": made}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    made.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every rest of every downloader, which is none."""
    taken: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", _impatient(threading.Event.wait, taken))
    return taken


def _impatient(wait: Callable[..., bool], taken: list[float]) -> Callable[..., bool]:
    def quick(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None or not _resting():
            return wait(event, timeout)
        taken.append(timeout)
        return event.is_set()

    return quick


def _resting() -> bool:
    caller: Any = sys._getframe(2)
    return caller.f_code.co_name == "_pause"


@dataclass
class Fetched:
    data: bytearray
    rests: list[float]


def fetch(
    site: Site, start: int = 0, end: int = len(BODY), *, patience: Patience | None = None, version: str = '"one"'
) -> Fetched:
    """Bytes of the site's archive as a task would fetch them."""
    got = Fetched(bytearray(end - start), [])
    downloader = Downloader(patience or Patience(), rest=got.rests.append, web=Web(silence_s=0.5))

    def write(position: int, piece: bytes) -> None:
        got.data[position - start : position - start + len(piece)] = piece

    downloader.fetch(f"{site.url}/a.warc.gz", start, end, Facts(len(BODY), version, True), write)
    return got


# A web server that misbehaves


@pytest.mark.parametrize(
    "faults",
    [
        ["503 SlowDown"],
        ["429", "403", "500", "502", "504"],
        ["403 <Error><Code>SlowDown</Code></Error>"],
        ["reset", "reset"],
        ["short", "short", "short"],
        ["small length", "large length"],
        ["other range", "silence"],
        ["whole"],
    ],
)
def test_a_fetch_gets_every_byte_whatever_the_server_does(site: Site, faults: list[str]) -> None:
    site.faults = list(faults)
    start, end = 1_000_003, 3_000_001
    assert fetch(site, start, end).data == BODY[start:end]
    assert not site.faults


def test_a_broken_fetch_goes_on_at_the_byte_that_it_reached(site: Site) -> None:
    site.faults = ["short", "short"]
    assert fetch(site).data == BODY
    half, quarter = len(BODY) // 2, len(BODY) // 4
    assert site.ranges_asked() == [f"{start}-{len(BODY) - 1}" for start in (0, half, half + quarter)]


def test_rests_grow_at_random_and_the_server_may_ask_for_more(site: Site) -> None:
    site.faults = ["503"] * 4 + ["503 20", "503 99999", "429 Wed, 21 Oct 2015 07:28:00 GMT", "429 soon"]
    rests = fetch(site).rests
    full = [1, 2, 4, 8, 16, 32, 60, 60]
    asked = [0, 0, 0, 0, 20, 300, 0, 0]
    assert all(a + f / 2 <= rest <= a + f for rest, a, f in zip(rests, asked, full, strict=True))
    assert len(set(rests)) == len(rests)


def test_patience_ends_in_one_line_and_progress_renews_it(site: Site) -> None:
    site.faults = ["503"] * 3
    with pytest.raises(EnvironmentFault, match=r"/a\.warc\.gz: HTTP 503, 3 times in a row; run the same command again"):
        fetch(site, patience=Patience(tries=3))
    site.faults = ["503", "short", "503", "short", "503"]  # the shorts bring 2 MiB and 1 MiB
    assert fetch(site, patience=Patience(tries=3)).data == BODY


@pytest.mark.parametrize("heeds_if_match", [True, False])
def test_a_file_that_changed_is_an_error_and_no_mixture(site: Site, heeds_if_match: bool) -> None:
    site.etag, site.heeds_if_match = '"two"', heeds_if_match
    with pytest.raises(InputError, match="changed since the run was planned"):
        fetch(site)
    assert site.requests[0][1]["If-Match"] == '"one"'


def test_a_file_that_shrank_or_is_gone_is_an_error(site: Site) -> None:
    site.heeds_if_match = False
    site.files["/a.warc.gz"] = BODY[:1000]
    with pytest.raises(InputError, match="changed since the run was planned"):
        fetch(site, 2000, 3000)
    with pytest.raises(EnvironmentFault, match="the server says that the file has 1000 bytes, and said 4194304"):
        fetch(site, 0, 500)  # under the same ETag, it must be the server that errs
    with pytest.raises(InputError, match="changed since the run was planned"):
        site.etag = None
        fetch(site, 0, 500, version="")
    del site.files["/a.warc.gz"]
    with pytest.raises(InputError, match="no longer there"):
        fetch(site)


def test_a_refusal_is_not_tried_again(site: Site) -> None:
    for fault in ("403 <Code>AccessDenied</Code>", "401", "400 <Code>ExpiredToken</Code>"):
        site.faults, site.requests = [fault], []
        with pytest.raises(InputError, match=f"the server refuses it .HTTP {fault[:3]}"):
            fetch(site)
        assert len(site.requests) == 1


def test_proxies_of_the_environment_are_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//me:hush@"))
    site.files = {"http://archive.example/a": BODY}
    assert Web().look("http://archive.example/a", 10) == (Facts(len(BODY), '"one"', True), BODY[:10])
    assert site.requests[0][1]["proxy-authorization"] == "Basic bWU6aHVzaA=="
    monkeypatch.setenv("http_proxy", f"http://me:hush@127.0.0.1:{closed_port()}")
    with pytest.raises(EnvironmentFault, match=r"archive\.example: cannot be reached .the proxy does not answer"):
        Downloader(PLANNING, rest=lambda _: None).look("http://archive.example/a", 10)


def test_redirects_stay_on_the_site(site: Site) -> None:
    site.files["/b.warc.gz"] = BODY
    site.faults = ["to /b.warc.gz"]
    assert fetch(site).data == BODY
    for target in ("http://169.254.169.254/latest", "file:///etc/passwd", "http://localhost/a", "ftp://127.0.0.1/a"):
        site.faults = [f"to {target}?token=hush"]
        with pytest.raises(InputError, match="sends us elsewhere") as caught:
            fetch(site)
        assert "hush" not in str(caught.value)
    site.faults = ["to /a.warc.gz"] * 9
    with pytest.raises(InputError, match="more than 5 redirects"):
        fetch(site)


# Planning, and reading as a worker does


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=80, n_files=3)
    return folder


def served(site: Site, archives: Path) -> list[str]:
    site.files = {f"/{path.name}": path.read_bytes() for path in archives.glob("*.warc.gz")}
    return [f"{site.url}{name}" for name in sorted(site.files)]


def contents(inputs: Inputs, scratch: Path) -> list[bytes]:
    """What a reader gets that reads each range, and 1,000 bytes on either side."""
    read = []
    for byte_range in inputs.ranges():
        with open_archive(inputs.files[byte_range.file_number], byte_range, scratch) as stream:
            stream.seek(max(0, byte_range.start - 1000))
            wanted = byte_range.end + 1000 - stream.tell()
            pieces = []
            while wanted > 0 and (piece := stream.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
            read.append(b"".join(pieces))
    return read


def test_planning_takes_one_small_request_a_file(site: Site, archives: Path) -> None:
    uris = served(site, archives)
    inputs = find_inputs(tuple(uris), 0.02)
    assert [(f.uri, f.n_bytes, f.version, f.splittable) for f in inputs.files] == [
        (uri, len(site.files[uri.removeprefix(site.url)]), '"one"', True) for uri in uris
    ]
    assert site.ranges_asked() == ["0-1023"] * 3


@pytest.mark.parametrize("ranges", [True, False])
def test_a_worker_reads_what_a_local_reader_reads(site: Site, archives: Path, tmp_path: Path, ranges: bool) -> None:
    local = find_inputs((str(archives),), 0.02)
    site.ranges = ranges
    remote = find_inputs(tuple(served(site, archives)), 0.02)
    if ranges:
        assert remote.ranges() == local.ranges() and len(local.ranges()) > 3
    else:  # then a file is one task: who starts in the middle would be sent all that precedes
        assert len(remote.ranges()) == 3
    local = Inputs(local.files, local.shard_bytes if ranges else 1 << 30)
    assert contents(remote, tmp_path) == contents(local, tmp_path)


def test_a_far_archive_that_is_no_row_of_members_is_one_task(site: Site, tmp_path: Path) -> None:
    record = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000) + b"\r\n\r\n"
    (tmp_path / "a.warc").write_bytes(record * 9)
    site.files = {"/a.warc": record * 9}
    assert len(find_inputs((str(tmp_path / "a.warc"),), 0.1).ranges()) == 10
    assert len(find_inputs((f"{site.url}/a.warc",), 0.1).ranges()) == 1
    site.files = {"/one.warc.gz": gzip.compress(record * 12, 0), "/each.warc.gz": gzip.compress(record, 0) * 9}
    assert len(find_inputs((f"{site.url}/one.warc.gz",), 0.1).ranges()) == 1
    assert len(find_inputs((f"{site.url}/each.warc.gz",), 0.1).ranges()) == 10


def test_what_is_read_twice_is_fetched_once(site: Site, tmp_path: Path) -> None:
    facts = Facts(len(BODY), '"one"', True)
    with RemoteFile(Downloader(), f"{site.url}/a.warc.gz", facts, tmp_path / "copy") as file:
        file.fetch(2_000_000, 2_100_000)
        for start, end in [(2_000_000, 2_100_000), (0, 1000), (500, 2000), (1_999_000, 2_200_000), (len(BODY) - 5, 0)]:
            file.seek(start)
            data = b""
            while len(data) < end - start and (piece := file.read(end - start - len(data))):
                data += piece
            assert data == BODY[start:end]
        assert file.seek(-3, 2) == len(BODY) - 3 and file.read() == BODY[-3:] and file.read(10) == b""
    asked = sorted(tuple(map(int, text.split("-"))) for text in site.ranges_asked())
    assert all(before[1] < after[0] for before, after in itertools.pairwise(asked)), asked


def test_a_local_file_that_changed_is_an_error(archives: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.warc.gz"
    copy.write_bytes(next(archives.glob("*.warc.gz")).read_bytes())
    inputs = find_inputs((str(copy),), 1.0)
    contents(inputs, tmp_path)
    with copy.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(InputError, match="changed since the run was planned"):
        contents(inputs, tmp_path)


def test_weak_and_missing_etags_are_compared_too(site: Site, archives: Path, tmp_path: Path) -> None:
    for etag, other in [('W/"one"', 'W/"two"'), (None, '"new"')]:
        site.etag = etag
        (uri, *_) = served(site, archives)
        inputs = find_inputs((uri,), 1.0)
        contents(inputs, tmp_path)
        assert "If-Match" not in site.requests[-1][1]
        site.etag = other
        with pytest.raises(InputError, match="changed since the run was planned"):
            contents(inputs, tmp_path)


def test_planning_names_the_bad_file_and_of_several_the_first(site: Site, archives: Path) -> None:
    uris = served(site, archives)
    site.files |= {"/0.warc.gz": b"", "/1.warc.gz": b"<html>not an archive</html>" * 99}
    for name, expected in [("0", "0.warc.gz: the file is empty"), ("1", "1.warc.gz: not a web archive")]:
        with pytest.raises(InputError, match=expected):
            find_inputs((f"{site.url}/{name}.warc.gz",), 1.0)
    with pytest.raises(InputError, match=r"/2\.warc\.gz: no such file"):
        find_inputs((*uris, *(f"{site.url}/{n}.warc.gz" for n in (4, 3, 2))), 1.0)
    with pytest.raises(InputError, match="no globs"):
        find_inputs((f"{site.url}/*.warc.gz",), 1.0)


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def one_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("textmill: ") and shown.err.count("\n") == 1, shown.err
    return shown.err


def test_offline_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    base = f"http://127.0.0.1:{closed_port()}"
    run = ("run", "common_crawl", "--out", str(tmp_path / "w"), "--set")
    for command in [
        (*run, f"warcs={base}/a.warc.gz,{base}/b.warc.gz"),
        (*run, f"crawl={CRAWL}", "--set", f"crawl_base={base}"),
        ("crawls", "--base", base),
    ]:
        line = one_line(capsys, *command)
        assert "127.0.0.1: cannot be reached (connection refused); is this machine online?" in line
    assert "its name is not known" in one_line(capsys, "crawls", "--base", "http://nowhere.invalid")
    assert rests and max(rests) <= 1.0


# What may be opened, and what may be said


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a.warc.gz::file:///etc/passwd",
        "ssh://host/a.warc.gz",
        "ftp://host/a.warc.gz",
        "simplecache::https://host/a",
        "reference://x",
        "github://a:b@c/d",
        "https://user:hush@host/a.warc.gz",
        "s3://key:hush@bucket/a.warc.gz",
        "https://host/a.warc.gz?X-Amz-Signature=hush",
        "https://host/a.warc.gz?sig=hush",
        "https://host/a.warc.gz?access_token=hush",
    ],
)
def test_strange_protocols_and_credentials_are_refused_unspoken(uri: str) -> None:
    for refused in (lambda: find_inputs((uri,), 1.0), lambda: crawls.archives(uri, CRAWL, "warc", 1)):
        with pytest.raises(InputError) as caught:
            refused()
        assert "hush" not in str(caught.value)


def test_redacted() -> None:
    text = "see https://me:pw@a.example/x?key=1#f and s3://k:s@b/c, http://b.example/?q=2 or /tmp/a?b"
    assert storage.redact(text) == "see https://a.example/x?...#f and s3://b/c, http://b.example/?... or /tmp/a?b"


def test_a_query_is_part_of_a_name_and_not_shown(site: Site, archives: Path) -> None:
    (uri, *_) = served(site, archives)
    assert find_inputs((f"{uri}?version=3",), 1.0).files[0].uri == f"{uri}?version=3"
    with pytest.raises(InputError) as caught:
        find_inputs((f"{site.url}/none.warc.gz?version=3",), 1.0)
    assert "none.warc.gz?...: no such file" in str(caught.value)


@pytest.mark.parametrize(("uri", "package"), [("s3://b/a.warc.gz", "s3fs"), ("gs://b/a.warc.gz", "gcsfs")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, uri: str, package: str) -> None:
    import fsspec.core

    def missing(*_: object, **__: object) -> None:
        raise ImportError(f"install {package}")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=rf"'{package}' is not installed; install it with: pip install"):
        find_inputs((uri,), 1.0)


# Common Crawl by name


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Common Crawl in a folder: two crawls, one with five archives."""
    root = tmp_path_factory.mktemp("mirror")
    archives = root / "crawl-data" / CRAWL / "segments" / "1.1" / "warc"
    write_crawl(archives, n_pages=120, n_files=5)
    (archives / "truth.parquet").unlink(missing_ok=True)
    paths = [str(path.relative_to(root)) for path in sorted(archives.glob("*.warc.gz"))]
    (root / "crawl-data" / CRAWL / "warc.paths.gz").write_bytes(gzip.compress("\n".join(paths).encode()))
    older = root / "crawl-data" / "CC-MAIN-2025-51"
    older.mkdir()
    (older / "warc.paths.gz").write_bytes(gzip.compress(b"crawl-data/x/only.warc.gz\n"))
    (older / "wet.paths.gz").write_bytes(gzip.compress(b"crawl-data/x/only.warc.wet.gz\n"))
    return root


def serve_mirror(site: Site, mirror: Path) -> None:
    site.files = {f"/{path.relative_to(mirror)}": path.read_bytes() for path in mirror.rglob("*") if path.is_file()}
    links = "".join(f'<tr><td><a href="/crawl-data/{name}/index.html">{name}</a>' for name in _crawl_names(mirror))
    site.files["/crawl-data/index.html"] = f"<html><table>{links}</table></html>".encode()


def _crawl_names(mirror: Path) -> list[str]:
    return sorted(path.name for path in (mirror / "crawl-data").iterdir())


def test_a_larger_sample_holds_the_smaller_and_never_changes(mirror: Path) -> None:
    samples = [crawls.archives(str(mirror), CRAWL, "warc", n) for n in (1, 2, 3, 4, 5)]
    assert [len(sample) for sample in samples] == [1, 2, 3, 4, 5]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(samples))
    assert samples[-1] == crawls.archives(str(mirror), CRAWL, "warc", 0)
    names = [f"crawl-data/X/segments/1/warc/{i:05d}.warc.gz" for i in range(100)]
    assert [name[-13:-8] for name in sorted(names, key=crawls._rank)[:4]] == ["00058", "00059", "00079", "00080"]
    with pytest.raises(InputError, match="files=6, but it has only 5 warc archives"):
        crawls.archives(str(mirror), CRAWL, "warc", 6)


def test_several_crawls_and_both_kinds(mirror: Path) -> None:
    root = str(mirror)
    both = crawls.choose((), f"CC-MAIN-2025-51,{CRAWL}", 1, "warc", root)
    assert both == (f"{root}/crawl-data/x/only.warc.gz", *crawls.archives(root, CRAWL, "warc", 1))
    wet = crawls.choose((), "CC-MAIN-2025-51", 0, "wet", root)
    assert wet == (f"{root}/crawl-data/x/only.warc.wet.gz",)


def test_exactly_one_of_warcs_and_crawl() -> None:
    for warcs, crawl, what in [((), "", "no input"), (("a",), CRAWL, "both given")]:
        with pytest.raises(UserError, match=f"{what}: give either --set warcs=.* or --set crawl="):
            crawls.choose(warcs, crawl, 1, "warc", "base")


def test_an_unknown_crawl_or_kind_gives_the_nearest(site: Site, mirror: Path) -> None:
    serve_mirror(site, mirror)
    for base in (str(mirror), site.url):
        with pytest.raises(UnknownNameError, match=f"'CC-MAIN-2026-05'; did you mean '{CRAWL}'"):
            crawls.archives(base, "CC-MAIN-2026-05", "warc", 1)
        with pytest.raises(InputError, match="it has no wet archives"):
            crawls.archives(base, CRAWL, "wet", 1)
    with pytest.raises(UnknownNameError, match=r"'wrc'; did you mean 'warc'"):
        crawls.archives(str(mirror), CRAWL, "wrc", 1)
    with pytest.raises(InputError, match="not the name of a crawl"):
        crawls.archives(str(mirror), "../../etc", "warc", 1)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "http://169.254.169.254/x", "a/../../b", "a?b"])
def test_a_list_of_archives_cannot_point_elsewhere(site: Site, path: str) -> None:
    site.files = {f"/crawl-data/{CRAWL}/warc.paths.gz": gzip.compress(f"a/b.warc.gz\n{path}\n".encode())}
    with pytest.raises(InputError, match="is not a path below the base"):
        crawls.archives(site.url, CRAWL, "warc", 1)


@pytest.mark.parametrize("data", [b"", b"no gzip", gzip.compress(b"crawl-data/x\n")[:-5], gzip.compress(b"")])
def test_a_damaged_list_is_an_error(site: Site, data: bytes) -> None:
    site.files = {f"/crawl-data/{CRAWL}/warc.paths.gz": data}
    with pytest.raises(InputError, match=r"lists no archives|not a list of archives"):
        crawls.archives(site.url, CRAWL, "warc", 1)


S3_LISTING = "<ListBucketResult>{}</ListBucketResult>"
S3_ENTRY = "<CommonPrefixes><Prefix>crawl-data/{}/</Prefix></CommonPrefixes>"


def test_crawls_are_listed_in_each_of_the_known_ways(
    site: Site, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [CRAWL, "CC-MAIN-2025-51"]
    serve_mirror(site, mirror)
    html = site.files["/crawl-data/index.html"]
    info = json.dumps([{"id": name, "name": "x", "cdx-api": f"https://index/{name}-index"} for name in names]).encode()
    xml = S3_LISTING.format("".join(map(S3_ENTRY.format, names))).encode()
    for path, data in [("/crawl-data/index.html", html), ("/collinfo.json", info), ("/", xml)]:
        site.files = {path: data}
        assert crawls.offered(site.url) == names
    assert cli.main(["crawls", "--base", str(mirror), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"base": str(mirror), "crawls": names}
    assert cli.main(["crawls", "--base", site.url]) == 0
    shown = capsys.readouterr().out
    assert shown.index(names[0]) < shown.index(names[1])
    assert "lists no crawls" in one_line(capsys, "crawls", "--base", str(mirror / "crawl-data"))


def pages(root: Path) -> pa.Table:
    files = sorted(root.glob("pages-*/*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


def run_to_pages(out: str, *settings: str) -> int:
    fixed = ("language_model=builtin", "shard_mb=0.02", "guard=false")  # false: what is patched here counts
    options = [part for setting in (*fixed, *settings) for part in ("--set", setting)]
    return cli.main(["run", "common_crawl", "--serial", "--to", "pages", "--out", out, *options])


def test_a_crawl_by_name_gives_the_pages_of_the_same_local_files(
    site: Site, mirror: Path, tmp_path: Path, rests: list[float]
) -> None:
    serve_mirror(site, mirror)
    sample = crawls.archives(str(mirror), CRAWL, "warc", 3)
    assert run_to_pages(str(tmp_path / "local"), f"warcs={','.join(sample)}") == 0
    site.faults = ["503", "429 7", "", "reset", "", "short", "", "", "403", "reset", "short", "", "whole", "503"]
    assert run_to_pages(str(tmp_path / "w"), f"crawl={CRAWL}", "files=3", f"crawl_base={site.url}") == 0
    assert not site.faults and len(rests) == 8
    local, remote = pages(tmp_path / "local"), pages(tmp_path / "w")
    assert remote.drop_columns("warc_file").equals(local.drop_columns("warc_file")) and len(local) > 50
    assert set(remote["warc_file"].to_pylist()) == {uri.replace(str(mirror), site.url) for uri in sample}


def test_a_busy_server_stops_the_run_and_the_next_goes_on(
    site: Site, mirror: Path, tmp_path: Path, rests: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    serve_mirror(site, mirror)
    settings = (f"crawl={CRAWL}", "files=2", f"crawl_base={site.url}")
    site.faults = [""] * 10 + ["503"] * 10
    assert run_to_pages(str(tmp_path / "w"), *settings) == 2
    assert "HTTP 503, 10 times in a row; run the same command again later" in capsys.readouterr().err
    finished = sorted(tmp_path.glob("w/pages-*/*.parquet"))
    assert finished and not list(tmp_path.glob("w/.scratch/*"))
    assert run_to_pages(str(tmp_path / "w"), *settings) == 0
    assert set(finished) < set(tmp_path.glob("w/pages-*/*.parquet"))


# An object store


class FaultyStore:
    """moto's S3, as a WSGI application. ``faults`` befall the next reads of a part of an object, one each;
    ``refused``, all that is written under names with this in them."""

    def __init__(self, app: Any) -> None:
        self.app, self.faults, self.refused = app, list[str](), ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if self.refused and environ["REQUEST_METHOD"] == "PUT" and self.refused in environ["PATH_INFO"]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>InternalError</Code><Message>We had an internal error.</Message></Error>"
            start_response("500 Error", [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
            return [body]
        fault = self.faults.pop(0) if self.faults and "HTTP_RANGE" in environ else ""
        if fault == "503":
            body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            start_response("503 Slow Down", [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
            return [body]
        body = b"".join(self.app(environ, start_response))
        return [body[: len(body) // 2]] if fault == "short" else [body]


@dataclass
class Bucket:
    fs: Any
    app: FaultyStore

    def put(self, key: str, data: bytes) -> str:
        self.fs.pipe_file(f"bucket/{key}", data)
        return f"s3://bucket/{key}"

    def tree(self, folder: str) -> dict[str, bytes]:
        return {
            key.removeprefix(f"bucket/{folder}/"): self.fs.cat_file(key) for key in self.fs.find(f"bucket/{folder}")
        }


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of a local S3, found as people's own is: through the environment."""
    werkzeug_app = pytest.importorskip("moto.moto_server.werkzeug_app")
    s3fs = pytest.importorskip("s3fs")
    from werkzeug.serving import WSGIRequestHandler, make_server

    quiet = type("Quiet", (WSGIRequestHandler,), {"log": lambda *_: None})
    app = FaultyStore(werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "canary-key",
            "AWS_SECRET_ACCESS_KEY": "canary-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "no_proxy": "*",
        }.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        fs = s3fs.S3FileSystem(use_listings_cache=False)
        fs.mkdir("bucket")
        yield Bucket(fs, app)
        s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def stored(bucket: Bucket, archives: Path) -> list[str]:
    bucket.put("crawl/notes.txt", b"no archive")
    return [bucket.put(f"crawl/{path.name}", path.read_bytes()) for path in sorted(archives.glob("*.warc.gz"))]


def test_files_globs_and_folders_of_a_bucket(stored: list[str], bucket: Bucket) -> None:
    for patterns in [tuple(stored), ("s3://bucket/crawl/*.warc.gz",), ("s3://bucket/crawl",), ("s3://bucket/c*l/*z",)]:
        assert [file.uri for file in find_inputs(patterns, 1.0).files] == stored
    odd = bucket.put("odd/a[1]*.warc.gz", bucket.fs.cat_file(stored[0]))
    assert find_inputs((odd,), 1.0).files[0].uri == odd
    bucket.put("none/notes.txt", b"no archive")
    for pattern, expected in [
        ("s3://bucket/none", "a folder without archives"),
        ("s3://bucket/crawl/*.arc", "matches no file"),
        ("s3://bucket/nothing.warc.gz", "no such file"),
        ("s3://nobody/crawl", "no such file"),
    ]:
        with pytest.raises(InputError, match=re.escape(pattern) + f": {expected}"):
            find_inputs((pattern,), 1.0)


def test_an_object_is_read_as_a_local_file_is(
    stored: list[str], bucket: Bucket, archives: Path, tmp_path: Path, rests: list[float]
) -> None:
    local, remote = find_inputs((str(archives),), 0.02), find_inputs(tuple(stored), 0.02)
    assert remote.ranges() == local.ranges()
    bucket.app.faults = ["503", "short", "503", "503", "", "short"]
    assert contents(remote, tmp_path) == contents(local, tmp_path)
    assert not bucket.app.faults


def test_a_store_that_stays_busy_is_an_environment_fault(
    stored: list[str], bucket: Bucket, tmp_path: Path, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)  # its own, which rest
    inputs = find_inputs((stored[0],), 1.0)
    bucket.app.faults = ["503"] * 1000
    try:
        with pytest.raises(EnvironmentFault, match=r"reduce your request rate\.?, 10 times in a row"):
            contents(inputs, tmp_path)
    finally:
        bucket.app.faults = []
    assert len(rests) == 9


def test_an_object_that_changed_is_an_error(
    bucket: Bucket, stored: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bucket.fs.cat_file(stored[0])
    uri = bucket.put("changing/a.warc.gz", data)
    inputs = find_inputs((uri,), 1.0)
    (byte_range,) = inputs.ranges()
    bucket.put("changing/a.warc.gz", data[::-1])
    with pytest.raises(InputError, match="changed since the run was planned"):
        contents(inputs, tmp_path)
    bucket.put("changing/a.warc.gz", data)
    contents(inputs, tmp_path)
    monkeypatch.setattr(store, "PIECE_BYTES", 1000)
    pieces = store.Store().chunks(uri, 0, byte_range.end, Facts(len(data), inputs.files[0].version, True))
    assert next(pieces) == data[:1000]
    bucket.put("changing/a.warc.gz", data[::-1])
    with pytest.raises(InputError, match="changed since the run was planned"):
        next(pieces)
    bucket.fs.rm_file("bucket/changing/a.warc.gz")
    with pytest.raises(InputError, match="no longer there"):
        contents(inputs, tmp_path)


def test_a_store_without_if_match_is_looked_at_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    fs, path = storage.filesystem("memory://changing/a.warc.gz")
    monkeypatch.setattr(store, "PIECE_BYTES", 1000)
    fs.pipe_file(path, bytes(5000))
    facts, _ = store.Store().look("memory://changing/a.warc.gz", 10)
    pieces = store.Store().chunks("memory://changing/a.warc.gz", 0, 5000, facts)
    assert next(pieces) == bytes(1000)
    fs.pipe_file(path, bytes(5000))
    with pytest.raises(InputError, match="changed since the run was planned"):
        list(pieces)
    with pytest.raises(InputError, match="changed since the run was planned"):  # before anything is fetched in vain
        next(store.Store().chunks("memory://changing/a.warc.gz", 0, 5000, facts))


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage.check_writable("s3://bucket/models/a.ngrams")
    assert not bucket.tree("models")
    bucket.put("models/a.ngrams.check", b"of somebody")
    storage.check_writable("s3://bucket/models/a.ngrams")
    assert len(bucket.tree("models")) == 1
    text = tmp_path / "text.txt"
    text.write_text("a b c\n")
    train = ["perplexity", "train", "--text", str(text), "--out"]
    for out, message in {
        "s3://no-such-bucket/a.ngrams": "s3://no-such-bucket/a.ngrams: no such bucket; make it first",
        str(tmp_path): f"{tmp_path}: is a folder; name a file in it",
    }.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("textmill.filters.ngrams_train.train", lambda *_: pytest.fail("it began to work"))
            assert cli.main([*train, out]) == 2
        assert message in capsys.readouterr().err
    there = ["--positive", str(text), "--negative", str(text)]
    assert cli.main(["classifier", "train", *there, "--out", "s3://bucket/model.bin"]) == 2
    assert "s3://bucket/model.bin: a model is written to a local file" in capsys.readouterr().err


def test_benchmark_items_come_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    data = b'{"question": "What is the capital of France?", "answer": "Paris"}\n'
    file = ItemFile.find(bucket.put("items/capitals.jsonl", data))
    (item,) = file.read()
    assert (item.question, item.answer) == ("What is the capital of France?", "Paris")
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    with pytest.raises(InputError, match=r"none\.jsonl: cannot read this file"):
        ItemFile.find("s3://bucket/items/none.jsonl")


def test_what_another_process_wrote_is_seen(bucket: Bucket) -> None:
    bucket.put("shared/1", b"1")
    fs, path = storage.filesystem("s3://bucket/shared")
    assert fs.ls(path, detail=False) == ["bucket/shared/1"] and not storage.exists("s3://bucket/shared/2")
    bucket.fs.call_s3("put_object", Bucket="bucket", Key="shared/2", Body=b"2")  # says nothing to any cache
    assert len(fs.ls(path, detail=False)) == 2 and storage.exists("s3://bucket/shared/2")


def test_a_workspace_in_a_bucket_holds_what_a_local_one_does(
    bucket: Bucket, mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(path for path in mirror.rglob("*") if path.is_file()):
        bucket.put(str(path.relative_to(mirror)), path.read_bytes())
    settings = (f"crawl={CRAWL}", "files=2", "crawl_base=s3://bucket")
    assert cli.main(["crawls", "--base", "s3://bucket"]) == 0
    assert CRAWL in capsys.readouterr().out
    assert run_to_pages("s3://bucket/work", *settings) == 0
    assert run_to_pages(str(tmp_path / "w"), *settings) == 0
    made = bucket.tree("work")
    local = {str(p.relative_to(tmp_path / "w")): p.read_bytes() for p in (tmp_path / "w").rglob("*") if p.is_file()}
    lasting = [n for n in local if not n.startswith((".", "runs/")) and not n.endswith(".stats.json")]
    assert len(lasting) > 10 and all(made[name] == local[name] for name in lasting)
    assert not any(b"canary" in data for data in (*made.values(), *local.values()))
    capsys.readouterr()
    assert run_to_pages("s3://bucket/work", *settings) == 0
    assert "everything is there already" in capsys.readouterr().out
    assert cli.main(["show", "s3://bucket/work", "pages", "-n", "1"]) == 0
    assert "s3://bucket/crawl-data" in capsys.readouterr().out
    assert "no such bucket; make it first" in one_line(
        capsys,
        "run",
        "common_crawl",
        "--out",
        "s3://nobody/w",
        "--to",
        "pages",
        "--set",
        f"warcs={mirror}/crawl-data/{CRAWL}/segments/1.1/warc",
        "--set",
        "language_model=builtin",
    )


@pytest.mark.parametrize("refused", [".parquet", "00001.manifest.json", "runs/"])
def test_a_bucket_that_takes_no_more_is_one_line_and_the_run_goes_on(
    bucket: Bucket, mirror: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    out = f"s3://bucket/full-{refused.strip('./')}"
    settings = (f"crawl={CRAWL}", "files=2", f"crawl_base={mirror}")
    bucket.app.refused = refused
    try:
        assert run_to_pages(out, *settings) == 2
    finally:
        bucket.app.refused = ""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("first use")]
    assert line.startswith(f"textmill: {out}/") and refused in line
    assert "We had an internal error" in line and line.endswith("run the same command again later")
    assert run_to_pages(out, *settings) == 0


def test_files_in_a_bucket_are_read_by_lines_and_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {i} " * (i % 50)}) + "\n" for i in range(9000)]
    table = pa.table({"text": [json.loads(line)["text"] for line in lines]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000)
    parquet = bucket.put("rows/a.parquet", (tmp_path / "a.parquet").read_bytes())
    for name, content in (("a.jsonl", "".join(lines).encode()), ("b.jsonl.gz", gzip.compress("".join(lines).encode()))):
        assert list(read_rows(bucket.put(f"rows/{name}", content))) == table.to_pylist()
    assert list(read_rows(parquet)) == table.to_pylist()
    with storage.open_parquet(parquet) as file:
        assert file.read_row_group(7).equals(table.slice(7000, 1000))
    bucket.app.faults = ["503"] * 100
    try:
        with pytest.raises(EnvironmentFault, match=r"rows/a\.jsonl: cannot be reached \(.*reduce your request rate"):
            list(read_rows("s3://bucket/rows/a.jsonl"))
        with pytest.raises(EnvironmentFault, match=r"rows/a\.parquet: cannot be reached"):
            storage.read_table(parquet)
    finally:
        bucket.app.faults = []


def test_training_takes_its_tokens_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("tokens/00000.train.bin", b"\1\0\2\0")
    bucket.put("tokens/00000.manifest.json", b"{}")
    folder = Path(_on_this_machine("s3://bucket/tokens", tmp_path))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "00000.train.bin": b"\1\0\2\0",
        "00000.manifest.json": b"{}",
    }
    assert _on_this_machine("/work/tokens", tmp_path) == "/work/tokens"


def test_a_store_out_of_reach_is_one_line(
    capsys: pytest.CaptureFixture[str],
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rests: list[float],
) -> None:
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "is this machine online?" in one_line(capsys, "crawls", "--base", "s3://bucket")
    run = ("run", "common_crawl", "--set", "language_model=builtin")
    there, here = "s3://bucket/w", str(tmp_path / "w")
    for out, warcs in [(here, there), (there, f"{mirror}/crawl-data/{CRAWL}/segments/1.1/warc")]:
        assert "is this machine online?" in one_line(capsys, *run, "--out", out, "--set", f"warcs={warcs}")
    (tmp_path / "a.jsonl").write_text('{"text": "a text"}\n')
    read, written = "s3://bucket/a.jsonl", str(tmp_path / "a.jsonl")
    commands = [
        ("tokenizer", "train", read, "--vocab-size", "300", "--out", here),
        ("perplexity", "train", "--text", read, "--out", here),
        ("classifier", "train", "--positive", read, "--negative", written, "--out", here),
        ("dedup", read, "--out", here),
        ("report", there),
        ("tokenizer", "train", written, "--vocab-size", "300", "--out", there),
    ]
    for command in commands:
        line = one_line(capsys, *command)
        assert line.startswith(f"textmill: {there if there in command else read}") and "machine online?" in line
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "no credentials found; set AWS_PROFILE" in one_line(capsys, "crawls", "--base", "s3://bucket")
    for command in commands:
        assert "no credentials found; set AWS_PROFILE" in one_line(capsys, *command)
    s3fs.S3FileSystem.clear_instance_cache()


def test_the_web_is_no_workspace(capsys: pytest.CaptureFixture[str], mirror: Path) -> None:
    archives = mirror / "crawl-data" / CRAWL / "segments" / "1.1" / "warc"
    run = ("run", "common_crawl", "--set", "language_model=builtin", "--set", f"warcs={archives}", "--to", "pages")
    assert "no folders to list or to write to" in one_line(capsys, *run, "--out", "https://example.org/work")
