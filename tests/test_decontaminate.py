"""Benchmark items in documents: the index against sets in plain Python, and the command from files to a report."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stage import run
from test_substring import Given

from textmill import cli, storage
from textmill.dedup.decontaminate import MATCHES, STATUSES, Item, ItemIndex, Judgement, Ngrams
from textmill.errors import EnvironmentFault, InputError, UnknownNameError, UserError
from textmill.pipeline.benchmark_items import ItemFile
from textmill.pipeline.rows import TextFile, find_text_files, read_rows
from textmill.pipeline.stages.contamination import Contamination, Decontaminate

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
    whole = [
        tuple(tuple(word for word, _, _ in words_of(text)) for text in (item.question, item.answer)) for item in items
    ]
    repeats = [words in whole[:i] for i, words in enumerate(whole)]
    n_items = Counter(ngram for part, again in zip(parts, repeats, strict=True) for ngram in part if not again)
    all_parts, parts = parts, [{} if again else part for part, again in zip(parts, repeats, strict=True)]
    counted = [{ngram: k for ngram, k in part.items() if n_items[ngram] <= ngrams.max_items} for part in parts]
    three = zip(counted, all_parts, repeats, strict=True)
    statuses = [
        "ok" if some else "too_short" if not part else "repeated" if again else "too_common"
        for some, part, again in three
    ]
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


@settings(deadline=None, derandomize=True, max_examples=150)
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


def test_items_that_repeat_another_stand_for_one() -> None:
    """However many copies of an item a benchmark has, it is found; and an n-gram of theirs is no common phrase."""
    items = [Item("own", QUESTION, ANSWER)] + [Item(str(i), QUESTION.upper(), f"{ANSWER}!") for i in range(50)]
    index = ItemIndex([*items, Item("other cut", f"{QUESTION} {ANSWER}")], Ngrams(max_items=2))
    assert [STATUSES[status] for status in index.status] == ["ok", *["repeated"] * 50, "ok"]
    assert [row["item"] for row in find(index, QUESTION)] == [0, 51]


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
    words = phrase.split()
    items = [Item(str(i), " ".join(words[: len(words) - i]), " ".join(words[len(words) - i :])) for i in range(4)]
    index = ItemIndex([*items, Item("short", "why", "because"), Item("own", phrase, QUESTION)], Ngrams(max_items=4))
    assert [STATUSES[status] for status in index.status] == [*["too_common"] * 4, "too_short", "ok"]
    assert find(index, phrase) == []
    assert [row["item"] for row in find(index, f"{phrase} {QUESTION}")] == [5]
    assert index.n_ngrams.tolist() == [0, 0, 0, 0, 0, 21]


def test_a_million_equal_words_cost_as_many_hits_as_items() -> None:
    items = [Item(str(i), "word " * (200 + i)) for i in range(3)]
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


# ---- items in files


def write_items(path: Path, rows: list[dict[str, Any]]) -> ItemFile:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ItemFile.find(str(path))


def test_items_of_every_format_and_naming(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "question": "Why, then?", "answer": "Because."},
        {"id": 8, "question": "And so?", "answer": "Yes"},
    ]
    expected = [Item("items:1", "Why, then?", "Because."), Item("items:2", "And so?", "Yes")]
    assert write_items(tmp_path / "items.jsonl", rows).read() == expected
    with gzip.open(tmp_path / "items.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    (tmp_path / "items.csv").write_text('\ufeffid,question,answer\n7,"Why, then?",Because.\n8,And so?,Yes\n')
    (tmp_path / "items.tsv").write_text("id\tquestion\tanswer\n7\tWhy, then?\tBecause.\n8\tAnd so?\tYes\n")
    for name in ("items.jsonl.gz", "items.parquet", "items.csv", "items.tsv"):
        assert ItemFile.find(str(tmp_path / name)).read() == expected, name

    (item,) = write_items(tmp_path / "a.jsonl", [{"goal": "g", "choices": {"text": ["x", "y"]}, "label": 1}]).read()
    assert (item.question, item.answer) == ("g", "")
    named = ItemFile.find(str(tmp_path / "a.jsonl"), ["goal", "choices"], ["label"])
    assert named.read() == [Item("a:1", "g\nx\ny", "1")]


@pytest.mark.parametrize(
    ("content", "fields", "match"),
    [
        ('{"question": "a"}\n{', (), "line 2 is no JSON"),
        ("[1]", (), "item 1 is no object"),
        ('{"foo": 1}', (), "which of foo is the question"),
        ('{"question": "a"}', ("qestion",), "did you mean 'question'"),
    ],
)
def test_bad_items_are_named(tmp_path: Path, content: str, fields: tuple[str, ...], match: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises((InputError, UnknownNameError), match=match) as caught:
        ItemFile.find(str(path), fields).read()
    assert "bad.jsonl" in str(caught.value)


def test_an_item_file_that_is_gone_or_changed_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        ItemFile.find(str(tmp_path / "none.jsonl"))
    file = write_items(tmp_path / "a.jsonl", [{"question": "a"}])
    write_items(tmp_path / "a.jsonl", [{"question": "b"}])
    with pytest.raises(EnvironmentFault, match="sha256"):
        file.read()
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(EnvironmentFault, match="no items here"):
        file.read()


# ---- documents in files


def test_documents_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    def read(name: str, content: bytes, column: str = "text") -> None:
        (tmp_path / name).write_bytes(content)
        list(TextFile(str(tmp_path / name), 0, column).batches())

    for content, match in [
        (b"{", "line 1 is no JSON"),
        (b"[]", "line 1 has no text"),
        (b'{"text": 3}', "line 1 has no"),
    ]:
        with pytest.raises(InputError, match=match):
            read("a.jsonl", content)
    with pytest.raises(UnknownNameError, match="did you mean 'content'"):
        read("a.jsonl", b'{"content": "a"}', "contents")
    with pytest.raises(InputError, match="cannot read"):
        read("a.jsonl.gz", b"no gzip")
    with pytest.raises(InputError, match="damaged"):
        read("a.parquet", b"no Parquet")
    with pytest.raises(InputError, match="must end in"):
        read("a.txt", b"text")
    with pytest.raises(InputError, match="not a table"):
        list(read_rows(str(tmp_path / "a.txt")))
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "b.parquet")
    assert TextFile(str(tmp_path / "b.parquet"), 0).batches()
    with pytest.raises(UnknownNameError, match="column"):
        list(TextFile(str(tmp_path / "b.parquet"), 0, "body").batches())
    with pytest.raises(InputError, match="no such file"):
        find_text_files([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        find_text_files([str(tmp_path / "empty")])
    with pytest.raises(UserError, match="two files are called"):
        find_text_files([str(tmp_path / "a.jsonl")] * 2)


def test_batches_are_cut_by_bytes_and_ids_count_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmill.pipeline.rows.BATCH_BYTES", 10)
    texts = ["12345", "", None, "123456", "x" * 50, "é"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for name in ("a.parquet", "a.jsonl"):
        batches = list(TextFile(str(tmp_path / name), 2).batches())
        assert len(batches) > 2
        assert [text for batch in batches for text in batch.text.to_pylist()] == [text or "" for text in texts]
        assert np.concatenate([batch.doc_ids for batch in batches]).tolist() == [(2 << 32) + i for i in range(6)]


# ---- the command

HALF = " ".join(QUESTION.split()[:16])
TEXTS = ["nothing of it", f"Before. {QUESTION} After.", f"{HALF}!", "", f"Quiz: {QUESTION} {ANSWER}\nRead <b>on</b>."]


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


@pytest.fixture
def items(tmp_path: Path) -> str:
    rows = [{"question": QUESTION, "answer": ANSWER}, {"question": "too short", "answer": ""}]
    write_items(tmp_path / "riddles.jsonl", rows)
    return str(tmp_path / "riddles.jsonl")


def test_the_command_reports(tmp_path: Path, items: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "pages.jsonl", tmp_path / "out"
    path.write_text("".join(json.dumps({"text": text, "url": "u"}) + "\n" for text in TEXTS))
    arguments = ["decontaminate", str(path), "--items", items, "--out", str(out), "--threshold", "0.5"]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "5 documents: 2 (40.0%) hold 0.5 or more of an item, 3 share any 13-gram" in shown
    assert "2 items: 1 found; not looked for: 1 too short" in shown
    account = report(out)
    assert account["documents"] == {"n": 5, "bytes": len("".join(TEXTS)), "touched": 3, "contaminated": 2}
    assert account["skipped"] == [{"item": "riddles:2", "status": "too_short", "question": "too short"}]
    (row,) = account["by_item"]
    assert (row["n_documents"], row["n_touched"], row["overlap"]) == (2, 3, 1)
    assert [document["doc_id"] for document in row["documents"]] == ["0:1", "0:4", "0:2"]
    assert {c["from"]: c["n"] for c in account["overlap"] if c["n"]} == {0.4: 1, 0.9: 2}
    assert pq.read_table(out / "matches.parquet").column("doc_id").to_pylist() == [1, 2, 4]
    page = (out / "report.html").read_text()
    assert "<mark>A farmer has 17 sheep" in page and "&lt;b&gt;on" in page and "<b>on" not in page
    assert sorted(p.name for p in out.iterdir()) == ["matches.parquet", "report.html", "report.json"]

    assert cli.main([*arguments[:-1], "1"]) == 0  # what has just that much counts
    assert "5 documents: 2 (40.0%) hold 1 or more" in capsys.readouterr().out
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == account


def test_what_is_shown_of_a_match_is_masked(tmp_path: Path, items: str) -> None:
    path, out = tmp_path / "pages.jsonl", tmp_path / "out"
    path.write_text(json.dumps({"text": f"Write to jane.doe@example.org. {QUESTION} Or to joe@example.org"}))
    assert cli.main(["decontaminate", str(path), "--items", items, "--out", str(out)]) == 0
    (sample,) = [sample for row in report(out)["overlap"] for sample in row["samples"]]
    shown = "".join(part for part, _ in sample["text"])
    assert "example.org" not in shown and "EMAIL" in shown and QUESTION[:-1] in shown


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz", "pages.parquet"])
def test_documents_are_dropped_or_cut_and_all_else_stays(tmp_path: Path, items: str, name: str) -> None:
    rows = [{"n": i, "text": text, "tags": [str(i)]} for i, text in enumerate(TEXTS)]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = "".join(json.dumps(row, separators=(",", " :  ")) + "\n" for row in rows)  # oddly spaced
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())

    for action, expected in [("drop", [0, 2, 3]), ("cut", [0, 1, 2, 3, 4])]:
        out = tmp_path / action
        options = ["--out", str(out), "--action", action, "--threshold", "0.5"]
        assert cli.main(["decontaminate", str(path), "--items", items, *options]) == 0
        found = list(read_rows(str(out / "documents" / name)))
        assert [row["n"] for row in found] == expected
        assert all(row["tags"] == [str(row["n"])] for row in found)
        after = {row["n"]: row["text"] for row in found}
        assert after[0] == TEXTS[0] and after[2] == TEXTS[2] and after[3] == ""
        if action == "cut":
            assert after[1] == "Before. ? After." and after[4] == "Quiz: \nRead <b>on</b>."
        if name == "pages.jsonl":
            written = (out / "documents" / name).read_text().splitlines()
            assert written[0] == path.read_text().splitlines()[0]  # to the byte
    assert report(tmp_path / "drop")["after"]["n_dropped"] == 2
    assert report(tmp_path / "cut")["after"]["n_cut"] == 2


def test_lone_surrogates_and_no_documents(tmp_path: Path, items: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.jsonl").write_text(json.dumps({"text": QUESTION + "\ud800", "url": "\udfff"}) + "\n")
    (tmp_path / "docs" / "b.jsonl").write_text("")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "docs" / "c.parquet")
    out = tmp_path / "out"
    assert (
        cli.main(["decontaminate", str(tmp_path / "docs"), "--items", items, "--out", str(out), "--action", "cut"]) == 0
    )
    (row,) = read_rows(str(out / "documents" / "a.jsonl"))
    assert row == {"text": "??", "url": "\udfff"}
    assert (
        list(read_rows(str(out / "documents" / "b.jsonl")))
        == list(read_rows(str(out / "documents" / "c.parquet")))
        == []
    )


def test_mistakes_are_one_line(tmp_path: Path, items: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_text(json.dumps({"text": "a"}))
    out = ["--out", str(tmp_path / "out")]
    for options, match in [
        ([str(path), "--items", items, "--threshold", "2"], "threshold is 2"),
        ([str(path), "--items", items, "--action", "erase"], "unknown action"),
        ([str(path), "--items", items, "-n", "1"], "at least 2"),
        ([str(path), "--items", "none.jsonl"], "none.jsonl"),
        ([str(path), "--items", items, "--text", "body"], "body"),
        (["none", "--items", items], "none: no such file"),
    ]:
        assert cli.main(["decontaminate", *options, *out]) == 2
        shown = capsys.readouterr().err
        assert match in shown and shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- the stages


def test_stages_find_and_drop_or_cut(tmp_path: Path, items: str) -> None:
    documents = Given((tuple(TEXTS[:2]), (), tuple(TEXTS[2:])))
    found = Contamination(documents, (ItemFile.find(items),))
    for action in ("drop", "cut", "report"):
        target = Decontaminate(documents, found, Judgement(0.5, action))
        run(tmp_path / "w", target)
        uris = [f"{tmp_path}/w/{target.folder}/{shard}.parquet" for shard in target.shards()]
        texts = [text for uri in uris for text in storage.read_table(uri)["text"].to_pylist()]
        counts = storage.read_json(f"{tmp_path}/w/{target.folder}/_SUCCESS")
        assert counts["rows_in"] == counts["rows_out"] + counts["removed_contaminated"] == len(TEXTS)
        if action == "drop":
            assert texts == [TEXTS[0], TEXTS[2], TEXTS[3]] and counts["removed_contaminated"] == 2
        elif action == "cut":
            assert texts[1] == "Before. ? After." and counts["n_cut"] == 2
        else:
            assert texts == TEXTS
        assert counts["text_bytes"] == sum(len(text.encode()) for text in texts)
    assert storage.read_json(f"{tmp_path}/w/{found.folder}/_SUCCESS") == {
        "n_documents": 5,
        "n_matches": 3,
        "n_touched": 3,
    }


def test_a_stage_depends_on_the_items_not_on_where_they_lie(tmp_path: Path, items: str) -> None:
    documents = Given((("a",),))
    file = ItemFile.find(items)
    fingerprint = Contamination(documents, (file,)).fingerprint
    assert Contamination(documents, (replace(file, path="elsewhere"),)).fingerprint == fingerprint
    assert Contamination(documents, (replace(file, sha256="0"),)).fingerprint != fingerprint
    assert Contamination(documents, (file,), Ngrams(12)).fingerprint != fingerprint
