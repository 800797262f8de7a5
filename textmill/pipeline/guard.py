"""Runs the loop of a stage over hostile records in a child process that can be killed (`textmill.pipeline.child`).

Budgets on bytes refuse what is known to be slow; this is for what they do not see: a parser that never returns,
crashes, or takes all memory. The child does a whole shard and says in shared memory which record it is in. The parent
only looks, 20 times a second, and a Dask worker stays responsive whatever holds the child's GIL. A record that kills
the child, or for which it has to be killed, gets a verdict in ``SHARD.poison.json`` beside the stage's output, written
before the shard is begun again: every later attempt, on any worker, skips it with the same status. To give such a
record another try, delete that file and the shard's manifest.

Who is to blame. A crash, or too much time or memory, within a record: the record. A kill from outside (by the kernel,
for want of memory, say) is forgiven once a place. After `Limits.max_verdicts` records the rest of the shard is
``not_tried``. A death between records, while reading, stops the run: there is no record to leave out. So does a child
that dies before it is ready, which is the machine's fault.

Not a sandbox: the child is there against accidents of native code, and may do what its parent may do.

Cost: a process a worker thread (2 s of CPU and 240 MB to start); a few microseconds a record. A death costs what the
loop had not kept in the task's scratch folder, which stays the same from child to child.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from textmill import errors, storage
from textmill.errors import EnvironmentFault, UserError
from textmill.pipeline.stage import Result, Task
from textmill.pipeline.watch import (
    Cell,
    Limits,
    Position,
    Verdict,
    Watch,
    load_verdicts,
    resident_bytes,
    save_verdicts,
)

POLL_S = 0.05  # an allocator takes some 100 MB in that time
MAX_TICK_S = 1.0  # more between two looks means that this process was kept from looking
IDLE_S = 10.0  # after which a child without work ends
END_S = 10.0  # from its last word to its end, which is a matter of milliseconds unless the machine is too busy
START_S = 300.0  # to import everything and compile kernels; 2 s when they are cached
MEMORY_SIGNS = ("MemoryError", "memory allocation of", "bad_alloc", "ut of memory")  # Python, Rust, C++, LLVM
OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
# Buffers of a page and columns of a batch come from memory that is at hand. From the system, each would be made of
# zeroed pages anew, at a tenth of all CPU time; Dask's own thresholds do that.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own reserves 1 GB, and keeps 50 MB more
    "MALLOC_ARENA_MAX": "2",
    **KEEP_MEMORY,
}


class Guarded(Protocol):
    """A stage whose loop over records can run in a child process."""

    @property
    def limits(self) -> Limits: ...

    @property
    def folder(self) -> str: ...

    def subject(self, shard: str) -> str:
        """What a shard reads, for people."""

    def warm_up(self) -> None:
        """Do once whatever takes long the first time. No limits apply."""

    def run_watched(self, task: Task, watch: Watch) -> Result:
        """What `Stage.run_shard` does, saying to ``watch`` where it is."""


def run_guarded(stage: Guarded, task: Task) -> Result:
    """`Guarded.run_watched` in this thread's child process, begun again after every record that kills it.

    Errors: whatever the loop raises; `EnvironmentFault` when the child cannot start, or never gets to the end.
    """
    book = _book(stage, task)
    verdicts = load_verdicts(book)
    forgiven: set[str] = set()
    cpu_s = 0.0
    while True:
        child = _this_thread.get_child()
        ended = child.work(stage, task, verdicts)
        cpu_s += child.cpu_s
        if isinstance(ended, Death):
            verdicts = _judge(ended, stage, task, verdicts, forgiven)
        elif verdicts == (now := load_verdicts(book)):
            return replace(ended, cpu_s=cpu_s)
        else:  # another attempt, at the same time, has condemned a record that was harmless here
            verdicts = now
            _empty(task.scratch)


def _judge(death: Death, stage: Guarded, task: Task, verdicts: list[Verdict], forgiven: set[str]) -> list[Verdict]:
    """The verdicts that hold after a death. Errors: `EnvironmentFault` if no record can be left out to get past it."""
    position = death.position
    once_more = death.forgivable and position.where not in forgiven
    if once_more and len(forgiven) < stage.limits.max_verdicts:
        forgiven.add(position.where)
        return verdicts
    if not position.is_ready:
        raise EnvironmentFault(f"the process that reads records cannot start: {death.reason}")
    if once_more or not position.in_record:
        subject = stage.subject(task.shard)
        raise EnvironmentFault(f"{subject}: what reads it died {position.where}: {death.reason}")
    known = [*verdicts, death.verdict]
    verdicts = save_verdicts(_book(stage, task), known)
    if len(verdicts) > len(known):  # by another attempt, on records that this one may have kept as harmless
        _empty(task.scratch)
    return verdicts


def run_unguarded(stage: Guarded, task: Task) -> Result:
    """`Guarded.run_watched` in this process, for debuggers and profilers. Earlier verdicts hold all the same."""
    watch = Watch(load_verdicts(_book(stage, task)), stage.limits, Cell(bytearray(Cell.N_BYTES)))
    return stage.run_watched(task, watch)


def _book(stage: Guarded, task: Task) -> str:
    return storage.join(task.workspace, stage.folder, f"{task.shard}.poison.json")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@dataclass(frozen=True)
class Death:
    """How a child ended without an answer."""

    position: Position
    status: str
    reason: str
    forgivable: bool  # it may have nothing to do with where it happened

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.position.offset, self.position.index, self.status, self.reason)


class _Child:
    """A child process, as its parent sees it. It serves one request after the other until it dies."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process lives
        cell_file = os.memfd_create("textmill-cell")
        os.ftruncate(cell_file, Cell.N_BYTES)
        self._cell = Cell(mmap.mmap(cell_file, Cell.N_BYTES))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "textmill.pipeline.child", *map(str, (os.getpid(), cell_file, IDLE_S))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=[cell_file],
            start_new_session=True,  # a terminal's Ctrl-C is for the driver
            env=self._environment | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        )
        os.close(cell_file)
        self.cpu_s = 0.0  # of the last `work`
        self.end = weakref.finalize(self, _end, self._process, self._errors)  # at the latest with this process

    @property
    def alive(self) -> bool:
        return self.end.alive and self._process.poll() is None

    @property
    def up_to_date(self) -> bool:
        """Whether it has the environment (credentials, say) that its parent has now."""
        return self._environment == os.environ

    def work(self, stage: Guarded, task: Task, verdicts: list[Verdict]) -> Result | Death:
        """Have a shard done. Errors: those of the loop."""
        self._cell.write(0, 0, 0, 0)
        try:
            self._send(stage, task, verdicts)
            outcome = self._supervise(stage.limits)
        except BaseException:  # Ctrl-C
            self.end()
            raise
        if isinstance(outcome, Death):
            self.end()
            return outcome
        answer = json.loads(outcome)
        if answer["last"]:
            self.end()
        else:
            self._forget_what_it_said()
        if "error" in answer:
            raise revive_error(answer["error"])
        return revive_result(answer["result"])

    def _send(self, stage: Guarded, task: Task, verdicts: list[Verdict]) -> None:
        where = {"workspace": task.workspace, "shard": task.shard, "scratch": str(task.scratch)}
        request = {"folder": stage.folder, "task": where, "verdicts": [asdict(verdict) for verdict in verdicts]}
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has died; that shows where its answer should come from
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _supervise(self, limits: Limits) -> bytes | Death:
        """The answer. The process is killed when it passes a limit."""
        assert self._process.stdout
        answered = select.poll()
        answered.register(self._process.stdout)
        position, wall_s, cpu_began, looked = self._cell.read(), 0.0, self._cpu_now(), time.monotonic()
        work_began = cpu_began
        while not answered.poll(POLL_S * 1000):
            now, cpu_now = time.monotonic(), self._cpu_now()
            wall_s += min(now - looked, MAX_TICK_S)
            looked = now
            self.cpu_s = cpu_now - work_began
            if self._cell.read().sequence != position.sequence:
                position, wall_s, cpu_began = self._cell.read(), 0.0, cpu_now
            fault = _fault(position, limits, wall_s, cpu_now - cpu_began, resident_bytes(self._process.pid))
            if fault:
                self._process.kill()
                return self._death(fault, position)
        self.cpu_s = self._cpu_now() - work_began
        answer = self._process.stdout.readline()
        return answer if answer.endswith(b"\n") else self._death()

    def _death(self, fault: tuple[str, str] | None = None, judged: Position | None = None) -> Death:
        """What became of a process that has closed its side, or was killed for a ``fault`` at the position judged."""
        code = self._wait()
        position = self._cell.read()
        if fault:
            moved_on = position != judged  # between our look and our shot
            return Death(position, *fault, forgivable=moved_on)
        said = self._said()
        status = "too_much_memory" if any(sign in said for sign in MEMORY_SIGNS) else "crashed"
        idle = not position.is_ready and code == 0  # it had just given up waiting for us
        forgivable = idle or -code in OUTSIDE_SIGNALS
        return Death(position, status, _reason(code, said), forgivable)

    def _wait(self) -> int:
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:  # alive, but not on speaking terms
            self._process.kill()
            return self._process.wait()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read(1 << 16).decode(errors="replace")

    def _forget_what_it_said(self) -> None:
        self._errors.seek(0)
        self._errors.truncate()

    def _cpu_now(self) -> float:
        """Seconds of CPU time of the process so far; also of one that has ended, until it is waited for."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end(process: subprocess.Popen[bytes], errors: Any) -> None:
    process.kill()
    with errors, contextlib.suppress(BrokenPipeError), process:  # which closes all, and waits
        pass


class _ThisThread(threading.local):
    """The child of the current thread: Linux ties a child to the thread that started it."""

    child: _Child | None = None

    def get_child(self) -> _Child:
        if self.child is None or not self.child.alive or not self.child.up_to_date:
            self.child = _Child()
        return self.child


_this_thread = _ThisThread()


def _fault(position: Position, limits: Limits, wall_s: float, cpu_s: float, resident: int) -> tuple[str, str] | None:
    """Status and reason for which to kill a process that has been at a position for so long; None to let it be."""
    if not position.is_ready and wall_s > START_S:
        return "crashed", f"not ready after {START_S:.0f} s"
    if not position.in_record:  # reading is bounded by itself, and may wait for a network
        return None
    if resident - position.resident > limits.memory_mb * 1e6:
        return "too_much_memory", f"over {limits.memory_mb:g} MB for one record"
    if cpu_s > limits.cpu_s:
        return "timeout", f"over {limits.cpu_s:g} s of work on one record"
    if wall_s > limits.wall_s:
        return "timeout", f"over {limits.wall_s:g} s at one record"
    return None


def _reason(code: int, said: str) -> str:
    """How a process ended, in a line. A crash is explained by what comes first, an exception by what comes last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if code >= 0:
        return ": ".join([f"exit status {code}", *lines[-1:]])[:300]
    name = signal.strsignal(-code) or f"signal {-code}"
    return ": ".join([name, *lines[:1]])[:300]


# Results and exceptions as JSON: what comes from a process that reads hostile bytes is never unpickled


def describe_result(result: Result) -> dict[str, Any]:
    files = {name: str(path) for name, path in result.files.items()}
    return {"files": files, "rows": result.rows, "counts": result.counts, "meta": result.meta}


def revive_result(value: dict[str, Any]) -> Result:
    return Result(**value | {"files": {name: Path(path) for name, path in value["files"].items()}})


def describe_error(error: Exception) -> dict[str, Any]:
    """The class of an exception, the arguments that make another, and, of a bug, where it happened."""
    kind, arguments = type(error), error.__reduce__()[1]
    try:
        json.dumps(arguments)
    except (TypeError, ValueError):
        arguments = None
    expected = isinstance(error, UserError | EnvironmentFault)
    trace = "" if expected else "".join(traceback.format_exception(error))
    return {"module": kind.__module__, "name": kind.__qualname__, "arguments": arguments, "trace": trace}


def revive_error(value: dict[str, Any]) -> Exception:
    """The exception again, if its class is one of Python's or of textmill's, else a RuntimeError that tells of it."""
    home = {"builtins": builtins, "textmill.errors": errors}.get(value["module"])
    kind = getattr(home, value["name"], None)
    if isinstance(kind, type) and issubclass(kind, Exception) and value["arguments"] is not None:
        error = kind(*value["arguments"])
    else:
        error = RuntimeError(value["trace"].strip().rpartition("\n")[2])
    if value["trace"]:
        error.add_note(f"in the process that reads records:\n{value['trace']}")
    return error
