"""One file that holds a run: weights, optimizer, the step, and what they were made from.

A checkpoint is complete or absent: it is written beside its name, synced, and renamed. It holds the SHA-256 of its
content, so that a changed byte is noticed; reading costs that much more. It is read with torch's restricted unpickler,
so a file from a stranger cannot run code. There is no random state to keep: initial weights come
from the seed, and the place in the data is a function of the step. The digest of the tokenizer travels along, so that a
model never reads ids that another tokenizer made.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import TokenSource
from textmill.train.model import Transformer

FORMAT = "textmill-checkpoint-1"
SCRATCH_SUFFIX = ".tmp"


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
    init_sha256: str = ""  # of the weights that the run began with, where they were given


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Replaces ``path`` by ``checkpoint`` in one step. Errors: `EnvironmentFault` when it cannot be written."""
    parts = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    for name in ("model_config", "train_config", "data"):
        parts[name] = asdict(parts[name])
    scratch = path.with_name(f"{path.name}.{os.getpid()}{SCRATCH_SUFFIX}")
    try:
        with scratch.open("wb") as stream:
            torch.save({"format": FORMAT, "sha256": content_sha256(parts), **parts}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except (OSError, RuntimeError) as error:
        behind = error.__context__  # torch tells of a full disk in words of its own
        reason = behind if isinstance(behind, OSError) else error
        raise EnvironmentFault(f"{path}: the checkpoint cannot be written: {reason}") from error
    finally:
        scratch.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Removes what a process that was killed while it wrote ``path`` has left."""
    for scratch in path.parent.glob(f"{path.name}.*{SCRATCH_SUFFIX}"):
        scratch.unlink(missing_ok=True)


def load(path: Path, device: torch.device) -> Checkpoint:
    """Reads ``path``, tensors onto ``device``. Errors: `InputError` when it is missing, damaged or something else."""
    parts = _read(path)
    try:
        parts["model_config"] = ModelConfig(**parts["model_config"])
        parts["train_config"] = TrainConfig(**parts["train_config"])
        parts["data"] = DataIdentity(**parts["data"])
        parts |= {name: _sent(parts[name], device) for name in ("model", "optimizer")}
        return Checkpoint(**parts)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a checkpoint with unknown or missing parts ({error})") from error


def _read(path: Path) -> dict[str, Any]:
    """The parts of a checkpoint, which are as they were written."""
    try:
        parts = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint") from error
    except Exception as error:  # damaged bytes make the unpickler fail in any way
        raise InputError(f"{path}: not a readable checkpoint; remove it or name another one") from error
    if not isinstance(parts, dict) or parts.pop("format", None) != FORMAT:
        raise InputError(f"{path}: not a checkpoint of this version ({FORMAT})")
    if "sha256" in parts and parts.pop("sha256") != content_sha256(parts):  # those of before had none
        raise InputError(f"{path}: damaged: its content is not what its sha256 says; use a copy of it")
    return parts


def content_sha256(tree: Any) -> str:
    """Of dictionaries, lists, tensors and plain values, in order; the same on every device."""
    digest = hashlib.sha256()
    _digest_into(digest, tree)
    return digest.hexdigest()


def _digest_into(digest: Any, value: Any) -> None:
    if isinstance(value, dict):
        digest.update(b"{%d" % len(value))
        for key, item in value.items():
            digest.update(repr(key).encode())
            _digest_into(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(b"[%d" % len(value))
        for item in value:
            _digest_into(digest, item)
    elif isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    else:
        digest.update(repr(value).encode() + b";")


def _sent(tree: Any, device: torch.device) -> Any:
    """``tree`` with its tensors on ``device``."""
    if isinstance(tree, torch.Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {key: _sent(value, device) for key, value in tree.items()}
    return [_sent(value, device) for value in tree] if isinstance(tree, list) else tree


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
