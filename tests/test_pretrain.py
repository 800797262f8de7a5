"""From people's own documents to token shards, with a tokenizer of theirs or a new one, and to a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textmill.cli import main
from textmill.pipeline.trained import find_model
from textmill.pipeline.workspace import tokens_folder
from textmill.tokenize import Tokenizer
from textmill.tokenize.bpe.train import train_bpe
from textmill.tokenize.shards.token_shards import TokenShards

WORDS = "the mill grinds web pages into tokens and the tokens into a model that writes".split()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """100 documents in two files, the second one with URLs of ten hosts."""
    texts = [" ".join(WORDS[i % 7 : i % 7 + 8]) + f" {i}." for i in range(100)]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in texts[:50]))
    rows = [{"body": text, "url": f"http://h{i % 10}.example/{i}"} for i, text in enumerate(texts[50:])]
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(files: Path, out: Path, *settings: str, to: str = "tokens") -> int:
    given = ["files=" + str(files), "column=body", "val_frac=0.3", *settings]
    options = [part for setting in given for part in ("--set", setting)]
    return main(["run", "pretrain", *options, "--to", to, "--serial", "--out", str(out)])


def texts_of(folder: str, tokenizer: Tokenizer) -> dict[str, list[str]]:
    """The documents of each split."""
    found = {}
    for split in ("train", "val"):
        shards = TokenShards.open(folder, split)
        pieces = [
            tokens[a:b].tolist()
            for tokens, offsets in zip(shards.tokens, shards.offsets, strict=True)
            for a, b in zip(offsets[:-1].astype(int), offsets[1:].astype(int), strict=True)
        ]
        found[split] = [tokenizer.decode(piece[:-1]) for piece in pieces]
    return found


def test_documents_become_shards_of_both_splits(files: Path, tmp_path: Path) -> None:
    assert run(files, tmp_path / "w", "vocab_size=300") == 0
    folder = tokens_folder(str(tmp_path / "w"))
    texts = texts_of(folder, Tokenizer.load(next((tmp_path / "w").glob("tokenizer-*/tokenizer.json"))))
    written = [json.loads(line) for path in sorted(files.iterdir()) for line in path.read_text().splitlines()]
    assert sorted(texts["train"] + texts["val"]) == sorted(row["body"] for row in written)
    in_val = [row in texts["val"] for row in (row["body"] for row in written)]
    assert 5 < sum(in_val[:50]) < 30  # documents without a URL: each by itself
    hosts = {row["url"].split("/")[2]: there for row, there in zip(written[50:], in_val[50:], strict=True)}
    for row, there in zip(written[50:], in_val[50:], strict=True):
        assert hosts[row["url"].split("/")[2]] == there  # others: with their host


def test_documents_of_one_host_are_split_one_by_one(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_host = [json.dumps({"body": f"text {i}", "url": f"http://one.example/{i}"}) + "\n" for i in range(40)]
    (files / "a.jsonl").write_text("".join(one_host))
    (files / "b.jsonl").unlink()
    assert run(files, tmp_path / "w", "vocab_size=260") == 0
    assert "; none for validation" in capsys.readouterr().err
    assert run(files, tmp_path / "w", "vocab_size=260", "split_by=document") == 0
    shards = TokenShards.open(tokens_folder(str(tmp_path / "w")), "val")
    assert 4 < shards.n_docs < 22


def test_a_tokenizer_that_is_there_is_used(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vocab, merges = train_bpe(files / "a.jsonl", 280, ["<|endoftext|>"])
    own = Tokenizer(vocab, merges, ["<|endoftext|>"])
    own.save(str(tmp_path / "own.json"), "hf")
    assert run(files, tmp_path / "w", f"tokenizer={tmp_path / 'own.json'}", "source=notes") == 0
    shards = TokenShards.open(tokens_folder(str(tmp_path / "w")), "train")
    assert shards.tokenizer_sha256 == own.digest and shards.vocab_size == own.vocab_size
    assert main(["shards", "info", str(tmp_path / "w")]) == 0
    assert "notes" in capsys.readouterr().out


def test_the_model_of_such_a_run_is_found_and_reported(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert run(files, tmp_path / "w", "vocab_size=270", "steps=2", to="model") == 0
    assert find_model(str(tmp_path / "w")).tokenizer is not None
    capsys.readouterr()
    assert main(["report", str(tmp_path / "w"), "--json"]) == 0
    account = json.loads(capsys.readouterr().out)
    assert main(["train", "trace", str(tmp_path / "w"), "--step", "2", "--json"]) == 0  # of the run's own model
    traced = json.loads(capsys.readouterr().out)
    assert (traced["step"], traced["weights_step"]) == (2, 2) and traced["pages"]
    assert account["tokens"]["vocab_size"] == 270 and len(account["model"]["curve"]) == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["tokenizer=nothing.json"], "nothing.json"),
        (["vocab_size=10"], "vocab_size"),
        (["column=bdy"], "body"),
        (["split_by=hosts"], "host"),
    ],
)
def test_mistakes_are_one_line(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], expected: str
) -> None:
    assert run(files, tmp_path / "w", *settings) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("textmill: ")]
    assert expected in line
