"""Several processes that train one model together, as ``torchrun`` starts them, each on its part of every batch.

With ``parallel=ddp`` each holds all weights, and gradients are averaged (Li et al. 2020); with ``fsdp`` weights,
gradients and the optimizer's state are shared out too, layer by layer (FSDP2, Zhao et al. 2023). Processes talk by
NCCL on GPUs and by gloo on CPUs. The first one writes the log and the checkpoints.

A process that ends takes the others along: those that wait for it are told by its closed connections, or by torchrun,
or wait for `PATIENCE` where nobody tells them. The run goes on from its last checkpoint when it is started again.
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from textmill.errors import EnvironmentFault, UserError

PATIENCE = datetime.timedelta(minutes=10)
OF_A_CONNECTION = re.compile("gloo|NCCL|Connection (closed|reset)|Broken pipe")


@dataclass(frozen=True)
class Ranks:
    """The processes of a training and the place of this one among them."""

    rank: int = 0
    n_ranks: int = 1
    parallel: str = "none"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """``values`` added up over all ranks, in place."""
        if self.n_ranks > 1:
            dist.all_reduce(values)
        return values

    @property
    def divides_weights(self) -> bool:
        return self.parallel == "fsdp"

    def wrapped(self, module: nn.Module, blocks: Iterable[nn.Module], device: torch.device) -> nn.Module:
        """``module`` with gradients that are means over the ranks. ``blocks`` are gathered one after the other where
        weights are shared out; optimizers are made after that."""
        if self.parallel == "ddp":
            known = inspect.signature(DistributedDataParallel).parameters  # the newer name is that of torch 2.13
            syncs = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
            tables: dict[str, Any] = {syncs: False}  # which all ranks have
            return DistributedDataParallel(module, **tables)
        if self.divides_weights:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard  # takes a second

            mesh = init_device_mesh(device.type, (self.n_ranks,))
            for part in (*blocks, module):
                fully_shard(part, mesh=mesh)
        return module

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.n_ranks > 1:
            dist.barrier()


ALONE = Ranks()


def is_first_process() -> bool:
    """Whether this process speaks for all that ``torchrun`` started; one that it did not start does."""
    return os.environ.get("RANK", "0") == "0"


def whole(tensor: Any) -> Any:
    """``tensor`` as one process has it: gathered, by all ranks together, if they share it out."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def divided(value: Any, like: Any) -> Any:
    """The part of ``value`` that goes with this rank's part of the weight ``like``, if it has its shape."""
    if not hasattr(like, "placements") or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, like.device_mesh, like.placements)


def own_part(tensor: Any) -> Any:
    """What this rank holds of ``tensor``: all of it, unless it is shared out. The same memory."""
    return tensor.to_local() if hasattr(tensor, "placements") else tensor


def gathered(part: Tensor, like: Any) -> Tensor:
    """The whole of which each rank holds a ``part``, as it does of ``like``."""
    if not hasattr(like, "placements"):
        return part
    from torch.distributed.tensor import DTensor

    shape = {"shape": like.shape, "stride": like.stride()}
    return DTensor.from_local(part, like.device_mesh, like.placements, **shape).full_tensor()


def cut_like(value: Tensor, like: Any) -> Tensor:
    """This rank's part of ``value``, which all have, as it holds of ``like``."""
    if not hasattr(like, "placements"):
        return value
    from torch.distributed.tensor import distribute_tensor

    part: Tensor = distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None).to_local()
    return part


@contextlib.contextmanager
def joined(parallel: str, device: torch.device) -> Iterator[Ranks]:
    """The ranks that ``torchrun`` started. Errors: `UserError` when it did not, or did unasked."""
    n_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if parallel == "none":
        if n_ranks > 1:
            raise UserError(f"torchrun started {n_ranks} processes, but parallel is none; set it to ddp")
        yield ALONE
        return
    if "RANK" not in os.environ:
        raise UserError(f"parallel is {parallel}, which needs processes: start with torchrun, or set it to none")
    if device.type == "mps":
        raise UserError(f"parallel is {parallel}, which Apple's GPU does not do; set device=cpu, or parallel=none")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), parallel)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or OF_A_CONNECTION.search(str(error))):
            raise
        raise EnvironmentFault(
            "another process of this training is gone or does not answer; what it said last tells why; the last "
            "checkpoint stays, and the same command goes on from there"
        ) from error
    dist.destroy_process_group()  # which would wait for the others; a process that fails just ends
