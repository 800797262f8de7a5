"""The engine: run the stages of a pipeline, skipping whatever is there already.

For each stage, in the order of the data: list its shards, keep those whose manifest is complete, hand the rest to an
executor, and check that nothing vanished. The unit of work, `run_task`, is the same function on every executor.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from textmill import storage
from textmill.errors import MACHINE_FAULTS, EnvironmentFault, InvariantError, TextmillError, UserError
from textmill.pipeline.stage import Result, Stage, Task
from textmill.pipeline.workspace import Run, Workspace

ShardReport = dict[str, float]  # integers and seconds by name; adding two reports merges them


@dataclass(frozen=True)
class TaskAddress:
    """All that a worker is told: where the stage is described, and which shard to do. Under 1 KB."""

    workspace: str
    folder: str
    shard: str


class Executor(Protocol):
    """Runs `run_task` for each address, anywhere, in any order."""

    def run(self, tasks: Iterable[TaskAddress]) -> Iterator[tuple[TaskAddress, ShardReport]]: ...

    def close(self) -> None: ...


class Progress(Protocol):
    """What wants to know how far the run is. All methods are called in the driver."""

    def start(self, stage: Stage, n_shards: int, n_done: int) -> None: ...

    def advance(self, stage: Stage, report: ShardReport) -> None: ...

    def inside(self, stage: Stage, done: int, total: int, note: str) -> None: ...

    def finish(self, stage: Stage, totals: Mapping[str, int], n_run: int, seconds: float) -> None: ...


def run_pipeline(
    run: Run, target: Stage, workspace: Workspace, executor: Executor, progress: Progress, strict: bool = False
) -> Run:
    """Bring every stage that ``target`` needs up to date, and record the run. If ``strict``, any lost byte stops it.

    Errors: whatever a task raises, after the tasks that were under way; everything finished stays finished.
    """
    for stage in target.ancestry():
        if missing_shards(stage, workspace):
            stage.preflight(workspace.root)
    with contextlib.suppress(UserError):  # no earlier attempt, or a damaged record of it
        run = replace(run, seconds=workspace.load_run(run.name).seconds)
    workspace.save_run(run)
    for stage in target.ancestry():
        began = time.monotonic()
        n_run, totals = _run_stage(stage, workspace, executor, progress, strict)
        seconds = time.monotonic() - began
        if n_run:
            run = replace(run, seconds=run.seconds | {stage.name: round(seconds, 3)})
        progress.finish(stage, totals, n_run, seconds)
    run = replace(run, finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    workspace.save_run(run)
    return run


def missing_shards(stage: Stage, workspace: Workspace) -> list[str]:
    """The shards of a stage that have no complete output."""
    folder = workspace.folder(stage)
    return [shard for shard in stage.shards() if storage.read_manifest(folder, shard, stage.fingerprint) is None]


def _run_stage(
    stage: Stage, workspace: Workspace, executor: Executor, progress: Progress, strict: bool
) -> tuple[int, Mapping[str, int]]:
    """Returns the number of tasks run, and the stage's counts added up."""
    todo = missing_shards(stage, workspace)
    n_shards = len(stage.shards())
    progress.start(stage, n_shards, n_shards - len(todo))
    if todo:
        workspace.save_stage(stage)
        root = storage.absolute(workspace.root)  # a worker may have another working directory
        addresses = [TaskAddress(root, stage.folder, shard) for shard in todo]
        here = _run_here(addresses, functools.partial(progress.inside, stage))
        for _, report in here if stage.in_driver else executor.run(addresses):
            progress.advance(stage, report)
    totals = _check_stage(stage, workspace, strict)
    success = storage.join(workspace.folder(stage), "_SUCCESS")
    if todo or not storage.exists(success):  # a killed driver may have left everything but this
        storage.write_json(dict(totals), success)
    return len(todo), totals


def _run_here(
    addresses: Iterable[TaskAddress], inside: Callable[[int, int, str], None]
) -> Iterator[tuple[TaskAddress, ShardReport]]:
    for address in addresses:
        yield address, run_task(address, inside)


def _check_stage(stage: Stage, workspace: Workspace, strict: bool) -> Mapping[str, int]:
    """The stage's counts added up. Errors: `InvariantError` if a shard is missing or a row vanished between stages."""
    folder = workspace.folder(stage)
    totals: Counter[str] = Counter()
    counts: dict[str, Mapping[str, int]] = {}
    for shard in stage.shards():
        manifest = storage.read_manifest(folder, shard, stage.fingerprint)
        if manifest is None:
            raise InvariantError(f"{stage.folder}/{shard}: finished, but its output is not there in full")
        totals.update(manifest.counts)
        counts[shard] = manifest.counts
    for parent in list(stage.inputs.values())[:1]:
        sent = storage.read_json(storage.join(workspace.folder(parent), "_SUCCESS")).get("rows_out")
        if "rows_in" in totals and sent is not None and totals["rows_in"] != sent:
            raise InvariantError(f"{stage.folder}: {parent.name} sent {sent} rows, {totals['rows_in']} came in")
    stage.audit(folder, counts, strict)
    return totals


def run_task(address: TaskAddress, inside: Callable[[int, int, str], None] | None = None) -> ShardReport:
    """Do one shard and publish it, or find that it is there. Safe to run twice, at once, or to kill at any moment."""
    stage = load_stage(address.workspace, address.folder)
    folder = storage.join(address.workspace, address.folder)
    began, cpu_began = time.monotonic(), time.process_time()
    manifest = storage.read_manifest(folder, address.shard, stage.fingerprint)
    if manifest is None:
        with storage.scratch(address.workspace) as scratch, _named(address):
            task = Task(address.workspace, address.shard, scratch, inside or (lambda *_: None))
            result = stage.run_shard(task)
            _check_counts(address, result.counts)
            manifest = _publish(stage, folder, address.shard, result)
        cost: ShardReport = {
            "n_bytes_out": sum(output.n_bytes for output in manifest.outputs.values()),
            "wall_s": round(time.monotonic() - began, 3),
            "cpu_s": round(time.process_time() - cpu_began + result.cpu_s, 3),
        }
        storage.write_json(cost, storage.join(folder, f"{address.shard}.stats.json"))
    return report_of(manifest)


def report_of(manifest: storage.Manifest) -> ShardReport:
    """The report of a finished shard."""
    return {name: manifest.counts[name] for name in ("rows_in", "rows_out") if name in manifest.counts}


def _publish(stage: Stage, folder: str, shard: str, result: Result) -> storage.Manifest:
    outputs = storage.describe(result.files, result.rows)
    counts = {name: int(n) for name, n in sorted(result.counts.items())}
    manifest = storage.Manifest(stage.name, stage.fingerprint, shard, outputs, counts, result.meta)
    storage.publish_task(folder, manifest, result.files)
    return manifest


def _check_counts(address: TaskAddress, counts: Mapping[str, int]) -> None:
    """Rows in = rows out + removed by reason, for every task, in production."""
    if "rows_in" not in counts:
        return
    removed = sum(n for name, n in counts.items() if name.startswith("removed_"))
    if counts["rows_in"] != counts["rows_out"] + removed:
        raise InvariantError(
            f"{address.folder}/{address.shard}: {counts['rows_in']} rows in, "
            f"{counts['rows_out']} out, {removed} removed: {counts['rows_in'] - counts['rows_out'] - removed} vanished"
        )


@contextlib.contextmanager
def _named(address: TaskAddress) -> Iterator[None]:
    """Say in which task an unexpected exception happened; a full or broken disk is the machine's fault."""
    try:
        yield
    except TextmillError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EnvironmentFault(f"{address.workspace}: no space left; free some and run again") from error
        if error.errno in MACHINE_FAULTS:
            raise EnvironmentFault(f"{error.filename or address.workspace}: {error.strerror}") from error
        error.add_note(f"in stage {address.folder}, shard {address.shard}")
        raise
    except Exception as error:
        error.add_note(f"in stage {address.folder}, shard {address.shard}")
        raise


@functools.lru_cache(maxsize=16)
def load_stage(workspace: str, folder: str) -> Stage:
    """The stage described in a folder of a workspace. Errors: `EnvironmentFault` if it would be another stage here."""
    stage = Workspace(workspace).load_stage(folder)
    if stage.folder != folder:
        raise EnvironmentFault(
            f"stage {stage.name!r}: this machine would make other bytes than the machine that planned the run "
            "(another version of textmill, of a package, or of a file of yours); have the same everywhere"
        )
    return stage
