"""The mathematics of the model, one function each, on tensors with any leading dimensions (written ...).

Sources: RMSNorm, Zhang and Sennrich 2019; SwiGLU, Shazeer 2020; squared ReLU, So et al. 2021; RoPE, Su et al. 2021
(pairs (2i, 2i+1), as published, not halves); sinusoids, Vaswani et al. 2017. Weights are stored [out, in]. Attention
is in `textmill.train.attention`. Torch's own kernels do the work; what is decided here is in which precision.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's usual name

SINUSOID_THETA = 10_000.0  # Vaswani et al., section 3.5

# cos and sin of the angle of every pair at every position, each [T, d_head / 2]
Rotation = tuple[Tensor, Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x Wᵀ + b`` for ``x`` [..., in], ``weight`` [out, in] and ``bias`` [out]: [..., out]."""
    return F.linear(x, weight, bias)


def embedding(token_ids: Tensor, weight: Tensor) -> Tensor:
    """The rows of ``weight`` [V, D] at ``token_ids`` [...] (integers): [..., D]."""
    return F.embedding(token_ids, weight)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x²) + eps) · weight`` over the last dimension; the type of ``x``, computed in float32 or more."""
    return F.rms_norm(_wide(x), weight.shape, weight, eps).type_as(x)


def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """``silu(gate) · value``: with gate = w1 x and value = w3 x, what w2 of a feed-forward layer gets."""
    return F.silu(gate) * value


def relu2(x: Tensor) -> Tensor:
    """``max(x, 0)²``."""
    return F.relu(x).square()


def rotation_table(n_positions: int, d_head: int, theta: float) -> Rotation:
    """The rotation of positions 0 to ``n_positions - 1``: pair i turns by ``position · theta^(-2i / d_head)``."""
    frequencies = theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rotate_pairs(x: Tensor, rotation: Rotation) -> Tensor:
    """Turns each pair (2i, 2i+1) of ``x`` [..., T, d_head] by the angle of its position."""
    cos, sin = rotation
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).type_as(x)


def rope(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """RoPE of ``x`` [..., T, d_head] at ``positions`` [..., T] (integers of 0 or more)."""
    cos, sin = rotation_table(int(positions.max()) + 1 if positions.numel() else 0, x.shape[-1], theta)
    return rotate_pairs(x, (cos.to(x.device)[positions], sin.to(x.device)[positions]))


def sinusoids(n_positions: int, d_model: int) -> Tensor:
    """Position vectors [n_positions, d_model]: sine and cosine in turn, of ever longer waves."""
    cos, sin = rotation_table(n_positions, d_model, SINUSOID_THETA)
    return torch.stack((sin, cos), dim=-1).flatten(-2)[:, :d_model]


def softmax(x: Tensor, dim: int) -> Tensor:
    """``exp(x)`` as shares of 1 along ``dim``; the largest value is taken off first, so that nothing overflows."""
    return torch.softmax(x, dim)


def soft_cap(logits: Tensor, cap: float) -> Tensor:
    """``cap · tanh(logits / cap)``: nearly ``logits`` where they are small, never beyond ``cap`` (Gemma 2)."""
    return cap * torch.tanh(logits / cap)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over all ``targets`` [...] of ``-log softmax(logits)[target]``, in nats; ``logits`` [..., V] of any size.

    Computed in float32 or more. Targets of -100 do not count (`textmill.train.data.IGNORED`).
    """
    return F.cross_entropy(_wide(logits.flatten(0, -2)), targets.flatten())


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
