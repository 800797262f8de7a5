"""RedPajama-V2's signals against plain Python that follows their definitions."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError
from textmill.filters import preset, signals
from textmill.filters import signals_kernels as kernels
from textmill.filters.signals import STOP_WORDS, RedPajamaSignals
from textmill.text import Documents

BULLETS = tuple("•‣▶◀◦■□▪▫–")
RAW_WORD = re.compile(r"\w+|[^\w\s]+")


def normalise(text: str) -> str:
    """Character by character: no final sigma, and combining marks stay where they are."""
    kept = "".join(c.lower() for c in text if c not in string.punctuation)
    return "".join(unicodedata.normalize("NFD", c) for c in " ".join(kept.split()))


def ratio(n: float, of: float) -> float:
    return n / of if of else 0.0


def reference(text: str, stop_words: tuple[str, ...] = STOP_WORDS) -> dict[str, float]:
    raw, normal = RAW_WORD.findall(text), normalise(text)
    words = normal.split()
    counts = Counter(words)
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    normal_lines = [normalise(line) for line in lines]
    upper = [sum(map(str.isupper, line)) / len(line) for line in lines]
    numeric = [ratio(sum(map(str.isnumeric, line)), len(line)) for line in normal_lines]
    return {
        "rps_doc_word_count": len(words),
        "rps_doc_mean_word_length": ratio(sum(map(len, words)), len(words)),
        "rps_doc_frac_unique_words": ratio(len(counts), len(words)),
        "rps_doc_unigram_entropy": -sum(n / len(words) * math.log(n / len(words)) for n in counts.values()),
        "rps_doc_lorem_ipsum": ratio(normal.count("lorem ipsum"), len(normal)),
        "rps_doc_symbol_to_word_ratio": ratio(sum(map(text.count, ("#", "...", "…"))), len(raw)),
        "rps_doc_frac_no_alph_words": ratio(sum(not re.search("[a-zA-Z]", word) for word in raw), len(raw)),
        "rps_doc_frac_all_caps_words": ratio(sum(map(str.isupper, raw)), len(raw)),
        "rps_doc_stop_word_fraction": ratio(sum(word in stop_words for word in raw), len(raw)),
        "rps_doc_curly_bracket": ratio(text.count("{") + text.count("}"), len(text)),
        "rps_doc_num_sentences": len(re.findall(r"\b[^.!?]+[.!?]*", text)),
        "rps_doc_frac_lines_end_with_ellipsis": mean(line.rstrip().endswith(("...", "…")) for line in lines),
        "rps_lines_ending_with_terminal_punctution_mark": mean(line.rstrip().endswith(tuple(".!?”")) for line in lines),
        "rps_lines_start_with_bulletpoint": mean(line.lstrip().startswith(BULLETS) for line in lines),
        "rps_lines_uppercase_letter_fraction": mean(upper),
        "rps_lines_numerical_chars_fraction": mean(numeric),
        "rps_lines_num_words": mean(len(line.split()) for line in normal_lines),
        "rps_lines_javascript_counts": mean(line.split().count("javascript") for line in normal_lines),
    }


def mean(values: object) -> float:
    listed = list(values)  # type: ignore[call-overload]
    return ratio(sum(listed), len(listed))


def score(*texts: str, scorer: RedPajamaSignals | None = None) -> list[dict[str, float]]:
    documents = Documents.from_texts(texts)
    return pa.table((scorer or RedPajamaSignals()).score(documents), schema=signals.COLUMNS).to_pylist()


PIECES = [
    " ",
    " ",
    "\n",
    "\n",
    "\t",
    "\u3000",
    "\x85",
    ".",
    "..",
    "...",
    "…",
    "!",
    "?",
    "”",
    "#",
    "{",
    "}",
    "_",
    "'",
    ",",
    "-",
]
PIECES += [
    "the ",
    "The ",
    "THE ",
    "don't ",
    "of",
    "a",
    "A",
    "42",
    "x2",
    "X2",
    "word",
    "Word",
    "internationalisation",
    "JAVASCRIPT",
]
PIECES += [
    "javascript ",
    "java-script ",
    "lorem",
    "lorem ",
    "Lorem, ",
    "ipsum",
    "IPSUM",
    "(ipsum)",
    "xlorem ipsumx ",
    "ip-sum",
]
PIECES += [
    "•",
    "\u25b6",
    "– ",
    "\n• ",
    "é",
    "É",
    "e\u0301",
    "\u0301",
    "ß",
    "ẞ",
    "İ",
    "Σ",
    "Ǆ",
    "ǅ",
    "Ⅷ",
    "Ⓐ",
    "²",
    "½",
    "٣",
    "一",
]
PIECES += [
    "한글",
    "が",
    "\u0390",
    "\u1f82",
    "\U0001d160",
    "\u037e",
    "≠",
    "😀",
    "\x00",
    "\xa0",
    "\U0002f800",
    "\U00020001",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.lists(TEXTS, max_size=4))
def test_agrees_with_plain_python(texts: list[str]) -> None:
    assert score(*texts) == [pytest.approx(reference(text), rel=1e-6, abs=1e-6) for text in texts]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("doc_word_count", "Don't -- stop, STOP!", 3),
        ("doc_mean_word_length", "Café ab", 7 / 2),  # e and its accent are two
        ("doc_frac_unique_words", "Stop, stop. STOP! go", 2 / 4),
        ("doc_unigram_entropy", "a a b b", math.log(2)),
        ("doc_unigram_entropy", "a b c d", math.log(4)),
        ("doc_unigram_entropy", "a " * 9999, 0),
        ("doc_lorem_ipsum", "Lorem, ipsum dolor", 1 / 17),
        ("doc_lorem_ipsum", "aaau-m lorem i-ps", 0),  # what is left of a longer word is not read
        ("doc_lorem_ipsum", "(x-lo.rem) -- ip'sums", 1 / 13),
        ("doc_symbol_to_word_ratio", "# a .... b… c", 3 / 6),
        ("doc_frac_no_alph_words", "a 1, été", 2 / 4),
        ("doc_frac_all_caps_words", "NATO's A4 a B 4", 3 / 7),
        ("doc_stop_word_fraction", "the The (and) cat", 2 / 6),
        ("doc_curly_bracket", "{a}b", 2 / 4),
        ("doc_num_sentences", "One. Two?! ... Three", 3),
        ("doc_frac_lines_end_with_ellipsis", "a...\nb… \nc\n\n", 2 / 4),
        ("lines_ending_with_terminal_punctution_mark", "a.\n“b”\nc\n", 2 / 3),
        ("lines_start_with_bulletpoint", "• a\n – b\n- c\n* d", 2 / 4),
        ("lines_uppercase_letter_fraction", "AB\nc", (2 / 3 + 0) / 2),  # the newline is a character of its line
        ("lines_numerical_chars_fraction", "1-2 a\nb", (2 / 4 + 0) / 2),  # of "12 a"
        ("lines_num_words", "a b\n\n-- c\n", 3 / 3),
        ("lines_javascript_counts", "JavaScript, javascript\njavascripts", 2 / 2),
    ],
)
def test_values_by_hand(column: str, text: str, value: float) -> None:
    (row,) = score(text)
    assert row[f"rps_{column}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("text", ["", " \n\t\u2028", "\n"])
def test_what_has_no_words_is_all_zeros(text: str) -> None:
    assert set(score(text)[0].values()) == {0}


def test_stop_words_are_a_field() -> None:
    german = RedPajamaSignals(("und", "über"))
    assert score("und über Und, über", scorer=german)[0]["rps_doc_stop_word_fraction"] == pytest.approx(3 / 5)
    assert score("und", scorer=RedPajamaSignals(()))[0]["rps_doc_stop_word_fraction"] == 0
    assert sorted(set(STOP_WORDS)) == list(STOP_WORDS)


def test_no_normal_form_grows_beyond_its_room() -> None:
    for code_point in (*range(0xD800), *range(0xE000, 0x110000)):
        character = chr(code_point)
        form = unicodedata.normalize("NFD", character.lower())
        assert len(form.encode()) <= kernels.FORM_GROWTH * len(character.encode())


def test_traits_are_those_of_every_character() -> None:
    entries, _ = kernels.characters()
    characters = [chr(code_point) for code_point in (*range(0xD800), *range(0xE000, 0x110000))]
    known = np.delete(entries, range(0xD800, 0xE000))
    changed = [unicodedata.normalize("NFD", character.lower()) != character for character in characters]
    assert ((known & 1 != 0) == [character.isalnum() or character == "_" for character in characters]).all()
    assert ((known & 2 != 0) == [character.isspace() for character in characters]).all()
    assert ((known & 4 != 0) == [character.isupper() for character in characters]).all()
    assert ((known & 16 != 0) == [character.isnumeric() for character in characters]).all()
    assert ((known >> 8 != 0) == changed).all()


@pytest.mark.parametrize("size", [*range(58, 68), 124, 125, 186])
@pytest.mark.parametrize("end", ["a", "é", "一", "...", "a..", "\u3000b", ". a", "-", "A\u0301", "Ⓐ", "ⓐ"])
def test_words_that_do_not_fit_in_a_block(size: int, end: str) -> None:
    for unit in ("x", "X", "1", ".", "é", "Ⓐ"):
        text = f"The {unit * size}{end} ipsum\n{unit * size}{end}"
        assert score(text) == [pytest.approx(reference(text), rel=1e-6, abs=1e-6)]


def test_counts_beyond_the_table_of_logarithms() -> None:
    text = "a " * 10_000 + "b " * 20_000
    entropy = math.log(3) - 2 / 3 * math.log(2)
    assert score(text)[0]["rps_doc_unigram_entropy"] == pytest.approx(entropy, rel=1e-6)


def test_bytes_that_are_no_utf8_are_read_within_bounds() -> None:
    data = b"a\xe2\x80 \xf0\x9f\x98 lorem\xe2 ipsu\xc3"
    text = pa.array([data[n:] for n in range(len(data))] + [b"\xf0"], pa.large_binary())
    documents = Documents(pa.table({"text": text.view(pa.large_string())}))
    assert all(np.isfinite(column.to_numpy()).all() for column in RedPajamaSignals().score(documents))


@pytest.mark.parametrize(
    "text", ["a" * 10_000_000, "é" * 1_000_000, "." * 1_000_000, "word " * 1_000_000, "lorem ipsum " * 100_000]
)
def test_hostile_texts(text: str) -> None:
    assert all(math.isfinite(value) for value in score(text)[0].values())


def test_the_preset_drops_nothing() -> None:
    assert signals.passes("") and preset("signals@rpv2").rules == ()
    with pytest.raises(UnknownNameError, match="signals@rpv2"):
        signals.passes("a", "signals@rp2")
