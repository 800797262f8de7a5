"""How likely a model finds the last tokens of each of many sequences.

Sequences of about equal length stand in a batch, the longest first, so that little is padded and a lack of memory shows
at once. Padding is on the right, where causal attention does not look: there is no mask, and the fused kernels run.

Losses are float32, their sums float64; a sequence in another batch has the same sum up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textmill.train.data import IGNORED, StepBatch, TokenStream
from textmill.train.parallel import ALONE, Ranks
from textmill.train.sources import sum_dtype

PADDING = 0  # an id, as input; nothing sees it


@dataclass(frozen=True)
class Sequences:
    """Stretches of a stream, each with the token before it; the model predicts all, and the last of them count."""

    stream: TokenStream
    first_inputs: NDArray[np.int64]  # [n], the id before each stretch
    starts: NDArray[np.int64]  # [n], of the stretches in the stream
    lengths: NDArray[np.int64]  # [n], from 1 to the model's context
    n_counted: NDArray[np.int64]  # [n], of the tokens of a stretch, at its end

    def __len__(self) -> int:
        return len(self.starts)

    def batches(self, batch_tokens: int) -> list[NDArray[np.int64]]:
        """The numbers of the sequences of each batch, which has at most ``batch_tokens``, or one row."""
        order = np.argsort(-self.lengths, kind="stable")
        batches, at = [], 0
        while at < len(order):
            n_rows = max(1, batch_tokens // int(self.lengths[order[at]]))
            batches.append(order[at : at + n_rows])
            at += n_rows
        return batches

    def read(self, numbers: NDArray[np.int64]) -> StepBatch:
        """These sequences, padded to the longest. Errors: `InputError` for a token that is no id."""
        lengths = self.lengths[numbers]
        shape = len(numbers), int(lengths.max())
        inputs, targets = np.full(shape, PADDING, np.int64), np.full(shape, IGNORED, np.int64)
        self.stream.copy(self.starts[numbers], lengths, targets.reshape(-1), np.arange(len(numbers)) * shape[1])
        inputs[:, 0] = self.first_inputs[numbers]
        inputs[:, 1:] = np.where(targets[:, :-1] == IGNORED, PADDING, targets[:, :-1])
        before = np.arange(shape[1]) < (lengths - self.n_counted[numbers])[:, None]
        targets[before] = IGNORED
        return StepBatch(torch.from_numpy(inputs), torch.from_numpy(targets))


@torch.no_grad()
def sums_of_losses(
    sequences: Sequences,
    loss_model: nn.Module,
    device: torch.device,
    batch_tokens: int,
    *,
    ranks: Ranks = ALONE,
    on_tokens: Callable[[int], object] = lambda n: None,
) -> NDArray[np.float64]:
    """``-log p`` of the tokens of each sequence that count, in nats [n]; the same on all ranks, which share the work.

    ``loss_model`` is a `textmill.train.loss.LossModel` on ``device``. ``on_tokens`` is told of what is done, in tokens
    that count.
    """
    loss_model.eval()
    exact = sum_dtype(device)
    sums = torch.zeros(len(sequences), dtype=exact, device=device)
    together = ranks.divides_weights  # no rank can compute alone
    batches = sequences.batches(batch_tokens)
    for numbers in batches if together else batches[ranks.rank :: ranks.n_ranks]:
        _, losses = loss_model(sequences.read(numbers).to(device))
        sums[torch.from_numpy(numbers).to(device)] = losses.sum(dim=1, dtype=exact)
        on_tokens(int(sequences.n_counted[numbers].sum()))
    values: NDArray[np.float64] = (sums if together else ranks.sum(sums)).cpu().double().numpy()
    return values
