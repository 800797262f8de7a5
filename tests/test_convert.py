"""``textmill tokenizer convert``, ``encode`` and ``decode``."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from textmill.cli.convert import add_convert
from textmill.errors import InputError, UserError
from textmill.tokenize import Tokenizer

EOT = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
TOKENIZER = Tokenizer(BYTES | {256: b"ab", 257: b"\xc3\xa9"}, [(b"a", b"b"), (b"\xc3", b"\xa9")], [EOT])


@pytest.fixture(autouse=True)
def in_a_folder_with_a_tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    TOKENIZER.save("t.json")


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    add_convert(parser.add_subparsers(required=True))
    options = parser.parse_args(arguments)
    options.command(options)


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    run(*arguments)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "out", "again", "printed"),
    [
        ("hf", "x", [], ["x/tokenizer.json", "x/tokenizer_config.json"]),
        ("gpt2", "x", [], ["x/vocab.json", "x/merges.txt"]),
        ("textmill", "x.json", [], ["x.json"]),
        (
            "tiktoken",
            "x.ranks",
            ["--pattern", "gpt2"],
            ["x.ranks", f"not in the file: pattern gpt2, special tokens {{'{EOT}': 258}}"],
        ),
    ],
)
def test_converting_there_and_back(
    capsys: pytest.CaptureFixture[str], kind: str, out: str, again: Sequence[str], printed: Sequence[str]
) -> None:
    assert output(capsys, "convert", "t.json", out, "--to", kind).splitlines() == printed
    run("convert", out, "back.json", "--to", "textmill", *again)
    assert Tokenizer.load("back.json").merges == TOKENIZER.merges
    assert (Tokenizer.load("back.json").digest == TOKENIZER.digest) == (kind != "tiktoken")


def test_what_cannot_be_converted_leaves_nothing() -> None:
    with pytest.raises(UserError, match="did you mean 'textmill'"):
        run("convert", "t.json", "x", "--to", "txtmill")
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read"):
        run("convert", "nowhere.json", "x", "--to", "hf")
    assert not Path("x").exists()


def test_encoding_shows_ids_and_pieces(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert output(capsys, "encode", "t.json", "abé\n\x1b") == "256\tab\n257\té\n10\t\\n\n27\t\\x1b\n"
    assert output(capsys, "encode", "t.json", "ü") == "195\t\\xc3\n188\t\\xbc\n"
    assert output(capsys, "encode", "t.json", "--ids", f"ab{EOT}") == "256 258\n"
    assert output(capsys, "encode", "t.json", "--ids", "--ordinary", EOT).split() == [str(b) for b in EOT.encode()]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff")))
    assert output(capsys, "encode", "t.json", "--ids", "-") == "256 239 191 189\n"


def test_on_a_terminal_tokens_have_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = output(capsys, "encode", "t.json", "ab\né").splitlines()
    assert shown[-2:] == ["256 10 257", "3 tokens, 5 bytes, 1.67 bytes per token"]
    assert "ab" in shown[0] and "\\n" in shown[0] and "é" in shown[1]


def test_decoding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert output(capsys, "decode", "t.json", "256", "257") == "abé"
    assert output(capsys, "decode", "t.json", "256,258") == f"ab{EOT}"
    monkeypatch.setattr("sys.stdin", io.StringIO("97\n98"))
    assert output(capsys, "decode", "t.json", "-") == "ab"
    assert output(capsys, "decode", "t.json", "27", "10", "7") == "\x1b\n\a"
    with monkeypatch.context() as terminal:
        terminal.setattr("sys.stdout.isatty", lambda: True)
        assert output(capsys, "decode", "t.json", "97", "27", "10", "7") == "a\\x1b\n\\x07\n"
    with pytest.raises(UserError, match="'x' is no token id"):
        run("decode", "t.json", "x")
    with pytest.raises(InputError, match="token id 999: not in this vocabulary"):
        run("decode", "t.json", "999")
