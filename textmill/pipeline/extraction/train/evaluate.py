"""How good a model is on sources and sites that it never saw.

The score is that of the article-extraction benchmarks: multisets of word 4-grams of truth and text, precision and
recall of each page, averaged over pages; F1 is their harmonic mean. A character of Chinese, Japanese or Korean script
is a word. On segments, a string that must be in the text and is counts as a hit, one that must not and is as false.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from textmill.pipeline.extraction.compose import compose
from textmill.pipeline.extraction.engine import Model, select
from textmill.pipeline.extraction.train.fit import Page, fit
from textmill.pipeline.extraction.train.labels import WORD, N

# Sources that are left out together: those of a group are alike (same makers, or same sites).
GROUPS = (
    ("dragnet",), ("cleaneval-en", "cleaneval-zh"), ("l3s-gn1",), ("newspaper", "newspaper4k"),
    ("readability", "cleanportaleval", "llm-webkit-bench", "htmltotext-benchmark"),
)  # fmt: skip
MODERN = ("newspaper", "newspaper4k", "readability", "cleanportaleval")

Counts = tuple[int, int, int]  # shared, extra, missed


def page_counts(truth: str, text: str) -> Counts:
    """4-grams shared, extra, and missed."""
    want, got = _grams(truth), _grams(text)
    shared = sum((want & got).values())
    return shared, sum(got.values()) - shared, sum(want.values()) - shared


def summarise(counts: Iterable[Counts]) -> tuple[float, float, float]:
    """F1, precision and recall over pages."""
    pages = list(counts)
    if not pages:
        return 0.0, 0.0, 0.0
    precision = fmean(hit / (hit + extra) if hit + extra else float(not missed) for hit, extra, missed in pages)
    recall = fmean(hit / (hit + missed) if hit + missed else 1.0 for hit, _, missed in pages)
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


def segment_counts(wanted: Sequence[str], unwanted: Sequence[str], text: str) -> Counts:
    """Strings found that must be there, found that must not, and missed."""
    hits = sum(part in text for part in wanted)
    return hits, sum(part in text for part in unwanted), len(wanted) - hits


def segment_f1(counts: Iterable[Counts]) -> tuple[float, float, float]:
    """F1, precision and recall over strings."""
    hits, false, missed = (sum(column) for column in zip((0, 0, 0), *counts, strict=True))
    precision, recall = hits / max(hits + false, 1), hits / max(hits + missed, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


def extract(model: Model, page: Page) -> str:
    """The text that a model makes of a prepared page."""
    return compose(page.markup, select(model, page.markup, page.blocks)).decode("utf-8", "replace")


def cross_validate(pages: Sequence[Page], tell: Callable[[str], None]) -> Mapping[str, str]:
    """Extract every page with a model that saw neither its source nor its site; record id -> text.

    Segments are pages of one source: half of their sites is left out in turn, and scored in the first two rounds.
    """
    texts: dict[str, str] = {}
    for number, group in enumerate(GROUPS):
        half = number % 2
        train = [p for p in pages if p.example.source not in group and not (p.example.wanted and p.fold % 2 == half)]
        test = [p for p in pages if p.example.source in group and p.example.truth is not None]
        test += [p for p in pages if number < 2 and p.example.wanted and p.fold % 2 == half]
        model = fit(train)
        texts |= {page.example.record_id: extract(model, page) for page in test}
        tell(f"without {', '.join(group)}: {len(train):,} pages to learn from, {len(test):,} to test on")
    return texts


def table(pages: Sequence[Page], texts: Mapping[str, str]) -> list[tuple[str, int, float, float, float]]:
    """Name, pages, F1, precision and recall: by source, of the modern sources, of all, and of the segments."""
    by_source: dict[str, list[Counts]] = defaultdict(list)
    segments = []
    for page in pages:
        example = page.example
        text = texts.get(example.record_id)
        if text is not None and example.truth is not None:
            by_source[example.source].append(page_counts(example.truth, text))
        elif text is not None:
            segments.append(segment_counts(example.wanted, example.unwanted, text))
    rows = [(source, len(counts), *summarise(counts)) for source, counts in sorted(by_source.items())]
    modern = [c for source in MODERN for c in by_source[source]]
    every = [c for counts in by_source.values() for c in counts]
    rows += [("modern four", len(modern), *summarise(modern)), ("all with truth", len(every), *summarise(every))]
    return [*rows, ("segments", len(segments), *segment_f1(segments))] if segments else rows


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = WORD.findall(text)
    n = min(N, len(words)) or 1
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
