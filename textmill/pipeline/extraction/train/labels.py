"""Which blocks of a page its main content consists of.

A block of four words or more: the share of its word 4-grams that occur in the truth. A shorter one: whether the truth
has its words between the places where its labelled neighbours stand, so that a "Home" in a menu is not taken for the
word in the text. Of several copies of a block, as many count as the truth has; those with good neighbours first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.pipeline.extraction.train.pages import Example

N = 4  # words a gram
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # no spaces between words: every character counts as one
WORD = re.compile(f"[{_CJK}]|[^\\W{_CJK}]+")

Words = Sequence[str]


def label_page(example: Example, blocks: Sequence[Words]) -> NDArray[np.float32]:
    """How much of each block is main content, 0 to 1, [blocks]."""
    if example.truth is not None:
        return label_blocks(blocks, WORD.findall(example.truth))
    labels = np.zeros(len(blocks), np.float32)
    total = sum(weight for weight, _ in example.taught)
    for weight, text in example.taught:
        labels += weight / total * label_blocks(blocks, WORD.findall(text))
    wanted, unwanted = ([WORD.findall(text) for text in texts] for texts in (example.wanted, example.unwanted))
    for b, words in enumerate(blocks):
        if any(find(words, part) >= 0 for part in wanted):
            labels[b] = 1
        elif any(find(words, part) >= 0 for part in unwanted):
            labels[b] = 0
    return labels


def label_blocks(blocks: Sequence[Words], truth: Words) -> NDArray[np.float32]:
    """The share of each block that is in the truth, [blocks]."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in range(len(truth) - N + 1):
        places[tuple(truth[i : i + N])].append(i)
    labels = np.zeros(len(blocks), np.float32)
    grams = [[tuple(words[i : i + N]) for i in range(len(words) - N + 1)] for words in blocks]
    for b, found in enumerate(grams):
        if found:
            labels[b] = sum(gram in places for gram in found) / len(found)
    _drop_copies(blocks, labels, places)
    spans = [_span(grams[b], places) if labels[b] > 0.5 else None for b in range(len(blocks))]
    for b, words in enumerate(blocks):
        if 0 < len(words) < N:
            low, high = _gap(spans, b, len(truth))
            labels[b] = find(truth[low:high], words) >= 0
    return labels


def _drop_copies(
    blocks: Sequence[Words], labels: NDArray[np.float32], places: dict[tuple[str, ...], list[int]]
) -> None:
    copies = defaultdict(list)
    for b, words in enumerate(blocks):
        if labels[b] > 0.5:
            copies[tuple(words)].append(b)
    support = {b: labels[max(b - 3, 0) : b + 4].sum() for same in copies.values() for b in same}
    for words, same in copies.items():
        wanted = max(1, len(places.get(words[:N], ())))
        for b in sorted(same, key=lambda b: (-support[b], b))[wanted:]:
            labels[b] = 0


def _span(grams: Sequence[tuple[str, ...]], places: dict[tuple[str, ...], list[int]]) -> tuple[int, int] | None:
    """Where the truth has a block, judged by the first and the last gram that it has just once."""
    unique = [(k, places[gram][0]) for k, gram in enumerate(grams) if len(places.get(gram, ())) == 1]
    if not unique:
        return None
    (first, start), (last, end) = unique[0], unique[-1]
    return start - first, end + len(grams) - last + N - 1


def _gap(spans: Sequence[tuple[int, int] | None], b: int, n_words: int) -> tuple[int, int]:
    """The stretch of the truth between the nearest blocks before and after b that are in it; 20 words if one lacks."""
    before = next((span for span in reversed(spans[:b]) if span), None)
    after = next((span for span in spans[b + 1 :] if span), None)
    low = before[1] if before else max(after[0] - 20, 0) if after else 0
    high = after[0] if after else low + 20 if before else n_words
    return low, high


def find(words: Words, part: Words) -> int:
    """Where ``part`` begins in ``words``; -1 if nowhere."""
    if part:
        for i in range(len(words) - len(part) + 1):
            if words[i] == part[0] and list(words[i : i + len(part)]) == list(part):
                return i
    return -1
