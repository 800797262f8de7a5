"""Clusters of duplicates: the connected components of the graph of verified pairs.

Edges come in any number of parts, in any order. A part is reduced to its forest, which joins each document to the
smallest id that it is connected with, so k documents leave at most k - 1 edges; forests are merged by twos, as in a
binary counter, so that each edge goes through few merges. The root of a cluster is its smallest id, whatever the order.

Ids are compacted to those that appear in an edge. Memory: at most 150 bytes for each of them and 100 for each edge of
the largest part, most of it to sort them. A million edges take under a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import distinct, kernel
from textmill.dedup.records import Block


class _Forest(NamedTuple):
    """Nodes by id, ascending, and of each the place of its root."""

    ids: NDArray[np.uint64]
    roots: NDArray[np.int64]


def connected_components(parts: Iterable[Block]) -> Block:
    """The ids that appear in an edge, ascending, and for each the smallest id of its component.

    Each part holds the two ends of its edges.
    """
    counter: list[_Forest] = []  # the largest first
    for part in parts:
        forest = _forest(*part)
        while counter and len(counter[-1].ids) <= 2 * len(forest.ids):
            forest = _joined(counter.pop(), forest)
        counter.append(forest)
    forest = _Forest(np.empty(0, np.uint64), np.empty(0, np.int64))
    while counter:
        forest = _joined(counter.pop(), forest)
    return forest.ids, forest.ids[forest.roots]


def _forest(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> _Forest:
    """That of the edges from ``a`` to ``b``."""
    ids = distinct(np.concatenate([a, b]))
    roots = np.arange(len(ids))
    _union(np.searchsorted(ids, a), np.searchsorted(ids, b), roots)
    return _Forest(ids, roots)


def _joined(a: _Forest, b: _Forest) -> _Forest:
    """That of the edges of both."""
    place_a, place_b = np.empty(len(a.ids), np.int64), np.empty(len(b.ids), np.int64)
    ids = _merge(a.ids, b.ids, place_a, place_b)
    roots = np.arange(len(ids))
    _union(place_a, place_a[a.roots], roots)
    _union(place_b, place_b[b.roots], roots)
    return _Forest(ids, roots)


@kernel
def _merge(
    a: NDArray[np.uint64], b: NDArray[np.uint64], place_a: NDArray[np.int64], place_b: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """The different values of two ascending arrays, ascending; writes where each of them went."""
    merged = np.empty(len(a) + len(b), np.uint64)
    i = j = n = 0
    while i < len(a) or j < len(b):
        from_a = i < len(a) and (j == len(b) or a[i] <= b[j])
        from_b = j < len(b) and (i == len(a) or b[j] <= a[i])
        if from_a:
            merged[n], place_a[i] = a[i], n
            i += 1
        if from_b:
            merged[n], place_b[j] = b[j], n
            j += 1
        n += 1
    return merged[:n].copy()


@kernel
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


@kernel
def _find(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node
