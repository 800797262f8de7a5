"""textmill's own extraction engine: the blocks of a page, judged twice by small forests, and the text of those kept.

The first forest sees the block, its surroundings, and learned words (`features`); the second also what the first said
about the neighbours, the ancestors, and the blocks of the same shape. `compose` keeps the best set and writes it.
The model is a file of this package, made by ``python -m textmill.pipeline.extraction.train``.

Deterministic, linear in the page, no network, no native parser: nothing but numba kernels over arrays.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from textmill.bits import glue, kernel
from textmill.errors import EnvironmentFault
from textmill.pipeline.extraction import features
from textmill.pipeline.extraction.asides import BOXES, COMMENTS, mark_within, named
from textmill.pipeline.extraction.compose import best_set, written
from textmill.pipeline.extraction.features import Blocks, Lexicon, Table, measure_blocks
from textmill.pipeline.extraction.lineage import lineage
from textmill.pipeline.extraction.markup import MAX_ELEMENTS, MAX_HINTS, Markup, cut
from textmill.pipeline.extraction.trees import Trees, predict

COMMENT_WORDS = 5  # shorter blocks among the comments are names, dates and buttons
SURE = 0.1  # what the first forest gives no more than this is not looked at again: half of all blocks
MODEL = Path(__file__).with_name("model.npz")
_BROKEN = (OSError, ValueError, EOFError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)  # what np.load raises


@dataclass(frozen=True, slots=True)
class Model:
    """Learned words, and the two forests."""

    lexicon: Lexicon
    first: Trees
    second: Trees

    def judge(self, markup: Markup, blocks: Blocks) -> NDArray[np.float32]:
        """How likely each block is main content, [blocks]."""
        return _judge_blocks(markup, blocks, *self.arrays)

    @property
    def arrays(self) -> tuple[NDArray, ...]:
        """What the kernels take of it."""
        return *(table.slots for table in self.lexicon), *self.first.arrays, *self.second.arrays

    def save(self, file: Path | IO[bytes]) -> None:
        """Write the model as an .npz archive without pickles."""
        parts = {"hints": self.lexicon.hints, "words": self.lexicon.words, "texts": self.lexicon.texts}
        arrays: dict[str, NDArray] = {"features": np.array(features.ALL)}
        for name, table in parts.items():
            keys, values = table.entries()
            arrays |= {f"{name}.keys": keys, f"{name}.values": values.astype(np.float16)}
        for name, trees in {"first": self.first, "second": self.second}.items():
            arrays |= {f"{name}.{f.name}": value for f, value in zip(fields(trees), astuple(trees), strict=True)}
        np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, file: Path) -> Model:
        """Read a model. Errors: `EnvironmentFault` for a missing or broken file, or one for other features."""
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
                arrays: Mapping[str, NDArray] = dict(archive)
            if tuple(arrays["features"]) != features.ALL:
                raise EnvironmentFault(f"{file}: made for other features; make it anew with its training script")
            return cls._of(arrays)
        except _BROKEN as error:
            reason = " ".join(str(error).split())
            raise EnvironmentFault(
                f"{file}: not a model for text extraction ({reason}); install textmill anew"
            ) from error

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray]) -> Model:
        tables = (
            Table.build(arrays[f"{name}.keys"], arrays[f"{name}.values"].astype(np.float32))
            for name in ("hints", "words", "texts")
        )
        first, second = (
            Trees(*(arrays[f"{name}.{f.name}"] for f in fields(Trees))) for name in ("first", "second")
        )  # fmt: skip
        return cls(Lexicon(*tables), first, second)


@functools.cache
def default_model() -> Model:
    """The model of this package."""
    return Model.load(MODEL)


@functools.cache
def model_version() -> str:
    """8 hex digits of the model file's sha256. Errors: `EnvironmentFault` if it is missing."""
    try:
        return hashlib.sha256(MODEL.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise EnvironmentFault(f"{MODEL}: no model for text extraction ({error}); install textmill anew") from error


def select(model: Model, markup: Markup, blocks: Blocks, comments: bool = False) -> NDArray[np.bool_]:
    """Which blocks to keep, [blocks]."""
    return _choose_blocks(markup, blocks, model.judge(markup, blocks), comments)


def main_content(html: bytes, comments: bool = False) -> str:
    """The main content of a page (UTF-8): paragraphs, headings, lists, code, tables as lines, formulas as TeX.

    With ``comments``, what readers wrote below it, too.
    """
    page = np.frombuffer(html, np.uint8)
    return str(_main_content(page, MAX_ELEMENTS, MAX_HINTS, comments, *default_model().arrays), "utf-8", "replace")


# One kernel does it all: to call the parts from Python, with arrays in and out, took a third of the time.


@kernel
def _main_content(  # type: ignore[no-untyped-def]
    html, max_elements, max_hints, comments,
    hints, words, texts, feature, threshold, leaf, feature_2, threshold_2, leaf_2,
):  # fmt: skip
    markup = cut(html, max_elements, max_hints)
    blocks = measure_blocks(markup, html)
    p = _judge(markup, blocks, hints, words, texts, feature, threshold, leaf, feature_2, threshold_2, leaf_2)
    return written(markup, _choose(markup, blocks, p, comments))


@kernel
def _choose_blocks(markup, blocks, p, comments):  # type: ignore[no-untyped-def]
    return _choose(markup, blocks, p, comments)


@kernel
def _judge_blocks(  # type: ignore[no-untyped-def]
    markup, blocks, hints, words, texts, feature, threshold, leaf, feature_2, threshold_2, leaf_2
):
    return _judge(markup, blocks, hints, words, texts, feature, threshold, leaf, feature_2, threshold_2, leaf_2)


@glue
def _judge(  # type: ignore[no-untyped-def]
    markup, blocks, hints, words, texts, feature, threshold, leaf, feature_2, threshold_2, leaf_2
):
    """How likely each block is main content, [blocks]."""
    n = blocks.size.size
    x = np.empty((n, len(features.ALL)), np.float32)  # every column is written
    lines, same = lineage(markup), features.same_shape(markup)
    features.structure(markup, blocks, lines, same, x)
    features.look_up(markup, blocks, lines, hints, words, texts, x)
    p, rows = np.empty(n, np.float32), np.empty(n, np.int64)
    for b in range(n):
        rows[b] = b
    predict(feature, threshold, leaf, x, np.int64(features.N_FIRST), rows, p)
    features.context(markup, blocks, lines, same, p, x)
    n_unsure = 0
    for b in range(n):
        rows[n_unsure] = b
        n_unsure += p[b] > np.float32(SURE)
    predict(feature_2, threshold_2, leaf_2, x, x.shape[1], rows[:n_unsure], p)
    return p


@glue
def _choose(markup, blocks, p, comments):  # type: ignore[no-untyped-def]
    """Which blocks to keep, [blocks], by these probabilities."""
    n = blocks.size.size
    words = blocks.own[:, 0].copy()
    keep = best_set(p, words)
    kept_words = np.empty(n, np.float32)
    kinds = named(markup)
    boxed, among_comments = np.zeros((2, n), np.bool_)
    for b in range(n):
        kept_words[b] = words[b] * keep[b]
    mark_within(markup, kinds, BOXES, kept_words, boxed)
    for b in range(n):
        keep[b] &= not boxed[b]
        kept_words[b] = words[b] * keep[b]
    mark_within(markup, kinds, COMMENTS, kept_words, among_comments)
    for b in range(n):
        if among_comments[b] and comments:
            keep[b] |= words[b] >= COMMENT_WORDS and blocks.link[b] < np.float32(features.GOOD_LINK_FRAC)
        elif among_comments[b]:
            keep[b] = False
    return keep
