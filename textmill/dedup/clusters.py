"""Clusters of duplicates: the connected components of the graph of verified pairs.

Edges come in any number of parts, in any order. A part is reduced to its forest, which joins each document to the
smallest id that it is connected with, so k documents leave at most k - 1 edges; forests are merged by twos, as in a
binary counter, so that each edge goes through few merges. The root of a cluster is its smallest id, whatever the order.

Ids are compacted to those that appear in an edge. Memory: at most 150 bytes for each of them and 100 for each edge of
the largest part, most of it to sort them. A million edges take under a second.
"""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
from numpy.typing import NDArray

from textmill.dedup.records import Block


def connected_components(parts: Iterable[Block]) -> Block:
    """The ids that appear in an edge, ascending, and for each the smallest id of its component.

    Each part holds the two ends of its edges.
    """
    counter: list[Block] = []  # forests, the largest first
    for part in parts:
        forest = _forest(*part)
        while counter and len(counter[-1][0]) <= 2 * len(forest[0]):
            forest = _join(counter.pop(), forest)
        counter.append(forest)
    nothing = np.empty(0, np.uint64)
    forest = nothing, nothing
    while counter:
        forest = _join(counter.pop(), forest)
    return forest


def _join(a: Block, b: Block) -> Block:
    return _forest(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))


def _forest(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Block:
    """The ids of some edges, ascending, and their roots: edges again."""
    ids, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    parents = np.arange(len(ids), dtype=np.int64)
    _union(places[: len(a)], places[len(a) :], parents)
    return ids, ids[parents]


@numba.njit(cache=True, nogil=True)
def _union(a: NDArray[np.int64], b: NDArray[np.int64], parents: NDArray[np.int64]) -> None:
    """Joins the two ends of every edge; leaves in ``parents`` the root of each node.

    Union-find with path halving. The smaller root always wins.
    """
    for edge in range(len(a)):
        left = _find(parents, a[edge])
        right = _find(parents, b[edge])
        parents[max(left, right)] = min(left, right)
    for node in range(len(parents)):  # a parent is never larger than its child, so it is final already
        parents[node] = parents[parents[node]]


@numba.njit(cache=True, nogil=True)
def _find(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node
