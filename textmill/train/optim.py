"""Optimizers and learning rates: AdamW, or Muon for the matrices of the blocks with AdamW for the rest.

AdamW (Loshchilov and Hutter 2019) runs in torch's fused kernel. Weight decay, as in GPT-3, appendix B, and its
successors, is for matrices only: norm weights are scales, and decay would pull them to zero.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by the nearest orthogonal matrix, so that every direction of
it is learned at one pace. Newton-Schulz steps find it by matrix products alone, 5 · n/B times those of the training
itself for matrices of n rows and columns and B tokens a batch. Updates are scaled to the size of AdamW's (Liu et al.
2025, "Muon is scalable for LLM training": 0.2 · sqrt(longer side)), so one learning rate serves both. Unlike in
`torch.optim.Muon`, matrices of one shape go through the steps together, and on a CPU in float32. Where ranks share out
the weights, each gathers what concerns one shape at a time and finds the whole update, of which it applies its part.

Embeddings and the output layer stay with AdamW: their rows are tokens, and a batch touches few of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from textmill.train.config import TrainConfig
from textmill.train.parallel import cut_like, gathered, own_part

# A step of Newton-Schulz maps every singular value s to a·s + b·s³ + c·s⁵: five of them take what is
# between 0.003 and 1 to between 0.68 and 1.21 (Jordan et al. 2024 chose them so that small values grow fastest).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MUON_MOMENTUM = 0.95
ADAMW_RMS = 0.2  # of an update's entries, in units of the learning rate: what AdamW's have in practice


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: matrices (decayed) and vectors (not). Frozen weights are left out."""
    return _by_decay((parameter for parameter in model.parameters() if parameter.requires_grad), weight_decay)


def _by_decay(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    listed = list(parameters)
    return [
        {"params": [parameter for parameter in listed if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in listed if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that ``config`` names; `set_learning_rate` is called before each of its steps."""
    return adamw(model, config) if config.optimizer == "adamw" else MuonAndAdamW(model, config)


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW for all of ``model``, in one fused kernel."""
    return _adamw(parameter_groups(model, config.weight_decay), config)


def _adamw(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for matrices."""

    def __init__(self, matrices: Iterable[Tensor], *, lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for matrices in alike.values():
                self._update(matrices, group["lr"], group["weight_decay"])

    def _update(self, matrices: list[Tensor], lr: float, weight_decay: float) -> None:
        """One step for ``matrices`` of one shape."""
        first, parts = matrices[0], [own_part(matrix) for matrix in matrices]
        gradients = [own_part(matrix.grad) for matrix in matrices]
        momenta = [own_part(self._momentum_of(matrix)) for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - MUON_MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MUON_MOMENTUM)
        updates = orthogonalized(torch.stack([gathered(part, first) for part in ahead])).unbind()
        torch._foreach_mul_(parts, 1 - lr * weight_decay)
        scale = -lr * ADAMW_RMS * math.sqrt(max(first.shape))
        torch._foreach_add_(parts, [cut_like(update, first) for update in updates], alpha=scale)

    def _momentum_of(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        return momentum


def orthogonalized(matrices: Tensor) -> Tensor:
    """About ``U Vᵀ`` for each of ``matrices`` [..., m, n] = ``U S Vᵀ``: singular values become about 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value is beyond 1
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if is_tall else x).type_as(matrices)


class MuonAndAdamW(torch.optim.Optimizer):
    """`Muon` for the matrices of a `Transformer`'s blocks, AdamW for all else, in the form of one optimizer."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        matrices = [weight for name, weight in named if weight.ndim == 2 and "layers." in name]
        chosen = {id(matrix) for matrix in matrices}
        rest = _by_decay((weight for _, weight in named if id(weight) not in chosen), config.weight_decay)
        muon = [Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay)] if matrices else []
        self.parts: list[torch.optim.Optimizer] = [*muon, _adamw(rest, config)]
        # Not initialized as an optimizer of its own: groups and state are those of the parts.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scales all gradients so that their norm, taken over all of them together, is at most ``max_norm``.

    Returns the norm before; parameters without a gradient count for nothing.
    """
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Gives every group of ``optimizer`` the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def learning_rate_of(step: int, config: TrainConfig) -> float:
    """Of the update that makes step ``step`` (from 1), by the schedule that ``config`` names."""
    highest, lowest = config.learning_rate, config.min_learning_rate
    if config.schedule == "cosine":
        return cosine_learning_rate(
            step, highest=highest, lowest=lowest, warmup_steps=config.warmup_steps, total_steps=config.steps
        )
    decay_steps = config.steps - config.warmup_steps
    if config.schedule == "wsd":
        decay_steps = min(decay_steps, round(config.decay_frac * config.steps))
    return trapezoid_learning_rate(
        step,
        highest=highest,
        lowest=lowest,
        warmup_steps=config.warmup_steps,
        decay_steps=decay_steps,
        total_steps=config.steps,
    )


def cosine_learning_rate(step: int, *, highest: float, lowest: float, warmup_steps: int, total_steps: int) -> float:
    """Linear from 0 at step 0 to ``highest`` at ``warmup_steps``, a half cosine to ``lowest`` at ``total_steps``,
    ``lowest`` from there on."""
    if step < warmup_steps:
        return highest * step / warmup_steps
    if step >= total_steps:
        return lowest
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return lowest + (highest - lowest) * 0.5 * (1.0 + math.cos(math.pi * progress))


def trapezoid_learning_rate(
    step: int, *, highest: float, lowest: float, warmup_steps: int, decay_steps: int, total_steps: int
) -> float:
    """Linear from 0 at step 0 to ``highest`` at ``warmup_steps``, ``highest`` until the last ``decay_steps``, linear to
    ``lowest`` at ``total_steps``. Without a plateau it is the linear schedule, with one warm-up, stable, decay."""
    if step < warmup_steps:
        return highest * step / warmup_steps
    if step >= total_steps:
        return lowest
    left_frac = min(1.0, (total_steps - step) / decay_steps) if decay_steps else 1.0
    return lowest + (highest - lowest) * left_frac
