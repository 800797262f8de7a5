"""A decoder-only Transformer: pre-norm blocks of causal self-attention and SwiGLU, rotary positions, no biases.

Sources: RMSNorm, Zhang and Sennrich 2019; SwiGLU, Shazeer 2020; RoPE, Su et al. 2021 (pairs (2i, 2i+1), as published,
not halves); initial weights, GPT-2: normal with deviation 0.02, the layers that write into the residual stream divided
by the root of their number. The mathematics is in functions; modules only hold weights under the field's usual names
(``layers.0.attn.q_proj.weight``), always stored [out, in].

Cost: 6 floating-point operations a weight and token, plus 12 · n_layers · d_model · context_length for attention,
forward and backward together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's usual name

from textmill.train.config import ModelConfig

INITIAL_STD = 0.02

# cos and sin of the angle of every pair at every position, each [T, d_head / 2]
Rotation = tuple[Tensor, Tensor]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x²) + eps) · weight`` over the last dimension; float32 inside, the type of ``x`` outside."""
    return F.rms_norm(x.float(), weight.shape, weight, eps).type_as(x)


def rotation_table(n_positions: int, d_head: int, theta: float) -> Rotation:
    """The rotation of positions 0 to ``n_positions - 1``: pair i turns by ``position · theta^(-2i / d_head)``."""
    frequencies = theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rotate_pairs(x: Tensor, rotation: Rotation) -> Tensor:
    """RoPE: turns each pair (2i, 2i+1) of ``x`` [..., T, d_head] by the angle of its position."""
    cos, sin = rotation
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).type_as(x)


def causal_self_attention(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_output: Tensor, n_heads: int, rotation: Rotation
) -> Tensor:
    """Multi-head attention of ``x`` [..., T, D] to itself and what precedes it; weights [D, D]; heads are contiguous
    slices of the output dimension."""

    def heads(weight: Tensor) -> Tensor:  # [..., n_heads, T, d_head]
        return F.linear(x, weight).view(*x.shape[:-1], n_heads, -1).transpose(-3, -2)

    q, k = rotate_pairs(heads(w_q), rotation), rotate_pairs(heads(w_k), rotation)
    attended = F.scaled_dot_product_attention(q, k, heads(w_v), is_causal=True)
    return F.linear(attended.transpose(-3, -2).flatten(-2), w_output)


def swiglu(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor) -> Tensor:
    """``w2(silu(w1 x) · w3 x)``; w1 and w3 are [d_ff, D], w2 is [D, d_ff]."""
    return F.linear(F.silu(F.linear(x, w1)) * F.linear(x, w3), w2)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of ``targets`` [B, T] under ``logits`` [B, T, V], in float32."""
    return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class SelfAttention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q_proj = _linear(config.d_model, config.d_model)
        self.k_proj = _linear(config.d_model, config.d_model)
        self.v_proj = _linear(config.d_model, config.d_model)
        self.output_proj = _linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        weights = (self.q_proj.weight, self.k_proj.weight, self.v_proj.weight, self.output_proj.weight)
        return causal_self_attention(x, *weights, self.n_heads, rotation)


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = _linear(config.d_model, config.d_ff)
        self.w2 = _linear(config.d_ff, config.d_model)
        self.w3 = _linear(config.d_model, config.d_ff)

    def forward(self, x: Tensor) -> Tensor:
        return swiglu(x, self.w1.weight, self.w2.weight, self.w3.weight)


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1 = RMSNorm(config.d_model, config.norm_eps)
        self.attn = SelfAttention(config)
        self.ln2 = RMSNorm(config.d_model, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        x = x + self.attn(self.ln1(x), rotation)
        return x + self.ffn(self.ln2(x))


class Transformer(nn.Module):
    """The language model. Its first weights depend on ``config`` and ``seed`` only, not on torch's global state."""

    rotation_cos: Tensor
    rotation_sin: Tensor

    def __init__(self, config: ModelConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.token_embeddings = _embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = None if config.tie_embeddings else _linear(config.d_model, config.vocab_size)
        cos, sin = rotation_table(config.context_length, config.d_head, config.rope_theta)
        self.register_buffer("rotation_cos", cos, persistent=False)
        self.register_buffer("rotation_sin", sin, persistent=False)
        self._draw_weights(seed)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Logits [B, T, V] for ``token_ids`` [B, T] (int64), where T is at most ``context_length``."""
        n_positions = token_ids.shape[-1]
        rotation = self.rotation_cos[:n_positions], self.rotation_sin[:n_positions]
        x = self.token_embeddings(token_ids)
        for layer in self.layers:
            x = layer(x, rotation)
        head = self.token_embeddings if self.lm_head is None else self.lm_head
        return F.linear(self.ln_final(x), head.weight)

    @property
    def n_parameters(self) -> int:
        """All weights; a tied table counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.no_grad()
    def _draw_weights(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        residual_std = INITIAL_STD / math.sqrt(2 * self.config.n_layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attn.output_proj.weight", "ffn.w2.weight"))
                parameter.normal_(0.0, residual_std if into_residual else INITIAL_STD, generator=generator)


# Layers are made without memory and then given some: their weights are drawn later, from the model's own seed, and
# torch's global generator is left alone.
def _embedding(n: int, d_model: int) -> nn.Embedding:
    return nn.Embedding(n, d_model, device="meta").to_empty(device="cpu")


def _linear(d_in: int, d_out: int) -> nn.Linear:
    return nn.Linear(d_in, d_out, bias=False, device="meta").to_empty(device="cpu")
