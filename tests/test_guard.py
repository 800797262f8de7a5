"""The guarded child process: a record that hangs, crashes or takes all memory costs itself, everywhere the same."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import psutil
import pyarrow.parquet as pq
import pytest
from test_stage import run, tree

from textmill.errors import (
    EnvironmentFault,
    InputError,
    InvariantError,
    MissingExtraError,
    UnknownNameError,
    Unreached,
)
from textmill.pipeline import dag as dags
from textmill.pipeline import guard
from textmill.pipeline.executors import Dask, Serial
from textmill.pipeline.extract import Page
from textmill.pipeline.reading import warc
from textmill.pipeline.runner import ShardReport, TaskAddress
from textmill.pipeline.sources.inputs import find_inputs
from textmill.pipeline.stage import Result, Task
from textmill.pipeline.stages import pages as stages_of_pages
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.watch import Cell, Limits, Position, Verdict, Watch, load_verdicts, save_verdicts

SHORT = Limits(cpu_s=0.5, wall_s=1.5, memory_mb=60)


# Fake extractors: what a record does to the process is the host of its URL


KEPT: list[object] = []  # until the process ends


class Panic(BaseException):
    """As Rust's panics arrive in Python."""


def hang() -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # holds the GIL for years


def wait() -> None:
    ctypes.PyDLL(None).pause()  # without the GIL given back, and without work


def segfault() -> None:
    ctypes.string_at(0)


def eat() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (1 << 20))


class Burden:
    """Something that takes long to clear away, as a library's threads or a large heap may."""

    def __del__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        sleep(2 * guard.END_S)


def allocate() -> None:
    KEPT.append(Burden())
    raise MemoryError


def panic() -> None:
    raise Panic("called `Option::unwrap()` on a `None` value")


def leave() -> None:
    os._exit(0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def bug() -> None:
    raise ZeroDivisionError("in an extractor")


def keep() -> None:
    KEPT.append(b"x" * (120 << 20))


def free() -> None:
    """Memory that the heap has back, but the system has not: something that stays lies above it."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    libc.free(libc.malloc(30 << 20))  # from now on the heap serves pieces of this size
    pieces = [libc.malloc(20 << 20) for _ in range(6)]
    for piece in pieces:
        ctypes.memset(piece, 1, 20 << 20)
    KEPT.append(libc.malloc(1 << 20))
    for piece in pieces:
        libc.free(piece)


DEEDS: Mapping[str, Callable[[], None]] = {
    deed.__name__: deed for deed in (hang, wait, segfault, eat, allocate, panic, leave, die, bug, keep, free)
}


@dataclass(frozen=True)
class Hostile(Extract):
    """Extracts pages as ever, after it has done to the process what the record says."""

    def page(self, record: warc.Record) -> Page:
        address = urlsplit(record.url)
        if address.hostname in DEEDS:
            DEEDS[address.hostname]()
        if address.hostname == "once" and not Path(address.path).exists():
            Path(address.path).touch()
            die()
        if address.hostname == "until":
            while not list(Path(address.path).glob("pages-*/00003.manifest.json")):
                time.sleep(0.01)
        if address.hostname == "meanwhile":  # another worker condemns this record
            save_verdicts(f"{address.path}/{self.folder}/00000.poison.json", [Verdict(record.offset, 0, "timeout", "")])
        if address.hostname == "count":
            with Path(address.path).open("a") as log:
                log.write(".")
        if address.hostname == "slow":
            time.sleep(0.2)
        return super().page(record)


@dataclass(frozen=True)
class SmallGroups(Hostile):
    """Has row groups of two rows."""

    def run_watched(self, task: Task, watch: Watch) -> Result:
        with mock.patch.object(stages_of_pages, "GROUP_ROWS", 2):
            return super().run_watched(task, watch)


@dataclass(frozen=True)
class Unreadable(Extract):
    """Dies when it reads on from record number ``n_readable``."""

    n_readable: int = 0

    def run_watched(self, task: Task, watch: Watch) -> Result:
        read_range = warc.read_range

        def dying(*arguments: object) -> Iterator[warc.Item]:
            items = read_range(*arguments)  # type: ignore[arg-type]
            for _ in range(self.n_readable):
                yield next(items)
            segfault()

        with mock.patch.object(warc, "read_range", dying):
            return super().run_watched(task, watch)


@dataclass(frozen=True)
class Unable(Extract):
    """Cannot get ready."""

    def warm_up(self) -> None:
        segfault()


# Archives


def record(url: str, number: int) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Page %d at %s" % (number, url.encode())
    head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: %s\r\nContent-Length: %d\r\n\r\n"
    return gzip.compress(head % (url.encode(), len(block)) + block + b"\r\n\r\n", mtime=0)


def archive(path: Path, *hosts: str) -> Path:
    path.write_bytes(b"".join(record(f"http://{host}", number) for number, host in enumerate(hosts)))
    return path


def pages(root: Path) -> list[dict[str, object]]:
    """All rows of the pages of a workspace."""
    return [row for path in sorted(root.glob("pages-*/*.parquet")) for row in pq.read_table(path).to_pylist()]


def statuses(root: Path) -> list[object]:
    return [row["status"] for row in pages(root)]


def totals(root: Path) -> dict[str, int]:
    (path,) = root.glob("pages-*/_SUCCESS")
    return dict(json.loads(path.read_text()))


def verdicts(root: Path) -> dict[int, tuple[str, str]]:
    """Status and reason by the number of the record."""
    places = [(row["warc_offset"], 0) for row in pages(root)]
    (path,) = root.glob("pages-*/*.poison.json")
    return {places.index(v.place): (v.status, v.reason) for v in load_verdicts(str(path))}


def child() -> psutil.Process | None:
    """This thread's child process."""
    kept = guard._this_thread.child
    return psutil.Process(kept._process.pid) if kept and kept.alive else None


# A record's own fault


EXPECTED = {
    "hang": ("timeout", "over 0.5 s of work on one record"),
    "wait": ("timeout", "over 1.5 s at one record"),
    "segfault": ("crashed", "Segmentation fault: Fatal Python error: Segmentation fault"),
    "eat": ("too_much_memory", "over 60 MB for one record"),
    "allocate": ("too_much_memory", "exit status 1: MemoryError"),
    "panic": ("crashed", "exit status 1: test_guard.Panic: called `Option::unwrap()` on a `None` value"),
    "leave": ("crashed", "exit status 0"),
    "die": ("crashed", "Killed"),
}


@pytest.fixture(scope="module")
def hosts() -> list[str]:
    return ["a.example", *(host for deed in EXPECTED for host in (deed, "a.example"))]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, hosts: list[str]) -> Hostile:
    path = archive(tmp_path_factory.mktemp("archive") / "hostile.warc.gz", *hosts)
    return Hostile(find_inputs((str(path),), 1), limits=SHORT)


@pytest.fixture(scope="module")
def condemned(tmp_path_factory: pytest.TempPathFactory, hostile: Hostile) -> Path:
    """A finished run over records of every kind."""
    root = tmp_path_factory.mktemp("condemned") / "w"
    run(root, hostile)
    return root


def test_a_hostile_record_costs_itself(condemned: Path, hosts: list[str]) -> None:
    assert statuses(condemned) == [EXPECTED.get(host, ("ok",))[0] for host in hosts]
    assert verdicts(condemned) == {i: EXPECTED[host] for i, host in enumerate(hosts) if host in EXPECTED}
    counts = {name: n for name, n in totals(condemned).items() if name.startswith("status_")}
    assert counts == {"status_ok": 9, "status_timeout": 2, "status_too_much_memory": 2, "status_crashed": 4}
    assert totals(condemned)["rows_in"] == totals(condemned)["rows_out"] == len(hosts)


def test_its_neighbours_are_what_they_are_without_it(
    condemned: Path, hostile: Hostile, hosts: list[str], tmp_path: Path
) -> None:
    run(tmp_path / "w", Extract(hostile.source, guarded=False))
    for row, peaceful, host in zip(pages(condemned), pages(tmp_path / "w"), hosts, strict=True):
        if host in EXPECTED:
            known = ("doc_id", "url", "host", "warc_file", "warc_offset", "warc_length")
            assert {name: row[name] for name in known} == {name: peaceful[name] for name in known}
            assert (row["text"], row["html_bytes"]) == (None, 0)
        else:
            assert row == peaceful


class Attentive(Serial):
    """Sees which process did the work."""

    def run(self, tasks: object) -> Iterator[tuple[TaskAddress, ShardReport]]:
        self.before = child()
        yield from super().run(tasks)  # type: ignore[arg-type]
        self.after = child()


def test_a_later_attempt_decides_the_same_and_loses_no_process(
    condemned: Path, hostile: Hostile, tmp_path: Path
) -> None:
    run(tmp_path / "w", Hostile(find_inputs((str(archive(tmp_path / "a.warc.gz", "a.example")),), 1)))
    before, worker = tree(condemned), Attentive()
    for path in [*condemned.glob("pages-*/*.manifest.json"), *condemned.glob("pages-*/*.parquet")]:
        path.unlink()
    assert run(condemned, hostile, worker) == {"pages": 1}
    assert tree(condemned) == before
    assert worker.before and worker.before == worker.after


@pytest.mark.parametrize("n_workers", [1, 2])
def test_workers_that_were_not_there_decide_the_same(
    condemned: Path, hostile: Hostile, tmp_path: Path, n_workers: int
) -> None:
    root = tmp_path / "w"
    (book,) = condemned.glob("pages-*/*.poison.json")
    (root / book.parent.name).mkdir(parents=True)
    (root / book.parent.name / book.name).write_bytes(book.read_bytes())
    (root / "textmill-workspace.json").write_bytes((condemned / "textmill-workspace.json").read_bytes())
    executor = Dask(n_workers)
    try:
        run(root, replace(hostile, limits=replace(SHORT, cpu_s=1000, wall_s=1000)), executor)  # or it would never end
    finally:
        executor.close()
    (different,) = {name for name, data in tree(root).items() if data != tree(condemned)[name]}
    assert different.endswith("stage.json")  # the limits


def test_too_many_end_the_attempts_but_nothing_is_lost(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example", "leave", "b.example", "leave", "c.example", "hang")
    run(tmp_path / "w", Hostile(find_inputs((str(path),), 1), limits=replace(SHORT, max_verdicts=2)))
    assert statuses(tmp_path / "w") == ["ok", "crashed", "ok", "crashed", "not_tried", "not_tried"]
    assert totals(tmp_path / "w")["status_not_tried"] == 2


def test_a_death_costs_one_row_group_at_most(tmp_path: Path) -> None:
    counted = f"count{tmp_path}/log"
    path = archive(tmp_path / "a.warc.gz", *[counted] * 5, "leave", counted)
    run(tmp_path / "w", SmallGroups(find_inputs((str(path),), 1)))
    assert statuses(tmp_path / "w") == ["ok"] * 5 + ["crashed", "ok"]
    assert (tmp_path / "log").read_text() == "." * (5 + 1 + 1)  # the fifth again, for its group was not full
    run(tmp_path / "plain", Extract(find_inputs((str(path),), 1), guarded=False))
    made, plain = pages(tmp_path / "w"), pages(tmp_path / "plain")
    assert made[:5] + made[6:] == plain[:5] + plain[6:]
    (table,) = tmp_path.glob("w/pages-*/*.parquet")
    file = pq.ParquetFile(table)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2, 2, 1]


# What is not a record's fault


def test_a_kill_from_outside_is_forgiven_once_a_record(tmp_path: Path) -> None:
    hosts = ["a.example", f"once{tmp_path}/1", f"once{tmp_path}/2", "b.example"]
    path = archive(tmp_path / "a.warc.gz", *hosts)
    run(tmp_path / "w", Hostile(find_inputs((str(path),), 1)))
    assert (tmp_path / "1").exists() and (tmp_path / "2").exists()
    assert statuses(tmp_path / "w") == ["ok"] * 4
    assert not list(tmp_path.glob("w/pages-*/*.poison.json"))


def test_kills_from_outside_without_end_stop_the_run(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", *[f"once{tmp_path}/{number}" for number in range(3)])
    with pytest.raises(EnvironmentFault, match=r"died in record 0 at byte \d+: Killed"):
        run(tmp_path / "w", Hostile(find_inputs((str(path),), 1), limits=Limits(max_verdicts=2)))


@pytest.mark.parametrize(("hosts", "expected"), [(["a.example"], ["ok"]), (["a.example", "leave"], ["ok", "crashed"])])
def test_a_verdict_of_an_attempt_at_the_same_time_holds(tmp_path: Path, hosts: list[str], expected: list[str]) -> None:
    path = archive(tmp_path / "a.warc.gz", f"meanwhile{tmp_path}/w", *hosts)
    run(tmp_path / "w", SmallGroups(find_inputs((str(path),), 1)))
    assert statuses(tmp_path / "w") == ["timeout", *expected]


@pytest.mark.parametrize("delay_s", [0.05, 0.6])
def test_killed_at_any_moment(tmp_path: Path, delay_s: float) -> None:
    path = archive(tmp_path / "a.warc.gz", *["slow"] * 4)
    stage = Hostile(find_inputs((str(path),), 1))
    run(tmp_path / "whole", stage)
    victim = child()
    assert victim
    killer = threading.Timer(delay_s, victim.kill)
    killer.start()
    run(tmp_path / "killed", stage)
    killer.join()
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_where_reading_itself_kills_the_run_stops_and_says_where(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", *["a.example"] * 5)
    n_bytes = path.stat().st_size
    where = f"{path}, bytes 0 to {n_bytes}: what reads it died reading on from the beginning: Segmentation fault"
    with pytest.raises(EnvironmentFault, match=where):
        run(tmp_path / "w", Unreadable(find_inputs((str(path),), 1), n_readable=2))
    assert not list(tmp_path.glob("w/pages-*/*.poison.json"))


def test_a_position_in_words() -> None:
    assert Position(0, 0, 0, 0).where == "before it is ready"
    assert Position(2, -1, 0, 0).where == "reading on from the beginning"
    assert Position(3, 145, 1, 0).where == "in record 1 at byte 145"
    assert Position(4, 145, 1, 0).where == "reading on from record 1 at byte 145"


def test_where_nothing_can_be_read_the_run_stops(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", *["a.example"] * 5)
    with pytest.raises(EnvironmentFault, match="died reading on from the beginning: Segmentation fault"):
        run(tmp_path / "w", Unreadable(find_inputs((str(path),), 1)))


def test_a_bug_arrives_as_what_it_is(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example", "bug")
    with pytest.raises(ZeroDivisionError, match="in an extractor") as caught:
        run(tmp_path / "w", Hostile(find_inputs((str(path),), 1)))
    trace, task = caught.value.__notes__
    assert "in bug\n" in trace and task.endswith("shard 00000")


def test_a_mistake_arrives_as_what_it_is(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example")
    stage = Hostile(find_inputs((str(path),), 1))
    archive(path, "b.example", "c.example")
    with pytest.raises(InputError, match=r"a\.warc\.gz: changed since the run was planned") as caught:
        run(tmp_path / "w", stage)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("engine", "resiliparze", ["resiliparse"]),
        MissingExtraError("trafilatura", "trafilatura"),
        Unreached("s3://bucket/a", "Connection refused", True),
        InvariantError("a bug"),
        OSError(28, "No space left on device", "/somewhere"),
        KeyError("x"),
    ],
)
def test_an_exception_comes_back(error: Exception) -> None:
    back = guard.revive_error(json.loads(json.dumps(guard.describe_error(error))))
    assert type(back) is type(error)
    assert (str(back), back.args) == (str(error), error.args)


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), re.error("nothing to repeat")])
def test_an_exception_that_cannot_come_back_is_told(error: Exception) -> None:
    back = guard.revive_error(json.loads(json.dumps(guard.describe_error(error))))
    assert type(back) is RuntimeError and str(error) in str(back)


def test_only_exceptions_come_back() -> None:
    told = {"module": "builtins", "name": "exec", "arguments": ["raise SystemExit"], "trace": "exec: no"}
    assert type(guard.revive_error(told)) is RuntimeError


def test_a_process_that_cannot_get_ready_stops_the_run(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example")
    with pytest.raises(EnvironmentFault, match="cannot start: Segmentation fault"):
        run(tmp_path / "w", Unable(find_inputs((str(path),), 1)))
    assert not list(tmp_path.glob("w/pages-*/*.poison.json"))


def test_a_process_that_cannot_start_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho ModuleNotFoundError: resiliparse >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    guard._this_thread.child = None
    work = guard._Child.work

    def late(kept: guard._Child, *arguments: object) -> object:
        os.waitid(os.P_PID, kept._process.pid, os.WEXITED | os.WNOWAIT)  # what it says must not be lost by then
        return work(kept, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(guard._Child, "work", late)
    with pytest.raises(EnvironmentFault, match="cannot start: exit status 1: ModuleNotFoundError: resiliparse"):
        run(tmp_path / "w", Extract(find_inputs((str(path),), 1)))


def test_an_interrupted_process_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.warc.gz", *["slow"] * 4)
    monkeypatch.setattr(guard, "_fault", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "w", Hostile(find_inputs((str(path),), 1)))
    assert child() is None


def test_kept_rows_of_other_records_are_refused(tmp_path: Path) -> None:
    stage = Extract(find_inputs((str(archive(tmp_path / "a.warc.gz", "a.example")),), 1))
    watch = Watch([], Limits(), Cell(bytearray(Cell.N_BYTES)))
    items = iter([warc.Damage(0, 0, 100, "truncated")])
    rows = stage._rows(items, stage.source.ranges()[0], Counter(), watch, iter([{"doc_id": 7}]))
    with pytest.raises(InvariantError, match="do not go on as its archive does"):
        next(rows)


# Limits, and verdicts


@pytest.mark.parametrize(
    ("position", "wall_s", "cpu_s", "grown_mb", "status"),
    [
        (Position(3, 100, 0, 0), 29, 9.9, 144, ""),
        (Position(3, 100, 0, 0), 29, 10.1, 0, "timeout"),
        (Position(3, 100, 0, 0), 31, 0.1, 0, "timeout"),
        (Position(3, 100, 0, 0), 0, 0, 146, "too_much_memory"),
        (Position(4, 100, 0, 0), 1000, 1000, 1000, ""),  # reading
        (Position(0, 0, 0, 0), 299, 1000, 1000, ""),  # getting ready
        (Position(0, 0, 0, 0), 301, 0, 0, "crashed"),
    ],
)
def test_limits(position: Position, wall_s: float, cpu_s: float, grown_mb: int, status: str) -> None:
    fault = guard._fault(position, Limits(), wall_s, cpu_s, grown_mb * 1_000_000)
    assert (fault or ("",))[0] == status


def test_what_counts_is_what_a_record_adds_to_the_memory() -> None:
    position = Position(3, 100, 0, resident=500_000_000)
    assert guard._fault(position, Limits(), 0, 0, 600_000_000) is None


def test_verdicts_of_two_attempts_add_up(tmp_path: Path) -> None:
    book = str(tmp_path / "00000.poison.json")
    assert load_verdicts(book) == []
    theirs = Verdict(5, 0, "timeout", "theirs")
    save_verdicts(book, [theirs])
    mine = [Verdict(3, 0, "crashed", "mine"), Verdict(5, 0, "crashed", "mine")]
    assert save_verdicts(book, mine) == load_verdicts(book) == [mine[0], theirs]


def test_it_can_be_switched_off_for_debugging(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc.gz", "a.example")
    dag = dags.load_dag("common_crawl")
    on, off = (
        dags.cut(dags.build(dag, {"warcs": (str(path),), "language_model": "builtin", "guard": on}, {}), "pages")
        for on in (True, False)
    )
    assert on.folder == off.folder  # it is no part of what the pages are
    guard._this_thread.child = None
    run(tmp_path / "off", off)
    assert child() is None
    run(tmp_path / "on", on)
    assert child()
    assert pages(tmp_path / "on") == pages(tmp_path / "off")


# The process itself


def test_the_process_goes_on_from_shard_to_shard_unless_it_has_grown(tmp_path: Path) -> None:
    run(tmp_path / "1", Hostile(find_inputs((str(archive(tmp_path / "1.warc.gz", "a.example")),), 1)))
    first = child()
    run(tmp_path / "2", Hostile(find_inputs((str(archive(tmp_path / "2.warc.gz", "keep")),), 1)))
    assert first and not first.is_running() and child() is None
    run(tmp_path / "3", Hostile(find_inputs((str(archive(tmp_path / "3.warc.gz", "a.example")),), 1)))
    second = child()
    run(tmp_path / "4", Hostile(find_inputs((str(archive(tmp_path / "4.warc.gz", "a.example")),), 1)))
    assert second == child()
    run(tmp_path / "5", Hostile(find_inputs((str(archive(tmp_path / "5.warc.gz", "free")),), 1)))
    assert second == child()


def test_the_process_has_the_environment_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "1", Hostile(find_inputs((str(archive(tmp_path / "1.warc.gz", "a.example")),), 1)))
    before = child()
    monkeypatch.setenv("AWS_PROFILE", "another")
    run(tmp_path / "2", Hostile(find_inputs((str(archive(tmp_path / "2.warc.gz", "a.example")),), 1)))
    after = child()
    assert before and after and not before.is_running() and after.environ()["AWS_PROFILE"] == "another"


def test_a_process_without_work_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard._this_thread.child = None
    monkeypatch.setattr(guard, "IDLE_S", 0.1)
    for name in "ab":
        run(tmp_path / name, Hostile(find_inputs((str(archive(tmp_path / f"{name}.warc.gz", "a.example")),), 1)))
        idle = child()
        if idle:
            psutil.wait_procs([idle], timeout=30)
    assert child() is None
    guard._this_thread.child = None


def test_a_process_that_ends_as_it_gets_work_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "1", Hostile(find_inputs((str(archive(tmp_path / "1.warc.gz", "a.example")),), 1)))
    process = child()
    assert process
    send = guard._Child._send

    def late(kept: guard._Child, *work: object) -> None:
        if kept._process.pid == process.pid:
            kept._process.stdin.close()  # type: ignore[union-attr]  # it takes that for the end of the work
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            send(kept, *work)  # type: ignore[arg-type]

    monkeypatch.setattr(guard._Child, "_send", late)
    run(tmp_path / "2", Hostile(find_inputs((str(archive(tmp_path / "2.warc.gz", "a.example")),), 1)))
    assert statuses(tmp_path / "2") == ["ok"]


def test_what_the_process_is_like(tmp_path: Path) -> None:
    guard._this_thread.child = None
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    run(tmp_path / "w", Hostile(find_inputs((str(archive(tmp_path / "a.warc.gz", "a.example")),), 1)))
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    process = child()
    assert process
    proc = Path(f"/proc/{process.pid}")
    assert (proc / "oom_score_adj").read_text().strip() == "1000"
    assert re.search(r"Max core file size\s+0\s", (proc / "limits").read_text())
    (ignored,) = re.findall(r"SigIgn:\s+(\w+)", (proc / "status").read_text())
    assert int(ignored, 16) & 1 << (signal.SIGINT - 1)
    assert os.getsid(process.pid) == process.pid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_dies_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    path = archive(tmp_path / "a.warc.gz", "wait")
    code = (
        "from test_guard import Hostile, find_inputs, run; from pathlib import Path;"
        f"run(Path({str(tmp_path / 'w')!r}), Hostile(find_inputs(({str(path)!r},), 1)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
    while not (children := psutil.Process(parent.pid).children()):
        time.sleep(0.01)
    time.sleep(0.5)
    parent.send_signal(how)
    parent.wait()
    psutil.wait_procs(children, timeout=30)
    assert not any(process.is_running() for process in children)


def test_a_record_that_takes_long_holds_up_no_other_worker(tmp_path: Path) -> None:
    archive(tmp_path / "0.warc.gz", f"until{tmp_path}/w")  # the last of the others is done
    for number in range(1, 4):
        archive(tmp_path / f"{number}.warc.gz", "a.example")
    executor = Dask(2)
    try:
        run(tmp_path / "w", Hostile(find_inputs((str(tmp_path),), 1)), executor)
    finally:
        executor.close()
    assert statuses(tmp_path / "w") == ["ok"] * 4


def test_records_that_are_passed_over_do_not_pile_up() -> None:
    read = iter([warc.Skipped(n, 0, 1, "request") for n in range(10_000)])
    next(stages_of_pages._ahead(read))
    assert next(read).offset <= 1_000
