"""Gopher's rules: every reading of them beside plain Python, the worked examples, and other languages."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_filters import ODD_TEXTS

from textmill.filters import gopher
from textmill.filters.base import measure
from textmill.filters.gopher import PRESETS, GopherQuality
from textmill.filters.repetition import Repetition
from textmill.text import Documents

SCORERS = [scorer for each in PRESETS.values() for scorer in each.scorers]


def rows(scorer: GopherQuality | Repetition, texts: Sequence[str]) -> list[dict[str, float]]:
    return measure((scorer,), Documents.from_texts(texts)).to_pylist()


def words_of(text: str, kind: str) -> list[str]:
    """Whitespace words in plain Python; the other kinds are tested with `Segmentation`."""
    if kind == "whitespace":
        return text.split()
    pieces = Documents.from_texts([text]).segmentation
    words = pieces.cut(kind)
    return [bytes(pieces.data[a:b]).decode() for a, b in zip(words.start, words.end, strict=True)]


def split_reference(text: str, how: str, n_newlines: int) -> list[str]:
    if how == "splitlines" and n_newlines == 1:
        return text.splitlines()
    if how == "runs":
        return re.split(r"\n+", text) if n_newlines == 1 else re.split(r"\n{2,}", text.strip())
    pieces = text.split("\n" * n_newlines)
    if how == "nonblank":
        return [piece for piece in pieces if piece.strip()]
    return [piece.strip() for piece in pieces if piece.strip()] if how == "stripped" else pieces


def counts_reference(word: str, how: str) -> bool:
    def is_punctuation(c: str) -> bool:
        return unicodedata.category(c)[0] == "P" or (c.isascii() and unicodedata.category(c)[0] == "S")

    return {
        "all": True,
        "not_punctuation": not all(map(is_punctuation, word)),
        "alphanumeric": word[0].isalnum(),
    }[how]


def has_letter(word: str, how: str) -> bool:
    return any(c.isalpha() and (how == "any" or c.isascii()) for c in word)


def symbols_reference(text: str, words: list[str], scorer: GopherQuality) -> tuple[int, int, int]:
    if scorer.symbols == "occurrences":
        n_hashes, n_ellipses = text.count("#"), sum(map(text.count, scorer.ellipses))
        return n_hashes, n_ellipses, n_hashes + n_ellipses
    if scorer.symbols == "words_with":
        hashes = ["#" in word for word in words]
        ellipses = [any(mark in word for mark in scorer.ellipses) for word in words]
    else:
        hashes = [len(re.findall("#+", word)) / len(word) > 0.5 for word in words]
        ellipses = [word in scorer.ellipses for word in words]
    return sum(hashes), sum(ellipses), sum(a or b for a, b in zip(hashes, ellipses, strict=True))


def stop_words_reference(words: list[str], scorer: GopherQuality) -> list[str]:
    def is_form(word: str, stop: str) -> bool:
        if scorer.stop_word_case == "any":
            return word.lower() == stop
        return word == stop or (scorer.stop_word_case == "usual" and word in (stop.capitalize(), stop.upper()))

    return [stop for word in words for stop in scorer.stop_words if is_form(word, stop)]


def quality_reference(text: str, scorer: GopherQuality) -> dict[str, float]:
    words = words_of(text, scorer.words)
    lengths = [len(word) for word in words if counts_reference(word, scorer.measured_words)]
    lines = split_reference(text, scorer.lines, 1)
    shown = [line.strip() if scorer.stripped else line for line in lines]
    n_hashes, n_ellipses, n_symbols = symbols_reference(text, words, scorer)
    stop_words = stop_words_reference(words, scorer)
    ends = tuple(mark.lower() for mark in scorer.ellipses)
    n_words, n_lines = max(len(words), 1), max(len(lines), 1)
    average = {"mean": mean, "median": median}[scorer.word_length]
    return {
        "gopher_n_words": sum(counts_reference(word, scorer.counted_words) for word in words),
        f"gopher_{scorer.word_length}_word_chars": average(lengths) if lengths else 0,
        "gopher_hash_word_frac": n_hashes / n_words,
        "gopher_ellipsis_word_frac": n_ellipses / n_words,
        "gopher_symbol_word_frac": n_symbols / n_words,
        "gopher_bullet_line_frac": sum(line.startswith(tuple(scorer.bullets)) for line in shown) / n_lines,
        "gopher_ellipsis_line_frac": sum(line.lower().endswith(ends) for line in shown) / n_lines,
        "gopher_alpha_word_frac": sum(has_letter(word, scorer.letters) for word in words) / n_words,
        "gopher_n_stop_words": len(set(stop_words) if scorer.stop_word_count == "distinct" else stop_words),
    }


def duplicates_reference(pieces: list[str], copies: str) -> list[str]:
    if copies == "all":
        counts = Counter(pieces)
        return [piece for piece in pieces if counts[piece] > 1]
    return [piece for i, piece in enumerate(pieces) if piece in pieces[:i]]


def top_reference(text: str, words: list[str], n: int, scorer: Repetition) -> float:
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    top, count = counts.most_common(1)[0]  # the first one met
    if count == 1 and not scorer.top_once:
        return 0
    if scorer.top_ties == "longest":
        top = max((ngram for ngram in counts if counts[ngram] == count), key=lambda ngram: len("".join(ngram)))
    if scorer.top_chars == "replaced":
        return len(text) - len(text.replace(" ".join(top), ""))
    return count * len(("" if scorer.top_chars == "words" else " ").join(top))


def greedy_reference(words: list[str], n: int) -> int:
    seen, chars, i = set(), 0, 0
    while i <= len(words) - n:
        ngram = tuple(words[i : i + n])
        if ngram in seen:
            chars += len("".join(ngram))
            i += n
        else:
            seen.add(ngram)
            i += 1
    return chars


def uncounted_reference(words: list[str], n: int) -> int:
    """Counts words, and the spaces between two counted words of one n-gram."""
    seen, counted, spaces = set(), set(), set()
    for i in range(len(words) - n + 1):
        ngram = tuple(words[i : i + n])
        if ngram in seen:
            counted |= set(range(i, i + n))
            spaces |= set(range(i, i + n - 1))
        seen.add(ngram)
    return sum(len(words[i]) for i in counted) + len(spaces)


def duplicate_ngrams_reference(words: list[str], n: int, how: str) -> float:
    if how == "greedy":
        return greedy_reference(words, n)
    if how == "uncounted":
        return uncounted_reference(words, n)
    ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(ngrams)
    if how == "summed":
        return sum(len("".join(ngram)) for ngram in ngrams if counts[ngram] > 1)
    return sum(len(words[k]) for k in {k for i, g in enumerate(ngrams) if counts[g] > 1 for k in range(i, i + n)})


def repetition_reference(text: str, scorer: Repetition) -> dict[str, float]:
    words = words_of(text, scorer.words)
    word_chars = len("".join(words))
    values: dict[str, float] = {}
    for kind, n_newlines, how in (("line", 1, scorer.lines), ("paragraph", 2, scorer.paragraphs)):
        pieces = split_reference(text, how, n_newlines)
        duplicates = duplicates_reference(pieces, scorer.copies)
        divisor = {"text": len(text), "segments": len("".join(pieces)), "words": word_chars}[scorer.segment_denominator]
        values[f"repetition_duplicate_{kind}_frac"] = len(duplicates) / max(len(pieces), 1)
        values[f"repetition_duplicate_{kind}_char_frac"] = len("".join(duplicates)) / max(divisor, 1)
    divisor = {"text": len(text), "words": word_chars}[scorer.ngram_denominator]
    for n in range(2, 11):
        name = f"repetition_{'top' if n < 5 else 'duplicate'}_{n}gram_char_frac"
        if len(words) < n:
            values[name] = scorer.too_short
        elif n < 5:
            values[name] = top_reference(text, words, n, scorer) / divisor
        elif scorer.duplicates == "summed":
            of_all = sum(len("".join(words[i : i + n])) for i in range(len(words) - n + 1))
            values[name] = duplicate_ngrams_reference(words, n, "summed") / of_all
        else:
            values[name] = duplicate_ngrams_reference(words, n, scorer.duplicates) / divisor
    return values


PIECES = [
    "#",
    ".",
    "..",
    "...",
    "…",
    "•",
    "●",
    "*",
    "-",
    "–",
    "\n",
    "\n",
    " ",
    " ",
    "\t",
    "\u3000",
    "\x85",
    "\r",
    "\r\n",
]
PIECES += [
    "the ",
    "The\n",
    " AND ",
    "tHe ",
    "to,",
    "with\u2003",
    "Größe",
    "日本",
    "12",
    "😀",
    "\u0301",
    "\xe2",
    "\u2028",
]
PIECES += [
    "™",
    "\n\n \n",
    "\n\u3000• ",
    "\n - ",
    "…\u3000\n",
    "... \n",
    "[...]",
    "Read More\n",
    "#a#",
    "##",
    ". . .",
    "$ ",
]
QUALITY_TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=40).map("".join)
QUALITIES = st.sampled_from([s for s in SCORERS if isinstance(s, GopherQuality)]) | st.builds(
    GopherQuality,
    **{name: st.sampled_from(valid) for name, valid in GopherQuality.choices.items()},
    stop_words=st.sampled_from([gopher.STOP_WORDS, ("über", "日本"), ()]),
    stripped=st.booleans(),
    ellipses=st.sampled_from([("...", "…"), ("…",), (". . .", "...", "read more"), ()]),
)

REPEATED = [
    "a ",
    "b ",
    "ab ",
    " ",
    "c",
    "a b a b ",
    "é ",
    "日 ",
    "\n",
    "\n\n",
    "\n \n",
    "\n\n\n",
    "\u3000",
    "\r\n",
    "a\n",
    "b. ",
]
REPEATED_TEXTS = st.lists(st.sampled_from(REPEATED), max_size=60).map("".join)
REPETITIONS = st.sampled_from([s for s in SCORERS if isinstance(s, Repetition)]) | st.builds(
    Repetition,
    **{name: st.sampled_from(valid) for name, valid in Repetition.choices.items()},
    top_once=st.booleans(),
    too_short=st.sampled_from([0.0, 1.0]),
)


class TestReadings:
    @settings(deadline=None, derandomize=True, max_examples=400)
    @given(QUALITIES, st.lists(QUALITY_TEXTS, max_size=4))
    def test_quality_agrees_with_plain_python(self, scorer: GopherQuality, texts: list[str]) -> None:
        assert rows(scorer, texts) == [pytest.approx(quality_reference(text, scorer)) for text in texts]

    @settings(deadline=None, derandomize=True, max_examples=400)
    @given(REPETITIONS, st.lists(REPEATED_TEXTS, max_size=4))
    def test_repetition_agrees_with_plain_python(self, scorer: Repetition, texts: list[str]) -> None:
        scorer = scorer if scorer.words == "whitespace" else replace(scorer, top_chars="words")
        assert rows(scorer, texts) == [pytest.approx(repetition_reference(text, scorer)) for text in texts]

    @pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: f"{type(scorer).__name__}-{scorer.words}")
    def test_odd_texts_give_finite_values_in_every_batch(self, scorer: GopherQuality | Repetition) -> None:
        together = rows(scorer, ODD_TEXTS)
        assert np.isfinite([list(row.values()) for row in together]).all()
        assert together == [row for text in ODD_TEXTS for row in rows(scorer, [text])]
