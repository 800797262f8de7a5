"""Words, word 5-grams and their Jaccard similarity, in plain Python: the yardstick for near duplicates.

A word is a run of letters and digits, lower-cased; in scripts without spaces every kana or Han character is a word.
Written apart from the kernels of the pipeline on purpose, so that the truth does not share their mistakes.
"""

from __future__ import annotations

import re

N_WORDS = 5  # words a shingle, as in the MinHash step of FineWeb
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def words(text: str) -> list[str]:
    """The words of ``text`` in order, lower-cased."""
    return WORD.findall(text.lower())


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """The set of word 5-grams of ``text``; empty when it has fewer than five words."""
    found = words(text)
    return frozenset(zip(*(found[i:] for i in range(N_WORDS)), strict=False))


def jaccard(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> float:
    """Shared elements by all elements, 0 to 1; two empty sets have nothing in common (0)."""
    n_shared = len(a & b)
    n_all = len(a) + len(b) - n_shared
    return n_shared / n_all if n_all else 0.0
