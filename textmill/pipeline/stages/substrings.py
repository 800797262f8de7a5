"""Stretches of words that stand elsewhere, too: found over all documents at once, then cut out shard by shard."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.dedup.substring import SPANS, Batch, Cut, SubstringSearch, TextBatch, check, stretches_of
from textmill.pipeline.rows import pieces
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, one_table
from textmill.pipeline.stages.contamination import with_text
from textmill.pipeline.stages.scores import DOCUMENTS, n_text_bytes
from textmill.text import Documents

BATCH_BYTES = 1 << 20  # of text whose words are held at a time


@dataclass(frozen=True)
class Substrings(Stage):
    """Spans of at least ``n_words`` words that stand elsewhere; a table for each shard of the documents.

    With ``keep="first"`` the first of all copies is none; with ``keep="none"`` it is one as well. One task, within
    ``memory_mb`` and the largest row group; it puts some 2 bytes a word on the disk of its machine.
    """

    table = "substrings"
    packages = ("numba",)
    in_driver = True

    documents: Stage
    n_words: int = 50
    keep: str = "first"
    memory_mb: int = field(default=256, metadata=NOT_IDENTITY)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_words, self.keep)

    def shards(self) -> list[str]:
        return ["all"]

    def run_shard(self, task: Task) -> Result:
        shards = [functools.partial(_batches, uri) for uri in task.all_files(self.documents)]
        folder = task.scratch / "runs"
        folder.mkdir()
        search = SubstringSearch(shards, folder, self.n_words, self.keep, self.memory_mb << 20)
        with ExitStack() as stack:
            paths = [task.scratch / f"{shard}.parquet" for shard in self.documents.shards()]
            writers = [stack.enter_context(storage.TableWriter(path, SPANS)) for path in paths]
            for number, table in search.spans():
                writers[number].write(table)
        files = {writer.path.name: writer.path for writer in writers}
        return Result(files, {writer.path.name: writer.rows for writer in writers}, asdict(search.counts))


def _batches(uri: str) -> Iterator[Batch]:
    for (table,) in storage.read_aligned({uri: ["text"]}):
        text, doc_ids = Documents(table).text, table["doc_id"].to_numpy()
        for first, n in pieces(text, BATCH_BYTES):
            yield TextBatch(doc_ids[first : first + n], text.slice(first, n))


@dataclass(frozen=True)
class CutSubstrings(Stage):
    """The documents without their spans, or with them masked.

    Counts: ``removed_repeated``, documents with too little left; ``n_cut`` others that lost something; ``cut_bytes``.
    """

    table = "without_substrings"
    packages = ("numba",)

    documents: Stage
    substrings: Substrings
    cut: Cut = Cut()  # noqa: RUF009 - frozen

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        name = f"/{task.shard}.parquet"
        (uri,) = (uri for uri in task.files(self.substrings, "all") if uri.endswith(name))
        spans = storage.read_table(uri)
        counts: Counter[str] = Counter(rows_in=0, removed_repeated=0, n_cut=0, cut_bytes=0, text_bytes=0)
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for (table,) in storage.read_aligned({task.file(self.documents, task.shard): None}):
                text = Documents(table).text
                cuts = stretches_of(spans, table["doc_id"].to_numpy())
                edited, too_short = self.cut.apply(text, cuts)
                counts["rows_in"] += len(table)
                counts["removed_repeated"] += int(np.count_nonzero(too_short))
                kept = pa.array(~too_short)
                counts["n_cut"] += int(pc.sum(pc.and_(kept, pc.not_equal(text, edited))).as_py() or 0)
                counts["cut_bytes"] += int((cuts.end - cuts.start).sum())
                rest = with_text(table, edited).filter(kept)
                counts["text_bytes"] += n_text_bytes(rest)
                writer.write(rest)
        return one_table(writer, dict(counts) | {"rows_out": writer.rows})
