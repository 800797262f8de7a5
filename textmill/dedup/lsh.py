"""Locality-sensitive hashing: from the band hashes of documents to candidate pairs, in linear time.

Documents that share the hash of a band are candidates (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets,
3.4). Of a group of k such documents not all k(k-1)/2 pairs are made but at most 2(k-1): a *star* from the smallest id
to every other, and a *chain* along neighbouring ids. The star alone would connect the group if every pair held; but
pairs are verified afterwards, and where the smallest id landed in the group by chance all edges of the star fall away.
The chain still ties the others together.

One band at a time, in memory: a million documents take half a second, ten million that are all equal, the worst case,
under 20 s and 1.7 GB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_BAND = 0  # the band hash of a document without shingles; it is equal to nothing, not even to itself


def candidate_pairs(band: NDArray[np.uint64], doc_ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Pairs of documents to compare, for one band: uint64 [m, 2], smaller id first, sorted, each pair once.

    ``band`` holds the documents' hashes of this band and ``doc_ids`` their ids, in any order; both have shape [n]. The
    result depends only on the set of (hash, id) given.
    """
    has_band = band != NO_BAND
    band, doc_ids = band[has_band], doc_ids[has_band]
    order = np.lexsort((doc_ids, band))
    band, doc_ids = band[order], doc_ids[order]

    joins_previous = np.flatnonzero(band[1:] == band[:-1]) + 1
    chain = np.stack([doc_ids[joins_previous - 1], doc_ids[joins_previous]], axis=1)
    star = np.stack([doc_ids[_group_starts(band)[joins_previous]], doc_ids[joins_previous]], axis=1)
    return unique_pairs(np.concatenate([star, chain]))


def unique_pairs(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The pairs [m, 2] sorted, each once, without those of a document and itself. Merges the pairs of several bands."""
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    is_new = np.ones(len(pairs), dtype=np.bool_)
    is_new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[is_new]


def probability(similarity: float, bands: int, rows: int) -> float:
    """The chance that two documents of this Jaccard similarity share a band: ``1 - (1 - similarity**rows)**bands``."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def _group_starts(sorted_band: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each place in the sorted hashes, the first place that holds the same hash."""
    places = np.arange(len(sorted_band), dtype=np.int64)
    places[1:][sorted_band[1:] == sorted_band[:-1]] = 0
    return np.maximum.accumulate(places)
