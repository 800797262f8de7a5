"""Rule families, one a file: what it measures, then the published rules on it.

A family is imported by whoever uses it; this module only knows their names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from textmill.errors import UnknownNameError

if TYPE_CHECKING:
    from textmill.filters.base import Scorer

SCORERS = {
    "GopherQuality": "textmill.filters.gopher",
    "Language": "textmill.filters.language",
    "OptOut": "textmill.filters.optout",
    "UrlDenied": "textmill.filters.url",
}


def scorer_class(name: str) -> type[Scorer]:
    """The scorer of this name. Errors: `UnknownNameError`."""
    if name not in SCORERS:
        raise UnknownNameError("scorer", name, SCORERS)
    return getattr(importlib.import_module(SCORERS[name]), name)
