"""Rules and scores in families, by the first part of their column's name, so that eighty of them can be looked at."""

from __future__ import annotations

from collections.abc import Iterable

from textmill.pipeline.report.values import Section

# Families that go by another name than their columns' prefix.
TITLES = {
    "rps": "RedPajama signals",
    "curator": "NeMo Curator",
    "fineweb": "FineWeb",
    "refinedweb": "RefinedWeb",
    "optout": "opt-out",
}
TITLES |= {"c4": "C4", "url": "URL", "gopher": "Gopher", "repetition": "Gopher repetition"}
TITLES |= {"nsfw": "NSFW", "quality": "quality classifier"}


def prefix_of(column: str) -> str:
    """``gopher`` of ``gopher_n_words``."""
    return column.partition("_")[0]


def title_of(column: str) -> str:
    """What people call the family of a column."""
    return TITLES.get(prefix_of(column), prefix_of(column))


def by_family(entries: Iterable[Section]) -> dict[str, list[Section]]:
    """Entries that have a ``column``, by the title of its family; families and entries stay in their order."""
    families: dict[str, list[Section]] = {}
    for entry in entries:
        families.setdefault(title_of(entry["column"]), []).append(entry)
    return families
