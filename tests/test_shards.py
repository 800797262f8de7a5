"""Token shards: what is written can be read back, located, and refused when it is not what it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textmill import storage
from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.tokenize import Tokenizer
from textmill.tokenize.shards.token_shards import DOCUMENTS, TokenShards
from textmill.tokenize.shards.writer import WrittenShard, write_shard

EOT = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
TOKENIZER = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], [EOT])  # the end-of-text token is 257
WIDE = Tokenizer(BYTES | {70_000: b"ab"}, [(b"a", b"b")], [EOT])


def batch(first_id: int, texts: Sequence[str | None], splits: Sequence[str]) -> pa.Table:
    ids = range(first_id, first_id + len(texts))
    columns: dict[str, pa.Array] = {
        "doc_id": pa.array(ids, pa.uint64()),
        "url": pa.array([f"http://example.org/{i}" for i in ids], pa.string()),
        "warc_file": pa.array(["crawl.warc.gz"] * len(texts), pa.string()),
        "warc_offset": pa.array([100 * i for i in ids], pa.int64()),
        "warc_length": pa.array([100] * len(texts), pa.int64()),
        "text": pa.array(texts, pa.large_string()),
        "split": pa.array(splits, pa.string()),
    }
    return pa.table(columns)


BATCHES = [
    batch(1, ["abc", "", "é雪"], ["train", "train", "val"]),
    batch(4, [], []),
    batch(4, [f"ab{EOT}", "cab"], ["val", "train"]),
]


def publish(folder: Path, number: int, batches: Sequence[pa.Table], tokenizer: Tokenizer = TOKENIZER) -> WrittenShard:
    with storage.scratch(str(folder)) as scratch:
        shard = write_shard(scratch, number, batches, tokenizer)
        outputs = storage.describe(shard.files, shard.rows)
        manifest = storage.Manifest("tokens", "f" * 16, f"{number:05d}", outputs, shard.counts, shard.meta)
        storage.publish_task(str(folder), manifest, shard.files)
    return shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(tmp_path, 0, BATCHES)
    publish(tmp_path, 1, [batch(9, ["xy"], ["train"])])
    return tmp_path


def test_the_bytes_on_disk(folder: Path) -> None:
    tokens = np.frombuffer((folder / "train/tokens-00000.bin").read_bytes(), "<u2")
    assert tokens.tolist() == [256, 99, 257, 257, 99, 256, 257]
    offsets = np.frombuffer((folder / "train/docs-00000.u64").read_bytes(), "<u8")
    assert offsets.tolist() == [0, 3, 4, 7]
    table = pq.read_table(folder / "train/docs-00000.parquet")
    assert table.schema == DOCUMENTS
    assert table.select(["doc_id", "shard", "offset", "n_tokens", "n_bytes"]).to_pydict() == {
        "doc_id": [1, 2, 5],
        "shard": [0, 0, 0],
        "offset": [0, 3, 4],
        "n_tokens": [3, 1, 3],
        "n_bytes": [3, 0, 3],
    }


def test_counts_and_meta(tmp_path: Path) -> None:
    shard = publish(tmp_path, 0, BATCHES)
    n_val_bytes = len(f"é雪ab{EOT}".encode())
    assert shard.counts == {
        "train_n_tokens": 7,
        "train_n_docs": 3,
        "train_n_bytes": 6,
        "val_n_tokens": 6 + (1 + len(EOT) + 1),
        "val_n_docs": 2,
        "val_n_bytes": n_val_bytes,
    }
    assert shard.rows["train/tokens-00000.bin"] == 7
    assert shard.rows["train/docs-00000.u64"] == 4
    assert shard.meta == {
        "format": "textmill-tokens-2",
        "dtype": "uint16",
        "vocab_size": 258,
        "tokenizer_sha256": TOKENIZER.digest,
        "eot_id": 257,
        "eot_policy": "append",
        "seed": None,
        "mix": None,
    }


def test_a_second_attempt_makes_the_same_bytes(folder: Path) -> None:
    publish(folder, 0, BATCHES)  # publish_task raises when they differ
    with pytest.raises(InvariantError, match="a second attempt made other bytes"):
        publish(folder, 0, BATCHES[:1])


def test_shards_come_back(folder: Path) -> None:
    shards = TokenShards.open(str(folder), "train")
    assert [tokens.tolist() for tokens in shards.tokens] == [[256, 99, 257, 257, 99, 256, 257], [120, 121, 257]]
    assert [offsets.tolist() for offsets in shards.offsets] == [[0, 3, 4, 7], [0, 3]]
    assert (shards.n_tokens, shards.n_docs, shards.n_bytes) == (10, 4, 8)
    assert (shards.dtype, shards.vocab_size, shards.eot_id) == (np.uint16, 258, 257)
    assert shards.tokenizer_sha256 == TOKENIZER.digest
    val = TokenShards.open(str(folder), "val")
    assert TOKENIZER.decode(val.tokens[0]) == f"é雪{EOT}ab{EOT}{EOT}"
    assert val.tokens[1].tolist() == []  # shard 1 has no validation documents


def test_every_token_leads_back_to_its_record(folder: Path) -> None:
    shards = TokenShards.open(str(folder), "train")
    places = [(location.doc_id, location.token) for location in map(shards.locate, range(shards.n_tokens))]
    assert places == [(1, 0), (1, 1), (1, 2), (2, 0), (5, 0), (5, 1), (5, 2), (9, 0), (9, 1), (9, 2)]
    location = shards.locate(5)
    assert (location.url, location.warc_file) == ("http://example.org/5", "crawl.warc.gz")
    assert (location.warc_offset, location.warc_length, location.shard, location.n_tokens) == (500, 100, 0, 3)
    for position in (-1, 10):
        with pytest.raises(UserError, match="has 10 tokens, the first is 0"):
            shards.locate(position)


def test_no_place_is_told_by_damaged_offsets(folder: Path) -> None:
    path = folder / "train" / "docs-00000.u64"
    sound = np.fromfile(path, "<u8")
    for damaged in (sound + np.uint64(8), sound * np.uint64(0), sound[::-1]):
        damaged.tofile(path)
        shards = TokenShards.open(str(folder), "train")
        for position in range(len(shards.tokens[0])):
            with pytest.raises(InputError, match="damaged offsets; `textmill shards verify` says where"):
                shards.locate(position)


def test_a_shard_without_documents(tmp_path: Path) -> None:
    publish(tmp_path, 0, [])
    for split in ("train", "val"):
        shards = TokenShards.open(str(tmp_path), split)
        assert (shards.n_tokens, shards.n_docs, shards.n_bytes) == (0, 0, 0)
        assert shards.offsets[0].tolist() == [0]
        assert pq.read_schema(shards.documents[0]) == DOCUMENTS


def test_wide_ids(tmp_path: Path) -> None:
    publish(tmp_path, 0, BATCHES, WIDE)
    shards = TokenShards.open(str(tmp_path), "train")
    assert (tmp_path / "train/tokens-00000.bin").stat().st_size == 7 * 4
    assert shards.dtype == np.uint32
    assert shards.tokens[0].tolist() == [70_000, 99, 70_001, 70_001, 99, 70_000, 70_001]


class Broken(Tokenizer):
    """Gives an id that its vocabulary does not have."""

    def encode_batch(self, documents: pa.Array, *, threads: int = 1) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        return np.array([97, 1 << 16], np.uint32), np.array([0, 2])


def test_bugs_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="token id 65536 does not fit a vocabulary of 258 ids in uint16"):
        write_shard(tmp_path, 0, [batch(1, ["a"], ["train"])], Broken(TOKENIZER.vocab, [], [EOT]))
    with pytest.raises(InvariantError, match="split 'test'"):
        write_shard(tmp_path, 0, [batch(1, ["a"], ["test"])], TOKENIZER)
    with pytest.raises(InvariantError, match="without text"):
        write_shard(tmp_path, 0, [batch(1, [None], ["train"])], TOKENIZER)
    with pytest.raises(UserError, match="no special token"):
        write_shard(tmp_path, 0, [], Tokenizer(BYTES, []))


def test_shards_of_two_tokenizers_are_refused(folder: Path) -> None:
    publish(folder, 2, BATCHES, Tokenizer(BYTES | {256: b"ba"}, [(b"b", b"a")], [EOT]))
    with pytest.raises(InputError, match="shards 00000 and 00002 differ in tokenizer_sha256"):
        TokenShards.open(str(folder), "train")


def test_damaged_files_are_refused(folder: Path) -> None:
    path = folder / "train/tokens-00001.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"tokens-00001\.bin: cut short: 5 bytes, its manifest says 6"):
        TokenShards.open(str(folder), "train")
    path.write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="overwritten"):
        TokenShards.open(str(folder), "train")
    path.unlink()
    with pytest.raises(InputError, match=r"tokens-00001\.bin: missing"):
        TokenShards.open(str(folder), "train")
    assert TokenShards.open(str(folder), "val").n_docs == 2  # the other split is whole


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / "00000.manifest.json"
    value = json.loads(path.read_text()) | changes
    value.pop("sha256", None)  # or any change would be refused
    path.write_text(json.dumps(value))


def test_manifests_that_do_not_fit_are_refused(folder: Path) -> None:
    outputs = json.loads((folder / "00000.manifest.json").read_text())["outputs"]
    outputs["train/tokens-00000.bin"]["rows"] = 6
    change_manifest(folder, outputs=outputs)
    with pytest.raises(InputError, match="14 bytes are not 6 rows of 2 bytes"):
        TokenShards.open(str(folder), "train")
    del outputs["train/tokens-00000.bin"]
    change_manifest(folder, outputs=outputs)
    with pytest.raises(InputError, match=r"does not name train/tokens-00000\.bin"):
        TokenShards.open(str(folder), "train")
    change_manifest(folder, meta={"format": "other"})
    with pytest.raises(InputError, match="not token shards of format"):
        TokenShards.open(str(folder), "train")


def test_folders_and_splits_that_do_not_exist(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        TokenShards.open(str(folder), "trian")
    with pytest.raises(InputError, match="no token shards"):
        TokenShards.open(str(tmp_path / "nowhere"), "train")
    with pytest.raises(InputError, match="copy them to a local folder"):
        TokenShards.open("s3://bucket/tokens", "train")
