"""Measure, judge, drop: three stages, so that a changed threshold never measures again.

Score and Decide keep every row, in the order of their input. Only Materialize drops rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import schema, storage
from textmill.errors import UnknownNameError, UserError
from textmill.filters.base import Rule, Scorer, failures, measure
from textmill.pipeline.stage import Result, Stage, Task, one_table
from textmill.text import Documents

DOC_ID = pa.field("doc_id", pa.uint64(), nullable=False)
TEXT_BYTES = pa.field("text_bytes", pa.int32(), nullable=False)  # UTF-8
# A document is a page that passed the gates; it always has text, so its status is known.
DOCUMENTS = pa.schema(
    [f for f in schema.PAGES if f.name not in ("status", "fault", "text")]
    + [pa.field("text", pa.large_string(), nullable=False)]
)


@dataclass(frozen=True)
class Score(Stage):
    """Runs scorers over pages or documents. A page without text is scored as an empty text.

    Beside the scores stand the bytes of each text, for whoever counts later what the rules keep.
    """

    version = 2  # 1: without the bytes
    table = "scores"
    packages = ("fasttext-numpy2-wheel", "resiliparse", "numba")

    documents: Stage
    scorers: tuple[Scorer, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        names = Counter(self.schema.names)
        if twice := [name for name, n in names.items() if n > 1]:
            raise UserError(f"two scorers of stage {self.name!r} write the column {twice[0]!r}; use a stage for each")

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        return pa.schema([DOC_ID, TEXT_BYTES, *(f.with_nullable(False) for s in self.scorers for f in s.columns)])

    def shards(self) -> list[str]:
        return self.documents.shards()

    def run_shard(self, task: Task) -> Result:
        columns = sorted({"text", *(name for scorer in self.scorers for name in scorer.inputs)})
        source = {task.file(self.documents, task.shard): columns}
        with storage.TableWriter(task.table(), self.schema) as writer:
            for (table,) in storage.read_aligned(source):
                documents = Documents(table)
                scores = measure(self.scorers, documents)
                n_bytes = pc.binary_length(documents.text).cast(pa.int32())
                writer.write(pa.table([table["doc_id"], n_bytes, *scores.columns], schema=self.schema))
        return one_table(writer, {"rows_in": writer.rows, "rows_out": writer.rows})


@dataclass(frozen=True)
class Decide(Stage):
    """Applies rules to stored scores: one boolean a rule (true = fails), and ``keep``."""

    table = "decisions"

    scores: Score
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for rule in self.rules:
            if rule.column not in self.scores.schema.names:
                raise UnknownNameError(f"column of rule {rule.reason!r}:", rule.column, self.scores.schema.names)

    @property
    def schema(self) -> pa.Schema:
        """Schema of its table."""
        names = [*(rule.reason for rule in self.rules), "keep"]
        return pa.schema([DOC_ID, *(pa.field(name, pa.bool_(), nullable=False) for name in names)])

    def shards(self) -> list[str]:
        return self.scores.shards()

    def run_shard(self, task: Task) -> Result:
        columns = sorted({rule.column for rule in self.rules})
        counts: Counter[str] = Counter(dict.fromkeys((f"fails_{rule.reason}" for rule in self.rules), 0))
        with storage.TableWriter(task.table(), self.schema) as writer:
            for (table,) in storage.read_aligned({task.file(self.scores, task.shard): columns}):
                verdicts = failures(self.rules, table)
                keep = ~verdicts.any(axis=1)
                counts["n_keep"] += int(keep.sum())
                for rule, n in zip(self.rules, verdicts.sum(axis=0).tolist(), strict=True):
                    counts[f"fails_{rule.reason}"] += n
                arrays = [pa.array(column) for column in [*verdicts.T, keep]]
                writer.write(pa.table([table["doc_id"].combine_chunks(), *arrays], schema=self.schema))
        return one_table(writer, counts | Counter(rows_in=writer.rows, rows_out=writer.rows))


@dataclass(frozen=True)
class Materialize(Stage):
    """Copies the pages that are ok and pass the gate. Every dropped row is counted, under its first reason."""

    table = "documents"

    pages: Stage
    decisions: Decide

    def shards(self) -> list[str]:
        return self.pages.shards()

    def run_shard(self, task: Task) -> Result:
        source = {task.file(self.pages, task.shard): None, task.file(self.decisions, task.shard): None}
        counts: Counter[str] = Counter(rows_in=0, text_bytes=0)
        with storage.TableWriter(task.table(), DOCUMENTS) as writer:
            for pages, decisions in storage.read_aligned(source):
                reasons = first_reasons(decisions, self.decisions.rules)
                reasons = pc.if_else(pc.equal(pages["status"], "ok"), reasons, pages["status"])
                counts["rows_in"] += len(pages)
                counts.update(f"removed_{reason}" for reason in reasons.drop_null().to_pylist())
                kept = pages.filter(pc.is_null(reasons)).select(DOCUMENTS.names).cast(DOCUMENTS)
                counts["text_bytes"] += n_text_bytes(kept)
                writer.write(kept)
        return one_table(writer, counts | Counter(rows_out=writer.rows))


def first_reasons(decisions: pa.Table, rules: tuple[Rule, ...]) -> pa.Array:
    """For each row the reason of the first rule, in order, that it fails; null where it fails none."""
    first = first_failures(decisions, rules)
    return pa.array([rule.reason for rule in rules], pa.string()).take(pa.array(first, mask=first < 0))


def fails_of(decisions: pa.Table, rules: tuple[Rule, ...]) -> NDArray[np.bool_]:
    """[rules, rows], which rules each row fails."""
    fails = [decisions[rule.reason].to_numpy() for rule in rules]
    return np.array(fails, bool).reshape(len(rules), len(decisions))


def first_failures(decisions: pa.Table, rules: tuple[Rule, ...]) -> NDArray[np.int64]:
    """The first rule, in order, that each row fails; -1 where it fails none."""
    fails = np.vstack([fails_of(decisions, rules), np.ones((1, len(decisions)), bool)])
    first = fails.argmax(axis=0)
    return np.where(first < len(rules), first, -1)


def n_text_bytes(table: pa.Table) -> int:
    """UTF-8 bytes of the column ``text``."""
    return int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)
