"""AdamW with weight decay on matrices only, and a cosine learning rate with linear warm-up.

Sources: AdamW, Loshchilov and Hutter 2019; the schedule and the grouping as in GPT-3, appendix B, and its successors:
norm weights are scales, and decay would pull them to zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from textmill.train.config import TrainConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups for an optimizer: matrices (decayed) and vectors (not). Frozen weights are left out."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """The optimizer of ``model``, in one fused kernel; `set_learning_rate` is called before each of its steps."""
    groups = parameter_groups(model, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scales all gradients so that their norm, taken over all of them together, is at most ``max_norm``.

    Returns the norm before; parameters without a gradient count for nothing.
    """
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Gives every group of ``optimizer`` the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def cosine_learning_rate(step: int, *, highest: float, lowest: float, warmup_steps: int, total_steps: int) -> float:
    """Linear from 0 at step 0 to ``highest`` at ``warmup_steps``, a half cosine to ``lowest`` at ``total_steps``,
    ``lowest`` from there on."""
    if step < warmup_steps:
        return highest * step / warmup_steps
    if step >= total_steps:
        return lowest
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return lowest + (highest - lowest) * 0.5 * (1.0 + math.cos(math.pi * progress))
