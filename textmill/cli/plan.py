"""``textmill train --plan``: what a training would take, before anything starts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from textmill.cli.recipe import chosen_recipe
from textmill.errors import UserError

if TYPE_CHECKING:
    from textmill.train.accounting import Gpu, Plan
    from textmill.train.config import Preset, TrainConfig

TIMES = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))
UNITS = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_plan(options: argparse.Namespace) -> None:
    """Errors: `UserError` for a share that is none, or a recipe that cannot be."""
    from textmill.terminal import console, table
    from textmill.train.accounting import Plan, gpu_named

    if not 0 < options.mfu <= 1:
        raise UserError(f"--mfu {options.mfu}: a share of the peak, above 0 and at most 1")
    gpu, recipe, n_available = gpu_named(options.gpu), *_planned(options)
    rows = [
        *_model_rows(Plan(recipe)),
        *_run_rows(Plan(recipe), gpu, options.gpus, options.mfu, n_available),
        *_memory_rows(Plan(recipe), gpu, options.gpus),
    ]
    console().print(table(f"plan of {options.model}", ["what", "how much", "note"], rows, max_chars=80))


def _planned(options: argparse.Namespace) -> tuple[Preset, int | None]:
    """The preset, with the vocabulary of the shards where they are given, and how many training tokens they have."""
    if options.source is None:
        return chosen_recipe(options), None
    from textmill.pipeline.workspace import tokens_folder
    from textmill.tokenize.shards.token_shards import TokenShards

    shards = TokenShards.open(tokens_folder(options.source), "train")
    return chosen_recipe(options, vocab_size=shards.vocab_size), shards.n_tokens


def _model_rows(plan: Plan) -> Iterator[list[object]]:
    from textmill.train.accounting import flops_per_token, matmul_parameters, n_parameters

    model = plan.preset.model
    heads = f"{model.n_heads} heads" + (f", {model.kv_heads} of keys" if model.kv_heads != model.n_heads else "")
    yield ["layers", str(model.n_layers), f"of width {model.d_model:,}, {heads}, hidden {model.d_ff:,}"]
    yield ["vocabulary", f"{model.vocab_size:,}", f"context of {model.context_length:,} tokens"]
    yield ["parameters", short(n_parameters(model)), f"{short(matmul_parameters(model))} in matrix products (N)"]
    yield ["operations a token", short(flops_per_token(model)), "6·N + 12·layers·width·context (PaLM's convention)"]


def _run_rows(plan: Plan, gpu: Gpu, n_gpus: int, mfu: float, n_available: int | None) -> Iterator[list[object]]:
    from textmill.train.accounting import TOKENS_PER_PARAMETER, optimal_tokens

    train, best = plan.preset.train, optimal_tokens(plan.preset.model)
    batch = f"{train.steps:,} steps of {train.batch_size:,} × {plan.preset.model.context_length:,}"
    epochs = "" if not n_available else f", {plan.n_tokens / n_available:.2f} times those there"
    yield ["tokens", short(plan.n_tokens), batch + epochs]
    yield ["operations", short(plan.flops), ""]
    yield ["time", _duration(plan.seconds(gpu, n_gpus, mfu)), f"on {n_gpus} {gpu.name} at {mfu:.0%} of {_peak(gpu)}"]
    yield ["optimal tokens", short(best), f"{TOKENS_PER_PARAMETER} a parameter (Chinchilla)"]
    yield ["time for these", _duration(plan.seconds(gpu, n_gpus, mfu, best)), ""]


def _memory_rows(plan: Plan, gpu: Gpu, n_gpus: int) -> Iterator[list[object]]:
    memory, recipe, rows = plan.memory(n_gpus), plan.preset.train, plan.rows_at_once(n_gpus)
    state = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes
    fits = "fits" if memory.total_bytes <= gpu.memory_bytes else f"does not fit: {_remedy(recipe, state, gpu)}"
    yield ["memory a GPU", _bytes(memory.total_bytes), f"(estimate) of {_bytes(gpu.memory_bytes)}: {fits}"]
    yield ["  weights, optimizer", _bytes(state), "float32, with gradients; a copy of the weights in bfloat16"]
    again = ", computed again in the backward pass" if recipe.recompute == "blocks" else ""
    yield ["  activations", _bytes(memory.activations_bytes), f"of {rows:,} sequences at once{again}"]
    yield ["  logits", _bytes(memory.logits_bytes), ""]


def _remedy(recipe: TrainConfig, state_bytes: int, gpu: Gpu) -> str:
    """What to set when there is too little memory."""
    if state_bytes > gpu.memory_bytes:
        return "a smaller model" if recipe.parallel == "fsdp" else "parallel=fsdp on more GPUs"
    return "lower micro_batch_size" + (", or recompute=blocks" if recipe.recompute == "none" else "")


def _peak(gpu: Gpu) -> str:
    return f"{gpu.peak_flops / 1e12:,.0f} TFLOP/s"


def _bytes(n_bytes: float) -> str:
    from textmill.terminal import size

    return size(n_bytes)


def _duration(seconds: float) -> str:
    scale, unit = next(((scale, unit) for scale, unit in TIMES if seconds >= scale), (1, "s"))
    return f"{_three_digits(seconds / scale)} {unit}"


def short(n: float) -> str:
    """Three digits and a unit: 124 M."""
    scale, unit = next(((scale, unit) for scale, unit in UNITS if n >= 0.9995 * scale), (1.0, ""))
    return f"{_three_digits(n / scale)} {unit}".rstrip()


def _three_digits(n: float) -> str:
    """More before the point, if there are."""
    return f"{n:,.0f}" if n >= 999.5 else f"{n:.3g}"
