"""What in a text makes a rule fail: the lines and spans that its column counts, for people to look at.

`MARKERS` says by the name of a column what to look for; a column without an entry marks nothing. Marks are an
approximation in plain Python of what the scorers count exactly, over a text of bounded length: they show where to look.
A share that is too low is marked by what lacks (lines without an end mark), one that is too high by what is there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # start and end, in characters
Marker: TypeAlias = Callable[[str], Iterator[Span]]

END_MARKS = ".?!\"'”’。？！…"
BULLETS = "•‣⁃∙○●◘◦*-–"
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
COUNTERS = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers".split()
SHORT_LINE_CHARS = 30


def marks_of(column: str, text: str) -> list[Span]:
    """The spans of a text that a rule on ``column`` is about, in their order, none of them overlapping."""
    marker = next((marker for pattern, marker in MARKERS if re.fullmatch(pattern, column)), None)
    return _merged(sorted(marker(text))) if marker else []


def pieces_of(text: str, marks: Sequence[Sequence[int]]) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it is marked. Joined they are the text."""
    pieces, at = [], 0
    for start, end in marks:
        pieces += [(text[at:start], False), (text[start:end], True)]
        at = end
    return [(piece, marked) for piece, marked in [*pieces, (text[at:], False)] if piece]


def excerpt(column: str, text: str, n_chars: int) -> tuple[int, list[list[int]]]:
    """Where ``n_chars`` of a text begin that show why it fails, and the marks in them, counted from there.

    That is its beginning; or, if the first mark would hardly be seen there, what stands around that.
    """
    spans = marks_of(column, text)
    start = spans[0][0] - n_chars // 4 if spans and spans[0][0] > 3 * n_chars // 4 else 0
    inside = ([max(a - start, 0), min(b - start, n_chars)] for a, b in spans if start < b and a < start + n_chars)
    return start, list(inside)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif start < end:
            merged.append((start, end))
    return merged


def _lines(text: str) -> Iterator[tuple[str, Span]]:
    """Each line that is not blank, without white space around it, and where it is."""
    for match in re.finditer(r"[^\n]+", text):
        line = match.group().strip()
        if line:
            start = match.start() + match.group().index(line)
            yield line, (start, start + len(line))


def lines_that(is_meant: Callable[[str], bool]) -> Marker:
    """A marker of the lines for which ``is_meant``."""
    return lambda text: (span for line, span in _lines(text) if is_meant(line))


def spans_like(pattern: str) -> Marker:
    """A marker of the matches of a regular expression, whatever their case."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: (match.span() for match in compiled.finditer(text))


def duplicate_lines(text: str) -> Iterator[Span]:
    """Lines that occur more than once."""
    return _repeated(list(_lines(text)))


def duplicate_paragraphs(text: str) -> Iterator[Span]:
    """Paragraphs that occur more than once."""
    found = re.finditer(r"\S(?:(?!\n\s*\n).)*", text, re.DOTALL)
    return _repeated([(match.group().strip(), match.span()) for match in found])


def _repeated(pieces: list[tuple[str, Span]]) -> Iterator[Span]:
    counts = Counter(piece for piece, _ in pieces)
    return (span for piece, span in pieces if counts[piece] > 1)


def _ngrams(text: str, n: int) -> list[tuple[tuple[str, ...], Span]]:
    found = list(re.finditer(r"\S+", text))
    words, ends = [word.group() for word in found], [word.end() for word in found]
    ngrams = zip(*(words[i:] for i in range(n)), strict=False)
    return list(zip(ngrams, zip((word.start() for word in found), ends[n - 1 :], strict=False), strict=False))


def top_ngram(n: int) -> Marker:
    """A marker of all copies of the most frequent n words in a row, if there are any."""

    def mark(text: str) -> Iterator[Span]:
        ngrams = _ngrams(text, n)
        counts = Counter(words for words, _ in ngrams)
        top, count = max(counts.items(), key=lambda item: (item[1], sum(map(len, item[0]))), default=((), 0))
        return (span for words, span in ngrams if words == top and count > 1)

    return mark


def duplicate_ngrams(n: int) -> Marker:
    """A marker of all n words in a row that occur more than once."""

    def mark(text: str) -> Iterator[Span]:
        ngrams = _ngrams(text, n)
        counts = Counter(words for words, _ in ngrams)
        return (span for words, span in ngrams if counts[words] > 1)

    return mark


def longest_word(text: str) -> Iterator[Span]:
    """The longest word, the first of several."""
    found = max(re.finditer(r"\S+", text), key=lambda word: len(word.group()), default=None)
    return iter([found.span()] if found else [])


def _is_uppercase(line: str) -> bool:
    return 2 * sum(map(str.isupper, line)) > len(line)


def _is_dropped(line: str) -> bool:
    """Whether RefinedWeb's edits drop the line."""
    return _is_uppercase(line) or line.isdigit() or len(line.split()) < 2 or _is_counter(line) is not None


def words_without_letters(text: str) -> Iterator[Span]:
    """Words in which no character is a letter."""
    return (m.span() for m in re.finditer(r"\S+", text) if not any(map(str.isalpha, m.group())))


_UNPUNCTUATED = lines_that(lambda line: line[-1] not in END_MARKS)
_ELLIPSIS_LINES = lines_that(lambda line: line.endswith(("...", "…")))
_BULLET_LINES = lines_that(lambda line: line[0] in BULLETS)
_JAVASCRIPT_LINES = lines_that(lambda line: "javascript" in line.lower())
_is_counter = re.compile(r"\d[\d.,]*[kmb]?\s+(?:" + "|".join(COUNTERS) + ")", re.IGNORECASE).fullmatch
_POLICY = spans_like("|".join(map(re.escape, POLICY)))

# The first pattern that matches all of a column's name.
MARKERS: tuple[tuple[str, Marker], ...] = (
    (r"repetition_duplicate_paragraph.*", duplicate_paragraphs),
    (r"repetition_duplicate_line.*|fineweb_duplicate_char_frac", duplicate_lines),
    *((rf"repetition_top_{n}gram_char_frac", top_ngram(n)) for n in (2, 3, 4)),
    *((rf"repetition_duplicate_{n}gram_char_frac", duplicate_ngrams(n)) for n in range(5, 11)),
    (r".*ellipsis_line_frac|.*end_with_ellipsis", _ELLIPSIS_LINES),
    (r".*bullet_line_frac|.*bulletpoint", _BULLET_LINES),
    (r"gopher_alpha_word_frac|rps_doc_frac_no_alph_words", words_without_letters),
    (r"gopher_hash_word_frac", spans_like("#")),
    (r"gopher_ellipsis_word_frac", spans_like(r"\.\.\.|…")),
    (r"gopher_symbol_word_frac|rps_doc_symbol_to_word_ratio", spans_like(r"#|\.\.\.|…")),
    (r".*lorem_ipsum", spans_like("lorem ipsum")),
    (r".*curly_bracket", spans_like("[{}]")),
    (r"c4_n_javascript_lines|rps_lines_javascript_counts", _JAVASCRIPT_LINES),
    (r"c4_n_policy_lines|curator_boilerplate_paragraph_frac", _POLICY),
    (r".*punctuated_line_frac|c4_n_unpunctuated_lines|.*terminal_punctution_mark", _UNPUNCTUATED),
    (r"fineweb_short_line_frac", lines_that(lambda line: len(line) <= SHORT_LINE_CHARS)),
    (r"c4_n_short_lines|refinedweb_n_short_lines", lines_that(lambda line: len(line.split()) < 3)),
    (r"refinedweb_n_uppercase_lines", lines_that(_is_uppercase)),
    (r"refinedweb_n_digit_lines", lines_that(str.isdigit)),
    (r"refinedweb_removed_word_frac", lines_that(_is_dropped)),
    (r"rps_doc_frac_all_caps_words", spans_like(r"\b(?-i:[A-Z]{2,})\b")),
    (r"pii_n_contacts", spans_like(r"\|\|\|[a-z_]+\|\|\|")),  # as they are masked
    (r"curator_longest_word_chars", longest_word),
    (r"curator_digit_char_frac", spans_like(r"\d+")),
    (r"curator_url_char_frac", spans_like(r"https?://\S+")),
    (r"curator_parenthesis_char_frac", spans_like(r"[()\[\]{}<>]")),
    (r"curator_non_alphanumeric_char_frac", spans_like(r"[^a-z0-9\n?!,. ]+")),
)
