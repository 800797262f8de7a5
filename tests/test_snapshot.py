"""Checkpoints: written in the background, whole or absent whenever the process ends, and as they were written."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_data import split_of  # noqa: E402

from textmill.errors import EnvironmentFault, InputError, WorkspaceError  # noqa: E402
from textmill.train import checkpoint  # noqa: E402
from textmill.train.checkpoint import Checkpoint, DataIdentity, content_sha256  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.data import TrainBatches  # noqa: E402
from textmill.train.loop import StepLog, train  # noqa: E402
from textmill.train.parallel import ALONE  # noqa: E402
from textmill.train.runlog import LineFile  # noqa: E402
from textmill.train.snapshot import Snapshots  # noqa: E402
from textmill.train.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
MODEL = ModelConfig(vocab_size=400, n_layers=1, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(
    steps=16,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=2,
    checkpoint_every=1,
    device="cpu",
    n_threads=1,
)
SPLIT = split_of([[3, 9, 1, 30], [12, 4, 4, 7, 20, 2], [], [30, 5, 5, 5, 40]])
SPLIT.vocab_size = 400
N_KILLS = 5


def state(optimizer: str = "adamw") -> Checkpoint:
    """Of a run after a step."""
    config = replace(RECIPE, optimizer=optimizer)
    trainer = Trainer(MODEL, config, DataIdentity("5" * 64, 1, 2, 3))
    for weight in trainer.model.parameters():
        weight.grad = torch.ones_like(weight)
    trainer.apply(1)
    return trainer.state(1, {"step": 1, "loss": 2.5, "note": None})


def lines_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{**line, "seconds": 0, "tokens_per_s": 0} for line in lines]


# --- killed at any instant


def train_and_be_killed(out: str, seed: int) -> None:
    """Attempts of one run, each in a process of its own that is killed after some time; the last one is not."""
    rng = random.Random(seed)
    TrainBatches.of(SPLIT, MODEL, RECIPE).at(0)  # all that a process does once is done before it is copied
    state()
    for attempt in range(N_KILLS + 1):
        child = os.fork()
        if not child:
            train(MODEL, RECIPE, SPLIT, None, Path(out))
            os._exit(0)
        if attempt < N_KILLS:
            time.sleep(rng.uniform(0.02, 0.25))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    sys.exit(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are copies")
def test_a_run_that_is_killed_at_any_instant_ends_with_the_same_bits(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    code = f"import test_snapshot; test_snapshot.train_and_be_killed({str(tmp_path / 'killed')!r}, {seed})"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False, timeout=120)
    assert done.returncode == 0, f"seed {seed}"
    train(MODEL, replace(RECIPE, checkpoint_every=100), SPLIT, None, tmp_path / "whole")
    whole, killed = (checkpoint.load(tmp_path / name / "checkpoint.pt", CPU) for name in ("whole", "killed"))
    assert killed.step == RECIPE.steps, f"seed {seed}"
    assert content_sha256(whole.model) == content_sha256(killed.model), f"seed {seed}"
    assert content_sha256(whole.optimizer) == content_sha256(killed.optimizer), f"seed {seed}"
    assert lines_of(tmp_path / "whole") == lines_of(tmp_path / "killed"), f"seed {seed}"
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_lines_that_stay_are_on_disk_all_the_time(tmp_path: Path) -> None:
    lines = [f'{{"step": {step}}}\n' for step in range(1, 6)]
    (tmp_path / "log").write_text("".join(lines) + '{"step": 6}')
    with LineFile(tmp_path / "log", 3) as log:
        assert (tmp_path / "log").read_text() == "".join(lines[:3])
        log.write({"step": 4, "again": True})
    assert (tmp_path / "log").read_text() == "".join(lines[:3]) + '{"step": 4, "again": true}\n'
    assert [line["step"] for line in LineFile(tmp_path / "log", 9).kept] == [1, 2, 3, 4]


def test_two_trainings_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with LineFile(tmp_path / "log.jsonl", 0) as log:
        log.write({"step": 1})
        with pytest.raises(WorkspaceError, match="another training is at work there; wait for it"):
            train(MODEL, RECIPE, SPLIT, None, tmp_path)
        assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n'
    train(MODEL, RECIPE, SPLIT, None, tmp_path)


# --- in the background


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state as it was at the step is kept, and the next checkpoint waits."""
    may_write, save = threading.Event(), torch.save
    monkeypatch.setattr("torch.save", lambda *parts: may_write.wait(30) and save(*parts))
    seen: list[int] = []

    def on_step(log: StepLog) -> None:
        seen.append(log.step)
        if log.step == 7:
            assert not (tmp_path / "run" / "checkpoint.pt").exists()
            may_write.set()
        if log.step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(MODEL, replace(RECIPE, checkpoint_every=5), SPLIT, None, tmp_path / "run", on_step=on_step)
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.pt", CPU)
    assert seen == list(range(1, 10)) and kept.step == 5
    train(MODEL, RECIPE, SPLIT, None, tmp_path / "run")
    train(MODEL, RECIPE, SPLIT, None, tmp_path / "whole")
    ends = [checkpoint.load(tmp_path / name / "checkpoint.pt", CPU) for name in ("run", "whole")]
    assert content_sha256(ends[0].model) == content_sha256(ends[1].model)


def test_a_checkpoint_that_cannot_be_written_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, counted = torch.save, itertools.count(1)

    def full_disk(*parts: object) -> None:
        if next(counted) == 3:
            raise OSError(28, "No space left on device")
        save(*parts)

    monkeypatch.setattr("torch.save", full_disk)
    with pytest.raises(EnvironmentFault, match=r"checkpoint.pt: the checkpoint cannot be written.*No space left"):
        train(MODEL, RECIPE, SPLIT, None, tmp_path)
    assert checkpoint.load(tmp_path / "checkpoint.pt", CPU).step == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_torch_does_not_hide_that_a_disk_is_full(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match=r"cannot be written: .*File too large"):
            checkpoint.save(state(), tmp_path / "checkpoint.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_the_last_checkpoint_is_waited_for_and_its_failure_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full_disk)
    with pytest.raises(EnvironmentFault, match="No space left"):
        train(MODEL, replace(RECIPE, steps=2, checkpoint_every=100), SPLIT, None, tmp_path)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_is_kept_is_what_it_was(tmp_path: Path, optimizer: str) -> None:
    path, order = tmp_path / "checkpoint.pt", []
    live = state(optimizer)
    with Snapshots(path, ALONE) as snapshots:
        expected = content_sha256([live.model, live.optimizer])
        snapshots.keep(live, before=lambda: order.append(path.exists()))
        for tensor in live.model.values():
            tensor.zero_()
        snapshots.keep(live, before=lambda: order.append(content_sha256(checkpoint.load(path, CPU).model)))
        first = order[1] if len(order) > 1 else None
    assert order[0] is False
    kept = checkpoint.load(path, CPU)
    assert content_sha256([kept.model, kept.optimizer]) != expected
    assert not any(tensor.any() for tensor in kept.model.values())
    assert (first or order[1]) == content_sha256(state(optimizer).model)
    assert replace(kept, model={}, optimizer={}) == replace(live, model={}, optimizer={})


# --- the digest


def test_a_digest_tells_apart_what_differs() -> None:
    tensor = torch.arange(6.0).view(2, 3)
    trees: list[Any] = [
        tensor,
        tensor.view(3, 2),
        tensor.int(),
        tensor.view(torch.int32),
        [tensor],
        [tensor, tensor],
        {"a": tensor},
        {"b": tensor},
        {"a": [tensor], "b": []},
        {"a": [], "b": [tensor]},
        [1, 23],
        [12, 3],
        ["1", 23],
        [None, 0.5],
        [None, 0.25],
    ]
    digests = [content_sha256(tree) for tree in trees]
    assert len(set(digests)) == len(trees)
    assert content_sha256(tensor.T.contiguous().T) == digests[0]
    assert content_sha256(tensor.bfloat16()) != content_sha256(tensor.half())
    assert content_sha256(torch.tensor(3.0)) != content_sha256(torch.tensor(4.0))


def test_a_changed_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(state(), path)
    parts = torch.load(path, weights_only=True)
    parts["model"]["ln_final.weight"][3] += 1e-3
    torch.save(parts, path)
    with pytest.raises(InputError, match=r"checkpoint.pt: damaged: its content is not what its sha256 says"):
        checkpoint.load(path, CPU)


def test_a_flipped_byte_is_noticed_wherever_it_counts(tmp_path: Path) -> None:
    path, rng = tmp_path / "checkpoint.pt", random.Random(0)
    checkpoint.save(state(), path)
    whole, content = path.read_bytes(), content_sha256(vars(checkpoint.load(path, CPU)))
    with zipfile.ZipFile(path) as archive:  # what the tensors are put together by: few of all bytes, easily broken
        pickled = archive.read("archive/data.pkl")
    begin = whole.index(pickled)
    for at in [*rng.sample(range(len(whole)), 60), *rng.sample(range(begin, begin + len(pickled)), 300)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with contextlib.suppress(InputError):
            assert content_sha256(vars(checkpoint.load(path, CPU))) == content


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt.123.tmp").write_bytes(b"half")
    (tmp_path / "other.tmp").write_bytes(b"")
    with Snapshots(tmp_path / "checkpoint.pt", ALONE):
        assert [path.name for path in tmp_path.iterdir()] == ["other.tmp"]
