"""The account of a decontamination as one HTML page that needs nothing else, in the manner of `report.page`."""

from __future__ import annotations

from textmill.pipeline.report.values import (
    Section,
    lines,
    long_text,
    number,
    percent,
    piece,
    share,
    size_or_blank,
    templates,
)

SHOWN_ITEMS, SHOWN_SKIPPED = 200, 50


def to_html(account: Section) -> str:
    """The page. Page text is hostile: all of it is escaped, and the page may load nothing and has no script."""
    environment = templates()
    environment.filters |= {
        "lines": lines,
        "number": number,
        "percent": percent,
        "piece": piece,
        "safe_text": long_text,
        "share": share,
        "size": size_or_blank,
    }
    template = environment.get_template("contamination.html.j2")
    return template.render(account=account, shown_items=SHOWN_ITEMS, shown_skipped=SHOWN_SKIPPED)
