"""What a guarded child process does: shards, as its parent asks for them (`pipeline.guard`)."""

from __future__ import annotations

import ctypes
import json
import mmap
import select
import sys
from pathlib import Path
from typing import Any, TextIO, cast

import pyarrow as pa

from textmill.pipeline.guard import Guarded, describe_error, describe_result
from textmill.pipeline.runner import load_stage
from textmill.pipeline.stage import Result, Task
from textmill.pipeline.watch import Cell, Verdict, Watch, resident_bytes

MAX_GROWTH_BYTES = 64 << 20  # over what it held before its first record; beyond, a new process (2 s) is better


def serve(cell_file: int, idle_s: float, answers: TextIO) -> None:
    """Run the shard that each line of standard input names; answer with what its loop made, or what it raised.

    Until the input ends, or nothing has been asked for ``idle_s`` seconds, or memory has grown too much.
    """
    cell = Cell(mmap.mmap(cell_file, Cell.N_BYTES))
    ready: dict[str, Guarded] = {}
    resident_before = 0
    while select.select([sys.stdin], [], [], idle_s)[0] and (line := sys.stdin.readline()):
        request = json.loads(line)
        try:
            stage = prepare(request["task"]["workspace"], request["folder"], ready)
            resident_before = resident_before or resident_bytes()
            answer = {"result": describe_result(run(stage, request, cell))}
        except MemoryError:
            raise  # a record's end, or the machine's; the cell tells which
        except Exception as error:
            answer = {"error": describe_error(error)}
        give_back_memory()
        last = resident_bytes() > resident_before + MAX_GROWTH_BYTES
        print(json.dumps(answer | {"last": last}), file=answers, flush=True)
        if last:
            break


def prepare(workspace: str, folder: str, ready: dict[str, Guarded]) -> Guarded:
    """The stage in ``folder``, loaded and warmed up."""
    if folder not in ready:
        stage = cast(Guarded, load_stage(workspace, folder))
        stage.warm_up()
        ready[folder] = stage
    return ready[folder]


def run(stage: Guarded, request: dict[str, Any], cell: Cell) -> Result:
    """Do the shard of a request."""
    task = request["task"]
    watch = Watch([Verdict(**verdict) for verdict in request["verdicts"]], stage.limits, cell)
    return stage.run_watched(Task(task["workspace"], task["shard"], Path(task["scratch"]), lambda *_: None), watch)


def give_back_memory() -> None:
    """What is free, to the system: else a shard of ordinary pages looks like a leak of 64 MB."""
    pa.default_memory_pool().release_unused()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)
