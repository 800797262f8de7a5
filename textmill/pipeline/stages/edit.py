"""Texts as published rules change them before they are compared or trained on: lines dropped, marks cut out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.filters.base import Editor
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.scores import DOCUMENTS, n_text_bytes
from textmill.text import Documents


@dataclass(frozen=True)
class Edit(Stage):
    """Applies editors, in their order, to every document; rows and their order stay.

    Counts: ``edited_<editor>_<kind>``, the changes of each kind, and ``n_edited``, the documents that are not the same.
    """

    table = "edited"
    packages = ("numba",)

    documents: Stage
    editors: tuple[Editor, ...]

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        counts: Counter[str] = Counter({f"edited_{e.name}_{kind}": 0 for e in self.editors for kind in e.kinds})
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for (table,) in storage.read_aligned({task.file(self.documents, task.shard): None}):
                before = table["text"]
                for editor in self.editors:
                    text, changes = editor.edit(Documents(table))
                    counts.update({f"edited_{editor.name}_{kind}": int(n.sum()) for kind, n in changes.items()})
                    table = table.set_column(table.schema.get_field_index("text"), DOCUMENTS.field("text"), [text])
                counts["n_edited"] += pc.sum(pc.not_equal(before, table["text"])).as_py() or 0
                counts["text_bytes"] += n_text_bytes(table)
                writer.write(pa.table(table.columns, schema=DOCUMENTS))
        return one_table(writer, counts | Counter(rows_in=writer.rows, rows_out=writer.rows))
