"""The guarded child process: ``python -m textmill.pipeline.child PARENT CELL IDLE_S``, started by `pipeline.guard`.

It reads one JSON request a line from its standard input, runs the shard that it names, and answers with one line: what
the shard's loop made, or the exception that it raised. Nothing else reaches the answers: what a library prints goes to
standard error. It ends with its input, or when there has been no work for ``IDLE_S``; it dies with its parent, leaves
no core dump, is the first that the kernel kills for want of memory, and sees no Ctrl-C, which is for its parent.

Not limited by ``RLIMIT_DATA`` or ``RLIMIT_AS``: resiliparse reports a failed allocation as a parse error ("Error 2")
that cannot be told from others, and what a library makes of half a tree is not known. The parent looks at memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import mmap
import os
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from textmill.pipeline.guard import Guarded, describe_error, describe_result
from textmill.pipeline.runner import load_stage
from textmill.pipeline.stage import Result, Task
from textmill.pipeline.watch import Cell, Verdict, Watch, resident_bytes

MAX_GROWTH_BYTES = 64 << 20  # over what it held before its first record; beyond, a new process (2 s) is better
PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, cell_file, idle_s = sys.argv[1:]
    isolate(int(parent))
    cell = Cell(mmap.mmap(int(cell_file), Cell.N_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ready: dict[str, Guarded] = {}
    resident_before = 0
    while select.select([sys.stdin], [], [], float(idle_s))[0] and (line := sys.stdin.readline()):
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


def isolate(parent: int) -> None:
    """Tie this process to its parent, and keep its crashes from hurting others."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text("1000")
    faulthandler.enable()


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


def end_at_once() -> None:
    """Tell of the exception that is being handled, and end. To end as usual may take longer than the parent waits."""
    try:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        end_at_once()
