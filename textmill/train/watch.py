"""Spikes: steps whose loss or gradient norm is far above those before.

As in llm.c, a value is measured in standard deviations from the mean of a window of steps before it. A window that is
not full says nothing, so the steep beginning of a training raises no alarm. Every value enters the window, so a lasting
change is a spike only at first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW_STEPS = 128
QUIET_FRAC = 1e-3  # of the mean: deviations below that are no reason for alarm, however even the window


@dataclass(frozen=True)
class Spike:
    """A step that stands out; ``z`` are standard deviations, None for a value that is not finite."""

    step: int
    loss_z: float | None
    grad_norm_z: float | None


class Watch:
    """Loss and gradient norm of late steps."""

    def __init__(self, spike_z: float, before: Iterable[tuple[float, float]] = ()) -> None:
        """``before``: the loss and the gradient norm of earlier steps, in order."""
        self._spike_z = spike_z
        self._window = deque(before, maxlen=WINDOW_STEPS)

    def see(self, step: int, loss: float, grad_norm: float) -> Spike | None:
        """Takes the values of ``step`` in; says whether it is a spike."""
        losses, norms = zip(*self._window, strict=True) if len(self._window) == WINDOW_STEPS else ((), ())
        loss_z, norm_z = _z(loss, losses), _z(grad_norm, norms)
        self._window.append((loss, grad_norm))
        if max(loss_z, norm_z) < self._spike_z:
            return None
        return Spike(step, *(z if math.isfinite(z) else None for z in (loss_z, norm_z)))


def _z(value: float, window: Iterable[float]) -> float:
    """How many deviations ``value`` is above the mean of ``window``: 0 for an empty one, infinity for NaN."""
    if not math.isfinite(value):
        return math.inf
    values = list(window)
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return (value - mean) / max(deviation, QUIET_FRAC * abs(mean), 1e-12)
