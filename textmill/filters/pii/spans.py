"""Where personal data stands in a batch of texts, and the texts without it.

One pass over Arrow's bytes. Most bytes begin nothing and cost one look into a table; the others are *anchors*, at which
a finder looks around, never further than a bound. What is found cuts the text in two gaps, and finders see one gap at
a time. The end of the gap to its left is read again, without the span: so masked text is read as it was when it was
masked, and masking twice changes nothing more. The bound makes that a bounded piece of work for every span, so the time
is linear in the text, whatever the text.

Cost: see ``benchmarks/pii.py``.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import inner, kernel
from textmill.filters.pii.accounts import card, iban
from textmill.filters.pii.addresses import ipv4, ipv6
from textmill.filters.pii.alphabet import DIGIT, LABEL, UPPER, isa
from textmill.filters.pii.emails import may_spell_at, plain_email, spelt_email
from textmill.filters.pii.keys import access_key, private_key, secret_key
from textmill.filters.pii.phones import phone
from textmill.text import Segmentation

KINDS = ("emails", "phones", "ips", "cards", "ibans", "aws_keys", "private_keys")
EMAIL, PHONE, IP, CARD, IBAN, AWS_KEY, PRIVATE_KEY = range(len(KINDS))

MAX_LOOK = 512  # bytes: no finder that fails looks further from its anchor, and none lies further from its span's start
MAX_FOLLOW = 8  # bytes between two phone numbers of which one makes the other one

# Which bytes a finder may begin at.
_AT, _A, _DIGIT, _COLON, _S, _DASH, _CAPITAL = (np.uint8(1 << i) for i in range(7))
ANCHORS = np.zeros(256, np.uint8)
ANCHORS[ord("@")] = _AT
ANCHORS[list(b"0123456789")] = _DIGIT
ANCHORS[ord(":")] = _COLON
ANCHORS[ord("-")] = _DASH
ANCHORS[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")] = _CAPITAL
ANCHORS[list(b"aA")] |= _A
ANCHORS[list(b"sS")] |= _S
# Anchors of each kind, in the order of KINDS.
_BEGINS = (_AT | _A, _DIGIT, _DIGIT | _COLON, _DIGIT, _CAPITAL, _S | _A | _CAPITAL, _DASH)


@dataclass(frozen=True)
class Found:
    """Spans of personal data in a batch, in the order of the text, none overlapping another. All arrays are [spans]."""

    document: NDArray[np.int64]
    start: NDArray[np.int64]  # bytes of the document's UTF-8
    end: NDArray[np.int64]
    kind: NDArray[np.int64]  # places in KINDS

    def __len__(self) -> int:
        return len(self.start)

    def only(self, which: NDArray[np.bool_]) -> Found:
        """Some of the spans."""
        return Found(self.document[which], self.start[which], self.end[which], self.kind[which])

    def counts(self, kind: str, n_documents: int) -> NDArray[np.int64]:
        """Spans of a kind in each document, [documents]."""
        return np.bincount(self.document[self.kind == KINDS.index(kind)], minlength=n_documents)

    def offsets(self, n_documents: int) -> NDArray[np.int64]:
        """Document i has the spans from ``offsets[i]`` to ``offsets[i + 1]``, [documents + 1]."""
        return np.searchsorted(self.document, np.arange(n_documents + 1))

    def start_after(self, sizes: Mapping[str, int]) -> NDArray[np.int64]:
        """Where the spans begin after each was replaced by something of its kind's size in bytes, [spans]."""
        shift = np.cumsum(self.growth(sizes)) - self.growth(sizes)
        before_document = shift[np.searchsorted(self.document, self.document)]
        return self.start + shift - before_document

    def growth(self, sizes: Mapping[str, int]) -> NDArray[np.int64]:
        """Bytes that replacing adds to each span's document, [spans]."""
        by_kind = np.array([sizes.get(kind, 0) for kind in KINDS], np.int64)
        return by_kind[self.kind] - (self.end - self.start)


def find(text: pa.LargeStringArray, kinds: Sequence[str] = KINDS) -> Found:
    """All spans of some kinds in an array of texts."""
    pieces = Segmentation(text)
    numbers = {KINDS.index(kind) for kind in kinds}
    wanted = sum(1 << number for number in numbers)
    begins = functools.reduce(operator.or_, (_BEGINS[number] for number in numbers), np.uint8(0))
    rows = _find(pieces.data, pieces.offsets, wanted, ANCHORS & begins)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    begin = pieces.offsets[rows[:, 0]]
    return Found(rows[:, 0], rows[:, 1] - begin, rows[:, 2] - begin, rows[:, 3])


def replace(text: pa.LargeStringArray, found: Found, placeholders: Mapping[str, str]) -> pa.LargeStringArray:
    """The texts with every span replaced by the placeholder of its kind; the same array if there is none."""
    if not len(found):
        return text
    encoded = {kind: placeholder.encode() for kind, placeholder in placeholders.items()}
    by_kind = [encoded.get(kind, b"") for kind in KINDS]
    sizes = {kind: len(placeholder) for kind, placeholder in encoded.items()}
    pieces = Segmentation(text)
    begin, end = pieces.offsets[0], pieces.offsets[-1]
    growth = np.zeros(len(text) + 1, np.int64)
    np.add.at(growth, found.document + 1, found.growth(sizes))
    offsets = pieces.offsets - begin + np.cumsum(growth)
    data = np.empty(offsets[-1], np.uint8)
    shift = pieces.offsets[found.document] - begin
    _splice(
        pieces.data[begin:end],
        shift + found.start,
        shift + found.end,
        found.kind,
        np.frombuffer(b"".join(by_kind), np.uint8),
        np.cumsum([0, *map(len, by_kind)]),
        data,
    )
    return pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data))


@kernel
def _splice(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    kind: NDArray[np.int64],
    placeholders: NDArray[np.uint8],
    placeholder_offsets: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Writes ``data`` with the bytes from start to end replaced by their kind's piece of ``placeholders``."""
    done = n = 0
    for k in range(len(start)):
        out[n : n + start[k] - done] = data[done : start[k]]
        n += start[k] - done
        placeholder = placeholders[placeholder_offsets[kind[k]] : placeholder_offsets[kind[k] + 1]]
        out[n : n + len(placeholder)] = placeholder
        n += len(placeholder)
        done = end[k]
    out[n:] = data[done:]


@kernel
def _find(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], wanted: int, anchors: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Rows of document, start, end, kind; positions are those in ``data``. Rows of one document are in no order."""
    found = np.empty((16, 4), np.int64)
    gaps = np.empty((16, 4), np.int64)  # still to be read: lo, first anchor, hi, end of the phone number before
    n = 0
    for document in range(len(offsets) - 1):
        gaps[0] = offsets[document], offsets[document], offsets[document + 1], -1
        n_gaps = 1
        while n_gaps:
            n_gaps -= 1
            lo, first, hi, phone_end = gaps[n_gaps]
            start, end, kind = _next(data, lo, first, hi, phone_end, wanted, anchors)
            if end == 0:
                continue
            if n == len(found):
                found = np.concatenate((found, np.empty_like(found)))
            found[n] = document, start, end, kind
            n += 1
            if n_gaps + 2 > len(gaps):
                gaps = np.concatenate((gaps, np.empty_like(gaps)))
            gaps[n_gaps] = end, end, hi, end if kind == PHONE else -1
            gaps[n_gaps + 1] = lo, max(lo, start - MAX_LOOK), start, phone_end
            n_gaps += 2
    return found[:n]


@inner
def _next(
    data: NDArray[np.uint8], lo: int, first: int, hi: int, phone_end: int, wanted: int, anchors: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Start, end and kind of the first span in a gap whose anchor is at ``first`` or after it; the end is 0 if there is
    none."""
    for i in range(first, hi):
        anchor = anchors[data[i]]
        if anchor == 0:
            continue
        start, end, kind = 0, 0, 0
        if anchor & _AT:
            (start, end), kind = plain_email(data, i, lo, hi), EMAIL
        elif anchor & _DIGIT:
            if i == lo or not isa(data, i - 1, lo, hi, DIGIT):
                start, end, kind = _number(data, i, lo, hi, phone_end, wanted)
        elif anchor & _COLON:
            (start, end), kind = ipv6(data, i, lo, hi), IP
        elif anchor & _DASH:
            if not isa(data, i - 1, lo, hi, LABEL):
                (start, end), kind = private_key(data, i, lo, hi), PRIVATE_KEY
        else:
            start, end, kind = _lettered(data, i, lo, hi, anchor, wanted)
        if end and wanted >> kind & 1:
            return start, end, kind
    return 0, 0, 0


@inner
def _number(data: NDArray[np.uint8], i: int, lo: int, hi: int, phone_end: int, wanted: int) -> tuple[int, int, int]:
    """What the first digit of a group begins."""
    if wanted >> IP & 1:
        start, end = ipv4(data, i, lo, hi)
        if end:
            return start, end, IP
    if wanted >> CARD & 1:
        start, end = card(data, i, lo, hi)
        if end:
            return start, end, CARD
    if wanted >> PHONE & 1:
        follows = phone_end == lo and i - lo <= MAX_FOLLOW and _joins(data, lo, i)
        start, end = phone(data, i, lo, hi, follows)
        return start, end, PHONE
    return 0, 0, 0


@inner
def _joins(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether nothing but marks stands between two phone numbers."""
    for i in range(start, end):  # noqa: SIM110 - numba has no all()
        if data[i] not in (ord(" "), ord(","), ord("/"), ord(";"), ord("+"), ord("(")):
            return False
    return True


@inner
def _lettered(data: NDArray[np.uint8], i: int, lo: int, hi: int, anchor: int, wanted: int) -> tuple[int, int, int]:
    """What a letter begins."""
    start = end = 0
    if anchor & _A and wanted >> EMAIL & 1 and may_spell_at(data, i, lo, hi):
        start, end = spelt_email(data, i, lo, hi)
        if end:
            return start, end, EMAIL
    if anchor & _S and wanted >> AWS_KEY & 1:
        start, end = secret_key(data, i, lo, hi)
    elif anchor & _A and anchor & _CAPITAL and wanted >> AWS_KEY & 1:
        start, end = access_key(data, i, lo, hi)
    if end:
        return start, end, AWS_KEY
    if anchor & _CAPITAL and wanted >> IBAN & 1 and isa(data, i + 1, lo, hi, UPPER):
        start, end = iban(data, i, lo, hi)
        return start, end, IBAN
    return 0, 0, 0
