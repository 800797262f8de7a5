"""How well a language model of reference text predicts a document: cc_net's measure of quality.

Source: Wenzek et al. 2020, "CCNet" (arXiv 1911.00359). Perplexity is the inverse of the geometric mean of the
probabilities of all words and ends of lines, in an n-gram model of text that is held to be good, there Wikipedia. It is
low for text that is like the reference. Documents are parted into head, middle and tail at the 30th and the 60th
percentile of a sample of documents (cc_net's code; its paper says three equal parts), and RedPajama and others keep
head and middle. ``textmill perplexity train`` makes a model; no model comes with the package.

Other than in cc_net a word is a word, not a sentencepiece token, and punctuation is left out (`ngrams` has the
details); so the values are not those of its models. A word that the model does not know has the share of probability
that Kneser-Ney smoothing leaves for it. A text without words has the perplexity of one unknown word. A model knows one
language: judge others by models of their own.

Medians under a model of 3.6 million words (books, news and speeches in English, benchmarks/perplexity.py): a book that
was held out 299, main text of web pages 924, their words shuffled 4,360, their characters shuffled 164,000. A model of
order 3 gives 304 and 929, of order 2 338 and 1,011. The values depend on how near the subject is, too: a model of Jane
Austen alone prefers her words in any order to titles of bug reports.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from textmill.errors import EnvironmentFault, InputError
from textmill.filters.base import Preset, Rule, Scorer, named
from textmill.filters.ngrams import Model, read_model
from textmill.text import Documents

HEAD, MIDDLE, TAIL, ALL = "head", "middle", "tail", "all"

COLUMNS = pa.schema(
    [
        pa.field("perplexity_per_word", pa.float32(), nullable=False),
        pa.field("perplexity_bucket", pa.string(), nullable=False),  # head, middle, tail; all: model not calibrated
    ]
)
RULES = (
    Rule("perplexity", "perplexity_bucket", high=MIDDLE, source="CCNet, arXiv 1911.00359: head and middle"),
)  # in the order of the alphabet: all, head, middle, tail


@dataclass(frozen=True)
class Perplexity(Scorer):
    """Perplexity and bucket under the model in the file ``model``, whose path does not belong to its identity.

    Errors, on first use: `EnvironmentFault` if the file is not there or is another model, `InputError` if it is none.
    """

    model: str = field(default="", metadata={"identity": False})
    digest: str = ""  # `Model.digest`

    @property
    def columns(self) -> pa.Schema:
        """The same for all models."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        model = _load(self.model, self.digest)
        values, _ = model.perplexities(documents)
        values = np.minimum(values, np.finfo(np.float32).max).astype(np.float32)
        head, middle = model.header.head_below, model.header.middle_below
        if head is None or middle is None:
            return [pa.array(values), pa.array([ALL] * len(values), pa.string())]
        buckets = np.where(values < np.float32(head), HEAD, np.where(values < np.float32(middle), MIDDLE, TAIL))
        return [pa.array(values), pa.array(buckets, pa.string())]


PRESETS: Mapping[str, Preset] = {
    "perplexity@ccnet": Preset(
        "perplexity@ccnet", "CCNet, arXiv 1911.00359; facebookresearch/cc_net bda555b", (Perplexity(),), RULES
    ),
}


def find_model(path: str) -> Perplexity:
    """The scorer with the model at ``path``; warns if it was not calibrated. Errors: `InputError`."""
    try:
        model = read_model(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read this n-gram model ({error.strerror})") from error
    if model.header.head_below is None:
        logging.getLogger("textmill").warning("%s: not calibrated, so all documents are in the bucket 'all'", path)
    return Perplexity(str(Path(path).resolve()), model.digest)


def preset_of(name: str, model: str) -> Preset:
    """A preset with the model at this path. Errors: `UnknownNameError`; `InputError`, for an empty path, too."""
    preset = named(PRESETS, name)
    if not model:
        raise InputError(f"{name} needs a model; make one by textmill perplexity train, and name it: perplexity=FILE")
    return replace(preset, scorers=(find_model(model),))


def passes(text: str, preset: str = "perplexity@ccnet", *, model: str) -> bool:
    """Whether one text passes all rules of a preset with the model at this path. Errors: those of `preset_of`."""
    return preset_of(preset, model).passes(text)


@functools.lru_cache(maxsize=2)
def _load(path: str, digest: str) -> Model:
    """The model, mapped once a process."""
    if not path:
        raise EnvironmentFault("no n-gram model for perplexity was given; textmill perplexity train makes one")
    try:
        model = read_model(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: no n-gram model here ({error.strerror}); put it on every machine") from error
    if model.digest != digest:
        raise EnvironmentFault(f"{path}: the n-gram model is {model.digest}, not {digest}; put back the right one")
    return model
