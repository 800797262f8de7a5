"""How much a text resembles well-written ones: the scores of fastText classifiers.

Li et al. 2024, "DataComp-LM" (arXiv 2406.11794), keep a tenth of the web by such a score: fastText with word bigrams,
newlines read as spaces, keep if the probability of ``hq`` is above .018112 (``fasttext_filter.yaml``), a bound that
belongs to one model file alone. That file is not part of textmill; give its path.

The default model is part of the package, made by ``python -m textmill.pipeline.quality_model``; its card,
``quality.json``, says of what, how well it does on hosts that it has not seen, and at which scores the best tenth of
web text begins. It tells edited English prose from menus, lists, forms and boilerplate. It does not judge facts, has
hardly seen spam (such texts come out near .5), and says little about other languages than English.

Cost: that of the fastText kernel, see `textmill.filters.fasttext_model`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.errors import InputError, UnknownNameError
from textmill.filters.base import Preset, Rule, Scorer, named
from textmill.filters.fasttext_model import FastTextModel, load_named, load_same
from textmill.text import Documents

HIGH, LOW = "high", "low"
DEFAULT_MODEL = Path(__file__).with_name("quality.ftz")
DEFAULT_DIGEST = "a237189736c8caddf8c8e8aa58a856d7e045ecfbc5e5fa79d3f9c7bc45b281d3"

COLUMNS = pa.schema(
    [
        pa.field("quality_score", pa.float32(), nullable=False),  # probability of the positive label; 0 if unknown
        pa.field("quality_label", pa.string(), nullable=False),  # the most likely label; "" if the model knows nothing
    ]
)


@dataclass(frozen=True)
class QualityClassifier(Scorer):
    """The probability that a fastText model gives to its positive label, and its most likely label.

    ``digest`` is the sha256 of the file at ``model``; "" is the default model. The path does not belong to the scorer's
    identity. Errors, on first use: `EnvironmentFault` if the file is not there or has another digest, `InputError` if
    it is no fastText classifier or has no label ``positive``.
    """

    model: str = field(default="", metadata={"identity": False})
    digest: str = DEFAULT_DIGEST
    positive: str = HIGH

    @property
    def columns(self) -> pa.Schema:
        """The same for all models."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        model = load_same(self.model or str(DEFAULT_MODEL), self.digest)
        found = probabilities(model, documents)
        best = np.where(found.max(axis=1, initial=0) > 0, found.argmax(axis=1), len(model.labels))
        labels = pa.array([*model.labels, ""])
        return [pa.array(found[:, label_number(model, self.positive, self.model)]), labels.take(pa.array(best))]


@dataclass(frozen=True)
class Convention:
    """How a published model is to be used: its positive label, and what is kept."""

    positive: str
    rule: Rule


_DCLM = "DCLM-Baseline, arXiv 2406.11794; fasttext_filter.yaml"
_OURS = "the more likely of two labels"
CONVENTIONS = {
    "classifier@textmill": Convention(HIGH, Rule("quality", "quality_score", low=0.5, source=_OURS)),
    "classifier@dclm": Convention("hq", Rule("quality", "quality_score", low=0.018112, source=_DCLM, exclusive=True)),
}
RULES = (CONVENTIONS["classifier@textmill"].rule,)
PRESETS = {"classifier@textmill": Preset("classifier@textmill", _OURS, (QualityClassifier(),), RULES)}


def find_classifier(path: str | Path | None = None, positive: str = HIGH) -> QualityClassifier:
    """The scorer with the model at ``path``, or the default one. Errors: those of `digest_of`."""
    if path is None:
        return QualityClassifier(positive=positive)
    return QualityClassifier(str(Path(path).resolve()), digest_of(path, positive), positive)


def preset_of(name: str, path: str | Path) -> Preset:
    """A convention of `CONVENTIONS` with its model, by path. Errors: `UnknownNameError`, `InputError`."""
    if name not in CONVENTIONS:
        raise UnknownNameError("preset", name, CONVENTIONS)
    convention = CONVENTIONS[name]
    scorer = find_classifier(path, convention.positive)
    return Preset(name, convention.rule.source, (scorer,), (convention.rule,))


def passes(text: str, preset: str = "classifier@textmill") -> bool:
    """Whether one text passes the rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


class Classifier:
    """The most likely label of single texts; ``high`` and ``low`` by the default model, by others what they have.

    Errors: `InputError` if the file at ``path`` is no fastText classifier.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._model = load_same(str(DEFAULT_MODEL), DEFAULT_DIGEST) if path is None else load_named(path)[0]

    def predict(self, text: str) -> tuple[str, float]:
        """Label and probability, 0 to 1; ``("low", 0)`` for text in which the default model knows nothing, else ""."""
        (found,) = probabilities(self._model, Documents.from_texts([text]))
        best = int(found.argmax())
        if found[best] > 0:
            return self._model.labels[best], float(found[best])
        return LOW if LOW in self._model.labels else "", 0.0


def probabilities(model: FastTextModel, documents: Documents) -> NDArray[np.float32]:
    """The probability of each label for each whole text, [documents, labels]."""
    pieces = documents.segmentation
    n = len(documents)
    found = model.probabilities(pieces.data, np.arange(n + 1), pieces.offsets[:-1], pieces.offsets[1:])
    found[np.diff(pieces.offsets) == 0] = 0  # a model judges its end-of-sentence token even then
    return found


def digest_of(path: str | Path, positive: str) -> str:
    """The sha256 of the model at ``path``, which is looked into: a run should not come to know after hours.

    Errors: `InputError` if it cannot be read, is no fastText classifier, or has no label ``positive``.
    """
    model, digest = load_named(path)
    label_number(model, positive, str(path))
    return digest


def label_number(model: FastTextModel, label: str, path: str) -> int:
    """The column of a label. Errors: `InputError` if the model has no such label."""
    if label not in model.labels:
        names = ", ".join(model.labels[:10])
        raise InputError(f"{path}: this model has no label {label!r}; its labels: {names}")
    return model.labels.index(label)
