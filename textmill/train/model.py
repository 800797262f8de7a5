"""A decoder-only Transformer: by default pre-norm blocks of causal self-attention and SwiGLU, rotary positions, no
biases. `ModelConfig` says what else it can be.

The mathematics is in `textmill.train.functional` and `textmill.train.attention`; modules only hold weights under the
field's usual names (``layers.0.attn.q_proj.weight``), always stored [out, in]; heads are contiguous slices of the
output dimension. Initial weights are GPT-2's: normal with deviation 0.02, the layers that write into the residual
stream divided by the root of their number.

Sinusoids have the size of embeddings times the root of their width, as in Vaswani et al. 2017. Post-norm blocks need no
norm after the last. What a token costs is in `textmill.train.accounting`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's usual name
from torch.utils.checkpoint import checkpoint

from textmill.errors import UserError
from textmill.train.attention import LayerCache, Mask, attend, attention_mask, has_flex
from textmill.train.config import ModelConfig
from textmill.train.functional import (
    Rotation,
    embedding,
    linear,
    relu2,
    rms_norm,
    rotate_pairs,
    rotation_table,
    sinusoids,
    soft_cap,
    swiglu,
)

INITIAL_STD = 0.02
UNGATED: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "gelu": F.gelu, "relu": F.relu, "relu2": relu2}


class Surroundings(NamedTuple):
    """What attention needs to know beside the tokens; the same in every layer."""

    rotation: Rotation | None
    mask: Mask


def products(x: Tensor, layers: Sequence[nn.Linear], *, joined: bool) -> Sequence[Tensor]:
    """What each of ``layers`` makes of ``x`` [..., in]; ``joined``: by one product with all their rows."""
    if not joined:
        return [layer(x) for layer in layers]
    biases = tuple(layer.bias for layer in layers if layer.bias is not None)
    weight = torch.cat(tuple(layer.weight for layer in layers))
    made = linear(x, weight, torch.cat(biases) if biases else None)
    return torch.split(made, [layer.out_features for layer in layers], dim=-1)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class SelfAttention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.d_head = config.d_head
        self.joins_products = False
        self.dropout = config.dropout
        d_kv = config.kv_heads * config.d_head
        self.q_proj = _linear(config.d_model, config.d_model, config.bias)
        self.k_proj = _linear(config.d_model, d_kv, config.bias)
        self.v_proj = _linear(config.d_model, d_kv, config.bias)
        self.output_proj = _linear(config.d_model, config.d_model, config.bias)
        self.q_norm = RMSNorm(config.d_head, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.d_head, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor, around: Surroundings, cache: LayerCache | None = None) -> Tensor:
        """What each of ``x`` [B, T, D] gathers from those that it sees, cached ones included."""
        projected = products(x, (self.q_proj, self.k_proj, self.v_proj), joined=self.joins_products)
        q, k, v = map(self._heads, projected)
        q, k = self.q_norm(q), self.k_norm(k)
        if around.rotation is not None:
            q, k = rotate_pairs(q, around.rotation), rotate_pairs(k, around.rotation)
        if cache is not None:
            k, v = cache.extend(k, v)
        attended = attend(q, k, v, around.mask, dropout=self.dropout if self.training else 0.0)
        return self.output_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """[B, T, heads · d_head] as [B, heads, T, d_head]."""
        return x.view(*x.shape[:-1], -1, self.d_head).transpose(1, 2)


class FeedForward(nn.Module):
    """``w2(f(w1 x))``, or ``w2(swiglu(w1 x, w3 x))``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = _linear(config.d_model, config.d_ff, config.bias)
        self.w2 = _linear(config.d_ff, config.d_model, config.bias)
        self.w3 = _linear(config.d_model, config.d_ff, config.bias) if config.is_gated else None
        self.activation = config.activation
        self.joins_products = False

    def forward(self, x: Tensor) -> Tensor:
        if self.w3 is None:
            return self.w2(UNGATED[self.activation](self.w1(x)))
        return self.w2(swiglu(*products(x, (self.w1, self.w3), joined=self.joins_products)))


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.is_pre = config.norm_position == "pre"
        self.ln1 = _norm(config)
        self.attn = SelfAttention(config)
        self.ln2 = _norm(config)
        self.ffn = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, around: Surroundings, cache: LayerCache | None = None) -> Tensor:
        if self.is_pre:
            x = x + self.dropout(self.attn(self.ln1(x), around, cache))
            return x + self.dropout(self.ffn(self.ln2(x)))
        x = self.ln1(x + self.dropout(self.attn(x, around, cache)))
        return self.ln2(x + self.dropout(self.ffn(x)))


class Transformer(nn.Module):
    """The language model. Its first weights depend on ``config`` and ``seed`` only, not on torch's global state."""

    rotation_cos: Tensor
    rotation_sin: Tensor
    sinusoids: Tensor

    def __init__(self, config: ModelConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.recomputes = False  # blocks in the backward pass, instead of keeping what is in them (Chen et al. 2016)
        self.token_embeddings = _embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = _norm(config) if config.norm_position == "pre" else nn.Identity()
        self.lm_head = None if config.tie_embeddings else _linear(config.d_model, config.vocab_size)
        self._add_positions()
        self._draw_weights(seed)

    def forward(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Sequence[LayerCache] | None = None,
    ) -> Tensor:
        """Logits [B, T, V] for ``token_ids`` [B, T] (int64).

        ``positions`` ([T] or [B, T], below ``context_length``) count on from the cached tokens unless given. With
        ``document_ids`` [B, cached + T] tokens see only their own document. ``cache``, from `new_cache`, holds the
        tokens before these and takes them in. Errors: `UserError` for more tokens than ``context_length``.
        """
        return self.logits(self.hidden_states(token_ids, positions, document_ids, cache))

    def hidden_states(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        cache: Sequence[LayerCache] | None = None,
    ) -> Tensor:
        """[B, T, D]: what `logits` takes; arguments and errors as in `forward`."""
        n_before = 0 if cache is None else cache[0].n_tokens
        n_tokens = n_before + token_ids.shape[1]
        if n_tokens > self.config.context_length and positions is None:
            raise UserError(f"{n_tokens} tokens exceed the model's context_length of {self.config.context_length}")
        at = slice(n_before, n_tokens) if positions is None else positions
        mask = attention_mask(
            token_ids.shape[1],
            n_tokens,
            window=self.config.window,
            document_ids=document_ids,
            device=token_ids.device,
            in_blocks=cache is None and not self._drops() and has_flex(token_ids.device),
        )
        around = Surroundings(self._rotation(at), mask)
        x = self.dropout(self._embed(token_ids, at))
        for layer, layer_cache in zip(self.layers, cache or itertools.repeat(None), strict=False):
            if self.recomputes and torch.is_grad_enabled():
                x = checkpoint(layer, x, around, use_reentrant=False, preserve_rng_state=self._drops())
            else:
                x = layer(x, around, layer_cache)
        return self.ln_final(x)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """[..., V] for what `hidden_states` gave [..., D], or any part of it."""
        logits = linear(hidden_states, self.head_weight)
        return logits if self.config.logit_cap is None else soft_cap(logits, self.config.logit_cap)

    @property
    def head_weight(self) -> Tensor:
        """What `logits` multiplies by [V, D]."""
        return (self.token_embeddings if self.lm_head is None else self.lm_head).weight

    def new_cache(self, n_rows: int) -> list[LayerCache]:
        """An empty cache for as many rows of up to ``context_length`` tokens."""
        config, like = self.config, self.token_embeddings.weight
        shape = n_rows, config.kv_heads, config.context_length, config.d_head
        return [LayerCache(*shape, like) for _ in range(config.n_layers)]

    def join_products(self, joined: bool) -> None:
        """Whether what is multiplied by several matrices is so at once. The weights stay those that they are."""
        for module in self.modules():
            if isinstance(module, SelfAttention | FeedForward):
                module.joins_products = joined

    @property
    def n_parameters(self) -> int:
        """All weights; a tied table counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _drops(self) -> bool:
        return self.training and self.config.dropout > 0

    def _add_positions(self) -> None:
        config = self.config
        if config.position == "rope":
            cos, sin = rotation_table(config.context_length, config.d_head, config.rope_theta)
            self.register_buffer("rotation_cos", cos, persistent=False)
            self.register_buffer("rotation_sin", sin, persistent=False)
        elif config.position == "sinusoidal":
            self.register_buffer("sinusoids", sinusoids(config.context_length, config.d_model), persistent=False)
        elif config.position == "learned":
            self.position_embeddings = _embedding(config.context_length, config.d_model)

    def _embed(self, token_ids: Tensor, at: slice | Tensor) -> Tensor:
        x = embedding(token_ids, self.token_embeddings.weight)
        if self.config.position == "sinusoidal":
            return x * math.sqrt(self.config.d_model) + self.sinusoids[at]
        if self.config.position == "learned":
            return x + self.position_embeddings.weight[at]
        return x

    def _rotation(self, at: slice | Tensor) -> Rotation | None:
        """The same for all heads."""
        if self.config.position != "rope":
            return None
        return self.rotation_cos[at].unsqueeze(-3), self.rotation_sin[at].unsqueeze(-3)

    @torch.no_grad()
    def _draw_weights(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        residual_std = INITIAL_STD / math.sqrt(2 * self.config.n_layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attn.output_proj.weight", "ffn.w2.weight"))
                parameter.normal_(0.0, residual_std if into_residual else INITIAL_STD, generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()


# Layers are made without memory and then given some: their weights are drawn later, from the model's own seed, and
# torch's global generator is left alone.
def _embedding(n: int, d_model: int) -> nn.Embedding:
    return nn.Embedding(n, d_model, device="meta").to_empty(device="cpu")


def _linear(d_in: int, d_out: int, bias: bool = False) -> nn.Linear:
    return nn.Linear(d_in, d_out, bias=bias, device="meta").to_empty(device="cpu")


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, config.norm_eps)
    if config.norm == "layernorm":
        return nn.LayerNorm(config.d_model, config.norm_eps, bias=config.bias)
    return nn.Identity()
