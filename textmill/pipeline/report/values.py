"""How the values of an account are written: as JSON has them, and as people read them."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from pathlib import Path
from typing import Any

from textmill.terminal import safe, size

Section = dict[str, Any]  # a part of an account, or all of it: plain JSON values


def plain(value: Any) -> Any:
    """A value as JSON has it: 7 digits of a float are all that a float32 knows, and infinity is a word."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else str(value)


def number(value: object) -> str:
    """A number with its thousands apart and at most 4 digits of a fraction; text is made safe to show."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:,.4g}"
    return safe(value)


def compact(n: int) -> str:
    """A count in at most four characters: 950, 1.2k, 15k, 3.4M."""
    value, units = float(n), iter("kMGT")
    unit = ""
    while value >= 999.5:
        value, unit = value / 1000, next(units)
    return f"{value:.1f}{unit}" if unit and value < 9.95 else f"{value:.0f}{unit}"


def size_or_blank(n_bytes: float | None) -> str:
    return "" if n_bytes is None else size(n_bytes)


def signed_size(n_bytes: int) -> str:
    """Bytes that were removed; with a plus if they were added."""
    return size(n_bytes) if n_bytes >= 0 else f"+{size(-n_bytes)}"


def percent(part: float, whole: float) -> str:
    """A share in percent, with the digits that it needs; never 0 or 100 for what is not."""
    if not whole:
        return ""
    value = 100 * part / whole
    if 0 < value < 0.1:
        return "<0.1%"
    if 99.9 < value < 100:
        return ">99.9%"
    return f"{value:.1f}%"


def share(part: float, whole: float) -> str:
    """A share as a CSS number from 0 to 1."""
    return f"{part / whole if whole else 0:.4f}"


def lines(text: str) -> str:
    """The lines of a text that are not blank, any white space as one space; control characters show as escapes."""
    tidy = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(safe(line, 10 * len(line)) for line in tidy if line)


def piece(text: str) -> str:
    """As `lines`, of a part of a text: white space at its ends stays, as one space or newline."""
    tidy = re.sub(r"[^\S\n]+", " ", re.sub(r"\s*\n\s*", "\n", text))
    return "\n".join(safe(line, 10 * len(line) + 1) for line in tidy.split("\n"))


def long_text(value: object) -> str:
    """A value as one line that is safe to show, such as a URL."""
    return safe(value, 500)


def bounds(rule: Section) -> str:
    """What a rule keeps, in a few characters: ``≥ 50``."""
    low, high = rule["low"], rule["high"]
    if low == high:
        return f"= {low}"
    at_most, at_least = ("<", ">") if rule.get("exclusive") else ("≤", "≥")
    if low is None:
        return f"{at_most} {number(high)}"
    return f"{at_least} {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def templates(**options: Any) -> Any:
    """Where the templates of the pages are: a jinja2 environment that escapes all text, with further options.

    Compiled templates stay beside compiled modules, where Python may write these; compiling takes ten times as long as
    writing a page.
    """
    from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader

    class Compiled(FileSystemBytecodeCache):
        def load_bytecode(self, bucket: Any) -> None:
            try:
                super().load_bytecode(bucket)
            except Exception:  # a damaged file raises what it likes
                bucket.reset()

        def dump_bytecode(self, bucket: Any) -> None:
            with contextlib.suppress(OSError):  # no permission, no room
                super().dump_bytecode(bucket)

    beside = Path(__file__).parent / "__pycache__"
    return Environment(
        loader=PackageLoader("textmill.pipeline.report", "."),
        autoescape=True,
        keep_trailing_newline=True,
        optimized=False,  # else values of constants, that our filters make, would be compiled in
        bytecode_cache=None if sys.dont_write_bytecode else Compiled(str(beside), "%s.j2c"),
        **{"trim_blocks": True, "lstrip_blocks": True, **options},
    )
