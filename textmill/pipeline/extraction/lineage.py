"""What stands around each block, worked out once for every element from the top of the page down.

Walking up from every block again, for each question that `features` asks, took half as long as all features.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import copy_bytes, glue, inlined, inner
from textmill.pipeline.extraction.markup import TAGS, tag, tags_of

LANDMARKS: Final = "article main nav header footer aside section form figure table li td".split()
N_LEVELS: Final = 5
MAX_UP: Final = 48  # ancestors looked at, the element itself included
FAR: Final = 40  # levels up to what is not there

_ROW: Final = 16  # numbers of a trail: a place for each landmark, then
LISTS, TABLES, _NOWHERE = len(LANDMARKS), len(LANDMARKS) + 1, _ROW - 1


_LANDMARK: Final = np.full(len(TAGS), _NOWHERE, np.uint8)
for _place, _name in enumerate(LANDMARKS):
    _LANDMARK[tag(_name)] = _place
_LANDMARK[tag("th")] = _LANDMARK[tag("td")]
_LANDMARK[tag("figcaption")] = _LANDMARK[tag("figure")]
_COUNTED: Final = np.full(len(TAGS), _NOWHERE, np.uint8)
_COUNTED[tags_of("ul ol")], _COUNTED[tag("table")] = LISTS, TABLES
_IS_BLOCK: Final = np.zeros(len(TAGS), np.bool_)
_IS_BLOCK[
    tags_of(
        "html body div p ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 h4 h5 h6 article main "
        "section aside header footer nav form fieldset figure figcaption blockquote pre address details summary center "
        "menu dialog"
    )
] = True


class Lineage(NamedTuple):
    """What stands around blocks and elements. The number of elements stands for none, and has a row of its own."""

    element: NDArray[np.int32]  # [blocks]: the innermost one
    nearest: NDArray[np.int32]  # [blocks]: the innermost that is block-level, however far up
    around: NDArray[np.int32]  # [blocks, N_LEVELS]: the innermost that are, none beyond `MAX_UP`
    holds: NDArray[np.bool_]  # [elements + 1]: whether a block begins in it
    depth: NDArray[np.int32]  # [elements + 1]: of the elements around it, itself included
    trail: NDArray[np.uint8]  # [elements + 1, 16]: the `place` of the last of each landmark; numbers of lists, tables


@glue
def lineage(markup):  # type: ignore[no-untyped-def]
    """The lineage of a page, for kernels."""
    n_blocks, n = markup.block_element.size, markup.parent.size
    element, nearest = np.empty(n_blocks, np.int32), np.empty(n_blocks, np.int32)
    around = np.empty((n_blocks, N_LEVELS), np.int32)
    holds, depth, trail = np.zeros(n + 1, np.bool_), np.empty(n + 1, np.int32), np.empty((n + 1, _ROW), np.uint8)
    at, above = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32)
    _trace(markup.parent, markup.tag, at, above, depth, trail)
    _place_blocks(markup.block_element, markup.parent, at, above, depth, element, nearest, around, holds)
    return Lineage(element, nearest, around, holds, depth, trail)


@inner
def _trace(parent, tags, at, above, depth, trail):  # type: ignore[no-untyped-def]
    """Fills depth, trail, and the nearest block-level element at (``at``) and above each element."""
    n = np.uint64(parent.size)
    flat = trail.reshape(trail.size)
    at[n] = above[n] = n
    depth[n] = 0
    for k in range(_ROW):
        trail[n, k] = 0
    for i in range(parent.size):
        e = np.uint64(i)
        up = np.uint64(parent[e]) if parent[e] >= 0 else n
        depth[e] = depth[up] + 1
        above[e] = at[up]
        at[e] = i if _IS_BLOCK[tags[e]] else at[up]
        if depth[e] <= MAX_UP:
            copy_bytes(flat, int(e * np.uint64(_ROW)), flat, int(up * np.uint64(_ROW)), _ROW)
            trail[e, _LANDMARK[tags[e]]] = depth[e]
            trail[e, _COUNTED[tags[e]]] += np.uint8(1)
        else:
            _trace_up(parent, tags, e, trail)


@inner
def _trace_up(parent, tags, e, trail):  # type: ignore[no-untyped-def]
    """The trail of an element so deep that it does not reach back to the root."""
    for k in range(_ROW):
        trail[e, k] = 0
    up = e
    for place in range(MAX_UP, 0, -1):
        this = tags[up]
        if trail[e, _LANDMARK[this]] == 0:
            trail[e, _LANDMARK[this]] = place
        trail[e, _COUNTED[this]] += np.uint8(1)
        up = np.uint64(parent[up])


@inner
def _place_blocks(block_element, parent, at, above, depth, element, nearest, around, holds):  # type: ignore[no-untyped-def]
    """Fills element, level, around and holds."""
    n = parent.size
    for b in range(block_element.size):
        e = np.uint64(block_element[b]) if block_element[b] >= 0 else np.uint64(n)
        element[b] = e
        nearest[b] = at[e]
        up = np.uint64(at[e])
        for k in range(N_LEVELS):
            if depth[e] - depth[up] >= MAX_UP:
                up = np.uint64(n)
            around[b, k] = up
            up = np.uint64(above[up])
        i = int(block_element[b])
        while i >= 0 and not holds[i]:
            holds[i] = True
            i = int(parent[i])


@inlined
def place(depth):  # type: ignore[no-untyped-def]
    """Where an element of this depth stands on its own trail."""
    return min(depth, np.int32(MAX_UP))


@inner
def end_of(depth, e):  # type: ignore[no-untyped-def]
    """The first element behind those within element e, which follow it; 0 if e is none (-1)."""
    if e < 0:
        return 0
    end = e + 1
    while depth[end] > depth[e]:
        end += 1
    return end


@inlined
def levels_to(depth, e, other, end):  # type: ignore[no-untyped-def]
    """How many levels above element e the element ``other`` stands, whose ``end_of`` is ``end``; `FAR` if it does not
    hold e."""
    levels = int(depth[e]) - int(depth[other]) if other <= e < end else FAR
    return levels if levels < MAX_UP else FAR
