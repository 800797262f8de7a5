"""Items of benchmarks in documents: found shard by shard, then dropped or cut out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.dedup.decontaminate import MATCHES, ItemIndex, Judgement, Ngrams
from textmill.pipeline.benchmark_items import ItemFile
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.scores import DOCUMENTS, n_text_bytes
from textmill.text import Documents


@dataclass(frozen=True)
class Contamination(Stage):
    """Every document that shares an n-gram with an item, with its overlap and where it is; a row a pair.

    Counts: ``n_documents`` looked at, ``n_matches``, and ``n_touched`` documents.
    """

    table = "contamination"
    packages = ("numba",)

    documents: Stage
    items: tuple[ItemFile, ...]
    ngrams: Ngrams = Ngrams()  # noqa: RUF009 - frozen

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        index = ItemIndex([item for file in self.items for item in file.read()], self.ngrams)
        counts: Counter[str] = Counter(n_documents=0, n_touched=0)
        with storage.TableWriter(task.table(), MATCHES) as writer:
            for (table,) in storage.read_aligned({task.file(self.documents, task.shard): ["text"]}):
                found = index.find(table["doc_id"].to_numpy(), Documents(table).text)
                counts["n_documents"] += len(table)
                counts["n_touched"] += len(pc.unique(found["doc_id"]))
                writer.write(found)
        return one_table(writer, dict(counts) | {"n_matches": writer.rows})


@dataclass(frozen=True)
class Decontaminate(Stage):
    """The documents without those that hold enough of an item, or without the items.

    Counts: ``removed_contaminated``, or ``n_cut`` documents from which something was cut.
    """

    table = "decontaminated"
    packages = ("numba",)

    documents: Stage
    contamination: Contamination
    judgement: Judgement = Judgement(action="drop")  # noqa: RUF009 - frozen

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        found = self.judgement.contaminated(storage.read_table(task.file(self.contamination, task.shard)))
        counts: Counter[str] = Counter(rows_in=0, removed_contaminated=0, n_cut=0, text_bytes=0)
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for (table,) in storage.read_aligned({task.file(self.documents, task.shard): None}):
                text = Documents(table).text
                edited, kept = self.judgement.apply(table["doc_id"].to_numpy(), text, found)
                counts["rows_in"] += len(table)
                counts["removed_contaminated"] += int(np.count_nonzero(~kept))
                counts["n_cut"] += int(pc.sum(pc.not_equal(text, edited)).as_py() or 0)
                rest = with_text(table, edited).filter(pa.array(kept))
                counts["text_bytes"] += n_text_bytes(rest)
                writer.write(rest)
        return one_table(writer, dict(counts) | {"rows_out": writer.rows})


def with_text(table: pa.Table, text: pa.LargeStringArray) -> pa.Table:
    """Documents with other texts."""
    field = DOCUMENTS.field("text")
    return table.set_column(table.schema.get_field_index("text"), field, text).select(DOCUMENTS.names).cast(DOCUMENTS)
