"""IP addresses, version 4 and 6, as `ipaddress` of the standard library reads them.

Most dotted quads on the web are no addresses but versions ("Firefox 2.0.0.16"), sections ("5.2.2.1 Example") and
enzymes ("EC 1.2.5.1"). A quad is left if it is part of more (1.2.3.4.5, v1.2.3.4, lib-1.2.3.4), or stands after a word
such as "version" or "update"; or if its first number is below 50, as versions have it, and either a capitalised word
that does not speak of addresses stands before it, or it begins a line of text.

IPv6 addresses count where addresses are given out (2000::/3, fc00::/7, fe80::/10, ff00::/8), and with an IPv4
address in them, and as ``::1``: "a::b" and "dead::beef" are code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.bits import inner
from textmill.filters.pii.alphabet import (
    ALNUM,
    CASE,
    DIGIT,
    HEX,
    LETTER,
    UPPER,
    is_in,
    isa,
    peek,
    word_hash,
    word_set,
)

MAX_VERSION = 50  # the first number of a version is smaller
MAX_IPV6 = 45  # characters
MAX_WORD = 24  # bytes that are looked at of the word before

_DOT, _COLON, _SLASH, _DASH, _LINE, _SPACE, _NEWLINE, _TAB = map(ord, ".:/-_ \n\t")
_LOOSE = tuple(b" \t:.(#-")  # what may stand between a word and a number that it speaks of

_VERSION_WORDS = word_set(
    "version versions ver vers v update updates upgrade upgraded release released build firmware driver drivers patch"
    " rev revision ec no nr section sections sec chapter figure fig table clause paragraph article abschnitt kapitel"
    " citeseerx oid версия версии версию バージョン 版本".split()
)
_ADDRESS_WORDS = word_set(
    "ip ips ipv4 address addresses addr adresse adressen host hosts server servers dns gateway router subnet netmask"
    " mask proxy node nodes ping from to at is and or via by on in network net inet peer client nameserver"
    " nameservers range localnet block blocked user".split()
)


@inner
def ipv4(data: NDArray[np.uint8], i: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the IPv4 address whose first digit is at i; the end is 0 if there is none."""
    before = peek(data, i - 1, lo, hi)
    if before in (_DOT, _LINE) or isa(data, i - 1, lo, hi, ALNUM):
        return 0, 0
    if before in (_DASH, _SLASH) and isa(data, i - 2, lo, hi, LETTER):  # lib-1.2.3.4, Chrome/10.0.0.1
        return 0, 0
    end = quad_end(data, i, lo, hi)
    if end == 0 or _goes_on(data, end, lo, hi) or _is_version(data, i, end, lo, hi):
        return 0, 0
    return i, end


@inner
def quad_end(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> int:
    """Where the four numbers with dots between them end; 0 if they do not begin at ``start``."""
    i = start
    for part in range(4):
        if part:
            if peek(data, i, lo, hi) != _DOT:
                return 0
            i += 1
        first, value = i, 0
        while isa(data, i, lo, hi, DIGIT) and i - first < 4:
            value = 10 * value + (int(data[i]) - ord("0"))
            i += 1
        if i == first or value > 255 or (data[first] == ord("0") and i - first > 1):
            return 0
    return i


@inner
def _goes_on(data: NDArray[np.uint8], end: int, lo: int, hi: int) -> bool:
    """Whether what ends at ``end`` is part of a longer number or name."""
    after = peek(data, end, lo, hi)
    if after == _LINE or isa(data, end, lo, hi, ALNUM):
        return True
    if after == _DOT:
        return isa(data, end + 1, lo, hi, DIGIT)
    return after == _DASH and isa(data, end + 1, lo, hi, LETTER)


@inner
def _is_version(data: NDArray[np.uint8], start: int, end: int, lo: int, hi: int) -> bool:
    """Whether what stands before a quad says that it is a version or the number of a section."""
    word_end = start
    while word_end > lo and start - word_end < 4 and data[word_end - 1] in _LOOSE:
        word_end -= 1
    word = word_end
    while word > lo and word_end - word < MAX_WORD and (isa(data, word - 1, lo, hi, ALNUM) or data[word - 1] >= 0x80):
        word -= 1
    value = word_hash(data, word, word_end)
    if is_in(value, _VERSION_WORDS):
        return True
    if _first_number(data, start) >= MAX_VERSION or is_in(value, _ADDRESS_WORDS):
        return False
    if word == word_end or data[word] >= 0x80:  # nothing but the beginning of a line, a bullet perhaps
        begins = peek(data, word - 1, lo, hi) in (_NEWLINE, _SPACE) and word_end - word <= 3
        return begins and peek(data, end, lo, hi) in (_SPACE, _TAB, 0xC2)  # of a no-break space
    return isa(data, word, lo, hi, UPPER) and data[start - 1] == _SPACE and word_end == start - 1


@inner
def _first_number(data: NDArray[np.uint8], i: int) -> int:
    value = 0
    while data[i] != _DOT:
        value = 10 * value + (int(data[i]) - ord("0"))
        i += 1
    return value


@inner
def ipv6(data: NDArray[np.uint8], colon: int, lo: int, hi: int) -> tuple[int, int]:
    """Start and end of the IPv6 address whose first colon is at ``colon``; the end is 0 if there is none."""
    start = colon
    while start > lo and colon - start < 5 and isa(data, start - 1, lo, hi, HEX):
        start -= 1
    before = peek(data, start - 1, lo, hi)
    if before in (_COLON, _DOT, _LINE) or isa(data, start - 1, lo, hi, ALNUM):
        return 0, 0
    end, n_groups, has_gap, has_quad = _groups(data, start, lo, hi)
    if has_gap != (n_groups < 8) or n_groups == 0 or n_groups > 8:
        return 0, 0
    if peek(data, end, lo, hi) == _LINE or isa(data, end, lo, hi, ALNUM):
        return 0, 0
    is_loopback = start == colon and n_groups == 1 and end == start + 3 and data[start + 2] == ord("1")
    if has_quad or is_loopback or _is_given_out(data, start, colon):
        return start, end
    return 0, 0


@inner
def _groups(data: NDArray[np.uint8], start: int, lo: int, hi: int) -> tuple[int, int, bool, bool]:
    """Reads an IPv6 address: its end, number of groups, and whether it has a "::" and a quad. 0 groups: it has none."""
    i, n_groups, has_gap = start, 0, False
    if peek(data, i, lo, hi) == _COLON:
        if peek(data, i + 1, lo, hi) != _COLON:
            return start, 0, False, False
        i, has_gap = i + 2, True
    while i - start < MAX_IPV6:
        group_end = i
        while group_end - i < 5 and isa(data, group_end, lo, hi, HEX):
            group_end += 1
        if group_end == i:
            break
        quad = quad_end(data, i, lo, hi) if peek(data, group_end, lo, hi) == _DOT else 0
        if quad:
            return quad, n_groups + 2, has_gap, True
        if group_end - i > 4:
            return start, 0, False, False
        n_groups += 1
        i = group_end
        if peek(data, i, lo, hi) != _COLON:
            break
        if peek(data, i + 1, lo, hi) == _COLON:
            if has_gap:
                return start, 0, False, False
            i, has_gap = i + 2, True
        elif isa(data, i + 1, lo, hi, HEX):
            i += 1
        else:
            break
    return i, n_groups, has_gap, False


@inner
def _is_given_out(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether the first group of an IPv6 address is of a range that is in use."""
    value = 0
    for i in range(start, end):
        byte = data[i]
        value = 16 * value + (int(byte) - ord("0") if byte <= ord("9") else int(byte | CASE) - ord("a") + 10)
    return 0x2000 <= value < 0x4000 or 0xFC00 <= value < 0xFE00 or 0xFE80 <= value < 0xFEC0 or value >= 0xFF00
