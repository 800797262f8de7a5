"""Comparisons of tokenizers, against counting by hand; the command and its page."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill.cli.compare import add_compare
from textmill.errors import InputError, UserError
from textmill.pipeline.report.comparison import to_html
from textmill.pipeline.tokenizers import PLAIN_BYTES, read_batches, split_batches
from textmill.tokenize import Tokenizer, count_pretokens, train_from_counts
from textmill.tokenize.baselines import ByteTokenizer, CharacterTokenizer, WordTokenizer
from textmill.tokenize.compare import Batch, Comparison, compare, compression_curve

TEXTS = ["the cat sat on the mat, the end", "猫が座った。", "", "the dog — der Hund", "猫 cat 猫"] * 7
GROUPS = ["en", "ja", "en", "de", "mixed"] * 7
BYTES = {byte: bytes([byte]) for byte in range(256)}


def documents(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def batches() -> list[Batch]:
    return [Batch(documents(TEXTS[:9]), pa.array(GROUPS[:9])), Batch(documents(TEXTS[9:]), pa.array(GROUPS[9:]))]


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return Tokenizer(*train_from_counts(count_pretokens(TEXTS), 290, []))


@pytest.fixture(scope="module")
def comparison(bpe: Tokenizer) -> Comparison:
    words = WordTokenizer([b"the", b" cat", b" the"])
    tokenizers = {"bytes": ByteTokenizer(), "characters": CharacterTokenizer("the casn"), "words": words, "bpe": bpe}
    return compare(tokenizers, batches())


def test_counts_are_those_by_hand(comparison: Comparison) -> None:
    assert comparison.n_bytes == len("".join(TEXTS).encode())
    assert comparison.n_chars == len("".join(TEXTS))
    by_bytes, characters, words, _ = comparison.tokenizers
    assert by_bytes.n_tokens == comparison.n_bytes
    assert by_bytes.unknown_frac is None
    assert characters.unknown_frac == pytest.approx(
        sum(char not in "the casn" for char in "".join(TEXTS)) / len("".join(TEXTS))
    )
    assert words.counts[1:].tolist() == [14, 14, 14]  # the, cat, the behind a blank
    assert characters.unused_frac == 0
    used = {byte: "".join(TEXTS).encode().count(byte) for byte in range(256)}
    assert by_bytes.unused_frac == sum(n == 0 for n in used.values()) / 256
    assert by_bytes.rare_frac == sum(n < 10 for n in used.values()) / 256


def test_fertility_is_per_word_or_per_character_where_scripts_know_no_spaces(comparison: Comparison) -> None:
    groups = {group.name: group for group in comparison.groups}
    assert [groups[name].unit for name in ("en", "ja", "de", "mixed")] == ["word", "character", "word", "word"]
    assert groups["en"].n_units == 7 * len(TEXTS[0].split())
    assert groups["ja"].n_units == 7 * len(TEXTS[1])
    assert [group.n_bytes for group in comparison.groups] == sorted([g.n_bytes for g in groups.values()], reverse=True)
    for measured in comparison.tokenizers:
        assert sum(measured.group_tokens.values()) == measured.n_tokens
    assert comparison.tokenizers[0].group_tokens["ja"] == 7 * len(TEXTS[1].encode())


def test_the_curve_is_that_of_the_tokenizers_of_the_first_merges(bpe: Tokenizer, comparison: Comparison) -> None:
    curve = comparison.tokenizers[-1].curve
    assert curve[0] == (256, 1.0)
    assert curve[-1][0] == 256 + len(bpe.merges)
    assert len(curve) > 20
    for size, bytes_per_token in curve:
        first = Tokenizer({i: token for i, token in bpe.vocab.items() if i < size}, bpe.merges[: size - 256])
        tokens, _ = first.encode_batch(documents(TEXTS))
        assert bytes_per_token == pytest.approx(comparison.n_bytes / len(tokens)), size


def test_a_curve_needs_nested_merges() -> None:
    """``abc`` is made of what a later merge makes."""
    merges = [(b"ab", b"c"), (b"a", b"b")]
    tokenizer = Tokenizer(BYTES | {256: b"abc", 257: b"ab"}, merges)
    assert compression_curve(tokenizer, np.ones(258, np.int64)) == []
    assert compression_curve(Tokenizer(BYTES, []), np.zeros(256, np.int64)) == []
    assert compression_curve(Tokenizer(BYTES, []), np.ones(256, np.int64)) == [(256, 1.0)]


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="no text"):
        compare({"bytes": ByteTokenizer()}, [Batch(documents([""]), pa.array(["a"]))])


# --- sources ---


def test_plain_text_becomes_documents_that_end_with_a_line(tmp_path: Path) -> None:
    text = "".join(f"line {i}: — ünï\n" for i in range(5000)) + "no end"
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.txt", "b.txt.gz"):
        found = list(read_batches([str(tmp_path / name)]))
        texts = [document.as_py() for batch in found for document in batch.documents]
        assert "".join(texts) == text
        assert all(len(piece.encode()) >= PLAIN_BYTES and piece.endswith("\n") for piece in texts[:-2])
        assert {group for batch in found for group in batch.groups.to_pylist()} == {name}
    (tmp_path / "c.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"c\.txt: not UTF-8"):
        list(read_batches([str(tmp_path / "c.txt")]))
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(text.encode())[:-50])
    with pytest.raises(InputError, match=r"d\.txt\.gz: cannot be read|cannot read"):
        list(read_batches([str(tmp_path / "d.txt.gz")]))


def test_rows_are_grouped_by_their_language_or_their_file(tmp_path: Path) -> None:
    rows = [{"text": text, "lang": group, "kind": "x"} for text, group in zip(TEXTS, GROUPS, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"body": TEXTS}), tmp_path / "b.parquet")

    def groups(name: str, column: str = "text", by: str | None = None) -> list[str]:
        found = list(read_batches([str(tmp_path / name)], column, by))
        assert [text for batch in found for text in batch.documents.to_pylist()] == TEXTS
        return [group for batch in found for group in batch.groups.to_pylist()]

    assert groups("a.jsonl") == GROUPS
    assert groups("a.jsonl", by="kind") == ["x"] * len(TEXTS)
    assert groups("b.parquet", "body") == ["b.parquet"] * len(TEXTS)
    with pytest.raises(InputError, match="no text in 'topic'"):
        groups("a.jsonl", by="topic")
    with pytest.raises(InputError, match="no such file"):
        groups("c.jsonl")


def test_every_other_document_is_for_training() -> None:
    parts = [list(split_batches(iter(batches()), part)) for part in (0, 1)]
    for part, found in enumerate(parts):
        assert [text for batch in found for text in batch.documents.to_pylist()] == TEXTS[part::2]
        assert [group for batch in found for group in batch.groups.to_pylist()] == GROUPS[part::2]


# --- the page and the command ---


def test_the_page_escapes_names_and_runs_nothing(bpe: Tokenizer) -> None:
    evil = "<script>alert('x')</script>\x1b[2J"
    found = compare({evil: bpe, "bytes": ByteTokenizer()}, [Batch(documents(["some text"]), pa.array([evil]))])
    page = to_html(found)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_the_page_has_a_line_or_a_point_for_each_tokenizer(comparison: Comparison) -> None:
    page = to_html(comparison)
    assert page.count("<polyline") == 1
    assert page.count("<circle") == 4
    assert "Tokens per word" in page
    assert "Tokens per character" in page
    assert "nan" not in page.lower().replace("nanochat", "")


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    add_compare(parser.add_subparsers(required=True))
    options = parser.parse_args(["compare", *arguments])
    options.command(options)


def test_the_command_compares_what_is_given_and_what_it_trains(
    tmp_path: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": text, "lang": group} for text, group in zip(TEXTS, GROUPS, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bpe.save(tmp_path / "mine.json")
    mine, text, page = str(tmp_path / "mine.json"), str(tmp_path / "a.jsonl"), tmp_path / "page.html"
    run(mine, "--train", "300", "--on", text, "--json", "--html", str(page))
    account = json.loads(capsys.readouterr().out)
    names = ["mine", "bytes", "characters", "words", "BPE (gpt2)"]
    assert [made["name"] for made in account["tokenizers"]] == names
    assert account["bytes"] == len("".join(TEXTS[1::2]).encode())
    assert {group["name"] for group in account["groups"]} == set(GROUPS)
    assert page.read_text().startswith("<!DOCTYPE html>")
    run(mine, mine, "--on", text)
    shown = capsys.readouterr().out
    assert "tokens per character" in shown
    assert "mine" in shown
    with pytest.raises(UserError, match="nothing to compare"):
        run("--on", text)
    with pytest.raises(InputError, match=r"nothing\.json: cannot be read"):
        run("nothing.json", "--on", text)
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        run("nothing.json", "--on", text, "--html", str(tmp_path))
