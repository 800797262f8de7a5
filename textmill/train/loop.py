"""The training loop: steps, evaluations, log lines and checkpoints, and how a run is taken up again.

In the folder of a run, ``log.jsonl`` has one line a step (`StepLog`) and ``checkpoint.pt`` the last kept state. A run
that finds a checkpoint of its own configuration there goes on from it; what the log said after that step is cut off.
On a CPU with the same number of threads, an interrupted run ends with the same bits as an uninterrupted one. A step
whose loss or gradient is not finite stops the run, and no checkpoint holds its weights.

A GPU runs ahead of the program: losses are read every ``log_every`` steps, and then those of all steps but the last,
so nobody waits. Steps that stand out (`textmill.train.watch`) are written to ``spikes.jsonl`` with their documents.

Checkpoints are written in the background (`textmill.train.snapshot`). A step's line is in the log before its checkpoint
is begun, and the old checkpoint stays until the new one is whole: a process may be killed at any instant, and the steps
since its last whole checkpoint are done again. An interrupt (Ctrl-C) passes through once that one is written.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from textmill.errors import UserError, WorkspaceError
from textmill.train.accounting import mfu_frac
from textmill.train.checkpoint import DataIdentity
from textmill.train.choices import EncodedTask
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import StepBatch, TokenSource, TrainBatches
from textmill.train.initial import InitialWeights
from textmill.train.parallel import Ranks, joined
from textmill.train.runlog import LineFile
from textmill.train.snapshot import Snapshots
from textmill.train.sources import Records, Sources, means_by_source, step_batch
from textmill.train.trainer import Reading, Trainer, device_named
from textmill.train.validation import Evaluation, Validation
from textmill.train.watch import WINDOW_STEPS, Spike, Watch

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"
SPIKES_NAME = "spikes.jsonl"
GPU_LOG_EVERY = 10  # steps


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
    grad_norm: float = math.nan  # before clipping
    skipped: bool = False  # a spike that changed no weights
    tokens_per_s: float | None = None  # of the steps read together with this one, without evaluations and checkpoints
    mfu_frac: float | None = None  # by the convention of `textmill.train.accounting`; None for an unknown GPU
    loss_by_source: dict[str, float] = field(default_factory=dict)  # where there is more than one
    val_loss_by_source: dict[str, float] = field(default_factory=dict)
    bits_per_byte_by_source: dict[str, float] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)  # of tasks, by name, where there was an evaluation
    normalized_accuracy: dict[str, float] = field(default_factory=dict)


UNTRAINED = StepLog(step=0, loss=math.nan, val_loss=None, bits_per_byte=None, lr=0.0, tokens=0, seconds=0.0)


@dataclass(frozen=True)
class TrainResult:
    """What became of a run."""

    last: StepLog
    n_parameters: int
    checkpoint: Path
    began_at: int = field(default=0, compare=False)  # steps that were done before this attempt


def train(
    model_config: ModelConfig,
    train_config: TrainConfig,
    train_shards: TokenSource,
    val_shards: TokenSource | None,
    out: Path,
    *,
    tasks: Sequence[EncodedTask] = (),
    on_step: Callable[[StepLog], None] | None = None,
    init: InitialWeights | None = None,
) -> TrainResult:
    """Trains to the last step of ``train_config``, or goes on from the checkpoint in ``out``.

    Weights are drawn, unless ``init`` gives them.
    ``val_shards`` may be None or too small for one sequence; then nothing is evaluated, and the log says so.
    ``tasks`` of multiple choice are evaluated whenever the validation split is.
    ``on_step`` is called after each step, when its log line is on disk; its checkpoint may still be on its way there.
    Errors: `UserError` for too few tokens, a tokenizer that does not fit, or a loss that is no longer finite;
    `WorkspaceError` when ``out`` holds a run of another configuration; `EnvironmentFault` for a missing device.
    """
    _check_tokenizers(model_config, train_shards, val_shards)
    if train_config.n_threads is not None:
        torch.set_num_threads(train_config.n_threads)
    with joined(train_config.parallel, device_named(train_config.device)) as ranks:
        run = _Run(model_config, train_config, train_shards, val_shards, out, ranks, tasks, init)
        _make_folder(out)
        last = run.go(on_step or (lambda _: None))
    return TrainResult(last, run.trainer.model.n_parameters, out / CHECKPOINT_NAME, run.began_at)


@dataclass
class _Step:
    """A step whose measurements have been read, on its way to the log."""

    step: int
    loss: float
    grad_norm: float
    by_source: list[float]
    spike: Spike | None


class _Run:
    """One attempt of a run, from its checkpoint to its end."""

    def __init__(
        self,
        model: ModelConfig,
        config: TrainConfig,
        train_shards: TokenSource,
        val_shards: TokenSource | None,
        out: Path,
        ranks: Ranks,
        tasks: Sequence[EncodedTask],
        init: InitialWeights | None,
    ) -> None:
        self.config, self.ranks, self.out = config, ranks, out
        self.sources = Sources.of(train_shards)
        self.records = Records.of(train_shards)
        self.batches = TrainBatches.of(train_shards, model, config, ranks.rank, ranks.n_ranks)
        self.validation = Validation.of(val_shards, model, config, self.sources, tasks)
        own = self.sources.names if self.sources else ()
        self.source_names = self.validation.source_names or own  # which begin with our own: one may be held out whole
        self.trainer = Trainer(model, config, DataIdentity.of(train_shards), ranks, len(self.source_names), init)
        self.log_every = _steps_between_looks(config, self.trainer.device)
        self.pending: list[Reading] = []
        self.measured: list[_Step] = []

    def go(self, on_step: Callable[[StepLog], None]) -> StepLog:
        """All steps that are left; the log line of the last one."""
        path, self.on_step = self.out / CHECKPOINT_NAME, on_step
        self.last = StepLog(**self.trainer.resume(path)) if path.exists() else UNTRAINED
        self.began_at = self.last.step
        self.log = LineFile(self.out / LOG_NAME, self.last.step, writes=self.ranks.is_first)
        self.spikes = LineFile(self.out / SPIKES_NAME, self.last.step, writes=self.ranks.is_first, when_needed=True)
        self.watch = Watch(self.config.spike_z, _late_values(self.log.kept))
        self.began_s = time.perf_counter() - self.last.seconds
        self.pace = _Pace(self.batches.n_samples_before(self.last.step))
        self.ranks.wait()  # all have read what the first one is about to cut
        with _no_collections(), self.log, self.spikes, Snapshots(path, self.ranks) as self.snapshots:
            if self.last.step == 0 and not self.validation.batches:
                note = "nothing to evaluate: the validation set does not hold one sequence"
                self.log.write({"step": 0, "note": note})
            for step, batch in self._coming():
                self._step(step, batch)
        return self.last

    def _step(self, step: int, batch: StepBatch) -> None:
        config, is_last = self.config, step == self.config.steps
        self.pending.append(self.trainer.gradients(step, batch, self.batches.n_targets_at(step - 1)))
        if self.log_every == 1:
            self._read(self.pending)
        if not (config.skip_spikes and self.measured[-1].spike):
            self.trainer.apply(step)
        evaluates = self.validation.measures and (is_last or step % config.eval_every == 0)
        keeps = is_last or step % config.checkpoint_every == 0
        if evaluates or keeps:
            self._read(self.pending)
            gc.collect()
        elif step % self.log_every == 0:
            self._read(self.pending[:-1])
        self._write(self.validation.evaluate(self.trainer, step) if evaluates else Evaluation(), keeps)

    def _read(self, readings: list[Reading]) -> None:
        """Takes over what these steps measured. Errors: `UserError` when a loss or gradient is not finite."""
        if not readings:
            return
        self.pending = self.pending[len(readings) :]
        for reading in readings:
            loss, grad_norm, *by_source = reading.read()
            spike = self.watch.see(reading.step, loss, grad_norm)
            if spike is not None:
                self._note(spike)
            self._require_finite("loss", loss, reading.step)
            self._require_finite("gradient norm", grad_norm, reading.step)
            self.measured.append(_Step(reading.step, loss, grad_norm, by_source, spike))
        self.samples_per_s = self.pace.per_s(self.batches.n_samples_before(self.measured[-1].step))

    def _write(self, evaluation: Evaluation, keeps: bool) -> None:
        """Log lines for all steps that were read; the newest one has the ``evaluation``."""
        if not self.measured:
            return
        model, n_gpus = self.trainer.model.config, self.ranks.n_ranks
        tokens_per_s = self.samples_per_s * model.context_length
        share = mfu_frac(model, tokens_per_s, _name_of(self.trainer.device), n_gpus)
        for done in self.measured:
            is_newest = done is self.measured[-1]
            self.last = StepLog(
                step=done.step,
                loss=done.loss,
                lr=self.trainer.learning_rate(done.step),
                tokens=self.batches.n_samples_before(done.step) * model.context_length,
                seconds=round(time.perf_counter() - self.began_s, 3),
                grad_norm=done.grad_norm,
                skipped=self.config.skip_spikes and done.spike is not None,
                tokens_per_s=round(tokens_per_s, 1),
                mfu_frac=None if share is None else round(share, 4),
                loss_by_source=means_by_source(self.source_names, done.by_source),
                **asdict(evaluation if is_newest else Evaluation()),
            )
            self.log.write(asdict(self.last))
            if is_newest and keeps:
                self.snapshots.keep(self.trainer.state(self.last.step, asdict(self.last)), before=self.log.sync)
            self.on_step(self.last)
        self.measured.clear()
        self.pace.restart(self.batches.n_samples_before(self.last.step))

    def _coming(self) -> Iterator[tuple[int, StepBatch]]:
        """The batches of the steps that are left; each is read while the step before is computed."""
        steps = range(self.last.step + 1, self.config.steps + 1)
        with ThreadPoolExecutor(1, "batches") as reader:
            coming = reader.submit(self._batch, steps.start)
            for step in steps:
                batch = coming.result()
                if step < self.config.steps:
                    coming = reader.submit(self._batch, step + 1)
                yield step, batch

    def _batch(self, step: int) -> StepBatch:
        numbers, masked = self.batches.chunk_numbers(step - 1), self.batches.masked
        return step_batch(self.batches.samples, numbers, self.sources, masked=masked)

    def _note(self, spike: Spike) -> None:
        """Writes a spike down, with the documents of its whole batch."""
        ids = self.records.ids_in(self.batches, spike.step) if self.records else []
        self.spikes.write({**asdict(spike), "doc_ids": ids})

    def _require_finite(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"the {what} is {value} at step {step}; the last checkpoint stays; {SPIKES_NAME} names the step's "
                f"documents; lower learning_rate ({self.config.learning_rate}) or raise warmup_steps"
            )


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """No search for garbage in the midst of a step; what is there before is left out of those at its end."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _late_values(lines: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Loss and gradient norm of the last steps in a log."""
    return [(line["loss"], line["grad_norm"]) for line in lines[-WINDOW_STEPS:] if "grad_norm" in line]


class _Pace:
    """Samples a second since the last look at the clock."""

    def __init__(self, n_samples: int) -> None:
        self.restart(n_samples)

    def restart(self, n_samples: int) -> None:
        self._n_samples, self._began_s = n_samples, time.perf_counter()

    def per_s(self, n_samples: int) -> float:
        return (n_samples - self._n_samples) / max(1e-9, time.perf_counter() - self._began_s)


def _steps_between_looks(config: TrainConfig, device: torch.device) -> int:
    if config.skip_spikes:
        return 1  # a step is judged before it is applied
    return config.log_every or (GPU_LOG_EVERY if device.type == "cuda" else 1)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


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


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{out}: cannot be used as the folder of a run: {error.strerror}") from error
