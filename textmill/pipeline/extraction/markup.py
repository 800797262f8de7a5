"""The markup of a page, cut into blocks of text and a table of elements, in one pass over its bytes.

No document tree is built. A *block* is a run of text between two block-level tags, or between two ``<br>`` in a row;
its text has entities decoded and white space collapsed (kept in ``<pre>``). An *element* knows its parent, its tag, the
blocks within it, and hashes of the words of its class, id, role and itemprop. Left out: scripts, styles, forms'
controls, ``<noscript>``, ``<template>``, ``<svg>``, hidden elements. Formulas come as TeX between dollar signs where
the page has it (MathML annotations and ``alttext``, MathJax scripts); MathML without it is left out.

HTML's error recovery (WHATWG HTML, 13.2) is followed where it changes which text belongs together: implied end tags of
``p``, ``li``, ``dt``, ``dd``, ``tr``, ``td``, headings and links; end tags that match nothing are ignored; none reaches
out of its table cell. What it does to formatting is not followed. Elements deeper than `MAX_DEPTH` are flattened.

An index of the bytes that matter comes first (as simdjson does it: Langdale and Lemire 2019, arXiv 1902.08318).
Linear in the page, whatever its nesting: the search for an open element is bounded by `MAX_DEPTH`, and made only if
one is open. Any bytes may be passed; other than UTF-8 they give arbitrary text.
"""

from __future__ import annotations

from html.entities import html5
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    byte_mask,
    copy_bytes,
    count_ones,
    glue,
    inlined,
    inner,
    kernel,
    load_eight,
    lowest_one,
    part,
)
from textmill.pipeline.extraction.budgets import MAX_MARKS

MAX_DEPTH: Final = 256
MAX_ELEMENTS: Final = MAX_MARKS  # what follows is left out; 60 bytes an element
MAX_HINTS: Final = 1_000_000
MAX_FORMULA: Final = 65_536  # bytes of a <math>; what is longer, or has no end, is read as text

# Tags by number: the place in this list. 0 is any other.
TAGS: Final = (
    "- html head body title div p span a ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 h4 h5 "
    "h6 article main section aside header footer nav form fieldset legend figure figcaption blockquote pre code br "
    "hr img script style noscript template svg math select option textarea button input label iframe object canvas "
    "video audio address details summary center time b strong i em sup sub small u font menu dialog noembed "
    "noframes xmp map datalist frameset listing applet meta link base area col embed param source track wbr cite rt "
    "rp s strike picture hgroup search nobr tt big"
).split()


def tag(name: str) -> int:
    """The number of a tag. Errors: ValueError for a tag without one."""
    return TAGS.index(name)


def tags_of(names: str) -> list[int]:
    """The numbers of tags whose names spaces part."""
    return [tag(name) for name in names.split()]


def hint_hash(word: str) -> int:
    """The hash that `Markup.hint` holds for a word of a class or id: FNV-1a, 32 bits."""
    value = 2166136261
    for byte in word.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


_BLOCK, _VOID, _RAW, _SKIP, _SCOPE, _CLOSES_P = (1 << bit for bit in range(6))


def _properties() -> NDArray[np.int64]:
    flags = np.zeros(len(TAGS), np.int64)
    for names, flag in (
        (
            "html head body div p ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 h4 h5 h6 article "
            "main section aside header footer nav form fieldset legend figure figcaption blockquote pre hr address "
            "details summary center menu dialog option listing hgroup search frameset",
            _BLOCK,
        ),
        ("br hr img input meta link base area col embed param source track wbr", _VOID),
        ("script style textarea title xmp iframe noembed noframes noscript", _RAW),
        ("template svg select button object canvas video audio datalist map applet", _SKIP),
        ("td th table caption object applet", _SCOPE),
        (
            "div ul ol dl table h1 h2 h3 h4 h5 h6 article main section aside header footer nav form fieldset figure "
            "figcaption blockquote pre hr address details summary center menu dialog p li dt dd hgroup search",
            _CLOSES_P,
        ),
    ):
        for name in names.split():
            flags[tag(name)] |= flag
    return flags


_FLAGS: Final = _properties()

# What kernels hand on to functions is no number of Python's: each of these would be a type of its own, for which the
# function is compiled once more.
_ZERO: Final[Any] = np.int64(0)
_FALSE: Final[Any] = np.bool_(False)
(
    _P, _LI, _DT, _DD, _DL, _TR, _TD, _TH, _TABLE, _THEAD, _TBODY, _TFOOT, _UL, _OL, _MENU, _A, _BR, _PRE, _LISTING,
    _H1, _H6, _TITLE, _SCRIPT, _MATH, _SVG, _HTML, _BODY, _MAIN, _ARTICLE,
) = (
    np.int64(tag(name))
    for name in (
        "p li dt dd dl tr td th table thead tbody tfoot ul ol menu a br pre listing h1 h6 title script math svg "
        "html body main article"
    ).split()
)  # fmt: skip

_CLOSES_OTHERS: Final = np.zeros(len(TAGS), np.bool_)  # tags that may close an open one of their kind
_CLOSES_OTHERS[tags_of("li dt dd td th tr tbody thead tfoot h1 h2 h3 h4 h5 h6 a")] = True
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_TAG_SHIFT: Final = 55  # 512 slots
_TAG_FACTOR: Final = np.uint64(0xA8A177946CBC7EEB)  # found by trying: it gives each tag a slot of its own


def _key(name: str) -> int:
    """Of a tag's or an attribute's name, as `_name_key` computes it: its bytes, if these are eight at most."""
    first, rest = (int.from_bytes(part.encode(), "little") for part in (name[:8], name[8:16]))
    return first if len(name) <= 8 else (first * int(_MIX) ^ rest) + len(name) & 0xFFFFFFFFFFFFFFFF


def _fnv(name: str) -> int:
    """64-bit FNV-1 from 0, as `_entity` computes it."""
    key = 0
    for byte in name.encode():
        key = (key * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF) ^ byte
    return key


def _hash_table(keys: list[int], slots: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Open addressing, linear probing; a value is the place of its key in the list, -1 in an empty slot."""
    table, values = np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
    for value, key in enumerate(keys):
        slot = (key * int(_MIX) & 0xFFFFFFFFFFFFFFFF) >> 40 & slots - 1
        while values[slot] >= 0:
            slot = slot + 1 & slots - 1
        table[slot], values[slot] = key, value
    return table, values


def _tag_table() -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Keys of tags by slot, and with each its number and, from bit 8 on, its properties. Errors: ValueError if two tags
    want one slot, and another factor is needed."""
    keys, values = np.zeros(1 << 64 - _TAG_SHIFT, np.uint64), np.zeros(1 << 64 - _TAG_SHIFT, np.int64)
    for number, name in enumerate(TAGS):
        slot = (_key(name) * int(_TAG_FACTOR) & 0xFFFFFFFFFFFFFFFF) >> _TAG_SHIFT
        if keys[slot]:
            raise ValueError(f"two tags in one slot, one of them {name}")
        keys[slot], values[slot] = _key(name), number | _FLAGS[number] << 8
    return keys, values


_TAG_KEYS, _TAG_VALUES = _tag_table()
_ENTITY_SLOTS: Final = 4096
_ENTITY_KEYS, _ENTITY_VALUES = _hash_table([_fnv(name) for name in html5], _ENTITY_SLOTS)
_ENTITY_CHARACTERS: Final = np.array([[ord(c) for c in text.ljust(2, "\0")] for text in html5.values()], np.uint32)
_MAX_ENTITY: Final = max(map(len, html5))
_C1: Final = np.array(  # what numeric references to C1 controls mean (WHATWG HTML, 13.2.5.80)
    [ord(bytes([code]).decode("cp1252", "ignore") or chr(code)) for code in range(0x80, 0xA0)], np.uint32
)
_K_CLASS, _K_ID, _K_ROLE, _K_ITEMPROP, _K_HIDDEN, _K_STYLE, _K_ARIA_HIDDEN, _K_HREF, _K_TYPE, _K_ALTTEXT = (
    np.uint64(_key(name)) for name in "class id role itemprop hidden style aria-hidden href type alttext".split()
)
_CASE = np.uint64(0x2020202020202020)  # makes letters, and digits as they are, lower case
_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_ONE = np.uint64(1)
_FIRST: Final = np.array([2 ** (8 * size) - 1 for size in range(9)], np.uint64)  # the first so many of eight bytes
_UNDO: Final = np.array([pow(int(_PRIME), size - 8, 2**32) for size in range(9)], np.uint32)  # zeros hashed behind them
_UPPER, _LOWER = 1, 2  # kinds of bytes in names; above ASCII, all are taken for small letters
_LETTER_KIND: Final = np.zeros(256, np.uint8)
_LETTER_KIND[65:91], _LETTER_KIND[97:123], _LETTER_KIND[128:] = _UPPER, _LOWER, _LOWER
_SPACE, _DROPPED = 1, 2  # kinds of characters
_HIDDEN, _HREF, _TEX = 1, 2, 4  # what _attributes finds
_ASKED: Final = np.zeros(256, np.bool_)  # first letters of the attributes that matter
_ASKED[[ord(c) for c in "cirhsatCIRHSAT"]] = True
_LESS, _GREATER, _QUOTE, _APOSTROPHE, _BLANK, _ENDS_NAME, _STOP = map(np.int64, range(7))  # kinds of bytes in the index
_N_KINDS: Final = 7


class Markup(NamedTuple):
    """A page as blocks and elements. All arrays are numpy's; positions are bytes of `text`."""

    text: NDArray[np.uint8]
    block_element: NDArray[np.int32]  # innermost element at the block's first character; -1 outside of all
    block_start: NDArray[np.int32]
    block_end: NDArray[np.int32]
    block_link: NDArray[np.int32]  # bytes within links
    block_breaks: NDArray[np.int32]  # single line breaks within it, or at its end
    parent: NDArray[np.int32]  # -1 for a root
    tag: NDArray[np.uint8]
    shape: NDArray[np.uint32]  # hash of tag and words of the class
    first_block: NDArray[np.int32]
    end_block: NDArray[np.int32]  # the first one after it
    first_hint: NDArray[np.int32]  # its hints are hint[first_hint[e]:first_hint[e + 1]]; [elements + 1]
    hint: NDArray[np.uint32]  # hashes of words
    title: tuple[int, int]  # range in the page's own bytes, entities and all
    complete: bool  # False when a bound on elements cut the page short


def read_markup(html: bytes) -> Markup:
    """Cut a page (UTF-8) into blocks and elements. Never raises. Memory: some 5 bytes a byte."""
    return _cut(np.frombuffer(html, np.uint8), MAX_ELEMENTS, MAX_HINTS)


@kernel
def _cut(html, max_elements, max_hints):  # type: ignore[no-untyped-def]
    return cut(html, max_elements, max_hints)


@glue
def cut(html, max_elements, max_hints):  # type: ignore[no-untyped-def]
    """`read_markup`, for kernels."""
    index, n_less = _index(html)
    n_tags = min(n_less + 1, max_elements)
    text = np.empty(html.size + html.size // 4 + 64, np.uint8)
    blocks = np.empty((5, 2 * n_tags + 2), np.int32)
    elements = np.empty((3, n_tags + 1), np.int32)
    first_hint = np.empty(n_tags + 2, np.int32)
    tags = np.empty(n_tags + 1, np.uint8)
    shape = np.empty(n_tags + 1, np.uint32)
    hint = np.empty(min(html.size // 3 + 8, max_hints), np.uint32)
    stack = np.empty(MAX_DEPTH + 1, np.int32)
    n_open = np.zeros(len(_FLAGS), np.int32)
    n_bytes, n_blocks, n_elements, title_start, title_end, end = _read(
        html, index, text, blocks, elements, first_hint, tags, shape, hint, stack, n_open
    )
    return Markup(
        text[:n_bytes], blocks[0, :n_blocks], blocks[1, :n_blocks], blocks[2, :n_blocks], blocks[3, :n_blocks],
        blocks[4, :n_blocks], elements[0, :n_elements], tags[:n_elements], shape[:n_elements],
        elements[1, :n_elements], elements[2, :n_elements], first_hint[: n_elements + 1],
        hint[: first_hint[n_elements]], (title_start, title_end), end >= html.size,
    )  # fmt: skip


@inner
def _read(html, index, text, blocks, elements, first_hint, tags, shape, hint, stack, n_open):  # type: ignore[no-untyped-def]
    """Fills the arrays; returns how much of each is used, the range of the title, and where it stopped.

    ``stack`` [MAX_DEPTH + 1] holds the open elements, ``n_open`` [tags] how many of each tag these are.
    """
    n = html.size
    depth = k = start = pending = n_blocks = n_elements = n_hints = i = _ZERO
    link_depth = skip_depth = pre_depth = -1  # places on the stack; -1 outside
    link_bytes = breaks = 0
    element = math_end = -1  # math_end: the next one, as far as it was looked for
    in_cdata = False
    title_start = title_end = _ZERO
    while i < n and n_elements < tags.size - 1 and n_blocks < blocks.shape[1] - 1:
        if k == start:  # whatever begins the next block stands here
            element = stack[depth - 1] if depth else -1
        if html[i] != 60 or not _begins_tag(html, i):  # text, up to the next "<"
            after = j = _next(index, _LESS, i + 1, n)
            if in_cdata:
                j, after = _cdata_end(html, i, j)
                in_cdata = j == after
            if skip_depth < 0:
                before = k
                k, pending = _emit(html, index, i, j, text, k, start, pending, pre_depth >= 0)
                if link_depth >= 0:
                    link_bytes += k - before
            i = after
            continue
        closing = html[i + 1] == 47
        if not _is_letter(html[i + 1 + closing]):
            if _begins_cdata(html, i):
                i, in_cdata = i + 9, True  # its content is read like any other
            else:
                i = _comment_end(html, index, i)
            continue
        name = i + 1 + closing
        end = _next(index, _ENDS_NAME, name, n)
        key = _name_key(html, name, end)
        slot = key * _TAG_FACTOR >> np.uint64(_TAG_SHIFT)
        found_tag = _TAG_VALUES[slot] if _TAG_KEYS[slot] == key else _ZERO
        this, flags = found_tag & 255, found_tag >> 8
        if this == _BR:  # "</br>" is one, too
            i = _tag_end(html, index, end)
            if skip_depth < 0:
                if pre_depth >= 0:
                    if k > start and k + 16 <= text.size:
                        text[k] = 10
                        k += 1
                elif pending >= 2:  # two in a row end a paragraph
                    if k > start:
                        n_blocks = _flush(blocks, n_blocks, element, start, k, link_bytes, breaks)
                    start, pending, link_bytes, breaks = k, 0, 0, 0
                elif k > start:
                    pending = 2
                    breaks += 1
            continue
        if closing:
            i = end + 1 if end < n and html[end] == 62 else _tag_end(html, index, end)
            if depth and tags[stack[depth - 1]] == this:
                new_depth = depth - 1
            else:
                new_depth = _close(stack, depth, tags, n_open, this, flags)
        else:
            closes_others = (flags & _CLOSES_P and n_open[_P]) or _CLOSES_OTHERS[this]  # perhaps what is skipped
            first_hint[n_elements] = n_hints
            found, class_hash, formula_start, formula_end = 0, np.uint32(0), 0, 0
            if end < n and html[end] == 62:
                i = end + 1
            elif (skip_depth >= 0 and not closes_others) or (flags & (_VOID | _RAW) and this != _SCRIPT):
                i = _tag_end(html, index, end)
            else:
                i, n_hints, found, class_hash, formula_start, formula_end = _attributes(html, index, end, hint, n_hints)
            if flags & _RAW:
                n_hints = first_hint[n_elements]  # it will be no element
                stop = _raw_end(html, index, i, key)
                if this == _TITLE and title_end == 0 and skip_depth < 0:
                    title_start, title_end = i, stop
                elif this == _SCRIPT and found & _TEX and skip_depth < 0:  # TeX for MathJax
                    k, pending = _emit_formula(html, index, i, stop, text, k, start, pending)
                i = stop  # the end tag itself matches nothing and is ignored
                continue
            new_depth = _implied(stack, depth, tags, n_open, this, flags) if closes_others else depth
        inside = k > start
        if flags & _BLOCK and skip_depth < 0:
            if inside:
                n_blocks = _flush(blocks, n_blocks, element, start, k, link_bytes, breaks)
            start, pending, link_bytes, breaks, inside = k, 0, 0, 0, False
        for d in range(new_depth, depth):
            elements[2, stack[d]] = n_blocks + inside
            n_open[tags[stack[d]]] -= 1
        depth = new_depth
        link_depth = -1 if link_depth >= depth or (closing and this == _A) else link_depth
        skip_depth = -1 if skip_depth >= depth else skip_depth
        pre_depth = -1 if pre_depth >= depth else pre_depth
        if closing:
            continue
        if this == _MATH and skip_depth < 0:
            whole = html[i - 2] == 47  # "<math ... />"
            if not whole and math_end < i:
                math_end = _raw_end(html, index, i, key)
            if not whole and math_end < n and math_end - i <= MAX_FORMULA:
                if formula_start == formula_end:
                    formula_start, formula_end = _annotation(html, index, i, math_end)
                i = _tag_end(html, index, math_end + 6)
                whole = True
            if whole:
                k, pending = _emit_formula(html, index, formula_start, formula_end, text, k, start, pending)
            continue
        if flags & _VOID or depth >= MAX_DEPTH or (this == _SVG and html[i - 2] == 47):
            continue
        elements[0, n_elements] = stack[depth - 1] if depth else -1
        elements[1, n_elements] = elements[2, n_elements] = n_blocks
        tags[n_elements] = this
        shape[n_elements] = class_hash * np.uint32(131) + np.uint32(this)
        stack[depth] = n_elements
        n_open[this] += 1
        n_elements += 1
        if this == _A and found & _HREF:
            link_depth = depth
        if skip_depth < 0 and (
            flags & _SKIP
            or (found & _HIDDEN and this != _BODY and this != _HTML and this != _MAIN and this != _ARTICLE)
        ):
            skip_depth = depth
        if pre_depth < 0 and (this == _PRE or this == _LISTING):
            pre_depth = depth
        depth += 1
    if k > start and n_blocks < blocks.shape[1]:
        n_blocks = _flush(blocks, n_blocks, element, start, k, link_bytes, breaks)
    for d in range(depth):
        elements[2, stack[d]] = n_blocks
    first_hint[n_elements] = n_hints
    return k, n_blocks, n_elements, title_start, title_end, i


@inner
def _flush(blocks, n_blocks, element, start, end, link_bytes, breaks):  # type: ignore[no-untyped-def]
    blocks[0, n_blocks], blocks[1, n_blocks], blocks[2, n_blocks] = element, start, end
    blocks[3, n_blocks], blocks[4, n_blocks] = link_bytes, breaks
    return n_blocks + 1


# Nesting


@inner
def _close(stack, depth, tags, n_open, this, flags):  # type: ignore[no-untyped-def]
    """The depth after the end tag of ``this``; unchanged if it matches nothing in its scope."""
    heading = _H1 <= this <= _H6  # closes any other, too
    n = 0
    for kind in range(_H1 if heading else this, (_H6 if heading else this) + 1):
        n += n_open[kind]
    if n == 0:
        return depth
    in_table = this == _TR or this == _TD or this == _TH or this == _THEAD or this == _TBODY or this == _TFOOT
    for d in range(depth - 1, -1, -1):
        other = tags[stack[d]]
        if other == this or (heading and _H1 <= other <= _H6):
            return d
        if not flags & (_BLOCK | _SKIP) and _FLAGS[other] & _BLOCK:  # formatting does not close blocks
            return depth
        if _FLAGS[other] & _SCOPE and this != _TABLE and not (in_table and other != _TABLE):
            return depth
    return depth


@inner
def _implied(stack, depth, tags, n_open, this, flags):  # type: ignore[no-untyped-def]
    """The depth after what the opening tag ``this`` closes by itself."""
    if flags & _CLOSES_P and n_open[_P]:
        depth = _up_to(stack, depth, tags, _P, _P, _P, _TABLE, _TABLE)
    if this == _LI and n_open[_LI]:
        return _up_to(stack, depth, tags, _LI, _LI, _UL, _OL, _MENU)
    if (this == _DT or this == _DD) and n_open[_DT] + n_open[_DD]:
        return _up_to(stack, depth, tags, _DT, _DD, _DL, _DL, _DL)
    if (this == _TD or this == _TH) and n_open[_TD] + n_open[_TH]:
        return _up_to(stack, depth, tags, _TD, _TH, _TR, _TABLE, _TABLE)
    if this == _TR and n_open[_TR]:
        return _up_to(stack, depth, tags, _TR, _TR, _TABLE, _TABLE, _TABLE)
    if (this == _TBODY or this == _THEAD or this == _TFOOT) and n_open[_TBODY] + n_open[_THEAD] + n_open[_TFOOT]:
        depth = _up_to(stack, depth, tags, _TBODY, _THEAD, _TABLE, _TABLE, _TABLE)
        return _up_to(stack, depth, tags, _TFOOT, _TFOOT, _TABLE, _TABLE, _TABLE)
    if _H1 <= this <= _H6 and depth and _H1 <= tags[stack[depth - 1]] <= _H6:
        return depth - 1
    if this == _A and n_open[_A]:
        for d in range(depth - 1, -1, -1):
            if tags[stack[d]] == _A:
                return d
            if _FLAGS[tags[stack[d]]] & _BLOCK:
                return depth
    return depth


@inner
def _up_to(stack, depth, tags, one, other, wall_a, wall_b, wall_c):  # type: ignore[no-untyped-def]
    """The depth without the innermost ``one`` or ``other``; unchanged if a wall, or a cell for others, comes first."""
    for d in range(depth - 1, -1, -1):
        this = tags[stack[d]]
        if this == one or this == other:
            return d
        if this == wall_a or this == wall_b or this == wall_c:
            return depth
        if _FLAGS[this] & _SCOPE and one != _TR and one != _TBODY and one != _TFOOT and one != _TD:
            return depth
    return depth


# Tags


@part
def _index(html):  # type: ignore[no-untyped-def]
    """Where bytes of each kind stand, a bit a byte, for `_next`; and how many "<" there are.

    uint8 [kinds * 8 * (size // 64 + 2)]. Bits behind the last byte may be set or not. With it, the search for a byte
    has no loop whose end must be guessed: guessing wrong was most of what a tag cost.
    """
    whole = html.size // 64
    index = np.empty((_N_KINDS, whole + 2), np.uint64)
    last = np.zeros(64, np.uint8)
    for i in range(64 * whole, html.size):
        last[i - 64 * whole] = html[i]
    n_less = np.uint64(0)
    odd = space = np.uint64(0)  # of the word before
    for w in range(whole + 1):
        masks = _kinds_of(html, 64 * w) if w < whole else _kinds_of(last, 0)
        for kind in range(_STOP):
            index[kind, w] = masks[kind]
        if w:  # a single space stands for itself where a plain byte follows
            index[_STOP, w - 1] = odd & ~(space & ~(odd >> np.uint64(1) | masks[_STOP] << np.uint64(63)))
        odd, space = masks[_STOP], masks[_STOP + 1]
        n_less += count_ones(masks[_LESS])
    index[_STOP, whole] = odd
    return index.reshape(index.size).view(np.uint8), np.int64(n_less)


@inner
def _kinds_of(data, i):  # type: ignore[no-untyped-def]
    """Of the 64 bytes from i on those of each kind, but in the place of `_STOP` all that do not stand for themselves
    whatever follows; and the spaces."""
    less, greater, blank = byte_mask(data, i, 60, 1), byte_mask(data, i, 62, 1), byte_mask(data, i, 0, 33)
    quote, apostrophe, space = byte_mask(data, i, 34, 1), byte_mask(data, i, 39, 1), byte_mask(data, i, 32, 1)
    ends = blank | greater | byte_mask(data, i, 47, 1) | byte_mask(data, i, 61, 1)
    odd = blank | less | byte_mask(data, i, 38, 1) | byte_mask(data, i, 0x7F, 1) | byte_mask(data, i, 0xC2, 1)
    odd |= byte_mask(data, i, 0xE1, 3) | byte_mask(data, i, 0xEF, 17)
    return less, greater, quote, apostrophe, blank, ends, odd, space


@inlined
def _next(index, kind, i, n):  # type: ignore[no-untyped-def]
    """Where a byte of a kind is found from i on; n, the size, if nowhere."""
    while i < n:
        found = _bits(index, kind, i, n)
        if found:
            return min(i + np.int64(lowest_one(found)), n)
        i += 64 - (i & 7)
    return n


@inlined
def _next_other(index, kind, i, n):  # type: ignore[no-untyped-def]
    """Where a byte of another kind is found from i on; n if nowhere."""
    while i < n:
        found = ~_bits(index, kind, i, n) & ALL_ONES >> np.uint64(i & 7)
        if found:
            return min(i + np.int64(lowest_one(found)), n)
        i += 64 - (i & 7)
    return n


@inlined
def _bits(index, kind, i, n):  # type: ignore[no-untyped-def]
    """Which of the bytes from i on are of a kind: at least 57 of them."""
    return load_eight(index, kind * ((n >> 6) + 2 << 3) + (i >> 3)) >> np.uint64(i & 7)


@inlined
def _begins_tag(html, i):  # type: ignore[no-untyped-def]
    """Whether the "<" at i begins a tag, a comment or the like; else it is text."""
    if i + 1 >= html.size:
        return False
    byte = html[i + 1]
    return _is_letter(byte) or byte == 33 or byte == 63 or (byte == 47 and i + 2 < html.size)


@inner
def _find(keys, values, key):  # type: ignore[no-untyped-def]
    """The value of a key in a table of `_hash_table`, -1 if it is not there."""
    mask = np.uint64(keys.size - 1)
    slot = key * _MIX >> np.uint64(40) & mask
    while values[slot] >= 0:
        if keys[slot] == key:
            return values[slot]
        slot = slot + np.uint64(1) & mask
    return -1


@inlined
def _name_key(html, start, end):  # type: ignore[no-untyped-def]
    """Of the name html[start:end], as `_key`; upper and lower case are one. For names of letters and digits, that is:
    no other byte that a name can hold becomes one of these."""
    if start >= end:
        return np.uint64(0)
    key = _lower_eight(html, start, end)
    if end - start > 8:
        key = (key * _MIX ^ _lower_eight(html, start + 8, end)) + np.uint64(end - start)
    return key


@inlined
def _lower_eight(html, i, end):  # type: ignore[no-untyped-def]
    """The bytes from i to ``end``, at most eight, as a number."""
    eight = load_eight(html, i) if i + 8 <= html.size else _last_bytes(html, i)
    return (eight | _CASE) & ALL_ONES >> np.uint64(64 - 8 * min(end - i, 8))


@inner
def _last_bytes(html, i):  # type: ignore[no-untyped-def]
    """The bytes from i on, fewer than eight, as a number."""
    value = np.uint64(0)
    for k in range(html.size - 1, i - 1, -1):
        value = value << np.uint64(8) | np.uint64(html[k])
    return value


@inner
def _tag_end(html, index, i):  # type: ignore[no-untyped-def]
    """Behind the tag whose name ends at i. Values are respected, as in `_attributes`."""
    n = html.size
    i = max(i, 0)
    while i < n:
        i = _next(index, _ENDS_NAME, i, n)
        if i < n and html[i] == 61:
            i = _skip_space(html, index, i + 1)
            if i < n and (html[i] == 34 or html[i] == 39):
                i = _next(index, _QUOTE if html[i] == 34 else _APOSTROPHE, i + 1, n)
        if i < n and html[i] == 62:
            return i + 1
        i += 1
    return n


@inner
def _attributes(html, index, i, hint, n_hints):  # type: ignore[no-untyped-def]
    """Reads the attributes of a tag from the end of its name on.

    Returns the position behind the tag, the number of hints, what was found (bits), the hash of its class, and the
    range of its alttext.
    """
    n = html.size
    i = max(i, 0)  # as in `_entity`
    found = 0
    class_hash = np.uint32(0)
    alt_start = alt_end = 0
    while i < n:
        byte = html[i]
        if byte == 62:
            return i + 1, n_hints, found, class_hash, alt_start, alt_end
        if byte <= 32 or byte == 47 or byte == 61:
            i += 1
            continue
        end = _next(index, _ENDS_NAME, i, n)
        key = _name_key(html, i, end) if _ASKED[byte] else np.uint64(0)
        i = _skip_space(html, index, end)
        if i >= n or html[i] != 61:
            found |= _HIDDEN if key == _K_HIDDEN else 0
            continue
        i = _skip_space(html, index, i + 1)
        if i < n and (html[i] == 34 or html[i] == 39):
            start = i + 1
            end = _next(index, _QUOTE if html[i] == 34 else _APOSTROPHE, start, n)
            i = min(end + 1, n)
        else:
            start = i
            i = end = min(_next(index, _BLANK, i, n), _next(index, _GREATER, i, n))
        if key == 0:
            continue
        if key == _K_HREF:
            found |= _HREF
        elif key == _K_CLASS or key == _K_ID or key == _K_ROLE or key == _K_ITEMPROP:
            before = n_hints
            n_hints = _add_hints(html, start, end, hint, n_hints)
            if key == _K_CLASS:
                for k in range(before, n_hints):
                    class_hash = (class_hash ^ hint[k]) * _PRIME
        elif key == _K_STYLE:
            found |= _HIDDEN if _hides(html, index, start, end) else 0
        elif key == _K_HIDDEN:
            found |= 0 if _equals(html, start, end, b"until-found") else _HIDDEN
        elif key == _K_ARIA_HIDDEN:
            found |= _HIDDEN if _equals(html, start, end, b"true") else 0
        elif key == _K_TYPE:
            found |= _TEX if end - start >= 8 and _equals(html, start, start + 8, b"math/tex") else 0
        elif key == _K_ALTTEXT:
            alt_start, alt_end = start, end
    return n, n_hints, found, class_hash, alt_start, alt_end


@inner
def _add_hints(html, i, end, hint, n_hints):  # type: ignore[no-untyped-def]
    """Hash the words of a class or id: runs of letters, cut where camelCase begins anew; single letters left out."""
    i, n_hints = max(i, 0), max(n_hints, 0)
    end = min(end, i + 512)
    while i < end and (end - i > 64 or i + 72 > html.size or byte_mask(html, i, 0x80, 0x80)):
        value = _BASIS
        start = i
        was_lower = False
        while i < end:
            kind = _LETTER_KIND[html[i]]
            if kind == 0 or (kind == _UPPER and was_lower):
                break
            was_lower = kind == _LOWER
            value = np.uint32((value ^ np.uint32(html[i] | (kind & _UPPER) << 5)) * _PRIME)
            i += 1
        if i > start + 1 and n_hints < hint.size:
            hint[n_hints] = value
            n_hints += 1
        i += i == start
    if i >= end:
        return n_hints
    within = ALL_ONES >> np.uint64(64 - (end - i))  # the rest by masks
    upper, lower = byte_mask(html, i, 65, 26) & within, byte_mask(html, i, 97, 26) & within
    letters, anew = upper | lower, upper & lower << _ONE
    begins, ends = letters & ~(letters << _ONE) | anew, ~letters & letters << _ONE | anew
    while begins and n_hints < hint.size:
        first, last = np.int64(lowest_one(begins)), np.int64(lowest_one(ends)) if ends else 64
        hint[n_hints] = hash_on(_BASIS, html, i + first, last - first)
        n_hints += last > first + 1
        begins &= begins - _ONE
        ends &= ends - _ONE
    return n_hints


@inlined
def hash_on(value, text, i, size):  # type: ignore[no-untyped-def]
    """The hash of a word, FNV-1a, with ``size`` bytes from i on more: letters, in lower case where they are ASCII, and
    digits. Eight bytes can be read behind them.

    To guess when a word ends takes longer than to hash eight bytes always: zeros behind the end multiply the hash, and
    that is undone.
    """
    while size > 8:
        value = _hash_eight(value, _small(load_eight(text, i)))
        i += 8
        size -= 8
    n = np.uint64(size)
    return np.uint32(_hash_eight(value, _small(load_eight(text, i)) & _FIRST[n]) * _UNDO[n])


@inlined
def _small(eight):  # type: ignore[no-untyped-def]
    """Eight bytes, those of ASCII in lower case."""
    return eight | _CASE & ~(eight >> np.uint64(2))


@inlined
def _hash_eight(value, eight):  # type: ignore[no-untyped-def]
    for k in range(8):
        value = np.uint32((value ^ np.uint32(eight >> np.uint64(8 * k) & np.uint64(255))) * _PRIME)
    return value


@inner
def _equals(html, start, end, word):  # type: ignore[no-untyped-def]
    if end - start != len(word):
        return False
    for k in range(len(word)):
        byte = html[start + k]
        if (byte + 32 if 65 <= byte <= 90 else byte) != word[k]:
            return False
    return True


@inner
def _hides(html, index, start, end):  # type: ignore[no-untyped-def]
    """Whether a style attribute says display:none."""
    for i in range(start, min(end, start + 2048) - 11):
        if (html[i] | 32) == 100 and _equals(html, i, i + 7, b"display"):
            j = _skip_space(html, index, i + 7)
            if j < end and html[j] == 58:
                j = _skip_space(html, index, j + 1)
                return j + 4 <= end and _equals(html, j, j + 4, b"none")
    return False


@inner
def _comment_end(html, index, i):  # type: ignore[no-untyped-def]
    """Behind the comment, doctype, processing instruction, or end tag without a name at i."""
    n = html.size
    if i + 3 >= n or html[i + 1] != 33 or html[i + 2] != 45 or html[i + 3] != 45:
        return min(_next(index, _GREATER, i + 2, n) + 1, n)
    j = _next(index, _GREATER, i + 4, n)
    while j < n:
        dashes = j - (j > i + 6 and html[j - 1] == 33)  # "--!>" ends one, too
        if html[dashes - 1] == 45 and html[dashes - 2] == 45:  # "<!-->" and "<!--->" are whole comments
            return j + 1
        j = _next(index, _GREATER, j + 1, n)
    return n


@inner
def _begins_cdata(html, i):  # type: ignore[no-untyped-def]
    return html[i + 1] == 33 and i + 8 < html.size and html[i + 2] == 91 and _equals(html, i + 3, i + 9, b"cdata[")


@inner
def _cdata_end(html, i, j):  # type: ignore[no-untyped-def]
    """Where the first "]]>" in html[i:j] begins and ends; j and j if there is none."""
    for k in range(i, j - 2):
        if html[k] == 93 and html[k + 1] == 93 and html[k + 2] == 62:
            return k, k + 3
    return j, j


@inner
def _raw_end(html, index, i, key):  # type: ignore[no-untyped-def]
    """Where the end tag of a raw element begins; the size if nowhere."""
    n = html.size
    while True:
        i = _next(index, _LESS, i, n)
        if i + 2 >= n:
            return n
        if html[i + 1] == 47 and _name_key(html, i + 2, _next(index, _ENDS_NAME, i + 2, n)) == key:
            return i
        i += 1


# Formulas


@inner
def _annotation(html, index, i, end):  # type: ignore[no-untyped-def]
    """The range of the first annotation in TeX in html[i:end]; empty if there is none."""
    n = html.size
    i = _next(index, _LESS, i, n)
    while i + 11 < end:
        if _equals(html, i + 1, i + 11, b"annotation") and _ends_name(html[i + 11]):
            start = _tag_end(html, index, i + 11)
            for k in range(i + 11, start - 3):
                if _equals(html, k, k + 3, b"tex"):  # encoding="application/x-tex", "LaTeX"
                    return start, max(min(_next(index, _LESS, start, n), end), start)
        i = _next(index, _LESS, i + 1, n)
    return end, end


@inner
def _emit_formula(html, index, i, j, text, k, start, pending):  # type: ignore[no-untyped-def]
    """Appends html[i:j] between dollar signs; nothing if it is blank."""
    if k + 16 > text.size:
        return k, pending
    begin = k
    if pending and k > start:
        text[begin] = 10 if pending == 2 else 32
        begin += 1
    text[begin] = 36
    end, _ = _emit(html, index, i, j, text, begin + 1, begin + 1, _ZERO, _FALSE)
    if end == begin + 1:
        return k, pending
    text[end] = 36
    return end + 1, 0


# Text


@inner
def _emit(html, index, i, j, text, k, start, pending, pre):  # type: ignore[no-untyped-def]
    """Appends html[i:j] to the text at k; ``pending`` is 1 for a space and 2 for a line break not yet written."""
    n = html.size
    i, k = max(i, 0), max(k, 0)
    while i < j:
        byte = html[i]
        if byte <= 32 and not pre:
            pending = max(pending, 1)
            i = min(_next_other(index, _BLANK, i, n), j)
            continue
        room = text.size - 16 - k
        if room < 0:
            return k, pending
        run = min(_next(index, _STOP, i, n), j, i + room) - i
        run -= run > 0 and html[i + run - 1] == 32  # nothing plain follows that space
        if run > 0:
            if pending and k > start:
                text[k] = 10 if pending == 2 else 32
                k += 1
            pending = 0
            copy_bytes(text, k, html, i, run)
            i, k = i + run, k + run
            continue
        point = np.uint32(byte)
        second = np.uint32(0)
        size = 1
        if byte == 38:
            point, second, size = _entity(html, i, j)
        elif byte >= 0x80:
            point, size = _decode(html, i, j)
        i += size
        kind = _kind_of(point)
        if kind == _DROPPED or (pre and point == 13):
            continue
        if kind == _SPACE and not pre:
            pending = max(pending, 1)
            continue
        if pending:
            if k > start:
                text[k] = 10 if pending == 2 else 32
                k += 1
            pending = 0
        if kind == _SPACE:
            point = point if point == 10 or point == 9 else np.uint32(32)
        k = _put(text, k, point)
        if second:
            k = _put(text, k, second)
    return k, pending


@inner
def _decode(html, i, j):  # type: ignore[no-untyped-def]
    """The character at i, and its size; what is no UTF-8 is U+FFFD, of size 1."""
    byte = np.uint32(html[i])
    size = 2 + (byte >= 0xE0) + (byte >= 0xF0)
    if byte < 0xC2 or byte > 0xF4 or i + size > j:
        return np.uint32(0xFFFD), 1
    point = byte & np.uint32(0x7F >> size)
    for k in range(1, size):
        if html[i + k] & 0xC0 != 0x80:
            return np.uint32(0xFFFD), 1
        point = point << np.uint32(6) | np.uint32(html[i + k] & 0x3F)
    return point, size


@inner
def _kind_of(point):  # type: ignore[no-untyped-def]
    """Whether a character is white space, is left out, or stands for itself (0).

    Left out: controls, marks that turn the direction of text, tags (which hide text), noncharacters, soft hyphens,
    places to break, byte order marks.
    """
    if point <= 32:
        return _SPACE if point == 32 or 9 <= point <= 13 else _DROPPED
    if point < 0x7F:
        return 0
    if point <= 0xA0:
        return _SPACE if point == 0xA0 or point == 0x85 else _DROPPED
    if point == 0xAD or point == 0xFEFF or 0xFDD0 <= point <= 0xFDEF or 0xE0000 <= point <= 0xE007F:
        return _DROPPED
    if point == 0x1680 or point == 0x3000 or point == 0x205F:
        return _SPACE
    if 0x2000 <= point <= 0x206F:
        if point <= 0x200A or point == 0x2028 or point == 0x2029 or point == 0x202F:
            return _SPACE
        dropped = point == 0x200B or 0x202A <= point <= 0x202E or point == 0x2060 or 0x2066 <= point <= 0x2069
        return _DROPPED if dropped else 0
    return _DROPPED if point == 0xFFFE or point == 0xFFFF else 0


@inner
def _put(text, k, point):  # type: ignore[no-untyped-def]
    """Writes a code point as UTF-8; surrogates and what is beyond Unicode as U+FFFD."""
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        point = np.uint32(0xFFFD)
    if point < 0x80:
        text[k] = point
        return k + 1
    if point < 0x800:
        text[k] = 0xC0 | point >> np.uint32(6)
        text[k + 1] = 0x80 | point & np.uint32(63)
        return k + 2
    if point < 0x10000:
        text[k] = 0xE0 | point >> np.uint32(12)
        text[k + 1] = 0x80 | point >> np.uint32(6) & np.uint32(63)
        text[k + 2] = 0x80 | point & np.uint32(63)
        return k + 3
    text[k] = 0xF0 | point >> np.uint32(18)
    text[k + 1] = 0x80 | point >> np.uint32(12) & np.uint32(63)
    text[k + 2] = 0x80 | point >> np.uint32(6) & np.uint32(63)
    text[k + 3] = 0x80 | point & np.uint32(63)
    return k + 4


@inner
def _entity(html, i, j):  # type: ignore[no-untyped-def]
    """The one or two characters of the reference at i, and its size; an ampersand if it is none."""
    none = np.uint32(0)
    if i + 2 < j and html[i + 1] == 35:
        return _numeric(html, i, j)
    key = np.uint64(0)
    best, size = -1, 1
    k = i + 1
    while k < j and k - i <= _MAX_ENTITY:
        byte = html[k]
        if byte == 59:
            key = (key * _FNV_PRIME) ^ np.uint64(59)
            found = _find(_ENTITY_KEYS, _ENTITY_VALUES, key)
            if found >= 0:
                best, size = found, k + 1 - i
            break
        if not (_is_letter(byte) or 48 <= byte <= 57):
            break
        key = (key * _FNV_PRIME) ^ np.uint64(byte)
        k += 1
        if 2 <= k - i - 1 <= 6:  # the old ones that need no semicolon
            found = _find(_ENTITY_KEYS, _ENTITY_VALUES, key)
            if found >= 0:
                best, size = found, k - i
    if best < 0:
        return np.uint32(38), none, 1
    return _ENTITY_CHARACTERS[best, 0], _ENTITY_CHARACTERS[best, 1], size


@inner
def _numeric(html, i, j):  # type: ignore[no-untyped-def]
    hexadecimal = html[i + 2] == 120 or html[i + 2] == 88
    value = np.uint32(0)
    k = first = i + 2 + hexadecimal
    while k < j:
        byte = html[k]
        if 48 <= byte <= 57:
            digit = byte - 48
        elif hexadecimal and 97 <= (byte | 32) <= 102:
            digit = (byte | 32) - 87
        else:
            break
        value = min(value * np.uint32(16 if hexadecimal else 10) + np.uint32(digit), np.uint32(0x110000))
        k += 1
    if k == first:
        return np.uint32(38), np.uint32(0), 1
    if k < j and html[k] == 59:
        k += 1
    if 0x80 <= value < 0xA0:
        value = _C1[value - np.uint32(0x80)]
    elif value == 0:
        value = np.uint32(0xFFFD)
    return value, np.uint32(0), k - i


@inlined
def _skip_space(html, index, i):  # type: ignore[no-untyped-def]
    return _next_other(index, _BLANK, i, html.size) if i < html.size and html[i] <= 32 else i


@inlined
def _ends_name(byte):  # type: ignore[no-untyped-def]
    return byte <= 32 or byte == 47 or byte == 61 or byte == 62


@inlined
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= (byte | 32) <= 122
