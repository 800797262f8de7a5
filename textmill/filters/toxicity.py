"""Harmful content: fastText classifiers of insults and of sexual content, and word lists.

Dolma (Soldaini et al. 2024, arXiv 2402.00159) has two models of word bigrams, trained on Jigsaw's comments
(``jigsaw_fasttext_bigrams_nsfw_final.bin`` and ``..._hatespeech_final.bin``), and drops what scores .4 or more. Their
labels are ``nsfw`` and ``toxic``, and the same with ``non-`` before it. textmill brings neither models nor lists: give
a path, set an environment variable, or put the file into the user's cache (`find_nsfw`, `find_toxic`). Without any, a
score is an error, never a silent pass.

Word lists count entries by word boundary; see `textmill.filters.lexicon`.

Cost: that of the fastText kernel on the whole text, and of the word lists.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import platformdirs
import pyarrow as pa

from textmill.errors import EnvironmentFault, UnknownNameError
from textmill.filters.base import Preset, Rule, Scorer, numbers
from textmill.filters.classifier import digest_of, label_number, probabilities
from textmill.filters.fasttext_model import load_same
from textmill.filters.lexicon import count_hits, find_lists
from textmill.filters.list_files import ListFile
from textmill.text import Documents

THRESHOLD = 0.4
_SOURCE = "Dolma, arXiv 2402.00159: .4"


@dataclass(frozen=True)
class Harmful(Scorer):
    """The probability of a model's harmful label, and hits of word lists; at least one of both must be given.

    ``digest`` is the sha256 of the fastText model at the path ``model``; "" for none. ``positive`` is its harmful
    label. Without a model the score is 0, without lists the counts are. Errors, on use: `EnvironmentFault` if there is
    neither model nor list, or a file is gone or changed; `InputError` for no model, or one without that label.
    """

    family: ClassVar[str]
    lists: tuple[ListFile, ...] = ()
    model: str = field(default="", metadata={"identity": False})
    digest: str = ""

    @property
    def columns(self) -> pa.Schema:
        """The same for all models and lists."""
        return pa.schema(
            [
                pa.field(f"{self.family}_score", pa.float32(), nullable=False),  # probability, 0 to 1
                pa.field(f"{self.family}_n_words", pa.int32(), nullable=False),  # entries of the lists that occur
                pa.field(f"{self.family}_n_hits", pa.int32(), nullable=False),  # their occurrences
            ]
        )

    @property
    def positive(self) -> str:
        """The harmful label, as in Dolma's models."""
        return self.family

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        if not self.digest and not self.lists:
            raise EnvironmentFault(f"no model and no word list for {self.family!r}: {_how(self.family)}")
        scores = np.zeros(len(documents), dtype=np.float32)
        if self.digest:
            model = load_same(self.model, self.digest)
            scores = probabilities(model, documents)[:, label_number(model, self.positive, self.model)]
        counts = count_hits(documents, self.lists) if self.lists else np.zeros((2, len(documents)), dtype=np.int64)
        columns = [scores, *counts]
        return numbers(columns, self.columns)


@dataclass(frozen=True)
class Nsfw(Harmful):
    """Sexual content. Columns ``nsfw_score``, ``nsfw_n_words``, ``nsfw_n_hits``; see `Harmful`."""

    family = "nsfw"


@dataclass(frozen=True)
class Toxic(Harmful):
    """Insults and hate. Columns ``toxic_score``, ``toxic_n_words``, ``toxic_n_hits``; see `Harmful`."""

    family = "toxic"


RULES = (
    Rule("nsfw", "nsfw_score", high=THRESHOLD, source=_SOURCE, exclusive=True),
    Rule("toxic", "toxic_score", high=THRESHOLD, source=_SOURCE, exclusive=True),
)
CONVENTIONS = {"nsfw@dolma": RULES[:1], "toxic@dolma": RULES[1:]}  # how Dolma uses its models
FILES = {"nsfw": "jigsaw_fasttext_bigrams_nsfw_final.bin", "toxic": "jigsaw_fasttext_bigrams_hatespeech_final.bin"}


def find_nsfw(model: str | Path | None = None, lists: Sequence[str] = ()) -> Nsfw:
    """The scorer with the model at ``model``, and lists by path.

    Without a path: the file that the environment variable ``TEXTMILL_NSFW_MODEL`` names; else Dolma's file in the
    user's cache; else none, if there are lists. Errors: `EnvironmentFault` if there is nothing at all, `InputError`
    for a list that cannot be read, and those of `digest_of`.
    """
    return Nsfw(*_find("nsfw", model, lists))


def find_toxic(model: str | Path | None = None, lists: Sequence[str] = ()) -> Toxic:
    """As `find_nsfw`, with ``TEXTMILL_TOXIC_MODEL`` and Dolma's model of hate speech."""
    return Toxic(*_find("toxic", model, lists))


def preset_of(name: str, model: str | Path) -> Preset:
    """A convention of `CONVENTIONS` with its model, by path. Errors: `UnknownNameError`, and those of `digest_of`."""
    if name not in CONVENTIONS:
        raise UnknownNameError("preset", name, CONVENTIONS)
    scorer = find_nsfw(model) if name == "nsfw@dolma" else find_toxic(model)
    return Preset(name, _SOURCE, (scorer,), CONVENTIONS[name])


def classify_nsfw(text: str, model: str | Path | None = None, lists: Sequence[str] = ()) -> tuple[str, float]:
    """``nsfw`` or ``non-nsfw``, and how probable that is; files and errors as in `find_nsfw`.

    Harmful from a probability of .4 on, or if a list has a hit; a list's word counts as certain, 1.0.
    """
    return _classify(find_nsfw(model, lists), text)


def classify_toxic(text: str, model: str | Path | None = None, lists: Sequence[str] = ()) -> tuple[str, float]:
    """``toxic`` or ``non-toxic``, and how probable that is; as `classify_nsfw`, with files as in `find_toxic`."""
    return _classify(find_toxic(model, lists), text)


def _classify(scorer: Harmful, text: str) -> tuple[str, float]:
    score, _, n_hits = (column[0].as_py() for column in scorer.score(Documents.from_texts([text])))
    if n_hits:
        return scorer.positive, 1.0
    if score >= THRESHOLD:
        return scorer.positive, score
    return f"non-{scorer.positive}", 1 - score


def _find(family: str, model: str | Path | None, lists: Sequence[str]) -> tuple[tuple[ListFile, ...], str, str]:
    """Lists, path and digest. Errors: `EnvironmentFault`, `InputError`."""
    words = find_lists(lists)
    named = model or os.environ.get(_variable(family))
    path = Path(named) if named else Path(platformdirs.user_cache_dir("textmill")) / FILES[family]
    if not named and not path.is_file():
        if not words:
            raise EnvironmentFault(f"no model and no word list for {family!r}: {_how(family)}")
        return words, "", ""
    return words, str(path.resolve()), digest_of(path, family)


def _variable(family: str) -> str:
    return f"TEXTMILL_{family.upper()}_MODEL"


def _how(family: str) -> str:
    return (
        f"give the path of a fastText model (Dolma's is {FILES[family]}) or of a word list, "
        f"set {_variable(family)}, or put the model into {platformdirs.user_cache_dir('textmill')}"
    )
