"""What a URL is made of, and the registered domain of its host.

The registered domain is what somebody can buy: one label more than a public suffix (``bbc.co.uk``; publicsuffix.org).
The suffixes are those under ICANN's rules in the copy that tldextract brings, so ``a.blogspot.com`` has the domain
``blogspot.com``; nothing is ever downloaded. As the list's own rules have it, any last label is a suffix if no rule
fits (tldextract then gives no domain at all). Names are in lower case (ASCII) and otherwise as they stand in the URL:
``xn--p1ai`` and ``рф`` are both known, and are two names. An address (IPv4, IPv6), a host that is a public suffix, or
more than 255 bytes long, has "" as its domain.

Cost on one busy core: .6 us a URL.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.filters.base import Scorer
from textmill.text import FNV_BASIS, FNV_PRIME, Documents, Segmentation

COLUMNS = pa.schema(
    [
        pa.field("url_registered_domain", pa.string(), nullable=False),
        pa.field("url_tld", pa.string(), nullable=False),  # the last label: "uk"
    ]
)
MAX_HOST_BYTES = 255  # RFC 1035, 2.3.4
MAX_SUFFIX_LABELS = 5  # the longest rules have 4, and "*." adds one

# Kinds of rules of the public suffix list
_PLAIN, _WILDCARD, _EXCEPTION = np.uint8(1), np.uint8(2), np.uint8(4)
_SLASH, _COLON, _AT, _DOT, _QUERY, _HASH, _BRACKET = (np.uint8(ord(c)) for c in "/:@.?#[")


@dataclass(frozen=True)
class UrlParts(Scorer):
    """The registered domain and the top-level domain of a page's URL, "" where there is none."""

    inputs: ClassVar[tuple[str, ...]] = ("url",)

    @property
    def columns(self) -> pa.Schema:
        """Always the same."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        urls = Segmentation(documents.column("url"))
        domains, tlds = np.empty((2, len(urls.offsets) - 1, 2), np.int64)
        _find_names(urls.data, urls.offsets, *suffix_rules(), domains, tlds)
        return [_lowered(urls.data, domains), _lowered(urls.data, tlds)]


def _lowered(data: NDArray[np.uint8], spans: NDArray[np.int64]) -> pa.StringArray:
    """Those pieces of ``data``, in lower case."""
    offsets = np.zeros(len(spans) + 1, np.int32)
    np.cumsum(spans[:, 1] - spans[:, 0], out=offsets[1:])
    names = np.empty(offsets[-1], np.uint8)
    _copy_lowered(data, spans, offsets, names)
    return pa.StringArray.from_buffers(len(spans), pa.py_buffer(offsets), pa.py_buffer(names))


@functools.cache
def suffix_rules() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Hashes of the names in the list of public suffixes, sorted, and which kinds of rules each has; 20 ms, once.

    Both the Unicode and the ASCII form (``xn--``) of a name are there.
    """
    kinds: dict[bytes, np.uint8] = {}
    for rule in icann_rules():
        kind = _WILDCARD if rule[0] == "*" else _EXCEPTION if rule[0] == "!" else _PLAIN
        name = rule.removeprefix("*.").removeprefix("!")
        for form in {name.encode(), name.encode("ascii" if name.isascii() else "idna")}:
            kinds[form] = kinds.get(form, np.uint8(0)) | kind
    names = np.array(list(kinds), bytes)
    keys = np.full(len(names), FNV_BASIS)
    by_place = names.view(np.uint8).reshape(len(names), -1).T  # the first letter of each, the second, ...; 0 behind
    for letters in by_place:
        keys = np.where(letters > 0, (keys ^ letters) * FNV_PRIME, keys)
    order = np.argsort(keys)
    return keys[order], np.array(list(kinds.values()), np.uint8)[order]


def icann_rules() -> list[str]:
    """The rules under ICANN's heading in tldextract's copy. Without tldextract itself, which takes .2 s to import."""
    import importlib.metadata

    snapshot = importlib.metadata.distribution("tldextract").locate_file("tldextract/.tld_set_snapshot")
    text = Path(str(snapshot)).read_text("utf-8")
    return re.findall(r"^[.*!]*\w\S*", text.partition("// ===BEGIN PRIVATE DOMAINS===")[0], re.MULTILINE)


# Kernels


@kernel
def _find_names(data, offsets, keys, kinds, domains, tlds):  # type: ignore[no-untyped-def]
    """Writes where in ``data`` the registered domain and the top-level domain of each URL begin and end."""
    for i in range(len(offsets) - 1):
        start, end, _, _ = cut_url(data, offsets[i], offsets[i + 1])
        domain = domain_start(data, start, end, keys, kinds)
        domains[i, 0], domains[i, 1] = domain, end
        tlds[i, 0], tlds[i, 1] = label_start(data, start, end) if _is_name(data, start, end) else end, end


@kernel
def domain_start(data, start, end, keys, kinds):  # type: ignore[no-untyped-def]
    """Where the registered domain of the host ``data[start:end]`` begins; ``end`` if it has none."""
    if not _is_name(data, start, end):
        return end
    label = suffix = label_start(data, start, end)  # the last label, unless a rule says otherwise
    for _ in range(MAX_SUFFIX_LABELS):
        kind = _kind_of(data, label, end, keys, kinds)
        if kind & _EXCEPTION:
            return label
        if kind & _PLAIN:
            suffix = label
        if label == start:
            break
        label = label_start(data, start, label - 1)
        if kind & _WILDCARD and not _kind_of(data, label, end, keys, kinds) & _EXCEPTION:
            suffix = label
    return end if suffix == start else label_start(data, start, suffix - 1)


@kernel
def _kind_of(data, start, end, keys, kinds):  # type: ignore[no-untyped-def]
    key = extend(FNV_BASIS, data, start, end)
    place = np.searchsorted(keys, key)
    return kinds[place] if place < keys.size and keys[place] == key else np.uint8(0)


@kernel
def label_start(data, start, end):  # type: ignore[no-untyped-def]
    """Where the last label of ``data[start:end]`` begins."""
    while end > start and data[end - 1] != _DOT:
        end -= 1
    return end


@kernel
def _is_name(data, start, end):  # type: ignore[no-untyped-def]
    """Whether a host is a name, neither too long nor an address: in brackets, or with a number as its last label."""
    if start == end or end - start > MAX_HOST_BYTES or data[start] == _BRACKET:
        return False
    for i in range(label_start(data, start, end), end):  # noqa: SIM110 - no generators in a kernel
        if not 48 <= data[i] <= 57:
            return True
    return False


@kernel
def cut_url(data, start, end):  # type: ignore[no-untyped-def]
    """Of the URL ``data[start:end]``, with or without scheme: (host, its end, path and query, their end).

    Without user, port, trailing dots and slashes, and the fragment.
    """
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
    path_end = path
    while path_end < end and data[path_end] != _HASH:
        path_end += 1
    while path_end > path and data[path_end - 1] == _SLASH:
        path_end -= 1
    return start, host_end, path, path_end


@kernel
def after_www(data, start, end):  # type: ignore[no-untyped-def]
    """Where the host ``data[start:end]`` begins without its "www."."""
    if end - start <= 4 or data[start + 3] != _DOT:
        return start
    for i in range(start, start + 3):
        if data[i] not in (87, 119):
            return start
    return start + 4


@kernel
def extend(key, data, start, end):  # type: ignore[no-untyped-def]
    """FNV-1a, begun with ``key``, over ``data[start:end]`` in lower case (ASCII)."""
    for i in range(start, end):
        key = (key ^ np.uint64(_lower(data[i]))) * FNV_PRIME
    return key


@kernel
def _lower(byte):  # type: ignore[no-untyped-def]
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def among(key, keys):  # type: ignore[no-untyped-def]
    """Whether ``key`` is one of the sorted ``keys``."""
    place = np.searchsorted(keys, key)
    return place < keys.size and keys[place] == key


@kernel
def _copy_lowered(data, spans, offsets, out):  # type: ignore[no-untyped-def]
    for k in range(len(spans)):
        for i in range(offsets[k + 1] - offsets[k]):
            out[offsets[k] + i] = _lower(data[spans[k, 0] + i])
