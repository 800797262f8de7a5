"""Processes that train one model together end where one process alone does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("torch has no gloo here", allow_module_level=True)

from test_data import split_of  # noqa: E402
from test_export import write_shards  # noqa: E402

from textmill.errors import UserError  # noqa: E402
from textmill.train import checkpoint  # noqa: E402
from textmill.train.choices import EncodedTask  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.data import TokenStream  # noqa: E402
from textmill.train.likelihood import Sequences  # noqa: E402
from textmill.train.loop import StepLog, train  # noqa: E402

MODEL = ModelConfig(vocab_size=400, n_layers=2, n_heads=2, d_model=16, d_ff=25, context_length=8)  # 25 rows for two
RECIPE = TrainConfig(
    steps=5,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=2,
    eval_every=3,
    checkpoint_every=3,
    device="cpu",
    n_threads=1,
    documents="packed",  # so that ranks have unequal numbers of targets
    micro_batch_size=1,
)
SPLIT = split_of([[3, 9, 1, 30], [12, 4, 4, 7, 20, 2], [], [30, 5, 5, 5, 40]])
SPLIT.vocab_size = 400
OPTIONS = np.random.default_rng(0).integers(1, 400, 120).astype(np.uint16)
STARTS = np.arange(0, 120, 4)
TASK = EncodedTask(
    "pairs",
    Sequences(TokenStream([OPTIONS], 400), np.zeros(30, np.int64), STARTS, STARTS % 3 + 2, STARTS % 2 + 1),
    bounds=np.arange(0, 31, 2),
    answers=np.zeros(15, np.int64),
    sizes=np.ones(30, np.int64),
    has_lengths=False,
    n_cut=0,
    n_left_out=0,
)
TESTS = Path(__file__).parent


# How two processes train, and whether they are stopped once.
TRAININGS = {("ddp", "muon"): True, ("fsdp", "muon"): True, ("fsdp", "adamw"): False}


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All `TRAININGS`, one after the other, by the same two processes, as torchrun starts them."""
    folder = tmp_path_factory.mktemp("two")
    for stop_after, chosen in ((4, [way for way, stops in TRAININGS.items() if stops]), (0, list(TRAININGS))):
        ports = [free_port() for _ in chosen]  # a group of its own for each: the store of one may still be there
        code = f"import test_parallel; test_parallel.train_all({str(folder)!r}, {chosen}, {ports}, {stop_after})"
        with processes(2, ["-c", code]) as started:
            assert [process.wait(timeout=240) for process in started] == [0, 0]
    return folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def processes(n: int, arguments: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """``n`` of Python, with the surroundings that torchrun gives them."""
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(n)}
    started = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=TESTS,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def train_all(folder: str, ways: Sequence[tuple[str, str]], ports: Sequence[int], stop_after: int) -> None:
    for (parallel, optimizer), port in zip(ways, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        train_here(parallel, Path(folder, f"{parallel}-{optimizer}"), optimizer, stop_after)
        if torch.distributed.is_initialized():  # the one who stops a training leaves that to the end of the process
            torch.distributed.destroy_process_group()


def train_here(parallel: str, out: Path | str, optimizer: str, stop_after: int = 0) -> None:
    def stop(log: StepLog) -> None:
        if log.step == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        recompute = "blocks" if parallel == "fsdp" else "none"
        recipe = replace(RECIPE, parallel=parallel, optimizer=optimizer, recompute=recompute)
        train(MODEL, recipe, SPLIT, SPLIT, Path(out), tasks=[TASK], on_step=stop)


@pytest.mark.parametrize(("parallel", "optimizer"), list(TRAININGS))
def test_two_processes_train_what_one_does(by_two: Path, tmp_path: Path, parallel: str, optimizer: str) -> None:
    train_here("none", tmp_path, optimizer)
    folders = by_two / f"{parallel}-{optimizer}", tmp_path
    two, one = (checkpoint.load(folder / "checkpoint.pt", torch.device("cpu")) for folder in folders)
    assert max(float((two.model[name] - one.model[name]).abs().max()) for name in one.model) < 1e-6
    for name in ("loss", "val_loss", "grad_norm"):
        assert two.last_log[name] == pytest.approx(one.last_log[name], abs=1e-5)
    assert two.last_log["accuracy"] == one.last_log["accuracy"] and 0 < one.last_log["accuracy"]["pairs"] < 1
    assert len((folders[0] / "log.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("dies", ["the second is killed", "all are interrupted"])
def test_a_process_that_ends_takes_the_others_along(tmp_path: Path, dies: str) -> None:
    write_shards(tmp_path / "shards")
    shape = ["n_layers=1", "n_heads=2", "d_model=16", "d_ff=24", "context_length=16", "batch_size=4"]
    recipe = ["device=cpu", "n_threads=1", "parallel=ddp", "steps=100000", "checkpoint_every=3"]
    settings = [f"--set={setting}" for setting in (*shape, *recipe)]
    command = ["-m", "textmill", "train", str(tmp_path / "shards"), "--out", str(tmp_path / "run"), *settings]
    with processes(2, command) as started:
        began = time.monotonic()
        while not (tmp_path / "run" / "checkpoint.pt").exists():
            assert time.monotonic() < began + 100 and started[0].poll() is None
            time.sleep(0.05)
        if dies == "the second is killed":
            started[1].kill()
        else:
            for process in started:
                process.send_signal(signal.SIGINT)
        first, second = (process.communicate(timeout=60)[1] for process in started)
        statuses = [process.returncode for process in started]
    if dies == "the second is killed":
        assert statuses == [2, -signal.SIGKILL]
        assert len(first.splitlines()) == 1 and "another process of this training is gone" in first and not second
    else:
        assert statuses[0] in (2, 130) and statuses[1] in (2, 130)  # who is interrupted, or has lost one who was
        assert len(first.splitlines()) + len(second.splitlines()) <= 3 and "textmill: " in first
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.pt", torch.device("cpu"))
    assert kept.step % 3 == 0 and kept.step >= 3


def test_processes_must_be_wanted_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UserError, match="parallel is ddp, which needs processes: start with torchrun"):
        train_here("ddp", tmp_path, "adamw")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="torchrun started 2 processes, but parallel is none; set it to ddp"):
        train_here("none", tmp_path, "adamw")
    assert not list(tmp_path.iterdir())
