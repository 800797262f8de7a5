"""C4's rules: Raffel et al. 2020, "Exploring the Limits of Transfer Learning" (JMLR 21:140), section 2.2.

Lines are dropped first, then documents are judged by what is left. A line goes for the first of these: a word of more
than 1,000 characters; no end mark (``. ? ! "``) at its end; too few words; "javascript"; a phrase of cookie and policy
notices. Citation marks (``[1]``, ``[edit]``, ``[citation needed]``) are cut out before the end mark is looked for. Then
a document needs enough sentences, and has neither "lorem ipsum" nor a curly bracket.

Two wordings of the paper circulate, 5 sentences and 3 words a line, and 3 sentences and 5 words; the public versions
differ in more than that. All of it is in the fields, and the presets give the readings:

- tensorflow_datasets (``c4@tfds``): words are counted after citations are cut out; the first of "lorem ipsum" and "{"
  that is met in a line that got that far ends the search.
- datatrove (``c4@datatrove``; FineWeb uses it without the rule on end marks, ``c4@fineweb``): "'" is an end mark too,
  words are counted with citations.
- DCLM (``c4@dclm``): lines are not stripped, so an end mark may have a citation behind it; empty lines stay. Its
  removal of duplicate lines, its language rule and its second count of sentences are not in the preset.
- Dolma (``c4@dolma``): taggers that drop nothing by themselves; the preset drops documents by its flags, which look at
  all lines, and has no rule on sentences. "javascript" counts if it is a word of its own, as in version 1.
- The paper: the marks are looked for in all lines; no limit on words' length. The rule on repeated three-sentence
  spans needs other documents and is not here.

Lines, words and whitespace are Python's (`textmill.text`), blank lines do not count. Phrases match in either case of
ASCII letters; any number, of any script, makes a citation. Sentences are those of `Segmentation.sentences` that begin
in a kept line, and one more if a line's first words go on with the line before: published counts come from NLTK's
Punkt or spaCy, line by line. An empty text has 0 in every column.

mC4's rule (Xue et al. 2021, arXiv 2010.11934) is ``c4@mc4``: at least 3 lines of at least 200 characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import as_read_only, copy_bytes, glue, inner, kernel
from textmill.characters import decode_before
from textmill.errors import UnknownNameError
from textmill.filters import lexicon
from textmill.filters.base import Editor, Preset, Rule, Scorer, named, numbers
from textmill.filters.line_marks import (
    Lines,
    character_set,
    count_words,
    cut_lines,
    last_character,
    strip_in_place,
    words_of_lines,
)
from textmill.filters.list_files import ListFile
from textmill.filters.phrases import begins_with, find_phrases, phrase_table
from textmill.filters.segments import strip_end, strip_start
from textmill.text import NUMBER, SPACE, Documents, character_classes, decode

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
PAGE_MARKS = ("all", "reached", "first")
JAVASCRIPT = ("line", "word")

COLUMNS = pa.schema(
    [
        pa.field("c4_n_chars", pa.int32(), nullable=False),
        pa.field("c4_n_lines", pa.int32(), nullable=False),  # that are not blank
        pa.field("c4_n_long_word_lines", pa.int32(), nullable=False),  # dropped for it; and so on, the first cause only
        pa.field("c4_n_unpunctuated_lines", pa.int32(), nullable=False),
        pa.field("c4_n_short_lines", pa.int32(), nullable=False),
        pa.field("c4_n_javascript_lines", pa.int32(), nullable=False),
        pa.field("c4_n_policy_lines", pa.int32(), nullable=False),
        pa.field("c4_kept_line_frac", pa.float32(), nullable=False),
        pa.field("c4_n_sentences", pa.int32(), nullable=False),  # of the lines that stay
        pa.field("c4_lorem_ipsum", pa.uint8(), nullable=False),  # 1 if the phrase was met
        pa.field("c4_curly_bracket", pa.uint8(), nullable=False),  # 1 if a "{" was met
        pa.field("c4_n_long_lines", pa.int32(), nullable=False),  # of at least 200 characters, blank ones too
    ]
)
BAD_WORDS_COLUMNS = pa.schema(
    [
        pa.field("c4_n_bad_words", pa.int32(), nullable=False),  # distinct entries of the lists
        pa.field("c4_n_bad_word_hits", pa.int32(), nullable=False),
    ]
)
LONG_LINE_CHARS = 200  # mC4

# What became of a line; the drops in the order of the checks.
_KEPT, _BLANK, _LONG_WORD, _NO_END, _SHORT, _JAVASCRIPT, _POLICY = map(np.uint8, range(7))
_DROPS = {
    "long_word_lines": _LONG_WORD,
    "unpunctuated_lines": _NO_END,
    "short_lines": _SHORT,
    "javascript_lines": _JAVASCRIPT,
    "policy_lines": _POLICY,
}
_N_FATES = 7
# Marks of lines, by the order of the groups of phrases.
_HAS_JAVASCRIPT, _HAS_POLICY, _HAS_LOREM, _HAS_CURLY, _HAS_BRACKET = (np.uint8(1 << k) for k in range(5))
_ALL, _REACHED, _FIRST = range(3)  # as in PAGE_MARKS
_DOT, _OPEN, _CLOSE, _NEWLINE = map(ord, ".[]\n")
_ELLIPSIS = ord("…")
_EDIT, _NEEDED = (np.frombuffer(mark, np.uint8) for mark in (b"[edit]", b"[citation needed]"))
_JAVASCRIPT_WORD = np.frombuffer(b"javascript", np.uint8)


@dataclass(frozen=True)
class _LineRules:
    """Which lines are dropped; shared by the scorer and the editor. Errors: `UnknownNameError`."""

    line_split: str = "splitlines"  # or "newline"
    strip: bool = True  # lines lose the whitespace around them before all else; if not, they keep it, and it is no end
    keep_empty: bool = False  # lines without any character stay
    max_word_chars: int = 1000  # 0: no limit
    citations: bool = True  # they are cut out
    end_marks: str = '.?!"'  # "": a line needs none
    ellipsis_ends: bool = False  # whether a line may end with "..." or "…"
    min_words: int = 5
    count_citations: bool = False  # as words
    javascript: str = "line"  # drop the line; or "word": count lines with this word in any case, drop none
    policy_phrases: tuple[str, ...] = POLICY_PHRASES
    page_marks: str = "first"  # "lorem ipsum" and "{" count in "all" lines; or in those that "reached" the check after
    # the number of words; "first": of the latter, only the first line with one of the two counts

    def __post_init__(self) -> None:
        if self.page_marks not in PAGE_MARKS:
            raise UnknownNameError("page_marks", self.page_marks, PAGE_MARKS)
        if self.javascript not in JAVASCRIPT:
            raise UnknownNameError("javascript", self.javascript, JAVASCRIPT)

    def judge(self, documents: Documents) -> _Judged:
        """What becomes of the lines; found once a batch, for the scorer and the editor."""
        rules = tuple(getattr(self, name) for name in _LineRules.__dataclass_fields__)
        return documents.once(("c4", rules), lambda: self._judge(documents))

    def _judge(self, documents: Documents) -> _Judged:
        pieces, classes = documents.segmentation, character_classes()
        lines = cut_lines(pieces, self.line_split)
        groups = (("javascript",), self.policy_phrases, ("lorem ipsum",), ("{",), ("[",) if self.citations else ())
        marks = find_phrases(pieces.data, lines.start, lines.end, phrase_table(groups))
        if self.javascript == "word":
            _unmark_parts_of_words(pieces.data, lines.start, lines.end, classes, marks)
        of_words = words_of_lines(pieces, self.line_split), pieces.words.n_chars
        rules = (
            self.max_word_chars,
            self.strip,
            bool(self.end_marks),
            self.ellipsis_ends,
            self.min_words,
            not self.count_citations,
            self.javascript == "line",
        )
        ends = character_set(self.end_marks)
        fates = _fates(pieces.data, lines.start, lines.end, marks, *of_words, classes, ends, *rules)
        return _Judged(lines, marks, fates)


@dataclass(frozen=True)
class _Judged:
    """Lines, the phrases in them, and what became of them."""

    lines: Lines
    marks: NDArray[np.uint8]
    fates: NDArray[np.uint8]


@dataclass(frozen=True)
class C4(_LineRules, Scorer):
    """Counts what C4's rules bound."""

    version: ClassVar[int] = 2

    @property
    def columns(self) -> pa.Schema:
        """The same for all fields."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces, judged = documents.segmentation, self.judge(documents)
        lines, fates = judged.lines, judged.fates
        lorem, curly = _page_marks(lines.offsets, judged.marks, fates, PAGE_MARKS.index(self.page_marks))
        n_fates = _count_values(lines.offsets, fates, _N_FATES)
        if self.javascript == "word":
            n_fates[:, _JAVASCRIPT] = _count_values(lines.offsets, judged.marks & _HAS_JAVASCRIPT, 2)[:, 1]
        n_lines = np.diff(lines.offsets) - n_fates[:, _BLANK]
        newlines = pieces.lines
        bounds = (lines.offsets, lines.start, lines.end, fates)
        n_sentences = _count_sentences(pieces.data, *bounds, character_classes(), pieces.sentences.start)
        values = [
            pieces.n_chars,
            n_lines,
            *(n_fates[:, fate] for fate in _DROPS.values()),
            n_fates[:, _KEPT] / np.maximum(n_lines, 1),
            n_sentences,
            lorem,
            curly,
            newlines.sums(newlines.n_chars >= LONG_LINE_CHARS),
        ]
        return numbers(values, COLUMNS)


@dataclass(frozen=True)
class C4Lines(_LineRules, Editor):
    """Drops the lines that the rules drop, and cuts citations out of the others."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "c4"
    kinds: ClassVar[tuple[str, ...]] = (*_DROPS, "citations")

    def edit(self, documents: Documents) -> tuple[pa.LargeStringArray, Mapping[str, NDArray[np.int64]]]:
        """The texts of what stays, and the lines dropped for each cause, the first only; see `Editor.edit`."""
        pieces, judged = documents.segmentation, self.judge(documents)
        lines, fates = judged.lines, judged.fates
        arguments = (lines.offsets, lines.start, lines.end, judged.marks, fates, character_classes())
        data, offsets, n_citations = _keep(pieces.data, *arguments, self.strip, self.keep_empty)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        n_fates = _count_values(lines.offsets, fates, _N_FATES)
        changes = {kind: n_fates[:, fate] for kind, fate in _DROPS.items()} | {"citations": n_citations}
        return pa.Array.from_buffers(pa.large_string(), len(documents), buffers), changes


@dataclass(frozen=True)
class BadWords(Scorer):
    """Entries of word lists in a text, such as LDNOOBW's. Errors, on first use: `EnvironmentFault` for a changed list.

    C4 drops a document with a single hit. The lists are English in the paper, of the document's language in mC4.
    """

    lists: tuple[ListFile, ...] = ()

    @property
    def columns(self) -> pa.Schema:
        """The same for all lists."""
        return BAD_WORDS_COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        hits = lexicon.count_hits(documents, self.lists)
        return numbers(hits, BAD_WORDS_COLUMNS)


_PAPER = "C4, JMLR 21:140, section 2.2"
_TFDS = "C4, tensorflow_datasets c4_utils.py"
_DATATROVE = "C4, datatrove 0.10 c4_filters.py"
_DCLM = "C4, DCLM c4.yaml"
_DOLMA = "C4, Dolma taggers c4_v1"
_MC4 = "mC4, arXiv 2010.11934, section 3.1"

BAD_WORDS_RULES = (Rule("c4_bad_words", "c4_n_bad_words", high=0, source=_PAPER),)


def bad_words(paths: Iterable[str]) -> Preset:
    """C4's rule on bad words, with the lists at these paths. Errors: those of `lexicon.find_lists`."""
    return Preset("bad words", _PAPER, (BadWords(lexicon.find_lists(paths)),), BAD_WORDS_RULES)


def _page_rules(source: str, min_sentences: int = 0) -> tuple[Rule, ...]:
    """The rules on documents, in the order of the public versions."""
    marks = (
        Rule("c4_lorem_ipsum", "c4_lorem_ipsum", high=0, source=source),
        Rule("c4_curly_bracket", "c4_curly_bracket", high=0, source=source),
    )
    sentences = (Rule("c4_sentences", "c4_n_sentences", low=min_sentences, source=source),)
    return marks + sentences if min_sentences else marks


def _preset(name: str, source: str, rules: tuple[Rule, ...], fields: Mapping[str, Any]) -> Preset:
    return Preset(name, source, (C4(**fields),), rules, (C4Lines(**fields),))


_OF_PAPER = {"max_word_chars": 0, "ellipsis_ends": True, "page_marks": "all"}
_OF_DATATROVE = {"end_marks": ".?!\"'", "min_words": 3, "count_citations": True}
_OF_DCLM = {"line_split": "newline", "strip": False, "keep_empty": True, "page_marks": "reached"}
_OF_DOLMA = _OF_PAPER | {
    "line_split": "newline",
    "strip": False,
    "citations": False,
    "min_words": 3,
    "javascript": "word",
    "policy_phrases": (),
}
_PRESETS = (
    _preset("c4@tfds", _TFDS, _page_rules(_TFDS, 3), {}),
    _preset("c4@datatrove", _DATATROVE, _page_rules(_DATATROVE, 5), _OF_DATATROVE),
    _preset("c4@fineweb", _DATATROVE, _page_rules(_DATATROVE, 5), _OF_DATATROVE | {"end_marks": ""}),
    _preset(
        "c4@dclm",
        _DCLM,
        (Rule("c4_page_chars", "c4_n_chars", high=190_000, source=_DCLM), *_page_rules(_DCLM, 3)),
        _OF_DCLM,
    ),
    _preset(
        "c4@dolma",
        _DOLMA,
        (Rule("c4_javascript", "c4_n_javascript_lines", high=0, source=_DOLMA), *_page_rules(_DOLMA)),
        _OF_DOLMA,
    ),
    _preset("c4@paper-5s3w", _PAPER, _page_rules(_PAPER, 5), _OF_PAPER | {"min_words": 3}),
    _preset("c4@paper-3s5w", _PAPER, _page_rules(_PAPER, 3), _OF_PAPER | {"min_words": 5}),
    Preset("c4@mc4", _MC4, (C4(),), (Rule("c4_long_lines", "c4_n_long_lines", low=3, source=_MC4),)),
)
PRESETS = {preset.name: preset for preset in _PRESETS}
RULES = PRESETS["c4@tfds"].rules


def passes(text: str, preset: str = "c4@tfds") -> bool:
    """Whether one text passes the rules on documents of a preset. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


# Kernels


@kernel
def _fates(  # type: ignore[no-untyped-def]
    data,
    start,
    end,
    marks,
    word_offsets,
    word_chars,
    classes,
    ends,
    max_word_chars,
    strip,
    need_end,
    ellipsis_ends,
    min_words,
    recount,
    javascript,
):
    """What becomes of each line: uint8 [lines]."""
    fates = np.empty(start.size, np.uint8)
    most = max_word_chars if max_word_chars else data.size  # bytes, too, of a line without a longer word
    for k in range(start.size):
        first = strip_start(data, start[k], end[k], classes)
        if first == end[k]:
            fates[k] = _BLANK
        elif end[k] - start[k] > most and _has_long(word_chars[word_offsets[k] : word_offsets[k + 1]], most):
            fates[k] = _LONG_WORD
        else:
            last = strip_end(data, first, end[k], classes)
            n = word_offsets[k + 1] - word_offsets[k]
            if marks[k] & _HAS_BRACKET:
                line, zero = as_read_only(_without_citations(data[first:last], classes)), np.int64(0)
                last = line.size if strip else strip_end(line, zero, line.size, classes)
                good_end = _ends_well(line, zero, last, ends, ellipsis_ends)
                n = count_words(line, zero, last, classes) if recount else n
            else:
                good_end = _ends_well(data, first, last, ends, ellipsis_ends)
            if need_end and not good_end:
                fates[k] = _NO_END
            elif n < min_words:
                fates[k] = _SHORT
            elif javascript and marks[k] & _HAS_JAVASCRIPT:
                fates[k] = _JAVASCRIPT
            elif marks[k] & _HAS_POLICY:
                fates[k] = _POLICY
            else:
                fates[k] = _KEPT
    return fates


@glue
def _has_long(word_chars, most):  # type: ignore[no-untyped-def]
    n_long = 0
    for n_chars in word_chars:
        n_long += n_chars > most
    return n_long > 0


@inner
def _ends_well(text, start, end, ends, ellipsis_ends):  # type: ignore[no-untyped-def]
    """Whether ``text[start:end]`` ends with an end mark."""
    if start == end:
        return False
    last = last_character(text, start, end)[0]
    if not ends[last]:
        return False
    three_dots = end - start >= 3 and text[end - 1] == text[end - 2] == text[end - 3] == _DOT
    return ellipsis_ends or not (three_dots or last == _ELLIPSIS)


@inner
def _citation_end(line, i, classes):  # type: ignore[no-untyped-def]
    """The end of the citation that begins with the bracket at byte i; i if there is none."""
    for mark in (_EDIT, _NEEDED):
        if begins_with(line, i, mark):
            return i + mark.size
    j = i + 1
    while j < line.size:
        code_point, size = decode(line, j)
        if classes[code_point] != NUMBER:
            break
        j += size
    return j + 1 if j < line.size and line[j] == _CLOSE else i


@kernel
def _without_citations(line, classes):  # type: ignore[no-untyped-def]
    kept = np.empty(line.size, np.uint8)
    n = _copy_without_citations(line, kept, np.int64(0), classes)[0]
    return kept[:n]


@inner
def _copy_without_citations(line, out, n, classes):  # type: ignore[no-untyped-def]
    """Writes the line from ``out[n]`` on; returns (where it ends, how many citations were left out)."""
    i = n_citations = np.int64(0)
    while i < line.size:
        end = _citation_end(line, i, classes) if line[i] == _OPEN else i
        if end > i:
            n_citations += 1
            i = end
        else:
            out[n] = line[i]
            n += 1
            i += 1
    return n, n_citations


@kernel
def _unmark_parts_of_words(data, start, end, classes, marks):  # type: ignore[no-untyped-def]
    """Takes the mark of "javascript" from lines that have it only as a part of longer words."""
    for k in range(start.size):
        if marks[k] & _HAS_JAVASCRIPT and not _has_javascript_word(data, start[k], end[k], classes):
            marks[k] ^= _HAS_JAVASCRIPT


@inner
def _has_javascript_word(data, i, end, classes):  # type: ignore[no-untyped-def]
    """Whether a word of ``data[i:end]`` is "javascript" in any ASCII case."""
    n_same = 0  # characters of the current word that agree; -1 if one does not
    while i <= end:
        code_point, size = (np.uint32(_NEWLINE), 1) if i == end else decode_before(data, i, end)
        if classes[code_point] == SPACE:
            if n_same == _JAVASCRIPT_WORD.size:
                return True
            n_same = 0
        elif 0 <= n_same < _JAVASCRIPT_WORD.size and code_point < 0x80 and code_point | 32 == _JAVASCRIPT_WORD[n_same]:
            n_same += 1
        else:
            n_same = -1
        i += size
    return False


@kernel
def _page_marks(offsets, marks, fates, where):  # type: ignore[no-untyped-def]
    """Whether "lorem ipsum" and "{" were met in each document: two uint8 [documents]."""
    lorem, curly = np.zeros(offsets.size - 1, np.uint8), np.zeros(offsets.size - 1, np.uint8)
    for document in range(offsets.size - 1):
        for k in range(offsets[document], offsets[document + 1]):
            fate = fates[k]
            has_lorem = marks[k] & _HAS_LOREM and (where == _ALL or fate in (_KEPT, _JAVASCRIPT, _POLICY))
            has_curly = marks[k] & _HAS_CURLY and (where == _ALL or fate in (_KEPT, _POLICY))
            if where == _FIRST and (has_lorem or has_curly):
                lorem[document], curly[document] = has_lorem, not has_lorem
                break
            lorem[document] |= has_lorem
            curly[document] |= has_curly
    return lorem, curly


@kernel
def _count_values(offsets, values, n_values):  # type: ignore[no-untyped-def]
    """How often each value below ``n_values`` occurs in each document: int64 [documents, values]."""
    counts = np.zeros((offsets.size - 1, n_values), np.int64)
    for document in range(offsets.size - 1):
        for k in range(offsets[document], offsets[document + 1]):
            counts[document, values[k]] += 1
    return counts


@kernel
def _count_sentences(data, offsets, start, end, fates, classes, sentence_start):  # type: ignore[no-untyped-def]
    """Sentences in the kept lines of each document, one at least in each line: int64 [documents]."""
    n_sentences = np.zeros(offsets.size - 1, np.int64)
    sentence = 0
    for document in range(offsets.size - 1):
        for k in range(offsets[document], offsets[document + 1]):
            while sentence < sentence_start.size and sentence_start[sentence] < start[k]:
                sentence += 1
            first = sentence
            while sentence < sentence_start.size and sentence_start[sentence] < end[k]:
                sentence += 1
            if fates[k] == _KEPT:
                n = sentence - first
                begins = n > 0 and sentence_start[first] <= strip_start(data, start[k], end[k], classes)
                n_sentences[document] += n if begins else n + 1
    return n_sentences


@kernel
def _keep(data, offsets, start, end, marks, fates, classes, strip, keep_empty):  # type: ignore[no-untyped-def]
    """The kept lines of each document, joined by newlines: (bytes, offsets [documents + 1], citations cut out)."""
    out = np.empty(end[-1] - start[0] if start.size else 0, np.uint8)
    out_offsets = np.zeros(offsets.size, np.int64)
    n_citations = np.zeros(offsets.size - 1, np.int64)
    n = 0
    for document in range(offsets.size - 1):
        is_first = True
        for k in range(offsets[document], offsets[document + 1]):
            if fates[k] == _KEPT or (keep_empty and start[k] == end[k]):
                if not is_first:
                    out[n] = _NEWLINE
                    n += 1
                is_first = False
                first, last = start[k], end[k]
                if strip:
                    first = strip_start(data, first, last, classes)
                    last = strip_end(data, first, last, classes)
                if marks[k] & _HAS_BRACKET:
                    n, n_cut = _copy_without_citations(data[first:last], out, n, classes)
                    n_citations[document] += n_cut
                else:
                    copy_bytes(out, n, data, first, last - first)
                    n += last - first
        if strip:
            n = strip_in_place(out, out_offsets[document], n, classes)  # citations leave spaces behind
        out_offsets[document + 1] = n
    return out[:n], out_offsets, n_citations
