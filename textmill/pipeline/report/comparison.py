"""A comparison of tokenizers as plain values, as tables on the terminal, and as one HTML page that needs nothing else.

The page has no script; names of files and languages are data, and escaped. Its plots are SVG and boxes whose places are
shares of an axis. Axes of sizes and of fertility are logarithmic: a step to the right is a factor.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from textmill import terminal
from textmill.pipeline.report.plots import Line, Linear, Logarithmic, counted, plot
from textmill.pipeline.report.values import (
    Section,
    compact,
    long_text,
    number,
    percent,
    share,
    size_or_blank,
    templates,
)
from textmill.tokenize.compare import RARE, Comparison, Group, Measured

SHOWN_GROUPS = 40
UNITS = ("word", "character")
HEIGHT = 340  # of the plot of curves


def account_of(comparison: Comparison) -> Section:
    """Everything that was measured, as JSON has it."""
    n_bytes, n_chars = comparison.n_bytes, comparison.n_chars
    return {
        "bytes": n_bytes,
        "chars": n_chars,
        "tokenizers": [_tokenizer(measured, n_bytes, n_chars) for measured in comparison.tokenizers],
        "groups": [_group(group, comparison.tokenizers) for group in comparison.groups],
    }


def _tokenizer(measured: Measured, n_bytes: int, n_chars: int) -> Section:
    n_tokens, seconds = measured.n_tokens, max(measured.seconds, 1e-9)
    return {
        "name": measured.name,
        "vocab_size": measured.vocab_size,
        "n_tokens": n_tokens,
        "bytes_per_token": n_bytes / max(1, n_tokens),
        "tokens_per_char": n_tokens / max(1, n_chars),
        "unknown_frac": measured.unknown_frac,
        "unused_frac": measured.unused_frac,
        "rare_frac": measured.rare_frac,
        "tokens_per_s": n_tokens / seconds,
        "bytes_per_s": n_bytes / seconds,
        "curve": measured.curve,
    }


def _group(group: Group, tokenizers: Sequence[Measured]) -> Section:
    tokens = {measured.name: measured.group_tokens[group.name] for measured in tokenizers}
    return {
        "name": group.name,
        "unit": group.unit,
        "bytes": group.n_bytes,
        "chars": group.n_chars,
        "words": group.n_words,
        "fertility": {name: n / max(1, group.n_units) for name, n in tokens.items()},
    }


def print_comparison(account: Section, to: Console) -> None:
    """What each tokenizer did, and its fertility on the largest groups, as tables."""
    rows = [
        [
            made["name"],
            made["vocab_size"],
            f"{made['bytes_per_token']:.2f}",
            f"{made['tokens_per_char']:.3f}",
            _percent(made["unknown_frac"]),
            _percent(made["unused_frac"]),
            _percent(made["rare_frac"]),
            f"{made['bytes_per_s'] / 1e6:.0f}",
            compact(int(made["tokens_per_s"])),
        ]
        for made in account["tokenizers"]
    ]
    header = ["", "entries", "bytes/token", "tokens/char", "unknown", "unused", "rare", "MB/s", "tokens/s"]
    to.print(terminal.table(f"{terminal.size(account['bytes'])} of text", header, rows))
    to.print(f"unknown: of the tokens; unused, and rare (fewer than {RARE} times): of the vocabulary", style="dim")
    for unit in UNITS:
        groups = [group for group in account["groups"] if group["unit"] == unit][:SHOWN_GROUPS]
        if groups:
            names = [made["name"] for made in account["tokenizers"]]
            cells = [
                [group["name"], terminal.size(group["bytes"]), *(f"{group['fertility'][name]:.2f}" for name in names)]
                for group in groups
            ]
            to.print()
            to.print(terminal.table(f"tokens per {unit}", ["group", "text", *names], cells))


def _percent(value: float | None) -> str:
    return "" if value is None else percent(value, 1)


def to_html(comparison: Comparison) -> str:
    """The page."""
    account = account_of(comparison)
    environment = templates()
    environment.filters |= {
        "compact": compact,
        "number": number,
        "percent": percent,
        "safe_text": long_text,
        "share": share,
        "size": size_or_blank,
    }
    return environment.get_template("comparison.html.j2").render(
        account=account,
        curves=_curves(account["tokenizers"]),
        fertility=[made for unit in UNITS if (made := _fertility(account, unit))],
        speed=_speed(account["tokenizers"]),
        rare=RARE,
        shown_groups=SHOWN_GROUPS,
    )


def _curves(tokenizers: Sequence[Section]) -> Section:
    """The plot of compression against the size of the vocabulary: a line or a point for each tokenizer."""
    lines = [
        Line(made["name"], made["curve"] or [(made["vocab_size"], made["bytes_per_token"])]) for made in tokenizers
    ]
    sizes = [size for line in lines for size, _ in line.points]
    top = 1.08 * max(value for line in lines for _, value in line.points)
    return plot(lines, Logarithmic(min(sizes) / 1.1, max(sizes) * 1.25, counted), Linear(0, top), HEIGHT)


def _fertility(account: Section, unit: str) -> Section | None:
    """The groups whose tokens are counted by this unit, and where each tokenizer stands on their common axis."""
    groups = [group for group in account["groups"] if group["unit"] == unit and min(group["fertility"].values()) > 0]
    if not groups:
        return None
    shown = groups[:SHOWN_GROUPS]
    values = [value for group in shown for value in group["fertility"].values()]
    axis = Logarithmic(min(values) / 1.1, max(values) * 1.1)
    return {
        "unit": unit,
        "n_groups": len(groups),
        "groups": [group | {"at": [axis.share(value) for value in group["fertility"].values()]} for group in shown],
        "ticks": [(axis.share(tick), f"{tick:g}") for tick in axis.ticks()],
    }


def _speed(tokenizers: Sequence[Section]) -> Section:
    """Where each tokenizer stands on an axis of bytes a second."""
    values = [made["bytes_per_s"] for made in tokenizers]
    axis = Logarithmic(min(values) / 3, max(values) * 1.5)
    return {
        "at": [axis.share(value) for value in values],
        "ticks": [(axis.share(tick), terminal.size(tick).replace(".0", "")) for tick in axis.ticks((1,))],
    }
