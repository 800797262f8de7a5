"""What a page would cost to parse, told by one pass over its bytes before any parse.

resiliparse's cost (2.0.1) grows with the square of nesting, of attributes on a tag and of options in a select; pages
beyond the limits are not parsed. What is left costs under a second a page. The limits depend on the bytes alone, so a
page has the same status everywhere. No budget sees every trick of HTML's error recovery, and native code can crash: run
a parser in a process that can be killed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textmill.bits import kernel

MAX_HTML_BYTES = 8 << 20
MAX_TAGS = 300_000
MAX_MARKS = 150_000  # "<" in a page without a tree, at up to .7 KB each; of 4,847 real pages, the largest has 70,535
MAX_DEPTH = 2_000
MAX_ATTRIBUTES = 1_000
MAX_OPTIONS = 5_000
MAX_WORK = 20_000_000  # 40 ns each: .8 s
FORMATTING_WORK = 16  # an element made again costs some .7 us


class Extremes(NamedTuple):
    """What makes a page expensive to parse. Counting stops once ``max_depth`` exceeds `MAX_DEPTH`."""

    n_tags: int  # opening and closing
    max_depth: int
    max_attributes: int  # of one tag
    n_options: int
    work: int  # ancestors of each opening tag, and unclosed formatting, which HTML opens again in every paragraph


def over_budget(html: bytes, builds_tree: bool = True) -> str:
    """The status of a page (ASCII-compatible bytes) that is too expensive to parse; else "".

    Engines that build no tree are held to the size and the number of tags alone.
    """
    if len(html) > MAX_HTML_BYTES:
        return "too_large"
    if not builds_tree:
        return "too_many_tags" if len(html) > MAX_MARKS and _n_marks(html) > MAX_MARKS else ""
    found = markup_extremes(html)
    if found.max_depth > MAX_DEPTH or found.work > MAX_WORK:
        return "too_deep"
    if found.n_tags > MAX_TAGS or found.max_attributes > MAX_ATTRIBUTES or found.n_options > MAX_OPTIONS:
        return "too_many_tags"
    return ""


def _n_marks(html: bytes) -> int:
    """How many "<" there are. `bytes.count` stops at each: .7 ns a byte instead of .2."""
    return int(np.count_nonzero(np.frombuffer(html, np.uint8) == _LT))


def markup_extremes(html: bytes) -> Extremes:
    """Measure ``html`` (ASCII-compatible bytes) in one pass, 1 to 2 ns a byte.

    Depth is that of elements whose end tag is required; it is too high where HTML closes others by itself.
    """
    return Extremes(*_measure(np.frombuffer(html, np.uint8)))


_FNV_PRIME = np.uint64(0x100000001B3)


def _keys(names: str) -> np.ndarray:
    """The keys that `_name` gives to these tag names: 64-bit FNV-1 from 0."""
    keys = []
    for name in names.split():
        key = 0
        for byte in name.encode():
            key = (key * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF) ^ byte
        keys.append(key)
    return np.array(keys, np.uint64)


# Elements that do not nest in themselves: they are empty, or their end tag may be left out, or one closes the last.
_NO_DEPTH = _keys(
    "a area base br col embed hr img input link meta param source track wbr frame "
    "html head body p li dt dd tr td th thead tbody tfoot colgroup option optgroup rp rt"
)
_RAW = _keys("script style textarea title xmp iframe noembed noframes")  # their content is no markup
_FORMATTING = _keys("b big code em font i nobr s small strike strong tt u")
_FOREIGN = _keys("svg math")  # within these, every element nests, "/>" closes, and nothing is raw
_OPTION = _keys("option")
_LT, _GT, _SLASH, _BANG, _DASH, _EQUALS, _QUOTE, _APOSTROPHE = (np.uint8(ord(c)) for c in "<>/!-='\"")


@kernel
def _measure(html):  # type: ignore[no-untyped-def]
    """The fields of `Extremes`, of uint8[n]."""
    stack = np.empty(MAX_DEPTH + 2, np.uint64)
    depth = foreign = n_tags = max_depth = max_attributes = n_options = n_formatting = work = 0
    position = _next_tag(html, 0)
    while position < html.size and max_depth <= MAX_DEPTH:
        closing = html[position + 1] == _SLASH
        key, end = _name(html, position + 1 + closing)
        n_attributes, self_closing, position = _attributes(html, end)
        n_tags += 1
        max_attributes = max(max_attributes, n_attributes)
        if closing:
            n_formatting = max(n_formatting - _among(key, _FORMATTING), 0)
            depth = _pop(stack, depth, key)
            foreign = 0 if depth < foreign else foreign
        else:
            work += depth + FORMATTING_WORK * n_formatting
            n_formatting += _among(key, _FORMATTING)
            n_options += _among(key, _OPTION)
            begins_foreign = _among(key, _FOREIGN)
            if not foreign and _among(key, _RAW):
                position = _raw_end(html, position, key)
            elif not (self_closing if foreign or begins_foreign else _among(key, _NO_DEPTH)):
                stack[depth] = key
                depth += 1
                max_depth = max(max_depth, depth)
                foreign = depth if begins_foreign and not foreign else foreign
        position = _next_tag(html, position)
    return n_tags, max_depth, max_attributes, n_options, work


@kernel
def _next_tag(html, position):  # type: ignore[no-untyped-def]
    """Where the next tag begins, comments left out; the size if nowhere."""
    while position < html.size - 1:
        if html[position] == _LT:
            if _is_letter(html[position + 1]):
                return position
            if html[position + 1] == _SLASH and position + 2 < html.size and _is_letter(html[position + 2]):
                return position
            if html[position + 1] == _BANG:
                position = _comment_end(html, position)
                continue
        position += 1
    return html.size


@kernel
def _comment_end(html, position):  # type: ignore[no-untyped-def]
    """Behind the comment at ``position``; behind its first two bytes when "<!" begins none."""
    after = position + 2
    if after + 1 >= html.size or html[after] != _DASH or html[after + 1] != _DASH:
        return after
    for i in range(after + 2, html.size):  # "<!-->" and "<!--->" are whole comments, "--!>" ends one
        if html[i] == _GT and html[i - 1] == _DASH and html[i - 2] == _DASH:
            return i + 1
        if html[i] == _GT and html[i - 1] == _BANG and html[i - 2] == _DASH and html[i - 3] == _DASH and i > after + 4:
            return i + 1
    return html.size


@kernel
def _name(html, start):  # type: ignore[no-untyped-def]
    """Key and end of the tag name that begins at ``start``; upper and lower case are one."""
    key = np.uint64(0)
    for i in range(start, html.size):
        byte = html[i]
        if _is_space(byte) or byte in (_SLASH, _GT):
            return key, i
        lower = byte + 32 if 65 <= byte <= 90 else byte
        key = (key * _FNV_PRIME) ^ np.uint64(lower)
    return key, html.size


@kernel
def _attributes(html, position):  # type: ignore[no-untyped-def]
    """(n_attributes, whether "/>" ends the tag, position behind it), from the end of the tag name on."""
    n_attributes = 0
    slash = False
    while position < html.size:
        byte = html[position]
        if byte == _GT:
            return n_attributes, slash, position + 1
        slash = byte == _SLASH
        if slash or _is_space(byte):
            position += 1
        else:
            n_attributes += 1
            position = _attribute_end(html, position)
    return n_attributes, False, html.size


@kernel
def _attribute_end(html, start):  # type: ignore[no-untyped-def]
    """Behind the attribute that begins at ``start``: a name, and perhaps "=" and a value, quoted or not."""
    position = start + 1
    while position < html.size and not _ends_name(html[position]):
        position += 1
    value = position
    while value < html.size and _is_space(html[value]):
        value += 1
    if value == html.size or html[value] != _EQUALS:
        return position
    value += 1
    while value < html.size and _is_space(html[value]):
        value += 1
    if value < html.size and (html[value] == _QUOTE or html[value] == _APOSTROPHE):
        for i in range(value + 1, html.size):
            if html[i] == html[value]:
                return i + 1
        return html.size
    while value < html.size and not _is_space(html[value]) and html[value] != _GT:
        value += 1
    return value


@kernel
def _raw_end(html, position, key):  # type: ignore[no-untyped-def]
    """Where the end tag of a raw element begins; the size if nowhere."""
    while position < html.size - 2:
        if html[position] == _LT and html[position + 1] == _SLASH and _name(html, position + 2)[0] == key:
            return position
        position += 1
    return html.size


@kernel
def _pop(stack, depth, key):  # type: ignore[no-untyped-def]
    """The depth after an end tag: that of the innermost open element of its name; unchanged if there is none."""
    for i in range(depth - 1, -1, -1):
        if stack[i] == key:
            return i
    return depth


@kernel
def _among(key, keys):  # type: ignore[no-untyped-def]
    for other in keys:  # noqa: SIM110 - no generators in a kernel
        if other == key:
            return True
    return False


@kernel
def _ends_name(byte):  # type: ignore[no-untyped-def]
    return _is_space(byte) or byte in (_SLASH, _GT, _EQUALS)


@kernel
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or 9 <= byte <= 13


@kernel
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 65 <= byte <= 90 or 97 <= byte <= 122
