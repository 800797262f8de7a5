"""Text to token shards: a byte-level BPE, trained on the corpus or there already, and the corpus encoded with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.errors import EnvironmentFault, UnknownNameError, UserError
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.tokenize import Tokenizer
from textmill.tokenize.bpe.train import check, train
from textmill.tokenize.files.definition import END_OF_TEXT
from textmill.tokenize.pretokens.count import PretokenCounts, add_counts, count_texts
from textmill.tokenize.pretokens.pretokenizer import Pretokenizer
from textmill.tokenize.shards.token_shards import SPLITS, TOKENIZER_FILE
from textmill.tokenize.shards.writer import write_shard

ROWS_TOGETHER = 1 << 18
SPLIT_BY = ("host", "document")
PRETOKENS = pa.schema(
    [
        pa.field("pretoken", pa.large_binary(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),  # smaller for what comes first in the shard
    ]
)


@dataclass(frozen=True)
class CountPretokens(Stage):
    """Counts the pretokens of the corpus: of each shard a table of the distinct ones, in order of their bytes."""

    table = "pretokens"
    packages = ("regex",)

    corpus: Stage
    pattern: str = "gpt2"

    def __post_init__(self) -> None:
        super().__post_init__()
        Pretokenizer([END_OF_TEXT], self.pattern)  # refuses a pattern that is not there

    def shards(self) -> list[str]:
        return self.corpus.shards()

    def run_shard(self, task: Task) -> Result:
        uri = task.file(self.corpus, task.shard)
        texts = (table["text"].combine_chunks() for (table,) in storage.read_aligned({uri: ["text"]}))
        counts = count_texts(texts, [END_OF_TEXT], pattern=self.pattern, folder=task.scratch)
        with storage.TableWriter(task.table(), PRETOKENS) as writer:
            for rows in _as_tables(counts):
                writer.write(rows)
        return one_table(writer, {"n_pretokens": int(counts.counts.sum()), "n_distinct": len(counts)})


@dataclass(frozen=True)
class MakeTokenizer(Stage):
    """Where a tokenizer comes from; one file, ``tokenizer.json``. The count ``vocab_size`` is that of its entries."""

    table = "tokenizer"

    def shards(self) -> list[str]:
        return ["all"]

    def _result(self, task: Task, tokenizer: Tokenizer, counts: dict[str, int]) -> Result:
        path = task.scratch / TOKENIZER_FILE
        tokenizer.save(str(path))
        size = tokenizer.vocab_size
        return Result({path.name: path}, {path.name: size}, {"vocab_size": size, **counts})


@dataclass(frozen=True)
class GivenTokenizer(MakeTokenizer):
    """A tokenizer that is there already, in any format that `Tokenizer.load` reads."""

    in_driver = True  # its file is on the machine that plans

    path: str = field(metadata=NOT_IDENTITY)
    digest: str
    vocab_size: int

    @classmethod
    def find(cls, path: str) -> GivenTokenizer:
        """The tokenizer at ``path`` as it is now. Errors: those of `Tokenizer.load`; `UserError` without an
        end-of-text token."""
        tokenizer = Tokenizer.load(path)
        _ = tokenizer.eot_id  # documents must end
        return cls(storage.absolute(path), tokenizer.digest, tokenizer.vocab_size)

    def run_shard(self, task: Task) -> Result:
        tokenizer = Tokenizer.load(self.path)
        if tokenizer.digest != self.digest:
            raise EnvironmentFault(f"{self.path}: no longer the tokenizer that the run was planned with; put it back")
        return self._result(task, tokenizer, {})


@dataclass(frozen=True)
class TrainTokenizer(MakeTokenizer):
    """Trains a byte-level BPE on all documents, of fewer than ``vocab_size`` entries if they have no more pairs."""

    version = 2

    pretokens: CountPretokens
    vocab_size: int
    tie_break: str = "bytes"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.vocab_size, [END_OF_TEXT], self.pretokens.pattern, self.tie_break)

    def run_shard(self, task: Task) -> Result:
        counts = add_counts(_read_in_order(task.all_files(self.pretokens)))
        if not len(counts):
            raise UserError("the corpus is empty: no text came in or every document was dropped; see `textmill report`")
        training = train(counts, self.vocab_size, [END_OF_TEXT], tie_break=self.tie_break)
        tokenizer = Tokenizer(training.vocab, training.merges, [END_OF_TEXT], pattern=self.pretokens.pattern)
        return self._result(task, tokenizer, {"n_merges": len(training.merges)})


def _as_tables(counts: PretokenCounts) -> Iterator[pa.Table]:
    """The rows of `PRETOKENS`, in order of bytes."""
    order = pc.sort_indices(_strings(counts)).to_numpy().astype(np.int64)
    counts = counts.chosen(order)
    table = pa.table([_strings(counts), pa.array(counts.counts), pa.array(counts.places)], schema=PRETOKENS)
    return (table.slice(first, ROWS_TOGETHER) for first in range(0, len(table), ROWS_TOGETHER))


def _strings(counts: PretokenCounts) -> pa.LargeBinaryArray:
    buffers = [None, pa.py_buffer(counts.starts), pa.py_buffer(counts.arena)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(counts), buffers)


def _read_in_order(uris: Iterable[str]) -> Iterator[PretokenCounts]:
    """The counts of all shards; the places of each shard come after those of the one before."""
    first_place = 0
    for uri in uris:
        next_place = first_place
        with storage.open_parquet(uri) as file:
            for group in range(file.num_row_groups):
                counts = _from_table(file.read_row_group(group), first_place)
                next_place = max(next_place, int(counts.places.max()) + 1)
                yield counts
        first_place = next_place


def _from_table(rows: pa.Table, first_place: int) -> PretokenCounts:
    strings = rows["pretoken"].combine_chunks()
    _, offsets, data = strings.buffers()
    starts = np.frombuffer(offsets, np.int64)[strings.offset :][: len(strings) + 1]
    places = rows["place"].to_numpy() + first_place
    return PretokenCounts(np.frombuffer(data, np.uint8), starts, rows["count"].to_numpy(), places)


@dataclass(frozen=True)
class Tokens(Stage):
    """Encodes the corpus into token shards, one of each split a task (`textmill.tokenize.shards.token_shards`).

    A document's split follows from a hash of its host, so no site is on both sides; without a URL, of its id. Of few
    hosts none may be held out: ``split_by`` "document" takes the id of each.
    """

    version = 3  # 2: source and hash of the URL in the table of documents; 3: documents without a URL in both splits
    table = "tokens"
    packages = ("regex",)

    corpus: Stage
    tokenizer: MakeTokenizer
    val_frac: float = 0.05
    source: str = "web"  # what the table of documents says
    split_by: str = "host"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split_by not in SPLIT_BY:
            raise UnknownNameError("way to split", self.split_by, SPLIT_BY)
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
            ids = map(str, table["doc_id"].to_pylist())
            hosts = table["host"].to_pylist() if self.split_by == "host" else [""] * len(table)
            keys = (host or own for host, own in zip(hosts, ids, strict=True))
            splits = ["val" if hash_frac(key) < self.val_frac else "train" for key in keys]
            yield table.drop_columns("host").append_column("split", pa.array(splits))


def hash_frac(key: str) -> float:
    """A number in [0, 1) that depends on nothing but ``key``."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int(np.frombuffer(digest, "<u8")[0] >> np.uint64(11)) / (1 << 53)
