"""Checkpoints that are written while training goes on.

The state is copied to memory of the host, which is all that a step waits for, and a thread writes the copy. On a GPU
even the copy goes on beside what is computed next; nothing of that changes the state before it is copied, since both
wait in one queue. There is one copy, in memory that is used again: a checkpoint waits for the one before.

What ranks share out is gathered tensor by tensor, so that no GPU holds all of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from textmill.train import checkpoint
from textmill.train.checkpoint import Checkpoint
from textmill.train.parallel import Ranks, whole


class Snapshots:
    """Writes the checkpoints of a run to ``path``; leaving its context waits for the last one."""

    def __init__(self, path: Path, ranks: Ranks) -> None:
        self._path, self._writes = path, ranks.is_first
        self._copies = _Copies()
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._written: Future[None] | None = None

    def __enter__(self) -> Snapshots:
        if self._writes:
            checkpoint.remove_leftovers(self._path)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def keep(self, state: Checkpoint, before: Callable[[], None]) -> None:
        """Copies ``state``, and writes the copy in its own time, after a call of ``before``. Called by all ranks.

        Errors: `EnvironmentFault` when the one before could not be written.
        """
        self.wait()
        copied = {
            name: self._copies.of(getattr(state, name), (name,), kept=self._writes) for name in ("model", "optimizer")
        }
        if self._writes:
            self._written = self._thread.submit(self._write, replace(state, **copied), _copied_event(), before)

    def wait(self) -> None:
        """Until what was to be kept is on disk. Errors: `EnvironmentFault` when it could not be written."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write(self, state: Checkpoint, copied: torch.cuda.Event | None, before: Callable[[], None]) -> None:
        if copied is not None:
            copied.synchronize()
        before()
        checkpoint.save(state, self._path)


def _copied_event() -> torch.cuda.Event | None:
    """What happens when all copies that were begun are done; None where they are done already."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event


class _Copies:
    """Tensors in memory of the host that the next copies use again; pinned for those of a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[object, ...], Tensor] = {}

    def of(self, tree: Any, at: tuple[object, ...], *, kept: bool) -> Any:
        """``tree`` (dictionaries, lists) with copies for its tensors; what is not ``kept`` is only gathered."""
        if isinstance(tree, dict):
            return {key: self.of(value, (*at, key), kept=kept) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.of(value, (*at, i), kept=kept) for i, value in enumerate(tree)]
        if not isinstance(tree, Tensor):
            return tree
        gathered = whole(tree)
        return self._copy(gathered, at) if kept else None

    def _copy(self, tensor: Tensor, at: tuple[object, ...]) -> Tensor:
        if at not in self._buffers:
            self._buffers[at] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        return self._buffers[at].copy_(tensor, non_blocking=tensor.is_cuda)
