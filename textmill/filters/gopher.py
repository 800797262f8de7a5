"""Gopher's quality rules: Rae et al. 2021, "Scaling Language Models" (arXiv 2112.11446), Table A1; and its presets.

The paper leaves open what a word, a symbol, a bullet is, and the public versions differ. Each choice is a field of
`GopherQuality`. Its defaults, this package's completion of the paper, are:

- A word is what ``str.split()`` gives, as in DCLM, Dolma and NeMo Curator; its length is in characters, punctuation
  included. (datatrove splits punctuation off: its letter rule is stricter, its symbol rules are laxer.)
- Symbols are occurrences in the text, over words: ``#``, and apart from it ``...`` and ``…``, as in datatrove.
- Lines are those that are not blank. A bullet is ``•``, ``●``, ``*`` or ``-`` (DCLM's) after any indentation; an
  ellipsis is ``...`` or ``…`` before any whitespace at the end.
- A word counts as alphabetic if it has a letter of any script.
- Stop words are counted once each, as in datatrove, in any of the three usual cases ("the", "The", "THE"). A stop
  word with punctuation on it does not count.

The presets of the family add the thirteen rules of `repetition`. Rules and stop words are for English; `for_language`
gives a preset for another language. A text without words has 0 in every column.

Deviations. ``gopher@datatrove``: Treebank words stand for spaCy's; punctuation is Unicode's category P and ASCII's
symbols (datatrove has a list). ``gopher@dclm``: its word count is of fastText's tokens, which
whitespace other than ASCII's does not separate. ``gopher@curator``: it stops counting stop words at two.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.errors import UnknownNameError, UserError
from textmill.filters import gopher_kernels as kernels
from textmill.filters import languages, repetition, segments
from textmill.filters.base import Preset, Rule, Scorer, named, numbers
from textmill.filters.languages import Language
from textmill.filters.phrases import find_phrases, pair_table, phrase_table
from textmill.filters.repetition import SOURCE, Repetition
from textmill.filters.segments import Split
from textmill.filters.stop_words import Case, hash_table
from textmill.text import BEGINS_ALNUM, KINDS, Documents, Segmentation, Spans, character_classes

Counted = Literal[
    "all",
    "not_punctuation",  # with a character that is no punctuation
    "alphanumeric",  # that begin with a letter or a number
]
Average = Literal["mean", "median"]
Symbols = Literal[
    "occurrences",  # in the text; several may be in one word
    "words_with",  # words that contain one
    "words_of",  # words that are an ellipsis, or more than half of whose characters begin a run of #
]
Letters = Literal["any", "ascii"]
StopWords = Literal["distinct", "occurrences"]
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

_TYPES = {
    "gopher_n_words": pa.int32(),
    "gopher_mean_word_chars": pa.float32(),
    "gopher_median_word_chars": pa.float32(),
    "gopher_hash_word_frac": pa.float32(),  # a word; occurrences may exceed 1
    "gopher_ellipsis_word_frac": pa.float32(),
    "gopher_symbol_word_frac": pa.float32(),  # either of the two
    "gopher_bullet_line_frac": pa.float32(),
    "gopher_ellipsis_line_frac": pa.float32(),
    "gopher_alpha_word_frac": pa.float32(),
    "gopher_n_stop_words": pa.int32(),
}


@dataclass(frozen=True)
class GopherQuality(Scorer):
    """Counts what Gopher's quality rules bound.

    Errors: `UserError` for a stop word that is no word, a bullet that is no character, an empty ellipsis;
    `UnknownNameError` for a value that a field does not have.
    """

    version: ClassVar[int] = 2

    stop_words: tuple[str, ...] = STOP_WORDS
    words: str = "whitespace"  # how words are cut, see `Segmentation.cut`
    counted_words: Counted = "all"  # which of them gopher_n_words counts
    measured_words: Counted = "all"  # whose length is measured
    word_length: Average = "mean"
    symbols: Symbols = "occurrences"
    ellipses: tuple[str, ...] = ("...", "…")  # as symbols, and at the ends of lines, whatever their case
    lines: Split = "stripped"
    stripped: bool = True  # whether whitespace around lines is passed over, however they are split
    bullets: str = "•●*-"
    letters: Letters = "any"
    stop_word_count: StopWords = "distinct"
    stop_word_case: Case = "usual"

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "words": tuple(KINDS),
        "counted_words": get_args(Counted),
        "measured_words": get_args(Counted),
        "word_length": get_args(Average),
        "symbols": get_args(Symbols),
        "lines": get_args(Split),
        "letters": get_args(Letters),
        "stop_word_count": get_args(StopWords),
        "stop_word_case": get_args(Case),
    }

    def __post_init__(self) -> None:
        for name, valid in self.choices.items():
            if getattr(self, name) not in valid:
                raise UnknownNameError(name, getattr(self, name), valid)
        for word in self.stop_words:
            if word.split() != [word]:
                raise UserError(f"stop word {word!r}: a stop word is one word, without whitespace")
        if "" in self.ellipses:
            raise UserError("an ellipsis has at least one character")

    @property
    def columns(self) -> pa.Schema:
        """One for the mean or the median length of words, and eight others."""
        other = "gopher_median_word_chars" if self.word_length == "mean" else "gopher_mean_word_chars"
        return pa.schema([pa.field(name, kind, nullable=False) for name, kind in _TYPES.items() if name != other])

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        words = pieces.cut(self.words)
        n_words = np.maximum(words.counts, 1)
        measured = _which_count(pieces, words, self.measured_words)
        same = self.counted_words == self.measured_words
        counted = measured if same else _which_count(pieces, words, self.counted_words)
        counts = self._word_counts(pieces, words, counted, measured)
        n_counted, n_measured, measured_chars, n_alpha, n_stop, n_distinct_stop = counts
        n_lines, n_bullets, n_ellipses = self._line_counts(pieces)
        if self.word_length == "mean":
            average = measured_chars / np.maximum(n_measured, 1)
        else:
            average = kernels.median_chars(words.offsets, words.n_chars, measured)
        values = [
            n_counted,
            average,
            *(self._symbol_counts(pieces, words) / n_words),
            n_bullets / np.maximum(n_lines, 1),
            n_ellipses / np.maximum(n_lines, 1),
            n_alpha / n_words,
            n_distinct_stop if self.stop_word_count == "distinct" else n_stop,
        ]
        return numbers(values, self.columns)

    def _word_counts(
        self, pieces: Segmentation, words: Spans, counted: NDArray[np.uint8], measured: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Words that count, those that are measured and their characters, alphabetic ones, stop words and distinct
        ones: [6, documents]."""
        table = hash_table(self.stop_words, self.stop_word_case)
        spans = (words.offsets, words.start, words.end, words.n_chars, words.classes)
        found = np.full(len(self.stop_words) + 1, -1), np.zeros((6, len(words.counts)), np.int64)
        rules = (counted, measured, self.letters == "ascii")
        kernels.count_words(pieces.data, *spans, *rules, words.hash, *table, *found)
        return found[1]

    def _symbol_counts(self, pieces: Segmentation, words: Spans) -> NDArray[np.int64]:
        """Symbols that are a ``#``, an ellipsis, either: [3, documents]."""
        marks = _marks(("#", *self.ellipses))
        if self.symbols == "occurrences":
            return kernels.count_occurrences(pieces.data, pieces.offsets, *marks, _pairs(self.ellipses))
        inside = find_phrases(
            pieces.data, words.start, words.end, phrase_table((("#",), self.ellipses), any_case=False)
        )
        spans = (words.offsets, words.start, words.end, words.n_chars)
        return kernels.count_symbol_words(pieces.data, *spans, inside, *marks, self.symbols == "words_of")

    def _line_counts(self, pieces: Segmentation) -> NDArray[np.int64]:
        """Lines, those with a bullet, those with an ellipsis: [3, documents]."""
        offsets, start, end = segments.lines(pieces, self.lines)
        if self.stripped and self.lines != "stripped":
            start, end = segments.strip_all(pieces.data, start, end, character_classes())
        bullets = np.array([ord(bullet) for bullet in self.bullets], dtype=np.uint32)
        ellipses = _marks(tuple(ellipsis.lower() for ellipsis in self.ellipses))
        edges = _edges(self.bullets, self.ellipses)
        marked = kernels.count_marked_lines(pieces.data, offsets, start, end, edges, bullets, *ellipses)
        return np.concatenate([np.diff(offsets)[None], marked])


def _which_count(pieces: Segmentation, words: Spans, how: Counted) -> NDArray[np.uint8]:
    """1 for a word that counts, [words]."""
    if how == "all":
        return np.ones(len(words), np.uint8)
    if how == "alphanumeric":
        return (words.classes & BEGINS_ALNUM != 0).view(np.uint8)
    spans = (words.start, words.end, words.n_chars, words.classes)
    return kernels.not_punctuation(pieces.data, *spans, character_classes())


@functools.cache
def _marks(marks: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Strings, for kernels: their bytes, and their offsets in these."""
    encoded = [mark.encode() for mark in marks]
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)


@functools.cache
def _edges(bullets: str, ellipses: tuple[str, ...]) -> NDArray[np.uint8]:
    """The bytes with which a bullet begins, 1, and those with which an ellipsis ends in either case, 2: uint8 [256]."""
    edges = np.zeros(256, np.uint8)
    for bullet in bullets:
        edges[bullet.encode()[0]] |= 1
    for ellipsis in ellipses:
        last = ellipsis.lower().encode()[-1:]
        edges[[*last, *last.upper()]] |= 2
    return edges


@functools.cache
def _pairs(ellipses: tuple[str, ...]) -> NDArray[np.uint8]:
    """The first byte of ``#`` and of each ellipsis, and the last that is near, for `kernels.count_occurrences`."""
    marks = [mark.encode() for mark in ("#", *ellipses)]
    distances = [min(len(mark) - 1, kernels.MAX_DISTANCE) for mark in marks]
    return pair_table(tuple((mark[:: n or 1][:2], n) for mark, n in zip(marks, distances, strict=True)))


_RULES = {
    rule.reason: rule
    for rule in (
        Rule("gopher_words", "gopher_n_words", low=50, high=100_000, source=SOURCE),
        Rule("gopher_word_length", "gopher_mean_word_chars", low=3, high=10, source=SOURCE),
        Rule("gopher_median_word_length", "gopher_median_word_chars", low=3, high=10, source=SOURCE),
        Rule("gopher_hashes", "gopher_hash_word_frac", high=0.1, source=SOURCE),
        Rule("gopher_ellipses", "gopher_ellipsis_word_frac", high=0.1, source=SOURCE),
        Rule("gopher_symbols", "gopher_symbol_word_frac", high=0.1, source=SOURCE),
        Rule("gopher_bullets", "gopher_bullet_line_frac", high=0.9, source=SOURCE),
        Rule("gopher_ellipsis_lines", "gopher_ellipsis_line_frac", high=0.3, source=SOURCE),
        Rule("gopher_alpha", "gopher_alpha_word_frac", low=0.8, source=SOURCE),
        Rule("gopher_stop_words", "gopher_n_stop_words", low=2, source=SOURCE),
    )
}


def rules(reasons: str) -> tuple[Rule, ...]:
    """The paper's rules of these reasons (the ``gopher_`` left out), in this order."""
    return tuple(_RULES[f"gopher_{reason}"] for reason in reasons.split())


RULES = rules("words word_length hashes ellipses bullets ellipsis_lines alpha stop_words")


def _reading(name: str, whose: str, scorers: tuple[Scorer, ...], *rules: Sequence[Rule]) -> Preset:
    source = f"{SOURCE}; as {whose}"
    return Preset(name, source, scorers, tuple(replace(rule, source=source) for group in rules for rule in group))


PRESETS = {
    preset.name: preset
    for preset in (
        _reading(
            "gopher@paper",
            "textmill completes it",
            (GopherQuality(), Repetition()),
            RULES,
            repetition.RULES,
        ),
        _reading(
            "gopher@datatrove",
            "in datatrove 0.10, where repetition comes first",
            (
                Repetition(
                    words="treebank",
                    lines="runs",
                    paragraphs="runs",
                    copies="after_first",
                    segment_denominator="text",
                    top_chars="joined",
                    top_ties="first",
                    top_once=True,
                    duplicates="greedy",
                    ngram_denominator="text",
                ),
                GopherQuality(
                    words="treebank",
                    counted_words="not_punctuation",
                    measured_words="not_punctuation",
                    lines="splitlines",
                    bullets="•-",
                    stop_word_case="as_given",
                ),
            ),
            repetition.segment_rules("paragraph paragraph_char line line_char"),
            repetition.ngram_rules(),
            RULES,
        ),
        _reading(
            "gopher@dclm",
            "in DCLM's reproduction of RefinedWeb",
            (
                GopherQuality(
                    counted_words="alphanumeric",
                    ellipses=("...", ". . .", "…"),
                    stop_word_count="occurrences",
                    stop_word_case="any",
                ),
                Repetition(words="unicode"),
            ),
            rules("words word_length symbols bullets ellipsis_lines alpha stop_words"),
            repetition.RULES,
        ),
        _reading(
            "gopher@dolma",
            "Dolma's gopher_v1 counts (its released mixes allow .30 of characters in duplicate lines, and misname the "
            "top n-grams, so that no document fails those)",
            (
                GopherQuality(
                    word_length="median",
                    symbols="words_with",
                    ellipses=("…",),
                    lines="plain",
                    stripped=False,
                    bullets="*-",
                    stop_word_count="occurrences",
                    stop_word_case="as_given",
                ),
                Repetition(
                    lines="plain", segment_denominator="words", top_ties="first", top_once=True, duplicates="summed"
                ),
            ),
            rules("words median_word_length symbols alpha stop_words bullets ellipsis_lines"),
            repetition.segment_rules("line line_char"),
            repetition.ngram_rules(),
        ),
        _reading(
            "gopher@curator",
            "in NeMo Curator 26.07's English heuristics",
            (
                GopherQuality(
                    symbols="words_of",
                    ellipses=("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more"),
                    bullets="•‣⁃⁌⁍∙○●◘◦⦾⦿",
                    stop_word_count="occurrences",
                    stop_word_case="as_given",
                ),
                Repetition(
                    lines="nonblank",
                    paragraphs="plain",
                    copies="after_first",
                    top_chars="replaced",
                    top_ties="first",
                    top_once=True,
                    duplicates="uncounted",
                    ngram_denominator="text",
                    too_short=1.0,
                ),
            ),
            rules("symbols"),
            repetition.segment_rules(),
            rules("words alpha stop_words word_length ellipsis_lines"),
            repetition.ngram_rules(),
            rules("bullets"),
        ),
        _reading(
            "gopher@cs336",
            "Stanford CS336's fourth assignment asks for it",
            (GopherQuality(ellipses=("...",)),),
            rules("words word_length ellipsis_lines alpha"),
        ),
    )
}


@functools.cache
def for_language(preset: str, language: str) -> Preset:
    """A preset of this family for a language, by ISO 639-1 code: other stop words, other bounds on words.

    English is the preset as published. See `languages` for what differs and where that comes from. Errors:
    `UnknownNameError` for the preset or the language.
    """
    published = named(PRESETS, preset)
    if language == languages.REFERENCE:
        return published
    differs = languages.language(language)
    scorers = tuple(_scorer_for(scorer, differs) for scorer in published.scorers)
    treebank = any(isinstance(scorer, GopherQuality) and scorer.words == "treebank" for scorer in scorers)
    alpha = differs.treebank_alpha if treebank else differs.alpha
    rules = (_rule_for(rule, language, differs, alpha) for rule in published.rules)
    return replace(
        published,
        name=f"{preset}/{language}",
        source=f"{published.source}; in textmill's version for {language}",
        scorers=scorers,
        rules=tuple(rule for rule in rules if rule),
    )


def _scorer_for(scorer: Scorer, differs: Language) -> Scorer:
    if isinstance(scorer, GopherQuality):
        scorer = replace(scorer, stop_words=differs.stop_words)
    if differs.words and isinstance(scorer, (GopherQuality, Repetition)):
        scorer = replace(scorer, words=differs.words)
    return scorer


def _rule_for(rule: Rule, language: str, differs: Language, alpha: float) -> Rule | None:
    """The rule with other bounds if they differ; None for one on n-grams of what are no words."""
    if differs.words and rule.column.endswith("gram_char_frac"):
        return None
    factors = {
        "gopher_n_words": differs.n_words,
        "gopher_mean_word_chars": differs.word_length,
        "gopher_median_word_chars": differs.word_length,
        "gopher_alpha_word_frac": alpha / languages.ALPHA,
    }
    factor = factors.get(rule.column, 1.0)
    if factor == 1:
        return rule
    low, high = (None if bound is None else round(float(bound) * factor, 2) for bound in (rule.low, rule.high))
    return replace(rule, low=low, high=high, source=f"{rule.source}; in textmill's version for {language}")


def passes(text: str, preset: str = "gopher@paper", language: str = "en") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return for_language(preset, language).passes(text)
