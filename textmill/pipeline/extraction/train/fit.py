"""Learns words and forests from labelled pages.

Words are learned as log-odds of being main content, each page with one voice a word. A forest that sees words must not
have learned them from the same page, nor from its site: features of the training pages come from tables that were made
without the fold that the site is in. In the same way the second forest sees first estimates by a forest that did not
know the page.

Every page weighs about the same, whatever its length, and pages of the sources `DATED` half as much: they are from 2004
to 2012, and half of all. Within a page, blocks weigh as their words do. Most blocks are menus
of a few words; of those that are no main content, a sample is enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.errors import MissingExtraError
from textmill.pipeline.extraction import features
from textmill.pipeline.extraction.engine import Model
from textmill.pipeline.extraction.features import Blocks, Lexicon, Table
from textmill.pipeline.extraction.markup import Markup, read_markup
from textmill.pipeline.extraction.train.labels import WORD, label_page
from textmill.pipeline.extraction.train.pages import Example
from textmill.pipeline.extraction.trees import DEPTH, Trees

N_FOLDS = 4
MIN_PAGES = {"hints": 4, "words": 8, "texts": 4}  # a word must occur on so many
PRIOR_PAGES = {"hints": 1.0, "words": 3.0, "texts": 1.0}  # pages' worth of doubt
MAX_ODDS = 4.0
SAMPLED = 0.3  # of the blocks up to SMALL words that are no main content
SMALL = 8
DATED = ("cleaneval-en", "cleaneval-zh", "dragnet", "l3s-gn1")
DATED_WEIGHT = 0.5

FOREST = {
    "objective": "cross_entropy", "min_data_in_leaf": 60, "max_bin": 63, "feature_fraction": 0.25,
    "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 20, "num_threads": 1, "seed": 1, "deterministic": True,
    "force_col_wise": True,
    "verbose": -1, "max_depth": DEPTH,
}  # fmt: skip
FIRST: Mapping[str, Any] = {"num_leaves": 24, "learning_rate": 0.2, "num_iterations": 40}
SECOND: Mapping[str, Any] = {"num_leaves": 31, "learning_rate": 0.12, "num_iterations": 100}


@dataclass(frozen=True)
class Page:
    """An example, cut and labelled."""

    example: Example
    markup: Markup
    blocks: Blocks
    words: NDArray[np.float32]  # in each block
    label: NDArray[np.float32]  # share of each block that is main content
    fold: int  # by site
    rows: NDArray[np.int64]  # blocks to train on
    weight: NDArray[np.float32]  # of these


def prepare(examples: Collection[Example], progress: Callable[[Collection[Example]], Any] = iter) -> list[Page]:
    """Cut and label the pages. Examples without truth and without teachers are left out."""
    return [_prepare(example) for example in progress(examples) if example.truth is not None or example.taught]


def _prepare(example: Example) -> Page:
    markup = read_markup(example.html)
    blocks = features.measure(markup, example.html)
    text = markup.text.tobytes()
    ranges = zip(markup.block_start, markup.block_end, strict=True)
    in_words = [WORD.findall(text[start:end].decode("utf-8", "replace")) for start, end in ranges]
    words = np.array([len(block) for block in in_words], np.float32)
    label = label_page(example, in_words)
    small = (words <= SMALL) & (label < 0.5)
    chance = np.random.default_rng(zlib.crc32(example.record_id.encode())).random(len(words))
    rows = np.flatnonzero(~small | (chance < SAMPLED))
    weight = (words + 1) / max(np.sqrt((words + 1).sum() * max(((words + 1) * label).sum(), 30)), 1)
    weight = np.where(small, weight / SAMPLED, weight)[rows].astype(np.float32)
    return Page(example, markup, blocks, words, label, zlib.crc32(example.site.encode()) % N_FOLDS, rows, weight)


def fit(pages: Sequence[Page]) -> Model:
    """The model that these pages teach."""
    voices = _Voices(pages)
    matrices = [_matrix(page) for page in pages]
    for fold in range(N_FOLDS):
        lexicon = voices.lexicon(np.array([page.fold != fold for page in pages]))
        for page, x in zip(pages, matrices, strict=True):
            if page.fold == fold:
                features.fill_lexicon(page.markup, page.blocks, lexicon, x)
    for half in range(2):
        chosen = [page.fold % 2 != half for page in pages]
        forest = _fit_forest(pages, matrices, chosen, FIRST, features.N_FIRST)
        for page, x, used in zip(pages, matrices, chosen, strict=True):
            if not used:
                features.fill_context(page.markup, page.blocks, forest.predict(x), x)
    everything = [True] * len(pages)
    return Model(
        voices.lexicon(np.array(everything)),
        _fit_forest(pages, matrices, everything, FIRST, features.N_FIRST),
        _fit_forest(pages, matrices, everything, SECOND, len(features.ALL)),
    )


def _matrix(page: Page) -> NDArray[np.float32]:
    x = features.matrix(len(page.words))
    features.fill_structure(page.markup, page.blocks, x)
    return x


def _fit_forest(
    pages: Sequence[Page], matrices: Sequence[NDArray], chosen: Sequence[bool], shape: Mapping[str, Any], n_columns: int
) -> Trees:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("lightgbm", "extraction") from error
    used = [(page, x) for page, x, wanted in zip(pages, matrices, chosen, strict=True) if wanted]
    age = {page.example.source: DATED_WEIGHT if page.example.source in DATED else 1.0 for page, _ in used}
    data = lightgbm.Dataset(
        np.concatenate([x[page.rows, :n_columns] for page, x in used]),
        np.concatenate([page.label[page.rows] for page, _ in used]),
        weight=np.concatenate([page.weight * age[page.example.source] for page, _ in used]),
        params={"max_bin": FOREST["max_bin"], "verbose": -1},
    )
    return Trees.from_lightgbm(lightgbm.train({**FOREST, **shape}, data).dump_model())


class _Voices:
    """What every page says about every word: the share of its occurrences that are main content."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self.parts = {
            name: _count(name, [hear(page) for page in pages])
            for name, hear in (("hints", _hear_hints), ("words", _hear_words), ("texts", _hear_texts))
        }

    def lexicon(self, chosen: NDArray[np.bool_]) -> Lexicon:
        """The tables that the chosen pages make."""
        return Lexicon(*(self._table(name, chosen) for name in ("hints", "words", "texts")))

    def _table(self, name: str, chosen: NDArray[np.bool_]) -> Table:
        keys, key, page, share = self.parts[name]
        used = chosen[page]
        n_pages = np.bincount(key[used], minlength=len(keys))
        for_it = np.bincount(key[used], share[used], len(keys))
        prior = np.clip(for_it.sum() / max(n_pages.sum(), 1), 0.001, 0.999)
        doubt = PRIOR_PAGES[name]
        odds = np.log((for_it + doubt * prior) / (n_pages - for_it + doubt * (1 - prior))) - np.log(prior / (1 - prior))
        known = n_pages >= MIN_PAGES[name]
        return Table.build(keys[known], odds[known].clip(-MAX_ODDS, MAX_ODDS).astype(np.float16))


def _count(name: str, heard: Sequence[tuple[NDArray, NDArray, NDArray]]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Distinct keys; and for each pair of a key and a page: number of the key, of the page, share that is content."""
    keys, pages, shares = [], [], []
    for number, (key, good, total) in enumerate(heard):
        distinct, place = np.unique(key, return_inverse=True)
        keys.append(distinct)
        pages.append(np.full(len(distinct), number))
        shares.append(np.bincount(place, good, len(distinct)) / np.bincount(place, total, len(distinct)))
    all_keys, all_pages, all_shares = np.concatenate(keys), np.concatenate(pages), np.concatenate(shares)
    distinct, place, n_pages = np.unique(all_keys, return_inverse=True, return_counts=True)
    often = (n_pages[place] >= MIN_PAGES[name]) & (all_keys != 0)
    kept, key = np.unique(all_keys[often], return_inverse=True)
    return kept, key, all_pages[often], all_shares[often]


def _hear_hints(page: Page) -> tuple[NDArray, NDArray, NDArray]:
    """Class and id words of all elements with text, by the words of that text."""
    markup = page.markup
    total = np.concatenate([[0], np.cumsum(page.words, dtype=np.float64)])
    good = np.concatenate([[0], np.cumsum(page.words * page.label, dtype=np.float64)])
    in_all = total[markup.end_block] - total[markup.first_block]
    in_good = good[markup.end_block] - good[markup.first_block]
    n_hints = np.diff(markup.first_hint)
    element = np.repeat(np.arange(len(n_hints)), n_hints)
    told = in_all[element] > 0
    return markup.hint[: len(element)][told], in_good[element][told], in_all[element][told]


def _hear_words(page: Page) -> tuple[NDArray, NDArray, NDArray]:
    block = np.repeat(np.arange(len(page.words)), np.diff(page.blocks.word_start))
    return page.blocks.word, page.label[block], np.ones(len(block))


def _hear_texts(page: Page) -> tuple[NDArray, NDArray, NDArray]:
    """Whole short texts, and the first two words of all."""
    short = page.blocks.text_hash != 0
    key = np.concatenate([page.blocks.text_hash[short], page.blocks.start_hash ^ np.uint32(1)])
    return key, np.concatenate([page.label[short], page.label]), np.ones(len(key))
