"""A model, its optimizer and its recipe on one device: gradients, updates, evaluations, checkpoints.

Devices are CPUs, GPUs of CUDA, and Apple's (mps). Apple's was not there to be tried: what it lacks (float64, pinned
memory, copies that can be waited for one by one) is not asked of it, so every step waits for its loss.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textmill.errors import EnvironmentFault, UserError, WorkspaceError
from textmill.settings import differences
from textmill.train import checkpoint
from textmill.train.accounting import n_parameters
from textmill.train.checkpoint import Checkpoint, DataIdentity
from textmill.train.config import ModelConfig, TrainConfig
from textmill.train.data import StepBatch
from textmill.train.initial import InitialWeights
from textmill.train.likelihood import Sequences, sums_of_losses
from textmill.train.loss import LossModel
from textmill.train.model import Transformer
from textmill.train.optim import MuonAndAdamW, clip_gradients, learning_rate_of, optimizer_of, set_learning_rate
from textmill.train.parallel import ALONE, Ranks, divided, whole
from textmill.train.sources import sum_dtype, sums_by_source

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A resumed run may change these: they decide where it runs and when it reports, not what it learns.
FREE_ON_RESUME = (
    "device",
    "n_threads",
    "eval_every",
    "checkpoint_every",
    "log_every",
    "compile",
    "compile_mode",
    "joins_products",
    "micro_batch_size",
    "parallel",
    "recompute",
)


OF_MEMORY = re.compile("out of memory|can't allocate memory")  # of devices whose error has no type of its own


class Reading:
    """What a step measured: its loss, its gradient norm, and sums by source; on its way from the device."""

    def __init__(self, step: int, values: Tensor) -> None:
        self.step = step
        self._values = values.to("cpu", non_blocking=values.is_cuda)
        self._copied = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied is not None:
            self._copied.record()

    def read(self) -> list[float]:
        """The values; waits for this step alone, not for those after it."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] = self._values.tolist()
        return values


class Trainer:
    """What a training does in a step. ``n_sources`` above 0: batches say where targets come from."""

    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        data: DataIdentity,
        ranks: Ranks = ALONE,
        n_sources: int = 0,
        init: InitialWeights | None = None,
    ) -> None:
        self.config, self.data, self.ranks = config, data, ranks
        self.device = device_named(config.device)
        with enough_memory(self._of_all(model_config)):
            self.model = Transformer(model_config, config.seed).to(self.device)
        self._init_sha256 = "" if init is None else init.sha256
        if init is not None:
            init.give_to(self.model)
        self.compiles = self.device.type == "cuda" if config.compile is None else config.compile
        mode = config.compile_mode if self.compiles else None
        self.model.join_products(config.joins_products)
        loss_model = LossModel(self.model, mode, recomputes=config.recompute == "blocks")
        self.loss_model = ranks.wrapped(loss_model, self.model.layers, self.device)
        self.optimizer = optimizer_of(self.model, config)
        self._n_sources, self._sum_dtype = n_sources, sum_dtype(self.device)

    def learning_rate(self, step: int) -> float:
        """Of the update that makes step ``step`` (from 1)."""
        return learning_rate_of(step, self.config)

    def gradients(self, step: int, batch: StepBatch, n_targets: int) -> Reading:
        """Takes the gradient of the mean loss over a batch, of which ``batch`` is this rank's part and ``n_targets``
        are those of all ranks. Errors: `UserError` when memory does not suffice."""
        self.model.train()
        self.optimizer.zero_grad()
        if self.compiles and self.config.compile_mode == "reduce-overhead":  # graphs use the memory of the step before
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if self.model.config.dropout:
            torch.manual_seed(step_seed(self.config.seed, step, self.ranks.rank))
        sums = torch.zeros(1 + 2 * self._n_sources, dtype=self._sum_dtype, device=self.device)
        parts = self._parts(batch)
        with enough_memory(self._of_batch()):
            for part in parts:
                with self._averaged(part is parts[-1]):
                    mean, own = self._mean_loss(part, n_targets)
                    torch.autograd.backward(mean * self.ranks.n_ranks)  # of which averaging takes the mean
                sums += own
            norm = whole(clip_gradients(self.model.parameters(), self.config.grad_clip))
        self.ranks.sum(sums)
        return Reading(step, torch.cat([sums[:1], norm.detach().to(self._sum_dtype)[None], sums[1:]]))

    def apply(self, step: int) -> None:
        """Makes the update of ``step`` with the gradient taken last. Errors: as in `gradients`."""
        set_learning_rate(self.optimizer, self.learning_rate(step))
        with enough_memory(self._of_all(self.model.config)):  # the first update makes the optimizer's state
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batches: Sequence[StepBatch]) -> list[float]:
        """The sum of all losses of ``batches`` in nats, the number of targets, then both by source."""
        self.model.eval()
        sums = torch.zeros(2 + 2 * self._n_sources, dtype=self._sum_dtype, device=self.device)
        together = self.ranks.divides_weights  # no rank can compute alone
        own = batches if together else batches[self.ranks.rank :: self.ranks.n_ranks]
        for batch in itertools.chain.from_iterable(self._parts(batch) for batch in own):
            here = batch.to(self.device)
            with precision(self.device, self.config.dtype):
                _, losses = self._alone(here)
            sums[0] += losses.to(self._sum_dtype).sum()
            sums[1] += batch.n_targets
            sums[2:] += self._by_source(losses, here)
        values: list[float] = (sums if together else self.ranks.sum(sums)).tolist()
        return values

    def sums_of_losses(self, sequences: Sequences) -> NDArray[np.float64]:
        """As in `textmill.train.likelihood`, by the model as it is now."""
        batch_tokens = (self.config.micro_batch_size or self.config.batch_size) * self.model.config.context_length
        with precision(self.device, self.config.dtype):
            return sums_of_losses(sequences, self._alone, self.device, batch_tokens, ranks=self.ranks)

    def state(self, step: int, log_line: dict[str, Any]) -> Checkpoint:
        """The checkpoint of ``step``, with its log line; its tensors are those that the next step changes."""
        model, optimizer = dict(self.model.state_dict()), self.optimizer.state_dict()
        parts = self.model.config, self.config, self.data, step, log_line, model, optimizer
        return Checkpoint(*parts, init_sha256=self._init_sha256)

    def resume(self, path: Path) -> dict[str, Any]:
        """Takes over the state kept in ``path``; the log line of its step. Errors: `WorkspaceError` when it is the
        state of another run."""
        kept = checkpoint.load(path, torch.device("cpu"))  # what follows sends each tensor where it belongs
        changes = [
            *_changes(kept.model_config, self.model.config),
            *_changes(kept.train_config, self.config),
            *_changes(kept.data, self.data),
        ]
        if kept.init_sha256 != self._init_sha256:
            before, now = (sha256[:12] or "none" for sha256 in (kept.init_sha256, self._init_sha256))
            changes.append(f"the initial weights were {before}, now {now}")
        if changes:
            raise WorkspaceError(
                f"{path} belongs to another run: {'; '.join(changes)}; use the same values or another folder"
            )
        like = self.model.state_dict()
        self.model.load_state_dict({name: divided(value, like[name]) for name, value in kept.model.items()})
        self.optimizer.load_state_dict(self._divided(kept.optimizer))
        return kept.last_log

    def _divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """This rank's part of an optimizer's state."""
        if not self.ranks.divides_weights:
            return state
        if isinstance(self.optimizer, MuonAndAdamW):
            pairs = zip(state["parts"], self.optimizer.parts, strict=True)
            return {"parts": [_divided_state(part, optimizer) for part, optimizer in pairs]}
        return _divided_state(state, self.optimizer)

    def _parts(self, batch: StepBatch) -> list[StepBatch]:
        """What is computed at once."""
        return batch.split(self.config.micro_batch_size or len(batch.inputs))

    def _mean_loss(self, batch: StepBatch, n_targets: int) -> tuple[Tensor, Tensor]:
        """The part of the mean that ``batch`` adds, and that with its sums by source, for the log."""
        here = batch.to(self.device)
        with precision(self.device, self.config.dtype):
            total, losses = self.loss_model(here)
        mean = total / n_targets
        return mean, torch.cat([mean.detach().to(self._sum_dtype)[None], self._by_source(losses, here)])

    def _by_source(self, losses: Tensor, batch: StepBatch) -> Tensor:
        if not self._n_sources:
            return losses.new_empty(0, dtype=self._sum_dtype)
        return sums_by_source(losses, batch, self._n_sources).flatten()

    @property
    def _alone(self) -> torch.nn.Module:
        """The model with its loss, not as ranks share it."""
        return self.loss_model.module if self.ranks.parallel == "ddp" else self.loss_model  # type: ignore[return-value]

    def _averaged(self, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Ranks exchange gradients with the last part of a batch only."""
        if is_last or self.ranks.parallel != "ddp":
            return contextlib.nullcontext()
        return self.loss_model.no_sync()  # type: ignore[operator]

    def _of_all(self, config: ModelConfig) -> str:
        """What to do when memory does not hold the weights and what belongs to them."""
        return (
            f"a model of {n_parameters(config):,} parameters and its optimizer do not fit into the memory of "
            f"{self.device}; make it smaller: d_model, n_layers or vocab_size"
        )

    def _of_batch(self) -> str:
        """What to do when memory does not hold a batch."""
        rows = self.config.micro_batch_size or self.config.batch_size // self.ranks.n_ranks
        ways = [f"set micro_batch_size to {rows // 2}"] if rows > 1 else []
        ways += ["recompute to blocks"] if self.config.recompute == "none" else []
        return (
            f"{rows} sequences at once do not fit into the memory of {self.device}; "
            f"{', or '.join(ways) or 'make the model or its context_length smaller'}"
        )


@contextlib.contextmanager
def enough_memory(message: str) -> Iterator[None]:
    """Errors: `UserError` with this ``message`` when a device has no more memory."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or OF_MEMORY.search(str(error))):
            raise
        raise UserError(message) from error


def _divided_state(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    own = {i: {name: divided(v, weights[i]) for name, v in values.items()} for i, values in state["state"].items()}
    return {**state, "state": own}


def step_seed(seed: int, step: int, rank: int) -> int:
    """What a rank's dropout of a step is drawn from, so that a resumed run draws the same."""
    return int(np.random.SeedSequence([seed, step, rank][: 3 if rank else 2]).generate_state(1, np.uint64)[0])


def device_named(name: str) -> torch.device:
    """One of the `DEVICES`. Errors: `EnvironmentFault` when there is no GPU."""
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(name for name, there in is_there.items() if there)
    if not is_there[name]:
        raise EnvironmentFault(f"device is {name}, but torch finds no GPU here; use device=cpu or auto")
    return torch.device(name)


def precision(device: torch.device, dtype: str) -> torch.autocast:
    """Matrix products in bfloat16 where asked for, or by default on a GPU; all else stays in float32."""
    in_bfloat16 = dtype == "bfloat16" or (dtype == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_bfloat16)


def _changes(kept: DataclassInstance, asked: DataclassInstance) -> list[str]:
    """The fields that differ and matter."""
    before, now = ({name: v for name, v in asdict(of).items() if name not in FREE_ON_RESUME} for of in (kept, asked))
    return differences(before, now)
