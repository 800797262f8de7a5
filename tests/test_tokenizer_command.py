"""textmill tokenizer: what it reads, what it writes, what it says."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill import cli
from textmill.pipeline.training_text import Sources
from textmill.tokenize import Tokenizer, count_pretokens, train_from_counts
from textmill.tokenize.encoding.tokenizer import END_OF_TEXT
from textmill.tokenize.pretokens.count import TALLY_BYTES, PretokenCounts, count_texts
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer

TEXTS = ["the lighthouse keeper's lamp\n", "the lamp of the keeper, Über den Wäldern", "", "lamp lamp lamp 雪が降る"]


def command(*arguments: str | Path) -> int:
    return cli.main(["tokenizer", *map(str, arguments)])


def expected(texts: Sequence[str], vocab_size: int, special: Sequence[str] = (END_OF_TEXT,), **how: str) -> Tokenizer:
    vocab, merges = train_from_counts(count_pretokens(texts, special), vocab_size, special, **how)
    return Tokenizer(vocab, merges, special)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The texts one after the other, in three kinds of files."""
    plain, lines, table = tmp_path / "a.txt", tmp_path / "b.jsonl.gz", tmp_path / "c.parquet"
    plain.write_text(TEXTS[0], "utf-8", newline="")
    lines.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[1:3]).encode()))
    pq.write_table(pa.table({"text": TEXTS[3:], "n": [1]}), table)
    return [plain, lines, table]


@pytest.mark.parametrize("tie_break", ["bytes", "ids", "first"])
def test_all_kinds_of_files_count(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], tie_break: str
) -> None:
    out = tmp_path / "tokenizer.json"
    assert command("train", *files, "--vocab-size", "280", "--tie-break", tie_break, "--out", out) == 0
    vocab, merges = train_from_counts(count_in_order(TEXTS), 280, [END_OF_TEXT], tie_break=tie_break)
    assert (Tokenizer.load(out).vocab, Tokenizer.load(out).merges) == (vocab, merges)
    said = capsys.readouterr().out
    assert f"280 ids, 23 merges, of {sum(len(text.encode()) for text in TEXTS)} bytes" in said
    assert "bytes per token" in said


def count_in_order(texts: Sequence[str]) -> Counter[bytes]:
    return Counter(token.encode() for text in texts for token in Pretokenizer().ordinary(text))


def test_special_tokens_come_last_and_are_not_merged(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("<pad><pad><pad>ab ab<end>", "utf-8")
    out = tmp_path / "t.json"
    assert command("train", text, "--vocab-size", "260", "--special", "<end>", "--special", "<pad>", "--out", out) == 0
    assert Tokenizer.load(out).digest == expected([text.read_text()], 260, ["<end>", "<pad>"]).digest
    assert Tokenizer.load(out).special_ids == {"<end>": 258, "<pad>": 259}


def test_a_text_that_supports_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "a.txt"
    text.write_text("abc abc", "utf-8")
    assert command("train", text, "--vocab-size", "5000", "--out", tmp_path / "t.json") == 0
    said = capsys.readouterr().out
    assert "260 ids, 3 merges, of 7 bytes" in said
    assert "the text has no pair left to merge; 5,000 ids were wanted" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.txt", "--vocab-size", "256"], "vocab_size 256: give at least 257"),
        (["a.txt", "--vocab-size", "300", "--pattern", "gpt-2"], "did you mean 'gpt2'?"),
        (["a.txt", "--vocab-size", "300", "--tie-break", "byte"], "did you mean 'bytes'?"),
        (["a.txt", "--vocab-size", "300", "--special", "x", "--special", "x"], "give each of them once"),
        (["nowhere.txt", "--vocab-size", "300"], "nowhere.txt: no such file"),
        (["nowhere", "--vocab-size", "300"], "nowhere: no such file, folder or run"),
        (["a.txt.gz", "--vocab-size", "300"], "must be unpacked first"),
        (["latin.txt", "--vocab-size", "300"], "latin.txt: not UTF-8 at byte 3"),
        (["empty.txt", "--vocab-size", "300"], "no text to train on"),
        (["a.txt", "--vocab-size", "300", "--out", "./a.txt"], "would take the place of a text to train on"),
        (["a.txt", "--vocab-size", "300", "--out", "a.txt/t.json"], "cannot be written (File exists)"),
        (["a.txt", "--vocab-size", "300", "--out", "/"], "/: is a folder; name a file in it"),
        (["a.txt", "--vocab-size", "300", "--out", "/proc/t.json"], "/proc/t.json: cannot be written (No such file"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a b c")
    Path("empty.txt").write_text("")
    Path("latin.txt").write_bytes(b"caf\xe9 cr\xe8me")
    assert command("train", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert sorted(map(str, Path().iterdir())) == ["a.txt", "empty.txt", "latin.txt"]
    assert Path("a.txt").read_text() == "a b c"


def test_threads_share_the_memory_for_counts(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def count_less(*arguments: Any, max_bytes: int, **more: Any) -> PretokenCounts:
        given.append(max_bytes)
        return count_texts(*arguments, max_bytes=1, **more)

    monkeypatch.setattr("textmill.pipeline.training_text.count_texts", count_less)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(8))
    counts = Sources(list(map(str, files))).count([END_OF_TEXT], "gpt2")
    assert given == [TALLY_BYTES // 8] * 2
    assert counts.n_bytes == sum(len(text.encode()) for text in TEXTS)


def test_no_memory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*arguments: object, **more: object) -> None:
        raise MemoryError("Unable to allocate 32.0 GiB")

    (tmp_path / "a.txt").write_text("a b c")
    monkeypatch.setattr("textmill.tokenize.bpe.train.train_merges", no_memory)
    assert command("train", tmp_path / "a.txt", "--vocab-size", "300", "--out", tmp_path / "t.json") == 2
    assert capsys.readouterr().err == "textmill: not enough memory (Unable to allocate 32.0 GiB); give it more\n"
