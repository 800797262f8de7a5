"""The text of BPE training as symbols: all different pretokens one behind the other, each with its weight. Kernels.

There is one cell for each byte, and one before each pretoken and at the end that holds `BOUNDARY`. A token's first
and last cell hold its symbol, which is its id plus `FIRST_SYMBOL`; what lies between is of no use. So a step to the
token behind is one addition of a length, and the token before is known from the cell before.

Pretokens that occur equally often lie together where that is allowed, so that few weights describe the whole text: they
are kept for runs of cells, with a coarse table that says in which run to begin. A weight for each cell would be two
thirds of all memory that a merge touches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, leaf

BOUNDARY, INSIDE, FIRST_SYMBOL = 0, 1, 2  # INSIDE: where a token began that has become the right half of another
BLOCK_BITS = 6  # the table of runs has an entry for 64 cells
_N_SORTED = 1 << 12  # counts from here on are not sorted: few pretokens have them


class Text(NamedTuple):
    """The cells (uint16 or uint32), and the runs of equal weight: where each ends, and the first of a block."""

    cells: NDArray[np.uint32]
    run_weight: NDArray[np.int64]
    run_end: NDArray[np.int64]
    run_of_block: NDArray[np.int32]


class Spelling(NamedTuple):
    """The bytes of symbol i: ``text[example[i] : example[i] + length[i]]``."""

    text: NDArray[np.uint8]
    example: NDArray[np.int64]
    length: NDArray[np.int64]


def lay_out(
    arena: NDArray[np.uint8], starts: NDArray[np.int64], counts: NDArray[np.int64], n_tokens: int, keep_order: bool
) -> tuple[Text, Spelling]:
    """The text of pretokens ``arena[starts[i] : starts[i + 1]]``, with room for ``n_tokens``."""
    n_cells = int(starts[-1] - starts[0]) + len(starts)
    n_symbols = n_tokens + FIRST_SYMBOL
    order = np.arange(len(counts)) if keep_order else _by_count(counts)
    text = Text(
        np.zeros(n_cells, np.uint16 if n_symbols <= 1 << 16 else np.uint32),
        np.empty(len(counts) + 1, np.int64),
        np.empty(len(counts) + 1, np.int64),
        np.empty((n_cells >> BLOCK_BITS) + 1, np.int32),
    )
    spelling = Spelling(np.zeros(n_cells, np.uint8), np.zeros(n_symbols, np.int64), np.ones(n_symbols, np.int64))
    n_runs = _write(arena, starts, counts, order, text, spelling)
    runs = text.run_weight[:n_runs].copy(), text.run_end[:n_runs].copy()
    return Text(text.cells, *runs, text.run_of_block), spelling


@leaf
def weight_of(text: Text, cell: int) -> int:
    """How often the pretoken of a cell occurs."""
    run = np.int64(text.run_of_block[cell >> BLOCK_BITS])
    while cell >= text.run_end[run]:
        run += 1
    return text.run_weight[run]


@kernel
def _by_count(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pretokens in order of their counts, as far as these are small."""
    place = np.zeros(_N_SORTED + 1, np.int64)
    for count in counts:
        place[min(count, _N_SORTED)] += 1
    place = np.cumsum(place) - place
    order = np.empty(len(counts), np.int64)
    for word in range(len(counts)):
        key = min(counts[word], _N_SORTED)
        order[place[key]] = word
        place[key] += 1
    return order


@kernel
def _write(
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    order: NDArray[np.int64],
    text: Text,
    spelling: Spelling,
) -> int:
    """Fills everything in; gives the number of runs."""
    n_runs = cell = 0
    last = np.int64(-1)
    for word in order:
        if counts[word] != last:
            n_runs += 1
            last = text.run_weight[n_runs - 1] = counts[word]
        cell += 1  # the boundary
        for i in range(starts[word], starts[word + 1]):
            symbol = np.int64(arena[i]) + FIRST_SYMBOL
            text.cells[cell], spelling.text[cell], spelling.example[symbol] = symbol, arena[i], cell
            cell += 1
        text.run_end[n_runs - 1] = cell
    run = 0
    for block in range(len(text.run_of_block)):
        while run + 1 < n_runs and text.run_end[run] <= block << BLOCK_BITS:
            run += 1
        text.run_of_block[block] = run
    return n_runs
