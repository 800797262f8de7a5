"""Rule families, one a file: what it measures, then the published rules on it.

A family is imported by whoever uses it; this module only knows their names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from textmill.errors import UnknownNameError

if TYPE_CHECKING:
    from textmill.filters.base import Preset, Scorer

SCORERS = {
    "GopherQuality": "textmill.filters.gopher",
    "Language": "textmill.filters.language",
    "OptOut": "textmill.filters.optout",
    "PersonalData": "textmill.filters.pii",
    "UrlDenied": "textmill.filters.url",
}

# Modules that hold a dictionary PRESETS, by the first part of the presets' names.
FAMILIES = {
    "gopher": "textmill.filters.gopher",
    "pii": "textmill.filters.pii",
}


def scorer_class(name: str) -> type[Scorer]:
    """The scorer of this name. Errors: `UnknownNameError`."""
    if name not in SCORERS:
        raise UnknownNameError("scorer", name, SCORERS)
    return getattr(importlib.import_module(SCORERS[name]), name)


def preset(name: str) -> Preset:
    """The published rules of this name, such as ``gopher@dolma``. Errors: `UnknownNameError`."""
    family = name.partition("@")[0]
    if family not in FAMILIES:
        raise UnknownNameError("preset", name, preset_names())
    from textmill.filters.base import named

    return named(importlib.import_module(FAMILIES[family]).PRESETS, name)


def preset_names() -> list[str]:
    """Names of all presets."""
    return sorted(name for module in FAMILIES.values() for name in importlib.import_module(module).PRESETS)
