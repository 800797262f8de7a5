"""What a run has finished: its stages, in the order of the data, and the tables that they published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import Extract, MakeTokenizer, Score
from textmill.pipeline.workspace import Run, Workspace

AnyStage = TypeVar("AnyStage", bound=Stage)


class FinishedRun:
    """The finished stages of a run, found by their class, and their tables."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._workspace = workspace
        # By the names on record: computed anew, a fingerprint would differ after an upgrade of some package.
        self._folders = {n: f for n, f in run.stages.items() if storage.exists(workspace.path(f, "_SUCCESS"))}
        self.stages: list[Stage] = [workspace.load_stage(folder) for folder in self._folders.values()]

    def all(self, kind: type[AnyStage]) -> list[AnyStage]:
        """The stages of a class, in the order of the data."""
        return [stage for stage in self.stages if isinstance(stage, kind)]

    def one(self, kind: type[AnyStage]) -> AnyStage | None:
        """The last stage of a class, or None."""
        found = self.all(kind)
        return found[-1] if found else None

    @property
    def tokenizer(self) -> MakeTokenizer | None:
        """The stage of the tokenizer, wherever that came from."""
        return next((stage for stage in self.stages if isinstance(stage, MakeTokenizer)), None)

    def folder(self, stage: Stage) -> str:
        return self._workspace.path(self._folders[stage.name])

    def tables(self, stage: Stage) -> list[str]:
        """URIs of the Parquet tables of a stage, in shard order; none of a stage that is not finished."""
        return self._workspace.tables(self._folders[stage.name]) if stage.name in self._folders else []

    def columns(self, stage: Stage) -> list[str]:
        """The columns that a stage's tables have; an earlier version of it may have written fewer."""
        uris = self.tables(stage)
        if not uris:
            return []
        with storage.open_parquet(uris[0]) as file:
            return list(file.schema_arrow.names)

    def counts(self, stage: Stage) -> Counter[str]:
        """The counts of a stage, added up over its shards."""
        return Counter(storage.read_json(storage.join(self.folder(stage), "_SUCCESS")))

    def groups(self, stage: Stage, columns: list[str]) -> Iterator[pa.Table]:
        """The row groups of a stage's tables, in order."""
        for uri in self.tables(stage):
            with storage.open_parquet(uri) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns)

    def with_text(self, scores: Score, *wanted: tuple[Stage, list[str]]) -> Iterator[list[pa.Table]]:
        """Row groups of stages that stand beside ``scores``, side by side, without the pages that have no text."""
        of_pages = isinstance(scores.documents, Extract)
        beside = [(scores.documents, ["status"] if of_pages else []), *wanted]
        for uris in zip(*(self.tables(stage) for stage, _ in beside), strict=True):
            columns = [names for _, names in beside]
            for subject, *tables in storage.read_aligned(dict(zip(uris, columns, strict=True))):
                if of_pages:
                    has_text = pc.equal(subject["status"], "ok")
                    yield [table.filter(has_text) for table in tables]
                else:
                    yield tables
