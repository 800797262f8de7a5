"""The kept documents: those that pass the rules and are no copy of another, with personal data masked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.filters.pii import Mask, mask
from textmill.filters.pii.spans import KINDS, Found
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.scores import DOCUMENTS, Decide, first_reasons, n_text_bytes
from textmill.text import Documents

COPIED = ("doc_id", "url", "host", "date", "warc_file", "warc_offset", "warc_length")
# Where personal data stood, in bytes of UTF-8, and where the placeholder stands instead. What it was is not kept.
SPAN = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("start_bytes", pa.int64(), nullable=False),
        pa.field("length_bytes", pa.int64(), nullable=False),
        pa.field("masked_start_bytes", pa.int64(), nullable=False),
    ]
)
SPANS = pa.field("masked_spans", pa.list_(pa.field("item", SPAN, nullable=False)), nullable=False)


@dataclass(frozen=True)
class Corpus(Stage):
    """Writes the corpus. Its table says how many spans of each kind were masked, in a column ``n_masked_<kind>``, and
    where they are, in ``masked_spans``.

    Counts: ``removed_<reason>`` under the first rule that a document fails, or the kind of copy that it is, and
    ``masked_<kind>``.
    """

    version = 2
    table = "corpus"
    packages = ("numba",)

    documents: Stage
    decisions: Decide
    keepers: Keepers
    masks: tuple[Mask, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        masked = [pa.field(f"n_masked_{each.kind}", pa.int32(), nullable=False) for each in self.masks]
        return pa.schema([*(DOCUMENTS.field(name) for name in COPIED), *masked, SPANS, DOCUMENTS.field("text")])

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        source = {
            task.file(self.documents, task.shard): [*COPIED, "text"],
            task.file(self.decisions, task.shard): None,
        }
        counts: Counter[str] = Counter(dict.fromkeys((f"masked_{each.kind}" for each in self.masks), 0))
        ids = storage.id_range(task.file(self.documents, task.shard))
        copies = storage.read_id_range(task.file(self.keepers, "all"), ["doc_id", "removed"], *ids)
        copies = copies.filter(pc.is_valid(copies["removed"]))
        with storage.TableWriter(task.table(), self.schema) as writer:
            for documents, decisions in storage.read_aligned(source):
                reasons = _why_removed(decisions, self.decisions, copies)
                counts["rows_in"] += len(documents)
                counts.update(f"removed_{reason}" for reason in reasons.drop_null().to_pylist())
                kept = self._masked(documents.filter(pc.is_null(reasons)), counts)
                counts["text_bytes"] += n_text_bytes(kept)
                writer.write(kept)
        return one_table(writer, counts | Counter(rows_out=writer.rows))

    def _masked(self, documents: pa.Table, counts: Counter[str]) -> pa.Table:
        """The rows with their text masked, and the number of masked spans beside it."""
        text, found = mask(Documents(documents).text, self.masks)
        columns = [documents[name].combine_chunks() for name in COPIED]
        for each in self.masks:
            n = found.counts(each.kind, len(documents))
            columns.append(pa.array(n, pa.int32()))
            counts[f"masked_{each.kind}"] += int(n.sum())
        return pa.table([*columns, self._spans(found, len(documents)), text], schema=self.schema)

    def _spans(self, found: Found, n_documents: int) -> pa.ListArray:
        """The spans of each document, in the order of its text."""
        sizes = {each.kind: len(each.placeholder.encode()) for each in self.masks}
        values = pa.StructArray.from_arrays(
            [
                pa.array([KINDS[kind] for kind in found.kind.tolist()], pa.string()),
                pa.array(found.start),
                pa.array(found.end - found.start),
                pa.array(found.start_after(sizes)),
            ],
            fields=list(SPAN),
        )
        offsets = pa.array(found.offsets(n_documents).astype("int32"))
        return pa.ListArray.from_arrays(offsets, values, type=SPANS.type)


def _why_removed(decisions: pa.Table, stage: Decide, copies: pa.Table) -> pa.Array:
    """The first failing rule, else the kind of copy, else null."""
    place = pc.index_in(decisions["doc_id"].combine_chunks(), copies["doc_id"].combine_chunks())
    kind = copies["removed"].combine_chunks().take(place)
    return pc.coalesce(first_reasons(decisions, stage.rules), kind)
