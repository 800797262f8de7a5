"""Exact duplicates: a 128-bit hash of the text, in which runs of whitespace count as one space.

Whitespace is what `str.split` splits at; at the ends of the text it does not count at all. The hash is BLAKE2b, a
cryptographic one: with a weaker hash somebody could publish a page that collides with another's and so have that one
removed. Hashes 90 MB of text a second on one core, most of it the time to split. Reading the page costs far more, so
this is plain Python.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

HASH_BYTES = 16


def content_hashes(text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The upper and the lower 64 bits of each text's hash: two uint64 arrays of one value a document.

    Two texts have the same hash if and only if they are equal but for whitespace. Texts without any words are all equal
    to each other.
    """
    digests = b"".join(_digest(string) for string in text.to_pylist())
    halves = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return halves[:, 0].copy(), halves[:, 1].copy()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=HASH_BYTES).digest()


def equal_pairs(high: NDArray[np.uint64], low: NDArray[np.uint64], doc_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each document with an equal one of a smaller id, paired with the smallest: uint64 [m, 2], smaller id first.

    All three arrays have shape [n]; ``high`` and ``low`` are the halves that `content_hashes` gives. A group of k equal
    documents gives k - 1 pairs.
    """
    order = np.lexsort((doc_ids, low, high))
    high, low, doc_ids = high[order], low[order], doc_ids[order]
    begins_group = np.ones(len(doc_ids), dtype=np.bool_)
    begins_group[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    smallest = doc_ids[begins_group][np.cumsum(begins_group) - 1]
    return np.stack([smallest[~begins_group], doc_ids[~begins_group]], axis=1)
