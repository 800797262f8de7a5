"""Fingerprints, descriptions, and the engine, on stages made for the purpose."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest

from textmill import storage
from textmill.errors import EnvironmentFault, InvariantError, WorkspaceError
from textmill.pipeline.executors import Serial
from textmill.pipeline.runner import ShardReport, TaskAddress, missing_shards, run_pipeline, run_task
from textmill.pipeline.stage import NOT_IDENTITY, Result, Stage, Task, from_description, one_table, to_description
from textmill.pipeline.workspace import Run, Workspace, open_run

NUMBERS = pa.schema([pa.field("doc_id", pa.uint64(), nullable=False)])


def save(task: Task, values: Iterable[int]) -> storage.TableWriter:
    with storage.TableWriter(task.table(), NUMBERS) as writer:
        writer.write(pa.table([pa.array(list(values), pa.uint64())], schema=NUMBERS))
    return writer


@dataclass(frozen=True)
class Count(Stage):
    """Writes 0 to n - 1 in each of its shards."""

    table = "numbers"
    n: int
    n_shards: int = 2

    def shards(self) -> list[str]:
        return [f"{i:05d}" for i in range(self.n_shards)]

    def run_shard(self, task: Task) -> Result:
        writer = save(task, range(self.n))
        return one_table(writer, {"rows_out": writer.rows})


@dataclass(frozen=True)
class Even(Stage):
    """Keeps the even ones. ``fault`` makes it misbehave."""

    table = "even"
    numbers: Stage
    fault: str = ""

    def shards(self) -> list[str]:
        return self.numbers.shards()

    def run_shard(self, task: Task) -> Result:
        values = storage.read_table(task.file(self.numbers, task.shard))["doc_id"].to_pylist()
        if self.fault == "full":
            raise OSError(errno.ENOSPC, "no space")
        if self.fault == "broken":
            raise OSError(errno.EIO, "Input/output error", "/there/a.parquet")
        if self.fault == "bug" and task.shard == "00001":
            raise ZeroDivisionError
        writer = save(task, [v for v in values if v % 2 == 0])
        n_in = len(values) - (self.fault == "forgets")
        lost = 1 if self.fault == "loses" else 0
        return one_table(writer, {"rows_in": n_in, "rows_out": writer.rows, "removed_odd": n_in - writer.rows - lost})


@dataclass(frozen=True)
class Placed(Stage):
    """Has a field that says where something lies."""

    table = "placed"
    where: str = ""

    def shards(self) -> list[str]:
        return []

    def run_shard(self, task: Task) -> Result:
        raise NotImplementedError


class Silent:
    """A progress that writes down what ran."""

    def __init__(self) -> None:
        self.ran: dict[str, int] = {}

    def start(self, stage: Stage, n_shards: int, n_done: int) -> None: ...

    def advance(self, stage: Stage, report: ShardReport) -> None: ...

    def inside(self, stage: Stage, done: int, total: int, note: str) -> None: ...

    def finish(self, stage: Stage, totals: Mapping[str, int], n_run: int, seconds: float) -> None:
        self.ran[stage.name] = n_run


def run(root: Path, target: Stage, executor: Serial | None = None) -> dict[str, int]:
    """Run a pipeline; returns how many tasks each stage ran."""
    workspace, progress = Workspace(str(root)), Silent()
    workspace.create()
    stages = {stage.name: stage.folder for stage in target.ancestry()}
    with workspace.locked():
        run_pipeline(Run("test", "test", [], stages, {}), target, workspace, executor or Serial(), progress)
    return progress.ran


def tree(root: Path) -> dict[str, bytes]:
    """All files whose bytes must not depend on who did the work."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {
        str(p.relative_to(root)): p.read_bytes() for p in files if ".stats." not in p.name and "runs" not in p.parts
    }


def test_a_fingerprint_depends_on_fields_and_inputs_but_not_on_names() -> None:
    base = Even(Count(4))
    assert Even(Count(4)).fingerprint == base.fingerprint
    assert Even(Count(4), name="other").fingerprint == base.fingerprint
    assert Even(Count(5)).fingerprint != base.fingerprint
    assert Even(Count(4), fault="loses").fingerprint != base.fingerprint


def test_a_fingerprint_depends_on_the_version_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Even(Count(4)).fingerprint
    monkeypatch.setattr(Count, "version", 2)
    assert Even(Count(4)).fingerprint != before


def test_a_fingerprint_ignores_where_something_lies() -> None:
    @dataclass(frozen=True)
    class Model:
        digest: str
        path: str = field(default="", metadata=NOT_IDENTITY)

    assert Model("a", "x") != Model("a", "y")
    stages = [replace(Placed(), where=Model("a", path)) for path in ("x", "y")]  # type: ignore[arg-type]
    assert stages[0].fingerprint == stages[1].fingerprint


def test_a_description_is_plain_json_and_gives_the_stage_back() -> None:
    stages = {stage.folder: stage for stage in Even(Count(4)).ancestry()}
    target = Even(Count(4))
    description = json.loads(json.dumps(to_description(target)))
    assert from_description(description, stages.__getitem__) == target


def test_a_worker_with_other_code_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, stage = Workspace(str(tmp_path / "w")), Count(4)
    workspace.create()
    workspace.save_stage(stage)
    monkeypatch.setattr(Count, "version", 2)
    with pytest.raises(EnvironmentFault, match="other bytes"):
        run_task(TaskAddress(workspace.root, stage.folder, "00000"))


def test_a_missing_success_file_is_written_again(tmp_path: Path) -> None:
    target = Even(Count(4))
    run(tmp_path / "w", target)
    success = tmp_path / "w" / target.folder / "_SUCCESS"
    before = success.read_bytes()
    success.unlink()
    assert run(tmp_path / "w", target) == {"numbers": 0, "even": 0}
    assert success.read_bytes() == before


def test_a_second_run_executes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "w", Even(Count(4))) == {"numbers": 2, "even": 2}
    before = tree(tmp_path / "w")
    assert run(tmp_path / "w", Even(Count(4))) == {"numbers": 0, "even": 0}
    assert tree(tmp_path / "w") == before


def test_only_what_changed_runs_again(tmp_path: Path) -> None:
    run(tmp_path / "w", Even(Count(4)))
    assert run(tmp_path / "w", Even(Count(4), fault="none")) == {"numbers": 0, "even": 2}
    assert run(tmp_path / "w", Even(Count(5))) == {"numbers": 2, "even": 2}


@pytest.mark.parametrize("damage", ["unlink", "truncate", "manifest"])
def test_damaged_output_is_made_again(tmp_path: Path, damage: str) -> None:
    target = Even(Count(4))
    run(tmp_path / "w", target)
    before = tree(tmp_path / "w")
    data = tmp_path / "w" / target.folder / "00001.parquet"
    if damage == "unlink":
        data.unlink()
    elif damage == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    else:
        data.with_name("00001.manifest.json").write_text("{")
    assert run(tmp_path / "w", target) == {"numbers": 0, "even": 1}
    assert tree(tmp_path / "w") == before


def test_a_row_that_vanishes_inside_a_task_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="1 vanished"):
        run(tmp_path / "w", Even(Count(4), fault="loses"))


def test_a_row_that_vanishes_between_stages_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="numbers sent 8 rows, 6 came in"):
        run(tmp_path / "w", Even(Count(4), fault="forgets"))


def test_a_bug_names_its_task_and_what_is_finished_stays(tmp_path: Path) -> None:
    target = Even(Count(4), fault="bug")
    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path / "w", target)
    assert caught.value.__notes__ == [f"in stage {target.folder}, shard 00001"]
    assert missing_shards(target, Workspace(str(tmp_path / "w"))) == ["00001"]


def test_a_full_or_broken_disk_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no space left"):
        run(tmp_path / "w", Even(Count(4), fault="full"))
    with pytest.raises(EnvironmentFault, match=r"^/there/a\.parquet: Input/output error$"):
        run(tmp_path / "w", Even(Count(4), fault="broken"))
    assert not list((tmp_path / "w").glob(".scratch/*"))


def test_a_stage_that_cannot_run_here_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    class Unable(Even):
        def preflight(self, workspace: str) -> None:
            raise EnvironmentFault("no such package")

    with pytest.raises(EnvironmentFault):
        run(tmp_path / "w", Unable(Count(4)))
    assert not list((tmp_path / "w").glob("numbers-*"))


def test_a_task_may_run_twice(tmp_path: Path) -> None:
    class Twice(Serial):
        def run(self, tasks: Iterable[TaskAddress]) -> Iterator[tuple[TaskAddress, ShardReport]]:
            for task in tasks:
                run_task(task)
                yield task, run_task(task)

    run(tmp_path / "once", Even(Count(4)))
    run(tmp_path / "twice", Even(Count(4)), Twice())
    assert tree(tmp_path / "once") == tree(tmp_path / "twice")


def test_rebuild_changes_one_stage_and_what_follows() -> None:
    target = Even(Even(Count(4), name="first"))
    changed = target.rebuild(lambda stage: replace(stage, n=5) if isinstance(stage, Count) else stage)
    assert changed == Even(Even(Count(5), name="first"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="other content"):
        Workspace(str(tmp_path)).create()
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace(str(tmp_path / "notes.txt")).create()


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "w"))
    workspace.create()
    with workspace.locked(), pytest.raises(WorkspaceError, match="another textmill"), workspace.locked():
        pass


def test_runs_are_found_by_workspace_and_name(tmp_path: Path) -> None:
    run(tmp_path / "w", Even(Count(4)))
    assert open_run(str(tmp_path / "w"))[1].name == "test"
    found = open_run(f"{tmp_path}/w:test")[1]
    assert found.finished and list(found.stages) == ["numbers", "even"]  # in the order of the data


def test_pages_of_another_model_can_be_looked_at_but_not_made(tmp_path: Path) -> None:
    from textmill.pipeline.sources.inputs import InputFile, Inputs
    from textmill.pipeline.stages.pages import Extract

    source = Inputs((InputFile("a.warc.gz", 100, "1", True),), 100)
    older = Extract(source, engine_version="older")
    assert older.fingerprint != Extract(source).fingerprint
    with pytest.raises(EnvironmentFault, match="older in the plan"):
        older.run_shard(Task("w", "00000", tmp_path, lambda *_: None))
