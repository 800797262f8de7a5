"""Telephone numbers: North American, international, and national ones that show what they are.

A number is groups of digits, joined by spaces, dashes, dots, slashes and parentheses. Taken as one is the longest run
of groups, from a group on, that is one of:

- ten digits of the North American plan in groups of 3-3-4 or 3-7 or in one piece, whose area code begins with 2 to 9,
  alone or after a 1; whether they are assigned is not asked;
- ``+``, or 00 in front of groups, then a calling code (ITU-T E.164) and no more digits than the country uses;
- 9 to 13 digits in groups of which the first begins with a single 0, as national numbers do in most countries;
- 7 to 15 digits after a word such as "Tel" or "Fax", in many languages, or right after another number that was found.

Left are numbers in one piece after words such as "ISBN" and "order" or in URLs, what touches letters, parts of longer
numbers (1,234 and 1,5, but not the fields of a table), dates, and spans of years. Extensions stay. Numbers of other
countries without any such sign are not found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.filters.pii.alphabet import ALNUM, DIGIT, LETTER, is_in, isa, peek, word_hash, word_set

MAX_DIGITS = 15  # E.164
MAX_JOINT = 4  # characters between two groups
MAX_GROUPS = 9
MAX_WORD = 24  # bytes
MIN_MARKED, MIN_INTERNATIONAL, MIN_TRUNK, MAX_TRUNK = 7, 8, 9, 13  # digits

_SPACE, _DASH, _DOT, _SLASH, _OPEN, _CLOSE, _PLUS, _COLON, _COMMA, _ZERO, _NEWLINE = map(ord, " -./()+:,0\n")

# What stands before a phone number. Of a word in a script without spaces the last two characters are looked up.
_MARKS = word_set(
    "tel telephone tele telefon telefono teléfono teléfonos téléphone téléfax tél telefone telefax telf tlf tfno tlfn"
    " fax faks fon fono phone phones ph mobile mobil móvil movil cell cellphone handy handynr mob celular whatsapp call"
    " dial hotline servicetelefon rufnummer festnetz gsm teléf telefoon puhelin puh telefonu telefonnummer telefonszám"
    " switchboard rufen anrufen appelez llame llamar chiama chiamare tfn ☎ 📞 тел телефон телефону факс моб"
    " звоните тел.  Тел Телефон Факс Моб τηλ τηλέφωνο Τηλ καλέστε 电话 電話 传真 傳真 手机 手機 热线 熱線"
    " 携帯 전화 팩스 هاتف تلفن الهاتف تليفون फोन मोबाइल ফোন মোবাইল".split()
)
# What may stand between such a word and its number.
_LINKS = word_set(
    "no nr num number nummer número numero us at me is on me or und and oder an al le the office work".split()
)
# What stands before other numbers in one piece.
_NO_PHONES = word_set(
    "isbn issn ean upc gtin sku asin doi pmid id ids item order invoice account acct case ticket no nr number ref"
    " article art part serial model patent post thread bug issue build version rev konto kontonr kto blz ustid iban"
    " steuernummer hrb artikel bestellnr uid qq icp job reference code member инн огрн кпп бик ИНН ОГРН КПП БИК".split()
)

# Digits of the longest fixed or mobile national number of each calling code, by phonenumbers 9.0. Code 1 has a rule.
_MAX_NATIONAL = {
    5: "247 290 500 682",
    6: "298 299 672 681 687",
    7: "238 239 246 248 269 291 297 501 592 597 673 674 676 677 678 679 680 683 688 690 691 692 960",
    8: (
        "45 47 65 216 222 223 226 227 228 230 232 235 236 241 253 257 266 267 268 350 356 357 370 371 372 "
        "373 374 382 386 389 502 503 504 505 506 507 509 591 598 599 670 675 686 689 800 808 852 853 961 "
        "965 968 973 974 975 993"
    ),
    9: (
        "27 32 33 34 36 40 41 46 48 51 56 61 66 93 94 211 212 213 218 220 221 224 231 233 237 240 242 244 "
        "245 249 250 251 252 254 255 256 258 260 261 262 263 264 265 351 354 355 359 375 376 377 380 385 "
        "387 420 421 423 508 590 593 594 595 596 855 886 962 963 966 967 970 971 979 992 994 995 996 998"
    ),
    10: (
        "7 20 30 44 52 53 57 58 60 63 64 81 82 84 90 91 92 95 98 225 229 234 243 353 358 378 685 850 856 "
        "880 881 964 976 977"
    ),
    11: "31 54 55 86 352 888",
    12: "39 62 381 383 870 878 882 883 972",
    13: "43 49",
}
MAX_NATIONAL = np.zeros(1000, np.int64)
for _n, _codes in _MAX_NATIONAL.items():
    MAX_NATIONAL[[int(code) for code in _codes.split()]] = _n


@inner
def phone(data: NDArray[np.uint8], i: int, lo: int, hi: int, follows: bool) -> tuple[int, int]:
    """Start and end of the number whose first digit, the first of a group, is at i; the end is 0 if there is none.

    ``follows``: a number was found right before, with nothing but marks or "or" between.
    """
    start, has_plus = _opening(data, i, lo, hi)
    if (has_plus and isa(data, start - 1, lo, hi, ALNUM)) or (not has_plus and _touches_left(data, i, start, lo, hi)):
        return 0, 0
    marked = follows or _is_marked(data, start, lo, hi)
    end = _longest(data, i, lo, hi, start, has_plus, marked)
    if end and start < i and data[start] == _OPEN and not _closes(data, i, end):
        start += 1  # the parenthesis is the sentence's
        if has_plus and data[start] != _PLUS:
            start = i
    return (start, end) if end else (0, 0)


@inner
def _opening(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, bool]:
    """Where a number whose first digit is at i begins, with parenthesis and plus, and whether it has a plus."""
    start, has_plus = i, False
    if peek(data, i - 1, lo, hi) == _SPACE and peek(data, i - 2, lo, hi) == _PLUS:
        start = i - 1
    for _ in range(3):
        byte = peek(data, start - 1, lo, hi)
        if byte == _PLUS and not has_plus:
            has_plus = True
        elif byte != _OPEN or (start < i and data[start] == _OPEN):
            break
        start -= 1
    return start, has_plus


@inner
def _touches_left(data: NDArray[np.uint8], i: int, start: int, lo: int, hi: int) -> bool:
    """Whether what stands before makes the group at i part of a word or of a longer number."""
    before = peek(data, start - 1, lo, hi)
    if before in (ord("_"), ord("="), ord("#"), ord("$"), ord("@"), ord("&")) or isa(data, start - 1, lo, hi, ALNUM):
        return True
    if before in (_DASH, _DOT, _SLASH, ord("%")):
        return isa(data, start - 2, lo, hi, ALNUM)
    if before == _COMMA:  # 1,234 or 1,5; not the fields of a table
        return isa(data, start - 2, lo, hi, DIGIT) and _n_digits(data, start - 5, lo, start - 1) < 4
    if before in (ord('"'), ord("'")):  # a value in code
        return peek(data, start - 2, lo, hi) == ord("=")
    if before == _COLON:
        return isa(data, start - 2, lo, hi, DIGIT)
    if before == _CLOSE:
        return isa(data, start - 2, lo, hi, DIGIT)
    return peek(data, start - 1, lo, hi) == _SLASH and start == i


@inner
def _longest(data: NDArray[np.uint8], i: int, lo: int, hi: int, start: int, has_plus: bool, marked: bool) -> int:
    """Where the longest number that begins with the group at i ends; 0 if none does."""
    end = best = n_digits = 0
    shape = 0  # the lengths of the groups as digits of a number: 334 for three, three and four
    position = i
    spaced = True  # groups are joined by spaces alone
    after_digit = isa(data, start - 2, lo, hi, DIGIT) and peek(data, start - 1, lo, hi) == _SPACE
    for n_groups in range(1, MAX_GROUPS + 1):
        end = position
        while end < hi and isa(data, end, lo, hi, DIGIT) and end - position <= MAX_DIGITS:
            end += 1
        n_digits += end - position
        if n_digits > MAX_DIGITS + 2:  # of 00
            break
        shape = 10 * shape + min(end - position, 9)
        joint_end = _joint_end(data, end, lo, hi)
        whole = not _touches_right(data, end, lo, hi) and (joint_end == 0 or not _is_tight(data[end]))
        if whole and _is_number(data, i, end, lo, hi, shape, n_digits, n_groups, has_plus, marked, after_digit, spaced):
            best = end
        if joint_end == 0:
            break
        spaced = spaced and data[end] == _SPACE and joint_end == end + 1
        position = joint_end
    return best


@inner
def _is_number(
    data: NDArray[np.uint8],
    i: int,
    end: int,
    lo: int,
    hi: int,
    shape: int,
    n_digits: int,
    n_groups: int,
    has_plus: bool,
    marked: bool,
    after_digit: bool,
    spaced: bool,
) -> bool:
    """Whether the groups from i to ``end`` are a number; see the module's docstring."""
    if has_plus:
        return _is_international(data, i, end, n_digits, 0)
    if after_digit and (spaced or n_groups == 1) and not _is_piece(n_groups, n_digits):
        return False
    if _is_north_american(data, i, lo, hi, shape, n_digits, n_groups, marked, end):
        return True
    first_is_zero = data[i] == _ZERO
    if first_is_zero and n_groups > 1 and peek(data, i + 1, lo, hi) == _ZERO:
        return not after_digit and _is_international(data, i, end, n_digits, 2)
    if _is_date(data, i, end, shape, n_digits, lo, hi) or after_digit:
        return False
    if first_is_zero and _is_national(data, i, lo, hi, shape, n_digits, n_groups):
        return True
    return marked and MIN_MARKED <= n_digits <= MAX_DIGITS


@inner
def _is_piece(n_groups: int, n_digits: int) -> bool:
    """Whether a number is one group of the length of a North American one."""
    return n_groups == 1 and n_digits == 10


@inner
def _is_national(data: NDArray[np.uint8], i: int, lo: int, hi: int, shape: int, n_digits: int, n_groups: int) -> bool:
    """Whether groups that begin with 0 look like a national number. "0-306-..." is an ISBN, "02110-1301" a ZIP code."""
    if n_groups == 1 or n_digits > MAX_TRUNK or not isa(data, i + 1, lo, hi, DIGIT):
        return False
    if peek(data, i - 1, lo, hi) == _OPEN:
        return n_digits >= MIN_MARKED
    return n_digits >= MIN_TRUNK and not (shape == 54 and data[i + 5] == _DASH)


@inner
def _is_north_american(
    data: NDArray[np.uint8],
    i: int,
    lo: int,
    hi: int,
    shape: int,
    n_digits: int,
    n_groups: int,
    marked: bool,
    end: int,
) -> bool:
    if shape in (1334, 137) or (n_digits == 11 and n_groups == 1 and marked):
        return data[i] == ord("1") and _area_begins(data, i + 1, end)
    if shape == 334 or (shape == 37 and (marked or data[i + 3] == _CLOSE)):
        return data[i] >= ord("2")
    return n_groups == 1 and n_digits == 10 and data[i] >= ord("2") and (marked or _stands_alone(data, i, end, lo, hi))


@inner
def _area_begins(data: NDArray[np.uint8], i: int, end: int) -> bool:
    """Whether the next digit from i on may begin an area code."""
    while i < end and not isa(data, i, i, end, DIGIT):
        i += 1
    return i < end and data[i] >= ord("2")


@inner
def _stands_alone(data: NDArray[np.uint8], i: int, end: int, lo: int, hi: int) -> bool:
    """Whether nothing around ten digits in one piece says that they are something else than a phone number."""
    if peek(data, end, lo, hi) in (_SLASH, _DASH, ord("=")) or peek(data, i - 1, lo, hi) in (_SLASH, _DASH, _DOT):
        return False
    if peek(data, end, lo, hi) == _DOT and isa(data, end + 1, lo, hi, LETTER):  # a host
        return False
    if peek(data, i - 1, lo, hi) >= 0x80 or peek(data, end, lo, hi) >= 0x80:  # in scripts without spaces: ids
        return False
    word, word_end = _word_before(data, i, lo, hi)
    return not is_in(word_hash(data, word, word_end), _NO_PHONES)


@inner
def _is_international(data: NDArray[np.uint8], i: int, end: int, n_digits: int, n_skipped: int) -> bool:
    """Whether the digits from i on, but for the first ``n_skipped``, are a calling code and a national number.

    A single 0 in parentheses after the code is said only inside of the country, and not counted.
    """
    n = code = 0
    max_national = code_digits = 0
    for k in range(i, end):
        if not isa(data, k, i, end, DIGIT):
            continue
        n += 1
        if n <= n_skipped:
            continue
        code = 10 * code + (int(data[k]) - _ZERO)
        if code == 0 or code > 999:
            return False
        if code == 1 or MAX_NATIONAL[code]:
            max_national = 10 if code == 1 else MAX_NATIONAL[code]
            code_digits = n - n_skipped
            break
    if code_digits == 0:
        return False
    n_national = n_digits - n_skipped - code_digits - _n_said_at_home(data, i, end)
    if code == 1:
        return n_national == 10
    return n_national <= max_national and n_national + code_digits >= MIN_INTERNATIONAL


@inner
def _n_said_at_home(data: NDArray[np.uint8], i: int, end: int) -> int:
    for k in range(i, end - 2):
        if data[k] == _OPEN and data[k + 1] == _ZERO and data[k + 2] == _CLOSE:
            return 1
        if data[k] == _OPEN and data[k + 1] == _ZERO:  # (020)
            return 1
    return 0


@inner
def _is_date(data: NDArray[np.uint8], i: int, end: int, shape: int, n_digits: int, lo: int, hi: int) -> bool:
    """Whether groups look like a date, first or last among them, or begin with a year or a span of years."""
    first = shape
    while first > 999:
        first //= 10
    if first in (422, 421, 412, 411, 44, 442, 444):
        return _is_year(data, i, lo, hi)
    if first in (224, 124, 214, 114) or (n_digits <= 8 and first in (222, 122, 212, 112)):
        return data[i] <= ord("3")
    return shape % 1000 in (224, 124, 214, 114) and _is_year(data, end - 4, lo, hi)


@inner
def _is_year(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> bool:
    """Whether 18, 19 or 20 stands at i."""
    first, second = peek(data, i, lo, hi), peek(data, i + 1, lo, hi)
    return (first == ord("1") and second in (ord("8"), ord("9"))) or (first == ord("2") and second == _ZERO)


@inner
def _touches_right(data: NDArray[np.uint8], end: int, lo: int, hi: int) -> bool:
    """Whether what follows makes groups that end at ``end`` part of a word, of an address or of a longer number."""
    after = peek(data, end, lo, hi)
    if after in (ord("_"), ord("@"), ord("%"), ord("=")) or isa(data, end, lo, hi, ALNUM):
        return not _is_extension(data, end, lo, hi)
    if after == _COMMA:
        n = _n_digits(data, end + 1, lo, hi)
        return 0 < n < 5 and not (
            peek(data, end + 1 + n, lo, hi) in (_DASH, _DOT) and isa(data, end + 2 + n, lo, hi, DIGIT)
        )
    if after in (_DASH, _DOT, _COLON, _SLASH):
        return isa(data, end + 1, lo, hi, DIGIT)
    return False


@inner
def _n_digits(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> int:
    """Digits from i on, five at most."""
    n = 0
    while n < 5 and isa(data, i + n, lo, hi, DIGIT):
        n += 1
    return n


@inner
def _is_extension(data: NDArray[np.uint8], end: int, lo: int, hi: int) -> bool:
    """Whether ``x123`` or glued text with a capital follows: "555-0100Fax"."""
    after = peek(data, end, lo, hi)
    if after == ord("x"):
        return isa(data, end + 1, lo, hi, DIGIT)
    return ord("A") <= after <= ord("Z") and ord("a") <= peek(data, end + 1, lo, hi) <= ord("z")


@inner
def _is_tight(byte: np.uint8) -> bool:
    """Whether a joint that begins with this byte holds two groups of one number together."""
    return byte in (_DASH, _DOT, _SLASH) or byte == 0xE2


@inner
def _joint_end(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> int:
    """Where what joins two groups ends, right before a digit; 0 if nothing does."""
    i = start
    for _ in range(MAX_JOINT):
        byte = peek(data, i, lo, hi)
        if byte in (_SPACE, _DASH, _DOT, _SLASH, _OPEN, _CLOSE):
            i += 1
        elif byte == 0xC2 and peek(data, i + 1, lo, hi) == 0xA0:  # no-break space
            i += 2
        elif byte == 0xE2 and peek(data, i + 1, lo, hi) == 0x80 and 0x90 <= peek(data, i + 2, lo, hi) <= 0x94:  # dashes
            i += 3
        else:
            break
    return i if i > start and isa(data, i, lo, hi, DIGIT) else 0


@inner
def _closes(data: NDArray[np.uint8], i: int, end: int) -> bool:
    """Whether the first parenthesis after i closes."""
    for k in range(i, end):
        if data[k] in (_OPEN, _CLOSE):
            return data[k] == _CLOSE
    return False


@inner
def _is_marked(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> bool:
    """Whether one of the last three words before ``start`` says "phone", and nothing but links stands between."""
    position = start
    for _ in range(3):
        word, word_end = _word_before(data, position, lo, hi)
        if word == word_end:
            return False
        value = word_hash(data, word, word_end)
        last_two = word_hash(data, max(word, word_end - 6), word_end)  # of a script without spaces
        if is_in(value, _MARKS) or (data[word_end - 1] >= 0x80 and is_in(last_two, _MARKS)):
            return True
        if not is_in(value, _LINKS) and not (position == start and _has_colon(data, word_end, start)):
            return False
        position = word
    return False


@inner
def _has_colon(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether there is a colon, as in "Phone (office): 555-0100"."""
    for i in range(start, end):  # noqa: SIM110 - numba has no any()
        if data[i] == _COLON:
            return True
    return False


@inner
def _word_before(data: NDArray[np.uint8], position: int, lo: int, hi: int) -> tuple[int, int]:
    """Bounds of the word before a position, over punctuation and white space; they are equal if there is none."""
    end = position
    while end > lo and position - end < 8 and not isa(data, end - 1, lo, hi, ALNUM) and data[end - 1] < 0x80:
        if data[end - 1] in (ord("|"), ord(">"), ord("]"), ord("}"), ord("*")):
            return end, end
        end -= 1
    while end - 3 >= lo and data[end - 3] == 0xEF and data[end - 2] == 0xBC:  # full-width punctuation
        end -= 3
    start = end
    while start > lo and end - start < MAX_WORD and (isa(data, start - 1, lo, hi, LETTER) or data[start - 1] >= 0x80):
        start -= 1
    return start, end
