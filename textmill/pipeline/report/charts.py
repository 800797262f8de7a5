"""Charts as SVG: a few hundred bytes each, made of numbers only, with nothing to load and no script.

A chart fills the box that it is put in (`WIDTH` x `HEIGHT` of its own units, stretched), so it holds no text: what the
axes say stands in HTML around it. Heights of histograms are square roots, so that small bars can be seen.
"""

from __future__ import annotations

import math
from itertools import pairwise

from textmill.pipeline.report.values import Section

WIDTH, HEIGHT = 1000, 100


def histogram(made: Section) -> str:
    """A histogram of an account: the region that the rules keep is shaded, and its bounds are dashed lines."""
    edges, counts = made["edges"], made["counts"]
    log = made.get("log", False)
    first, last = _position(edges[0], log), _position(edges[-1], log)

    def x(value: float) -> int:
        share = (_position(value, log) - first) / (last - first)
        return round(WIDTH * min(max(share, 0.0), 1.0))

    most = max(counts, default=0)
    bars = "".join(_bar(x(a), x(b), n, most) for (a, b), n in zip(pairwise(edges), counts, strict=True) if n)
    return _svg(_kept(made, x(_low(made)), x(_high(made))) + f'<path d="{bars}"/>')


def _position(value: float, log: bool) -> float:
    return math.log(max(value, 1e-9)) if log else value


def _bar(left: int, right: int, n: int, most: int) -> str:
    height = max(2, round(HEIGHT * math.sqrt(n / most)))
    return f"M{left} {HEIGHT}v-{height}h{max(1, right - left - 2)}v{height}z"


def _low(made: Section) -> float:
    """Where the kept region begins; a bar of an integer reaches from half below it to half above."""
    low = made.get("low")
    return float(made["edges"][0] if low is None else low - made["integer"] / 2)


def _high(made: Section) -> float:
    high = made.get("high")
    return float(made["edges"][-1] if high is None else high + made["integer"] / 2)


def _kept(made: Section, left: int, right: int) -> str:
    """The shaded region and the bounds that lie inside of the chart."""
    given = [(left, _low(made), made.get("low")), (right, _high(made), made.get("high"))]
    if all(bound is None for _, _, bound in given):
        return ""
    edges = made["edges"]
    lines = [at for at, value, bound in given if bound is not None and edges[0] <= value <= edges[-1]]
    band = f'<rect class="kept" x="{left}" width="{right - left}" height="{HEIGHT}"/>' if left < right else ""
    return band + "".join(f'<path class="bound" d="M{at} 0V{HEIGHT}"/>' for at in lines)


def step(left: float, gone: float, left_bytes: float, gone_bytes: float) -> str:
    """What a step leaves and what it removes, as shares of a whole: documents above, bytes below."""
    rows = ((left, gone, 0, 56, "docs"), (left_bytes, gone_bytes, 66, 34, "bytes"))
    return _svg("".join(_pair(*row) for row in rows))


def _pair(left: float, gone: float, top: int, height: int, what: str) -> str:
    """A bar of what is left, and beside it one of what is gone; both can be seen if there is any."""
    width, rest = (max(2, round(WIDTH * share)) if share > 0 else 0 for share in (left, gone))
    bars = ((0, width, f"left {what}"), (width, rest, "gone"))
    return "".join(
        f'<rect class="{kind}" x="{x}" y="{top}" width="{w}" height="{height}"/>' for x, w, kind in bars if w
    )


def _svg(content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{content}</svg>'
