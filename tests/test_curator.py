"""Curator's ratios against plain Python that follows its definitions."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError
from textmill.filters import curator, preset
from textmill.filters.curator import CuratorRatios
from textmill.text import Documents

URL = re.compile(r"https?://(?:[a-zA-Z0-9$\-_@.&+!*(),]|%[0-9a-fA-F]{2})+")


def share(n: int, of: int) -> float:
    return n / of if of else 1.0


def reference(document: str) -> dict[str, float]:
    n = len(document)
    lines = [line for line in document.split("\n") if line.strip()]
    paragraphs = [ascii_lower(paragraph) for paragraph in document.split("\n\n")]
    boilerplate = sum(any(phrase in paragraph for phrase in curator._PHRASES) for paragraph in paragraphs)
    lorem = any("lorem ipsum" in paragraph for paragraph in paragraphs)
    return {
        "curator_non_alphanumeric_char_frac": share(n - len(re.findall(r"[a-zA-Z0-9\n?!,.]", document)), n),
        "curator_digit_char_frac": share(len(re.findall("[0-9]", document)), n),
        "curator_url_char_frac": share(sum(map(len, URL.findall(document))), n),
        "curator_space_char_frac": share(len(re.findall("[\t\n\r\b ]", document)), n),
        "curator_parenthesis_char_frac": share(len(re.findall(r"[{}⟨⟩\[\]()]", document)), n),
        "curator_boilerplate_paragraph_frac": 1.0 if lorem else boilerplate / len(paragraphs),
        "curator_unpunctuated_line_frac": share(
            sum(not line.strip().endswith((".", "?", "!", '"', "'")) for line in lines), len(lines)
        ),
        "curator_longest_word_chars": max(map(len, document.split()), default=0),
    }


def ascii_lower(text: str) -> str:
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), text)


def score(*texts: str) -> list[dict[str, float]]:
    documents = Documents.from_texts(texts)
    return pa.table(CuratorRatios().score(documents), schema=curator.COLUMNS).to_pylist()


PIECES = [
    "\n",
    "\n\n",
    "\n\n\n",
    " ",
    "\t",
    "\r",
    "\b",
    "\u3000",
    ".",
    "?",
    "!",
    '"',
    "'",
    ",",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
]
PIECES += [
    "⟨",
    "⟩",
    "⟪",
    "é",
    "٣",
    "²",
    "日本",
    "😀",
    "\xe2",
    "A",
    "z",
    "0",
    "42",
    ":",
    "/",
    "//",
    "://",
    "%",
    "%4",
    "%aF",
    "%zz",
]
PIECES += [
    "http",
    "https",
    "http://",
    "https://",
    "http://a",
    "HTTP://a",
    "http://a.b/c",
    "https://x%20y-_@",
    "http://a%2",
]
PIECES += ["cookie", "k", "K", "f", "lorem ", "Lorem IPSUM", *curator._PHRASES, *(p.upper() for p in curator._PHRASES)]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(TEXTS, max_size=4))
def test_agrees_with_plain_python(texts: list[str]) -> None:
    assert score(*texts) == [pytest.approx(reference(text)) for text in texts]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        # 3 spaces, "é", "日" and ":" of 11 characters
        ("non_alphanumeric_char_frac", "a é 日 b0:?!", 6 / 11),
        ("digit_char_frac", "12 ٣4", 3 / 5),
        # the scheme and the host, without the path: 12 of 20
        ("url_char_frac", "see http://ab.cd/efg", 12 / 20),
        ("url_char_frac", "http://ahttp://b", 12 / 16),  # the second has no scheme of its own left
        ("url_char_frac", "http://http://", 11 / 14),
        ("url_char_frac", "https://%41%4", 11 / 13),
        ("space_char_frac", "a\t\n\r\b \x0bb", 5 / 8),
        ("parenthesis_char_frac", "⟨a⟩(b)[c]{d}", 8 / 12),
        ("boilerplate_paragraph_frac", "Our Privacy Policy.\n\nText\n\nWe USE COOKIES; use cookies", 2 / 3),
        ("boilerplate_paragraph_frac", "a\n\n\n\nterms of use", 1 / 3),  # an empty paragraph counts
        ("boilerplate_paragraph_frac", "terms of\nuse", 0),
        ("boilerplate_paragraph_frac", "a\n\nb\n\nLorem ipsum dolor", 1),
        ("unpunctuated_line_frac", "a.\nb\n \n\nc!\u3000\n'd'\ne…", 2 / 5),
        ("longest_word_chars", "a 日本語 bb", 3),
    ],
)
def test_values_by_hand(column: str, text: str, value: float) -> None:
    (row,) = score(text)
    assert row[f"curator_{column}"] == pytest.approx(value)


def test_a_text_without_characters_is_refused_by_every_share() -> None:
    (row,) = score("")
    assert row.pop("curator_boilerplate_paragraph_frac") == 0
    assert row.pop("curator_longest_word_chars") == 0
    assert set(row.values()) == {1}


@pytest.mark.parametrize("before", [*range(55, 68), 126, 127])
@pytest.mark.parametrize(
    "found", ["\n\n", "\n\n\n\n", "https://a.b", "⟨⟩", "USE Cookies\n\n", "privacy", "terms of use", "Lorem Ipsum"]
)
def test_what_lies_across_two_blocks_is_found_once(before: int, found: str) -> None:
    texts = [f"{'a' * before}{found}{end}" for end in ("", "b", " policy" * 12)]
    assert score(*texts, "é" + texts[0]) == [pytest.approx(reference(text)) for text in (*texts, "é" + texts[0])]


def test_counters_do_not_overflow() -> None:
    text = "0(" * 100_000 + " " * 300_001
    (row,) = score(text)
    assert row["curator_digit_char_frac"] == pytest.approx(100_000 / len(text))
    assert row["curator_space_char_frac"] == pytest.approx(300_001 / len(text))


def test_bytes_that_are_no_utf8_are_read_within_bounds() -> None:
    data = b"http:/" + b"\xe2" * 3 + b"use cookie" + b"\xe2\x9f"
    text = pa.array([data[:n] for n in range(len(data) + 1)], pa.large_binary())
    documents = Documents(pa.table({"text": text.view(pa.large_string())}))
    assert len(CuratorRatios().score(documents)[0]) == len(data) + 1


@pytest.mark.parametrize(
    "text", ["a" * 10_000_000, "http://" * 100_000, ":" * 1_000_000, "lorem ipsu" * 100_000, "\n" * 1_000_000]
)
def test_hostile_texts(text: str) -> None:
    (row,) = score(text)
    assert 0 <= row["curator_url_char_frac"] <= 1


def test_the_pipeline_has_all_28_filters_in_order() -> None:
    rules = preset("heuristics@curator").rules
    assert len(rules) == len({rule.reason for rule in rules}) == 28
    bounds = [rule.high if rule.low is None else rule.low for rule in rules]
    of_lines = [0.3, 0.3, 0.2, 0.2]  # of duplicates, where Curator says .7, .7, .8, .8 of what is unique
    ngrams = [0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1]
    first = [0.25, 0.1, 0.15, 0.2, 0.25, 0.1, 0.4]
    assert bounds == [*first, *of_lines, 50, 0.85, 0.8, 2, 3, 1000, 0.3, *ngrams, 0.9]


def test_passes() -> None:
    article = (
        "The river rose overnight, and before breakfast several villages downstream had already lost their bridges.\n"
        "Farmers moved frightened cattle towards higher ground while children watched from upstairs windows.\n"
        "Nobody could remember such flooding since grandfather rebuilt that mill with borrowed money.\n"
        "By evening volunteers arrived carrying blankets, lanterns and hot soup for everyone who needed shelter.\n"
        "Engineers promised to inspect every remaining crossing once the current weakened.\n"
    )
    assert curator.passes(article)
    assert not curator.passes(article + "{[()]} " * 40)
    with pytest.raises(UnknownNameError, match="heuristics@curator"):
        curator.passes("a", "heuristics@curater")
