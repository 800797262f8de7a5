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
    "BadWords": "textmill.filters.c4",
    "C4": "textmill.filters.c4",
    "CuratorRatios": "textmill.filters.curator",
    "FineWebQuality": "textmill.filters.fineweb",
    "GopherQuality": "textmill.filters.gopher",
    "Language": "textmill.filters.language",
    "ModelLoss": "textmill.filters.model_losses",
    "Nsfw": "textmill.filters.toxicity",
    "OptOut": "textmill.filters.optout",
    "ParagraphLanguages": "textmill.filters.language",
    "Perplexity": "textmill.filters.perplexity",
    "PersonalData": "textmill.filters.pii",
    "QualityClassifier": "textmill.filters.classifier",
    "RedPajamaSignals": "textmill.filters.signals",
    "RefinedWeb": "textmill.filters.refinedweb",
    "Repetition": "textmill.filters.repetition",
    "Toxic": "textmill.filters.toxicity",
    "UrlDenied": "textmill.filters.url",
    "UrlParts": "textmill.filters.url_parts",
    "UrlWords": "textmill.filters.url_words",
}

# Modules that hold a dictionary PRESETS, by the first part of the presets' names.
FAMILIES = {
    "c4": "textmill.filters.c4",
    "classifier": "textmill.filters.classifier",
    "fineweb": "textmill.filters.fineweb",
    "gopher": "textmill.filters.gopher",
    "heuristics": "textmill.filters.curator",
    "perplexity": "textmill.filters.perplexity",
    "pii": "textmill.filters.pii",
    "refinedweb": "textmill.filters.refinedweb",
    "signals": "textmill.filters.signals",
    "url": "textmill.filters.url",
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


def preset_for(name: str, language: str) -> Preset:
    """`preset` in its version for a language (ISO 639-1), if its family has any. Errors: `UnknownNameError`."""
    found = preset(name)
    family = importlib.import_module(FAMILIES[name.partition("@")[0]])
    return family.for_language(name, language) if hasattr(family, "for_language") else found


def preset_names() -> list[str]:
    """Names of all presets."""
    return sorted(name for module in FAMILIES.values() for name in importlib.import_module(module).PRESETS)
