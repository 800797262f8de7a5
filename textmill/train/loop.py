"""The training loop: steps, evaluations, log lines and checkpoints, and how a run is taken up again.

In the folder of a run, ``log.jsonl`` has one line a step (`StepLog`) and ``checkpoint.pt`` the last kept state. A run
that finds a checkpoint of its own configuration there goes on from it; what the log said after that step is cut off.
On a CPU with the same number of threads, an interrupted run ends with the same bits as an uninterrupted one. A step
whose loss or gradient is not finite is never applied, so a checkpoint never holds broken weights.

An interrupt (Ctrl-C) passes through; the last checkpoint stays, and the steps since then are done again.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import torch

from textmill.errors import EnvironmentFault, UserError, WorkspaceError
from textmill.train import checkpoint
from textmill.train.checkpoint import Checkpoint, DataIdentity
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import Batch, TokenSource, TrainBatches, eval_batches
from textmill.train.functional import cross_entropy
from textmill.train.model import Transformer
from textmill.train.optim import adamw, clip_gradients, cosine_learning_rate, set_learning_rate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"
# A resumed run may change these: they decide where it runs and when it reports, not what it learns.
FREE_ON_RESUME = ("device", "n_threads", "eval_every", "checkpoint_every")


@dataclass(frozen=True)
class StepLog:
    """One line of the log."""

    step: int  # steps finished
    loss: float  # nats a token, over the batch of this step, before its update
    val_loss: float | None  # nats a token on the validation batches, where they were evaluated after this step
    bits_per_byte: float | None  # val_loss a UTF-8 byte of text: comparable between tokenizers
    lr: float  # the learning rate of this step
    tokens: int  # trained on so far
    seconds: float  # spent so far, earlier attempts included


UNTRAINED = StepLog(step=0, loss=math.nan, val_loss=None, bits_per_byte=None, lr=0.0, tokens=0, seconds=0.0)


@dataclass(frozen=True)
class TrainResult:
    """What became of a run."""

    last: StepLog
    n_parameters: int
    checkpoint: Path


def train(
    model_config: ModelConfig,
    train_config: TrainConfig,
    train_shards: TokenSource,
    val_shards: TokenSource | None,
    out: Path,
    *,
    on_step: Callable[[StepLog], None] | None = None,
) -> TrainResult:
    """Trains to the last step of ``train_config``, or goes on from the checkpoint in ``out``.

    ``val_shards`` may be None or too small for one sequence; then nothing is evaluated, and the log says so.
    ``on_step`` is called after each step, when its log line and checkpoint are on disk.
    Errors: `UserError` for too few tokens, a tokenizer that does not fit, or a loss that is no longer finite;
    `WorkspaceError` when ``out`` holds a run of another configuration; `EnvironmentFault` for a missing device.
    """
    _check_tokenizers(model_config, train_shards, val_shards)
    if train_config.n_threads is not None:
        torch.set_num_threads(train_config.n_threads)
    batches = TrainBatches(train_shards, model_config.context_length, train_config.batch_size, train_config.seed)
    validation = Validation.of(val_shards, model_config, train_config)
    trainer = Trainer(model_config, train_config, DataIdentity.of(train_shards))
    _make_folder(out)
    checkpoint_path = out / CHECKPOINT_NAME
    last = trainer.resume(checkpoint_path) if checkpoint_path.exists() else UNTRAINED
    started_s = time.perf_counter() - last.seconds

    with _open_log(out / LOG_NAME, last.step) as log:
        if last.step == 0 and not validation.batches:
            _write_line(log, {"step": 0, "note": "nothing to evaluate: the validation set does not hold one sequence"})
        for step in range(last.step + 1, train_config.steps + 1):
            is_last = step == train_config.steps
            loss = trainer.step(step, batches.at(step - 1))
            due = bool(validation.batches) and (is_last or step % train_config.eval_every == 0)
            val_loss = trainer.evaluate(step, validation.batches) if due else None
            last = StepLog(
                step=step,
                loss=loss,
                val_loss=val_loss,
                bits_per_byte=validation.bits_per_byte(val_loss),
                lr=trainer.learning_rate(step),
                tokens=step * train_config.batch_size * model_config.context_length,
                seconds=round(time.perf_counter() - started_s, 3),
            )
            _write_line(log, asdict(last))
            if is_last or step % train_config.checkpoint_every == 0:
                trainer.keep(last, checkpoint_path)
            if on_step is not None:
                on_step(last)
    return TrainResult(last, trainer.model.n_parameters, checkpoint_path)


@dataclass(frozen=True)
class Validation:
    """The batches of every evaluation, and how many tokens the tokenizer makes of a byte."""

    batches: list[Batch]
    tokens_per_byte: float | None

    @classmethod
    def of(cls, shards: TokenSource | None, model_config: ModelConfig, train_config: TrainConfig) -> Validation:
        if shards is None:
            return cls([], None)
        batches = eval_batches(shards, model_config.context_length, train_config.batch_size, train_config.eval_batches)
        return cls(batches, shards.n_tokens / shards.n_bytes if shards.n_bytes else None)

    def bits_per_byte(self, val_loss: float | None) -> float | None:
        """Bits to code one byte of the documents, their end tokens included; taken over the split's mean token."""
        if val_loss is None or self.tokens_per_byte is None:
            return None
        return val_loss / math.log(2) * self.tokens_per_byte


class Trainer:
    """A model, its optimizer and its recipe on one device: single steps, evaluations, checkpoints."""

    def __init__(self, model_config: ModelConfig, config: TrainConfig, data: DataIdentity) -> None:
        self.config = config
        self.data = data
        self.device = device_named(config.device)
        self.model = Transformer(model_config, config.seed).to(self.device)
        self.optimizer = adamw(self.model, config)

    def learning_rate(self, step: int) -> float:
        """Of the update that makes step ``step`` (from 1)."""
        return cosine_learning_rate(
            step,
            highest=self.config.learning_rate,
            lowest=self.config.min_learning_rate,
            warmup_steps=self.config.warmup_steps,
            total_steps=self.config.steps,
        )

    def step(self, step: int, batch: Batch) -> float:
        """Trains on ``batch``; the loss before the update. Errors: `UserError` when loss or gradient is not finite."""
        self.model.train()
        if self.model.config.dropout:
            torch.manual_seed(step_seed(self.config.seed, step))
        loss = self._loss(batch)
        torch.autograd.backward(loss)
        norm = clip_gradients(self.model.parameters(), self.config.grad_clip)
        self._require_finite("loss", loss.item(), step)
        self._require_finite("gradient norm", norm.item(), step)
        set_learning_rate(self.optimizer, self.learning_rate(step))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.inference_mode()
    def evaluate(self, step: int, batches: Sequence[Batch]) -> float:
        """Mean loss over every target of ``batches``, in nats a token. Errors: `UserError` when it is not finite."""
        self.model.eval()
        n_targets = sum(targets.numel() for _, targets in batches)
        total = sum(self._loss(batch).item() * batch[1].numel() for batch in batches)
        self._require_finite("validation loss", total, step)
        return total / n_targets

    def keep(self, last: StepLog, path: Path) -> None:
        """Writes the checkpoint of the step in ``last``."""
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        checkpoint.save(
            Checkpoint(self.model.config, self.config, self.data, last.step, asdict(last), model, optimizer), path
        )

    def resume(self, path: Path) -> StepLog:
        """Takes over the state kept in ``path``; the log line of its step. Errors: `WorkspaceError` when it is the
        state of another run."""
        kept = checkpoint.load(path, self.device)
        differences = [
            *_differences(kept.model_config, self.model.config),
            *_differences(kept.train_config, self.config),
            *_differences(kept.data, self.data),
        ]
        if differences:
            raise WorkspaceError(
                f"{path} belongs to another run: {'; '.join(differences)}; use the same values or another folder"
            )
        self.model.load_state_dict(kept.model)
        self.optimizer.load_state_dict(kept.optimizer)
        return StepLog(**kept.last_log)

    def _loss(self, batch: Batch) -> torch.Tensor:
        inputs, targets = (part.to(self.device, non_blocking=True) for part in batch)
        with _precision(self.device, self.config.dtype):
            logits = self.model(inputs)
        return cross_entropy(logits, targets)

    def _require_finite(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"the {what} is {value} at step {step}; the step is not applied and the last checkpoint stays; "
                f"lower learning_rate ({self.config.learning_rate}) or raise warmup_steps"
            )


def step_seed(seed: int, step: int) -> int:
    """What dropout of a step is drawn from, so that a resumed run draws the same."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])


def device_named(name: str) -> torch.device:
    """One of the `DEVICES`. Errors: `EnvironmentFault` when there is no GPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFault("device is cuda, but torch finds no GPU here; use device=cpu or auto")
    return torch.device(name)


def _precision(device: torch.device, dtype: str) -> torch.autocast:
    """Matrix products in bfloat16 where asked for, or by default on a GPU; all else stays in float32."""
    in_bfloat16 = dtype == "bfloat16" or (dtype == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_bfloat16)


def _check_tokenizers(model_config: ModelConfig, train_shards: TokenSource, val_shards: TokenSource | None) -> None:
    if model_config.vocab_size < train_shards.vocab_size:
        raise UserError(
            f"the model has a vocabulary of {model_config.vocab_size} ids, but the token shards use "
            f"{train_shards.vocab_size}; set vocab_size to at least that"
        )
    if val_shards is not None and val_shards.tokenizer_sha256 != train_shards.tokenizer_sha256:
        raise UserError(
            f"training and validation shards come from two tokenizers ({train_shards.tokenizer_sha256[:12]} and "
            f"{val_shards.tokenizer_sha256[:12]}); write both with one"
        )


def _differences(kept: DataclassInstance, asked: DataclassInstance) -> list[str]:
    """``name was A, now B`` for every field that differs and matters."""
    before, now = asdict(kept), asdict(asked)
    return [
        f"{name} was {before[name]}, now {now[name]}"
        for name in now
        if name not in FREE_ON_RESUME and before[name] != now[name]
    ]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{out}: cannot be used as the folder of a run: {error.strerror}") from error


def _open_log(path: Path, step: int) -> TextIO:
    """The log, open for the line after ``step``: what a stopped attempt wrote beyond it is cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if step and path.exists() else []
    kept = itertools.takewhile(lambda line: _is_up_to(step, line), lines)
    stream = path.open("w", encoding="utf-8")
    stream.writelines(kept)
    return stream


def _is_up_to(step: int, line: str) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, TypeError, KeyError):  # the attempt was stopped while it wrote this line
        return False


def _write_line(log: TextIO, values: dict[str, object]) -> None:
    log.write(json.dumps(values, allow_nan=False) + "\n")
    log.flush()
