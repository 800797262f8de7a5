"""The account of a run as one HTML page that needs nothing else. The layout lies in ``page.html.j2`` and ``page.css``.

Page text is hostile. Everything from data goes through `textmill.terminal.safe` and Jinja's escaping; charts are made
of numbers only; and a policy in the page forbids it to load anything and to run any script: it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textmill import storage
from textmill.errors import UserError
from textmill.pipeline.report import charts, training
from textmill.pipeline.report.families import by_family
from textmill.pipeline.report.marks import pieces_of
from textmill.pipeline.report.values import (
    Section,
    bounds,
    compact,
    lines,
    long_text,
    number,
    percent,
    piece,
    share,
    signed_size,
    size_or_blank,
    templates,
)


def write_html(account: Section, uri: str, whatif: str = "") -> None:
    """Write the page to ``uri``, whole or not at all. Errors: `UserError` where that cannot be written."""
    try:
        storage.write_text(to_html(account, whatif), uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


def to_html(account: Section, whatif: str = "") -> str:
    """The page. Sections follow from what the account holds; ``whatif`` is the address of the page with sliders."""
    from markupsafe import Markup

    def drawn(chart: Callable[[Any], str]) -> Callable[[Any], Markup]:
        return lambda values: Markup(chart(values))

    environment = templates()
    environment.filters |= training.filters()
    environment.filters |= {
        "bounds": bounds,
        "by_family": by_family,
        "class_sizes": _class_sizes,
        "compact": compact,
        "histogram": drawn(charts.histogram),
        "lines": lines,
        "step_chart": drawn(lambda shown: charts.step(*shown["shares"])),
        "with_shares": _with_shares,
        "number": number,
        "piece": piece,
        "pieces": lambda sample: pieces_of(sample["text"], sample["marks"]),
        "overlap": _overlap,
        "percent": percent,
        "safe_text": long_text,
        "share": share,
        "size": size_or_blank,
        "excerpt_of": _excerpt_of,
        "signed_size": signed_size,
        "words": lambda name: long_text(name).replace("_", " "),
        "unique": lambda values: list(dict.fromkeys(values)),
    }
    histograms = {(made["stage"], made["column"]): made for made in account.get("histograms", [])}
    return environment.get_template("page.html.j2").render(
        account=account,
        whatif=whatif,
        shape_of=lambda decision, rule: histograms.get((decision["scores"], rule["column"])),
    )


def _with_shares(funnel: Sequence[Section]) -> list[Section]:
    """The steps with what their bars show: documents left and removed as shares of all, then bytes of text."""
    whole = max((step["rows"] for step in funnel), default=0) or 1
    whole_bytes = max((step["bytes"] or 0 for step in funnel if not step["of_html"]), default=0) or 1

    def shares(step: Section) -> list[float]:
        n_bytes = 0 if step["of_html"] else step["bytes"] or 0
        documents = step["rows"] / whole, step["removed_from_previous"] / whole
        return [*documents, n_bytes / whole_bytes, (step["removed_bytes"] or 0) / whole_bytes]

    return [step | {"shares": shares(step)} for step in funnel]


def _excerpt_of(sample: Section) -> str:
    """Which part of which text a sample shows."""
    what = f"text as edited by {', '.join(sample['edited_by'])}" if sample["edited_by"] else "text as extracted"
    where = f"from character {sample['start_chars']:,}" if sample["start_chars"] else ""
    return ", ".join(filter(None, [what, where]))


def _overlap(decision: Section) -> list[Section]:
    """The rows of the heat map: each rule that some document fails, and how many fail it and each of these rules."""
    numbered = [rule | {"place": i} for i, rule in enumerate(decision["rules"]) if rule["alone"]]
    failing = [rule for family in by_family(numbered).values() for rule in family]
    return [
        {
            "number": rule["place"] + 1,
            "reason": rule["reason"],
            "alone": rule["alone"],
            "both": [decision["overlap"][rule["place"]][other["place"]] for other in failing],
        }
        for rule in failing
    ]


def _class_sizes(sizes: Sequence[Section]) -> list[Section]:
    """Clusters by size, in classes that double: 2, 3-4, 5-8, ..."""
    classes: dict[int, int] = {}
    for row in sizes:
        power = (row["size"] - 1).bit_length()
        classes[power] = classes.get(power, 0) + row["n"]
    names = {power: "2" if power == 1 else f"{2 ** (power - 1) + 1}-{2**power}" for power in range(1, max(classes) + 1)}
    return [{"documents": name, "n": [classes.get(power, 0)]} for power, name in names.items()]
