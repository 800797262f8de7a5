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

from textmill.errors import EnvironmentFault
from textmill.pipeline.extraction import features
from textmill.pipeline.extraction.asides import BOXES, COMMENTS, within
from textmill.pipeline.extraction.compose import choose, compose
from textmill.pipeline.extraction.features import Blocks, Lexicon, Table
from textmill.pipeline.extraction.markup import Markup, read_markup
from textmill.pipeline.extraction.trees import Trees

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
        x = features.matrix(len(markup.block_start))
        features.fill_structure(markup, blocks, x)
        features.fill_lexicon(markup, blocks, self.lexicon, x)
        p = self.first.predict(x)
        features.fill_context(markup, blocks, p, x)
        unsure = np.flatnonzero(p > SURE)
        p[unsure] = self.second.predict(x, unsure)
        return p

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
    words = blocks.own[:, 0]
    keep = choose(model.judge(markup, blocks), words)
    keep &= ~within(markup, words * keep, BOXES)
    among_comments = within(markup, words * keep, COMMENTS)
    if comments:
        return keep | (among_comments & (words >= COMMENT_WORDS) & (blocks.link < features.GOOD_LINK_FRAC))
    return keep & ~among_comments


def main_content(html: bytes, comments: bool = False) -> str:
    """The main content of a page (UTF-8): paragraphs, headings, lists, code, tables as lines, formulas as TeX.

    With ``comments``, what readers wrote below it, too.
    """
    markup = read_markup(html)
    blocks = features.measure(markup, html)
    return compose(markup, select(default_model(), markup, blocks, comments)).decode("utf-8", "replace")
