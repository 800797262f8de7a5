"""Common Crawl by name: which crawls a base URL offers, and a sample of the archives of one.

A base is laid out as Common Crawl lays out its own (https://data.commoncrawl.org, s3://commoncrawl, or a mirror in a
folder): ``crawl-data/CRAWL/warc.paths.gz`` lists the archives of a crawl, a line each, as paths below the base. CRAWL
may have several parts (``CC-NEWS/2026/01``).

What a base offers is read from the first of these that is there: the folders of ``crawl-data/`` (local folders, object
stores); over HTTP the page ``crawl-data/index.html``, which data.commoncrawl.org has, ``collinfo.json``, which
index.commoncrawl.org has, or an S3 listing of ``crawl-data/``, which S3 servers with an open bucket have. From all
three the names are taken, and nothing else.

A sample is drawn by a hash of the path: the same at every run, spread over the segments of a crawl, and a larger sample
holds every smaller one. Paths come from a server, so they are held to plain names below the base.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Sequence

from textmill import storage
from textmill.errors import InputError, UnknownNameError, UserError
from textmill.pipeline.sources import store
from textmill.pipeline.sources.download import PLANNING, Downloader

COMMON_CRAWL = "https://data.commoncrawl.org"
KINDS = ("warc", "wet")
SEED = "textmill sample 1"  # with it every sample ever drawn stays what it was
LISTINGS = ("crawl-data/index.html", "collinfo.json", "?list-type=2&delimiter=/&prefix=crawl-data/")
MAX_LIST_BYTES = 64 << 20  # of a list of archives; Common Crawl's have under 1 MB, unpacked under 20
MAX_UNPACKED_BYTES = 1 << 30
_CRAWL_IN_TEXT = re.compile(r"\bCC-MAIN-\d{4}(?:-\d{2,4})?\b")
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_PATH = re.compile(r"[\w.=+-]+(?:/[\w.=+-]+)*", re.ASCII)


def choose(warcs: Sequence[str], crawl: str, files: int, kind: str, base: str) -> tuple[str, ...]:
    """The archives of a run: ``warcs`` as they are, or ``files`` of each crawl in ``crawl`` (comma-separated).

    Errors: `UserError` unless exactly one of the two is given; those of `archives`.
    """
    _check(kind, files)  # also of what is not used: it may be the mistake
    if bool(warcs) == bool(crawl):
        what = "both given" if warcs else "no input"
        raise UserError(f"{what}: give either --set warcs=FILE,GLOB,FOLDER,URL or --set crawl=CC-MAIN-2026-04")
    if warcs:
        return tuple(warcs)
    names = dict.fromkeys(name for name in crawl.split(",") if name)
    return tuple(uri for name in names for uri in archives(base, name, kind, files))


def archives(base: str, crawl: str, kind: str, files: int) -> list[str]:
    """URIs of ``files`` archives of a crawl (0: all of them).

    Errors: `UnknownNameError` for a crawl or kind that is not there; `InputError` when it has fewer archives.
    """
    _check(kind, files)
    if not base:
        raise UserError(f"crawl_base is empty; give {COMMON_CRAWL}, s3://commoncrawl, or a mirror")
    paths = _paths(base, crawl, kind)
    if files > len(paths):
        raise InputError(f"crawl {crawl}: files={files}, but it has only {len(paths)} {kind} archives")
    chosen = sorted(paths, key=_rank)[:files] if files else paths
    return sorted(storage.join(base, path) for path in chosen)


def _check(kind: str, files: int) -> None:
    if kind not in KINDS:
        raise UnknownNameError("kind of archive", kind, KINDS)
    if files < 0:
        raise UserError(f"files={files}: give a number of archives, or 0 for all")


def offered(base: str) -> list[str]:
    """The names of the crawls that ``base`` offers, the newest first. Errors: `InputError`, `EnvironmentFault`."""
    storage.check_uri(base)
    names = _from_web(base) if storage.is_web(base) else _from_folders(base)
    if not names:
        raise InputError(f"{storage.redact(base)}: lists no crawls; a base has crawl-data/ with a folder for each")
    return sorted(set(names), reverse=True)


def _from_web(base: str) -> list[str]:
    for listing in LISTINGS:
        try:
            text = _read(storage.join(base, listing)).decode(errors="replace")
        except (FileNotFoundError, InputError):  # not there, or not for us: some servers refuse what they do not have
            continue
        if names := _CRAWL_IN_TEXT.findall(text):
            return names
    return []


def _from_folders(base: str) -> list[str]:
    folder = storage.join(base, "crawl-data")
    if storage.is_local(base):
        path = storage.local_path(folder)
        return [entry.name for entry in path.iterdir() if entry.is_dir()] if path.is_dir() else []
    return store.folders(folder)


def _paths(base: str, crawl: str, kind: str) -> list[str]:
    """The paths of all archives of a crawl, as its list has them."""
    storage.check_uri(base)
    uri = storage.join(base, "crawl-data", crawl, f"{kind}.paths.gz")
    if not _NAME.fullmatch(crawl) or ".." in crawl:
        raise InputError(f"crawl {crawl!r}: not the name of a crawl; `textmill crawls` lists them")
    try:
        packed = _read(uri)
    except FileNotFoundError as error:
        names = offered(base)
        if crawl in names:
            raise InputError(
                f"crawl {crawl}: it has no {kind} archives ({storage.redact(uri)} is not there)"
            ) from error
        raise UnknownNameError(f"crawl at {storage.redact(base)}:", crawl, names) from error
    paths = _unpacked(packed, uri).decode(errors="replace").split()
    if bad := next((path for path in paths if not _PATH.fullmatch(path) or ".." in path.split("/")), None):
        raise InputError(f"{storage.redact(uri)}: {bad[:200]!r} is not a path below the base")
    if not paths:
        raise InputError(f"{storage.redact(uri)}: lists no archives")
    return paths


def _read(uri: str) -> bytes:
    """A small file, wherever it is. Errors: FileNotFoundError, `InputError`, `EnvironmentFault`."""
    if storage.is_local(uri):
        return storage.local_path(uri).read_bytes()
    return Downloader(PLANNING).read(uri, MAX_LIST_BYTES)


def _unpacked(packed: bytes, uri: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            text = stream.read(MAX_UNPACKED_BYTES + 1)
    except (zlib.error, EOFError, OSError) as error:
        raise InputError(f"{storage.redact(uri)}: not a list of archives ({error})") from error
    if len(text) > MAX_UNPACKED_BYTES:
        raise InputError(f"{storage.redact(uri)}: unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
    return text


def _rank(path: str) -> bytes:
    return hashlib.blake2b(f"{SEED} {path}".encode(), digest_size=16).digest()
