"""Deny-lists of domains, hosts and URLs, for example the University of Toulouse's (UT1), which FineWeb uses.

A list is a text file, packed with gzip or not, with an entry a line; "#" begins a comment. A folder stands for the
files ``domains`` and ``urls`` in it and below (UT1's layout). What an entry covers:

- ``example.org``: this host and all below it. Every suffix of a page's host is looked up, so that no list of public
  suffixes is needed; an entry without a dot is a top-level domain. Lines of a hosts file (``0.0.0.0 ads.example``) too.
- ``example.org/about``: this URL of this host, with any query, and what lies below it (``/about/us``, not ``/abouts``).

Scheme, user, port, ``www.``, a trailing dot or slash, the fragment, and upper or lower case make no difference. Escapes
(``%7E``) and internationalised names (``xn--``) must be written as they stand in the pages' URLs.

An entry is kept as a 64-bit hash (FNV-1a): 8 bytes each, 40 MB for all of UT1, and one in 10^12 URLs is taken for an
entry of such a list by mistake. Cost on one core: under 1 us a URL.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from textmill.errors import EnvironmentFault, InputError
from textmill.filters.base import Rule, Scorer
from textmill.text import FNV_BASIS, FNV_PRIME, Documents

RULES = (Rule("url_denied", "url_denied", high=0, source="the deny-lists that were given"),)

COLUMNS = pa.schema([pa.field("url_denied", pa.uint8(), nullable=False)])  # 1 if a list covers the URL
MAX_HOST_BYTES = 255  # RFC 1035, 2.3.4
LIST_NAMES = ("domains", "urls", "domains.gz", "urls.gz")


@dataclass(frozen=True)
class ListFile:
    """A list, known by its content; the path is not part of its identity."""

    path: str = field(metadata={"identity": False})
    sha256: str


@dataclass(frozen=True)
class UrlDenied(Scorer):
    """Whether one of the lists covers a page's URL. Errors, on first use: `EnvironmentFault` if a list has changed."""

    inputs: ClassVar[tuple[str, ...]] = ("url",)

    lists: tuple[ListFile, ...] = ()

    @property
    def columns(self) -> pa.Schema:
        """The same for all lists."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        urls = documents.column("url")
        offsets = np.frombuffer(urls.buffers()[1], np.int64)[urls.offset : urls.offset + len(urls) + 1]
        data = np.frombuffer(urls.buffers()[2] or b"", np.uint8)
        return [pa.array(_covered(data, offsets, *_load(self.lists)))]


def find_lists(paths: Iterable[str]) -> UrlDenied:
    """The scorer with the lists at ``paths``: files, or folders of them. Errors: `InputError`."""
    files = [file for path in paths for file in _files(Path(path))]
    return UrlDenied(tuple(ListFile(str(file.resolve()), _sha256(file)) for file in files))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.rglob("*") if file.name in LIST_NAMES)
    if not found:
        raise InputError(f"{path}: no deny-list in this folder; it should hold files named domains or urls")
    yield from found


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot read this deny-list ({error.strerror}); give a text file") from error


@functools.lru_cache(maxsize=2)
def _load(lists: tuple[ListFile, ...]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of the entries, sorted: (hosts, URLs). Read once a process."""
    hosts, urls = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for file in lists:
        keys, of_url = _entries(np.frombuffer(_content(file), np.uint8))
        hosts.append(keys[~of_url])
        urls.append(keys[of_url])
    return np.unique(np.concatenate(hosts)), np.unique(np.concatenate(urls))


def _content(file: ListFile) -> bytes:
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{file.path}: no deny-list here ({error.strerror}); put it on every machine") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise EnvironmentFault(f"{file.path}: the deny-list has sha256 {found}, not {file.sha256}; put it back")
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file.path}: damaged gzip file ({error})") from error


# Kernels

_SPACE, _HASH, _SLASH, _COLON, _AT, _DOT, _QUERY, _BRACKET = (np.uint8(ord(c)) for c in " #/:@.?]")
_NEWLINE = np.uint8(10)


def _entries(data: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The hash of each line of a list, and whether it is that of a URL."""
    n_lines = np.count_nonzero(data == _NEWLINE) + 1
    keys, of_url = np.empty(n_lines, np.uint64), np.empty(n_lines, np.bool_)
    n = _hash_entries(data, keys, of_url)
    return keys[:n], of_url[:n]


@njit(cache=True, nogil=True)
def _hash_entries(data, keys, of_url):  # type: ignore[no-untyped-def]
    n = start = 0
    while start < data.size:
        line_end = start
        while line_end < data.size and data[line_end] != _NEWLINE:
            line_end += 1
        end = start
        while end < line_end and data[end] != _HASH:
            end += 1
        while end > start and data[end - 1] <= _SPACE:
            end -= 1
        for i in range(start, end):  # the last word: in a hosts file, an address stands before it
            if data[i] <= _SPACE:
                start = i + 1
        if end - start >= 3 and data[start] == 0xEF and data[start + 1] == 0xBB and data[start + 2] == 0xBF:
            start += 3  # a byte order mark
        host_start, host_end, path, path_end = _parts(data, start, end)
        if host_end > host_start:
            keys[n] = _extend(_extend(FNV_BASIS, data, host_start, host_end), data, path, path_end)
            of_url[n] = path_end > path
            n += 1
        start = line_end + 1
    return n


@njit(cache=True, nogil=True)
def _covered(data, offsets, hosts, urls):  # type: ignore[no-untyped-def]
    """Which URLs are covered: uint8[n] of ``data`` (uint8), ``offsets`` (int64[n + 1]) and sorted hashes."""
    covered = np.zeros(offsets.size - 1, np.uint8)
    if hosts.size + urls.size == 0:
        return covered
    for i in range(covered.size):
        host_start, host_end, path, path_end = _parts(data, offsets[i], offsets[i + 1])
        covered[i] = _covers_host(data, host_start, host_end, hosts) or (
            urls.size > 0 and _covers_url(data, host_start, host_end, path, path_end, urls)
        )
    return covered


@njit(cache=True, nogil=True)
def _covers_host(data, start, end, hosts):  # type: ignore[no-untyped-def]
    for i in range(max(start, end - MAX_HOST_BYTES), end):
        at_label = i == start or data[i - 1] == _DOT
        if at_label and _among(_extend(FNV_BASIS, data, i, end), hosts):
            return True
    return False


@njit(cache=True, nogil=True)
def _covers_url(data, start, end, path, path_end, urls):  # type: ignore[no-untyped-def]
    key = _extend(FNV_BASIS, data, start, end)
    for i in range(path + 1, path_end + 1):
        if i == path_end or data[i] == _SLASH or data[i] == _QUERY:
            key = _extend(key, data, path, i)
            path = i
            if _among(key, urls):
                return True
    return False


@njit(cache=True, nogil=True)
def _parts(data, start, end):  # type: ignore[no-untyped-def]
    """Of the URL ``data[start:end]``, with or without scheme: (host, its end, path and query, their end)."""
    for i in range(start, min(end, start + 16) - 2):
        if data[i] == _COLON and data[i + 1] == _SLASH and data[i + 2] == _SLASH:
            start = i + 3
            break
        if data[i] == _SLASH or data[i] == _DOT:
            break
    path = start
    while path < end and data[path] not in (_SLASH, _QUERY, _HASH):
        path += 1
    host_end = path
    for i in range(start, path):
        if data[i] == _AT:
            start = i + 1
    for i in range(path - 1, start - 1, -1):
        if data[i] == _COLON:
            host_end = i
        if not 48 <= data[i] <= 57:
            break
    while host_end > start and data[host_end - 1] == _DOT:
        host_end -= 1
    if host_end - start > 4 and data[start + 3] == _DOT and _is_w(data[start : start + 3]):
        start += 4
    path_end = path
    while path_end < end and data[path_end] != _HASH:
        path_end += 1
    while path_end > path and data[path_end - 1] == _SLASH:
        path_end -= 1
    return start, host_end, path, path_end


@njit(cache=True, nogil=True)
def _is_w(letters):  # type: ignore[no-untyped-def]
    for letter in letters:  # noqa: SIM110 - no generators in a kernel
        if letter not in (87, 119):
            return False
    return True


@njit(cache=True, nogil=True)
def _extend(key, data, start, end):  # type: ignore[no-untyped-def]
    """FNV-1a, begun with ``key``, over ``data[start:end]`` in lower case."""
    for i in range(start, end):
        byte = data[i]
        key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * FNV_PRIME
    return key


@njit(cache=True, nogil=True)
def _among(key, keys):  # type: ignore[no-untyped-def]
    place = np.searchsorted(keys, key)
    return place < keys.size and keys[place] == key
