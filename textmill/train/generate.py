"""Text from a trained model: one token at a time, from the softmax of its logits.

Prompts of a batch stand beside each other, padded on the left with a document of their own, which they do not see. The
keys and values of earlier tokens are kept (`textmill.train.attention.LayerCache`), so a token runs the model over one
position and not over the whole context; the tokens are the same without, up to rounding.

When the context is full its older half is forgotten, and the other half is run once more: so a token costs the same,
however long the text gets. The memory of a batch is that of its longest prompt times the number of prompts.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from textmill.errors import UserError
from textmill.tokenize import Tokenizer
from textmill.train.attention import LayerCache
from textmill.train.checkpoint import load_model
from textmill.train.functional import softmax
from textmill.train.model import Transformer

PADDING, SEEN = -1, 0  # documents


class TextCodec(Protocol):
    """What generation needs of a tokenizer; `textmill.tokenize.Tokenizer` is one."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def eot_id(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode_bytes(self, ids: list[int]) -> bytes: ...


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. Errors: `UserError` for a value out of range."""

    temperature: float = 1.0  # logits are divided by it; 0 takes the likeliest token each time
    top_k: int | None = None  # only so many of the likeliest tokens
    top_p: float | None = None  # only the likeliest that together have this share (Holtzman et al. 2020), after top_k
    seed: int = 0  # prompt i draws from seed + i, whatever stands beside it

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature is {self.temperature}; it must be at least 0")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k is {self.top_k}; it must be at least 1, or none")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}; it must be above 0 and at most 1, or none")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; it must not be negative")

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """One id, drawn from ``logits`` [V]."""
        if self.temperature == 0:
            return int(logits.argmax())
        # Shifted to a maximum of 0 first, so that a temperature near 0 sharpens instead of overflowing.
        shares = softmax((logits - logits.max()) / self.temperature, dim=-1)
        if self.top_k is not None or self.top_p is not None:
            shares = self._likeliest(shares)
        return int(torch.multinomial(shares, 1, generator=generator))

    def _likeliest(self, shares: Tensor) -> Tensor:
        """``shares`` with 0 for all others; in the order of ids, so that rounding which swaps two changes no draw."""
        values, ids = shares.topk(min(self.top_k or len(shares), len(shares)))
        if self.top_p is not None:
            before = values.cumsum(0) - values
            ids = ids[before < self.top_p * values.sum()]
        return torch.zeros_like(shares).index_copy(0, ids, shares[ids])


def sample_text(checkpoint: Path, tokenizer: Tokenizer, prompt: str, *, max_tokens: int, seed: int = 0) -> str:
    """``prompt`` and what the model in ``checkpoint`` writes after it, as people like to see a model: temperature .8,
    the 50 likeliest tokens. Errors: those of `load_model`."""
    model = load_model(checkpoint, tokenizer_sha256=tokenizer.digest, device=torch.device("cpu"))
    sampling = Sampling(temperature=0.8, top_k=50, seed=seed)
    (text,) = generate(model, tokenizer, [prompt], max_tokens=max_tokens, sampling=sampling)
    return prompt + text


def generate(
    model: Transformer,
    tokenizer: TextCodec,
    prompts: Sequence[str],
    *,
    max_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int] | None = None,
) -> list[str]:
    """What the model writes after each of ``prompts``: at most ``max_tokens`` tokens, up to one of ``stop_ids``.

    By default that is the end of the document. An empty prompt starts a new document. The same seed gives the same
    text. Errors: `UserError`.
    """
    rows: list[list[int]] = [[] for _ in prompts]
    for step in _steps(model, tokenizer, prompts, max_tokens, sampling, stop_ids):
        for row, token_id in zip(rows, step, strict=True):
            if token_id is not None:
                row.append(token_id)
    return [tokenizer.decode_bytes(row).decode(errors="replace") for row in rows]


def stream(
    model: Transformer,
    tokenizer: TextCodec,
    prompt: str,
    *,
    max_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int] | None = None,
) -> Iterator[str]:
    """The text that `generate` gives for one prompt, piece by piece; a character that takes several tokens is whole."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for (token_id,) in _steps(model, tokenizer, [prompt], max_tokens, sampling, stop_ids):
        if token_id is not None:
            yield decoder.decode(tokenizer.decode_bytes([token_id]))
    yield decoder.decode(b"", final=True)


def _steps(
    model: Transformer,
    tokenizer: TextCodec,
    prompts: Sequence[str],
    max_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int] | None,
) -> Iterator[list[int | None]]:
    n_ids = tokenizer.vocab_size  # the model's vocabulary may be padded beyond it
    if n_ids > model.config.vocab_size:
        raise UserError(f"the tokenizer has {n_ids:,} ids, the model {model.config.vocab_size:,}; use the model's own")
    stop_ids = {tokenizer.eot_id} if stop_ids is None else stop_ids
    ids = [tokenizer.encode(prompt) or [tokenizer.eot_id] for prompt in prompts]
    return generate_ids(model, ids, max_tokens=max_tokens, sampling=sampling, stop_ids=stop_ids, n_ids=n_ids)


@torch.inference_mode()
def generate_ids(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    n_ids: int,
    cached: bool = True,
) -> Iterator[list[int | None]]:
    """The next id of each of ``prompts`` (at least one id each), step by step; None from the first of ``stop_ids`` on.

    Ids are below ``n_ids``. Errors: `UserError`.
    """
    if max_tokens < 0:
        raise UserError(f"max_tokens is {max_tokens}; it must not be negative")
    model.eval()
    context = Context(model, prompts, cached)
    generators = [torch.Generator().manual_seed(sampling.seed + row) for row in range(len(prompts))]
    ended = [False] * len(prompts)
    for _ in range(max_tokens if prompts else 0):
        logits = context.next_logits()[:, :n_ids].double().cpu()
        ids = [sampling.draw(row, generator) for row, generator in zip(logits, generators, strict=True)]
        ended = [end or token_id in stop_ids for end, token_id in zip(ended, ids, strict=True)]
        if all(ended):
            return
        yield [None if end else token_id for end, token_id in zip(ended, ids, strict=True)]
        context.append(ids)


class Context:
    """What the model sees of each row: its last tokens, ``token_ids`` [B, T], the first ``n_padding`` [B] of them none.

    ``cache`` holds what it has computed of them.
    """

    def __init__(self, model: Transformer, prompts: Sequence[Sequence[int]], cached: bool) -> None:
        device = model.token_embeddings.weight.device
        seen = [list(prompt[-model.config.context_length :]) for prompt in prompts]
        width = max(map(len, seen), default=0)
        padded = [[0] * (width - len(ids)) + ids for ids in seen]
        self.model = model
        self.token_ids = torch.tensor(padded, dtype=torch.int64, device=device).view(len(seen), width)
        self.n_padding = torch.tensor([[width - len(ids)] for ids in seen], dtype=torch.int64, device=device)
        self.cached = cached
        self.cache = self._new_cache()

    def next_logits(self) -> Tensor:
        """[B, V], for the token after the last."""
        n_seen = self.cache[0].n_tokens if self.cache else 0
        places = torch.arange(self.token_ids.shape[1], device=self.token_ids.device) - self.n_padding
        positions, document_ids = places.clamp(min=0), None
        if bool(self.n_padding.any()):
            document_ids = torch.where(places < 0, PADDING, SEEN)
        new = self.token_ids[:, n_seen:], positions[:, n_seen:]
        return self.model.logits(self.model.hidden_states(*new, document_ids, self.cache)[:, -1])

    def append(self, ids: Sequence[int]) -> None:
        """Adds a token to each row; first forgets the older half of a context that is full."""
        n_tokens, longest = self.token_ids.shape[1], self.model.config.context_length
        if n_tokens == longest:
            n_forgotten = longest - longest // 2
            self.token_ids = self.token_ids[:, n_forgotten:]
            self.n_padding = (self.n_padding - n_forgotten).clamp(min=0)
            self.cache = self._new_cache()
        column = torch.tensor(ids, dtype=torch.int64, device=self.token_ids.device)[:, None]
        self.token_ids = torch.cat([self.token_ids, column], dim=1)

    def _new_cache(self) -> list[LayerCache] | None:
        return self.model.new_cache(len(self.token_ids)) if self.cached else None
