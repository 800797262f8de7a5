"""Multiple choice by likelihood: which of its options a model finds likeliest after the context of an item.

Files are JSON lines, packed with gzip or not, in one of three forms, which is known by its fields:

    HellaSwag   ctx (or ctx_a and ctx_b), endings, label; activity_label if there is one
    MMLU        question, choices, answer (a place from 0, or a letter); subject if there is one
    plain       context, choices, label: an option is joined to its context as it stands, blanks are yours to write

Contexts and options are made as EleutherAI's harness makes them, so that figures can be compared with published ones.
HellaSwag (Zellers et al. 2019): "activity: context", traces of WikiHow's markup taken out, a blank, the ending. MMLU
(Hendrycks et al. 2021) twice: once with the options in the prompt, where the letter after "Answer:" is judged; and,
for models that do not know letters yet, as a cloze, where the text of the option is. Examples (shots) stand before the
context with their right answers, an empty line after each.

A context and its option are encoded together, as text is for training, after the end-of-text token, which begins a
document there, too. The option begins where that first differs from the encoded context: mostly at its end, as in the
harness; where a token reaches across, it counts as the option's. What does not fit is cut off the context's left, and
counted; an item with an option longer than the model's context is left out, and counted.

An option's score is the sum of its tokens' log-likelihoods; for the normalised accuracy, divided by its UTF-8 bytes
(the harness divides by characters: the same in ASCII). Of equal scores the first option is chosen. The standard error
is that of a share of independent items.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.errors import InputError, UserError
from textmill.tokenize import Tokenizer
from textmill.tokenize.encoding.tokenizer import token_dtype
from textmill.tokenize.pretokens.pretokenizer import utf8
from textmill.train.config import ModelConfig
from textmill.train.data import TokenStream
from textmill.train.likelihood import Sequences

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FORMS = "ctx, endings, label (HellaSwag); question, choices, answer (MMLU); or context, choices, label"
MMLU_HEAD = "The following are multiple choice questions (with answers) about {}.\n\n"
MARKUP = re.compile(r"\[.*?\]")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """A context, options that could follow it, and which of them is right."""

    context: str
    options: tuple[str, ...]
    answer: int
    sizes: tuple[int, ...]  # of the options, in UTF-8 bytes, without the blank that joins them
    head: str = ""  # before the examples
    subject: str = ""  # whose examples go with it


@dataclass(frozen=True)
class Task:
    """Items to be judged in one way."""

    name: str
    items: tuple[Item, ...]
    has_lengths: bool = True  # whether options differ in length, so that normalising says something


def read_tasks(path: str, shots: str | None = None, n_shots: int = 0) -> list[Task]:
    """The tasks in a file: one, or two of the MMLU form. ``shots`` is a file of the same form, whose first ``n_shots``
    items (of the same subject) are shown before each item.

    Errors: `InputError` for a file that is missing, empty or of no known form, with the line; `UserError` for shots.
    """
    tasks = _read(path)
    if not n_shots:
        return tasks
    if shots is None:
        raise UserError(f"{n_shots} shots, but no file to take them from; name one")
    examples = _read(shots)
    if [task.has_lengths for task in examples] != [task.has_lengths for task in tasks]:
        raise UserError(f"{shots}: items of another form than those of {path}")
    return [_with_shots(*pair, shots, n_shots) for pair in zip(tasks, examples, strict=True)]


def encoded_tasks(
    paths: Sequence[str],
    tokenizer: Tokenizer | None,
    model: ModelConfig,
    shots: str | None = None,
    n_shots: int = 0,
) -> list[EncodedTask]:
    """The tasks in files, for a model and its tokenizer. Errors: those of `read_tasks` and `encode`; `UserError` if
    there is no tokenizer, for one with more ids than the model, and for two tasks of one name."""
    tasks = [task for path in paths for task in read_tasks(path, shots, n_shots)]
    names = Counter(task.name for task in tasks)
    if twice := next((name for name, n in names.items() if n > 1), None):
        raise UserError(f"two tasks are called {twice}, after their files; rename one")
    if not tasks:
        return []
    if tokenizer is None:
        raise UserError("multiple choice needs a tokenizer, and there is none beside the model; name it: --tokenizer")
    if tokenizer.vocab_size > model.vocab_size:
        n_ids = f"{tokenizer.vocab_size:,} ids, the model {model.vocab_size:,}"
        raise UserError(f"the tokenizer has {n_ids}; use the model's own")
    return [encode(task, tokenizer, model.context_length) for task in tasks]


def _with_shots(task: Task, examples: Task, path: str, n_shots: int) -> Task:
    shown: dict[str, list[str]] = {}
    for example in examples.items:
        shown.setdefault(example.subject, []).append(f"{example.context}{example.options[example.answer]}\n\n")
    if short := next((item for item in task.items if len(shown.get(item.subject, ())) < n_shots), None):
        of = f" of {short.subject!r}" if short.subject else ""
        raise UserError(f"{path}: has {len(shown.get(short.subject, ()))} examples{of}, not {n_shots}")
    before = {subject: "".join(texts[:n_shots]) for subject, texts in shown.items()}
    items = (replace(item, context=before[item.subject] + item.context) for item in task.items)
    return replace(task, items=tuple(items))


# --- files


def _read(path: str) -> list[Task]:
    name = path.rpartition("/")[2].partition(".")[0]
    rows = [(f"{path}: line {number}", row) for number, row in _lines(path)]
    if not rows:
        raise InputError(f"{path}: holds no items; each line is a JSON object with {FORMS}")
    where, first = rows[0]
    if "endings" in first:
        return [Task(name, tuple(_hellaswag(*row) for row in rows))]
    if "question" in first and "choices" in first:
        letters = tuple(_letters(*row) for row in rows)
        cloze = tuple(_cloze(*row) for row in rows if all(_options(*row, "choices")))
        return [Task(name, letters, has_lengths=False), *([Task(f"{name}-cloze", cloze)] if cloze else [])]
    if "context" in first and "choices" in first:
        return [Task(name, tuple(_plain(*row) for row in rows))]
    raise InputError(f"{where}: its fields are {', '.join(first) or 'none'}; they must be {FORMS}")


def _lines(path: str) -> Iterator[tuple[int, Row]]:
    """The objects of a file, each with the number of its line; blank lines are none."""
    try:
        with storage.open_unpacked(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _object(line, f"{path}: line {number}")
    except storage.UNREADABLE as error:
        raise InputError(f"{path}: cannot read this file ({getattr(error, 'strerror', None) or error})") from error


def _object(line: bytes, where: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} is no object; it must have {FORMS}")
    return value


def _hellaswag(where: str, row: Row) -> Item:
    if "ctx_a" in row and "ctx_b" in row:
        context = f"{_text(where, row, 'ctx_a')} {_text(where, row, 'ctx_b').capitalize()}"
    else:
        context = _text(where, row, "ctx_a" if "ctx_a" in row and "ctx" not in row else "ctx")
    if "activity_label" in row:
        context = f"{_text(where, row, 'activity_label')}: {context}"
    endings = [_without_markup(text) for text in _options(where, row, "endings")]
    return _item(where, _without_markup(context), endings, _answer(where, row, "label", len(endings)))


def _without_markup(text: str) -> str:
    return MARKUP.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _letters(where: str, row: Row) -> Item:
    choices = _options(where, row, "choices")
    if len(choices) > len(LETTERS):
        raise InputError(f"{where}: {len(choices)} choices; there are letters for {len(LETTERS)}")
    listed = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, choices, strict=False))
    subject = _subject(where, row)
    return Item(
        f"{_text(where, row, 'question').strip()}\n{listed}Answer:",
        tuple(f" {letter}" for letter in LETTERS[: len(choices)]),
        _answer(where, row, "answer", len(choices)),
        (1,) * len(choices),
        MMLU_HEAD.format(subject.replace("_", " ")) if subject else "",
        subject,
    )


def _cloze(where: str, row: Row) -> Item:
    choices = _options(where, row, "choices")
    context = f"Question: {_text(where, row, 'question').strip()}\nAnswer:"
    item = _item(where, context, choices, _answer(where, row, "answer", len(choices)))
    return replace(item, subject=_subject(where, row))


def _plain(where: str, row: Row) -> Item:
    choices = _options(where, row, "choices")
    answer = _answer(where, row, "label", len(choices))
    return _item(where, _text(where, row, "context"), choices, answer, joint="")


def _item(where: str, context: str, options: Sequence[str], answer: int, joint: str = " ") -> Item:
    sizes = tuple(len(utf8(option)) for option in options)
    if 0 in sizes:
        raise InputError(f"{where}: option {sizes.index(0)} is empty; nothing can be likelier than nothing")
    return Item(context, tuple(joint + option for option in options), answer, sizes)


def _text(where: str, row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise InputError(f"{where}: {field} is {'missing' if value is None else 'no text'}")
    return value


def _subject(where: str, row: Row) -> str:
    return _text(where, row, "subject") if row.get("subject") is not None else ""


def _options(where: str, row: Row, field: str) -> list[str]:
    value = row.get(field)
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(option, str) for option in value):
        raise InputError(f"{where}: {field} must be a list of texts, two at least")
    return value


def _answer(where: str, row: Row, field: str, n_options: int) -> int:
    """A place from 0, written as a number or as text, or a letter."""
    value = row.get(field)
    if isinstance(value, str) and value in LETTERS[:n_options] and len(value) == 1:
        return LETTERS.index(value)
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 3:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < n_options:
        shown = "missing" if value is None else f"{value!r:.40}"
        raise InputError(f"{where}: {field} is {shown}; it must be a place from 0 to {n_options - 1}, or a letter")
    return value


# --- judging


@dataclass(frozen=True)
class Accuracy:
    """How often the right option was the likeliest. Errors are standard errors; None of a single item."""

    name: str
    n_items: int
    accuracy: float
    error: float | None
    normalized: float | None  # by the bytes of options; None where these are all alike
    normalized_error: float | None
    chance: float
    n_cut: int  # items whose context was cut
    n_left_out: int  # items with an option longer than the model's context; not among n_items


@dataclass(frozen=True)
class EncodedTask:
    """A task for one tokenizer and context; its sequences are the options of all items, one after the other."""

    name: str
    sequences: Sequences
    bounds: NDArray[np.int64]  # [items + 1], of each item's options
    answers: NDArray[np.int64]  # [items]
    sizes: NDArray[np.int64]  # [options], in bytes
    has_lengths: bool
    n_cut: int
    n_left_out: int

    def accuracy(self, nats: NDArray[np.float64]) -> Accuracy:
        """``nats`` [options] are the losses of the sequences, as `sums_of_losses` gives them."""
        n = len(self.answers)
        right = float((self._best(-nats) == self.answers).mean())
        by_byte = float((self._best(-nats / self.sizes) == self.answers).mean()) if self.has_lengths else None
        chance = float((1 / np.diff(self.bounds)).mean())
        errors = _share_error(right, n), _share_error(by_byte, n)
        return Accuracy(self.name, n, right, errors[0], by_byte, errors[1], chance, self.n_cut, self.n_left_out)

    def _best(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """The first of the options with the highest score of each item, counted from its first option."""
        starts, n_options = self.bounds[:-1], np.diff(self.bounds)
        highest = np.repeat(np.maximum.reduceat(scores, starts), n_options)
        places = np.arange(len(scores)) - np.repeat(starts, n_options)
        return np.asarray(np.minimum.reduceat(np.where(scores == highest, places, len(scores)), starts))


def encode(task: Task, tokenizer: Tokenizer, context_length: int) -> EncodedTask:
    """The sequences of a task. Errors: `UserError` when no item fits, or the tokenizer has no end of text."""
    contexts = _encoded(tokenizer, [item.head + item.context for item in task.items])
    wholes = _encoded(tokenizer, [item.head + item.context + option for item in task.items for option in item.options])
    n_options = np.array([len(item.options) for item in task.items])
    owner = np.repeat(np.arange(len(n_options)), n_options)
    lengths = np.diff(wholes[1])
    n_counted = lengths - _n_common(contexts, wholes, owner)
    n_left = np.bincount(owner, n_counted > context_length)
    fits = n_left == 0
    if not fits.any():
        raise UserError(f"{task.name}: no item has options within the model's context of {context_length} tokens")
    is_cut = np.bincount(owner, lengths > context_length) > 0
    chosen = np.flatnonzero(fits[owner])
    sizes = np.array([size for item in task.items for size in item.sizes], np.int64)
    return EncodedTask(
        task.name,
        _sequences(tokenizer, wholes, chosen, n_counted[chosen], context_length),
        np.concatenate([[0], np.cumsum(n_options[fits])]),
        np.array([item.answer for item in task.items], np.int64)[fits],
        sizes[chosen],
        task.has_lengths,
        int((is_cut & fits).sum()),
        int((~fits).sum()),
    )


Encoded = tuple[NDArray[Any], NDArray[np.int64]]  # all ids, and where each text begins


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    return tokenizer.encode_batch(pa.array(map(utf8, texts), pa.large_binary()).cast(pa.large_string()))


def _n_common(contexts: Encoded, wholes: Encoded, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """With how many ids of its context each whole begins; less than all of its own, since the option adds text."""
    n_common = np.empty(len(owner), np.int64)
    for i, item in enumerate(owner.tolist()):
        context, whole = (ids[bounds[k] : bounds[k + 1]] for (ids, bounds), k in ((contexts, item), (wholes, i)))
        n = min(len(context), len(whole))
        differs = context[:n] != whole[:n]
        n_common[i] = differs.argmax() if differs.any() else n
    return n_common


def _sequences(
    tokenizer: Tokenizer, wholes: Encoded, chosen: NDArray[np.int64], n_counted: NDArray[np.int64], context_length: int
) -> Sequences:
    """The last ids of the ``chosen`` texts, as many as fit."""
    ids = wholes[0].astype(token_dtype(tokenizer.vocab_size), copy=False)
    ids.setflags(write=False)  # as shards are, so that the kernel is not compiled twice
    begins, ends = wholes[1][chosen], wholes[1][chosen + 1]
    starts = np.maximum(begins, ends - context_length)
    before = np.where(starts > begins, ids[np.maximum(0, starts - 1)], tokenizer.eot_id).astype(np.int64)
    return Sequences(TokenStream([ids], tokenizer.vocab_size), before, starts, ends - starts, n_counted)


def _share_error(share: float | None, n: int) -> float | None:
    return None if share is None or n < 2 else math.sqrt(share * (1 - share) / (n - 1))
