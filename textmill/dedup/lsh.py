"""Locality-sensitive hashing: from the band hashes of documents to candidate pairs, in linear time and bounded memory.

Documents that share the hash of a band are candidates (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets,
3.4). Of a group of k such documents not all k(k-1)/2 pairs are made but at most 2(k-1): a *star* from the smallest id
to every other, and a *chain* along neighbouring ids. The star alone would connect the group if every pair held; but
pairs are verified afterwards, and where the smallest id landed in the group by chance all edges of the star fall away.
The chain still ties the others together. So each document has at most two pairs a band with smaller ids.

The hashes of a band come sorted, block by block (see `records`), so a group may be of any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.dedup.records import Block

NO_BAND = 0  # the band hash of a document without shingles; it is equal to nothing, not even to itself


def candidate_pairs(band: Iterable[Block], chain: bool = True) -> Iterator[Block]:
    """Pairs of documents to compare, (larger id, smaller id), of sorted (hash, id) records of one band.

    A pair may come twice. Without ``chain``, only the star: enough where pairs are not verified.
    """
    group = np.zeros(3, np.uint64)  # hash, smallest id and last id of the group at hand
    for hashes, ids in band:
        larger, smaller = np.empty((2, 2 * len(ids)), np.uint64)
        n = _link(hashes, ids, chain, group, larger, smaller)
        yield larger[:n], smaller[:n]


@kernel
def _link(
    hashes: NDArray[np.uint64],
    ids: NDArray[np.uint64],
    chain: bool,
    group: NDArray[np.uint64],
    larger: NDArray[np.uint64],
    smaller: NDArray[np.uint64],
) -> int:
    """Writes the pairs of a block; returns their number. ``group`` goes on from block to block."""
    n = 0
    value, first, last = group
    for i in range(len(ids)):
        if hashes[i] == NO_BAND or hashes[i] != value:
            value, first = hashes[i], ids[i]
        elif ids[i] != last:
            larger[n], smaller[n] = ids[i], first
            n += 1
            if chain and last != first:
                larger[n], smaller[n] = ids[i], last
                n += 1
        last = ids[i]
    group[:] = value, first, last
    return n


def probability(similarity: float, bands: int, rows: int) -> float:
    """The chance that two documents of this Jaccard similarity share a band: ``1 - (1 - similarity**rows)**bands``."""
    return 1.0 - (1.0 - similarity**rows) ** bands
