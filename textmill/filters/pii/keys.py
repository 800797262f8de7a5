"""Keys that open something: of Amazon Web Services, and private keys in PEM armour.

An access key id is ``AKIA`` or ``ASIA`` and 16 capitals and digits 2 to 7. A secret access key is 40 characters of
base64, which much else is, so it counts only right after a mark that says "secret", and with letters of both cases and
digits.
Private keys go from the line BEGIN to the line END (RFC 7468); between them stands nothing but base64 and headers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.filters.pii.alphabet import (
    ALNUM,
    BASE64,
    DIGIT,
    LETTER,
    LOWER,
    UPPER,
    ascii_bytes,
    isa,
    peek,
    reads,
)

N_ID_CHARS, N_SECRET_CHARS = 16, 40
MAX_MARK = 32  # letters from "secret" on, then marks
MAX_LABEL = 40  # of a line BEGIN

_SECRET, _BEGIN, _END = ascii_bytes("secret"), ascii_bytes("-----begin "), ascii_bytes("-----end ")
_PRIVATE_KEY, _DASHES = ascii_bytes("private key"), ascii_bytes("-----")
_SPACE, _LINE, _DASH, _NEWLINE = map(ord, " _-\n")
_BETWEEN = np.zeros(256, np.bool_)  # what may stand between mark and secret
_BETWEEN[list(b" \t\n:=\"'`")] = True
_IN_ARMOUR = np.zeros(256, np.bool_)  # beside base64
_IN_ARMOUR[list(b" \t\r\n:,-.\\")] = True


@inner
def access_key(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the access key id whose A is at i; the end is 0 if there is none."""
    if peek(data, i + 2, lo, hi) != ord("I") or peek(data, i + 3, lo, hi) != ord("A"):
        return 0, 0
    if peek(data, i + 1, lo, hi) not in (ord("K"), ord("S")) or isa(data, i - 1, lo, hi, ALNUM):
        return 0, 0
    end = i + 4 + N_ID_CHARS
    for k in range(i + 4, end):
        if not isa(data, k, lo, hi, UPPER) and not ord("2") <= peek(data, k, lo, hi) <= ord("7"):
            return 0, 0
    return (0, 0) if isa(data, end, lo, hi, ALNUM) else (i, end)


@inner
def secret_key(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the secret key after the mark "secret" at i; the end is 0 if there is none."""
    if not reads(data, i, hi, _SECRET):
        return 0, 0
    mark_end = i + len(_SECRET)
    while mark_end - i < MAX_MARK and (
        isa(data, mark_end, lo, hi, LETTER) or peek(data, mark_end, lo, hi) in (_SPACE, _LINE, _DASH)
    ):
        mark_end += 1
    start = mark_end
    while start < hi and start - mark_end < MAX_MARK and _BETWEEN[data[start]]:
        start += 1
    if isa(data, start - 1, lo, hi, ALNUM):
        return 0, 0
    has_lower = has_upper = has_digit = False
    for k in range(start, start + N_SECRET_CHARS):
        if not isa(data, k, lo, hi, BASE64):
            return 0, 0
        has_lower |= isa(data, k, lo, hi, LOWER)
        has_upper |= isa(data, k, lo, hi, UPPER)
        has_digit |= isa(data, k, lo, hi, DIGIT)
    end = start + N_SECRET_CHARS
    return (start, end) if has_lower and has_upper and has_digit and not isa(data, end, lo, hi, BASE64) else (0, 0)


@inner
def private_key(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the private key whose line BEGIN is at i; the end is 0 if there is none."""
    if not reads(data, i, hi, _BEGIN):
        return 0, 0
    label_end = _label_end(data, i + len(_BEGIN), lo, hi)
    if label_end == 0:
        return 0, 0
    k = label_end
    while k < hi and not reads(data, k, hi, _DASHES):  # the walk of a block ends where the next one begins
        if not isa(data, k, lo, hi, BASE64) and not _IN_ARMOUR[data[k]]:
            return 0, 0
        k += 1
    if not reads(data, k, hi, _END):
        return 0, 0
    end = _label_end(data, k + len(_END), lo, hi)
    return (i, end) if end else (0, 0)


@inner
def _label_end(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> int:
    """Where the dashes after the label of a private key end; 0 if ``start`` begins another label."""
    is_private = False
    for k in range(start, start + MAX_LABEL):
        is_private |= reads(data, k, hi, _PRIVATE_KEY)
        if reads(data, k, hi, _DASHES):
            return k + len(_DASHES) if is_private else 0
        if not isa(data, k, lo, hi, UPPER | DIGIT) and peek(data, k, lo, hi) != _SPACE:
            return 0
    return 0
