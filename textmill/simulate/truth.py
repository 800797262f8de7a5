"""How well a run did on a simulated crawl: the truth table held against the tables of the run.

Every measure is a share from 0 to 1 with the number of things it was measured on. Tables are joined by url, which the
simulator uses once each. Cost: about 1 s for 3,000 pages, most of it words and shingles in plain Python.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from textmill.errors import InputError
from textmill.simulate.similarity import jaccard, shingles, words

HIGH_SIMILARITY = 0.8  # the band where MinHash with FineWeb's 14 x 8 hashes should find nearly all pairs


@dataclass(frozen=True)
class Measure:
    """``value`` is a share, None when ``n``, the number of things it was measured on, is 0."""

    name: str
    value: float | None
    n: int
    note: str


def evaluate(
    truth: pa.Table,
    pages: pa.Table,
    scores: pa.Table,
    documents: pa.Table,
    clusters: pa.Table,
    corpus: pa.Table,
    *,
    masks: Mapping[str, str],
) -> list[Measure]:
    """Every measure of this module.

    ``truth``: as written by `write_crawl`. ``pages``: url, status, text (null unless ok), one row a record read.
    ``scores``: url, language. ``documents``: url, text of the pages in which duplicates were looked for. ``clusters``:
    url, cluster (members of duplicate clusters; who is alone may be missing).
    ``corpus``: url, text of the documents kept, with personal data replaced by its kind's placeholder in ``masks``
    (emails, phones, ips).
    Other columns are ignored. Errors: `InputError` when a column is missing.
    """
    return [
        *read_measures(truth, pages),
        *extraction_measures(truth, pages),
        *language_measures(truth, scores),
        *duplicate_measures(truth, documents, clusters),
        *masking_measures(truth, corpus, masks),
    ]


def read_measures(truth: pa.Table, pages: pa.Table) -> list[Measure]:
    """Damaged records reported as ``bad_record`` (one stretch of damage may cover neighbours), sound ones read."""
    read = Counter(_column(pages, "status"))["bad_record"]
    n_broken = sum(_column(truth, "broken"))
    urls = frozenset(_column(pages, "url"))
    sound = [url for url, broken in _pairs(truth, "url", "broken") if not broken]
    return [
        _share("broken_records_found", min(read, n_broken), n_broken, f"{read} stretches of damage reported"),
        _share("sound_records_read", sum(url in urls for url in sound), len(sound), "records that were not damaged"),
    ]


def extraction_measures(truth: pa.Table, pages: pa.Table) -> list[Measure]:
    """Words of the extracted text against words of the main text, as bags: means over the pages that have a text."""
    texts = _texts(truth)
    results = [
        _precision_recall(Counter(words(extracted)), Counter(words(texts[url])))
        for url, extracted in _extracted(pages).items()
        if url in texts
    ]
    f1s = [2 * p * r / (p + r) if p + r else 0.0 for p, r in results]
    note = "mean over pages with a main text that were extracted"
    return [
        _mean("extraction_word_f1", f1s, note),
        _mean("extraction_word_precision", [p for p, _ in results], note),
        _mean("extraction_word_recall", [r for _, r in results], note),
        _share("pages_extracted", len(results), len(texts), "pages with a main text whose status is ok"),
    ]


def language_measures(truth: pa.Table, scores: pa.Table) -> list[Measure]:
    """Accuracy over all scored pages with a main text; recall and precision of each language that occurs there."""
    languages = {url: language for url, language in _pairs(truth, "url", "language") if language}
    pairs = Counter(
        (languages[url], predicted) for url, predicted in _pairs(scores, "url", "language") if url in languages
    )
    true, predicted = _marginal(pairs, 0), _marginal(pairs, 1)
    n_right = sum(n for (expected, found), n in pairs.items() if expected == found)
    measures = [_share("language_accuracy", n_right, pairs.total(), "scored pages with a main text")]
    for language in sorted(true):
        n_hits = pairs[language, language]
        measures += [
            _share(f"language_recall_{language}", n_hits, true[language], f"pages written in {language}"),
            _share(f"language_precision_{language}", n_hits, predicted[language], f"pages labelled {language}"),
        ]
    return measures


def duplicate_measures(truth: pa.Table, documents: pa.Table, clusters: pa.Table) -> list[Measure]:
    """Pairs of extracted pages of one true cluster, found in one predicted cluster; and the other way round.

    Recall is given for equal texts, and for near duplicates above and below a true similarity of 0.8, both measured on
    the texts of the truth table, not on what was extracted. Pages without a main text count for nothing.
    """
    extracted = frozenset(_column(documents, "url"))
    texts = {url: text for url, text in _texts(truth).items() if url in extracted}
    true = {url: name for url, name in _pairs(truth, "url", "cluster") if name and url in texts}
    predicted = {url: root for url, root in _pairs(clusters, "url", "cluster") if url in texts}
    bands: dict[str, list[bool]] = {"exact_copy_recall": [], "near_duplicate_recall": [], "far_duplicate_recall": []}
    for a, b in _pairs_of_clusters(true):
        found = predicted.get(a, a) == predicted.get(b, b)
        bands[_band(texts[a], texts[b])].append(found)
    n_predicted = _n_pairs(predicted.values())
    n_right = _n_pairs((root, true[url]) for url, root in predicted.items() if url in true)
    notes = ("pairs of equal texts", f"pairs of true Jaccard >= {HIGH_SIMILARITY}", "pairs less alike than that")
    return [
        *(_share(name, sum(found), len(found), note) for (name, found), note in zip(bands.items(), notes, strict=True)),
        _share("duplicate_precision", n_right, n_predicted, "predicted pairs that are of one true cluster"),
    ]


def masking_measures(truth: pa.Table, corpus: pa.Table, masks: Mapping[str, str]) -> list[Measure]:
    """Personal data of kept documents that is gone from the corpus, and masks that stand for true personal data.

    Spelt-out addresses (``name (at) host``) are counted by themselves: many maskers leave them, on purpose.
    """
    kept = dict(_pairs(corpus, "url", "text"))
    emails, phones, ips = (dict(_pairs(truth, "url", kind)) for kind in ("emails", "phones", "ips"))
    plain = {url: [email for email in found if "@" in email] for url, found in emails.items()}
    spelt_out = {url: [email for email in found if "@" not in email] for url, found in emails.items()}
    return [
        _masked("email_masking_recall", kept, plain, "addresses with an @ sign in kept documents"),
        _masked("spelt_out_email_masking_recall", kept, spelt_out, "addresses without an @ sign"),
        _right("email_masking_precision", kept, emails, masks["emails"], "masks that stand for an address"),
        _masked("phone_masking_recall", kept, phones, "phone numbers"),
        _right("phone_masking_precision", kept, phones, masks["phones"], "masks that stand for a phone number"),
        _masked("ip_masking_recall", kept, ips, "IPv4 addresses"),
        _right("ip_masking_precision", kept, ips, masks["ips"], "masks that stand for an IP address"),
    ]


def _right(name: str, kept: Mapping[str, str], secrets: Mapping[str, list[str]], mask: str, note: str) -> Measure:
    n_masks = {url: text.count(mask) for url, text in kept.items()}
    n_right = sum(min(n, len(secrets.get(url, ()))) for url, n in n_masks.items())
    return _share(name, n_right, sum(n_masks.values()), note)


def _masked(name: str, kept: Mapping[str, str], secrets: Mapping[str, list[str]], note: str) -> Measure:
    gone = [secret not in text for url, text in kept.items() for secret in secrets.get(url, ())]
    return _share(name, sum(gone), len(gone), note)


def _band(a: str, b: str) -> str:
    if a == b:
        return "exact_copy_recall"
    return "near_duplicate_recall" if jaccard(shingles(a), shingles(b)) >= HIGH_SIMILARITY else "far_duplicate_recall"


def _pairs_of_clusters(cluster_of: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """All pairs of urls that share a cluster."""
    members = defaultdict(list)
    for url, name in cluster_of.items():
        members[name].append(url)
    for urls in members.values():
        yield from itertools.combinations(urls, 2)


def _n_pairs(labels: Iterable[object]) -> int:
    """How many pairs of items carry the same label."""
    return sum(math.comb(n, 2) for n in Counter(labels).values())


def _precision_recall(found: Counter[str], wanted: Counter[str]) -> tuple[float, float]:
    n_shared = (found & wanted).total()
    return n_shared / max(1, found.total()), n_shared / max(1, wanted.total())


def _marginal(pairs: Counter[tuple[str, str]], position: int) -> Counter[str]:
    """Pairs counted by their first or second half alone."""
    totals: Counter[str] = Counter()
    for pair, n in pairs.items():
        totals[pair[position]] += n
    return totals


def _texts(truth: pa.Table) -> dict[str, str]:
    return {url: text for url, text in _pairs(truth, "url", "text") if text is not None}


def _extracted(pages: pa.Table) -> dict[str, str]:
    rows = zip(*(_column(pages, name) for name in ("url", "status", "text")), strict=True)
    return {url: text for url, status, text in rows if status == "ok"}


def _pairs(table: pa.Table, key: str, value: str) -> Iterator[tuple]:
    return zip(_column(table, key), _column(table, value), strict=True)


def _column(table: pa.Table, name: str) -> list:
    if name not in table.column_names:
        raise InputError(
            f"evaluation: no column {name!r} in a table of {', '.join(table.column_names) or 'no columns'}"
        )
    return table[name].to_pylist()


def _share(name: str, n_hits: int, n: int, note: str) -> Measure:
    return Measure(name, n_hits / n if n else None, n, note)


def _mean(name: str, values: list[float], note: str) -> Measure:
    return Measure(name, math.fsum(values) / len(values) if values else None, len(values), note)
