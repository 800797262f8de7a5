"""One file that holds a run: weights, optimizer, the step, and what they were made from.

A checkpoint is complete or absent: it is written beside its name, synced, and renamed. It is read with torch's
restricted unpickler, so a file from a stranger cannot run code. There is no random state to keep: initial weights come
from the seed, and the place in the data is a function of the step. The digest of the tokenizer travels along, so that a
model never reads ids that another tokenizer made.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import TokenSource
from textmill.train.model import Transformer

FORMAT = "textmill-checkpoint-1"


@dataclass(frozen=True)
class DataIdentity:
    """What tells one training set from another, without reading it."""

    tokenizer_sha256: str
    n_docs: int
    n_tokens: int
    n_bytes: int

    @classmethod
    def of(cls, source: TokenSource) -> DataIdentity:
        return cls(source.tokenizer_sha256, source.n_docs, source.n_tokens, source.n_bytes)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` steps."""

    model_config: ModelConfig
    train_config: TrainConfig
    data: DataIdentity
    step: int
    last_log: dict[str, Any]  # the log line of this step
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Replaces ``path`` by ``checkpoint`` in one step. Errors: `EnvironmentFault` when it cannot be written."""
    parts = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    for name in ("model_config", "train_config", "data"):
        parts[name] = asdict(parts[name])
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as stream:
            torch.save({"format": FORMAT, **parts}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except (OSError, RuntimeError) as error:
        raise EnvironmentFault(f"{path}: the checkpoint cannot be written: {error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def load(path: Path, device: torch.device) -> Checkpoint:
    """Reads ``path``, tensors onto ``device``. Errors: `InputError` when it is missing, damaged or something else."""
    try:
        parts = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a readable checkpoint; remove it or name another one") from error
    if not isinstance(parts, dict) or parts.pop("format", None) != FORMAT:
        raise InputError(f"{path}: not a checkpoint of this version ({FORMAT})")
    try:
        parts["model_config"] = ModelConfig(**parts["model_config"])
        parts["train_config"] = TrainConfig(**parts["train_config"])
        parts["data"] = DataIdentity(**parts["data"])
        return Checkpoint(**parts)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a checkpoint with unknown or missing parts ({error})") from error


def load_model(path: Path, *, tokenizer_sha256: str | None, device: torch.device) -> Transformer:
    """The trained model in ``path``, for use with the tokenizer of that digest, or without one.

    Errors: `UserError` when the model was trained with another tokenizer; `InputError` as in `load`.
    """
    checkpoint = load(path, device)
    trained_with = checkpoint.data.tokenizer_sha256
    if tokenizer_sha256 is not None and trained_with not in ("", tokenizer_sha256):
        raise UserError(
            f"{path}: trained with the tokenizer {trained_with[:12]}, not with {tokenizer_sha256[:12]}; "
            "use the tokenizer of its training set"
        )
    model = Transformer(checkpoint.model_config, checkpoint.train_config.seed).to(device)
    model.load_state_dict(checkpoint.model)
    return model
