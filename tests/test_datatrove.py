"""The presets that follow datatrove, against the installed datatrove on real pages.

datatrove's English words and sentences come from spaCy, which is not reproduced: here they are replaced by ours: what
is compared is the rules. `benchmarks/rivals/datatrove_filters.py` measures the agreement with spaCy left in.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill.filters import preset
from textmill.filters.base import Preset, failures, measure
from textmill.text import Documents

pytest.importorskip("datatrove", reason="datatrove, of the extra `bench`, is not installed")

TRUTH = Path(__file__).parents[2] / "shared" / "data" / "crawl" / "pages.truth.jsonl.gz"
N_PAGES = 2000
AT_LEAST = 0.995

# datatrove's reasons, in our words.
REASONS = {
    "GopherRepetitionFilter": {
        "dup_para_frac": "repetition_duplicate_paragraph",
        "dup_para_char_frac": "repetition_duplicate_paragraph_char",
        "dup_line_frac": "repetition_duplicate_line",
        "dup_line_char_frac": "repetition_duplicate_line_char",
        **{f"top_{n}_gram": f"repetition_top_{n}gram_char" for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": f"repetition_duplicate_{n}gram_char" for n in range(5, 11)},
    },
    "GopherQualityFilter": {
        "gopher_short_doc": "gopher_words",
        "gopher_long_doc": "gopher_words",
        "gopher_below_avg_threshold": "gopher_word_length",
        "gopher_above_avg_threshold": "gopher_word_length",
        "gopher_too_many_hashes": "gopher_hashes",
        "gopher_too_many_ellipsis": "gopher_ellipses",
        "gopher_too_many_bullets": "gopher_bullets",
        "gopher_too_many_end_ellipsis": "gopher_ellipsis_lines",
        "gopher_below_alpha_threshold": "gopher_alpha",
        "gopher_enough_stop_words": "gopher_stop_words",
    },
    "C4QualityFilter": {
        "lorem_ipsum": "c4_lorem_ipsum",
        "curly_bracket": "c4_curly_bracket",
        "too_few_sentences": "c4_sentences",
    },
    "FineWebQualityFilter": {
        "line_punct_ratio": "fineweb_punctuation",
        "short_line_ratio": "fineweb_short_lines",
        "char_dup_ratio": "fineweb_duplicates",
        "list_ratio": "fineweb_newlines",
    },
}


@pytest.fixture(scope="module")
def pages() -> list[str]:
    if not TRUTH.exists():
        pytest.skip("../shared/data/crawl is not there")
    with gzip.open(TRUTH, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return [text for text in texts if text.strip()][:N_PAGES]


@pytest.fixture(autouse=True)
def our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from datatrove.pipeline import filters

    def words(text: str, language: str) -> list[str]:
        return cut(text, "treebank_words")

    def sentences(text: str, language: str) -> list[str]:
        return cut(text, "sentences")

    for module in (
        filters.gopher_repetition_filter,
        filters.gopher_quality_filter,
        filters.fineweb_quality_filter,
    ):
        monkeypatch.setattr(module, "split_into_words", words)
    monkeypatch.setattr(filters.c4_filters, "split_into_sentences", sentences)


@functools.cache
def cut(text: str, kind: str) -> list[str]:
    """The pieces of a text of one of the kinds that are attributes of `Segmentation`."""
    pieces, encoded = Documents.from_texts([text]).segmentation, text.encode()
    spans = getattr(pieces, kind)
    return [encoded[a:b].decode() for a, b in zip(spans.start.tolist(), spans.end.tolist(), strict=True)]


def theirs(texts: list[str], *filters: Any) -> list[str]:
    """datatrove's first reason for each text, in our words; "" where it keeps it."""
    from datatrove.data import Document

    def reason(text: str) -> str:
        for block in filters:
            verdict = block.filter(Document(text=text, id=""))
            if verdict is not True:
                return REASONS[type(block).__name__].get(verdict[1], verdict[1])
        return ""

    return [reason(text) for text in texts]


def ours(texts: list[str], named: Preset) -> list[str]:
    """Our first reason for each text."""
    fails = failures(named.rules, measure(named.scorers, Documents.from_texts(texts)))
    first = np.where(fails.any(axis=1), fails.argmax(axis=1), -1)
    return ["" if i < 0 else named.rules[i].reason for i in first]


def differences(texts: list[str], named: Preset, *filters: Any) -> Iterator[tuple[str, str, str]]:
    """Text, datatrove's reason and ours, where they differ."""
    for text, their, our in zip(texts, theirs(texts, *filters), ours(texts, named), strict=True):
        if their != our:
            yield text, their, our


def check(texts: list[str], named: Preset, *filters: Any) -> None:
    found = list(differences(texts, named, *filters))
    kinds = Counter((their, our) for _, their, our in found).most_common()
    assert 1 - len(found) / len(texts) >= AT_LEAST, kinds


def test_gopher(pages: list[str]) -> None:
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    check(pages, preset("gopher@datatrove"), GopherRepetitionFilter(), GopherQualityFilter())


def test_gopher_quality_alone(pages: list[str]) -> None:
    """Repetition comes first and drops much; what it hides is compared here."""
    from datatrove.pipeline.filters import GopherQualityFilter

    whole = preset("gopher@datatrove")
    rules = tuple(rule for rule in whole.rules if rule.column.startswith("gopher_"))
    check(pages, Preset("gopher@datatrove", "", whole.scorers, rules), GopherQualityFilter())


def test_c4(pages: list[str]) -> None:
    from datatrove.pipeline.filters import C4QualityFilter

    check(pages, preset("c4@datatrove"), C4QualityFilter())


def test_c4_in_fineweb(pages: list[str]) -> None:
    from datatrove.pipeline.filters import C4QualityFilter

    check(pages, preset("c4@fineweb"), C4QualityFilter(filter_no_terminal_punct=False))


def test_fineweb(pages: list[str]) -> None:
    from datatrove.pipeline.filters import FineWebQualityFilter

    check(pages, preset("fineweb@code"), FineWebQualityFilter())


def test_texts_that_c4_edits_go_on_edited(pages: list[str]) -> None:
    """datatrove's C4 filter changes the text that its next block sees; our editor must leave the same text."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter

    named, block = preset("c4@datatrove"), C4QualityFilter()
    kept = [text for text, reason in zip(pages, ours(pages, named), strict=True) if not reason]
    edited = named.editors[0].edit(Documents.from_texts(kept))[0].to_pylist()
    same = 0
    for text, our in zip(kept, edited, strict=True):
        document = Document(text=text, id="")
        same += block.filter(document) is True and document.text == our
    assert same / len(kept) >= AT_LEAST
