"""The loss of every token, and its mean, without ever holding all logits.

In float32 the logits of a batch are the largest tensor of a training: 13 GB for 64 rows of 1,024 tokens and GPT-2's
vocabulary. `sum_of_losses` goes through them in chunks: of each it takes the losses and, at once, their gradient, and
then lets the logits go. The gradient is that of the plain way up to rounding, and no product is done twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's usual name

from textmill.train.accounting import LOGITS_CHUNK_BYTES
from textmill.train.data import IGNORED, StepBatch
from textmill.train.model import Transformer

LossesOf = Callable[[Tensor, Tensor], Tensor]  # of hidden states [N, D] and targets [N]


class LossModel(nn.Module):
    """A model with its loss: what is compiled and shared out among ranks."""

    def __init__(
        self,
        model: Transformer,
        compile_mode: str | None = None,
        chunk_bytes: int = LOGITS_CHUNK_BYTES,
        *,
        recomputes: bool = False,
    ) -> None:
        """``compile_mode``: None, or how torch compiles the blocks and the loss. ``recomputes``: no activation within a
        block is kept for the backward pass, which computes them again."""
        super().__init__()
        model.recomputes = recomputes
        self.model = model
        self.chunk_tokens = max(1, chunk_bytes // (4 * model.config.vocab_size))
        self._plain_losses: LossesOf = lambda hidden, targets: token_losses(model.logits(hidden), targets)
        self._losses_of = self._plain_losses
        if compile_mode is not None:
            for block in model.layers:  # all alike, so it is done once; masks are made outside
                block.compile(mode=compile_mode)
            # What stands between two products becomes one pass over the logits.
            self._losses_of = torch.compile(self._losses_of)

    def forward(self, batch: StepBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses of all targets of ``batch``, in nats, and each of them [B, T] without a gradient."""
        hidden = self.model.hidden_states(batch.inputs, batch.positions, batch.document_ids).flatten(0, 1)
        targets = batch.targets.flatten()
        if torch.is_grad_enabled():
            total, losses = self._sum_of(self._losses_of, hidden, targets)
        else:  # logits of targets that count alone; on a GPU this waits for their number, which a step must not
            counting = targets != IGNORED
            losses = torch.zeros(len(targets), device=targets.device)
            total, losses[counting] = self._sum_of(self._plain_losses, hidden[counting], targets[counting])
        return total, losses.view_as(batch.targets)

    def _sum_of(self, losses_of: LossesOf, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return sum_of_losses(hidden, self.model.head_weight, targets, losses_of, self.chunk_tokens)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """``-log softmax(logits)[target]`` for each of ``targets`` [N], in nats and in float32; 0 for ignored ones."""
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="none")


def sum_of_losses(
    hidden: Tensor, weight: Tensor, targets: Tensor, losses_of: LossesOf, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """The sum of ``losses_of`` the ``hidden`` states [N, D] and ``targets`` [N], and each of them.

    ``weight`` is what they are multiplied by; nothing else there is trained. Gradients flow through the sum alone.
    """
    if len(targets) <= chunk_tokens:
        losses = losses_of(hidden, targets)
        return losses.sum(), losses.detach()
    if not torch.is_grad_enabled():
        parts = zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
        losses = torch.cat([losses_of(part, wanted) for part, wanted in parts])
        return losses.sum(), losses
    total, losses = _ChunkedLoss.apply(hidden, weight, targets, losses_of, chunk_tokens)  # type: ignore[no-untyped-call]
    return total, losses


class _ChunkedLoss(torch.autograd.Function):
    """Gradients are taken on the way forward, so that no chunk's logits outlive it."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, losses_of: LossesOf, chunk_tokens: int
    ) -> tuple[Tensor, Tensor]:
        losses = torch.empty(len(targets), device=targets.device)
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        for begin in range(0, len(targets), chunk_tokens):
            here = slice(begin, begin + chunk_tokens)
            with torch.enable_grad():
                part = hidden[here].detach().requires_grad_()
                own = losses_of(part, targets[here])
                to_hidden[here], more = torch.autograd.grad(own.sum(), (part, weight))
            to_weight += more
            losses[here] = own.detach()
        ctx.save_for_backward(to_hidden, to_weight)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    def backward(ctx: Any, of_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, to_weight = ctx.saved_tensors
        return to_hidden * of_total, to_weight * of_total, None, None, None
