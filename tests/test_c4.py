"""C4's rules, their editor, and lists of bad words."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UnknownNameError
from textmill.filters import c4, lexicon, phrases
from textmill.filters.base import failures, measure
from textmill.filters.c4 import C4, PRESETS, BadWords, C4Lines, passes
from textmill.text import Documents

CITATION = regex.compile(r"\[\p{N}*]|\[edit]|\[citation needed]")
DROPS = ("long_word", "unpunctuated", "short", "javascript", "policy")
SCORERS = {name: preset.scorers[0] for name, preset in PRESETS.items()}


def lowered(line: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in line)


def fate_reference(rules: C4 | C4Lines, line: str) -> tuple[str, str]:
    """What becomes of a line, and what it is then."""
    if not line.strip():
        return "blank", line
    raw = lowered(line)
    line = line.strip() if rules.strip else line
    n_words = len(line.split())
    if rules.max_word_chars and any(len(word) > rules.max_word_chars for word in line.split()):
        return "long_word", line
    if rules.citations:
        line = CITATION.sub("", line)
    if not rules.count_citations:
        n_words = len(line.split())
    end = line if rules.strip else line.rstrip()
    well = end.endswith(tuple(rules.end_marks)) and (rules.ellipsis_ends or not end.endswith(("...", "…")))
    if rules.end_marks and not well:
        return "unpunctuated", line
    if n_words < rules.min_words:
        return "short", line
    if rules.javascript == "line" and "javascript" in raw:
        return "javascript", line
    if any(phrase in raw for phrase in rules.policy_phrases):
        return "policy", line
    return "kept", line


def lines_of(rules: C4 | C4Lines, text: str) -> list[str]:
    return text.split("\n") if rules.line_split == "newline" else text.splitlines()


def sentences_reference(rules: C4, text: str) -> int:
    """Sentences that begin in a kept line, and one for each kept line whose first words belong to one before."""
    spans = Documents.from_texts([text]).segmentation.sentences
    begins = {len(text.encode()[:i].decode()) for i in spans.start.tolist()}
    n, position = 0, 0
    for line in text.split("\n") if rules.line_split == "newline" else text.splitlines(keepends=True):
        if fate_reference(rules, line)[0] == "kept":
            first = position + len(line) - len(line.lstrip())
            n += len(begins & set(range(position, position + len(line)))) + (first not in begins)
        position += len(line) + (rules.line_split == "newline")
    return n


def page_marks_reference(rules: C4, text: str) -> tuple[int, int]:
    lorem = curly = 0
    for line in lines_of(rules, text):
        fate = fate_reference(rules, line)[0]
        anywhere = rules.page_marks == "all"
        has_lorem = "lorem ipsum" in lowered(line) and (anywhere or fate in ("kept", "javascript", "policy"))
        has_curly = "{" in line and (anywhere or fate in ("kept", "policy"))
        if rules.page_marks == "first" and (has_lorem or has_curly):
            return int(has_lorem), int(not has_lorem)
        lorem, curly = lorem or int(has_lorem), curly or int(has_curly)
    return lorem, curly


def reference(rules: C4, text: str) -> dict[str, float]:
    fates = [fate_reference(rules, line)[0] for line in lines_of(rules, text)]
    n_lines = len(fates) - fates.count("blank")
    found = {f"c4_n_{drop}_lines": fates.count(drop) for drop in DROPS}
    if rules.javascript == "word":
        found["c4_n_javascript_lines"] = sum("javascript" in lowered(x).split() for x in lines_of(rules, text))
    lorem, curly = page_marks_reference(rules, text)
    return found | {
        "c4_n_chars": len(text),
        "c4_n_lines": n_lines,
        "c4_kept_line_frac": fates.count("kept") / max(n_lines, 1),
        "c4_n_sentences": sentences_reference(rules, text),
        "c4_lorem_ipsum": lorem,
        "c4_curly_bracket": curly,
        "c4_n_long_lines": sum(len(line) >= 200 for line in text.split("\n")),
    }


def edit_reference(rules: C4Lines, text: str) -> str:
    judged = [(line, *fate_reference(rules, line)) for line in lines_of(rules, text)]
    kept = [new for line, fate, new in judged if fate == "kept" or (rules.keep_empty and not line)]
    return "\n".join(kept).strip() if rules.strip else "\n".join(kept)


def editor_of(rules: C4) -> C4Lines:
    return C4Lines(**{field.name: getattr(rules, field.name) for field in fields(rules)})


def scores(rules: C4, text: str) -> dict[str, float]:
    return measure([rules], Documents.from_texts([text])).to_pylist()[0]


def edited(rules: C4Lines, text: str) -> tuple[str, dict[str, int]]:
    texts, changes = rules.edit(Documents.from_texts([text]))
    return texts.to_pylist()[0], {kind: int(n[0]) for kind, n in changes.items()}


PAGE = "\n".join(
    [
        "Home  About  Contact",  # no end mark
        "The river Main[1] rises in the Fichtel Mountains. It flows west.[23]",
        "",
        "It is long.",  # 3 words
        "Please enable JavaScript to see the comments.",
        "By going on you agree to our Cookie Policy today.",
        "Word" + "s" * 1000 + " are too long for this page.",
        "And the rest of it...",
        'He said: "It has two sources."',
        "See also [edit]",  # nothing but a space and no mark is behind the citation
    ]
)


def test_a_worked_example() -> None:
    """By hand, tensorflow_datasets: nine lines with text; the second and the ninth stay."""
    assert scores(C4(), PAGE) == {
        "c4_n_chars": 20 + 68 + 0 + 11 + 45 + 49 + 1032 + 21 + 30 + 15 + 9,
        "c4_n_lines": 9,
        "c4_n_long_word_lines": 1,
        "c4_n_unpunctuated_lines": 3,
        "c4_n_short_lines": 1,
        "c4_n_javascript_lines": 1,
        "c4_n_policy_lines": 1,
        "c4_kept_line_frac": pytest.approx(2 / 9),
        "c4_n_sentences": 3,
        "c4_lorem_ipsum": 0,
        "c4_curly_bracket": 0,
        "c4_n_long_lines": 1,
    }
    kept, changes = edited(C4Lines(), PAGE)
    assert kept == ('The river Main rises in the Fichtel Mountains. It flows west.\nHe said: "It has two sources."')
    assert changes == {
        "long_word_lines": 1,
        "unpunctuated_lines": 3,
        "short_lines": 1,
        "javascript_lines": 1,
        "policy_lines": 1,
        "citations": 2,
    }


@pytest.mark.parametrize(
    ("line", "kept_by"),
    [
        ("One two three four five.", "tfds datatrove fineweb dclm dolma paper-5s3w paper-3s5w"),
        ("One two three.", "datatrove fineweb dolma paper-5s3w"),
        ("One two three four 'five'", "datatrove fineweb"),
        ("One two three four five...", "fineweb dolma paper-5s3w paper-3s5w"),
        ("One two three four five…", "fineweb"),
        ("One two three four five. [1]", "fineweb dclm"),  # elsewhere a space is left at the end
        ("One [1] two.", "datatrove fineweb dolma"),  # a citation may count as a word
        ("One two three four five. ", "tfds datatrove fineweb dclm dolma paper-5s3w paper-3s5w"),
        ("Five words and javascript here.", "dolma"),
        ("Five words of privacy policy.", "dolma"),
        ("a" * 1001 + " two three four five.", "dolma paper-5s3w paper-3s5w"),
        ("no end mark in this line", "fineweb"),
    ],
)
def test_which_preset_keeps_a_line(line: str, kept_by: str) -> None:
    names = [name for name in PRESETS if name != "c4@mc4"]
    kept = [name.partition("@")[2] for name in names if scores(SCORERS[name], line)["c4_kept_line_frac"] == 1]
    assert kept == kept_by.split()


LOREM, CURLY = "Here is some Lorem Ipsum text.", "Here is a bracket { for you."


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        # Of two marks the search ends at the first; DCLM tests all lines for one, then for the other.
        (
            f"{LOREM}\n{CURLY}",
            {"tfds": ["lorem_ipsum", "sentences"], "dclm": ["lorem_ipsum", "curly_bracket", "sentences"]},
        ),
        (f"{CURLY}\n{LOREM}", {"tfds": ["curly_bracket", "sentences"], "datatrove": ["curly_bracket", "sentences"]}),
        # Lines that were dropped before have no say.
        ("{ here is no end mark", {"datatrove": ["sentences"], "dolma": ["curly_bracket"]}),
        ("Use javascript { here and there.", {"tfds": ["sentences"], "dolma": ["javascript", "curly_bracket"]}),
        ("A line with lorem ipsum and javascript.", {"tfds": ["lorem_ipsum", "sentences"]}),
        ("See our privacy policy {here} now.", {"tfds": ["curly_bracket", "sentences"]}),
        ("We love javascripts {", {"dolma": ["curly_bracket"]}),
        ("x" * 190_001, {"dclm": ["page_chars", "sentences"], "tfds": ["sentences"]}),
        ("One is here for you now. Two is. Three is!", {"tfds": [], "dclm": [], "datatrove": ["sentences"]}),
        ("Here are three words.\n" * 5, {"datatrove": [], "tfds": ["sentences"], "paper-5s3w": []}),
        (("y" * 200 + "\n") * 3, {"mc4": []}),
        (("y" * 200 + "\n") * 2 + "y" * 199, {"mc4": ["long_lines"]}),
    ],
)
def test_why_a_document_fails(text: str, reasons: dict[str, list[str]]) -> None:
    for name, expected in reasons.items():
        preset = PRESETS[f"c4@{name}"]
        (verdicts,) = failures(preset.rules, measure(preset.scorers, Documents.from_texts([text])))
        found = [rule.reason for rule, fails in zip(preset.rules, verdicts, strict=True) if fails]
        assert found == [f"c4_{reason}" for reason in expected], name
        assert passes(text, f"c4@{name}") == (not expected)


# Words and marks that decide, in odd neighbourhoods.
PARTS = [
    *"a b. Word ... … ! ' \" [1] [] [edit] [citation needed] [x [٣] { lorem ipsum JavaScript javascript, É".split(),
    *["lorem ipsum", "Terms of Use", "uses cookies", "use of cookies", "\n", "\n", "\r\n", "\u2028", "\x85", "\x1c"],
    *[" ", "\u3000", "wwwwwwwww", "中文。", "One. Two. "],
]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=30).map(" ".join) | st.lists(
    st.sampled_from(PARTS), max_size=20
).map("".join)
RULES = [*SCORERS.values(), C4(max_word_chars=5, line_split="newline", min_words=1, end_marks="。a", keep_empty=True)]


@pytest.mark.parametrize("rules", RULES)
@settings(deadline=None, derandomize=True)
@given(TEXTS)
def test_kernels_agree_with_the_reference(rules: C4, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert scores(rules, text) == pytest.approx(reference(rules, text))
    lines = editor_of(rules)
    assert edited(lines, text)[0] == edit_reference(lines, text)


@settings(deadline=None, derandomize=True)
@given(st.lists(TEXTS, max_size=4))
def test_documents_of_a_batch_are_apart(texts: list[str]) -> None:
    table = Documents.from_texts(["a", *texts]).table.slice(1)
    together, changes = C4Lines().edit(Documents(table))
    assert together.to_pylist() == [edited(C4Lines(), text)[0] for text in texts]
    for i, text in enumerate(texts):
        assert {kind: int(n[i]) for kind, n in changes.items()} == edited(C4Lines(), text)[1]
    together = measure([C4()], Documents(table)).to_pylist()
    assert together == [scores(C4(), text) for text in texts]


@settings(deadline=None, derandomize=True)
@given(TEXTS)
def test_the_editor_leaves_lines_that_stay(text: str) -> None:
    """What it left it leaves again, unless a citation was cut out of a line's end or of the words of another."""
    text = CITATION.sub("", text.encode("utf-8", "replace").decode())
    once = edited(C4Lines(), text)[0]
    again, changes = edited(C4Lines(), once)
    assert again == once or changes["citations"] > 0
    assert scores(C4(), once)["c4_kept_line_frac"] == (once != "") or changes["citations"] > 0


def test_scorer_and_editor_share_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, judged = Documents.from_texts([PAGE]), []
    monkeypatch.setattr(c4, "find_phrases", lambda *arguments: judged.append(1) or phrases.find_phrases(*arguments))
    measure([C4()], documents)
    C4Lines().edit(documents)
    assert len(judged) == 1
    C4Lines(min_words=4).edit(documents)
    assert len(judged) == 2


@pytest.mark.parametrize("field", ["line_split", "page_marks", "javascript"])
def test_a_wrong_field_is_named(field: str) -> None:
    with pytest.raises(UnknownNameError, match="'lines'"):
        measure([C4(**{field: "lines"})], Documents.from_texts([""]))


@pytest.mark.parametrize(
    "unit", ["[", "[1", "[1]", "j", "java", "lorem ipsu", "use cookie", "{\n", " ", ".\n", "\r", "\u2028"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(n: int) -> float:
        documents = Documents.from_texts([unit * n])
        documents.segmentation.words, documents.segmentation.lines, documents.segmentation.sentences  # noqa: B018
        begin = time.process_time()
        C4Lines().edit(documents)
        measure([C4()], documents)
        return time.process_time() - begin

    seconds(10)
    assert min(seconds(80_000) for _ in range(3)) < 10 * min(seconds(20_000) for _ in range(3)) + 0.005


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=30) | st.lists(st.sampled_from([b"[", b"1", b"\xc2", b"\xe2\x80", b"."])).map(b"".join))
def test_bytes_that_are_no_utf8_are_read_within_bounds(data: bytes) -> None:
    """Whatever lies beyond the text, the kernels say the same."""

    def everything(beyond: bytes) -> list[object]:
        offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
        buffers = [None, offsets, pa.py_buffer(data + beyond)]
        documents = Documents(pa.table({"text": pa.Array.from_buffers(pa.large_string(), 1, buffers)}))
        text, changes = C4Lines(end_marks="").edit(documents)
        columns = [column.tolist() for column in changes.values()]
        return [text.cast(pa.large_binary()).to_pylist(), columns, measure([C4()], documents).to_pylist()]

    assert everything(b"\xa9\xa9\xa9") == everything(b"\x00]]")


def test_bad_words(tmp_path: Path) -> None:
    path = tmp_path / "en.txt"
    path.write_text("damn\nsnake oil\n")
    scorer = BadWords(lexicon.find_lists([str(path)]))
    found = measure([scorer], Documents.from_texts(["Damn. Snake\noil, damn!", "class", ""]))
    assert found.to_pydict() == {"c4_n_bad_words": [2, 0, 0], "c4_n_bad_word_hits": [3, 0, 0]}
    assert failures(c4.BAD_WORDS_RULES, found)[:, 0].tolist() == [True, False, False]


def test_a_phrase_at_the_start_of_a_text_is_found_when_no_line_end_is_before_it() -> None:
    """In the batch, a text begins at the byte where the one before ends."""
    texts = ["One line without an end", "{ begins this one, which has enough words to it."]
    scores = measure((C4(page_marks="all"),), Documents.from_texts(texts))
    assert scores["c4_curly_bracket"].to_pylist() == [0, 1]
