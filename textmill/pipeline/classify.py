"""Training and judging a quality classifier: `textmill classifier train` and `eval`.

DCLM's recipe (arXiv 2406.11794): fastText, word bigrams, texts of one kind against web text. Here both kinds are
deduplicated, balanced, and split by host, and what is reported is measured on hosts that the model has not seen.

fastText with one thread fills a tenth of its first matrix and takes the rest as malloc gives it. So that the same texts
give the same model, malloc is asked for zeros (glibc's M_PERTURB; elsewhere fresh memory is mostly zeros anyway).
"""

from __future__ import annotations

import contextlib
import ctypes
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.filters.classifier import HIGH, LOW, label_number, probabilities
from textmill.filters.fasttext_model import LABEL_PREFIX, load
from textmill.pipeline.examples import Example, content_key, read_examples
from textmill.text import Documents

KEPT_FRACS = (0.5, 0.25, 0.1, 0.05, 0.01)  # of the negatives: what "the best 10%" of web text is
MIN_EXAMPLES = 20  # of each kind, on either side of the split
_M_PERTURB = -6


@dataclass(frozen=True)
class Recipe:
    """What is asked of fastText. ``kept_rows`` of the matrix stay when it is quantised; 0 leaves it as it is."""

    dim: int = 16
    word_ngrams: int = 2
    epochs: int = 5
    lr: float = 0.1
    min_count: int = 2
    buckets: int = 200_000
    kept_rows: int = 0
    max_chars: int = 20_000  # of a text
    seed: int = 1


def train(positive: Sequence[str], negative: Sequence[str], out: str, recipe: Recipe | None = None) -> dict[str, Any]:
    """Trains a model, writes it to ``out`` and its card to the same name with ``.json``, and returns the card.

    Errors: `InputError` for files that cannot be read or hold too few texts; `UserError` for no local file in a folder.
    """
    recipe = recipe or Recipe()
    if not storage.is_local(out):
        raise UserError(f"--out {out}: a model is written to a local file")
    target = Path(out)
    if not target.parent.is_dir():
        raise UserError(f"{out}: no folder {target.parent}; make it first")
    good, bad = read_both(positive, negative)
    kinds = {HIGH: [e for e in good if not e.is_test], LOW: [e for e in bad if not e.is_test]}
    held_out = [e for e in good if e.is_test], [e for e in bad if e.is_test]
    n = min(map(len, (*kinds.values(), *held_out)))
    if n < MIN_EXAMPLES:
        raise InputError(f"too few texts: {n} on one side of the split by host, at least {MIN_EXAMPLES} are needed")
    n_train = min(map(len, kinds.values()))
    kinds = {label: sorted(some, key=lambda e: content_key(e.text))[:n_train] for label, some in kinds.items()}
    _fit(kinds, target, recipe)
    card = {
        "model": target.name,
        "sha256": storage.sha256(target),
        "labels": [HIGH, LOW],
        "recipe": asdict(recipe),
        "positive": [Path(path).name for path in positive],
        "negative": [Path(path).name for path in negative],
        "n_train_each": n_train,
        "held_out": judge(out, *held_out),
    }
    storage.write_json(card, str(target.with_suffix(".json")))
    return card


def evaluate(model: str, positive: Sequence[str], negative: Sequence[str], label: str = HIGH) -> dict[str, Any]:
    """What `judge` measures on all texts of the files. Errors: `InputError`."""
    return judge(model, *read_both(positive, negative), label)


def read_both(positive: Sequence[str], negative: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """The texts of both kinds; what is in both counts as positive. Errors: `InputError`."""
    good, bad = read_examples(positive), read_examples(negative)
    keys = {content_key(example.text) for example in good}
    return good, [example for example in bad if content_key(example.text) not in keys]


def judge(path: str, good: Sequence[Example], bad: Sequence[Example], label: str = HIGH) -> dict[str, Any]:
    """Area under the ROC curve, thresholds that keep a share of the negatives, and the precision/recall curve.

    Precision is that of as many negatives as positives. Errors: `InputError` for a model without the label, no texts.
    """
    if not good or not bad:
        raise InputError("nothing to judge: there are no texts of one kind")
    model = load(path)
    number = label_number(model, label, path)
    high, low = (
        np.sort(probabilities(model, Documents.from_texts([e.text for e in some]))[:, number]) for some in (good, bad)
    )
    kept = [_at(high, low, float(np.quantile(low, 1 - frac))) | {"negatives_kept": frac} for frac in KEPT_FRACS]
    curve = [_at(high, low, threshold / 50) for threshold in range(1, 50)]
    return {"n_positive": len(good), "n_negative": len(bad), "auc": _auc(high, low), "keep": kept, "curve": curve}


def _at(high: NDArray[np.float32], low: NDArray[np.float32], threshold: float) -> dict[str, float]:
    """Recall and balanced precision of the rule "score >= threshold", from sorted scores."""
    recall, false = (float(1 - np.searchsorted(some, np.float32(threshold)) / len(some)) for some in (high, low))
    precision = recall / (recall + false) if recall + false else 1.0
    return {"threshold": round(threshold, 6), "recall": round(recall, 4), "precision": round(precision, 4)}


def _auc(high: NDArray[np.float32], low: NDArray[np.float32]) -> float:
    """How often a positive scores higher than a negative; ties count half."""
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return round(float(below.mean()) / 2 / len(low), 4)


def _fit(kinds: dict[str, list[Example]], target: Path, recipe: Recipe) -> None:
    """Trains on the texts of each label, alternating, and writes the model whole or not at all."""
    import fasttext

    with tempfile.TemporaryDirectory(dir=target.parent) as folder, _zeroed_memory():
        lines, made = Path(folder) / "lines.txt", Path(folder) / "model"
        with lines.open("w", encoding="utf-8", errors="replace") as file:
            for pair in zip(*kinds.values(), strict=True):
                for label, example in zip(kinds, pair, strict=True):
                    file.write(f"{LABEL_PREFIX}{label} {_one_line(example.text[: recipe.max_chars])}\n")
        trained = fasttext.train_supervised(
            str(lines),
            dim=recipe.dim,
            wordNgrams=recipe.word_ngrams,
            epoch=recipe.epochs,
            lr=recipe.lr,
            minCount=recipe.min_count,
            bucket=recipe.buckets,
            seed=recipe.seed,
            thread=1,
            verbose=0,
        )
        if recipe.kept_rows:
            trained.quantize(cutoff=recipe.kept_rows, qnorm=True, dsub=2, verbose=0, thread=1)
        trained.save_model(str(made))
        made.replace(target)


def _one_line(text: str) -> str:
    """Without line ends, and without words that fastText would take for labels or for the end."""
    return " ".join(text.replace("\0", " ").split()).replace(LABEL_PREFIX, "label ").replace("</s>", "s")


@contextlib.contextmanager
def _zeroed_memory() -> Iterator[None]:
    """Within it glibc's malloc gives zeros: it writes the complement of the byte that it is told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_PERTURB, 0xFF)
    try:
        yield
    finally:
        if mallopt:
            mallopt(_M_PERTURB, 0)


def curve_svg(figures: dict[str, Any]) -> str:
    """The precision/recall curve as a picture of 340 x 340 pixels."""
    points = " ".join(f"{20 + 300 * p['recall']:.1f},{320 - 300 * p['precision']:.1f}" for p in figures["curve"])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 340 340" font-family="sans-serif" font-size="11">'
        '<path d="M20 20V320H320" fill="none" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="2"/>'
        f'<text x="290" y="334">recall</text><text x="24" y="16">precision (AUC {figures["auc"]})</text></svg>\n'
    )
