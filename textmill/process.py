"""What a process of textmill sets for itself, at its very start."""

from __future__ import annotations

import gc
import os

COLLECT_AFTER = 50_000  # new objects; by Python's 700, a tenth of the CPU time of a short run is looking for garbage


def lean() -> None:
    """Before anything heavy is imported: few collections of garbage, and no threads for numpy's matrix products, which
    spin for .1 s of CPU until they see that nothing is asked of them. A number that the user has set stays."""
    gc.set_threshold(COLLECT_AFTER)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def dask_setup(_: object) -> None:
    """The same for a Dask worker, which has this module as a preload."""
    lean()
