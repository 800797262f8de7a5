"""RefinedWeb's edits, as DCLM has them."""

from __future__ import annotations

import itertools
import re
import time

import numpy as np
import pyarrow as pa
import pytest
import tldextract
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.filters import gopher, refinedweb
from textmill.filters.base import Editor, failures, measure
from textmill.filters.refinedweb import COUNTERS, PRESETS, RefinedWeb, RefinedWebLines, RefinedWebUrls, passes
from textmill.text import Documents

COUNTER = re.compile(rf"^\W*\d(?:,|\.|\d)*[kmbKMB]?\s+(?:{'|'.join(COUNTERS)})\W*$")
TLDS = [n for n in tldextract.TLDExtract(cache_dir=None, suffix_list_urls=()).tlds if n.isalpha() and n.isascii()]
URL = re.compile(
    rf"\s{{0,10}}(?:(?:https?|ftp)://)?[-a-zA-Z0-9@:%._+~#=]+\.(?:{'|'.join(TLDS)})\b[-a-zA-Z0-9()@:%_+.~#?&/=]*"
)
ADDRESS = re.compile(
    r"\s{0,10}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}[-a-zA-Z0-9()@:%_+.~#?&/=]*"
)


def lowered(line: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in line)


def count_words(text: str) -> int:
    return sum(word[0].isalnum() for word in text.split())


def line_reference(rules: RefinedWeb, line: str) -> tuple[str | None, list[str]]:
    """What is left of a line, and the kinds of changes."""
    if not line:
        return line, []
    if sum(map(str.isupper, line)) / len(line) > rules.max_upper_frac:
        return None, ["uppercase_lines"]
    if all(map(str.isdigit, line)):
        return None, ["digit_lines"]
    if COUNTER.search(lowered(line)):
        return None, ["counter_lines"]
    if len(line.split()) < rules.min_words:
        return None, ["short_lines"]
    if len(line.split()) > refinedweb.MAX_PHRASE_WORDS:
        return line, []
    dots = ".{3}" if rules.any_dots else r"\.{3}"
    changes = []
    for kind, pattern in [
        ("cart_phrases", r"\s?items in cart"),
        ("read_more_phrases", rf"(?s)\s?read more{dots}\Z"),
        ("sign_in_phrases", r"\Asign-in\s?"),
    ]:
        spans = [match.span() for match in re.finditer(pattern, lowered(line))]
        changes += [kind] * len(spans)
        for start, end in reversed(spans):
            line = line[:start] + line[end:]
        if spans and not line.strip():
            return None, changes
    return line, changes


def reference(rules: RefinedWeb, text: str) -> tuple[str, dict[str, float]]:
    judged = [line_reference(rules, line) for line in text.split("\n")]
    edited = "\n".join(line for line, _ in judged if line is not None).strip()
    changes = [change for _, changes in judged for change in changes]
    kinds = refinedweb.LINE_KINDS + refinedweb.PHRASE_KINDS
    removed = (count_words(text) - count_words(edited)) / max(count_words(text), 1)
    counts = {f"refinedweb_n_{kind}": changes.count(kind) for kind in kinds}
    return edited, counts | {"refinedweb_removed_word_frac": removed}


def scores(rules: RefinedWeb, text: str) -> dict[str, float]:
    return measure([rules], Documents.from_texts([text])).to_pylist()[0]


def edited(editor: Editor, text: str) -> tuple[str, dict[str, int]]:
    texts, changes = editor.edit(Documents.from_texts([text]))
    return texts.to_pylist()[0], {kind: int(n[0]) for kind, n in changes.items() if n[0]}


@pytest.mark.parametrize(
    ("line", "left", "kind"),
    [
        ("ALL RIGHTS", None, "uppercase_lines"),  # 9 of 10
        ("AB cd", "AB cd", None),
        ("ABC DE wxyz", "ABC DE wxyz", None),  # 5 of 11
        ("ABCD ef", None, "uppercase_lines"),  # 4 of 7
        ("ÄÖÜ üb", "ÄÖÜ üb", None),  # 3 of 6 is half
        ("2024", None, "digit_lines"),
        ("20 24", "20 24", None),
        ("3 likes", None, "counter_lines"),
        ("» 1,234.5K  Views.", None, "counter_lines"),
        ("3likes", None, "short_lines"),
        ("all 3 likes", "all 3 likes", None),
        ("3 likes it", "3 likes it", None),
        ("Home", None, "short_lines"),
        ("   ", None, "short_lines"),
        ("", "", None),
        ("You have 3 Items in Cart now", "You have 3 now", "cart_phrases"),
        ("items in cart", None, "cart_phrases"),
        ("a b c d e f g h i items in cart", "a b c d e f g h i items in cart", None),  # 12 words
        ("The end. Read more...", "The end.", "read_more_phrases"),
        ("The end. Read more…", "The end. Read more…", None),
        ("The end. Read more now", "The end. Read more now", None),
        ("Sign-in to your page", "to your page", "sign_in_phrases"),
        ("Please sign-in to it", "Please sign-in to it", None),
    ],
)
def test_what_becomes_of_a_line(line: str, left: str | None, kind: str | None) -> None:
    first, last = "here is one line", "and here one more"
    found, changes = edited(RefinedWebLines(), f"{first}\n{line}\n{last}")
    assert found == "\n".join(part for part in (first, left, last) if part is not None)
    assert changes == ({kind: 1} if kind else {})
    assert line_reference(RefinedWeb(), line) == (left, [kind] if kind else [])


def test_three_other_characters_for_the_dots() -> None:
    assert edited(RefinedWebLines(any_dots=True), "The end. Read more now")[0] == "The end. Read more now"
    assert edited(RefinedWebLines(any_dots=True), "The end. Read more it.")[0] == "The end. Read more it."
    assert edited(RefinedWebLines(any_dots=True), "The end. Read more 中中")[0] == "The end."


def test_a_worked_example() -> None:
    """By hand: of 12 words that begin with a letter or a number 4 go: MENU, BAR, 7, views."""
    text = "MENU BAR\nThis page has - some text.\n7 views\nIt has a"
    assert scores(RefinedWeb(), text) == {
        "refinedweb_n_uppercase_lines": 1,
        "refinedweb_n_digit_lines": 0,
        "refinedweb_n_counter_lines": 1,
        "refinedweb_n_short_lines": 0,
        "refinedweb_n_cart_phrases": 0,
        "refinedweb_n_read_more_phrases": 0,
        "refinedweb_n_sign_in_phrases": 0,
        "refinedweb_removed_word_frac": pytest.approx(4 / 12),
    }


PARTS = ["a", "B", "É", "²", "3", "1,5k", "likes", "Views!", "items in cart", "Read more", "...", "…", "sign-in", "_"]
PARTS += ["Sign-in", "\n", "\n", "\t", "\u2028", "中文", "-", " "]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map(" ".join) | st.lists(st.sampled_from(PARTS), max_size=15).map(
    "".join
)


@pytest.mark.parametrize("rules", [RefinedWeb(), RefinedWeb(max_upper_frac=0.2, min_words=1, any_dots=True)])
@settings(deadline=None, derandomize=True, max_examples=300)
@given(TEXTS)
def test_line_kernels_agree_with_the_reference(rules: RefinedWeb, text: str) -> None:
    text_left, expected = reference(rules, text)
    assert scores(rules, text) == pytest.approx(expected)
    editor = RefinedWebLines(rules.max_upper_frac, rules.min_words, rules.any_dots)
    assert edited(editor, text)[0] == text_left


@settings(deadline=None, derandomize=True)
@given(st.lists(TEXTS, max_size=4))
def test_documents_of_a_batch_are_apart(texts: list[str]) -> None:
    for editor in (RefinedWebLines(), RefinedWebUrls()):
        found, _ = editor.edit(Documents(Documents.from_texts(["a", *texts]).table.slice(1)))
        assert found.to_pylist() == [edited(editor, text)[0] for text in texts]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("See https://example.org/a?b=c#d for more.", "See for more."),
        ("See example.com.", "See"),
        ("See   \n example.com now", "See now"),
        ("mail me@example.co.uk now", "mail now"),
        ("(http://example.com)", "("),
        ("the end.In the morning", "the end.In the morning"),
        ("file.txt and a.b", "file.txt and a.b"),
        ("host 10.1.2.3:80/x up", "host up"),
        ("version 1.2.3 and 1.2.3.456", "version 1.2.3 and"),
        ("v1.2.3.4 and 399.1.1.1", "v1.2.3.4 and 399.1.1.1"),
        ("one\n\n\n\n\ntwo\n\nthree", "one\n\ntwo\n\nthree"),
        ("", ""),
    ],
)
def test_urls(text: str, left: str) -> None:
    assert edited(RefinedWebUrls(), text)[0] == left


def test_the_guard_of_the_preset() -> None:
    """As published: only texts whose first letters spell a top-level domain lose their URLs."""
    guarded = RefinedWebUrls(guarded=True)
    assert edited(guarded, "Welcome to example.com, 10.0.0.1 it is")[0] == "Welcome to example.com, it is"
    assert edited(guarded, "See example.com, 10.0.0.1 it is")[0] == "See, it is"


URL_PARTS = [
    "a",
    "www",
    ".",
    ".",
    "com",
    "in",
    "In",
    "org",
    "http://",
    "ftp://",
    "/",
    "(",
    ")",
    "@",
    "_",
    "é",
    "1",
    "25",
    "4",
]
URL_PARTS += [" ", " ", "\n", "10.0.0.1", ",", "\n\n", "\u3000"]


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.lists(st.sampled_from(URL_PARTS), max_size=20).map("".join))
def test_url_kernel_agrees_with_the_reference(text: str) -> None:
    """The kernel works on one run of URL characters after the other, the expressions on the whole text."""
    expected = re.sub(r"\n{3,}", "\n\n", ADDRESS.sub("", URL.sub("", text)))
    assert edited(RefinedWebUrls(), text)[0] == expected


def prose(n: int) -> str:
    """Sentences that repeat nothing but their stop words."""
    words = iter("".join(letters) for letters in itertools.product("bcdfg", "aeiou", "klmn", "aeiou", "prst"))
    return "\n".join("The {} of {} and {} have {} with {} {}.".format(*itertools.islice(words, 6)) for _ in range(n))


def test_the_preset() -> None:
    preset = PRESETS["refinedweb@dclm"]
    inner = gopher.PRESETS["gopher@dclm"]
    assert preset.rules == inner.rules + refinedweb.RULES
    assert [type(editor) for editor in preset.editors] == [RefinedWebUrls, RefinedWebLines]
    good = prose(12)
    assert passes(good)
    assert not passes("")
    assert not passes(good + "\nSHARE THIS PAGE WITH ALL OF YOUR FRIENDS AND FOES AND SO ON AND ON")
    documents = Documents.from_texts([good + "\n" + "MENU BAR HERE\n" * 9])
    (verdicts,) = failures(preset.rules, measure(preset.scorers, documents))
    assert "refinedweb_removed_words" in [
        rule.reason for rule, fails in zip(preset.rules, verdicts, strict=True) if fails
    ]


@pytest.mark.parametrize(
    "unit", ["a.com", ".", "1.", "1.2.3.", " a.com", "http://", "items in cart", "\n", "3 likes\n", "a."]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(n: int) -> float:
        documents = Documents.from_texts([unit * n])
        documents.segmentation.words, documents.segmentation.lines  # noqa: B018
        begin = time.process_time()
        RefinedWebUrls().edit(documents)
        RefinedWebLines().edit(documents)
        return time.process_time() - begin

    seconds(10)
    assert min(seconds(80_000) for _ in range(3)) < 10 * min(seconds(20_000) for _ in range(3)) + 0.005


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=30) | st.lists(st.sampled_from([b"a.", b"co", b"\xc2", b"\xe2\x80", b"1."])).map(b"".join))
def test_bytes_that_are_no_utf8_are_read_within_bounds(data: bytes) -> None:
    """Whatever lies beyond the text, the kernels say the same."""

    def everything(beyond: bytes) -> list[object]:
        offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
        buffers = [None, offsets, pa.py_buffer(data + beyond)]
        documents = Documents(pa.table({"text": pa.Array.from_buffers(pa.large_string(), 1, buffers)}))
        texts = [editor.edit(documents)[0] for editor in (RefinedWebUrls(), RefinedWebLines())]
        return [
            [text.cast(pa.large_binary()).to_pylist() for text in texts],
            measure([RefinedWeb()], documents).to_pylist(),
        ]

    assert everything(b"m\xa9\xa9\xa9") == everything(b"\x00]]1")
