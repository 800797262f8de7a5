"""Numbers of payment cards and bank accounts, both proved by their check digits.

A card's number is 13 to 19 digits, in one piece or in the groups that are printed on cards (4-4-4-4, 4-6-5, 4-6-4),
which begin as an issuer's do and pass Luhn's test (ISO/IEC 7812). Of others that begin so one in ten passes, too.

An IBAN (ISO 13616) is two capitals, two check digits and what the country's banks use, in one piece or in groups with
single spaces: it has its country's length and leaves 1 modulo 97. Of other such strings one in 97 passes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.filters.pii.alphabet import ALNUM, DIGIT, UPPER, isa, peek

_SPACE, _DASH, _DOT = map(ord, " -.")
MAX_CARD_DIGITS = 19

_IBAN_CHARS = """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24
    FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32
    LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24
    RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
""".split()  # the registry of SWIFT

IBAN_CHARS = np.zeros((26, 26), np.int64)  # length by the two letters of the country
for _entry in _IBAN_CHARS:
    IBAN_CHARS[ord(_entry[0]) - ord("A"), ord(_entry[1]) - ord("A")] = int(_entry[2:])


@inner
def card(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the card number whose first digit is at i; the end is 0 if there is none."""
    if not ord("2") <= data[i] <= ord("6") or _touches(data, i - 1, i - 2, lo, hi):
        return 0, 0
    end, n_digits, shape = _read(data, i, lo, hi)
    if not 13 <= n_digits <= MAX_CARD_DIGITS or _touches(data, end, end + 1, lo, hi):
        return 0, 0
    if shape not in (n_digits, 4444, 465, 464, 44443) or not _is_issued(data, i, n_digits) or not _luhn(data, i, end):
        return 0, 0
    return i, end


@inner
def _touches(data: NDArray[np.uint8], i: int, beyond: int, lo: int, hi: int) -> bool:
    """Whether the byte at i, or a digit beyond a mark there, makes a number part of a longer one."""
    byte = peek(data, i, lo, hi)
    if byte in (_DASH, _DOT, _SPACE):
        return isa(data, beyond, lo, hi, DIGIT)
    return byte == ord("_") or isa(data, i, lo, hi, ALNUM)


@inner
def _read(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> tuple[int, int, int]:
    """End, digits, and the lengths of the groups as digits of a number: 4444 for four groups of four.

    Groups have the same mark between them, a space or a dash.
    """
    i, n_digits, n_in_group, shape = start, 0, 0, 0
    mark = np.uint8(0)
    while n_digits <= MAX_CARD_DIGITS:
        if isa(data, i, lo, hi, DIGIT):
            n_digits += 1
            n_in_group += 1
        else:
            byte = peek(data, i, lo, hi)
            if byte not in (_SPACE, _DASH) or not isa(data, i + 1, lo, hi, DIGIT) or (mark and byte != mark):
                break
            mark = byte
            shape = 10 * shape + n_in_group
            n_in_group = 0
        i += 1
    return i, n_digits, 10 * shape + n_in_group if shape else n_in_group


@inner
def _is_issued(data: NDArray[np.uint8], start: int, n_digits: int) -> bool:
    """Whether numbers of this length that begin so are issued. Not here: Maestro, which begins as many numbers do."""
    four, i, n = 0, start, 0
    while n < 4:  # printed groups have at least four digits
        four = 10 * four + (int(data[i]) - ord("0"))
        i, n = i + 1, n + 1
    two = four // 100
    if four // 1000 == 4:
        return n_digits in (13, 16, 19)  # Visa
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return n_digits == 16  # Mastercard
    if two in (34, 37):
        return n_digits == 15  # American Express
    if 300 <= four // 10 <= 305 or two in (36, 38, 39):
        return n_digits == 14  # Diners Club
    if four == 6011 or 644 <= four // 10 <= 659 or 3528 <= four <= 3589 or two == 62:
        return n_digits >= 16  # Discover, JCB, UnionPay
    return False


@inner
def _luhn(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether the digits between two positions pass Luhn's test."""
    total, doubled = 0, False
    for k in range(end - 1, start - 1, -1):
        if isa(data, k, start, end, DIGIT):
            value = (int(data[k]) - ord("0")) * (1 + doubled)
            total += value - 9 if value > 9 else value
            doubled = not doubled
    return total % 10 == 0


@inner
def iban(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the IBAN whose first letter is at i; the end is 0 if there is none."""
    if (
        not isa(data, i + 1, lo, hi, UPPER)
        or not isa(data, i + 2, lo, hi, DIGIT)
        or not isa(data, i + 3, lo, hi, DIGIT)
    ):
        return 0, 0
    n_chars = IBAN_CHARS[data[i] - ord("A"), data[i + 1] - ord("A")]
    if n_chars == 0 or isa(data, i - 1, lo, hi, ALNUM):
        return 0, 0
    k, n, rest = i + 4, 4, 0
    while n < n_chars:
        if peek(data, k, lo, hi) == _SPACE:
            k += 1
        if not isa(data, k, lo, hi, DIGIT | UPPER):
            return 0, 0
        rest = _append(rest, data[k])
        k, n = k + 1, n + 1
    for j in range(i, i + 4):
        rest = _append(rest, data[j])
    return (0, 0) if rest != 1 or isa(data, k, lo, hi, ALNUM) else (i, k)


@inner
def _append(rest: int, byte: np.uint8) -> int:
    """A remainder modulo 97 after one more digit, or after a letter, which counts as two (A is 10)."""
    if byte <= ord("9"):
        return (10 * rest + (int(byte) - ord("0"))) % 97
    return (100 * rest + (int(byte) - ord("A") + 10)) % 97
