"""What published data sets kept at each kind of step, beside what a run keeps there: a check of sanity, not a target.

The figures are of other crawls, languages and definitions. A share is of what came into the step; where a step has
several kinds, of what came into the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from textmill.pipeline.report.values import Section

WHOLE = ("pages", "gate", "rules")


@dataclass(frozen=True)
class Figure:
    """A published share. ``kinds`` are the steps of a run's funnel that do the like; none if textmill has no such."""

    source: str
    step: str
    unit: str  # documents, or tokens
    kept: float
    kinds: tuple[str, ...] = ()
    about: bool = False  # published in round numbers


_REFINEDWEB, _FINEWEB, _DOLMA = "RefinedWeb, arXiv 2306.01116", "FineWeb, arXiv 2406.17557", "Dolma, arXiv 2402.00159"
_RPV2 = "RedPajama-V2, README: of over 100, 30, 20.8 billion documents"
_DCLM_USER = "a user's run of DCLM's 400M-1x, mlfoundations/dclm issue 120"

FIGURES = (
    Figure(_REFINEDWEB, "extraction, URLs, language, rules", "documents", 0.2259, WHOLE),
    Figure(_REFINEDWEB, "and near duplicates", "documents", 0.1450, (*WHOLE, "copies")),
    Figure(_REFINEDWEB, "and exact substrings", "documents", 0.1167),
    Figure(_DCLM_USER, "language", "documents", 0.4133, ("language",)),
    Figure(_DCLM_USER, "rules (RefinedWeb's)", "documents", 0.4789, ("rules",)),
    Figure(_DCLM_USER, "duplicates (Bloom filter)", "documents", 0.7534, ("copies",)),
    Figure(_FINEWEB, "C4's rules but end marks", "tokens", 0.93, ("c4",), about=True),
    Figure(_FINEWEB, "C4's rule on end marks", "tokens", 0.70, about=True),
    Figure(_FINEWEB, "FineWeb's own rules", "tokens", 0.78, ("fineweb",), about=True),
    Figure(_DOLMA, "copies of a URL", "documents", 0.468),
    Figure(_DOLMA, "copies of a document", "documents", 0.851, ("exact_duplicate",)),
    Figure(_RPV2, "head and middle by perplexity", "documents", 0.30, ("perplexity",), about=True),
    Figure(_RPV2, "duplicates", "documents", 20.8 / 30, ("copies",), about=True),
    Figure("DCLM-Baseline, arXiv 2406.11794", "quality classifier", "documents", 0.10, ("quality",), about=True),
)


def beside(funnel: Sequence[Section]) -> list[Section]:
    """The published figures, each with the share that the run keeps in steps of these kinds: ``here``.

    None where the run has not all of them, and for tokens where bytes are not known; shares of tokens are those of
    bytes of text.
    """
    return [
        {
            "source": figure.source,
            "step": figure.step,
            "unit": figure.unit,
            "kept": round(figure.kept, 4),
            "about": figure.about,
            "here": _here(figure, funnel),
        }
        for figure in FIGURES
    ]


def _here(figure: Figure, funnel: Sequence[Section]) -> float | None:
    present = {kind for step in funnel for kind in step["kinds"]}
    steps = [step for step in funnel if set(figure.kinds) & set(step["kinds"])]
    if not figure.kinds or not set(figure.kinds) <= present:
        return None
    left, gone = ("rows", "removed_from_previous") if figure.unit == "documents" else ("bytes", "removed_bytes")
    if any(step[left] is None or step[gone] is None for step in steps):
        return None
    shares = [step[left] / (step[left] + step[gone]) if step[left] + step[gone] else 1.0 for step in steps]
    return round(math.prod(shares), 4)
