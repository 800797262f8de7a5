"""What a run has finished: its stages, in the order of the data, and the tables that they published.

The parts of a report read the same columns, so what was read stays in memory, as long as there is room for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, InvariantError
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.tokens import MakeTokenizer
from textmill.pipeline.workspace import Run, Workspace

AnyStage = TypeVar("AnyStage", bound=Stage)

HELD_BYTES = 1 << 27  # of columns; 200 bytes a page or so


class FinishedRun:
    """The finished stages of a run, found by their class, and their tables."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self.run = run
        self._workspace = workspace
        # By the names on record: computed anew, a fingerprint would differ after an upgrade of some package.
        self._folders = {n: f for n, f in run.stages.items() if storage.exists(workspace.path(f, "_SUCCESS"))}
        self.stages: list[Stage] = [workspace.load_stage(folder) for folder in self._folders.values()]
        self._manifests: dict[str, Mapping[str, storage.Manifest]] = {}  # by folder
        self._held: dict[str, dict[str, pa.Array]] = {}  # columns by the URI of their table, then by name
        self._n_held = 0  # bytes of them

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

    def manifests(self, stage: Stage) -> Mapping[str, storage.Manifest]:
        """The manifests of a stage's shards, in order; none of a stage that is not finished."""
        if stage.name not in self._folders:
            return {}
        folder = self.folder(stage)
        if folder not in self._manifests:
            self._manifests[folder] = storage.manifests(folder)
        return self._manifests[folder]

    def tables(self, stage: Stage) -> list[str]:
        """URIs of the Parquet tables of a stage, in shard order; none of a stage that is not finished."""
        found = [name for manifest in self.manifests(stage).values() for name in manifest.outputs]
        return [storage.join(self.folder(stage), name) for name in found if name.endswith(".parquet")]

    def rows(self, stage: Stage) -> NDArray[np.int64]:
        """How many rows each of the `tables` of a stage has."""
        outputs = [item for manifest in self.manifests(stage).values() for item in manifest.outputs.items()]
        return np.array([output.rows for name, output in outputs if name.endswith(".parquet")], np.int64)

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

    def read(self, uri: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a table, no texts, each in one chunk. Errors: `InputError` when it is damaged, or has no such."""
        found = self._held.get(uri, {})
        if missing := [name for name in dict.fromkeys(columns) if name not in found]:
            read = storage.read_table(uri, missing)
            if lacking := set(missing) - set(read.column_names):
                raise InputError(f"{uri}: no column {min(lacking)!r}; an earlier version made it, run again")
            found = found | {
                name: column.combine_chunks() for name, column in zip(read.column_names, read.columns, strict=True)
            }
            if self._n_held + read.nbytes <= HELD_BYTES:
                self._held[uri] = found
                self._n_held += read.nbytes
        return pa.table({name: found[name] for name in columns})

    def with_text(self, documents: Stage, *wanted: tuple[Stage, Sequence[str]]) -> Iterator[list[pa.Table]]:
        """Tables of stages that stand beside ``documents``, shard by shard, without the pages that have no text.

        Errors: those of `read`, and `InvariantError` unless they are about the same documents.
        """
        of_pages = isinstance(documents, Extract)
        beside = [(documents, ["status"] if of_pages else []), *wanted]
        for uris in zip(*(self.tables(stage) for stage, _ in beside), strict=True):
            subject, *tables = [
                self.read(uri, ["doc_id", *names]) for uri, (_, names) in zip(uris, beside, strict=True)
            ]
            for table, uri in zip(tables, uris[1:], strict=True):
                if not table["doc_id"].equals(subject["doc_id"]):
                    raise InvariantError(f"documents differ: {uris[0]} and {uri}")
            if of_pages:
                has_text = pc.equal(subject["status"], "ok")
                tables = [table.filter(has_text) for table in tables]
            yield tables
