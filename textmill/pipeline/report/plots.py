"""Plots with axes: where lines, points and ticks stand, in the units of an SVG that ``plots.html.j2`` draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from textmill.pipeline.report.values import Section, compact

ROUND = (1, 2, 5)
WIDTH = 1040  # of a plot, without its margins

Points = Sequence[tuple[float, float]]
Written = Callable[[float], str]  # how a tick is written


def counted(tick: float) -> str:
    """A tick of an axis of counts: 5k."""
    return compact(round(tick)).replace(".0", "")


def measured(tick: float) -> str:
    """A tick of an axis of values."""
    return f"{tick:.3g}"


class Axis(Protocol):
    """A range of values, and where each of them stands in it."""

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        ...

    def ticks(self) -> list[float]:
        """Round values within the range."""
        ...

    @property
    def written(self) -> Written: ...


class Logarithmic:
    """An axis on which equal factors are equal distances."""

    def __init__(self, low: float, high: float, written: Written = measured) -> None:
        self.written = written
        self._low, self._high = math.log10(low), math.log10(high)

    def share(self, value: float) -> float:
        return (math.log10(value) - self._low) / (self._high - self._low)

    def ticks(self, leading: Sequence[int] = ROUND) -> list[float]:
        """Powers of ten times each of the leading digits, but for those at its very ends."""
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        return [n * 10.0**power for power in powers for n in leading if 0.02 < self.share(n * 10.0**power) < 0.98]


class Linear:
    """An axis on which equal differences are equal distances."""

    def __init__(self, low: float, high: float, written: Written = measured) -> None:
        self.written = written
        self._low, self._high = low, high if high > low else low + 1

    def share(self, value: float) -> float:
        return (value - self._low) / (self._high - self._low)

    def ticks(self) -> list[float]:
        """Some four to ten."""
        whole = self._high - self._low
        step = next(n * 10.0**power for power in range(-9, 13) for n in ROUND if whole / (n * 10.0**power) < 10)
        return [step * i for i in range(math.ceil(self._low / step), math.floor(self._high / step) + 1)]


@dataclass(frozen=True)
class Line:
    """A line through points (x, y) and its name; ``faint`` for one that others are compared with."""

    name: str
    points: Points
    faint: bool = False


def plot(lines: Sequence[Line], x: Axis, y: Axis, height: int, marks: Points = ()) -> Section:
    """What is drawn of ``lines``, and of ``marks``, which are single points."""

    def placed(points: Points) -> list[tuple[float, float]]:
        return [(round(WIDTH * x.share(a), 1), round(height * (1 - y.share(b)), 1)) for a, b in points]

    return {
        "width": WIDTH,
        "height": height,
        "lines": [{"name": line.name, "faint": line.faint, "points": placed(line.points)} for line in lines],
        "marks": placed(marks),
        "x_ticks": [(round(WIDTH * x.share(tick), 1), x.written(tick)) for tick in x.ticks()],
        "y_ticks": [(round(height * (1 - y.share(tick)), 1), y.written(tick)) for tick in y.ticks()],
    }
