"""Texts to train a classifier on, from whatever textmill reads: archives, tables, JSON lines, plain text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill.errors import InputError
from textmill.pipeline.texts import read_texts

PIECE_CHARS = 1500  # of plain text, cut between paragraphs where there are any
PIECES_TOGETHER = 50  # neighbours that are not split between training and test
TEST_SHARE = 5  # one group of so many is held out


@dataclass(frozen=True)
class Example:
    """A text, and the group (its host, where it has one) that is not split between training and test."""

    text: str
    group: str

    @property
    def is_test(self) -> bool:
        """Whether its group is held out: by a hash of its name, so always the same."""
        return int(hashlib.sha256(self.group.encode(errors="replace")).hexdigest(), 16) % TEST_SHARE == 0


def read_examples(paths: Sequence[str]) -> list[Example]:
    """The texts of all files, without exact copies (upper and lower case and white space aside), in their order.

    Errors: those of `read_texts`; `InputError` for a file that holds no text.
    """
    seen: set[bytes] = set()
    examples = []
    for path in paths:
        found = 0
        for example in _read(path):
            found += 1
            if (key := content_key(example.text)) not in seen:
                seen.add(key)
                examples.append(example)
        if not found:
            raise InputError(f"{path}: no text in this file")
    return examples


def content_key(text: str) -> bytes:
    """The same for texts that differ in white space and case alone."""
    return hashlib.sha256(" ".join(text.lower().split()).encode(errors="replace")).digest()


def _read(path: str) -> Iterator[Example]:
    name, number = Path(path).name, 0
    for text, group in read_texts(path, _pieces):
        if text:
            yield Example(text, group or f"{name}:{number // PIECES_TOGETHER}")
            number += 1


def _pieces(lines: Iterable[bytes]) -> Iterator[str]:
    """Pieces of plain text of about `PIECE_CHARS`."""
    piece: list[str] = []
    n_chars = 0
    for line in lines:
        text = line.decode(errors="replace")
        piece.append(text)
        n_chars += len(text)
        if n_chars >= PIECE_CHARS and (not text.strip() or n_chars >= 2 * PIECE_CHARS):
            yield "".join(piece).strip()
            piece, n_chars = [], 0
    yield "".join(piece).strip()
