"""FineWeb's own quality rules: Penedo et al. 2024, "The FineWeb Datasets" (arXiv 2406.17557), section 3.6.

Four shares: lines that end with a terminal mark; lines of at most 30 characters; characters in lines that repeat an
earlier one; newlines over words. Lines are what ``str.split("\\n")`` gives, blank ones left out, and nothing is
stripped: a mark with a space behind it ends no line. Characters are those of the text without newlines; the newlines
are all of the text's, between blank lines, too.

Paper and code disagree, and the code has changed after the release, so a preset names its reading:

- ``fineweb@paper``: the three rules of section 3.6, which excludes the bounds; 10% of repeated characters. It does not
  say what a punctuation mark is: the five of the release.
- ``fineweb@code``: datatrove at ``a649de7`` (2026-08-13, version 0.10), 1% of them. 159 terminal marks.
- ``fineweb@05194d39``: datatrove at the release (2024-04-20): ``<=`` and ``>=`` in the first three rules, five end
  marks, and blank lines count as lines, short ones.
- ``fineweb@fineweb2``: as ``fineweb@code`` with 10%, and no rule on short lines. FineWeb-2 also fits bounds to each
  language; these are not here.

The 159 marks are Unicode's Sentence_Terminal without some (`_NOT_TERMINAL`), with three Khmer ones; there is no
quotation mark among them. datatrove's word splitter for English is spaCy's, NLTK's at the release; the presets use
ours in NLTK's manner. FineWeb scores the text that its C4 rules leave: ``After(C4Lines(...), FineWebQuality())``.

A text with nothing but whitespace has 0 in every column, but for newlines, which are counted as if it had one word.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import regex
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.filters.base import Preset, Rule, Scorer, named, numbers
from textmill.filters.line_marks import character_set, last_character
from textmill.text import Documents, Spans

RELEASE_MARKS = ".'\"!?"
# Sentence_Terminal characters that datatrove's list lacks: Coptic ones, compatibility forms, those of Unicode 16.
_NOT_TERMINAL = (
    "\u2024\u2cf9\u2cfa\u2cfb\ufe12\ufe15\ufe16\u1b4e\u1b4f\u1b7f\u2e60\u2e61\U000113d4\U000113d5\U00016d6e\U00016d6f"
)
_KHMER_MARKS = "\u17d6\u17d9\u17da"

COLUMNS = pa.schema(
    [
        pa.field("fineweb_punctuated_line_frac", pa.float32(), nullable=False),
        pa.field("fineweb_short_line_frac", pa.float32(), nullable=False),
        pa.field("fineweb_duplicate_char_frac", pa.float32(), nullable=False),
        pa.field("fineweb_newline_word_ratio", pa.float32(), nullable=False),  # newlines a word; may exceed 1
    ]
)


@functools.cache
def terminal_marks() -> str:
    """datatrove's terminal marks, in the order of their code points."""
    marks = set(regex.findall(r"\p{STerm}", "".join(map(chr, range(0x20000)))))
    return "".join(sorted(marks - set(_NOT_TERMINAL) | set(_KHMER_MARKS)))


@dataclass(frozen=True)
class FineWebQuality(Scorer):
    """The four shares. Errors, on first use: `UnknownNameError` for a word splitter that does not exist."""

    end_marks: str = ""  # "": `terminal_marks`
    short_line_chars: int = 30  # a line of this length is short
    blank_lines: bool = False  # whether they count in the first two shares
    words: str = "treebank"  # a kind of `Segmentation.cut`

    @property
    def columns(self) -> pa.Schema:
        """The same for all fields."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        lines, has_text = pieces.lines, ~pieces.lines.blank
        counted = np.ones(len(lines), bool) if self.blank_lines else has_text
        n_lines = lines.sums(counted)
        marked = np.zeros(len(lines), bool)
        marks = character_set(self.end_marks or terminal_marks())
        _ends_with(pieces.data, lines.start, lines.end, marks, marked)
        short = lines.n_chars <= self.short_line_chars
        n_duplicate_chars = _duplicate_chars(lines, has_text)
        values = [
            _ratio(lines.sums(marked & counted), n_lines),
            _ratio(lines.sums(short & counted), n_lines),
            _ratio(n_duplicate_chars, pieces.n_chars - lines.counts + 1),
            _ratio(lines.counts - 1, pieces.count(self.words)),
        ]
        return numbers(values, COLUMNS)


_PAPER = "FineWeb, arXiv 2406.17557, section 3.6"
_CODE = "FineWeb, datatrove a649de7 fineweb_quality_filter.py"
_RELEASE = "FineWeb, datatrove 05194d39 fineweb_quality_filter.py"
_FINEWEB_2 = "FineWeb-2, arXiv 2506.20920, datatrove configurations"


def _rules(source: str, duplicate_chars: float, exclusive: bool = False) -> tuple[Rule, ...]:
    """The rules in the order of the code. ``exclusive``: the first three bounds fail, too."""
    return (
        Rule("fineweb_punctuation", "fineweb_punctuated_line_frac", low=0.12, source=source, exclusive=exclusive),
        Rule("fineweb_short_lines", "fineweb_short_line_frac", high=0.67, source=source, exclusive=exclusive),
        Rule(
            "fineweb_duplicates",
            "fineweb_duplicate_char_frac",
            high=duplicate_chars,
            source=source,
            exclusive=exclusive,
        ),
        Rule("fineweb_newlines", "fineweb_newline_word_ratio", high=0.3, source=source),
    )


def _without_short_lines(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.reason != "fineweb_short_lines")


_AT_RELEASE = FineWebQuality(end_marks=RELEASE_MARKS, blank_lines=True)
_PRESETS = (
    Preset(
        "fineweb@paper", _PAPER, (replace(_AT_RELEASE, blank_lines=False),), _rules(_PAPER, 0.1, exclusive=True)[:3]
    ),
    Preset("fineweb@code", _CODE, (FineWebQuality(),), _rules(_CODE, 0.01)),
    Preset("fineweb@05194d39", _RELEASE, (_AT_RELEASE,), _rules(_RELEASE, 0.01, exclusive=True)),
    Preset("fineweb@fineweb2", _FINEWEB_2, (FineWebQuality(),), _without_short_lines(_rules(_FINEWEB_2, 0.1))),
)
PRESETS = {preset.name: preset for preset in _PRESETS}
RULES = PRESETS["fineweb@code"].rules


def passes(text: str, preset: str = "fineweb@code") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _ratio(counts: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """``counts / n``, as if n were 1 where it is 0."""
    return counts / np.maximum(n, 1)


def _duplicate_chars(lines: Spans, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Characters of each document's counted lines that have the hash of an earlier one of it."""
    n_slots = max(4, 1 << (2 * int(lines.counts.max(initial=0))).bit_length())
    seen, owner = np.empty(n_slots, np.uint64), np.full(n_slots, -1)
    n_duplicate = np.zeros(len(lines.counts), np.int64)
    _count_duplicate_chars(lines.offsets, lines.hash, lines.n_chars, counted, seen, owner, n_duplicate)
    return n_duplicate


@kernel
def _ends_with(data, start, end, marks, found):  # type: ignore[no-untyped-def]
    """Marks as found the lines that end with one of the marks."""
    for k in range(start.size):
        if start[k] < end[k]:
            found[k] = marks[last_character(data, start[k], end[k])[0]]


@kernel
def _count_duplicate_chars(offsets, hashes, n_chars, counted, seen, owner, n_duplicate):  # type: ignore[no-untyped-def]
    """See `_duplicate_chars`. A slot is free but for the latest document that used it, its owner."""
    for document in range(offsets.size - 1):
        size = 4  # a short document uses a small part of the table, which stays in the cache
        while size < 2 * (offsets[document + 1] - offsets[document]):
            size *= 2
        last_slot = np.uint64(size - 1)
        for k in range(offsets[document], offsets[document + 1]):
            if counted[k]:
                slot = hashes[k] & last_slot
                while owner[slot] == document and seen[slot] != hashes[k]:
                    slot = (slot + np.uint64(1)) & last_slot
                if owner[slot] == document:
                    n_duplicate[document] += n_chars[k]
                seen[slot], owner[slot] = hashes[k], document
