"""Files of benchmark items: questions with their answers, under the names that their authors gave the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textmill import storage
from textmill.dedup.decontaminate import Item
from textmill.errors import EnvironmentFault, InputError, UnknownNameError
from textmill.pipeline.rows import read_rows
from textmill.pipeline.stage import NOT_IDENTITY

# Fields of a question and of its answer, as public benchmarks call them; the first that an item has is taken.
QUESTIONS = "question query problem prompt instruction input ctx context goal premise sentence text".split()
ANSWERS = "answer answers solution canonical_solution completion response output target correct_answer".split()


@dataclass(frozen=True)
class ItemFile:
    """A file of items; its content, not its place, is what a stage that reads it depends on."""

    path: str = field(metadata=NOT_IDENTITY)
    sha256: str
    question: tuple[str, ...] = ()  # fields; none: chosen by name
    answer: tuple[str, ...] = ()

    @classmethod
    def find(cls, path: str, question: Sequence[str] = (), answer: Sequence[str] = ()) -> ItemFile:
        """The file as it is now. Errors: `InputError`."""
        storage.check_uri(path)
        try:
            digest = storage.sha256(path)
        except OSError as error:
            raise InputError(f"{path}: cannot read this file ({error.strerror})") from error
        return cls(storage.absolute(path), digest, tuple(question), tuple(answer))

    def read(self) -> list[Item]:
        """The items. Errors: `InputError`, `UnknownNameError`; `EnvironmentFault` if it is not the file it was."""
        try:
            digest = storage.sha256(self.path)
        except OSError as error:
            raise EnvironmentFault(
                f"{self.path}: no items here ({error.strerror}); put them on every machine"
            ) from error
        if digest != self.sha256:
            raise EnvironmentFault(f"{self.path}: its sha256 is {digest}, not {self.sha256}; put the file back")
        name = self.path.rpartition("/")[2].partition(".")[0]
        items = []
        for number, row in enumerate(read_rows(self.path), 1):
            if not isinstance(row, dict):
                raise InputError(f"{self.path}: item {number} is no object with a question in it")
            question, answer = self._fields(row)
            parts = ("\n".join(_flat(row[name]) for name in names) for names in (question, answer))
            items.append(Item(f"{name}:{number}", *parts))
        return items

    def _fields(self, row: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
        """The fields of the question and of the answer that this item has."""
        if unknown := next((name for name in (*self.question, *self.answer) if name not in row), None):
            raise UnknownNameError(f"field of an item in {self.path}:", unknown, row)
        question = self.question or _first_of(QUESTIONS, row)
        if not question:
            raise InputError(f"{self.path}: which of {', '.join(row)} is the question? Name it with --question")
        return question, self.answer or _first_of([name for name in ANSWERS if name not in question], row)


def _first_of(names: Sequence[str], row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(next(([name] for name in names if name in row), []))


def _flat(value: Any) -> str:
    """All text in a value: choices may be lists, or lists in dictionaries."""
    if isinstance(value, Mapping):
        return "\n".join(map(_flat, value.values()))
    if isinstance(value, list | tuple):
        return "\n".join(map(_flat, value))
    return "" if value is None else str(value)
