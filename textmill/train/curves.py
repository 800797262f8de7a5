"""The log of a training, shown elsewhere while it goes on: in TensorBoard, or in Weights & Biases.

Both are fed from the lines of the log and change nothing of a run. TensorBoard's files lie in the run's folder; where a
run goes on, what the stopped attempt wrote too much is purged. Weights & Biases sends from a process of its own;
without a key, or when its server does not answer, it writes to the run's folder (``wandb sync`` sends that later), so
that training waits for nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    from textmill.train.loop import StepLog

WANDB_PATIENCE_S = 30
Write = Callable[[int, dict[str, float]], None]  # the numbers of a step


def scalars(log: StepLog) -> dict[str, float]:
    """The numbers of a line of the log, those by source under ``NAME/SOURCE``; without what was not measured."""
    found: dict[str, float] = {}
    for name, value in asdict(log).items():
        values = (
            {f"{name}/{source}": own for source, own in value.items()} if isinstance(value, dict) else {name: value}
        )
        found |= {key: float(own) for key, own in values.items() if own is not None and math.isfinite(own)}
    del found["step"]
    return found


@contextlib.contextmanager
def curves(names: Sequence[str], out: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[StepLog], None]]:
    """What to call with each line of the log of the run in ``out``; ``settings`` are told to those who keep such.

    Errors: `UnknownNameError` for a name that is none of `WRITERS`, `MissingExtraError` for one that is not installed.
    """
    for name in names:
        if name not in WRITERS:
            raise UnknownNameError("log", name, WRITERS)
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(name, name)
    with contextlib.ExitStack() as stack:
        writers: list[Write] = []

        def on_step(log: StepLog) -> None:
            if not writers:  # which begin at the first step of this attempt
                writers.extend(stack.enter_context(WRITERS[name](out, log.step, settings)) for name in names)
            for write in writers:
                write(log.step, scalars(log))

        yield on_step


@contextlib.contextmanager
def _tensorboard(out: Path, step: int, settings: Mapping[str, Any]) -> Iterator[Write]:
    from torch.utils.tensorboard import SummaryWriter

    def write(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    writer = SummaryWriter(str(out / "tensorboard"), purge_step=step)
    with contextlib.closing(writer):
        yield write


@contextlib.contextmanager
def _wandb(out: Path, step: int, settings: Mapping[str, Any]) -> Iterator[Write]:
    import wandb  # type: ignore[import-not-found,unused-ignore]

    own = {
        "project": os.environ.get("WANDB_PROJECT", "textmill"),
        "name": out.resolve().name,
        "id": hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16],  # the same when the run goes on
        "resume": "allow",
        "dir": str(out),
        "config": dict(settings),
        "settings": wandb.Settings(init_timeout=WANDB_PATIENCE_S, silent=True),
    }
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
    try:
        run = wandb.init(**own, mode=mode)
    except wandb.Error:  # no answer, or not that key
        run = wandb.init(**own, mode="offline")
    try:
        yield lambda step, values: run.log(values, step=step)
    finally:
        run.finish()


WRITERS = {"tensorboard": _tensorboard, "wandb": _wandb}
