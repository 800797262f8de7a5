"""FineWeb's quality rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.filters import fineweb
from textmill.filters.base import After, failures, measure
from textmill.filters.c4 import PRESETS as C4_PRESETS
from textmill.filters.fineweb import FineWebQuality, passes, terminal_marks
from textmill.text import Documents

RELEASE = fineweb.PRESETS["fineweb@05194d39"].scorers[0]


def scores(text: str, scorer: FineWebQuality) -> dict[str, float]:
    return measure([scorer], Documents.from_texts([text])).to_pylist()[0]


def reference(text: str, scorer: FineWebQuality) -> dict[str, float]:
    lines = text.split("\n")
    with_text = [line for line in lines if line.strip()]
    counted = lines if scorer.blank_lines else with_text
    marks = tuple(scorer.end_marks or terminal_marks())
    duplicates = [line for i, line in enumerate(with_text) if line in with_text[:i]]
    n_words = Documents.from_texts([text]).segmentation.cut(scorer.words).counts[0]
    return {
        "fineweb_punctuated_line_frac": sum(line.endswith(marks) for line in counted) / max(len(counted), 1),
        "fineweb_short_line_frac": sum(len(line) <= scorer.short_line_chars for line in counted) / max(len(counted), 1),
        "fineweb_duplicate_char_frac": sum(map(len, duplicates)) / max(len(text.replace("\n", "")), 1),
        "fineweb_newline_word_ratio": text.count("\n") / max(n_words, 1),
    }


def test_a_worked_example() -> None:
    """By hand: four lines with text of 31, 13, 13 and 5 characters, one line of two spaces; six newlines."""
    text = "The quick brown fox jumps over.\nHello, world \nHello, world \n\n  \n有一天。\n"
    expected = {
        "fineweb_punctuated_line_frac": 2 / 4,  # "over." and "。"; a space stands behind "world"
        "fineweb_short_line_frac": 3 / 4,
        "fineweb_duplicate_char_frac": 13 / (31 + 13 + 13 + 2 + 4),
        "fineweb_newline_word_ratio": 6 / 11,
    }
    assert scores(text, FineWebQuality(words="whitespace")) == pytest.approx(expected)
    at_release = scores(text, RELEASE)
    assert at_release["fineweb_punctuated_line_frac"] == pytest.approx(1 / 7)  # of all lines; "。" is no mark
    assert at_release["fineweb_short_line_frac"] == pytest.approx(6 / 7)


def test_the_terminal_marks_are_datatroves() -> None:
    marks = terminal_marks()
    assert len(marks) == 159
    assert set(".?!。？！؟।៖") < set(marks)
    assert not set("\"'”…:;") & set(marks)


@pytest.mark.parametrize("scorer", [FineWebQuality(), RELEASE, FineWebQuality(blank_lines=True, words="whitespace")])
@settings(deadline=None, derandomize=True)
@given(st.lists(st.text("ab .!'。é\n", max_size=6), max_size=12).map("\n".join))
def test_kernel_agrees_with_the_reference(scorer: FineWebQuality, text: str) -> None:
    assert scores(text, scorer) == pytest.approx(reference(text, scorer))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=20), max_size=4).map("\n".join))
def test_kernel_agrees_on_any_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert scores(text, FineWebQuality()) == pytest.approx(reference(text, FineWebQuality()))


def test_many_equal_and_many_different_lines() -> None:
    equal, different = "x\n" * 50_000, "\n".join(map(str, range(50_000)))
    found = measure([FineWebQuality()], Documents.from_texts([different, equal, different, "a\na"]))
    assert found["fineweb_duplicate_char_frac"].to_pylist() == pytest.approx([0, 49_999 / 50_000, 0, 1 / 2])


def sentence(n: int) -> str:
    return f"This is line number {n} of a text that has no repeated lines in it."


def text_of(n_lines: int, n_punctuated: int, n_short: int = 0) -> str:
    lines = [sentence(i) if i < n_punctuated else sentence(i)[:-1] for i in range(n_lines)]
    return "\n".join(lines + [f"short {i}" for i in range(n_short)])


@pytest.mark.parametrize(
    ("text", "kept_by"),
    [
        (text_of(25, 25), {"paper", "code", "05194d39", "fineweb2"}),
        (text_of(25, 3), {"code", "fineweb2"}),  # 3/25 = .12 is the bound itself
        (text_of(25, 2), set()),
        (text_of(33, 33, n_short=67), {"code", "fineweb2"}),  # .67 is the bound itself
        (text_of(32, 32, n_short=68), {"fineweb2"}),
        (text_of(50, 50) + "\n" + sentence(1), {"paper", "fineweb2"}),  # about 2% of characters repeat
        ("\n\n\n\n".join(sentence(i) for i in range(25)), {"paper", "code", "fineweb2"}),  # blank lines
        ("Hello there. Good bye.\n" * 2, set()),
        ("", set()),
        ("\n\n", set()),
    ],
)
def test_which_preset_keeps_what(text: str, kept_by: set[str]) -> None:
    assert {name.partition("@")[2] for name in fineweb.PRESETS if passes(text, preset=name)} == kept_by


def test_after_the_lines_of_c4() -> None:
    """Lines that C4 drops are not seen: without them, all lines end well and none repeats."""
    good = "\n".join(sentence(i) for i in range(10))
    text = "Menu\nMenu\nMenu\nMenu\n" + good
    alone = fineweb.PRESETS["fineweb@code"]
    (lines,) = C4_PRESETS["c4@fineweb"].editors
    documents = Documents.from_texts([text, good])
    after = measure([After(lines, scorer) for scorer in alone.scorers], documents)
    assert failures(alone.rules, measure(alone.scorers, documents)).any(axis=1).tolist() == [True, False]
    assert not failures(alone.rules, after).any()
    assert after.to_pylist()[0] == after.to_pylist()[1]


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=20), st.sampled_from([b"\x00", b"\xa9", b"\xf0", b"."]))
def test_bytes_that_are_no_utf8_are_read_within_bounds(data: bytes, beyond: bytes) -> None:
    """What lies beyond the line makes no difference."""
    marks = fineweb.character_set(terminal_marks())
    start, end = np.array([0]), np.array([len(data)])

    def ends(buffer: bytes) -> list[bool]:
        found = np.zeros(len(start), np.bool_)
        fineweb._ends_with(np.frombuffer(buffer, np.uint8), start, end, marks, found)
        return found.tolist()

    assert ends(data + beyond) == ends(data + b"\x00")
