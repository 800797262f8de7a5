"""Who does the tasks: this process, or Dask. The only module that imports dask.

Dask moves addresses and small reports, nothing else: no collections, no shuffles, no data through the scheduler. A
window of tasks is in flight at a time, so that the scheduler's memory does not grow with the run, and each future is
released as it finishes, so that a dying worker makes no finished task run again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from typing import Any

from textmill import storage
from textmill.errors import EnvironmentFault, UserError
from textmill.pipeline.guard import KEEP_MEMORY
from textmill.pipeline.runner import Executor, ShardReport, TaskAddress, report_of, run_task

WINDOW = 3  # tasks in flight a worker thread

# Workers hold no data, so nothing should ever pause or spill (distributed #5235); one thread each, because native
# parsing holds the GIL; a task is not blamed for every death of the worker it happened to be on.
DASK_CONFIG = {
    "distributed.scheduler.allowed-failures": 10,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.worker-ttl": "15 minutes",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.multiprocessing-method": "spawn",
    "logging.distributed": "critical",  # a failed task is raised in the driver; its worker need not print it too
    "distributed.comm.retry.count": 3,
    "distributed.comm.timeouts.connect": "5s",  # how long to knock at a killed worker for a report
    "distributed.worker.preload": ["textmill.process"],
    "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": 1,
} | {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEEP_MEMORY.items()}


class Serial:
    """Runs every task in this process, one after the other. For debugging, and for comparing with."""

    def run(self, tasks: Iterable[TaskAddress]) -> Iterator[tuple[TaskAddress, ShardReport]]:
        for task in tasks:
            yield task, run_task(task)

    def close(self) -> None:
        pass


class Dask:
    """Runs tasks on a Dask cluster: one of its own on this machine, or the one at ``scheduler``.

    The cluster starts with the first task, so a run with nothing to do starts none. Its own cluster listens on
    loopback only and has no dashboard.
    """

    def __init__(self, n_workers: int, scheduler: str | None = None) -> None:
        self.n_workers, self.scheduler = n_workers, scheduler
        self._client: Any = None
        self._cluster: Any = None

    def run(self, tasks: Iterable[TaskAddress]) -> Iterator[tuple[TaskAddress, ShardReport]]:
        with _uninterrupted():
            from dask.distributed import as_completed  # a Ctrl-C in the middle of importing may end the process at once

            client = self._connect()
        waiting = iter(tasks)
        flying: dict[str, TaskAddress] = {}
        finished = as_completed()

        def submit() -> None:
            task = next(waiting, None)
            if task is not None:
                future = client.submit(run_task, task, pure=False, retries=0)
                flying[future.key] = task
                finished.add(future)

        for _ in range(WINDOW * max(1, self._n_threads())):
            submit()
        for future in finished:
            report = _result(future, flying[future.key])
            yield flying.pop(future.key), report
            future.release()
            submit()

    def close(self) -> None:
        for name in ("asyncio", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what is torn down in mid-sentence complains
        with _uninterrupted():
            for part in (self._client, self._cluster):
                if part is not None:
                    with contextlib.suppress(Exception):  # a cluster that is gone already
                        part.close()
        self._client = self._cluster = None

    def _n_threads(self) -> int:
        return sum(self._client.nthreads().values())

    def _connect(self) -> Any:
        if self._client is None:
            import dask
            from dask.distributed import Client, LocalCluster

            dask.config.set(DASK_CONFIG)
            logging.getLogger("distributed").setLevel(logging.CRITICAL)
            if self.scheduler is None:
                self._cluster = LocalCluster(
                    n_workers=self.n_workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,  # no dashboard; but its server would still open port 8787 to everybody
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    silence_logs=logging.CRITICAL,
                )
                self._client = Client(self._cluster)
            else:
                self._client = _join_cluster(Client, self.scheduler)
        return self._client


def _join_cluster(client_class: Any, address: str) -> Any:
    try:
        client = client_class(address, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from error
    try:
        client.get_versions(check=True)  # mixed versions would quietly make different bytes
    except ValueError as error:
        raise EnvironmentFault(f"--scheduler {address}: {error}") from error
    return client


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block; processes that start in it never see one.

    Ctrl-C reaches the whole process group, but the driver alone should answer it, and not halfway through starting or
    closing a cluster. Threads other than the main one get no signals, so they need no holding back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # whoever starts it unblocks SIGINT in his thread afterwards
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(future: Any, task: TaskAddress) -> ShardReport:
    """The report of a task, from its manifest: asking its worker could take minutes if that has died since."""
    from distributed import KilledWorker

    if future.status == "finished":
        folder = storage.join(task.workspace, task.folder)
        return report_of(storage.load_manifest(storage.manifest_uri(folder, task.shard)))
    try:
        return future.result()
    except KilledWorker as error:
        raise EnvironmentFault(
            f"stage {task.folder}, shard {task.shard}: the workers that took it died, perhaps for lack of memory; "
            "run again with fewer --workers, or look at it with --serial"
        ) from error


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def make_executor(n_workers: int | None, scheduler: str | None, serial: bool) -> Executor:
    """The executor that the command line asks for."""
    if serial:
        return Serial()
    return Dask(n_workers or default_workers(), scheduler)
