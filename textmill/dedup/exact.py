"""Exact duplicates: a 128-bit hash of the text, in which runs of whitespace count as one space; and canonical URLs.

Whitespace is what `str.split` splits at; at the ends of the text it does not count at all. The hash is BLAKE2b, a
cryptographic one: with a weaker hash somebody could publish a page that collides with another's and so have that one
removed.
"""

from __future__ import annotations

import hashlib
import itertools
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import copy_bytes, kernel
from textmill.text import Segmentation

HASH_BYTES = 16
TRACKING = ("utm_", "gclid=", "fbclid=", "msclkid=", "mc_cid=", "mc_eid=")


def content_hashes(text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The upper and the lower 64 bits of each text's hash: two uint64 arrays of one value a document.

    Two texts have the same hash if and only if they are equal but for whitespace. Texts without any words are all equal
    to each other.
    """
    words = Segmentation(text).words
    joined = np.empty(int((words.end - words.start).sum()) + len(words.start), np.uint8)
    ends = _join(words.data, words.offsets, words.start, words.end, joined)
    data = joined.data
    bounds = itertools.pairwise([0, *ends.tolist()])
    digests = b"".join(hashlib.blake2b(data[start:end], digest_size=HASH_BYTES).digest() for start, end in bounds)
    halves = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return halves[:, 0].copy(), halves[:, 1].copy()


@kernel
def _join(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    joined: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Writes the words of each text with a space between; gives where each text ends."""
    ends = np.empty(len(offsets) - 1, np.int64)
    n = np.int64(0)
    for document in range(len(ends)):
        for word in range(offsets[document], offsets[document + 1]):
            if word > offsets[document]:
                joined[n] = ord(" ")
                n += 1
            copy_bytes(joined, n, data, start[word], end[word] - start[word])
            n += end[word] - start[word]
        ends[document] = n
    return ends


def canonical_url(url: str) -> str:
    """The same for URLs that as a rule name the same page; "" for what is no URL of the web.

    Scheme, ``www.``, default ports, upper case in the host, the fragment, a slash at the end, and parameters that only
    say where a visitor came from do not count; the order of the other parameters does not, either.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip(".").removeprefix("www."), parts.port
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not host:
        return ""
    query = [part for part in parts.query.split("&") if part and not part.lower().startswith(TRACKING)]
    where = host if port in (None, 80, 443) else f"{host}:{port}"
    return f"{where}{parts.path.rstrip('/')}" + ("?" + "&".join(sorted(query)) if query else "")
