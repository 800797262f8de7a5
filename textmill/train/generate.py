"""Text from a trained model: one token at a time, from the softmax of its logits.

Cost: every token runs the model over the whole context again (there is no cache of keys and values), so this is for
looking at a model, not for serving it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from textmill.errors import UserError
from textmill.tokenize import Tokenizer
from textmill.train.checkpoint import load_model
from textmill.train.model import Transformer


class TextCodec(Protocol):
    """What generation needs of a tokenizer; `textmill.tokenize.Tokenizer` is one."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def eot_id(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: list[int]) -> str: ...


def sample_text(checkpoint: Path, tokenizer: Tokenizer, prompt: str, *, max_tokens: int, seed: int = 0) -> str:
    """``prompt`` and what the model in ``checkpoint`` writes after it, as people like to see a model: temperature .8,
    the 50 likeliest tokens. Errors: those of `load_model`."""
    model = load_model(checkpoint, tokenizer_sha256=tokenizer.digest, device=torch.device("cpu"))
    return prompt + generate(model, tokenizer, prompt, max_tokens=max_tokens, temperature=0.8, top_k=50, seed=seed)


@torch.inference_mode()
def generate(
    model: Transformer,
    tokenizer: TextCodec,
    prompt: str,
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """What the model writes after ``prompt``: at most ``max_tokens`` tokens, up to the end of the document.

    An empty prompt starts a new document. ``temperature`` 0 takes the most likely token each time; ``top_k`` keeps only
    that many candidates. The same seed gives the same text. Only the last ``context_length`` tokens are seen.
    Errors: `UserError` for a value out of range.
    """
    if max_tokens < 0 or not 0 <= temperature < float("inf") or (top_k is not None and top_k < 1):
        raise UserError(
            f"cannot generate with max_tokens {max_tokens}, temperature {temperature}, top_k {top_k}; "
            "use max_tokens and temperature of at least 0, and a top_k of at least 1 or none"
        )
    model.eval()
    device = model.token_embeddings.weight.device
    generator = torch.Generator().manual_seed(seed)
    ids = tokenizer.encode(prompt) or [tokenizer.eot_id]
    n_prompt = len(ids)
    for _ in range(max_tokens):
        context = torch.tensor([ids[-model.config.context_length :]], device=device)
        # The model's vocabulary may be padded beyond the tokenizer's.
        logits = model(context)[0, -1, : tokenizer.vocab_size].double().cpu()
        next_id = _sample(logits, temperature, top_k, generator)
        if next_id == tokenizer.eot_id:
            break
        ids.append(next_id)
    return tokenizer.decode(ids[n_prompt:])


def _sample(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """One id, drawn from ``logits`` [V]."""
    if temperature == 0:
        return int(logits.argmax())
    values, ids = logits.topk(len(logits) if top_k is None else min(top_k, len(logits)))
    # Shifted to a maximum of 0 first, so that a temperature near 0 sharpens instead of overflowing.
    weights = torch.softmax((values - values[0]) / temperature, dim=-1)
    return int(ids[torch.multinomial(weights, 1, generator=generator)])
