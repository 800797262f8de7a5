"""NeMo Curator's heuristics for English: its ratios, and all 28 filters as one preset.

Read from NVIDIA-NeMo/Curator at 1e2e427, ``heuristic_filter_english_pipeline.yaml``. Shares are of the characters of a
text unless a column says otherwise.

- **Alphanumeric** are only ASCII letters and digits, newline, and ``? ! , .``: a space counts as something else, and so
  does every letter of another script.
- **URL** characters are what its expression matches after ``http://`` or ``https://``: letters, digits,
  ``$-_@.&+!*(),`` and ``%`` with two hexadecimal digits. A slash is none of them, so only scheme and host count.
- **Boilerplate** paragraphs (pieces between ``\\n\\n``) hold a phrase of a policy. One ``lorem ipsum`` makes the share
  1. Three of its long sentences about cookies are known here by parts of them.
- **Lines** are those that are not blank; a line has an end mark if it ends with one of ``. ? ! " '``.

A text without characters, or without lines, gets the published 1, which every rule here refuses. Longest word: 0 where
there is none (published: one more than the limit; the rule on the number of words refuses the text).
"""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import ALL_ONES, as_number, byte_mask, count_ones, equal_mask, inlined, inner, kernel, lowest_one
from textmill.filters import gopher, segments
from textmill.filters.base import Preset, Rule, Scorer, named, numbers
from textmill.pieces import sums
from textmill.text import Documents, Segmentation, Spans, decode

COLUMNS = pa.schema(
    [
        pa.field("curator_non_alphanumeric_char_frac", pa.float32(), nullable=False),
        pa.field("curator_digit_char_frac", pa.float32(), nullable=False),
        pa.field("curator_url_char_frac", pa.float32(), nullable=False),
        pa.field("curator_space_char_frac", pa.float32(), nullable=False),
        pa.field("curator_parenthesis_char_frac", pa.float32(), nullable=False),
        pa.field("curator_boilerplate_paragraph_frac", pa.float32(), nullable=False),
        pa.field("curator_unpunctuated_line_frac", pa.float32(), nullable=False),
        pa.field("curator_longest_word_chars", pa.int32(), nullable=False),
    ]
)

_SOURCE = "NeMo Curator 1e2e427, heuristic_filter_english_pipeline.yaml"
RULES = (
    Rule("curator_non_alphanumeric", "curator_non_alphanumeric_char_frac", high=0.25, source=_SOURCE),
    Rule("curator_digits", "curator_digit_char_frac", high=0.15, source=_SOURCE),
    Rule("curator_urls", "curator_url_char_frac", high=0.2, source=_SOURCE),
    Rule("curator_spaces", "curator_space_char_frac", high=0.25, source=_SOURCE),
    Rule("curator_parentheses", "curator_parenthesis_char_frac", high=0.1, source=_SOURCE),
    Rule("curator_boilerplate", "curator_boilerplate_paragraph_frac", high=0.4, source=_SOURCE),
    Rule("curator_unpunctuated_lines", "curator_unpunctuated_line_frac", high=0.85, source=_SOURCE),
    Rule("curator_longest_word", "curator_longest_word_chars", high=1000, source=_SOURCE),
)

_LOREM_IPSUM = "lorem ipsum"
_PHRASES = (
    "terms of use",
    "privacy policy",
    "privacy overview",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential for",
    "any cookies that may not be particularly necessary",
    "without changing your cookie settings, you agree to",
    _LOREM_IPSUM,
)
_URL_BYTES = (string.ascii_letters + string.digits + "$-_@.&+!*(),").encode()

_NEWLINE, _SLASH, _PERCENT, _H, _T, _P, _S, _A, _Z = map(ord, "\n/%htpsAZ")
_O, _K, _V, _M, _LOWER_A = map(ord, "okvma")
_ONE = np.uint64(1)
_ANGLES = tuple(map(ord, "⟨⟩"))

# What is counted of the bytes of a text.
_N_COUNTERS = 5  # characters, alphanumeric, digits, spaces, parentheses
# Pairs of bytes that need a closer look: \n\n, :/, the first two of an angle, and these, in any case. Every phrase
# holds one of them, and they are rare.
_LETTER_PAIRS = ("ok", "va", "ms", "ps")
MIN_BYTES = 65  # that data must have: what masks read

# What those looks find, and what they need to know of earlier ones.
_N_FOUND = 8
(
    _URL_CHARS,
    _URL_END,  # of the latest one
    _ANGLE_CHARS,
    _PARAGRAPHS,
    _BOILERPLATE,  # paragraphs
    _IS_BOILERPLATE,  # this paragraph
    _PARAGRAPH_START,  # of this paragraph
    _LOREM,
) = range(_N_FOUND)


@dataclass(frozen=True)
class CuratorRatios(Scorer):
    """Measures what Curator's filters bound, without those that are Gopher's."""

    @property
    def columns(self) -> pa.Schema:
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        data = pieces.data
        if len(data) < MIN_BYTES:
            data = np.concatenate([data, np.zeros(MIN_BYTES, np.uint8)])
        counts = np.zeros((len(documents), _N_COUNTERS), np.int64)
        found = np.zeros((len(documents), _N_FOUND), np.int64)
        _count_documents(data, pieces.offsets, _phrases(), counts, found)
        n_chars, n_alphanumeric, n_digits, n_spaces, n_parentheses = counts.T
        boilerplate = np.where(found[:, _LOREM], 1, found[:, _BOILERPLATE] / found[:, _PARAGRAPHS])
        values = [
            _share(n_chars - n_alphanumeric, n_chars),
            _share(n_digits, n_chars),
            _share(found[:, _URL_CHARS], n_chars),
            _share(n_spaces, n_chars),
            _share(n_parentheses + found[:, _ANGLE_CHARS], n_chars),
            boilerplate,
            _unpunctuated(pieces),
            _longest_words(pieces.words),
        ]
        return numbers(values, COLUMNS)


_ORDER = """
    curator_non_alphanumeric gopher_symbols curator_digits curator_urls curator_spaces curator_parentheses
    curator_boilerplate repetition_duplicate_line repetition_duplicate_paragraph repetition_duplicate_line_char
    repetition_duplicate_paragraph_char gopher_words curator_unpunctuated_lines gopher_alpha gopher_stop_words
    gopher_word_length curator_longest_word gopher_ellipsis_lines repetition_top_2gram_char repetition_top_3gram_char
    repetition_top_4gram_char repetition_duplicate_5gram_char repetition_duplicate_6gram_char
    repetition_duplicate_7gram_char repetition_duplicate_8gram_char repetition_duplicate_9gram_char
    repetition_duplicate_10gram_char gopher_bullets
""".split()


def _pipeline() -> Preset:
    """All 28 filters: those of this module, and Gopher's as Curator reads them."""
    of_gopher = gopher.PRESETS["gopher@curator"]
    rules = {rule.reason: rule for rule in (*RULES, *of_gopher.rules)}
    scorers = (CuratorRatios(), *of_gopher.scorers)
    return Preset("heuristics@curator", _SOURCE, scorers, tuple(rules[reason] for reason in _ORDER))


PRESETS = {"heuristics@curator": _pipeline()}


def passes(text: str, preset: str = "heuristics@curator") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _share(counts: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """``counts / n``; 1 where n is 0."""
    return np.where(n == 0, 1, counts / np.maximum(n, 1))


def _unpunctuated(pieces: Segmentation) -> NDArray[np.float64]:
    """The share of lines that do not end with an end mark, [documents]."""
    offsets, _, end = segments.lines(pieces, "stripped")
    marked = _is_end_mark().take(pieces.data.take(end - 1))
    n_lines = np.diff(offsets)
    return _share(n_lines - sums(marked.view(np.uint8), offsets), n_lines)


def _longest_words(words: Spans) -> NDArray[np.int32]:
    """Characters of the longest word of each document."""
    longest = np.zeros(len(words.counts), np.int32)
    some = words.counts > 0
    if some.any():
        longest[some] = np.maximum.reduceat(words.n_chars, words.offsets[:-1][some])
    return longest


@functools.cache
def _is_end_mark() -> NDArray[np.bool_]:
    return np.isin(np.arange(256), list(b".?!\"'"))


class _Phrases(NamedTuple):
    """Phrases in lower case, in the order of the pairs of letters by which they are found."""

    data: NDArray[np.uint8]  # one after the other
    offsets: NDArray[np.int64]  # [phrases + 1]
    pair_end: NDArray[np.int64]  # where in the phrase the second letter of its pair is
    lorem_ipsum: int  # the number of this phrase
    is_url_byte: NDArray[np.bool_]  # [256]
    is_hex: NDArray[np.bool_]


@functools.cache
def _phrases() -> _Phrases:
    place = {phrase: min(phrase.index(pair) + 1 for pair in _LETTER_PAIRS if pair in phrase) for phrase in _PHRASES}
    is_url_byte, is_hex = np.zeros((2, 256), np.bool_)
    is_url_byte[list(_URL_BYTES)] = True
    is_hex[list(string.hexdigits.encode())] = True
    return _Phrases(
        np.frombuffer("".join(_PHRASES).encode(), np.uint8),
        np.cumsum([0, *map(len, _PHRASES)]),
        np.array([place[phrase] for phrase in _PHRASES]),
        _PHRASES.index(_LOREM_IPSUM),
        is_url_byte,
        is_hex,
    )


@kernel
def _count_documents(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    phrases: _Phrases,
    counts: NDArray[np.int64],
    all_found: NDArray[np.int64],
) -> None:
    """Fills in counters [documents, counters], and what closer looks find [documents, `_N_FOUND`]."""
    for document in range(len(counts)):
        start, end = offsets[document], offsets[document + 1]
        text, found = data[start:end], all_found[document]
        found[_PARAGRAPHS] = 1
        n_chars = n_alphanumeric = n_digits = n_spaces = n_parentheses = np.uint64(0)
        for i in range(start, end, 64):
            at = min(i, len(data) - 64)
            beyond = np.uint64(i - at)
            counted = ALL_ONES >> np.uint64(64 - min(end - i, 64)) << beyond
            newline, digits = byte_mask(data, at, 0x0A, 1), byte_mask(data, at, 0x30, 10)
            n_chars += count_ones(~byte_mask(data, at, 0x80, 0x40) & counted)
            n_alphanumeric += count_ones((_alphanumeric(data, at) | newline | digits) & counted)
            n_digits += count_ones(digits & counted)
            n_spaces += count_ones(_spaces(data, at) & counted)
            n_parentheses += count_ones(_parentheses(data, at) & counted)
            pairs = _pairs(data, i, end) if i + 1 < end else np.uint64(0)
            while pairs:
                _look(text, i - start + 1 + np.int64(lowest_one(pairs)), phrases, found)
                pairs &= pairs - _ONE
        counts[document, 0], counts[document, 1], counts[document, 2] = n_chars, n_alphanumeric, n_digits
        counts[document, 3], counts[document, 4] = n_spaces, n_parentheses


@inlined
def _alphanumeric(data: NDArray[np.uint8], at: int) -> np.uint64:
    """Letters and ``! , . ?``: digits and newlines are left out."""
    found = byte_mask(data, at, 0x41, 26) | byte_mask(data, at, 0x61, 26) | byte_mask(data, at, 0x21, 1)
    return found | byte_mask(data, at, 0x2C, 1) | byte_mask(data, at, 0x2E, 1) | byte_mask(data, at, 0x3F, 1)


@inlined
def _spaces(data: NDArray[np.uint8], at: int) -> np.uint64:
    """``\\b \\t \\n``, ``\\r``, and the space."""
    return byte_mask(data, at, 0x08, 3) | byte_mask(data, at, 0x0D, 1) | byte_mask(data, at, 0x20, 1)


@inlined
def _parentheses(data: NDArray[np.uint8], at: int) -> np.uint64:
    """``( )``, ``[``, ``]``, ``{``, ``}``."""
    found = byte_mask(data, at, 0x28, 2) | byte_mask(data, at, 0x5B, 1) | byte_mask(data, at, 0x5D, 1)
    return found | byte_mask(data, at, 0x7B, 1) | byte_mask(data, at, 0x7D, 1)


@inlined
def _pairs(data: NDArray[np.uint8], i: int, end: int) -> np.uint64:
    """Where a pair, see `_LETTER_PAIRS`, begins among the 64 bytes from i on, and goes on before ``end``."""
    at = min(i, len(data) - MIN_BYTES)
    found = byte_mask(data, at, 0x0A, 1) & byte_mask(data, at + 1, 0x0A, 1)
    found |= byte_mask(data, at, 0x3A, 1) & byte_mask(data, at + 1, 0x2F, 1)
    found |= byte_mask(data, at, 0xE2, 1) & byte_mask(data, at + 1, 0x9F, 1)
    found |= equal_mask(data, at, 0x20, _O) & equal_mask(data, at + 1, 0x20, _K)
    found |= equal_mask(data, at, 0x20, _V) & equal_mask(data, at + 1, 0x20, _LOWER_A)
    m_or_p = equal_mask(data, at, 0x20, _M) | equal_mask(data, at, 0x20, _P)
    found |= m_or_p & equal_mask(data, at + 1, 0x20, _S)
    return as_number(found) >> np.uint64(i - at) & ALL_ONES >> np.uint64(64 - min(end - 1 - i, 64))


@inlined
def _look(text: NDArray[np.uint8], i: int, phrases: _Phrases, found: NDArray[np.int64]) -> None:
    """What the pair of bytes means that ends at byte i."""
    byte = text[i]
    if byte == _NEWLINE:
        if i > found[_PARAGRAPH_START]:  # else the newline before ended a paragraph already
            found[_PARAGRAPHS] += 1
            found[_IS_BOILERPLATE] = 0
            found[_PARAGRAPH_START] = i + 1
    elif byte == _SLASH:
        _count_url(text, i - 1, phrases.is_url_byte, phrases.is_hex, found)
    elif byte >= 0x80:
        found[_ANGLE_CHARS] += decode(text, i - 1)[0] in _ANGLES
    else:
        for k in range(len(phrases.pair_end)):
            if _is_phrase(text, i - phrases.pair_end[k], phrases.data, phrases.offsets[k], phrases.offsets[k + 1]):
                found[_LOREM] |= k == phrases.lorem_ipsum
                found[_BOILERPLATE] += 1 - found[_IS_BOILERPLATE]
                found[_IS_BOILERPLATE] = 1


@inner
def _count_url(
    text: NDArray[np.uint8],
    colon: int,
    is_url_byte: NDArray[np.bool_],
    is_hex: NDArray[np.bool_],
    found: NDArray[np.int64],
) -> None:
    """Counts the characters of a URL whose scheme ends at the colon, if there is one. Two URLs share no character."""
    start = _scheme_start(text, colon)
    if start < found[_URL_END]:
        return
    i = colon + 3
    while i < len(text):
        if is_url_byte[text[i]]:
            i += 1
        elif text[i] == _PERCENT and i + 2 < len(text) and is_hex[text[i + 1]] and is_hex[text[i + 2]]:
            i += 3
        else:
            break
    if i > colon + 3:
        found[_URL_CHARS] += i - start
        found[_URL_END] = i


@inner
def _scheme_start(text: NDArray[np.uint8], colon: int) -> int:
    """Where ``http://`` or ``https://`` begins, given its colon; -1 if it is another colon."""
    if colon < 4 or colon + 2 >= len(text) or text[colon + 1] != _SLASH or text[colon + 2] != _SLASH:
        return -1
    start = colon - 4 - (text[colon - 1] == _S)
    if start < 0 or text[start] != _H or text[start + 1] != _T or text[start + 2] != _T or text[start + 3] != _P:
        return -1
    return start


@inner
def _is_phrase(text: NDArray[np.uint8], start: int, phrases: NDArray[np.uint8], first: int, after: int) -> bool:
    """Whether the phrase ``phrases[first:after]`` stands at ``start``, in ASCII letters of any case."""
    if start < 0 or start + after - first > len(text):
        return False
    for k in range(after - first):
        byte = text[start + k]
        if _A <= byte <= _Z:
            byte |= 0x20
        if byte != phrases[first + k]:
            return False
    return True
