"""Clusters of duplicates: the connected components of the graph of verified pairs.

Union-find with path halving, on ids compacted to those that appear in an edge. The smaller root always wins, so the
root of a cluster is its smallest id whatever the order of the edges. Memory: about 100 bytes an edge, most of it for
the compaction. A million edges take under a second, nearly all of it sorting.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


def connected_components(edges: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The ids that appear in ``edges`` (uint64 [m, 2]), ascending, and for each the smallest id of its component."""
    ids, places = np.unique(edges, return_inverse=True)
    parents = np.arange(len(ids), dtype=np.int64)
    _union(places.reshape(-1, 2), parents)
    return ids, ids[parents]


@numba.njit(cache=True, nogil=True)
def _union(edges: NDArray[np.int64], parents: NDArray[np.int64]) -> None:
    """Joins the two ends of every edge; leaves in ``parents`` the root of each node."""
    for edge in range(edges.shape[0]):
        a = _find(parents, edges[edge, 0])
        b = _find(parents, edges[edge, 1])
        parents[max(a, b)] = min(a, b)
    for node in range(parents.shape[0]):  # a parent is never larger than its child, so it is final already
        parents[node] = parents[parents[node]]


@numba.njit(cache=True, nogil=True)
def _find(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node
