"""Cuts text into sentences, by rules that need no model and hold for many languages.

A sentence ends

- at a line end: text that comes from web pages has a block a line. Unwrap hard-wrapped text first;
- behind ``! ?`` (and ``;`` in Greek) that whitespace follows;
- behind ``.`` and ``…`` that whitespace follows, unless the next letter is in lower case;
- behind the full stop, question and exclamation marks of other scripts (``。？！ ؟ । ። ။ ...``: all of the property
  Sentence_Terminal but ``. ? !``), with or without whitespace behind;

and takes the quotes and brackets that close there along. A single ``.`` does not end a sentence

- behind an abbreviation of a title or the like (`_ABBREVIATIONS`), or one that a number follows (`_BEFORE_NUMBERS`);
- behind an initial or an acronym (``J. Smith``, ``U.S. Senate``), unless one of `_STARTERS` follows;
- behind a number of one or two digits (``1. Introduction``, ``3. Oktober``), unless one of `_STARTERS` follows.

Every character but whitespace lies in exactly one sentence. Scripts that end sentences with a space or not at all
(Thai, Lao, Tibetan) have a sentence a line.

F1 of sentence ends on Tatoeba's sentences joined by blanks (69,241 English, 1,000 of each other language): en .986, de
.973, fr .986, es .990, it .994, nl .978, pl .985, ru .986, tr .995, el .991, ja .967, zh .987, ar .969, hi .977. Most
of what is missing is no error: items of two sentences, or without a mark at the end. On Lingua's, from the web: en
.950, de .981, fr .944, es .989, it .996, pl .958, ru .961, tr .974, ja .995, zh .994.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
from numpy.typing import NDArray

from textmill.bits import (
    ALL_ONES,
    as_number,
    byte_mask,
    enlarged,
    hash_bytes,
    hash_of,
    inlined,
    inner,
    kernel,
    lowest_one,
)
from textmill.characters import (
    LETTER,
    N_CODE_POINTS,
    NUMBER,
    SPACE,
    character_classes,
    decode_before,
    property_table,
)
from textmill.words import Bounds

_OTHER, _SPACE, _LINE_END, _LETTER, _LOWER, _UPPER, _NUMBER, _CLOSE, _STOP, _ELLIPSIS, _MARK, _FULL = range(12)
_DOT, _EXCLAMATION, _QUESTION, _SEMICOLON, _CAPITAL_I = map(ord, ".!?;I")  # `ord` in kernels costs compile time
_FEW_BYTES = 16  # manual pages have 87 a sentence
_STARTERS = """
    A After All Also An And Another As At Before But By Did Do Does Each For From Has Have He Her Here His How However I
    If In Is It Its Many More Most My No Not Of On One Or Our She Since So Some Such That The Their Then There These
    They This Those Through To Under Until Was We Were What When Where Which While Who Why Will With Would Yes You Your
    Aber Als Am Auch Auf Aus Bei Bis Da Das Dass Der Deshalb Die Dies Diese Dieser Doch Ein Eine Er Es Für Ich Ihr Im
    Jetzt Man Mit Nach Nun Sie Und Von Was Wenn Wie Wir Zu Zum
    Ce Ces Cette Comme Dans De Des Elle Elles En Et Il Ils Je La Le Les Mais Nous On Pour Quand Que Sur Un Une Vous
    Como Con Cuando Del El Ella Ellos Era Es Este Esta Esto Ha Las Lo Los No Para Pero Por Se Si Su Un Una Y Yo
    Al Che Come Da Di Gli I Io Ma Nel Non Per Questo Questa Sono
""".split()
_ABBREVIATIONS = """
    mr mrs ms messrs mme mlle dr drs prof rev hon gen col lt maj sgt capt cpl adm cmdr gov sen rep pres st mt ft
    vs viz cf ca resp approx esp incl
    hr fr hl bzw ggf evtl sog inkl exkl zzgl vgl
    sr sra srta dña ud uds exmo av avda sig dott ing avv
    mgr inż im tzw tzn np św ks płk gen red r ul al os pl
    т г гг ул им др проф св акад
""".split()
_BEFORE_NUMBERS = """
    no nos nr nrs núm num nº vol vols p pp pg pgs ch chap chaps sec sect secs fig figs eq eqs ref refs art arts par
    ex no op cap col cf ca c bd abs s str z b v § tab tabs jan feb mar apr jun jul aug sep sept oct nov dec
    okt dez mai рис стр с п ст tel ext pos lot pt
""".split()


@functools.cache
def _table() -> NDArray[np.uint8]:
    """What each code point means to a sentence."""
    table = np.zeros(N_CODE_POINTS, dtype=np.uint8)
    classes = character_classes()
    table[classes == LETTER] = _LETTER
    table[classes == NUMBER] = _NUMBER
    table[classes == SPACE] = _SPACE
    properties = {
        "SB=Lower": _LOWER,
        "SB=Upper": _UPPER,
        "SB=Sep": _LINE_END,
        "SB=CR": _LINE_END,
        "SB=LF": _LINE_END,
        "SB=Close": _CLOSE,
        "SB=STerm": _FULL,
        "SB=ATerm": _STOP,
    }
    found = property_table(properties)
    table[found != 0] = found[found != 0]
    for code_point in np.flatnonzero(table == _CLOSE):
        if unicodedata.category(chr(code_point)) == "Ps":
            table[code_point] = _OTHER
    table[[ord("!"), ord("?")]] = _MARK
    table[ord("…")] = _ELLIPSIS
    table.flags.writeable = False
    return table


@functools.cache
def _listed(words: tuple[str, ...]) -> NDArray[np.uint64]:
    """Hashes of the words as they are and with a capital: an open table, for `_among`. 0 is a free place."""
    forms = {form for word in words for form in (word, word.capitalize())}
    table = np.zeros(1 << (4 * len(forms)).bit_length(), dtype=np.uint64)
    for value in (hash_bytes(form.encode()) for form in sorted(forms)):
        place = value % len(table)
        while table[place]:
            place = (place + 1) % len(table)
        table[place] = value
    table.flags.writeable = False
    return table


def sentences(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Bounds:
    """The sentences of each text: offsets [documents + 1], and their bounds in bytes.

    There is room for one in `_FEW_BYTES` bytes, and more is made where they are shorter: room for all that there may be
    is new memory each time, which costs a seventh.
    """
    sizes, n_documents = np.diff(offsets), len(offsets) - 1
    lists = [_listed(tuple(words)) for words in (_ABBREVIATIONS, _BEFORE_NUMBERS, _STARTERS)]
    found, n_done = np.zeros(len(offsets), np.int64), 0
    start, end = np.empty((2, int(sizes.sum()) // _FEW_BYTES + int(sizes.max(initial=0))), dtype=np.int64)
    while n_done < n_documents:
        n_done = _cut_sentences(data, offsets, np.int64(n_done), _table(), *lists, found, start, end)
        if n_done < n_documents:
            start, end = (enlarged(array, found[n_done], 2 * len(array)) for array in (start, end))
    return found, start[: found[-1]], end[: found[-1]]


@kernel
def _cut_sentences(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    n_done: int,
    table: NDArray[np.uint8],
    abbreviations: NDArray[np.uint64],
    before_numbers: NDArray[np.uint64],
    starters: NDArray[np.uint64],
    sentence_offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> int:
    """Writes the offsets and the bounds of the sentences of the documents from number ``n_done`` on, as long as there
    is room for any; gives the number of documents done."""
    n = sentence_offsets[n_done]
    for document in range(n_done, len(offsets) - 1):
        begin = i = offsets[document]  # where the sentence begins, whitespace included
        stop = offsets[document + 1]
        if n + stop - begin > len(start):
            return document
        block, marks = i - 64, np.uint64(0)
        while begin < stop:
            i, block, marks = _next_mark(data, i, stop, block, marks)
            after, ends = i, True
            if i < stop:
                code_point, size = decode_before(data, i, stop)
                kind, after = table[code_point], i + size
                ends = kind == _LINE_END
                if kind >= _STOP or _is_greek_question_mark(data, i, offsets[document]):
                    after, ends = _terminated(data, i, begin, stop, table, abbreviations, before_numbers, starters)
            i = after
            if ends:
                first, last = _strip(data, begin, after, table)
                if first < last:
                    start[n], end[n] = first, last
                    n += 1
                begin = after
        sentence_offsets[document + 1] = n
    return len(offsets) - 1


@inlined
def _next_mark(text: NDArray[np.uint8], i: int, stop: int, block: int, marks: np.uint64) -> tuple[int, int, np.uint64]:
    """The first byte from i on that may begin a mark or a line end; ``stop`` if there is none.

    Also, for the next call, which 64 bytes were looked at last, and where in them marks may begin (at first ``i - 64``
    and none). Of the bytes that are not ASCII, most begin no mark, and some only before certain others. Scripts whose
    letters begin with a byte that may (Syriac to Thai) go letter by letter.
    """
    while i < stop:
        if i < block + 64:
            marks &= ALL_ONES << np.uint64(i - block)
            if marks:
                return min(block + int(np.int64(lowest_one(marks))), stop), block, marks
            i = _next_character(text, block + 64, stop)
        elif i + 65 <= len(text):
            block, marks = i, _marks(text, i)
        else:
            return i, block, marks
    return stop, block, marks


@inner
def _next_character(text: NDArray[np.uint8], i: int, stop: int) -> int:
    """The first byte from i on that begins one."""
    while i < stop and text[i] & 0xC0 == 0x80:
        i += 1
    return i


@inlined
def _marks(text: NDArray[np.uint8], i: int) -> np.uint64:
    """Where in the 64 bytes from i on marks may begin. A stop that a letter or digit follows ends nothing."""
    marks = byte_mask(text, i, 0x0A, 1) | byte_mask(text, i, 0x0D, 1) | byte_mask(text, i, _EXCLAMATION, 1)
    marks |= byte_mask(text, i, _QUESTION, 1) | byte_mask(text, i, _SEMICOLON, 1)
    goes_on = byte_mask(text, i + 1, 0x61, 26) | byte_mask(text, i + 1, 0x41, 26) | byte_mask(text, i + 1, 0x30, 10)
    marks |= byte_mask(text, i, _DOT, 1) & ~goes_on
    if byte_mask(text, i, 0x80, 0x80):  # of English text, most blocks are ASCII
        marks = as_number(marks) | _wide_marks(text, i)
    return as_number(marks)


@inlined
def _wide_marks(text: NDArray[np.uint8], i: int) -> np.uint64:
    """Those of them that are not ASCII."""
    marks = byte_mask(text, i, 0xC2, 1) | byte_mask(text, i, 0xDC, 7) | byte_mask(text, i, 0xEA, 1)
    marks |= byte_mask(text, i, 0xEF, 0x11) | (byte_mask(text, i, 0xE3, 1) & byte_mask(text, i + 1, 0x80, 1))
    marks |= byte_mask(text, i, 0xD6, 1) & byte_mask(text, i + 1, 0x89, 1)  # Armenian
    marks |= byte_mask(text, i, 0xD8, 1) & byte_mask(text, i + 1, 0x9D, 3)  # Arabic, and Urdu
    marks |= byte_mask(text, i, 0xDB, 1) & byte_mask(text, i + 1, 0x94, 1)
    return as_number(marks)


@inner
def _is_greek_question_mark(text: NDArray[np.uint8], i: int, begin: int) -> bool:
    """A semicolon behind a Greek letter; those begin with CE or CF in UTF-8."""
    return bool(text[i] == _SEMICOLON and i >= begin + 2 and text[i - 2] | 1 == 0xCF)


@inlined
def _strip(text: NDArray[np.uint8], begin: int, end: int, table: NDArray[np.uint8]) -> tuple[int, int]:
    """Where ``text[begin:end]`` without the whitespace around it begins and ends."""
    while begin < end:
        code_point, size = decode_before(text, begin, end)
        if table[code_point] != _SPACE and table[code_point] != _LINE_END:
            break
        begin += size
    while begin < end:
        last = end - 1
        while last > begin and text[last] & 0xC0 == 0x80:
            last -= 1
        kind = table[decode_before(text, last, end)[0]]
        if kind != _SPACE and kind != _LINE_END:
            break
        end = last
    return begin, end


@inlined
def _terminated(
    text: NDArray[np.uint8],
    i: int,
    begin: int,
    stop: int,
    table: NDArray[np.uint8],
    abbreviations: NDArray[np.uint64],
    before_numbers: NDArray[np.uint64],
    starters: NDArray[np.uint64],
) -> tuple[int, bool]:
    """Where the marks at byte i, and what closes behind them, end; and whether the sentence does."""
    strongest, after_marks = _run_of_marks(text, i, stop, table)
    after = after_marks
    while after < stop:
        code_point, size = decode_before(text, after, stop)
        if table[code_point] != _CLOSE:
            break
        after += size
    after = _behind_spaced_quote(text, after, stop, table)
    closed = after > after_marks
    next_kind, next_at, spaced = _what_follows(text, after, stop, table)
    if strongest == _FULL:
        return after, not (closed and not spaced and _LETTER <= next_kind <= _NUMBER and next_at == after)
    if not spaced or next_kind >= _STOP:
        return after, next_kind == _LINE_END
    if next_kind == _LINE_END:
        return after, True
    if strongest == _MARK:
        return after, not (closed and next_kind == _LOWER)
    if next_kind == _LOWER:
        return after, False
    if strongest == _ELLIPSIS:
        return after, True
    word = _word_before(text, i, begin, table)
    if word == i:
        return after, True
    value = hash_of(text, word, i)
    if _among(value, abbreviations) or (next_kind == _NUMBER and _among(value, before_numbers)):
        return after, False
    alone = word == begin or table[decode_before(text, word - 1, stop)[0]] == _SPACE
    if _is_initial(text, word, i, table) or (alone and _is_short_number(text, word, i)):
        return after, _among(_hash_of_word(text, next_at, stop, table), starters)
    return after, True


@inner
def _behind_spaced_quote(text: NDArray[np.uint8], i: int, stop: int, table: NDArray[np.uint8]) -> int:
    """Where a ``»`` that whitespace sets off on both sides ends, as the French write it; i if there is none."""
    if i == stop or table[decode_before(text, i, stop)[0]] != _SPACE:
        return i
    at = i + decode_before(text, i, stop)[1]
    if at == stop or decode_before(text, at, stop)[0] != 0xBB:
        return i
    behind = at + 2
    return behind if behind == stop or table[decode_before(text, behind, stop)[0]] in (_SPACE, _LINE_END) else i


@inlined
def _run_of_marks(text: NDArray[np.uint8], i: int, stop: int, table: NDArray[np.uint8]) -> tuple[int, int]:
    """The strongest of the marks from byte i on, and where they end. More than one stop is an ellipsis."""
    strongest, begin = _OTHER, i
    while i < stop:
        code_point, size = decode_before(text, i, stop)
        kind = int(table[code_point])
        if i == begin and kind < _STOP:
            kind = _MARK
        elif kind < _STOP:
            break
        elif kind == _STOP and i > begin:
            kind = _ELLIPSIS
        strongest = max(strongest, kind)
        i += size
    return strongest, i


@inlined
def _what_follows(text: NDArray[np.uint8], i: int, stop: int, table: NDArray[np.uint8]) -> tuple[int, int, bool]:
    """The kind and place of the next letter, number, mark or line end, and whether whitespace stands at byte i.

    The end of the text is a line end.
    """
    spaced = False
    at = i
    while at < stop:
        code_point, size = decode_before(text, at, stop)
        kind = int(table[code_point])
        if at == i:
            spaced = kind == _SPACE or kind == _LINE_END
        if kind >= _STOP or _LINE_END <= kind <= _NUMBER:
            return kind, at, spaced
        at += size
    return _LINE_END, at, spaced or i == stop


@inner
def _word_before(text: NDArray[np.uint8], i: int, begin: int, table: NDArray[np.uint8]) -> int:
    """Where the run of letters, numbers and stops that ends at byte i begins; i if it is long."""
    at = i
    while at > begin:
        before = at - 1
        while before > begin and text[before] & 0xC0 == 0x80:
            before -= 1
        kind = table[decode_before(text, before, i)[0]]
        if not (_LETTER <= kind <= _NUMBER or kind == _STOP):
            break
        at = before
        if i - at > _LONGEST:
            return i
    return at


_LONGEST = 24  # bytes of an abbreviation


@inner
def _is_initial(text: NDArray[np.uint8], start: int, end: int, table: NDArray[np.uint8]) -> bool:
    """Whether the word is one letter, or letters with stops between them, and not the English I."""
    letters = 0
    i = start
    while i < end:
        code_point, size = decode_before(text, i, end)
        kind = table[code_point]
        letters = letters + 1 if _LETTER <= kind <= _UPPER else 0
        if letters > 1 or kind == _NUMBER:
            return False
        i += size
    return letters == 1 and not (end == start + 1 and text[start] == _CAPITAL_I)


@inner
def _is_short_number(text: NDArray[np.uint8], start: int, end: int) -> bool:
    for i in range(start, end):
        if not 0x30 <= text[i] <= 0x39:
            return False
    return end - start <= 2


@inner
def _hash_of_word(text: NDArray[np.uint8], start: int, stop: int, table: NDArray[np.uint8]) -> np.uint64:
    """The hash of the run of letters from a byte on."""
    i = start
    while i < stop and i - start <= _LONGEST:
        code_point, size = decode_before(text, i, stop)
        if not _LETTER <= table[code_point] <= _UPPER:
            break
        i += size
    return hash_of(text, start, i)


@inner
def _among(value: np.uint64, table: NDArray[np.uint64]) -> bool:
    last = np.uint64(len(table) - 1)
    place = value & last
    while table[place] != 0 and table[place] != value:
        place = (place + np.uint64(1)) & last
    return table[place] == value
