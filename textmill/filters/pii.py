"""Masks e-mail addresses.

Found without a backtracking regular expression: each ``@`` is an anchor, from which the name is read to the left (at
most 64 characters, RFC 5321 4.5.3.1.1) and the host to the right (at most 255), so the work is linear in the text
whatever it holds. A host needs a dot and a top-level label of at least two letters. Masking is idempotent: the
placeholder holds no ``@``.

Cost: a text without ``@`` costs one search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

EMAIL_PLACEHOLDER = "|||EMAIL_ADDRESS|||"  # as in Dolma (Soldaini et al. 2024)
MAX_NAME_CHARS = 64
MAX_HOST_CHARS = 255

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+/=?^_`{|}~.-")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")


@dataclass(frozen=True)
class EmailMask:
    """Masks e-mail addresses; the corpus stage runs it over every kept document."""

    placeholder: str = EMAIL_PLACEHOLDER
    name = "emails"

    def mask(self, text: str) -> tuple[str, int]:
        """The text with every address replaced, and how many there were."""
        return mask_emails(text, self.placeholder)


def mask_emails(text: str, placeholder: str = EMAIL_PLACEHOLDER) -> tuple[str, int]:
    """``text`` with every e-mail address replaced by ``placeholder``, and how many there were."""
    pieces: list[str] = []
    done = 0
    for start, end in find_emails(text):
        pieces += [text[done:start], placeholder]
        done = end
    return "".join([*pieces, text[done:]]), len(pieces) // 2


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """The (start, end) of every e-mail address, in order and without overlap."""
    done = 0
    at = text.find("@")
    while at >= 0:
        start, end = _name_start(text, at, done), _host_end(text, at + 1)
        if start < at and end > at + 1:
            yield start, end
            done = end
        at = text.find("@", max(at + 1, done))
    return


def _name_start(text: str, at: int, done: int) -> int:
    """Where the name before ``at`` begins; ``at`` if there is none. Quotes and dots around it are not part of it."""
    start = at
    lowest = max(done, at - MAX_NAME_CHARS)
    while start > lowest and text[start - 1] in _NAME:
        start -= 1
    while start < at and not text[start].isalnum():
        start += 1
    return at if at > 0 and text[at - 1] == "." else start


def _host_end(text: str, begin: int) -> int:
    """Where the host that begins at ``begin`` ends; ``begin`` if there is none."""
    end = begin
    highest = min(len(text), begin + MAX_HOST_CHARS)
    while end < highest and text[end] in _HOST:
        end += 1
    labels = text[begin:end].split(".")
    while labels and not (len(labels[-1]) >= 2 and labels[-1].isalpha()):
        labels.pop()  # what follows the last top-level label: a full stop, digits, a hyphen
    valid = len(labels) >= 2 and all(label and label[0] != "-" and label[-1] != "-" for label in labels)
    return begin + len(".".join(labels)) if valid else begin
