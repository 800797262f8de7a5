"""Which blocks to keep, and the text that they make.

Kept are the blocks that maximise the expected F1 of the words kept. With probabilities p and words w, the best set is a
prefix of the blocks by falling p, and ends where p falls under half of the F1 that it reaches (Zhao et al. 2013,
"Beyond Fano's inequality"; Lipton et al. 2014, arXiv 1402.1892): a sure page keeps what is likelier than .5, an unsure
one more. Against one bound for all pages, that gained .003 of F1 on all pages with truth, and .006 on modern ones.

Blocks become paragraphs with a blank line between. List items are lines with a hyphen, indented by their depth; cells
of a row, if each holds one block, stand in one line between bars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import copy_bytes, inner, kernel, part
from textmill.pipeline.extraction.markup import Markup, tag

_LI, _TD, _TH, _TR, _TABLE, _UL, _OL = (tag(name) for name in ["li", "td", "th", "tr", "table", "ul", "ol"])
_DT, _DD = tag("dt"), tag("dd")


def choose(p: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which blocks to keep, [blocks], from probabilities and numbers of words."""
    return _choose(p, words)


def compose(markup: Markup, keep: NDArray[np.bool_]) -> bytes:
    """The text of the kept blocks, UTF-8."""
    return _compose(markup, keep).tobytes()


@kernel
def _choose(p, words):  # type: ignore[no-untyped-def]
    return best_set(p, words)


@kernel
def _compose(markup, keep):  # type: ignore[no-untyped-def]
    return written(markup, keep)


@part
def best_set(p, words):  # type: ignore[no-untyped-def]
    """`choose`, for kernels."""
    expected = np.float64(0)
    for b in range(p.size):
        expected += p[b] * words[b]
    best = hit = kept = 0.0
    for b in _falling(p):
        hit += p[b] * words[b]
        kept += words[b]
        best = max(best, 2 * hit / max(kept + expected, 1.0))
    keep = np.empty(p.size, np.bool_)
    for b in range(p.size):
        keep[b] = p[b] >= best / 2 and best > 0
    return keep


@part
def _falling(p):  # type: ignore[no-untyped-def]
    """The order of falling p, that is not negative; equal ones as they come. Sorted by a byte at a time, the last
    first: the bits of such floats are in the order of their values."""
    bits = p.view(np.uint32)
    order, sorted_ = np.empty(p.size, np.int64), np.empty(p.size, np.int64)
    for b in range(p.size):
        order[b] = b
    for shift in range(0, 32, 8):
        place = np.zeros(257, np.int64)
        for b in range(p.size):
            place[256 - (bits[b] >> np.uint32(shift) & np.uint32(255))] += 1
        for k in range(256):
            place[k + 1] += place[k]
        for b in order:
            k = 255 - (bits[b] >> np.uint32(shift) & np.uint32(255))
            sorted_[place[k]] = b
            place[k] += 1
        order, sorted_ = sorted_, order
    return order


@inner
def _around(e, parent, tags, first_block, end_block):  # type: ignore[no-untyped-def]
    """The list item, its depth, and the one-block cell, row and table around element e; -1 where there is none."""
    item = cell = row = table = -1
    depth = 0
    for _ in range(64):
        if e < 0:
            break
        this = tags[e]
        if this == _LI and item < 0 and table < 0:
            item = e
        elif (this == _UL or this == _OL) and table < 0:
            depth += 1
        elif (this == _TD or this == _TH) and cell < 0 and end_block[e] - first_block[e] == 1:
            cell = e
        elif this == _TR and row < 0:
            row = e
        elif this == _TABLE and table < 0:
            table = e
        e = parent[e]
    return item, depth, cell, row, table


@part
def written(markup, keep):  # type: ignore[no-untyped-def]
    """`compose`, for kernels: uint8 [bytes]."""
    text, element, parent, tags = markup.text, markup.block_element, markup.parent, markup.tag
    n_kept = 0
    for b in range(keep.size):
        n_kept += keep[b]
    out = np.empty(text.size + (8 + 2 * 64) * n_kept, np.uint8)
    k = 0
    item = cell = row = table = -1
    was_term = False
    for b in range(keep.size):
        if not keep[b]:
            continue
        item_, depth, cell_, row_, table_ = _around(element[b], parent, tags, markup.first_block, markup.end_block)
        term = element[b] >= 0 and (tags[element[b]] == _DT or tags[element[b]] == _DD)
        if k:
            if cell >= 0 and cell_ >= 0 and row == row_ and row >= 0:
                out[k], out[k + 1], out[k + 2] = 32, 124, 32
                k += 3
            elif (cell >= 0 and cell_ >= 0 and table == table_) or (item >= 0 and item_ >= 0) or (term and was_term):
                out[k] = 10
                k += 1
            else:
                out[k] = out[k + 1] = 10
                k += 2
        if item_ >= 0 and item_ != item:
            for _ in range(2 * (min(depth, 16) - 1)):
                out[k] = 32
                k += 1
            out[k], out[k + 1] = 45, 32
            k += 2
        start, end = markup.block_start[b], markup.block_end[b]
        while start < end and text[start] == 10:  # as code begins and ends
            start += 1
        while start < end and text[end - 1] <= 32:
            end -= 1
        copy_bytes(out, k, text, start, end - start)
        k += end - start
        item, cell, row, table, was_term = item_, cell_, row_, table_, term
    return out[:k]
