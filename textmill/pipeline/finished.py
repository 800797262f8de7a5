"""What a run has finished: its stages, in the order of the data, and the tables that they published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import Extract, Score
from textmill.pipeline.workspace import Run, Workspace

AnyStage = TypeVar("AnyStage", bound=Stage)


class FinishedRun:
    """The finished stages of a run, found by their class, and their tables."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._workspace = workspace
        folders = [f for f in run.stages.values() if storage.exists(workspace.path(f, "_SUCCESS"))]
        loaded = [workspace.load_stage(folder) for folder in folders]
        loaded.sort(key=lambda stage: (-len(stage.ancestry()), stage.name))
        order = {ancestor.folder: ancestor for stage in loaded for ancestor in stage.ancestry()}
        self.stages: list[Stage] = [stage for folder, stage in order.items() if folder in folders]

    def all(self, kind: type[AnyStage]) -> list[AnyStage]:
        """The stages of a class, in the order of the data."""
        return [stage for stage in self.stages if isinstance(stage, kind)]

    def one(self, kind: type[AnyStage]) -> AnyStage | None:
        """The last stage of a class, or None."""
        found = self.all(kind)
        return found[-1] if found else None

    def folder(self, stage: Stage) -> str:
        return self._workspace.folder(stage)

    def tables(self, stage: Stage) -> list[str]:
        """URIs of the Parquet tables of a stage, in shard order."""
        return self._workspace.tables(stage.folder)

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
