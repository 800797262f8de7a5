"""Text to token shards: a byte-level BPE trained on the corpus, and the corpus encoded with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from textmill import storage
from textmill.errors import UserError
from textmill.pipeline.stage import Result, Stage, Task
from textmill.tokenize import Tokenizer, count_pretokens, train_from_counts
from textmill.tokenize.shard_writer import write_shard
from textmill.tokenize.shards import SPLITS

END_OF_TEXT = "<|endoftext|>"
MIN_VOCAB_SIZE = 257


@dataclass(frozen=True)
class TrainTokenizer(Stage):
    """Trains a byte-level BPE on the whole corpus; one file, ``tokenizer.json``."""

    table = "tokenizer"
    packages = ("regex",)

    corpus: Stage
    vocab_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab_size < MIN_VOCAB_SIZE:
            raise UserError(f"vocab_size is {self.vocab_size}; 256 bytes and {END_OF_TEXT} need {MIN_VOCAB_SIZE}")

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        counts = count_pretokens(self._texts(task), [END_OF_TEXT])
        if not counts:
            raise UserError("the corpus is empty: every document was dropped; `textmill report` shows by which rule")
        vocab, merges = train_from_counts(counts, self.vocab_size, [END_OF_TEXT])
        path = task.scratch / "tokenizer.json"
        Tokenizer(vocab, merges, [END_OF_TEXT]).save(str(path))
        return Result({path.name: path}, {path.name: len(vocab)}, {"vocab_size": len(vocab), "n_merges": len(merges)})

    def _texts(self, task: Task) -> Iterator[str]:
        for uri in task.all_files(self.corpus):
            for (table,) in storage.read_aligned({uri: ["text"]}):
                yield from table["text"].to_pylist()


@dataclass(frozen=True)
class Tokens(Stage):
    """Encodes the corpus into token shards, one of each split a task; see `textmill.tokenize.shards` for the files.

    A document's split follows from a hash of its host, so no site is on both sides.
    """

    version = 2  # 2: source and hash of the URL in the table of documents
    table = "tokens"
    packages = ("regex",)

    corpus: Stage
    tokenizer: TrainTokenizer
    val_frac: float = 0.05
    source: str = "web"  # what the table of documents says

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.val_frac < 1:
            raise UserError(f"val_frac is {self.val_frac}; it must be at least 0 and below 1")

    def shards(self) -> list[str]:
        return self.corpus.shards()

    def run_shard(self, task: Task) -> Result:
        tokenizer = Tokenizer.load(task.file(self.tokenizer, "all"))
        number, batches = int(task.shard), self._batches(task)
        files, rows, counts, meta = write_shard(task.scratch, number, batches, tokenizer, self.source)
        total = {"rows_in": sum(counts[f"{split}_n_docs"] for split in SPLITS)}
        return Result(files, rows, counts | total | {"rows_out": total["rows_in"]}, meta)

    def _batches(self, task: Task) -> Iterator[pa.Table]:
        columns = ["url", "host", "warc_file", "warc_offset", "warc_length", "text"]
        for (table,) in storage.read_aligned({task.file(self.corpus, task.shard): columns}):
            splits = ["val" if hash_frac(host) < self.val_frac else "train" for host in table["host"].to_pylist()]
            yield table.drop_columns("host").append_column("split", pa.array(splits))


def hash_frac(key: str) -> float:
    """A number in [0, 1) that depends on nothing but ``key``."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int(np.frombuffer(digest, "<u8")[0] >> np.uint64(11)) / (1 << 53)
