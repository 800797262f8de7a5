"""What tells main content from the rest of a page: numbers for each block.

Two groups. *Structure* needs nothing but the page: the block itself, its neighbours, its ancestors, blocks of the same
shape (tag, class, parent's tag and class), the container that collects the most good text (found as Readability does:
paragraphs vote for their parent, and half for the grandparent), and its place in the page. *Lexicon* looks words up in
tables of log-odds learned from pages with known main content: words of class, id, role and itemprop of the block's
ancestors; words of its text; short texts as a whole ("leave a reply").

*Good* text is a block of `GOOD_WORDS` words or more, few of them in links, with a sentence end or two commas. A word is
a run of letters and digits; a character of Chinese, Japanese or Korean script counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    as_read_only,
    byte_mask,
    copy_bytes,
    count_ones,
    glue,
    inlined,
    inner,
    kernel,
    leaf,
    lowest_one,
    prefetch,
)
from textmill.pipeline.extraction.lineage import (
    FAR,
    LANDMARKS,
    LISTS,
    MAX_UP,
    N_LEVELS,
    TABLES,
    end_of,
    levels_to,
    lineage,
    place,
)
from textmill.pipeline.extraction.markup import TAGS, Markup, hash_on, tag, tags_of

GOOD_WORDS: Final = 12
GOOD_LINK_FRAC: Final = 0.35
SHORT_WORDS: Final = 12  # texts up to this length are looked up as a whole
_MAX_HINTS: Final = 24  # words of an element that are looked up
_MAX_PROBES: Final = 128
_BEHIND: Final = 72  # bytes that can be read behind a text
_AHEAD: Final = 16  # words whose places in the table are fetched while those before are looked up

# Columns of the table of blocks' own measures: number of words, characters, digits, commas, sentence ends, words with a
# capital; kind of the first and the last character; words that the title has too; share of the title that they cover
_WORDS, _CHARS, _DIGITS, _COMMAS, _ENDS, _CAPITALS, _FIRST, _LAST, _KNOWN, _TITLE = range(10)

_LEVELS = range(1, N_LEVELS + 1)
STRUCTURE: Final = (
    "words chars link_frac commas_per_word ends_per_word digits_frac capitals_frac chars_per_word breaks last "
    "title_frac title_cover tag block_tag heading lists tables depth "
    + " ".join(f"to_{name}" for name in LANDMARKS)
    + " "
    + " ".join(f"up{k}_{what}" for k in _LEVELS for what in ("good_share", "good_frac", "link_frac", "words"))
    + " in_top levels_to_top top_share levels_to_core "
    "prev1_words prev1_link_frac prev2_words next1_words next1_tag next2_words "
    "near2_good near2_link_frac near5_good near5_link_frac "
    "place good_before to_first_good to_last_good to_heading to_title_heading "
    "same_words same_link_frac same_share parent_blocks "
    "page_blocks page_words page_good page_good_frac page_link_frac page_p_frac"
).split()
LEXICON: Final = (
    "hint_own hint_up1 hint_up2 hint_up3 hint_up4 hint_sum hint_min hint_max "
    "word_mean word_sum word_min word_prev word_next text_odds start_odds text_next"
).split()
FEATURES: Final = (*STRUCTURE, *LEXICON)
CONTEXT: Final = (
    "p p_prev1 p_prev2 p_next1 p_next2 p_near5 "
    + " ".join(f"p_up{k} p_share{k}" for k in range(1, 5))
    + " p_same p_page p_words since_likely until_likely from_first_likely to_last_likely in_bulk levels_to_bulk bulk_p"
).split()
ALL: Final = (*STRUCTURE, *LEXICON, *CONTEXT)
N_FIRST: Final = len(FEATURES)  # columns that the first estimate uses


@dataclass(frozen=True, slots=True)
class Table:
    """A hash table from 32-bit hashes to log-odds of at most 7 either way: open addressing, linear probing.

    A slot holds the key in its upper half and the odds below, in steps of 1/4096, so that a look-up costs one visit to
    the memory. What is not in the table has the odds 0.
    """

    slots: NDArray[np.uint64]  # [a power of two]; 0: empty

    @classmethod
    def build(cls, keys: NDArray[np.uint32], values: NDArray[np.float32]) -> Table:
        """A table at most half full. A key of 0 is left out."""
        n_slots = 16
        while n_slots < 2 * len(keys):
            n_slots *= 2
        table = cls(np.zeros(n_slots, np.uint64))
        steps = np.round(values.astype(np.float64) / _STEP).astype(np.int64) + 32768
        _fill(table.slots, keys.astype(np.uint64) << np.uint64(32) | steps.astype(np.uint64))
        return table

    def entries(self) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Keys and values."""
        used = self.slots[self.slots != 0]
        steps = (used & np.uint64(0xFFFF)).astype(np.int64) - 32768
        return (used >> np.uint64(32)).astype(np.uint32), (steps * _STEP).astype(np.float32)


class Lexicon(NamedTuple):
    """The learned tables."""

    hints: Table
    words: Table
    texts: Table  # whole short texts, and the first two words of a block


class Blocks(NamedTuple):
    """Measures of the blocks themselves, and the hashes that a lexicon is asked for."""

    own: NDArray[np.float32]  # [blocks, 10]
    link: NDArray[np.float32]  # share of bytes in links
    size: NDArray[np.float32]  # bytes
    text_hash: NDArray[np.uint32]  # of the whole text, lower case, digits left out; 0 if it is long
    start_hash: NDArray[np.uint32]  # of the first two words
    word_start: NDArray[np.int32]  # [blocks + 1], into word
    word: NDArray[np.uint32]  # hash of every word


def measure(markup: Markup, html: bytes) -> Blocks:
    """The blocks by themselves."""
    return _measure_blocks(markup, np.frombuffer(html, np.uint8))


def matrix(n_blocks: int) -> NDArray[np.float32]:
    """An empty matrix [blocks, ALL]: features of the structure first, then the lexicon's, then the context's."""
    return np.zeros((n_blocks, len(ALL)), np.float32)


def fill_structure(markup: Markup, blocks: Blocks, x: NDArray[np.float32]) -> None:
    """Writes the columns STRUCTURE."""
    _fill_structure(markup, blocks, x)


def fill_lexicon(markup: Markup, blocks: Blocks, lexicon: Lexicon, x: NDArray[np.float32]) -> None:
    """Writes the columns LEXICON."""
    _fill_lexicon(markup, blocks, *(table.slots for table in lexicon), x)


def fill_context(markup: Markup, blocks: Blocks, p: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """Writes the columns CONTEXT: what the first estimates ``p`` [blocks] say about each block's surroundings."""
    _fill_context(markup, blocks, p, x)


@kernel
def _measure_blocks(markup, html):  # type: ignore[no-untyped-def]
    return measure_blocks(markup, html)


@kernel
def _fill_structure(markup, blocks, x):  # type: ignore[no-untyped-def]
    structure(markup, blocks, lineage(markup), same_shape(markup), x)


@kernel
def _fill_lexicon(markup, blocks, hints, words, texts, x):  # type: ignore[no-untyped-def]
    look_up(markup, blocks, lineage(markup), hints, words, texts, x)


@kernel
def _fill_context(markup, blocks, p, x):  # type: ignore[no-untyped-def]
    context(markup, blocks, lineage(markup), same_shape(markup), p, x)


def _groups() -> NDArray[np.int32]:
    """Tags that mean about the same, by number."""
    groups = np.zeros(len(TAGS), np.int32)
    kinds = (
        "p", "h1", "h2", "h3 h4 h5 h6", "li", "td", "th", "dt dd", "pre code listing", "blockquote",
        "figcaption caption legend", "div center", "article main section", "a", "span font", "b strong i em u",
        "time small", "label form fieldset", "nav menu", "header hgroup", "footer aside", "address cite", "body html",
        "summary details",
    )  # fmt: skip
    for number, names in enumerate(kinds, 1):
        groups[tags_of(names)] = number
    return groups


_GROUPS: Final = _groups()
_H1, _H6, _P = tag("h1"), tag("h6"), tag("p")
_N_LANDMARKS: Final = len(LANDMARKS)
_STEP: Final = np.float32(1 / 4096)
_L: Final = len(STRUCTURE)  # where the lexicon's columns begin
_ASCII_KIND: Final = np.array([
    0 if code <= 32 else 2 if chr(code).isdigit() else 1 if chr(code).isalpha() else 4 if chr(code) in ",;" else
    5 if chr(code) in ".!?" else 6 for code in range(128)
], np.uint8)  # fmt: skip
# In hashes of whole texts: a letter's byte in lower case, as are all bytes of characters of two bytes that are letters;
_DIGIT, _BEYOND = 1, 2  # or what is no letter, 0 for other signs of ASCII
_IN_TEXT: Final = np.array([
    0 if code < 128 and not chr(code).isalnum() else _DIGIT if code < 58 else _BEYOND if code in (0xC2, 0xD8) else
    ord(chr(code).lower()) if code < 128 else _BEYOND if code >= 0xE0 else code for code in range(256)
], np.uint8)  # fmt: skip
_PRIME: Final = np.uint32(16777619)
_BASIS: Final = np.uint32(2166136261)
_ONE, _ONE_32 = np.uint64(1), np.uint32(1)


@kernel
def _fill(slots, entries):  # type: ignore[no-untyped-def]
    for entry in entries:
        key = np.uint32(entry >> np.uint64(32))
        if key != 0:
            slots[_slot(slots, key)] = entry


@inlined
def _home(slots, key):  # type: ignore[no-untyped-def]
    """Where a key stands if that slot was free."""
    return np.int64((key * np.uint32(0x9E3779B1)) >> np.uint32(7) & np.uint32(slots.size - 1))


@inner
def _slot(slots, key):  # type: ignore[no-untyped-def]
    """Where a key stands, or would stand."""
    slot = _home(slots, key)
    while slots[slot] != 0 and np.uint32(slots[slot] >> np.uint64(32)) != key:
        slot = slot + 1 & slots.size - 1
    return slot


@leaf
def _odds(slots, key):  # type: ignore[no-untyped-def]
    return np.float32(_steps(slots, key)) * _STEP


@inlined
def _steps(slots, key):  # type: ignore[no-untyped-def]
    """The odds of a key, in steps."""
    entry = slots[_home(slots, key)]
    if (entry != 0) & (np.uint32(entry >> np.uint64(32)) != key):  # one branch, which is seldom taken
        entry = slots[_slot(slots, key)]
    return np.int64(entry & np.uint64(0xFFFF)) - 32768 * (entry != 0)


# Blocks by themselves


@inner
def _character(text, i):  # type: ignore[no-untyped-def]
    """Kind of the character at i, and its size: 0 space, 1 letter, 2 digit, 3 CJK, 4 comma, 5 sentence end, 6 other."""
    byte = text[i]
    if byte < 0x80:
        return int(_ASCII_KIND[byte]), 1
    if byte < 0xE0:
        second = text[i + 1] if i + 1 < text.size else np.uint8(0)
        if byte == 0xC2:
            return 6, 2
        if byte == 0xD8 and (second == 0x8C or second == 0x9B):
            return 4, 2
        if byte == 0xD8 and second == 0x9F:
            return 5, 2
        return 1, 2
    if byte < 0xF0:
        if i + 2 >= text.size:
            return 6, 3
        point = (np.int32(byte) & 15) << 12 | (np.int32(text[i + 1]) & 63) << 6 | np.int32(text[i + 2]) & 63
        if 0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x9FFF or 0xAC00 <= point <= 0xD7AF:
            return 3, 3
        if point == 0x3002 or point == 0xFF01 or point == 0xFF1F or point == 0x964 or point == 0x2026:
            return 5, 3
        if point == 0x3001 or point == 0xFF0C or point == 0xFF1B:
            return 4, 3
        if 0x2000 <= point <= 0x2BFF or 0x3000 <= point <= 0x303F or 0xFF00 <= point <= 0xFF0F or point >= 0xE000:
            return 6, 3
        return 1, 3
    return 6, 4


@inlined
def _lower(byte):  # type: ignore[no-untyped-def]
    return np.uint32(byte + 32) if 65 <= byte <= 90 else np.uint32(byte)


@glue
def measure_blocks(markup, html):  # type: ignore[no-untyped-def]
    """`measure`, for kernels."""
    n = markup.block_start.size
    own = np.zeros((n, 10), np.float32)
    link, size = np.empty(n, np.float32), np.empty(n, np.float32)
    text_hash, start_hash = np.empty(n, np.uint32), np.empty(n, np.uint32)
    word_start = np.zeros(n + 1, np.int32)
    word = np.empty(markup.text.size + 1, np.uint32)
    text = np.empty(markup.text.size + _BEHIND, np.uint8)
    copy_bytes(text, 0, markup.text, 0, markup.text.size)
    for k in range(markup.text.size, text.size):
        text[k] = 0
    in_title = np.zeros(1024, np.bool_)
    title_words = _title(html, markup.title[0], markup.title[1], in_title)
    _measure(
        as_read_only(text), markup.block_start, markup.block_end, in_title, title_words, own, text_hash,
        start_hash, word_start, word,
    )  # fmt: skip
    for b in range(n):
        size[b] = markup.block_end[b] - markup.block_start[b]
        link[b] = np.float32(markup.block_link[b]) / size[b]
    return Blocks(own, link, size, text_hash, start_hash, word_start, word[: word_start[n]])


@inner
def _measure(text, starts, ends, in_title, title_words, own, text_hash, start_hash, word_start, word):  # type: ignore[no-untyped-def]
    """Fills own (columns as above, all 0 before), text_hash, start_hash, word_start and word."""
    n_words = 0
    for b in range(starts.size):
        start, end = max(int(starts[b]), 0), max(int(ends[b]), 0)
        value = np.uint32(0)  # the hash of the word so far
        i = start
        while i < end:
            size = _simple(text, i, end)
            if size:
                value, n_words = _simple_piece(text, i, size, end, own, b, value, word, n_words)
            else:
                size, value, n_words = _one_character(text, i, end, own, b, value, word, n_words)
            i += size
        if value != 0:
            word[n_words] = value
            n_words += 1
        before = np.int64(word_start[b])
        words, titled, two = n_words - before, 0, _BASIS
        for k in range(before, n_words):
            titled += in_title[word[k] & np.uint32(1023)]
            if k < before + 2:
                two = np.uint32((two ^ word[k]) * _PRIME)
        start_hash[b] = two
        text_hash[b] = _text_hash(text, start, end) if words <= SHORT_WORDS else np.uint32(0)
        own[b, _WORDS], own[b, _FIRST], own[b, _LAST] = (
            words,
            _first_kind(text, start, end),
            _last_kind(text, start, end),
        )
        own[b, _KNOWN], own[b, _TITLE] = titled, titled / title_words if title_words else 0.0
        word_start[b + 1] = n_words


@inner
def _one_character(text, i, end, own, b, value, word, n_words):  # type: ignore[no-untyped-def]
    """Counts the character at i for block b. Returns its size, the hash of the word so far, the number of words."""
    kind, size = _character(text, i)
    in_word = kind == 1 or kind == 2 or kind == 3
    own[b, _CHARS] += kind != 0
    own[b, _DIGITS] += kind == 2
    own[b, _COMMAS] += kind == 4
    own[b, _ENDS] += kind == 5 and (size > 1 or i + 1 >= end or text[i + 1] <= 34 or text[i + 1] > 0x7F)
    own[b, _CAPITALS] += in_word and value == 0 and 65 <= text[i] <= 90
    if in_word:
        value = _hash_character(_BASIS if value == 0 else value, text, i, min(i + size, end))
    if value != 0 and kind != 1 and kind != 2:
        word[n_words] = value
        return size, np.uint32(0), n_words + 1
    return size, value, n_words


@inlined
def _simple(text, i, end):  # type: ignore[no-untyped-def]
    """How many of the next 64 bytes of text[i:end] come before the first character that is neither ASCII nor a letter
    of two bytes."""
    if not byte_mask(text, i, 0x80, 0x80):
        return min(64, end - i)
    others = byte_mask(text, i, 0xC2, 1) | byte_mask(text, i, 0xD8, 1) | byte_mask(text, i, 0xE0, 0x20)
    size = min(np.int64(lowest_one(others)) if others else 64, end - i)
    return size - (size > 0 and text[i + size - 1] >= 0xC0)  # no half of a character


@inner
def _simple_piece(text, i, size, end, own, b, value, word, n_words):  # type: ignore[no-untyped-def]
    """The same for the ``size`` bytes from i on, as `_simple` gives it. Returns the hash and the number."""
    within = ALL_ONES >> np.uint64(64 - size)
    digits, upper = byte_mask(text, i, 48, 10) & within, byte_mask(text, i, 65, 26) & within
    letters = (upper | byte_mask(text, i, 97, 26) | byte_mask(text, i, 0x80, 0x80)) & within | digits
    commas = (byte_mask(text, i, 44, 1) | byte_mask(text, i, 59, 1)) & within
    stops = (byte_mask(text, i, 33, 1) | byte_mask(text, i, 46, 1) | byte_mask(text, i, 63, 1)) & within
    after = byte_mask(text, i + 1, 0, 35) | byte_mask(text, i + 1, 0x80, 0x80)  # what follows the end of a sentence
    if i + size == end:
        after |= _ONE << np.uint64(size - 1)
    own[b, _CHARS] += count_ones((byte_mask(text, i, 33, 95) | byte_mask(text, i, 0xC0, 0x40)) & within)
    own[b, _DIGITS] += count_ones(digits)
    own[b, _COMMAS] += count_ones(commas)
    own[b, _ENDS] += count_ones(stops & after)
    own[b, _CAPITALS] += count_ones(upper & ~(letters << _ONE | np.uint64(value != 0)))
    return _simple_words(text, i, size, letters, value, word, n_words)


@inner
def _simple_words(text, i, size, letters, value, word, n_words):  # type: ignore[no-untyped-def]
    """Writes the hashes of the words that ``letters`` marks among the ``size`` bytes from i on. ``value`` is the hash
    so far of one that began before, or 0. Returns that of one that reaches the end, and the number of words."""
    goes_on = letters >> np.uint64(size - 1) & _ONE
    if value != 0:
        rest = ~letters
        n = np.int64(lowest_one(rest)) if rest else 64
        value = hash_on(value, text, i, n)
        word[n_words] = value
        n_words += 1
        letters &= letters + _ONE if n else letters
    while letters:
        first = letters & (~letters + _ONE)
        after = letters + first  # without the lowest run of ones
        low, high = np.int64(lowest_one(first)), np.int64(lowest_one(after)) if after else 64
        letters &= after
        word[n_words] = hash_on(_BASIS, text, i + low, high - low)
        n_words += 1
    if goes_on:
        return word[n_words - 1], n_words - 1
    return np.uint32(0), n_words


@inlined
def _hash_character(value, text, i, end):  # type: ignore[no-untyped-def]
    """The hash with the bytes of one character more."""
    while i < end:
        value = np.uint32((value ^ _lower(text[i])) * _PRIME)
        i += 1
    return value


@inner
def _title(text, i, end, in_title):  # type: ignore[no-untyped-def]
    """Marks the words of text[i:end] in a table [1024] by their hashes; returns how many there are."""
    n_words = 0
    value = np.uint32(0)
    i = max(i, 0)
    while i <= end:
        kind, size = _character(text, i) if i < end else (0, 1)
        if kind == 1 or kind == 2 or kind == 3:
            value = _hash_character(_BASIS if value == 0 else value, text, i, min(i + size, end))
        if value != 0 and kind != 1 and kind != 2:
            in_title[value & np.uint32(1023)] = True
            n_words += 1
            value = np.uint32(0)
        i += size
    return n_words


@inner
def _text_hash(text, i, end):  # type: ignore[no-untyped-def]
    """Of the whole text: its words without their digits, a space behind each."""
    value = _BASIS
    in_word = False
    while i < end:
        byte = _IN_TEXT[text[i]]
        if byte == _BEYOND:
            kind, size = _character(text, i)
            if kind == 1 or kind == 3:
                value = _hash_character(value, text, i, min(i + size, end))
                in_word = True
            byte = np.uint8(_DIGIT if kind == 1 else 0)  # hashed already; what is no letter ends the word
            i += size - 1
        more = np.uint32((value ^ np.uint32(byte if byte > _BEYOND else 32)) * _PRIME)
        value = more if (byte > _BEYOND) | (in_word & (byte == 0)) else value
        in_word = byte != 0
        i += 1
    return np.uint32((value ^ np.uint32(32)) * _PRIME) if in_word else value


@inner
def _first_kind(text, i, end):  # type: ignore[no-untyped-def]
    """0 if there is no character, 1 for a letter, 2 for a capital of ASCII, else one more than the kind."""
    while i < end and text[i] <= 32:
        i += 1
    if i >= end:
        return 0
    kind = _character(text, i)[0]
    return kind + 1 if kind != 1 else 2 if 65 <= text[i] <= 90 else 1


@inner
def _last_kind(text, start, end):  # type: ignore[no-untyped-def]
    """The kind of the last character, 0 if there is none; 7 for a colon, 8 for signs that part menus."""
    i = end - 1
    while i >= start and text[i] <= 32:
        i -= 1
    while i > start and 0x80 <= text[i] < 0xC0:  # to where it begins
        i -= 1
    if i < start:
        return 0
    kind = _character(text, i)[0]
    if kind != 6:
        return kind
    return 7 if text[i] == 58 else 8 if text[i] == 0xC2 or text[i] == 62 or text[i] == 124 else 6


# The page around them


@inlined
def _share(part, whole):  # type: ignore[no-untyped-def]
    return part / whole if whole > 0 else np.float32(0)


@glue
def structure(markup, blocks, lines, same, out):  # type: ignore[no-untyped-def]
    """`fill_structure`, for kernels: writes all of its columns."""
    n, n_elements = markup.block_element.size, markup.parent.size
    good, sums = np.empty(n, np.float32), np.empty((n + 1, 4), np.float32)
    votes, shares = np.zeros(n_elements, np.float32), np.empty((n_elements + 1, 4), np.float32)
    heading, group, of_shape = np.empty(n, np.int32), np.empty(n, np.int32), np.zeros((n, 4), np.float32)
    if n:
        _fill_columns(
            markup.parent, markup.tag, markup.first_block, markup.end_block, markup.block_breaks,
            blocks.own, blocks.link, blocks.size,
            lines.element, lines.nearest, lines.around, lines.holds, lines.depth, lines.trail,
            same, good, sums, votes, shares, heading, group, of_shape, out,
        )  # fmt: skip


@inner
def _fill_columns(  # type: ignore[no-untyped-def]
    parent, tags, first_block, end_block, breaks, own, link, size, element, nearest, around, holds, depth, trail,
    same, good, sums, votes, shares, heading, group, of_shape, out,
):  # fmt: skip
    """The columns of the structure. ``same``: as `same_shape` has it; what follows it, up to ``out``, is for itself."""
    n = int(element.size)
    in_p = _add_up(tags, own, link, size, nearest, good, sums)
    total_words, total_good, total_size = sums[n, 0], sums[n, 1], sums[n, 3]
    p_frac = _share(in_p, total_words)
    top = _top_container(parent, nearest, own, link, good, sums, first_block, end_block, votes)
    top_end = end_of(depth, top)
    core = _core(element, parent, good, sums, first_block, end_block)
    core_end = end_of(depth, core)
    top_share = _share(sums[end_block[top], 1] - sums[first_block[top], 1], total_good) if top >= 0 else np.float32(0)
    _add_up_elements(tags, first_block, end_block, holds, sums, shares)
    for b in range(n):  # sums over blocks of the same shape
        g = np.uint64(same[b])
        of_shape[g, 0] += 1
        of_shape[g, 1] += own[b, _WORDS]
        of_shape[g, 2] += link[b] * size[b]
        of_shape[g, 3] += size[b]
    title_at = _headings(parent, tags, own, element, heading, group)
    first_good, last_good = n, -1
    for b in range(n):
        if good[b] > 0:
            first_good, last_good = min(first_good, b), b
    since_heading = 50
    for b in range(n):
        row = out[b]
        f = _own_features(row, own[b], link[b], breaks[b])
        row[f], row[f + 2] = group[b], heading[b]
        f = _lineage_features(row, f + 1, b, tags, element, around, depth, trail, shares)
        to_top = levels_to(depth, element[b], top, top_end)
        row[f], row[f + 1], row[f + 2] = to_top < FAR, to_top, top_share
        row[f + 3] = levels_to(depth, element[b], core, core_end)
        f = _neighbour_features(row, f + 4, b, own, link, group, good, sums)
        g = np.uint64(same[b])
        parent_up = parent[nearest[b]] if nearest[b] < parent.size else -1
        row[f], row[f + 1] = b / n, _share(sums[b, 1], total_good)
        row[f + 2], row[f + 3] = max(min(b - first_good, 100), -100), max(min(last_good - b, 100), -100)
        row[f + 4] = since_heading
        row[f + 5] = max(min(b - title_at, 200), -200) if title_at >= 0 else -300
        row[f + 6], row[f + 7] = of_shape[g, 1] / of_shape[g, 0], _share(of_shape[g, 2], of_shape[g, 3])
        row[f + 8] = _share(of_shape[g, 1], total_words)
        row[f + 9] = end_block[parent_up] - first_block[parent_up] if parent_up >= 0 else 0
        row[f + 10], row[f + 11], row[f + 12] = n, total_words, total_good
        row[f + 13], row[f + 14], row[f + 15] = (
            _share(total_good, total_words), _share(sums[n, 2], total_size), p_frac
        )  # fmt: skip
        since_heading = 0 if heading[b] else min(since_heading + 1, 50)


@glue
def _lineage_features(row, f, b, tags, element, around, depth, trail, shares):  # type: ignore[no-untyped-def]
    """What the elements around block b are, and how much good text each holds. Leaves out its heading, at f + 1."""
    e, nearest = np.uint64(element[b]), np.uint64(around[b, 0])
    row[f] = _GROUPS[tags[nearest]] if nearest < np.uint64(tags.size) else 0
    row[f + 2], row[f + 3], row[f + 4] = trail[e, LISTS], trail[e, TABLES], place(depth[e])
    f += 5
    for k in range(_N_LANDMARKS):
        row[f + k] = place(depth[e]) - np.int32(trail[e, k]) if trail[e, k] else FAR
    f += _N_LANDMARKS
    for k in range(N_LEVELS):
        level = np.uint64(around[b, k])
        for share in range(4):
            row[f + share] = shares[level, share]
        f += 4
    return f


@glue
def _neighbour_features(row, f, b, own, link, group, good, sums):  # type: ignore[no-untyped-def]
    """The blocks before and after block b."""
    n = good.size
    row[f], row[f + 1] = (own[b - 1, _WORDS], link[b - 1]) if b else (-1.0, -1.0)
    row[f + 2] = own[b - 2, _WORDS] if b > 1 else -1.0
    row[f + 3], row[f + 4] = (own[b + 1, _WORDS], group[b + 1]) if b + 1 < n else (-1.0, -1.0)
    row[f + 5] = own[b + 2, _WORDS] if b + 2 < n else -1.0
    f += 6
    for width in (2, 5):
        low, high = np.uint64(max(b - width, 0)), np.uint64(min(b + width + 1, n))
        row[f] = sums[high, 1] - sums[low, 1] - good[b]
        row[f + 1] = _share(sums[high, 2] - sums[low, 2], sums[high, 3] - sums[low, 3])
        f += 2
    return f


@inner
def _add_up(tags, own, link, size, nearest, good, sums):  # type: ignore[no-untyped-def]
    """Fills ``good`` (words of good blocks, 0 for others) and ``sums`` [blocks + 1, 4] (over all blocks before: words,
    good words, bytes in links, bytes). Returns how many words are in paragraphs."""
    in_p = np.float32(0)
    for k in range(4):
        sums[0, k] = 0
    for b in range(good.size):
        words = own[b, _WORDS]
        is_good = words >= GOOD_WORDS and link[b] < GOOD_LINK_FRAC and (own[b, _ENDS] >= 1 or own[b, _COMMAS] >= 2)
        good[b] = words if is_good else np.float32(0)
        sums[b + 1, 0], sums[b + 1, 1] = sums[b, 0] + words, sums[b, 1] + good[b]
        sums[b + 1, 2], sums[b + 1, 3] = sums[b, 2] + link[b] * size[b], sums[b, 3] + size[b]
        if nearest[b] < tags.size and tags[nearest[b]] == _P:
            in_p += words
    return in_p


@inner
def _add_up_elements(tags, first_block, end_block, holds, sums, shares):  # type: ignore[no-untyped-def]
    """Fills ``shares`` [elements + 1, 4] where it is asked for: of an element's blocks the share of the page's good
    words, the share of words that are good and of bytes in links, and the number of words. The last row is the page's.
    """
    n = sums.shape[0] - 1
    last = np.uint64(tags.size)
    shares[last, 0], shares[last, 1] = 1.0, _share(sums[n, 1], sums[n, 0])
    shares[last, 2], shares[last, 3] = _share(sums[n, 2], sums[n, 3]), sums[n, 0]
    for i in range(tags.size):
        e = np.uint64(i)
        if holds[e]:
            low, high = np.uint64(first_block[e]), np.uint64(end_block[e])
            good, words = sums[high, 1] - sums[low, 1], sums[high, 0] - sums[low, 0]
            shares[e, 0], shares[e, 1] = _share(good, sums[n, 1]), _share(good, words)
            shares[e, 2] = _share(sums[high, 2] - sums[low, 2], sums[high, 3] - sums[low, 3])
            shares[e, 3] = words


@inner
def _headings(parent, tags, own, element, heading, group):  # type: ignore[no-untyped-def]
    """Fills ``heading`` (its level, 0 for blocks in none) and ``group`` (of the innermost element's tag). Returns the
    block that is most like the page's title, -1 if there is none."""
    title_at = -1
    best = np.float32(0.5)
    for b in range(element.size):
        heading[b] = group[b] = 0
        e = int(element[b])
        if e == parent.size:
            continue
        group[b] = _GROUPS[tags[e]]
        for _ in range(4):
            if _H1 <= tags[e] <= _H6:
                heading[b] = tags[e] - _H1 + 1
            e = int(parent[e])
            if e < 0:
                break
        fit = own[b, _TITLE] * _share(own[b, _KNOWN], own[b, _WORDS]) + (0.3 if heading[b] == 1 else 0.0)
        if heading[b] and fit > best:
            best, title_at = fit, b
    return title_at


@inner
def _own_features(row, own, link, breaks):  # type: ignore[no-untyped-def]
    words, chars = max(own[_WORDS], np.float32(1)), max(own[_CHARS], np.float32(1))
    row[0], row[1], row[2] = own[_WORDS], own[_CHARS], link
    row[3], row[4], row[5] = own[_COMMAS] / words, own[_ENDS] / words, own[_DIGITS] / chars
    row[6], row[7], row[8] = own[_CAPITALS] / words, chars / words, breaks
    row[9], row[10], row[11] = own[_LAST], own[_KNOWN] / words, own[_TITLE]
    return 12


@inner
def _top_container(parent, nearest, own, link, good, sums, first_block, end_block, votes):  # type: ignore[no-untyped-def]
    """The element that collects the most good text, as Readability finds it; -1 if there is no good text."""
    for b in range(good.size):
        if good[b] == 0 or nearest[b] == parent.size:
            continue
        vote = (1 + own[b, _COMMAS] + min(own[b, _WORDS] / 20, 4)) * (1 - link[b])
        e = parent[nearest[b]]
        if e >= 0:
            votes[e] += vote
            e = parent[e]
            if e >= 0:
                votes[e] += vote / 2
    best, top = np.float32(0), -1
    for i in range(parent.size):
        e = np.uint64(i)
        if votes[e] > 0:
            low, high = first_block[e], end_block[e]
            score = votes[e] * (1 - _share(sums[high, 2] - sums[low, 2], sums[high, 3] - sums[low, 3]))
            if score > best:
                best, top = score, i
    return top


@inner
def _core(element, parent, good, sums, first_block, end_block):  # type: ignore[no-untyped-def]
    """The smallest element that holds two thirds of the good text; -1 if there is none."""
    n = good.size
    longest = -1
    for b in range(n):
        if element[b] < parent.size and (longest < 0 or good[b] > good[longest]):
            longest = b
    if longest < 0:
        return -1
    e = int(element[longest])
    while e >= 0 and (sums[end_block[e], 1] - sums[first_block[e], 1]) * 3 < sums[n, 1] * 2:
        e = int(parent[e])
    return e


@glue
def same_shape(markup):  # type: ignore[no-untyped-def]
    """For each block, the first block whose element, and its two parents, have the same tags and classes."""
    return _same_shape(markup.block_element, markup.parent, markup.shape)


@kernel
def _same_shape(element, parent, shape):  # type: ignore[no-untyped-def]
    """`same_shape`. The keys are up to who wrote the page: a block that finds none in `_MAX_PROBES` counts as the only
    one of its shape."""
    n = element.size
    slots = 16
    while slots < 2 * n:
        slots *= 2
    mask = np.uint32(slots - 1)
    first = np.full(slots, -1, np.int32)
    keys = np.zeros(n, np.uint32)
    same = np.zeros(n, np.int32)
    for b in range(n):
        key = np.uint32(0)
        e = element[b]
        for _ in range(3):
            if e >= 0:
                key = np.uint32((key ^ shape[e]) * _PRIME)  # numba multiplies in 64 bits
                e = parent[e]
        keys[b] = key
        same[b] = b
        slot = np.uint32(key * np.uint32(0x9E3779B1)) >> np.uint32(5) & mask
        for _ in range(_MAX_PROBES):
            if first[slot] < 0:
                first[slot] = b
            if keys[first[slot]] == key:
                same[b] = first[slot]
                break
            slot = slot + np.uint32(1) & mask
    return same


# Learned words


@glue
def look_up(markup, blocks, lines, hints, words, texts, out):  # type: ignore[no-untyped-def]
    """`fill_lexicon`, for kernels: writes all of its columns."""
    steps, odds = np.empty(markup.hint.size + 1, np.int32), np.zeros((markup.parent.size + 1, 4), np.float32)
    _look_up_elements(markup.parent, markup.first_hint, markup.hint, lines.depth, hints, steps, odds)
    _look_up_blocks(
        lines.element, lines.around, odds, blocks.word_start, blocks.word, blocks.text_hash, blocks.start_hash,
        words, texts, out,
    )  # fmt: skip


@inner
def _look_up_elements(parent, first_hint, hint, depth, hints, steps, odds):  # type: ignore[no-untyped-def]
    """Fills ``odds`` [elements + 1, 4], zeros before: the sum over an element's own words; over it and all above it;
    the lowest and the highest of their own sums. ``steps`` [hints + 1] becomes the sums over all words before.
    """
    steps[0] = 0
    for k in range(hint.size):
        steps[k + 1] = steps[k] + _steps(hints, hint[k])
    for i in range(parent.size):
        e = np.uint64(i)
        first = np.uint64(first_hint[e])
        end = min(np.uint64(first_hint[e + np.uint64(1)]), first + np.uint64(_MAX_HINTS))
        own = np.float32(np.int32(steps[end] - steps[first])) * _STEP  # right even if the sums ran over
        odds[e, 0] = own
        if depth[e] <= MAX_UP:
            up = np.uint64(parent[e]) if parent[e] >= 0 else np.uint64(parent.size)
            odds[e, 1], odds[e, 2], odds[e, 3] = odds[up, 1] + own, min(odds[up, 2], own), max(odds[up, 3], own)
        else:
            above = i
            for _ in range(MAX_UP):
                own = odds[above, 0]
                odds[e, 1], odds[e, 2], odds[e, 3] = odds[e, 1] + own, min(odds[e, 2], own), max(odds[e, 3], own)
                above = int(parent[above])


@inner
def _look_up_blocks(  # type: ignore[no-untyped-def]
    element, around, odds, word_start, word, text_hash, start_hash, words, texts, out
):
    n = int(element.size)
    for b in range(n):
        later = min(b + 4, n - 1)
        prefetch(texts, _home(texts, text_hash[later]))
        prefetch(texts, _home(texts, np.uint32(start_hash[later] ^ _ONE_32)))
        row = out[b]
        e = np.uint64(element[b])
        row[_L], row[_L + 5], row[_L + 6], row[_L + 7] = odds[e, 0], odds[e, 1], odds[e, 2], odds[e, 3]
        at = int(around[b, 0] == element[b])  # it is its own first level, and not above itself
        for k in range(4):
            row[_L + 1 + k] = odds[np.uint64(around[b, k + at]), 0]
        total, low = np.float32(0), np.float32(0)
        for k in range(np.uint64(word_start[b]), np.uint64(word_start[b + 1])):
            prefetch(words, _home(words, word[min(k + np.uint64(_AHEAD), np.uint64(word.size - 1))]))
            value = _odds(words, word[k])
            total, low = total + value, min(low, value)
        row[_L + 8] = total / max(word_start[b + 1] - word_start[b], 1)
        row[_L + 9], row[_L + 10] = total, low
        row[_L + 13] = _odds(texts, text_hash[b]) if text_hash[b] else np.float32(0)
        row[_L + 14] = _odds(texts, np.uint32(start_hash[b] ^ _ONE_32))
    for b in range(n):
        out[b, _L + 11] = out[b - 1, _L + 8] if b else 0.0
        out[b, _L + 12] = out[b + 1, _L + 8] if b + 1 < n else 0.0
        out[b, _L + 15] = out[b + 1, _L + 13] if b + 1 < n else 0.0


# First estimates of the surroundings


@glue
def context(markup, blocks, lines, same, p, out):  # type: ignore[no-untyped-def]
    """`fill_context`, for kernels: writes all of its columns."""
    n = p.size
    sums, of_shape = np.empty((n + 1, 2), np.float32), np.zeros((n, 2), np.float32)
    shares = np.empty((markup.parent.size + 1, 2), np.float32)
    if n:
        _fill_context_columns(
            markup.parent, markup.first_block, markup.end_block, blocks.own, lines.element, lines.around, lines.holds,
            lines.depth, same, p, sums, of_shape, shares, out,
        )  # fmt: skip


@inner
def _fill_context_columns(  # type: ignore[no-untyped-def]
    parent, first_block, end_block, own, element, around, holds, depth, same, p, sums, of_shape, shares, out
):
    """The columns of the context. Of each block count its words, and one more."""
    n = int(p.size)
    sums[0, 0] = sums[0, 1] = 0
    first, last, heaviest, most = n, -1, 0, np.float32(-1)
    for b in range(n):
        words = own[b, _WORDS] + np.float32(1)
        mass = p[b] * words
        sums[b + 1, 0], sums[b + 1, 1] = sums[b, 0] + words, sums[b, 1] + mass
        g = np.uint64(same[b])
        of_shape[g, 0] += words
        of_shape[g, 1] += mass
        if p[b] > 0.5:
            first, last = min(first, b), b
        if mass > most:
            most, heaviest = mass, b
    total_words, total_mass = sums[n, 0], sums[n, 1]
    page_p = total_mass / total_words
    bulk = int(element[heaviest]) if element[heaviest] < parent.size else -1
    while bulk >= 0 and sums[end_block[bulk], 1] - sums[first_block[bulk], 1] < 0.75 * total_mass:
        bulk = int(parent[bulk])
    bulk_end = end_of(depth, bulk)
    bulk_p = page_p
    if bulk >= 0:
        low, high = first_block[bulk], end_block[bulk]
        bulk_p = (sums[high, 1] - sums[low, 1]) / (sums[high, 0] - sums[low, 0])
    shares[parent.size, 0], shares[parent.size, 1] = page_p, 1.0
    for i in range(parent.size):
        e = np.uint64(i)
        if holds[e]:
            low, high = np.uint64(first_block[e]), np.uint64(end_block[e])
            mass = sums[high, 1] - sums[low, 1]
            shares[e, 0], shares[e, 1] = mass / (sums[high, 0] - sums[low, 0]), _share(mass, total_mass)
    since = until = 50
    for b in range(n - 1, -1, -1):
        out[b, N_FIRST + 18] = until
        until = 0 if p[b] > 0.5 else min(until + 1, 50)
    for b in range(n):
        row = out[b, N_FIRST:]
        row[0] = p[b]
        row[1], row[2] = p[b - 1] if b else -1.0, p[b - 2] if b > 1 else -1.0
        row[3], row[4] = p[b + 1] if b + 1 < n else -1.0, p[b + 2] if b + 2 < n else -1.0
        low, high = np.uint64(max(b - 5, 0)), np.uint64(min(b + 6, n))
        row[5] = (sums[high, 1] - sums[low, 1]) / (sums[high, 0] - sums[low, 0])
        for k in range(4):
            level = np.uint64(around[b, k])
            row[6 + 2 * k], row[7 + 2 * k] = shares[level, 0], shares[level, 1]
        g = np.uint64(same[b])
        to_bulk = levels_to(depth, int(element[b]), bulk, bulk_end)
        row[14], row[15], row[16] = of_shape[g, 1] / of_shape[g, 0], page_p, total_mass
        row[17] = since
        row[19], row[20] = max(min(b - first, 100), -100), max(min(last - b, 100), -100)
        row[21], row[22], row[23] = to_bulk < FAR, to_bulk, bulk_p
        since = 0 if p[b] > 0.5 else min(since + 1, 50)
