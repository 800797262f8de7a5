"""Benchmark items in documents: the index against sets in plain Python, and the command from files to a report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.dedup.decontaminate import MATCHES, STATUSES, Item, ItemIndex, Ngrams
from textmill.errors import InputError, UserError

repeatable = settings(deadline=None, derandomize=True)  # no deadline: the first example compiles

wordy = st.lists(st.sampled_from(["a", "b", "É", "c.", "日本", "\n"]), max_size=14).map(" ".join)
any_text = st.text(max_size=30)


def array(*strings: str) -> pa.LargeStringArray:
    return pa.array(strings, pa.large_string())


def find(index: ItemIndex, *texts: str) -> list[dict[str, Any]]:
    table = index.find(np.arange(len(texts), dtype=np.uint64), array(*texts))
    assert table.schema == MATCHES
    return table.to_pylist()


# ---- the index, in plain Python


def words_of(text: str) -> list[tuple[str, int, int]]:
    """Words with their bytes; of the alphabet above only."""
    found, at = [], 0
    word, start = "", 0
    for character in [*text, " "]:
        alone = character in "日本"
        if word and (not character.isalnum() or alone):
            found.append((word, start, at))
            word = ""
        if character.isalnum():
            start = at if not word else start
            word += {"É": "e"}.get(character, character.lower())
        at += len(character.encode())
    return found


def ngrams_of(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def reference(items: list[Item], ngrams: Ngrams, texts: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    n = ngrams.n
    parts: list[dict[tuple[str, ...], int]] = []  # of each item: which part an n-gram is of
    for item in items:
        question, answer = ([word for word, _, _ in words_of(text)] for text in (item.question, item.answer))
        part: dict[tuple[str, ...], int] = {}
        for i, ngram in enumerate(ngrams_of(question + answer, n)):
            part.setdefault(ngram, 0 if i + n <= len(question) else 1 if i >= len(question) else 2)
        parts.append(part)
    n_items = Counter(ngram for part in parts for ngram in part)
    counted = [{ngram: k for ngram, k in part.items() if n_items[ngram] <= ngrams.max_items} for part in parts]
    both = zip(counted, parts, strict=True)
    statuses = ["ok" if some else "too_common" if part else "too_short" for some, part in both]
    rows = []
    for doc_id, text in enumerate(texts):
        words = words_of(text)
        in_text = ngrams_of([word for word, _, _ in words], n)
        for number, part in enumerate(counted):
            shared = set(in_text) & set(part)
            if not shared:
                continue
            of, held = Counter(part.values()), Counter(part[ngram] for ngram in shared)
            fracs = [held[k] / of[k] if of[k] else 0.0 for k in (0, 1)]
            covered = {i + k for i, ngram in enumerate(in_text) if ngram in part for k in range(n)}
            spans: list[dict[str, int]] = []
            for i in sorted(covered):
                if i - 1 in covered and i > 0:
                    spans[-1]["end_bytes"] = words[i][2]
                else:
                    spans.append({"start_bytes": words[i][1], "end_bytes": words[i][2]})
            values = [doc_id, number, max(len(shared) / len(part), *fracs), *fracs, len(shared), spans]
            rows.append(dict(zip(MATCHES.names, values, strict=True)))
    return rows, statuses


items_of = st.lists(st.builds(Item, st.just("x"), wordy, wordy), min_size=1, max_size=4)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(items_of, st.lists(wordy, max_size=4), st.integers(2, 4), st.integers(1, 3))
def test_matches_are_those_of_plain_python(items: list[Item], texts: list[str], n: int, max_items: int) -> None:
    ngrams = Ngrams(n, max_items)
    index = ItemIndex(items, ngrams)
    expected, statuses = reference(items, ngrams, texts)
    found = find(index, *texts)
    assert [STATUSES[status] for status in index.status] == statuses
    for row, other in zip(found, expected, strict=True):
        for name in row:
            assert row[name] == (pytest.approx(other[name]) if name.endswith("_frac") else other[name]), name


@repeatable
@given(st.lists(any_text, max_size=4), st.lists(any_text, min_size=1, max_size=4))
def test_any_text_is_looked_up_and_finds_itself(texts: list[str], questions: list[str]) -> None:
    index = ItemIndex([Item("x", question) for question in questions], Ngrams(2))
    found = find(index, *texts, *questions)
    for number, status in enumerate(index.status):
        of_itself = [r for r in found if r["item"] == number and r["doc_id"] == len(texts) + number]
        assert [row["overlap_frac"] for row in of_itself] == ([1.0] if STATUSES[status] == "ok" else [])


QUESTION = "A farmer has 17 sheep. All but 9 die. How many are left, and who counts the rest of them tonight?"
ANSWER = "All but nine means that nine are left alive; so the farmer himself counts nine sheep in the evening. 9"


def test_question_alone_whole_half_and_paraphrase() -> None:
    index = ItemIndex([Item("riddle", QUESTION, ANSWER)])
    half = " ".join(QUESTION.split()[:16])
    found = find(
        index,
        f"Quiz night!\n{QUESTION.upper()}\nAnswers on the back.",
        f"{QUESTION} {ANSWER}",
        f"before {half} and after",
        "There were seventeen sheep on a farm, and all of them died except for nine. What number of sheep is left?",
        ANSWER,
    )
    assert [row["doc_id"] for row in found] == [0, 1, 2, 4]
    assert [row["question_frac"] for row in found] == [1, 1, pytest.approx(4 / 9), 0]
    assert [row["answer_frac"] for row in found] == [0, 1, 0, 1]
    assert [row["overlap_frac"] for row in found] == [1, 1, pytest.approx(4 / 9), 1]
    assert found[0]["spans"] == [{"start_bytes": 12, "end_bytes": 11 + len(QUESTION)}]  # without its question mark


def test_short_and_common_items_are_named() -> None:
    phrase = "choose one letter from a to d and write nothing else below this line please"
    items = [Item(str(i), phrase) for i in range(4)]
    index = ItemIndex([*items, Item("short", "why", "because"), Item("own", phrase, QUESTION)], Ngrams(max_items=4))
    assert [STATUSES[status] for status in index.status] == [*["too_common"] * 4, "too_short", "ok"]
    assert find(index, phrase) == []
    assert [row["item"] for row in find(index, f"{phrase} {QUESTION}")] == [5]
    assert index.n_ngrams.tolist() == [0, 0, 0, 0, 0, 21]


def test_a_million_equal_words_cost_as_many_hits_as_items() -> None:
    items = [Item(str(i), "word " * 200) for i in range(3)]
    index = ItemIndex(items)
    assert index.n_ngrams.tolist() == [1] * 3
    found = find(index, "word " * 1_000_000, "", "word")
    assert [(row["doc_id"], row["overlap_frac"], len(row["spans"])) for row in found] == [(0, 1, 1)] * 3
    assert found[0]["spans"] == [{"start_bytes": 0, "end_bytes": 4_999_999}]


def test_windows_that_only_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from textmill.dedup import decontaminate

    def blind(hashes: np.ndarray, offsets: np.ndarray, n: int) -> np.ndarray:
        return np.where(decontaminate_windows(hashes, offsets, n) == 0, 0, 7).astype(np.uint64)

    decontaminate_windows = decontaminate.window_hashes
    monkeypatch.setattr(decontaminate, "window_hashes", blind)
    index = ItemIndex([Item("x", QUESTION)])
    assert find(index, "entirely other words " * 10) == []


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="no items"):
        ItemIndex([])
    with pytest.raises(UserError, match="at least"):
        Ngrams(1)
    with pytest.raises(UserError, match="at least"):
        Ngrams(max_items=0)
    index = ItemIndex([Item("empty", "")])
    assert find(index, "", "some text") == []
    assert find(index) == []
