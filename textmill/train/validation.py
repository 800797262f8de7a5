"""Evaluation during training: the same chunks of the validation split each time, as a whole and by source, and tasks of
multiple choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from textmill.errors import UserError
from textmill.train.choices import EncodedTask
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import Chunks, StepBatch, TokenSource, eval_numbers
from textmill.train.sources import Sources, means_by_source, step_batch
from textmill.train.trainer import Trainer


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats a token, and in bits a UTF-8 byte of text: comparable between tokenizers."""

    val_loss: float | None = None
    bits_per_byte: float | None = None
    val_loss_by_source: dict[str, float] = field(default_factory=dict)
    bits_per_byte_by_source: dict[str, float] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)  # of tasks of multiple choice, by name
    normalized_accuracy: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """The batches and tasks of every evaluation, and how many tokens the tokenizer makes of a byte, by source too."""

    batches: list[StepBatch]
    tokens_per_byte: float | None = None
    source_names: Sequence[str] = ()
    tokens_per_byte_of: Mapping[str, float] = field(default_factory=dict)
    tasks: Sequence[EncodedTask] = ()

    @classmethod
    def of(
        cls,
        shards: TokenSource | None,
        model: ModelConfig,
        config: TrainConfig,
        sources: Sources | None,
        tasks: Sequence[EncodedTask] = (),
    ) -> Validation:
        """``sources``: those of the training set, or None when they are not told apart."""
        if shards is None:
            return cls([], tasks=tasks)
        chunks = Chunks(shards, model.context_length)
        own = None if sources is None else Sources(shards, sources.names)  # type: ignore[arg-type]
        batches = [
            step_batch(chunks, numbers, own, masked=config.documents != "across")
            for numbers in eval_numbers(len(chunks), config.batch_size, config.eval_batches)
        ]
        overall = shards.n_tokens / shards.n_bytes if shards.n_bytes else None
        if own is None:
            return cls(batches, overall, tasks=tasks)
        return cls(batches, overall, own.names, own.tokens_per_byte(), tasks)

    @property
    def measures(self) -> bool:
        """Whether there is anything to evaluate."""
        return bool(self.batches or self.tasks)

    def evaluate(self, trainer: Trainer, step: int) -> Evaluation:
        """What ``trainer``'s model makes of them. Errors: `UserError` when the loss is not finite."""
        losses = self._losses(trainer, step) if self.batches else Evaluation()
        found = [task.accuracy(trainer.sums_of_losses(task.sequences)) for task in self.tasks]
        return replace(
            losses,
            accuracy={task.name: task.accuracy for task in found},
            normalized_accuracy={task.name: task.normalized for task in found if task.normalized is not None},
        )

    def _losses(self, trainer: Trainer, step: int) -> Evaluation:
        total, n_targets, *by_source = trainer.evaluate(self.batches)
        if not math.isfinite(total):
            raise UserError(f"the validation loss is {total} at step {step}; the last checkpoint stays")
        losses = means_by_source(self.source_names, by_source)
        bits = {name: bits_per_byte(loss, self.tokens_per_byte_of.get(name)) for name, loss in losses.items()}
        loss = total / n_targets
        return Evaluation(
            loss,
            bits_per_byte(loss, self.tokens_per_byte),
            losses,
            {name: value for name, value in bits.items() if value is not None},
        )


def bits_per_byte(loss: float, tokens_per_byte: float | None) -> float | None:
    """Bits to code one byte of the documents, their end tokens included; taken over the split's mean token."""
    return None if tokens_per_byte is None else loss / math.log(2) * tokens_per_byte
