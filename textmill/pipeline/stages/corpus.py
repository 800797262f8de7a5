"""The kept documents: those that pass the rules and are no copy of another, with personal data masked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.filters.pii import EmailMask
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.pipeline.stages.duplicates import Keepers
from textmill.pipeline.stages.scores import DOCUMENTS, Decide, first_reasons, n_text_bytes

COPIED = ("doc_id", "url", "host", "date", "warc_file", "warc_offset", "warc_length")


@dataclass(frozen=True)
class Corpus(Stage):
    """Writes the corpus. Its table says how many spans of each kind were masked, in a column ``n_masked_<kind>``.

    Counts: ``removed_<reason>`` under the first rule that a document fails, or the kind of copy that it is, and
    ``masked_<kind>``.
    """

    table = "corpus"

    documents: Stage
    decisions: Decide
    keepers: Keepers
    masks: tuple[EmailMask, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        masked = [pa.field(f"n_masked_{mask.name}", pa.int32(), nullable=False) for mask in self.masks]
        return pa.schema([*(DOCUMENTS.field(name) for name in COPIED), *masked, DOCUMENTS.field("text")])

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        source = {
            task.file(self.documents, task.shard): [*COPIED, "text"],
            task.file(self.decisions, task.shard): None,
        }
        counts: Counter[str] = Counter(dict.fromkeys((f"masked_{mask.name}" for mask in self.masks), 0))
        copies = storage.read_table(task.file(self.keepers, "all"), ["doc_id", "removed"])
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
        texts = documents["text"].to_pylist()
        columns = {name: documents[name] for name in COPIED}
        for mask in self.masks:
            masked = [mask.mask(text) for text in texts]
            texts = [text for text, _ in masked]
            columns[f"n_masked_{mask.name}"] = pa.array([n for _, n in masked], pa.int32())
            counts[f"masked_{mask.name}"] += sum(n for _, n in masked)
        return pa.table([*columns.values(), pa.array(texts, pa.large_string())], schema=self.schema)


def _why_removed(decisions: pa.Table, stage: Decide, copies: pa.Table) -> pa.Array:
    """The first failing rule, else the kind of copy, else null."""
    place = pc.index_in(decisions["doc_id"].combine_chunks(), copies["doc_id"].combine_chunks())
    kind = copies["removed"].combine_chunks().take(place)
    return pc.coalesce(first_reasons(decisions, stage.rules), kind)
