"""How fast training is, what each lever gains, and whether Muon needs fewer steps than AdamW.

    python benchmarks/train.py levers --model gpt2-124m              # a GPU: step time, tokens/s, MFU, and each lever
    python benchmarks/train.py levers --model tiny --rows 8          # a CPU: all of the same but for the speed
    python benchmarks/train.py bare                                  # against a bare PyTorch loop with the same model
    python benchmarks/train.py muon --text ../shared/data/text/brown.txt.gz

Levers are taken away one at a time, from the best setting; all settings run by turns, and the median round counts.
Tokens are random in `levers` and `bare`, whose time does not depend on them.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import by_turns, machine, say, write_figures
from torch.nn import functional as F  # noqa: N812 - the field's usual name

from textmill.train.accounting import mfu_frac
from textmill.train.checkpoint import DataIdentity
from textmill.train.config import OPTIMIZERS, ModelConfig, TrainConfig, preset
from textmill.train.data import StepBatch, TrainBatches
from textmill.train.loop import StepLog, train
from textmill.train.loss import LossModel
from textmill.train.model import Transformer
from textmill.train.optim import adamw, clip_gradients, learning_rate_of, set_learning_rate
from textmill.train.trainer import Trainer, device_named

SEEDS = (0, 1, 2)
SMOOTHED_STEPS = 20  # of the training loss, which differs from batch to batch
TEXT_MODEL = ModelConfig(vocab_size=256, n_layers=4, n_heads=2, d_model=64, d_ff=176, context_length=64)


@dataclass(frozen=True)
class Tokens:
    """A split in memory."""

    tokens: list[np.ndarray]
    vocab_size: int
    tokenizer_sha256: str = ""
    n_docs: int = 1
    n_bytes: int = 0

    @property
    def n_tokens(self) -> int:
        return sum(map(len, self.tokens))


def random_tokens(model: ModelConfig, n_tokens: int) -> Tokens:
    ids = np.random.default_rng(0).integers(0, model.vocab_size, n_tokens)
    return Tokens([ids.astype(np.uint32)], model.vocab_size)


# --- levers


def settings(config: TrainConfig, rows: int, device: torch.device) -> dict[str, dict[str, Any]]:
    """The best setting, and what it is without each lever; ``chunk_bytes`` is of `LossModel`."""
    on_gpu = device.type == "cuda"
    changes: dict[str, dict[str, Any]] = {
        "all levers": {},
        "logits all at once": {"chunk_bytes": 1 << 62},
        "logits in small chunks": {"chunk_bytes": 1 << 22},
        "quarter of the rows at a time": {"micro_batch_size": max(1, rows // 4)},
        "documents masked": {"documents": "masked"},
        "products joined": {"joins_products": True},
        "blocks computed again": {"recompute": "blocks"},
        "muon": {"optimizer": "muon"},
        "other precision": {"dtype": "float32" if on_gpu else "bfloat16"},
    }
    if on_gpu:
        changes |= {
            "not compiled": {"compile": False},
            "tried out at length": {"compile_mode": "max-autotune-no-cudagraphs"},
        }
        changes |= {"CUDA graphs": {"compile_mode": "reduce-overhead"}, "a look at every loss": {"log_every": 1}}
    return {name: {**change, "batch_size": rows} for name, change in changes.items()}


def seconds_a_step(model: ModelConfig, config: TrainConfig, change: dict[str, Any], n_steps: int) -> float:
    """Median of steps after the first three; on a GPU without waiting for each."""
    change = dict(change)
    chunk_bytes, documents = change.pop("chunk_bytes", None), change.pop("documents", "across")
    config = replace(config, **change)
    source = random_tokens(model, config.batch_size * model.context_length + 1)
    trainer = Trainer(model, config, DataIdentity.of(source))
    if chunk_bytes is not None:
        trainer.loss_model = LossModel(trainer.model, config.compile_mode if trainer.compiles else None, chunk_bytes)
    inputs, targets = TrainBatches(source, model.context_length, config.batch_size, 0).at(0)
    ids = (torch.arange(inputs.numel()) * 8 // inputs.numel()).view_as(inputs) if documents == "masked" else None
    batch, looks = StepBatch(inputs, targets, ids), config.log_every == 1 or trainer.device.type == "cpu"

    def step(number: int) -> None:
        reading = trainer.gradients(number, batch, targets.numel())
        trainer.apply(number)
        if looks:
            reading.read()

    for number in range(1, 4):
        step(number)
    _wait(trainer.device)
    began = time.perf_counter()
    for number in range(4, 4 + n_steps):
        step(number)
    _wait(trainer.device)
    return (time.perf_counter() - began) / n_steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def levers(options: argparse.Namespace) -> dict[str, Any]:
    recipe, device = preset(options.model), device_named("auto")
    rows = options.rows or recipe.train.batch_size
    config = replace(recipe.train, log_every=10)
    jobs: dict[str, Callable[[], float]] = {
        name: lambda change=change: seconds_a_step(recipe.model, config, change, options.steps)  # type: ignore[misc]
        for name, change in settings(config, rows, device).items()
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{options.model}, {rows} rows of {recipe.model.context_length} tokens, {name}")
    print(f"{'setting':32}{'ms a step':>12}{'tokens/s':>14}{'MFU':>8}{'time':>8}")
    found, first = {}, 0.0
    for setting, times in by_turns(jobs, options.rounds).items():
        seconds = statistics.median(times)
        first = first or seconds
        rate = rows * recipe.model.context_length / seconds
        share = mfu_frac(recipe.model, rate, name)
        mfu = "-" if share is None else f"{share:.1%}"
        print(f"{setting:32}{1000 * seconds:12.1f}{rate:14,.0f}{mfu:>8}{seconds / first:7.2f}x")
        found[setting] = {"step_s": seconds, "tokens_per_s": rate, "mfu_frac": share}
    return {"model": options.model, "rows": rows, "settings": found}


# --- against a bare loop


def bare_loop(model_config: ModelConfig, config: TrainConfig, source: Tokens) -> float:
    """What one would write in an afternoon; seconds a step."""
    batches = TrainBatches(source, model_config.context_length, config.batch_size, config.seed)
    model = Transformer(model_config, config.seed)
    optimizer = adamw(model, config)
    began = time.perf_counter()
    for step in range(1, config.steps + 1):
        inputs, targets = batches.at(step - 1)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        clip_gradients(model.parameters(), config.grad_clip)
        set_learning_rate(optimizer, learning_rate_of(step, config))
        optimizer.step()
        loss.item()
    return (time.perf_counter() - began) / config.steps


def whole_loop(model_config: ModelConfig, config: TrainConfig, source: Tokens) -> float:
    """`textmill.train.loop.train`, with its log and the checkpoint at the end; seconds a step."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        train(model_config, config, source, None, Path(folder))
        return (time.perf_counter() - began) / config.steps


def bare(options: argparse.Namespace) -> dict[str, Any]:
    recipe = preset("tiny").sized(vocab_size=4096, steps=options.steps)
    config = replace(recipe.train, device="cpu")
    source = random_tokens(recipe.model, 200_000)
    times = by_turns(
        {
            "bare": lambda: bare_loop(recipe.model, config, source),
            "textmill": lambda: whole_loop(recipe.model, config, source),
        },
        options.rounds,
    )
    speed = statistics.median(a / b for a, b in zip(times["bare"], times["textmill"], strict=True))
    print(f"tiny on a CPU, {options.threads} threads: {speed:.1%} of the speed of a bare PyTorch loop")
    return {"speed_of_bare_frac": speed, **{name: statistics.median(values) for name, values in times.items()}}


# --- Muon and AdamW


def text_tokens(path: Path) -> Tokens:
    """A text as its bytes."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return Tokens([np.frombuffer(content, np.uint8).astype(np.uint16)], 256, n_bytes=len(content))


def losses_of(config: TrainConfig, source: Tokens, stop_below: float = -math.inf) -> list[float]:
    """The smoothed training loss at each step, up to the first one below ``stop_below``."""
    losses: list[float] = []

    def on_step(log: StepLog) -> None:
        losses.append(log.loss)
        if len(losses) >= SMOOTHED_STEPS and statistics.mean(losses[-SMOOTHED_STEPS:]) < stop_below:
            raise StopIteration

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(StopIteration):
        train(TEXT_MODEL, config, source, None, Path(folder), on_step=on_step)
    return [statistics.mean(losses[max(0, i - SMOOTHED_STEPS) : i]) for i in range(1, len(losses) + 1)]


def muon(options: argparse.Namespace) -> dict[str, Any]:
    """Both at the best of the learning rates, with the level schedule: no run knows when it will be stopped."""
    source = text_tokens(options.text)
    config = TrainConfig(
        steps=options.steps,
        batch_size=16,
        learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=options.steps // 20,
        schedule="wsd",
        decay_frac=0.0,
        weight_decay=0.0,
        device="cpu",
        checkpoint_every=options.steps,
    )
    best: dict[str, TrainConfig] = {}
    for optimizer in OPTIMIZERS:
        tried: dict[float, TrainConfig] = {}
        for rate in (rates := getattr(options, f"{optimizer}_rates")):
            own = replace(config, optimizer=optimizer, learning_rate=rate, min_learning_rate=rate / 10)
            tried[losses_of(own, source)[-2] if len(rates) > 1 else rate] = own
        say(f"{optimizer}: loss and learning rate {[(loss, own.learning_rate) for loss, own in tried.items()]}")
        best[optimizer] = tried[min(tried)]
    shares = []
    for seed in SEEDS:
        target = losses_of(replace(best["adamw"], seed=seed), source)[-2]  # the last step has the least rate
        n_steps = len(losses_of(replace(best["muon"], seed=seed), source, stop_below=target))
        shares.append(n_steps / options.steps)
        print(f"seed {seed}: AdamW reaches {target:.4f} in {options.steps} steps, Muon in {n_steps} ({shares[-1]:.0%})")
    rates = {name: found.learning_rate for name, found in best.items()}
    print(f"learning rates: {rates}; steps that Muon needs, mean of {len(SEEDS)} seeds: {statistics.mean(shares):.0%}")
    return {"steps": options.steps, "learning_rates": rates, "steps_of_adamw_frac": shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    actions = parser.add_subparsers(required=True)
    for name, action, steps in (("levers", levers, 10), ("bare", bare, 40), ("muon", muon, 400)):
        command = actions.add_parser(name)
        command.add_argument("--steps", type=int, default=steps)
        command.add_argument("--rounds", type=int, default=3)
        command.add_argument("--threads", type=int, default=1, help="of torch on a CPU (default: %(default)s)")
        command.set_defaults(action=action)
        if name == "levers":
            command.add_argument("--model", default="gpt2-124m")
            command.add_argument("--rows", type=int, help="of a step (default: those of the model's recipe)")
        if name == "muon":
            command.add_argument("--text", type=Path, required=True)
            for optimizer in OPTIMIZERS:
                rates = f"--{optimizer}-rates"
                command.add_argument(rates, type=float, nargs="+", default=[1e-3, 3e-3, 1e-2], help="to choose from")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = options.action(options)
    if options.out:
        write_figures({**machine(), **figures}, options.out)


if __name__ == "__main__":
    main()
