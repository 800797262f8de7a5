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
