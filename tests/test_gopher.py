"""Gopher's rules: every reading of them beside plain Python, the worked examples, and other languages."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import mean, median

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_filters import ODD_TEXTS

from textmill.errors import UnknownNameError, UserError
from textmill.filters import gopher, languages, repetition, segments
from textmill.filters.base import failures, measure
from textmill.filters.gopher import PRESETS, GopherQuality
from textmill.filters.repetition import Repetition
from textmill.filters.segments import Split
from textmill.text import Documents

SHARED = Path(__file__).parents[2] / "shared"
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
    @settings(deadline=None, derandomize=True)
    @given(st.lists(QUALITY_TEXTS | REPEATED_TEXTS, max_size=4), st.sampled_from(GopherQuality.choices["lines"]))
    def test_lines_and_paragraphs_are_pythons(self, texts: list[str], how: Split) -> None:
        pieces = Documents.from_texts(texts).segmentation
        cuts = [(segments.lines, 1)] if how == "splitlines" else [(segments.lines, 1), (segments.paragraphs, 2)]
        for cut, n_newlines in cuts:
            offsets, start, end = cut(pieces, how)
            found = [bytes(pieces.data[a:b]).decode() for a, b in zip(start, end, strict=True)]
            expected = [split_reference(text, how, n_newlines) for text in texts]
            assert [found[a:b] for a, b in itertools.pairwise(offsets)] == expected

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


# The worked examples: the same thresholds, other verdicts. Words are cut at whitespace in all of them.
FOUR = [f"w{i:03}" for i in range(1, 61)]  # distinct words of four letters
EXAMPLES = {
    "A": "alpha beta gamma delta\nalpha beta gamma delta\nsoft rain fell down\nmany dogs hide away",
    "B": " ".join([*FOUR[:30], *FOUR[:12], *FOUR[30:48]]),
    "C": "soft rain fell down",
    "D": "\n\n".join(["menu item"] * 3 + [" ".join(FOUR[i : i + 10]) for i in range(0, 60, 10)]),
    "E": "alpha beta\n\nalpha beta",
}
LINES, LINE_CHARS = "repetition_duplicate_line_frac", "repetition_duplicate_line_char_frac"
TOP2, TOP3, TOP4 = (f"repetition_top_{n}gram_char_frac" for n in (2, 3, 4))
DUP = {n: f"repetition_duplicate_{n}gram_char_frac" for n in range(5, 11)}
CHARS = {"A": 85, "B": 299, "C": 19, "D": 337, "E": 22}  # of the text
LETTERS = {"A": 70, "B": 240, "C": 16, "D": 264, "E": 18}  # of its words

VALUES = [
    # A. Of four lines the second repeats the first; it has 22 characters, all of them 22 + 22 + 19 + 19.
    ("A", LINES, Fraction(1, 4), Fraction(1, 4), Fraction(2, 4), Fraction(2, 4)),
    ("A", LINE_CHARS, Fraction(22, 85), Fraction(22, 82), Fraction(44, 70), Fraction(44, 82)),
    # Two of "alpha beta" (first), "beta gamma" and "gamma delta" (longest, with "gamma" + "delta"): 9 and 10 letters.
    ("A", TOP2, Fraction(2 * 10, 85), Fraction(2 * 10, 85), Fraction(2 * 9, 70), Fraction(2 * 10, 70)),
    # B. Words 31 to 42 repeat words 1 to 12. Greedy: two whole 5-grams fit in; 6-grams two, 7- to 10-grams one.
    ("B", DUP[5], Fraction(2 * 5 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(8 * 2, 56), Fraction(24, 60)),
    ("B", DUP[6], Fraction(2 * 6 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(7 * 2, 55), Fraction(24, 60)),
    ("B", DUP[7], Fraction(7 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(6 * 2, 54), Fraction(24, 60)),
    ("B", DUP[8], Fraction(8 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(5 * 2, 53), Fraction(24, 60)),
    ("B", DUP[9], Fraction(9 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(4 * 2, 52), Fraction(24, 60)),
    ("B", DUP[10], Fraction(10 * 4, 299), Fraction(12 * 4 + 11, 299), Fraction(3 * 2, 51), Fraction(24, 60)),
    # C. Nothing repeats: the first n-gram is the most frequent one, or none is.
    ("C", TOP2, Fraction(9, 19), Fraction(9, 19), Fraction(8, 16), 0),
    ("C", TOP4, 1, 1, 1, 0),
    ("C", DUP[5], 0, 1, 0, 0),
    # D. Nine lines, the first three alike; with blank ones 17, and the 8 blank ones alike.
    ("D", LINES, Fraction(2, 9), Fraction(2, 9), Fraction(3 + 8, 17), Fraction(3, 9)),
    # "menu item menu" twice: 14 characters, 12 letters. A blank line is between its words, so none is replaced.
    ("D", TOP3, Fraction(2 * 14, 337), 0, Fraction(2 * 12, 264), Fraction(2 * 12, 264)),
    # E. Two lines of 10 characters, and a blank one. Dolma divides them by 18 letters.
    ("E", LINES, Fraction(1, 2), Fraction(1, 2), Fraction(2, 3), Fraction(2, 2)),
    ("E", LINE_CHARS, Fraction(10, 22), Fraction(10, 20), Fraction(20, 18), Fraction(20, 20)),
]


def repetition_of(name: str) -> Repetition:
    (scorer,) = (scorer for scorer in PRESETS[name].scorers if isinstance(scorer, Repetition))
    return replace(scorer, words="whitespace")


class TestWorkedExamples:
    def test_the_texts_are_those_of_the_examples(self) -> None:
        assert {name: len(text) for name, text in EXAMPLES.items()} == CHARS
        assert {name: len("".join(text.split())) for name, text in EXAMPLES.items()} == LETTERS

    @pytest.mark.parametrize(("example", "column", "datatrove", "curator", "dolma", "dclm"), VALUES)
    def test_values(
        self, example: str, column: str, datatrove: Fraction, curator: Fraction, dolma: Fraction, dclm: Fraction
    ) -> None:
        expected = {"datatrove": datatrove, "curator": curator, "dolma": dolma, "dclm": dclm}
        found = {whose: rows(repetition_of(f"gopher@{whose}"), [EXAMPLES[example]])[0][column] for whose in expected}
        assert found == pytest.approx({whose: float(value) for whose, value in expected.items()})

    def test_verdicts_on_the_same_rule_differ(self) -> None:
        """B and 5-grams: the published bound is .15; one reading keeps the text, three drop it."""
        (rule,) = (rule for rule in repetition.RULES if rule.column == DUP[5])
        fails = {
            whose: rule.fails(repetition_of(f"gopher@{whose}").score(Documents.from_texts([EXAMPLES["B"]]))[7]).item()
            for whose in ("datatrove", "curator", "dolma", "dclm")
        }
        assert fails == {"datatrove": False, "curator": True, "dolma": True, "dclm": True}

    def test_dolmas_second_version_leaves_blank_lines_out(self) -> None:
        scorer = replace(repetition_of("gopher@dolma"), lines="runs")
        assert [row[LINES] for row in rows(scorer, [EXAMPLES["D"], EXAMPLES["E"]])] == pytest.approx([3 / 9, 1])


class TestPresets:
    def test_names_and_sources(self) -> None:
        whose = "paper datatrove dclm dolma curator cs336".split()
        assert [*PRESETS] == [f"gopher@{name}" for name in whose]
        assert all("arXiv 2112.11446, Table A1; as " in rule.source for p in PRESETS.values() for rule in p.rules)

    def test_each_rule_has_a_column_and_a_reason_of_its_own(self) -> None:
        for each in PRESETS.values():
            columns = [name for scorer in each.scorers for name in scorer.columns.names]
            assert len(set(columns)) == len(columns)
            assert {rule.column for rule in each.rules} <= set(columns)
            assert len({rule.reason for rule in each.rules}) == len(each.rules)

    @pytest.mark.parametrize(
        ("name", "first", "last", "n"),
        [
            ("paper", "gopher_words", "repetition_duplicate_10gram_char", 8 + 13),
            ("datatrove", "repetition_duplicate_paragraph", "gopher_stop_words", 13 + 8),
            ("dclm", "gopher_words", "repetition_duplicate_10gram_char", 7 + 13),
            ("dolma", "gopher_words", "repetition_duplicate_10gram_char", 7 + 11),
            ("curator", "gopher_symbols", "gopher_bullets", 7 + 13),
            ("cs336", "gopher_words", "gopher_alpha", 4),
        ],
    )
    def test_rules_are_in_the_published_order(self, name: str, first: str, last: str, n: int) -> None:
        reasons = [rule.reason for rule in PRESETS[f"gopher@{name}"].rules]
        assert (reasons[0], reasons[-1], len(reasons)) == (first, last, n)

    @pytest.mark.parametrize(
        ("text", "kept_by"),
        [
            ("The quick brown fox jumps over a dog.", ""),
            ("the of " + " ".join(FOUR), "paper datatrove dclm dolma curator cs336"),
            ("the the " + " ".join(FOUR), "dclm dolma curator cs336"),  # one distinct stop word
            ("THE OF " + " ".join(FOUR), "paper dclm cs336"),  # in capitals
            ("thE oF " + " ".join(FOUR), "dclm cs336"),
            ("the of " + " ".join(FOUR[:48]), "paper datatrove dclm dolma curator cs336"),
            ("the of " + " ".join(FOUR[:47]), ""),
            ("the of " + " ".join(FOUR[:47]) + " –", "paper dolma curator cs336"),  # a dash is a word
            ("the of " + " ".join(FOUR) + " #tag" * 7, "curator cs336"),  # 7 of 69 words, but five-grams repeat
        ],
    )
    def test_verdicts(self, text: str, kept_by: str) -> None:
        assert " ".join(name.partition("@")[2] for name in PRESETS if gopher.passes(text, name)) == kept_by

    def test_an_unknown_preset_is_named(self) -> None:
        with pytest.raises(UnknownNameError, match="did you mean 'gopher@dolma'"):
            gopher.passes("", "gopher@dola")

    @pytest.mark.parametrize(
        "make",
        [
            lambda: GopherQuality(symbols="words"),
            lambda: GopherQuality(words="treebanks"),
            lambda: Repetition(paragraphs="splitlines"),
            lambda: Repetition(duplicates="greed"),
        ],
    )
    def test_an_unknown_semantics_is_named(self, make: Callable[[], object]) -> None:
        with pytest.raises(UnknownNameError):
            make()


def table(scorer: GopherQuality, documents: Documents) -> pa.Table:
    return measure((scorer,), documents)


class TestQuality:
    @pytest.mark.parametrize(
        ("document", "bullets", "ellipses"),
        [
            ("• a\n● b\n* c\n- d\n– e", 4 / 5, 0),
            (" \t\u3000- a\n\n\n \u3000\nb - c", 1 / 2, 0),
            ("a...\nb…\u3000\r\n... c\n\n..", 0, 2 / 4),
            ("-\n…\n-...", 2 / 3, 2 / 3),
        ],
    )
    def test_lines_are_stripped_and_blank_ones_do_not_count(
        self, document: str, bullets: float, ellipses: float
    ) -> None:
        (row,) = table(GopherQuality(), Documents.from_texts([document])).to_pylist()
        assert row["gopher_bullet_line_frac"] == pytest.approx(bullets)
        assert row["gopher_ellipsis_line_frac"] == pytest.approx(ellipses)

    def test_a_text_without_words_is_all_zeros(self) -> None:
        for row in table(GopherQuality(), Documents.from_texts(["", " \n\t "])).to_pylist():
            assert set(row.values()) == {0}

    def test_stop_words_are_a_field(self) -> None:
        documents = Documents.from_texts(
            ["Der Hund und die Katze UND der Fisch", "the dog and the cat", "ÜBER uns, über"]
        )
        german = table(GopherQuality(("der", "die", "und", "über")), documents)
        assert german["gopher_n_stop_words"].to_pylist() == [3, 0, 1]
        assert table(GopherQuality(()), documents)["gopher_n_stop_words"].to_pylist() == [0, 0, 0]

    @pytest.mark.parametrize("word", ["", " the", "of the", "a\u3000b"])
    def test_a_stop_word_is_one_word(self, word: str) -> None:
        with pytest.raises(UserError, match="one word"):
            GopherQuality((word,))

    def test_many_stop_words_are_told_apart(self) -> None:
        many = tuple(f"w{i}" for i in range(500))
        documents = Documents.from_texts([" ".join(many), " ".join(many[::2]) + " w500 other", "w7 W7 w7"])
        assert table(GopherQuality(many), documents)["gopher_n_stop_words"].to_pylist() == [500, 250, 1]

    @pytest.mark.parametrize(
        ("inside", "outside"),
        [
            ("the and " * 25, "the and " * 24 + "the"),
            ("the and " * 50_000, "the and " * 50_000 + "the"),
            ("the and" + " abc" * 98, "the and" + " abc" * 97 + " ab"),
            ("the and" + " abcdefghij" * 97 + " a" * 1 + "b" * 23, "the and" + " abcdefghij" * 97 + " a" + "b" * 24),
            ("the and ##########" + " word" * 97, "the and ###########" + " word" * 97),
            ("the and ......" + " ...word" * 8 + " word" * 89, "the and ......" + " ...word" * 9 + " word" * 88),
            ("the and ……" + " …word" * 8 + " word" * 89, "the and ……" + " …word" * 9 + " word" * 88),
            ("- the and\n" * 9 + "words " * 50, "- the and\n" * 10 + "words " * 50),
            ("the and words\n" * 14 + "the and words…\n" * 6, "the and words\n" * 13 + "the and words…\n" * 6),
            ("the and" + " word" * 78 + " 2024" * 20, "the and" + " word" * 77 + " 2024" * 21),
            ("the of" + " word" * 98, "the the" + " word" * 98),
        ],
    )
    def test_passes_on_both_sides_of_a_bound(self, inside: str, outside: str) -> None:
        texts = Documents.from_texts([inside, outside])
        verdicts = failures(gopher.RULES, measure((GopherQuality(),), texts))
        assert verdicts.any(axis=1).tolist() == [False, True]

    def test_passes_takes_any_text(self) -> None:
        assert not any(gopher.passes(text) for text in ["", "\ud800", "\x00"])


GERMAN = (
    "Die Rechtsschutzversicherungsgesellschaften haben in den vergangenen Jahren die Beiträge und die Leistungen ihrer "
    "Kunden mehrfach angepasst. Der Verbraucherschutz sieht das mit Sorge, denn eine Übersicht über die verschiedenen "
    "Angebote ist für den Einzelnen kaum zu gewinnen. Wer sich zu einem Wechsel entschließt, sollte das Kleingedruckte "
    "lesen und auf die Fristen achten, die in der Regel drei Monate zum Jahresende betragen."
)
CHINESE = (
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。人人有资格享有本宣言所载的一切权利和自由，"
    "不分种族、肤色、性别、语言、宗教、政治或其他见解、国籍或社会出身、财产、出生或其他身分等任何区别。人人有权享有生命、自由和人身安全。"
)


class TestLanguages:
    def test_there_are_many(self) -> None:
        assert len(languages.languages()) >= 70
        for differs in languages.languages().values():
            assert len(set(differs.stop_words)) == len(differs.stop_words) >= 8
            assert 0.1 < differs.word_length < 2
            assert 0.5 <= differs.treebank_alpha <= 0.8 >= differs.alpha >= 0.5

    @pytest.mark.parametrize(("language", "text"), [("de", GERMAN), ("zh", CHINESE)])
    @pytest.mark.parametrize("name", PRESETS)
    def test_a_text_passes_in_its_language_only(self, name: str, language: str, text: str) -> None:
        assert gopher.passes(text, name, language)
        assert not gopher.passes(text, name, "ar") or name == "gopher@cs336"

    def test_english_is_the_preset_as_published(self) -> None:
        assert all(gopher.for_language(name, "en") is each for name, each in PRESETS.items())

    def test_what_changes(self) -> None:
        finnish = gopher.for_language("gopher@dclm", "fi")
        assert (finnish.name, len(finnish.rules)) == ("gopher@dclm/fi", len(PRESETS["gopher@dclm"].rules))
        quality = finnish.scorers[0]
        assert isinstance(quality, GopherQuality)
        assert {"on", "ja", "ei"} <= set(quality.stop_words)
        bounds = {rule.reason: (rule.low, rule.high) for rule in finnish.rules}
        longer = languages.language("fi").word_length
        assert bounds["gopher_word_length"] == (round(3 * longer, 2), round(10 * longer, 2))
        assert bounds["gopher_words"] == (50, 100_000)

    def test_languages_without_spaces_are_cut_into_characters(self) -> None:
        chinese = gopher.for_language("gopher@curator", "zh")
        assert {scorer.words for scorer in chinese.scorers if isinstance(scorer, GopherQuality | Repetition)} == {
            "unicode"
        }
        assert not any("gram" in rule.column for rule in chinese.rules)
        (words,) = (rule for rule in chinese.rules if rule.reason == "gopher_words")
        assert words.low == 50 * languages.language("zh").n_words > 60

    @pytest.mark.parametrize(("name", "language"), [("gopher@dolma", "eng"), ("gopher@paperr", "de")])
    def test_an_unknown_name_is_named(self, name: str, language: str) -> None:
        with pytest.raises(UnknownNameError, match=r"did you mean 'en'|did you mean 'gopher@paper'"):
            gopher.passes("", name, language)

    def test_the_words_of_every_source_count_most(self) -> None:
        laws = "the law of the land and the right of the people".split() * 5
        chats = "the cat and the dog of the house".split() * 5
        assert languages.stop_words([laws, chats])[:3] == ["and", "of", "the"]

    @pytest.mark.skipif(not (SHARED / "data" / "languages").exists(), reason="../shared/data/languages is not there")
    def test_the_file_is_what_the_data_give(self) -> None:
        used, held_out = languages.split_web(languages.read(SHARED / "data" / "languages"))
        made = languages.make(
            {name: {code: of[code] for code in ("de", "en", "th") if code in of} for name, of in used.items()}
        )
        for code in ("de", "th"):
            assert made[code] == {
                **vars(languages.language(code)),
                "stop_words": " ".join(languages.language(code).stop_words),
            }
        measured = {
            code: (own, refused)
            for code, own, refused in languages.validate({code: texts[:300] for code, texts in held_out.items()})
        }
        assert min(own for own, _ in measured.values()) > 0.94
        assert mean(own for own, _ in measured.values()) > 0.995
        assert mean(refused for _, refused in measured.values()) > 0.93
