"""Makes an n-gram model from texts: interpolated, modified Kneser-Ney, as KenLM's lmplz estimates it.

Sources: Chen and Goodman 1999 (modified Kneser-Ney); Heafield et al. 2013 (its order of work: counts, adjusted counts,
discounts, normalisation, interpolation; n-grams are pruned by count after the discounts are known). With the same
sentences and pruning, lmplz gives the same probabilities.

Memory is bounded: at most ``max_words`` words are used, at 180 bytes each (order 5). If the texts have more, lines are
drawn by their hash, so the same lines are used in whatever order the texts come; a line that occurs twice is drawn
twice or not at all. Cost: 6 s on one busy core for a million words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.errors import InputError, UserError
from textmill.filters.ngrams import (
    BEGIN,
    END,
    MAX_ORDER,
    NO_WORD,
    Header,
    Model,
    extend_left,
    find_slot,
    next_word,
    normal_forms,
    table_digest,
)
from textmill.text import Documents

MAX_WORDS = 10_000_000
ORDER = 5
PRUNED = (0, 0, 1)  # n-grams that occur no more often are left out, by order; the last one holds for all above
SLOTS_PER_NGRAM = 1.5
HEAD_PERCENTILE, MIDDLE_PERCENTILE = 30, 60  # cc_net's perplexity.py
_FALLBACK_DISCOUNTS = (0.0, 0.5, 1.0, 1.5)  # lmplz --discount_fallback: for texts too small to tell
_ALL = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Sentences:
    """Lines as hashes of words, each line with `END` after its last word."""

    words: NDArray[np.uint64]  # [words and ends]
    lengths: NDArray[np.int64]  # of the lines, ends included
    hashes: NDArray[np.uint64]  # of the lines

    def drawn(self, limit: np.uint64) -> Sentences:
        """The lines whose hash is at most ``limit``."""
        kept = self.hashes <= limit
        return Sentences(self.words[np.repeat(kept, self.lengths)], self.lengths[kept], self.hashes[kept])


def train(
    batches: Iterable[Documents], order: int = ORDER, max_words: int = MAX_WORDS, pruned: Sequence[int] = PRUNED
) -> Model:
    """A model of these texts. Errors: `UserError` for an order that is not possible, `InputError` without any word."""
    if not 1 <= order <= MAX_ORDER:
        raise UserError(f"order {order}: it must be from 1 to {MAX_ORDER}")
    sentences = sample(batches, max_words)
    if not len(sentences.words):
        raise InputError("no words in these texts; give text to train on")
    return estimate(sentences, [pruned[min(n, len(pruned) - 1)] for n in range(order)])


def calibrated(model: Model, batches: Iterable[Documents]) -> Model:
    """The model with the perplexities that part head, middle and tail of these texts. Errors: `InputError`."""
    found = [model.perplexities(documents) for documents in batches]
    values = np.concatenate([values[n_events > 0] for values, n_events in found]) if found else np.empty(0)
    if not len(values):
        raise InputError("no words in the texts to calibrate with")
    head, middle = np.percentile(values, [HEAD_PERCENTILE, MIDDLE_PERCENTILE])
    return replace(model, header=replace(model.header, head_below=float(head), middle_below=float(middle)))


def sample(batches: Iterable[Documents], max_words: int) -> Sentences:
    """The sentences of these texts, or as many as have ``max_words`` words, drawn by their hash."""
    limit = _ALL
    parts: list[Sentences] = []
    for documents in batches:
        parts.append(_sentences(documents).drawn(limit))
        while sum(len(part.words) for part in parts) > max_words:
            limit //= np.uint64(2)
            parts = [part.drawn(limit) for part in parts]
    parts.append(Sentences(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64)))
    return Sentences(
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.hashes for part in parts]),
    )


def _sentences(documents: Documents) -> Sentences:
    pieces = documents.segmentation
    lines = pieces.lines
    words = np.empty(len(pieces.data) + len(lines) + 1, np.uint64)
    lengths = np.zeros(len(lines), np.int64)
    n = _read_words(pieces.data, lines.start, lines.end, normal_forms(), words, lengths)
    kept = lengths > 0
    return Sentences(words[:n].copy(), lengths[kept], lines.hash[kept])


@dataclass(frozen=True)
class _Level:
    """All n-grams of one order, by their hashes, sorted. Places are places in the level below."""

    keys: NDArray[np.uint64]
    count: NDArray[np.int64]
    suffix: NDArray[np.int32]  # place of the n-gram without its first word
    context: NDArray[np.int32]  # place of the n-gram without its last word; one beyond the last for `BEGIN` alone
    begins: NDArray[np.bool_]  # whether its first word is `BEGIN`


def estimate(sentences: Sentences, pruned: Sequence[int]) -> Model:
    """The model of these sentences; its order is the length of ``pruned``, see `PRUNED`."""
    levels = _levels(sentences, len(pruned))
    kept = [level.count > least for level, least in zip(levels, pruned, strict=True)]
    n_words = len(levels[0].keys) + 1  # with the unknown one
    probability = np.full(1, 1 / n_words)  # of order 0, where all words are alike
    log_p, log_weights = [], []
    for n, level in enumerate(levels):
        adjusted = _adjusted(level, levels[n + 1] if n + 1 < len(levels) else None)
        weight, share = _shares(level, adjusted, kept[n], n_contexts=len(probability) + (n == 1))
        probability = share + weight[level.context] * probability[level.suffix]
        log_p.append(_log(probability))
        log_weights.append(_log(weight))
    log_weights.append(np.zeros(len(probability)))  # of the highest order, which is no context
    n_ngrams = tuple(int(which.sum()) for which in kept)
    table = np.zeros((int(SLOTS_PER_NGRAM * sum(n_ngrams)) + 16, 2), np.uint64)
    values = table.view(np.float32)
    for level, which, logs, weights in zip(levels, kept, log_p, log_weights[1:], strict=True):
        _insert(table, values, level.keys[which], logs[which], weights[: len(which)][which])
    if len(levels) > 1:
        _insert(table, values, np.array([BEGIN]), np.zeros(1), log_weights[1][-1:])
    unknown = float(log_weights[0][0]) - math.log(n_words)
    return Model(Header(len(levels), unknown, n_ngrams, len(sentences.words), table_digest(table)), table)


def _levels(sentences: Sentences, order: int) -> list[_Level]:
    """The n-grams of orders 1, 2, ..."""
    words = sentences.words
    starts = np.cumsum(sentences.lengths) - sentences.lengths
    place = np.arange(len(words), dtype=np.int32) - np.repeat(starts, sentences.lengths).astype(np.int32)
    keys, count = np.unique(words, return_counts=True)
    nowhere = np.zeros(len(keys), np.int32)
    levels = [_Level(keys, count, nowhere, nowhere, np.zeros(len(keys), np.bool_))]
    shorter = words
    for n in range(2, order + 1):
        hashes = _extend_all(shorter, words, place, n)
        complete = np.flatnonzero(place >= n - 2)  # with what comes before it, from `BEGIN` on
        keys, first, count = np.unique(hashes[complete], return_index=True, return_counts=True)
        first = complete[first]
        below = levels[-1].keys
        suffix = np.searchsorted(below, shorter[first]).astype(np.int32)
        context = np.searchsorted(below, shorter[first - 1]).astype(np.int32)
        context[place[first] == 0] = len(below)
        levels.append(_Level(keys, count, suffix, context, place[first] == n - 2))
        shorter = hashes
    return levels


def _adjusted(level: _Level, above: _Level | None) -> NDArray[np.int64]:
    """Kneser and Ney's counts: of different words before an n-gram, if any can be; of the n-gram, if none can."""
    if above is None:
        return level.count
    return np.where(level.begins, level.count, np.bincount(above.suffix, minlength=len(level.keys)))


def _shares(
    level: _Level, adjusted: NDArray[np.int64], kept: NDArray[np.bool_], n_contexts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each context leaves to shorter ones, [contexts], and what each n-gram has of its own, [n-grams]; of 1."""
    left = np.where(kept, discounts(adjusted)[np.minimum(adjusted, 3)], adjusted)
    total = np.bincount(level.context, adjusted, n_contexts)
    weight = np.ones(n_contexts)
    np.divide(np.bincount(level.context, left, n_contexts), total, out=weight, where=total > 0)
    return weight, (adjusted - left) / total[level.context]


def discounts(adjusted: NDArray[np.int64]) -> NDArray[np.float64]:
    """What is taken off an adjusted count of 0, 1, 2, and 3 or more."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(np.float64)
    if not n[1:5].all():
        return np.array(_FALLBACK_DISCOUNTS)
    y = n[1] / (n[1] + 2 * n[2])
    found = np.array([0.0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))])
    return found if (found >= 0).all() else np.array(_FALLBACK_DISCOUNTS)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(values, np.finfo(np.float32).tiny))


# Kernels


@kernel
def _read_words(data, start, end, forms, words, lengths):  # type: ignore[no-untyped-def]
    """Writes the words of each line that has some, and `END`; returns how many there are."""
    n = 0
    for line in range(len(start)):
        before = n
        word, i = next_word(data, start[line], end[line], forms)
        while word != NO_WORD:
            words[n] = word
            n += 1
            word, i = next_word(data, i, end[line], forms)
        if n > before:
            words[n] = END
            n += 1
        lengths[line] = n - before
    return n


@kernel
def _extend_all(hashes, words, place, n):  # type: ignore[no-untyped-def]
    """Hashes of the n-grams that end in each word, from those of order n - 1; 0 where a line has too few words."""
    longer = np.zeros(len(words), np.uint64)
    for i in range(len(words)):
        if place[i] >= n - 2:
            longer[i] = extend_left(hashes[i], BEGIN if place[i] == n - 2 else words[i - n + 1])
    return longer


@kernel
def _insert(table, values, keys, log_p, log_weight):  # type: ignore[no-untyped-def]
    for k in range(len(keys)):
        slot = find_slot(table, keys[k])
        table[slot, 0] = keys[k]
        values[slot, 2], values[slot, 3] = log_p[k], log_weight[k]
