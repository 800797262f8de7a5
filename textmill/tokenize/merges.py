"""From the counts of pretokens to the merges of a byte-pair encoding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from textmill.errors import UnknownNameError, UserError
from textmill.tokenize import merge_index as index
from textmill.tokenize import merge_kernels as kernels
from textmill.tokenize.merge_index import N_PAIRS, N_SYMBOLS, N_TOKENS, NO_PAIR, STATE_SIZE, Pairs
from textmill.tokenize.merge_kernels import DONE, FULL, FIRST, Neighbours
from textmill.tokenize.merge_queue import Queue
from textmill.tokenize.merge_text import N_BYTES, lay_out

TIE_BREAKS = {"bytes": kernels.BYTES, "ids": kernels.IDS, "first": kernels.FIRST}
SLICE_PLACES = 1 << 21
N_BOUNDS = 1 << 20
SHARE = 64


def train_merges(arena, starts, counts, n_merges, tie_break="bytes", on_merge=None, first_floor=None, verbose=False):
    if tie_break not in TIE_BREAKS:
        raise UnknownNameError("tie-break", tie_break, TIE_BREAKS)
    trainer = Trainer(arena, starts, counts, n_merges, TIE_BREAKS[tie_break])
    floor = first_floor or max(1, int(trainer.state[N_SYMBOLS]) // (SHARE * max(n_merges, 1)))
    import time
    first = True
    while True:
        t = time.process_time()
        trainer.index(floor, first)
        t1 = time.process_time()
        trainer.merge(floor, on_merge)
        if verbose:
            print("floor", floor, "index", round(t1 - t, 3), "merge", round(time.process_time() - t1, 3), "tokens", trainer.state[N_TOKENS], "pairs", trainer.state[N_PAIRS], "pos", trainer.pairs.start[trainer.state[N_PAIRS]])
        if floor == 1 or trainer.state[N_TOKENS] == N_BYTES + trainer.n_merges:
            break
        floor = max(1, floor // 8)
        first = False
    n = int(trainer.state[N_TOKENS]) - N_BYTES
    return trainer.merges[0, :n], trainer.merges[1, :n], trainer.n_symbols[:n]


class Trainer:
    def __init__(self, arena, starts, counts, n_merges, rule):
        self.rule = rule
        self.n_merges = n_merges = min(n_merges, max(int(starts[-1]-starts[0]) - 1, 0))
        self.text, self.spelling = lay_out(arena, starts, counts, N_BYTES + n_merges, rule == FIRST)
        self.state = np.zeros(STATE_SIZE, np.int64)
        self.state[N_TOKENS] = N_BYTES
        self.state[N_SYMBOLS] = int(counts @ np.diff(starts))
        self.merges = np.empty((2, n_merges), np.int32)
        self.n_symbols = np.empty(n_merges, np.int64)

    def index(self, floor, first):
        if first:
            bounds = np.full(1, floor, np.int64)
        else:
            bounds = np.zeros(N_BOUNDS, np.int64)
            index.bound_counts(self.text, self.spelling.length, bounds)
        self.state[N_PAIRS] = 0
        size = 1 << 14
        self.pairs = Pairs(np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.int64),
                           np.full(4 * size, NO_PAIR, np.int32), np.empty(3 * len(self.text.cells), np.uint32))
        cell = 0
        while (cell := index.count_pairs(self.text, self.spelling.length, bounds, floor, self.pairs, self.state, cell)) < len(self.text.cells):
            self.grow(0)
        most = index.allot(self.pairs, self.state[N_PAIRS], floor)
        index.place_pairs(self.text, self.spelling.length, floor, self.pairs, self.state[N_PAIRS])
        n = N_BYTES + self.n_merges + 2
        self.near = Neighbours(np.zeros((n, 4), np.int64), np.empty((2, n), np.int32), np.empty((most, 2), np.int32))
        size = len(self.pairs.count)
        self.queue = Queue(np.empty(size, np.int64), np.empty(size, np.uint64), np.empty(size, np.int32), np.empty((size, 2), np.int32))
        kernels.queue_pairs(self.spelling, self.pairs, self.queue, self.state, self.rule, floor)

    def grow(self, n_new):
        p = self.pairs
        size = len(p.count)
        while size < len(p.count) + n_new + 1:
            size *= 2
        size = max(size, 2 * len(p.count))
        g = lambda a: np.concatenate([a, np.empty((size - len(a), *a.shape[1:]), a.dtype)])
        self.pairs = Pairs(g(p.left), g(p.right), g(p.count), g(p.start), np.full(4 * size, NO_PAIR, np.int32), p.positions)
        index.fill_slots(self.pairs, self.state[N_PAIRS])
        if n_new:
            self.queue = Queue(*map(g, self.queue))

    def merge(self, floor, on_merge):
        while True:
            status = kernels.merge_some(self.text, self.spelling, self.pairs, self.queue, self.near, self.state, self.rule, floor,
                SLICE_PLACES, self.merges, self.n_symbols)
            if on_merge:
                on_merge(int(self.state[N_TOKENS]) - N_BYTES)
            if status == DONE:
                return
            if status == FULL:
                self.grow(2 * (N_BYTES + self.n_merges))
