"""What a training step read: its pages, and how hard each was to predict.

The batch of a step is a function of the seed and the step, so nothing had to be written down. The weights that the step
met are gone; losses are those of the run's checkpoint, whose step is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.errors import UserError
from textmill.tokenize.shards.token_shards import TokenShards
from textmill.train import checkpoint
from textmill.train.checkpoint import Checkpoint, DataIdentity
from textmill.train.data import StepBatch, TrainBatches
from textmill.train.loop import CHECKPOINT_NAME
from textmill.train.loss import LossModel
from textmill.train.model import Transformer
from textmill.train.sources import PADDING, Records, step_batch
from textmill.train.trainer import device_named

PAGE_COLUMNS = ["doc_id", "source", "url", "warc_file", "warc_offset"]


@dataclass(frozen=True)
class PageLoss:
    """A page in a step: what of it was there."""

    doc_id: int
    source: str
    url: str
    warc_file: str
    warc_offset: int
    n_tokens: int  # targets of the step
    loss: float  # mean, in nats a token
    loss_frac: float  # of the sum over the step


@dataclass(frozen=True)
class StepTrace:
    """The pages of a step, those with the largest part of its loss first."""

    step: int
    weights_step: int  # of the weights that gave the losses
    loss: float
    pages: list[PageLoss]


def trace_step(run: Path, shards: TokenShards, step: int) -> StepTrace:
    """The pages of ``step`` (from 1) of the training in the folder ``run``, whose training split is ``shards``.

    Errors: `UserError` for a step that the run does not have or shards that it was not trained on; `InputError` when
    there is no checkpoint.
    """
    device = device_named("auto")
    kept = checkpoint.load(run / CHECKPOINT_NAME, device)
    config = kept.train_config
    if not 1 <= step <= config.steps:
        raise UserError(f"step {step}: {run} has steps 1 to {config.steps}")
    if DataIdentity.of(shards) != kept.data:
        raise UserError(f"{run} was not trained on {shards.folder}; name the shards that it was trained on")
    batches = TrainBatches.of(shards, kept.model_config, config)
    numbers = batches.chunk_numbers(step - 1)
    documents = batches.samples.documents(numbers)
    batch = step_batch(batches.samples, numbers, None, masked=batches.masked)
    losses = _losses(kept, batch, device)
    begins = documents.bounds[:-1].numpy()
    sums = np.add.reduceat(losses, begins)
    n_targets = np.add.reduceat((batch.targets.numpy().reshape(-1) >= 0).astype(np.int64), begins)
    pages = _pages(Records(shards), batches.samples.first_targets(numbers, documents), sums, n_targets)
    return StepTrace(step, kept.step, float(sums.sum() / n_targets.sum()), pages)


@torch.no_grad()
def _losses(kept: Checkpoint, batch: StepBatch, device: torch.device) -> NDArray[np.float64]:
    """The loss of every target, [B · T]."""
    model = Transformer(kept.model_config, kept.train_config.seed).to(device)
    model.load_state_dict(kept.model)
    loss_model = LossModel(model.eval())
    parts = batch.split(kept.train_config.micro_batch_size or kept.train_config.batch_size)
    losses = torch.cat([loss_model(part.to(device))[1] for part in parts])
    return losses.double().cpu().numpy().reshape(-1)


def _pages(
    records: Records, first_targets: NDArray[np.int64], sums: NDArray[np.float64], n_targets: NDArray[np.int64]
) -> list[PageLoss]:
    """A page for each document, whose parts may lie in several rows."""
    real = first_targets != PADDING
    found = records.at(first_targets[real])
    keys = np.stack(found, axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    page_sums = np.bincount(inverse.reshape(-1), sums[real])
    page_targets = np.bincount(inverse.reshape(-1), n_targets[real])
    rows = records.rows(records.at(first_targets[real][first]), PAGE_COLUMNS).to_pylist()
    total = page_sums.sum()
    pages = [
        PageLoss(**row, n_tokens=int(n), loss=float(own / n), loss_frac=float(own / total))
        for row, own, n in zip(rows, page_sums, page_targets, strict=True)
    ]
    return sorted(pages, key=lambda page: -page.loss_frac)
