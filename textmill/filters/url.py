"""Deny-lists of domains, hosts and URLs, for example the University of Toulouse's (UT1), which FineWeb uses.

A list is a text file, packed with gzip or not, with an entry a line; "#" at the start of a line or after whitespace
begins a comment. A line of anything else, such as a blocker's pattern, is skipped and reported. A folder stands for the
files ``domains`` and ``urls`` in it and below (UT1's layout). What an entry covers:

- ``example.org``: this host and all below it, as do ``.example.org`` and ``*.example.org``. Every suffix of a page's
  host is looked up, so that no list of public suffixes is needed; an entry without a dot is a top-level domain. Lines
  of a hosts file (``0.0.0.0 ads.example``) too.
- ``example.org/about``: this URL of this host, with any query, and what lies below it (``/about/us``, not ``/abouts``).

Scheme, user, port, ``www.``, a trailing dot or slash, the fragment, and upper or lower case make no difference, on
either side. Escapes (``%7E``) and internationalised names (``xn--``) must be written as they stand in the pages' URLs.

The presets are FineWeb's and RefinedWeb's rules on URLs in their order, with `url_words` for the words. Not as
published, because it was not meant: datatrove compares URLs with a scheme to entries without one, which never match,
and does not lower-case the URL's words; DCLM leaves a dot where ``www`` was, so that no such host matches. Both compare
hosts as a whole (datatrove: and registered domains); here an entry covers the hosts below it, as UT1 means it.

An entry is kept as a 64-bit hash (FNV-1a): 8 bytes each, 40 MB for all of UT1, and one in 10^12 URLs is taken for an
entry of such a list by mistake. Cost on one busy core: 2.3 us a URL, with 1.1 million entries.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import distinct, inner, kernel
from textmill.filters import list_files, url_words
from textmill.filters.base import Preset, Rule, Scorer, failures, measure, named
from textmill.filters.list_files import ListFile
from textmill.filters.url_parts import MAX_HOST_BYTES, after_www, among, cut_url, domain_start, extend, suffix_rules
from textmill.text import FNV_BASIS, Documents, Segmentation

RULES = (Rule("url_denied", "url_denied", high=0, source="the deny-lists that were given"),)

COLUMNS = pa.schema(
    [
        pa.field("url_denied", pa.uint8(), nullable=False),  # 1 if a list covers the URL, by any of these entries:
        pa.field("url_denied_domain", pa.uint8(), nullable=False),  # its registered domain, or a suffix above that
        pa.field("url_denied_host", pa.uint8(), nullable=False),  # its host, or one between that and the domain
        pa.field("url_denied_url", pa.uint8(), nullable=False),  # the URL, or one above it on the same host
    ]
)
LIST_NAMES = ("domains", "urls", "domains.gz", "urls.gz")


@dataclass(frozen=True)
class UrlDenied(Scorer):
    """Whether one of the lists covers a page's URL. Errors, on first use: `EnvironmentFault` if a list has changed."""

    version: ClassVar[int] = 3
    inputs: ClassVar[tuple[str, ...]] = ("url",)

    lists: tuple[ListFile, ...] = ()

    @property
    def columns(self) -> pa.Schema:
        """The same for all lists."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        urls = Segmentation(documents.column("url"))
        hosts, entries = _load(self.lists)
        covered = np.zeros((len(COLUMNS), len(documents)), np.uint8)
        if hosts.size + entries.size:
            _find_covered(urls.data, urls.offsets, hosts, entries, *suffix_rules(), covered)
        return [pa.array(column) for column in covered]


def find_lists(paths: Iterable[str]) -> UrlDenied:
    """The scorer with the lists at ``paths``: files, or folders of them. Warns of lines that are no entries.

    Errors: `InputError` for a list that cannot be read.
    """
    files = [file for path in paths for file in list_files.files_at(Path(path), LIST_NAMES)]
    lists = tuple(list_files.identify(file) for file in files)
    for file in lists:
        _, _, n_bad, first = _entries(file)
        list_files.report_bad_lines(file, n_bad, first, "host or URL")
    return UrlDenied(lists)


_DENY_RULES = (
    Rule("url_domain", "url_denied_domain", high=0, source="FineWeb: UT1, registered domain"),
    Rule("url_host", "url_denied_host", high=0, source="FineWeb: UT1, host"),
    Rule("url_full", "url_denied_url", high=0, source="FineWeb: UT1, full URL"),
)
_STRICT, _HARD, _SOFT = url_words.RULES
PRESETS = {
    "url@fineweb": Preset(
        "url@fineweb",
        "FineWeb, arXiv 2406.17557; datatrove a649de7: domain, host, full URL, hard, soft, strict",
        (UrlDenied(), url_words.UrlWords()),
        (*_DENY_RULES, _HARD, _SOFT, _STRICT),
    ),
    "url@refinedweb": Preset(
        "url@refinedweb",
        "RefinedWeb, arXiv 2306.01116, as DCLM has it (361714b): domain, strict, hard, soft",
        (UrlDenied(), url_words.UrlWords()),
        (*RULES, _STRICT, _HARD, _SOFT),
    ),
}


def passes(url: str, preset: str = "url@fineweb", lists: Iterable[str] = (), words: Iterable[str] = ()) -> bool:
    """Whether one URL passes all rules of a preset, with the deny-lists and the word lists at these paths.

    Without ``words`` those of the package are used. Errors: `UnknownNameError`, `InputError`.
    """
    rules = named(PRESETS, preset).rules
    column = pa.array([url.encode("utf-8", "replace")], pa.large_binary()).cast(pa.large_string())
    scores = measure((find_lists(lists), url_words.find_words(words)), Documents(pa.table({"url": column})))
    return not failures(rules, scores).any()


@functools.lru_cache(maxsize=2)
def _load(lists: tuple[ListFile, ...]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of the entries, sorted: (hosts, URLs). Read once a process."""
    hosts, urls = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for file in lists:
        keys, of_url, _, _ = _entries(file)
        hosts.append(keys[~of_url])
        urls.append(keys[of_url])
    return distinct(np.concatenate(hosts)), distinct(np.concatenate(urls))


def _entries(file: ListFile) -> tuple[NDArray[np.uint64], NDArray[np.bool_], int, int]:
    """The hash of each entry, whether it is that of a URL; how many lines hold none, and the number of the first."""
    data = np.frombuffer(list_files.read(file), np.uint8)
    n_words = np.count_nonzero(data <= _SPACE) + 1
    keys, of_url = np.empty(n_words, np.uint64), np.empty(n_words, np.bool_)
    n, n_bad, first = _hash_entries(data, keys, of_url)
    return keys[:n], of_url[:n], n_bad, first


# Kernels

_SPACE, _HASH, _SLASH, _DOT, _QUERY, _COLON, _STAR = (np.uint8(ord(c)) for c in " #/.?:*")
_NEWLINE = np.uint8(10)
_IN_HOST = np.zeros(256, np.bool_)
_IN_HOST[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.[]:")] = True
_IN_HOST[0x80:] = True


@kernel
def _hash_entries(data, keys, of_url):  # type: ignore[no-untyped-def]
    """Writes the entries. Returns how many, how many lines hold something else, and the number of the first of them."""
    n = start = line = n_bad = first = 0
    while start < data.size:
        line += 1
        begin, end, line_end = _cut_line(data, start)
        i = _names_start(data, begin, end)
        of_hosts_file, is_bad = i > begin, False
        while i < end:
            stop = _word_end(data, i, end) if of_hosts_file else end
            host, host_end, path, path_end = _cut_entry(data, i, stop)
            if host_end > host:
                keys[n] = extend(extend(FNV_BASIS, data, host, host_end), data, path, path_end)
                of_url[n] = path_end > path
                n += 1
            else:
                is_bad = True
            i = _gap_end(data, stop, end)
        if is_bad:
            n_bad += 1
            first = line if n_bad == 1 else first
        start = line_end + 1
    return n, n_bad, first


@inner
def _cut_line(data, start):  # type: ignore[no-untyped-def]
    """Of the line from ``start`` on: where what it holds begins and ends, without a comment, and where it ends."""
    line_end = start
    while line_end < data.size and data[line_end] != _NEWLINE:
        line_end += 1
    if line_end - start >= 3 and data[start] == 0xEF and data[start + 1] == 0xBB and data[start + 2] == 0xBF:
        start += 3  # a byte order mark
    begin = _gap_end(data, start, line_end)
    end = begin
    while end < line_end and not (data[end] == _HASH and (end == begin or data[end - 1] <= _SPACE)):
        end += 1
    while end > begin and data[end - 1] <= _SPACE:
        end -= 1
    return begin, end, line_end


@inner
def _names_start(data, start, end):  # type: ignore[no-untyped-def]
    """Where the names begin in a line of a hosts file, behind the address; ``start`` if there is none."""
    stop = _word_end(data, start, end)
    is_address = False
    for i in range(start, stop):
        if data[i] == _DOT or data[i] == _COLON:
            is_address = True
        elif not (48 <= data[i] <= 57 or 97 <= data[i] | 32 <= 102):
            return start
    return _gap_end(data, stop, end) if is_address and stop < end else start


@inner
def _cut_entry(data, start, end):  # type: ignore[no-untyped-def]
    """`cut_url` for an entry, without ``www.``, ``*.`` and ``.`` before it; the host is empty if it is no entry.

    The fragment of a front page (``example.org/#x``) is none: the host as a whole is not meant.
    """
    host, host_end, path, path_end = cut_url(data, start, end)
    if host_end - host > 2 and data[host] == _STAR and data[host + 1] == _DOT:
        host += 2
    elif host_end > host and data[host] == _DOT:
        host += 1
    host = after_www(data, host, host_end)
    for i in range(host, host_end):
        if not _IN_HOST[data[i]]:
            return host, host, path, path_end
    for i in range(path, end):
        if data[i] <= _SPACE or (data[i] == _HASH and i > path == path_end):
            return host, host, path, path_end
    return host, host_end, path, path_end


@inner
def _word_end(data, i, end):  # type: ignore[no-untyped-def]
    while i < end and data[i] > _SPACE:
        i += 1
    return i


@inner
def _gap_end(data, i, end):  # type: ignore[no-untyped-def]
    while i < end and data[i] <= _SPACE:
        i += 1
    return i


@kernel
def _find_covered(data, offsets, hosts, urls, keys, kinds, covered):  # type: ignore[no-untyped-def]
    """Marks the URLs that an entry covers: ``covered`` [columns, URLs], by sorted hashes of ``hosts`` and ``urls``."""
    for i in range(len(offsets) - 1):
        start, end, path, path_end = cut_url(data, offsets[i], offsets[i + 1])
        domain = domain_start(data, start, end, keys, kinds)
        bare = after_www(data, start, end)
        by_domain, by_host = _covers_host(data, bare, end, hosts, domain)
        by_url = urls.size > 0 and _covers_url(data, bare, end, path, path_end, urls)
        covered[0, i] = by_domain or by_host or by_url
        covered[1, i], covered[2, i], covered[3, i] = by_domain, by_host, by_url


@kernel
def _covers_host(data, start, end, hosts, domain):  # type: ignore[no-untyped-def]
    """Whether an entry is the registered domain, which begins at ``domain``, or above it; and whether one is below."""
    by_domain = by_host = False
    for i in range(max(start, end - MAX_HOST_BYTES), end):
        at_label = i == start or data[i - 1] == _DOT
        if at_label and among(extend(FNV_BASIS, data, i, end), hosts):
            by_domain |= i >= domain
            by_host |= i < domain
    return by_domain, by_host


@kernel
def _covers_url(data, start, end, path, path_end, urls):  # type: ignore[no-untyped-def]
    key = extend(FNV_BASIS, data, start, end)
    for i in range(path + 1, path_end + 1):
        if i == path_end or data[i] == _SLASH or data[i] == _QUERY:
            key = extend(key, data, path, i)
            path = i
            if among(key, urls):
                return True
    return False
