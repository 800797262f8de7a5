"""Devices: which one is taken, and that a step asks of none what Apple's GPUs lack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from textmill.errors import EnvironmentFault, UserError  # noqa: E402
from textmill.train.checkpoint import DataIdentity  # noqa: E402
from textmill.train.config import DEVICES, ModelConfig, TrainConfig  # noqa: E402
from textmill.train.data import StepBatch  # noqa: E402
from textmill.train.parallel import joined  # noqa: E402
from textmill.train.sources import sum_dtype  # noqa: E402
from textmill.train.trainer import Trainer, device_named  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(vocab_size=40, n_layers=1, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(
    steps=6, batch_size=4, learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=2, device="cpu", documents="masked"
)


@pytest.mark.parametrize(
    ("there", "taken"),
    [((True, True), "cuda"), ((True, False), "cuda"), ((False, True), "mps"), ((False, False), "cpu")],
)
def test_the_fastest_device_is_taken(monkeypatch: pytest.MonkeyPatch, there: tuple[bool, bool], taken: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there[0])
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: there[1])
    assert device_named("auto").type == taken
    for name, is_there in zip(("cuda", "mps"), there, strict=True):
        if is_there:
            assert device_named(name).type == name
        else:
            with pytest.raises(EnvironmentFault, match=f"device is {name}, but torch finds no GPU here"):
                device_named(name)
    assert device_named("cpu").type == "cpu" and set(DEVICES) == {"auto", "cuda", "mps", "cpu"}


class NoFloat64(TorchDispatchMode):
    """Refuses what an Apple GPU refuses."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise TypeError(f"{func} gives float64")
        return result


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_on_apples_gpu_has_no_float64(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    assert sum_dtype(torch.device("mps")) == torch.float32
    ids = torch.randint(40, (4, 8), generator=torch.Generator().manual_seed(0))
    batch = StepBatch(ids, ids, ids // 20, torch.arange(8).repeat(4, 1), ids % 2)
    readings = {}
    for dtype in (torch.float64, torch.float32):
        for module in ("trainer", "sources"):
            monkeypatch.setattr(f"textmill.train.{module}.sum_dtype", lambda _, dtype=dtype: dtype)
        trainer = Trainer(MODEL, replace(RECIPE, optimizer=optimizer), DataIdentity("", 0, 0, 0), n_sources=2)

        def step(trainer: Trainer = trainer) -> list[float]:
            reading = trainer.gradients(1, batch, 32).read()
            trainer.apply(1)
            return reading + trainer.evaluate([batch])

        if dtype == torch.float64:
            readings[dtype] = step()
            with pytest.raises(TypeError, match="gives float64"), NoFloat64():
                step()
        else:
            with NoFloat64():
                readings[dtype] = step()
    assert readings[torch.float32] == pytest.approx(readings[torch.float64], rel=1e-5)


def test_apples_gpu_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="which Apple's GPU does not do"), joined("ddp", torch.device("mps")):
        pass


def test_memory_that_a_device_refuses_in_words_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, ids = Trainer(MODEL, RECIPE, DataIdentity("", 0, 0, 0)), torch.zeros(4, 8, dtype=torch.int64)
    for words, error in (
        ("MPS backend out of memory (MPS allocated: 17 GB)", UserError),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes", UserError),
        ("expected scalar type Float", RuntimeError),
    ):

        def fail(*_: object, words: str = words) -> None:
            raise RuntimeError(words)

        monkeypatch.setattr("torch.autograd.backward", fail)
        with pytest.raises(error, match="set micro_batch_size to 2" if error is UserError else words):
            trainer.gradients(1, StepBatch(ids, ids), 32)


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs Apple's GPU")
def test_apples_gpu_learns_what_the_cpu_does(tmp_path: Path) -> None:
    ids = torch.randint(40, (4, 8), generator=torch.Generator().manual_seed(0))
    found = []
    for device in ("cpu", "mps"):
        trainer = Trainer(MODEL, replace(RECIPE, device=device), DataIdentity("", 0, 0, 0))
        for step in (1, 2, 3):
            reading = trainer.gradients(step, StepBatch(ids, ids), 32).read()
            trainer.apply(step)
        found.append(reading)
    assert found[0] == pytest.approx(found[1], rel=1e-3)
