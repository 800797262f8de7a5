"""``textmill train``: what a training would cost, and the training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive
from textmill.errors import UserError

if TYPE_CHECKING:
    from textmill.train.accounting import Gpu, Memory, Plan
    from textmill.train.config import Preset

TRAIN_EXAMPLES = """\
examples:
  textmill train work --model tiny --steps 400
  textmill train --plan --model llama-1b --gpu h200 --gpus 8      parameters, memory, operations, days
  textmill train work --plan --model nano-25m --mfu 0.5           for the vocabulary and the tokens of a run

models: tiny, nano-25m, gpt2-124m, llama-350m, llama-1b, cs336
"""
UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def add_commands(commands: Any) -> None:
    """Adds ``train``."""
    raw = argparse.RawDescriptionHelpFormatter
    train = commands.add_parser(
        "train",
        help="train a model on the tokens of a run, or on a folder of shards; or plan it",
        epilog=TRAIN_EXAMPLES,
        formatter_class=raw,
    )
    train.add_argument(
        "source", metavar="RUN_OR_SHARDS", nargs="?", help="workspace, WORKSPACE:NAME, or a folder of token shards"
    )
    train.add_argument("--out", default="model", help="folder for checkpoint and log (default: %(default)s)")
    train.add_argument("--model", default="tiny", help="shape and recipe (default: %(default)s)")
    train.add_argument("--steps", type=int, help="optimizer steps (default: 300; in a plan, those of the model)")
    train.add_argument("--plan", action="store_true", help="say what it would take, and stop")
    train.add_argument("--gpu", default="H200", metavar="NAME", help="of the plan (default: %(default)s)")
    train.add_argument("--gpus", type=positive, default=1, metavar="N", help="of the plan (default: %(default)s)")
    train.add_argument(
        "--mfu", type=float, default=0.4, help="share of the GPUs' peak that the plan counts on (default: %(default)s)"
    )
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> None:
    if options.plan:
        _print_plan(options)
        return
    if options.source is None:
        raise UserError("nothing to train on; give a run or a folder of token shards, or --plan")
    from pathlib import Path

    from textmill.pipeline.trace import tokenizer_behind
    from textmill.pipeline.workspace import tokens_folder
    from textmill.progress import training_progress
    from textmill.tokenize.shards import TOKENIZER_FILE, TokenShards
    from textmill.train.config import preset, require_torch

    require_torch()
    folder = tokens_folder(options.source)
    train_shards, val_shards = TokenShards.open(folder, "train"), TokenShards.open(folder, "val")
    steps = 300 if options.steps is None else options.steps
    recipe = preset(options.model).sized(vocab_size=train_shards.vocab_size, steps=steps)
    from textmill.train.loop import train  # after the check, because it imports torch

    with training_progress(steps) as on_step:
        result = train(recipe.model, recipe.train, train_shards, val_shards, Path(options.out), on_step=on_step)
    if tokenizer := tokenizer_behind(folder):
        tokenizer.save(Path(options.out) / TOKENIZER_FILE)  # so that the model can be used wherever its folder goes
    val_loss = "not measured" if result.last.val_loss is None else f"{result.last.val_loss:.4f}"
    print(f"step {result.last.step}: loss {result.last.loss:.4f}, validation loss {val_loss}; {result.checkpoint}")


def _print_plan(options: argparse.Namespace) -> None:
    from textmill.terminal import console, table
    from textmill.train.accounting import Plan, gpu_named

    if not 0 < options.mfu <= 1:
        raise UserError(f"--mfu {options.mfu}: a share of the peak, above 0 and at most 1")
    gpu, recipe, n_available = gpu_named(options.gpu), *_planned(options)
    rows = [
        *_model_rows(Plan(recipe)),
        *_run_rows(Plan(recipe), gpu, options.gpus, options.mfu, n_available),
        *_memory_rows(Plan(recipe).memory(options.gpus), gpu),
    ]
    console().print(table(f"plan of {options.model}", ["what", "how much", "note"], rows, max_chars=80))


def _planned(options: argparse.Namespace) -> tuple[Preset, int | None]:
    """The preset, with the vocabulary of the shards where they are given, and how many training tokens they have."""
    from textmill.train.config import preset

    recipe = preset(options.model)
    steps = recipe.train.steps if options.steps is None else options.steps
    if options.source is None:
        return recipe.sized(vocab_size=recipe.model.vocab_size, steps=steps), None
    from textmill.pipeline.workspace import tokens_folder
    from textmill.tokenize.shards import TokenShards

    shards = TokenShards.open(tokens_folder(options.source), "train")
    return recipe.sized(vocab_size=shards.vocab_size, steps=steps), shards.n_tokens


def _model_rows(plan: Plan) -> Iterator[list[object]]:
    from textmill.train.accounting import flops_per_token, matmul_parameters, n_parameters

    model = plan.preset.model
    heads = f"{model.n_heads} heads" + (f", {model.kv_heads} of keys" if model.kv_heads != model.n_heads else "")
    yield ["layers", str(model.n_layers), f"of width {model.d_model:,}, {heads}, hidden {model.d_ff:,}"]
    yield ["vocabulary", f"{model.vocab_size:,}", f"context of {model.context_length:,} tokens"]
    yield ["parameters", _short(n_parameters(model)), f"{_short(matmul_parameters(model))} in matrix products (N)"]
    yield ["operations a token", _short(flops_per_token(model)), "6·N + 12·layers·width·context (PaLM's convention)"]


def _run_rows(plan: Plan, gpu: Gpu, n_gpus: int, mfu: float, n_available: int | None) -> Iterator[list[object]]:
    from textmill.train.accounting import TOKENS_PER_PARAMETER, optimal_tokens

    train, best = plan.preset.train, optimal_tokens(plan.preset.model)
    batch = f"{train.steps:,} steps of {train.batch_size:,} × {plan.preset.model.context_length:,}"
    epochs = "" if not n_available else f", {plan.n_tokens / n_available:.2f} times those there"
    yield ["tokens", _short(plan.n_tokens), batch + epochs]
    yield ["operations", _short(plan.flops), ""]
    yield ["days", f"{plan.days(gpu, n_gpus, mfu):.3g}", f"on {n_gpus} {gpu.name} at {mfu:.0%} of {_peak(gpu)}"]
    yield ["optimal tokens", _short(best), f"{TOKENS_PER_PARAMETER} a parameter (Chinchilla)"]
    yield ["days for these", f"{plan.days(gpu, n_gpus, mfu, best):.3g}", ""]


def _memory_rows(memory: Memory, gpu: Gpu) -> Iterator[list[object]]:
    fits = "fits" if memory.total_bytes <= gpu.memory_bytes else "does not fit: a smaller batch at a time"
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    yield ["memory a GPU", _bytes(memory.total_bytes), f"of {_bytes(gpu.memory_bytes)}: {fits} (estimate)"]
    yield ["  weights, optimizer", _bytes(state), "float32, with gradients; a copy of the weights in bfloat16"]
    yield ["  activations", _bytes(memory.activations_bytes), "all of a step's sequences at once"]
    yield ["  logits", _bytes(memory.logits_bytes), ""]


def _peak(gpu: Gpu) -> str:
    return f"{gpu.peak_flops / 1e12:,.0f} TFLOP/s"


def _bytes(n_bytes: float) -> str:
    from textmill.terminal import size

    return size(n_bytes)


def _short(n: float) -> str:
    """Three digits and a unit: 124 M."""
    scale, unit = next(((scale, unit) for scale, unit in UNITS if n >= scale), (1.0, ""))
    return f"{n / scale:.3g} {unit}".rstrip()
