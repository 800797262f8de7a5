"""Every byte of a folder of shards is looked at, and what is wrong is named with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_shards import BATCHES, BYTES, EOT, TOKENIZER, batch, change_manifest, publish

from textmill import bits
from textmill.cli import main
from textmill.errors import InputError
from textmill.tokenize import Tokenizer
from textmill.tokenize.shards.check import describe, n_files, tokenizer_of, verify
from textmill.tokenize.shards.token_shards import TokenFormat, TokenShards, place_of
from textmill.tokenize.shards.writer import hash_strings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(tmp_path, 0, BATCHES)
    publish(tmp_path, 1, [batch(9, ["xy"], ["train"])])
    return tmp_path


def test_whole_shards_are_whole(folder: Path) -> None:
    read: list[int] = []
    counts = verify(str(folder), read.append)
    assert sum(read) == n_files(str(folder)) == 12
    assert (counts["train_n_tokens"], counts["val_n_docs"]) == (10, 2)


def change_tokens(at: int, value: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "train/tokens-00000.bin"
        tokens = np.fromfile(path, "<u2")
        tokens[at] = value
        tokens.tofile(path)

    return change


def change_offsets(*offsets: int) -> Callable[[Path], None]:
    return lambda folder: np.array(offsets, "<u8").tofile(folder / "train/docs-00000.u64")


def change_table(column: str, *values: object) -> Callable[[Path], None]:
    """Writes the table anew, and lets the manifest know its size."""

    def change(folder: Path) -> None:
        path = folder / "train/docs-00000.parquet"
        table = pq.read_table(path)
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
        pq.write_table(table, path)
        outputs = json.loads((folder / "00000.manifest.json").read_text())["outputs"]
        outputs["train/docs-00000.parquet"]["n_bytes"] = path.stat().st_size
        change_manifest(folder, outputs=outputs)

    return change


def flip_a_byte(folder: Path) -> None:
    path = folder / "train/docs-00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_tokens(1, 258), r"train/tokens-00000\.bin: token 1 is 258, but there are 258 ids"),
        (change_tokens(3, 99), r"train/tokens-00000\.bin: document 1 does not end with the end-of-text token 257"),
        (change_tokens(1, 98), r"train/tokens-00000\.bin: not the bytes that were written"),
        (change_offsets(0, 3, 4, 6), r"train/docs-00000\.u64: does not go from 0 to the 7 tokens"),
        (change_offsets(0, 4, 4, 7), r"train/docs-00000\.u64: document 1 goes from 4 to 4"),
        (change_offsets(0, 9, 8, 7), r"train/docs-00000\.u64: document 0 goes from 0 to 9"),
        (change_table("offset", 0, 3, 5), r"docs-00000\.parquet: offset of document 2 is 5, not 4"),
        (change_table("n_tokens", 3, 2, 3), r"docs-00000\.parquet: n_tokens of document 1 is 2, not 1"),
        (change_table("url", "a", "b", "c"), r"docs-00000\.parquet: url_hash of document 0 is \d+, not \d+"),
        (change_table("n_bytes", 3, 0, 4), r"docs-00000\.parquet: n_bytes is 7, but the manifest says 6"),
        (change_table("warc_offset", 1, 2, 3), r"docs-00000\.parquet: not the bytes that were written"),
        (flip_a_byte, r"docs-00000\.parquet: damaged"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(folder: Path, change: Callable[[Path], None], message: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=message):
        verify(str(folder))


def test_a_manifest_edited_by_hand_is_refused(folder: Path) -> None:
    path = folder / "00001.manifest.json"
    path.write_text(path.read_text().replace('"vocab_size": 258', '"vocab_size": 300'))
    with pytest.raises(InputError, match=r"00001\.manifest\.json: changed since it was written, by hand perhaps"):
        TokenShards.open(str(folder), "train")


@pytest.mark.parametrize(
    "meta",
    [
        {"dtype": "uint32"},
        {"dtype": 7},
        {"eot_id": 258},
        {"eot_id": 1.5},
        {"vocab_size": "many"},
        {"vocab_size": 258.0},
        {"eot_policy": "prepend"},
        {"seed": "1"},
        {"mix": ["web"]},
        {"x": 1},
    ],
)
def test_meta_that_makes_no_sense_is_refused(folder: Path, meta: dict[str, object]) -> None:
    change_manifest(folder, meta=TokenFormat.of(TOKENIZER).as_meta() | meta)
    with pytest.raises(InputError, match=r"00000\.manifest\.json: its meta is none of format"):
        TokenShards.open(str(folder), "train")


def test_a_wrong_tokenizer_is_refused(folder: Path) -> None:
    other = Tokenizer(BYTES | {256: b"ba"}, [(b"b", b"a")], [EOT])
    other.save(folder / "tokenizer.json")
    message = f"written with tokenizer {TOKENIZER.digest[:12]}, not with {other.digest[:12]}"
    with pytest.raises(InputError, match=message):
        verify(str(folder))
    form = TokenShards.open(str(folder), "train").format
    with pytest.raises(InputError, match=message):
        tokenizer_of(str(folder), form)
    with pytest.raises(InputError, match="has 257 ids, the tokenizer 258"):
        TokenFormat("uint16", 257, "", 256).check_tokenizer(TOKENIZER, "x")


def test_a_folder_is_described(folder: Path) -> None:
    found = describe(str(folder))
    train = found["splits"]["train"]
    assert (train["n_docs"], train["n_tokens"], train["bytes_per_token"]) == (4, 10, 8 / 6)
    assert train["sources"] == {"web": {"n_docs": 4, "n_tokens": 10}}
    assert train["tokens_per_document"] == {"p1": 1, "p25": 2, "p50": 3, "p75": 3, "p99": 3, "longest": 3}
    assert found["shards"]["00001"]["train_n_tokens"] == 3
    assert found["format"]["tokenizer_sha256"] == TOKENIZER.digest


def test_the_hash_of_urls_is_that_of_their_bytes() -> None:
    urls = ["", "http://a.example/é", "x" * 99, "http://b.example"]
    assert hash_strings(pa.array(urls)).tolist() == [bits.hash_bytes(url.encode()) for url in urls]
    assert hash_strings(pa.array(urls)[1:3]).tolist() == [bits.hash_bytes(url.encode()) for url in urls[1:3]]
    assert hash_strings(pa.array([], pa.string())).tolist() == []


def test_paths_of_shards() -> None:
    assert place_of("work/tokens-1a/train/tokens-00007.bin") == ("work/tokens-1a", "train", "00007")
    assert place_of("train/tokens-00007.bin") == (".", "train", "00007")
    assert place_of("work/tokens-1a/train") is None
    assert place_of("work") is None


def test_the_command_line_shows_checks_and_traces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "info", str(folder)]) == 0
    assert TOKENIZER.digest in capsys.readouterr().out
    assert main(["shards", "info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["val"]["n_docs"] == 2
    assert main(["shards", "verify", str(folder)]) == 0
    assert "whole; 6 documents" in capsys.readouterr().out
    assert main(["shards", "trace", str(folder), "4"]) == 0
    assert "not known without the tokenizer" in capsys.readouterr().out
    TOKENIZER.save(folder / "tokenizer.json")
    assert main(["shards", "trace", str(folder / "train/tokens-00000.bin"), "5"]) == 0
    shown = capsys.readouterr().out
    assert "token 5 of train/tokens-00000.bin: id 256" in shown
    assert "text     c[ab]<|endoftext|>" in shown
    assert "ids      99 [256] 257" in shown
    assert "document token 2 of 3, source web" in shown
    assert "http://example.org/5" in shown
    assert "crawl.warc.gz, bytes 500 to 600" in shown
    change_tokens(1, 258)(folder)
    assert main(["shards", "verify", str(folder)]) == 2
    assert "token 1 is 258" in capsys.readouterr().err
    assert main(["shards", "trace", str(folder), "10"]) == 2
    assert main(["shards", "trace", str(folder / "train/tokens-00007.bin"), "1"]) == 2
