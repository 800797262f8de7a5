"""Masking of personal data; so far e-mail addresses.

Masked is an ASCII local part of up to 64 characters (RFC 5321, 4.5.3.1) without two dots in a row, "@", and a domain of
up to 255 characters whose last label is a word or punycode and not its only one. Of a longer local part the last 64
characters go. Quoted local parts, address literals, letters beyond ASCII and disguises ("me (at) example") are left.

Published patterns take quadratic or cubic time on hostile text (10 s for 2,000 dots). Here each "@" is an anchor with a
bounded look to the left and to the right, and no look passes another "@".

Cost: 1 MB without "@" takes .2 ms, the worst megabytes that we know (``a.b@`` again and again) .9 s.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from textmill.errors import UserError

EMAIL_PLACEHOLDER = "|||EMAIL_ADDRESS|||"  # as in Dolma (arXiv 2402.00159)
MAX_LOCAL_CHARS = 64
MAX_LABEL_CHARS = 63

_LOCAL = frozenset(string.ascii_letters + string.digits + "._%+-")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]{0,255}")
_TOP_LABEL = re.compile(r"(?:[Xx][Nn]--[A-Za-z0-9-]*[A-Za-z0-9]|[A-Za-z]{2,})(?![A-Za-z0-9])")


@dataclass(frozen=True)
class EmailMask:
    """Replaces e-mail addresses by a placeholder.

    The placeholder has no "@" and neither begins nor ends with a character of addresses, so that masking again changes
    nothing. Errors: `UserError` for any other.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = "emails"

    placeholder: str = EMAIL_PLACEHOLDER

    def __post_init__(self) -> None:
        ends = {self.placeholder[:1], self.placeholder[-1:]}
        if "@" in self.placeholder or ends & (_LOCAL | {""}):
            raise UserError(
                f"placeholder {self.placeholder!r} could be part of an address; use one such as {EMAIL_PLACEHOLDER!r}"
            )

    def mask(self, text: str) -> tuple[str, int]:
        """The text with every address replaced, and how many there were."""
        pieces: list[str] = []
        done = 0
        for start, end in find_emails(text):
            pieces += [text[done:start], self.placeholder]
            done = end
        return "".join([*pieces, text[done:]]), len(pieces) // 2


def mask_emails(text: str, placeholder: str = EMAIL_PLACEHOLDER) -> tuple[str, int]:
    """`EmailMask.mask` of one text. Errors: `UserError` for a placeholder that could be part of an address."""
    return EmailMask(placeholder).mask(text)


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every e-mail address, in order and without overlap."""
    done = 0
    at = text.find("@")
    while at >= 0:
        start = _local_start(text, at, done)
        end = _domain_end(text, at + 1) if start < at else at
        if end > at:
            yield start, end
            done = end
        at = text.find("@", at + 1)


def _local_start(text: str, at: int, floor: int) -> int:
    """Where the local part before ``text[at]`` begins, not before ``floor``; ``at`` if there is none."""
    start = at
    floor = max(floor, at - MAX_LOCAL_CHARS)
    while start > floor and text[start - 1] in _LOCAL and text[start - 1 : start + 1] != "..":
        start -= 1
    while start < at and text[start] in ".-%":  # leaders and dashes before the address
        start += 1
    return start


def _domain_end(text: str, start: int) -> int:
    """Where the longest domain that begins at ``start`` ends; the position before ``start`` if there is none."""
    domain = _DOMAIN.match(text, start)
    assert domain is not None  # it also matches nothing
    end, position = start - 1, start
    for i, label in enumerate(domain[0].split(".")):
        if len(label) > MAX_LABEL_CHARS or label[:1] in ("", "-"):
            break
        top = _TOP_LABEL.match(label) if i else None
        end = position + top.end() if top else end
        position += len(label) + 1
    return end
