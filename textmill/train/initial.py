"""Weights that a training begins with, instead of drawn ones: those of a checkpoint, or of Hugging Face's Llama."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from textmill.errors import UserError
from textmill.tokenize import Tokenizer
from textmill.train.checkpoint import content_sha256, load_model
from textmill.train.config import ModelConfig
from textmill.train.huggingface import load_llama
from textmill.train.model import Transformer


@dataclass(frozen=True)
class InitialWeights:
    """The weights of the model at ``source``, which has the shape ``config``."""

    source: str
    config: ModelConfig
    weights: dict[str, Tensor]
    sha256: str  # of the weights, wherever they come from

    @classmethod
    def read(cls, path: Path, tokenizer: Path | None, tokenizer_sha256: str) -> InitialWeights:
        """From a checkpoint, or a folder of Hugging Face's with its ``tokenizer``, for tokens of another.

        Errors: `UserError` when the two tokenizers differ; those of `load_model` and `load_llama`.
        """
        if path.is_dir():
            _require_same(path, tokenizer, tokenizer_sha256)
            model = load_llama(path)
        else:
            model = load_model(path, tokenizer_sha256=tokenizer_sha256, device=torch.device("cpu"))
        weights = model.state_dict()
        return cls(str(path), model.config, weights, content_sha256(weights))

    def give_to(self, model: Transformer) -> None:
        """Errors: `UserError` for a model of another shape."""
        own = model.state_dict()
        wanted, given = ({name: tuple(weight.shape) for name, weight in side.items()} for side in (own, self.weights))
        if wrong := sorted(name for name in wanted | given if wanted.get(name) != given.get(name)):
            raise UserError(
                f"{self.source}: its {wrong[0]} is {given.get(wrong[0], 'missing')}, but the model's is "
                f"{wanted.get(wrong[0], 'none')}; leave the shape as it is"
            )
        model.load_state_dict(self.weights)


def _require_same(path: Path, tokenizer: Path | None, tokenizer_sha256: str) -> None:
    if tokenizer is None:
        raise UserError(f"{path}: no tokenizer beside it, so nothing says that these tokens are its own; put it there")
    found = Tokenizer.load(tokenizer).digest
    if found != tokenizer_sha256:
        raise UserError(
            f"{path}: its tokenizer is {found[:12]}, but the tokens are those of {tokenizer_sha256[:12]}; "
            "encode the texts with its tokenizer"
        )
