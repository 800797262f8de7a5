"""Documents, and the kernels that cut their text, against plain Python."""

import functools
import gzip
import itertools
import json
import re
import sys
import unicodedata
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textmill import bits, sentences, text
from textmill.characters import BEGINS_ALNUM, LETTER, letters_of_two_bytes, plain_letters
from textmill.errors import UnknownNameError
from textmill.text import KINDS, Documents, Segmentation, Spans, character_classes, hash_bytes, lowercase_table

# Much of what cuts text, some of what only looks like it, characters of every length in UTF-8.
PIECES = ["a", "Word", ".", "\n", "\n", "\n\n", " ", "\t", "\r\n", "\x1c", "\x85", "\xa0", "\u1680", "\u2003", "\u2028"]
PIECES += ["\u3000", "\u200b", "\x00", "é", "ß", "İ", "€", "日本語", "ไทย", "عربى", "😀", "e\u0301", "½", "\ue000"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
ALL_KINDS = ["words", "lines", "paragraphs", "sentences", "unicode_words", "treebank_words"]
ALL_CHARACTERS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]


def reference_hash(piece: str) -> int:
    data = piece.encode()
    value = 0x9E3779B97F4A7C15 ^ len(data)
    for i in range(0, len(data), 8):
        value = (value ^ int.from_bytes(data[i : i + 8], "little")) * 0xFF51AFD7ED558CCD % 2**64
        value ^= value >> 32
    value = value * 0xC4CEB9FE1A85EC53 % 2**64
    return value ^ value >> 33


def reference_class(character: str) -> int:
    classes = {"L": 1, "M": 2, "N": 4, "P": 8, "S": 16, "Z": 32, "C": 64}
    return 32 if character.isspace() else classes[unicodedata.category(character)[0]]


def reference_paragraphs(document: str) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in document.split("\n"):
        if line.strip():
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return ["\n".join(lines) for lines in paragraphs if lines]


def cut(segmentation: Segmentation, spans: Spans) -> list[list[str]]:
    data = segmentation.data.tobytes()
    pieces = [data[a:b].decode() for a, b in zip(spans.start, spans.end, strict=True)]
    return [pieces[a:b] for a, b in zip(spans.offsets, spans.offsets[1:], strict=False)]


def assert_measured(spans: Spans, pieces: list[str]) -> None:
    assert spans.hash.tolist() == [reference_hash(piece) for piece in pieces]
    assert spans.n_chars.tolist() == [len(piece) for piece in pieces]
    assert spans.classes.tolist() == [
        sum({reference_class(c) for c in piece}) + BEGINS_ALNUM * piece[:1].isalnum() for piece in pieces
    ]
    assert spans.blank.tolist() == [not piece.strip() for piece in pieces]


@settings(deadline=None, derandomize=True)  # the first example compiles
@given(st.lists(TEXTS, max_size=6), st.integers(0, 3), st.integers(0, 6))
def test_pieces_agree_with_plain_python(texts: list[str], start: int, length: int) -> None:
    texts = texts[start : start + length]
    array = pa.array(["nicht dabei"] * start + texts + ["auch nicht"], pa.large_string()).slice(start, len(texts))
    segmentation = Segmentation(array)
    for spans, expected in (
        (segmentation.words, [document.split() for document in texts]),
        (segmentation.lines, [document.split("\n") for document in texts]),
        (segmentation.paragraphs, [reference_paragraphs(document) for document in texts]),
    ):
        assert cut(segmentation, spans) == expected
        assert spans.counts.tolist() == [len(pieces) for pieces in expected]
        assert spans.sums(spans.n_chars).tolist() == [sum(map(len, pieces)) for pieces in expected]
        assert_measured(spans, [piece for pieces in expected for piece in pieces])


def test_every_code_point_is_cut_as_python_does() -> None:
    document = "".join(ALL_CHARACTERS)
    segmentation = Documents.from_texts([document]).segmentation
    assert cut(segmentation, segmentation.words) == [document.split()]
    assert segmentation.words.n_chars.sum() == sum(map(len, document.split()))


@pytest.mark.parametrize("space", [" ", "\xa0", "\u3000", "\u2003\u3000"])
def test_whitespace_may_lie_anywhere_in_the_64_bytes_of_a_mask(space: str) -> None:
    texts = [f"{'a' * n}{space}{'é' * m}" for n in range(130) for m in (0, 1, 33)]
    segmentation = Documents.from_texts(texts).segmentation
    assert cut(segmentation, segmentation.words) == [document.split() for document in texts]


def test_character_classes_are_those_of_unicodedata() -> None:
    table = character_classes()
    assert len(table) == sys.maxunicode + 1
    assert table[[ord(c) for c in ALL_CHARACTERS]].tolist() == list(map(reference_class, ALL_CHARACTERS))
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


def test_lowercase_is_one_for_one() -> None:
    lower = [chr(c) for c in lowercase_table()[[ord(c) for c in ALL_CHARACTERS]]]
    differ = [c for c, low in zip(ALL_CHARACTERS, lower, strict=True) if c.lower() != low]
    assert differ == ["İ"]
    assert chr(lowercase_table()[ord("İ")]) == "i"


def test_the_hash_never_changes() -> None:
    words = Documents.from_texts(["the ünïcode"]).segmentation.words
    assert words.hash.tolist() == [hash_bytes(b"the"), hash_bytes("ünïcode".encode())]
    assert hash_bytes(b"") == 0x90F8749FC00EAC80
    assert hash_bytes(b"the") == 0x4D144FF4CBBF921D


def test_a_kind_is_cut_only_when_asked_for() -> None:
    segmentation = Documents.from_texts(["a b\nc"]).segmentation
    assert len(segmentation.words) == 3
    assert set(vars(segmentation)) == {"data", "offsets", "words", "_made"}


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": pa.array([], pa.large_string())}),
        pa.table({"text": pa.chunked_array([], pa.large_string())}),
        pa.table({"text": pa.array(["", "a b"], pa.large_string())}).slice(1, 0),
    ],
)
def test_a_batch_may_be_empty(table: pa.Table) -> None:
    segmentation = Documents(table).segmentation
    for spans in (getattr(segmentation, kind) for kind in ALL_KINDS):
        assert len(spans) == 0
        assert spans.offsets.tolist() == [0]
        assert spans.counts.tolist() == spans.sums(spans.n_chars).tolist() == []


def test_text_is_one_chunk_without_nulls() -> None:
    chunks = pa.chunked_array([["a b", None], [], ["c"]], pa.string())
    documents = Documents(pa.table({"text": chunks, "doc_id": pa.chunked_array([[1, 2], [], [3]])}).slice(1))
    assert documents.text.type == pa.large_string()
    assert documents.text.to_pylist() == ["", "c"]
    assert documents.column("doc_id").to_pylist() == [2, 3]
    assert len(documents) == 2
    assert documents.segmentation.words.counts.tolist() == [0, 1]


def test_a_text_in_one_chunk_is_not_copied() -> None:
    array = pa.array(["a b", "c"], pa.large_string())
    assert Documents(pa.table({"text": array})).text.buffers()[2].address == array.buffers()[2].address


def test_lone_surrogates_become_question_marks() -> None:
    assert Documents.from_texts(["a\ud800b", "ok"]).text.to_pylist() == ["a?b", "ok"]


@pytest.mark.parametrize(
    "tail", [b"\xe2\x80", b"\xf0\x9f\x98", b"\xff", b"x\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xc0 \xe3"]
)
def test_bytes_that_are_no_utf8_stay_inside_the_text(tail: bytes) -> None:
    data = b"one " + tail
    offsets = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    segmentation = Segmentation(
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data + b"xyz")])
    )
    for spans in (segmentation.words, segmentation.lines, segmentation.paragraphs):
        assert spans.start.min() == 0
        assert spans.end.max() == len(data)
        assert (spans.start < spans.end).all()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a", (0x61, 1)),
        ("é".encode(), (0xE9, 2)),
        ("€".encode(), (0x20AC, 3)),
        ("\U0010ffff".encode(), (0x10FFFF, 4)),
        (b"\xe2\x82", (0xFFFD, 1)),  # cut short
        (b"\xf7\xbf\xbf\xbf", (0xFFFD, 1)),  # beyond the last code point
        (b"\xff\xff\xff\xff", (0xFFFD, 1)),
    ],
)
def test_decode(data: bytes, expected: tuple[int, int]) -> None:
    assert text.decode(np.frombuffer(data, dtype=np.uint8), 0) == expected


def test_arrow_may_leave_out_the_offsets_of_no_texts() -> None:
    nothing = pa.Array.from_buffers(pa.large_string(), 0, [None, pa.py_buffer(b""), pa.py_buffer(b"")])
    assert len(Segmentation(nothing).words) == 0


def test_sums_of_long_documents_do_not_overflow() -> None:
    segmentation = Documents.from_texts(["a b", "", "c"]).segmentation
    assert segmentation.words.sums(np.full(3, 2**31 - 1, dtype=np.int32)).tolist() == [2**32 - 2, 0, 2**31 - 1]


def test_classes_are_one_bit_each() -> None:
    bits = [text.LETTER, text.MARK, text.NUMBER, text.PUNCTUATION, text.SYMBOL, text.SPACE, text.OTHER]
    assert set(np.unique(character_classes())) == set(bits)


# --- Words by Unicode word boundaries ---

BREAKS = "ALetter CR LF Newline Double_Quote Single_Quote Extend ExtendNumLet Format Hebrew_Letter MidLetter MidNum"
BREAKS += " MidNumLet Numeric Regional_Indicator WSegSpace ZWJ"
WORD_BREAK = [(name, regex.compile(rf"\p{{WB={name}}}")) for name in BREAKS.split()]
PICTURE = regex.compile(r"\p{Extended_Pictographic}")
KATAKANA = regex.compile(r"\p{WB=Katakana}")
LETTERS = {"ALetter", "Hebrew_Letter"}
JOINED = LETTERS | {"Numeric", "ExtendNumLet"}
LINE_ENDS = {"CR", "LF", "Newline"}
IGNORED = {"Extend", "Format", "ZWJ"}
UNICODE_PIECES = [
    *"ab1.,:;'\"_-\r\n ’·日アーひกáאב",
    "\u0301",
    "\u200d",
    "\u00ad",
    "😀",
    "🇩",
    "ℹ",
    "ไ",
    "็",
    "ﾞ",
    "\u2028",
]
BEHIND = "x" * 80
UNICODE_TEXTS = st.lists(st.sampled_from(UNICODE_PIECES) | st.text(max_size=2), max_size=12).map("".join)


@functools.cache
def word_break(character: str) -> str:
    return next((name for name, pattern in WORD_BREAK if pattern.match(character)), "Other")


def is_word_boundary(kinds: list[str], text: str, i: int) -> bool:
    """UAX #29, rule by rule, between the characters i - 1 and i."""
    if kinds[i - 1] == "CR" and kinds[i] == "LF":
        return False
    if kinds[i - 1] in LINE_ENDS or kinds[i] in LINE_ENDS:
        return True
    if (kinds[i - 1] == "ZWJ" and PICTURE.match(text[i])) or kinds[i - 1] == kinds[i] == "WSegSpace":
        return False
    if kinds[i] in IGNORED:
        return False
    seen = [k for j, k in enumerate(kinds) if k not in IGNORED or j == 0 or kinds[j - 1] in LINE_ENDS]
    at = sum(1 for j in range(i) if kinds[j] not in IGNORED or j == 0 or kinds[j - 1] in LINE_ENDS)
    two_before, before, here, behind = (seen[j] if 0 <= j < len(seen) else "" for j in range(at - 2, at + 2))
    letter_marks, number_marks = {"MidLetter", "MidNumLet", "Single_Quote"}, {"MidNum", "MidNumLet", "Single_Quote"}
    joined = (
        (before in JOINED and here in JOINED)
        or (before in LETTERS and here in letter_marks and behind in LETTERS)
        or (two_before in LETTERS and before in letter_marks and here in LETTERS)
        or (before == "Hebrew_Letter" and here == "Single_Quote")
        or (before == behind == "Hebrew_Letter" and here == "Double_Quote")
        or (two_before == here == "Hebrew_Letter" and before == "Double_Quote")
        or (before == behind == "Numeric" and here in number_marks)
        or (two_before == here == "Numeric" and before in number_marks)
    )
    flags = 0
    while flags < at and seen[at - 1 - flags] == "Regional_Indicator":
        flags += 1
    return not (joined or (here == "Regional_Indicator" and flags % 2))


def reference_unicode_words(text: str) -> list[str]:
    kinds = [word_break(character) for character in text]
    bounds = [0, *(i for i in range(1, len(text)) if is_word_boundary(kinds, text, i)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(bounds)]
    return [piece for piece in pieces if any(unicodedata.category(c)[0] in "LN" for c in piece)]


@settings(deadline=None, derandomize=True, max_examples=500)
@example(['א"ב א"a a"א', "א' א'b", "a\u200d😀b", " \u0301ﾞ ", "🇩🇪🇫ab", "1.2 1.a a.1 a,b"])
@given(st.lists(UNICODE_TEXTS, max_size=4))
def test_unicode_words_follow_the_rules_of_uax_29(texts: list[str]) -> None:
    segmentation = Documents.from_texts(texts).segmentation
    expected = [reference_unicode_words(document) for document in texts]
    assert cut(segmentation, segmentation.unicode_words) == expected
    assert_measured(segmentation.unicode_words, [piece for pieces in expected for piece in pieces])


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(st.sampled_from(["word ", "été,", "x.y ", "1,5", "can’t 1’5 ", *UNICODE_PIECES]), max_size=60).map("".join)
)
def test_unicode_words_of_64_bytes_at_a_time(document: str) -> None:
    """Masks are used where 64 bytes more follow."""
    segmentation = Documents.from_texts([document, BEHIND]).segmentation
    assert cut(segmentation, segmentation.unicode_words) == [reference_unicode_words(document), [BEHIND]]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("The quick (“brown”) fox can’t jump 32.3 feet, right?", "The quick brown fox can’t jump 32.3 feet right"),
        ("snake_case a.b.c 1,000 3:4 x:y -5", "snake_case a.b.c 1,000 3 4 x:y 5"),
        ("日本語カタカナ ไทย", "日 本 語 カ タ カ ナ ไ ท ย"),
        ("l'été 'tis dogs' 🇩🇪 😀", "l'été tis dogs"),
    ],
)
def test_unicode_words(document: str, expected: str) -> None:
    segmentation = Documents.from_texts([document]).segmentation
    assert cut(segmentation, segmentation.unicode_words) == [expected.split()]


def languages(name: str) -> dict[str, list[str]]:
    path = SHARED / "languages" / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data/languages")
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            found.setdefault(row["lang"], []).append(row["text"])
    return found


def test_unicode_words_of_353_languages_against_regex() -> None:
    """What differs has an apostrophe or a mark before it: there `regex` leaves UAX #29."""
    texts = [text for of_language in languages("udhr2").values() for text in of_language]
    segmentation = Documents.from_texts(texts).segmentation
    boundary = regex.compile(r"\b", regex.V1 | regex.WORD)
    differing = []
    for document, found in zip(texts, cut(segmentation, segmentation.unicode_words), strict=True):
        lengths = [len(piece) for piece in boundary.split(KATAKANA.sub("あ", document))]
        ends = list(itertools.accumulate(lengths))
        pieces = [document[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        if found != [piece for piece in pieces if any(unicodedata.category(c)[0] in "LN" for c in piece)]:
            differing.append(document)
    assert len(differing) <= 500
    assert all(regex.search(r"[\p{Mn}\p{Mc}]['’.:·]|['’]\p{L}", document) for document in differing)


# --- Tokens in the manner of the Penn Treebank ---

ENGLISH = [
    "don't",
    "n't",
    "'ll",
    "'S",
    "'re",
    "cannot",
    "Wanna",
    "gimme",
    "d'ye",
    "more'n",
    "...",
    "--",
    "''",
    "``",
    " ",
]
ENGLISH += ["The", " word ", "3,000", "U.S.", ".'", ". ", "\xa0", *"ab1sdmt' \"'()[]<>.,:;-!?*&%$#@`“”‘’«»—é_/  "]
ENGLISH_TEXTS = st.lists(st.sampled_from(ENGLISH), max_size=12).map("".join)
CLITIC_BEHIND_CONTRACTION = re.compile(r"(?i)(cannot|gimme|d'ye|more'n)n't")  # NLTK cuts both; so rare that we do not


def nltk_tokens(sentence: str) -> list[str]:
    """NLTK's tokens, with the straight double quotes that it rewrites to others."""
    from nltk.tokenize import NLTKWordTokenizer

    return [token if token not in ("``", '"') else "''" for token in NLTKWordTokenizer().tokenize(sentence)]


def sentences_and_tokens(texts: list[str]) -> tuple[list[str], list[list[str]]]:
    """Our sentences, and our tokens of each, with double quotes as `nltk_tokens` has them."""
    segmentation = Documents.from_texts(texts).segmentation
    data, tokens, found = segmentation.data.tobytes(), segmentation.treebank_words, segmentation.sentences
    pieces = [data[a:b].decode() for a, b in zip(tokens.start, tokens.end, strict=True)]
    pieces = [piece if piece not in ("``", '"') else "''" for piece in pieces]
    first = np.searchsorted(tokens.start, found.start)
    last = np.searchsorted(tokens.start, found.end)
    sentences = [data[a:b].decode() for a, b in zip(found.start, found.end, strict=True)]
    return sentences, [pieces[a:b] for a, b in zip(first, last, strict=True)]


@settings(deadline=None, derandomize=True, max_examples=2000)
@example("(it's') it's' x, so they're'- \"I can't'\"")
@example("x,,y ,,5 ,,,z ''" + "'tis ''" + "'s")
@given(ENGLISH_TEXTS)
def test_treebank_words_are_those_of_nltk(document: str) -> None:
    assume(not CLITIC_BEHIND_CONTRACTION.search(document))
    for sentence, tokens in zip(*sentences_and_tokens([document]), strict=True):
        assert tokens == nltk_tokens(sentence)


@settings(deadline=None, derandomize=True, max_examples=1000)
@given(st.lists(st.sampled_from(["The ", "été ", "gonna ", "x-y,", *ENGLISH]), max_size=60).map("".join))
def test_treebank_words_of_64_bytes_at_a_time(document: str) -> None:
    """Masks are used where 72 bytes more follow."""
    assume(not CLITIC_BEHIND_CONTRACTION.search(document) and "gonnan't" not in document.lower())
    for sentence, tokens in zip(*sentences_and_tokens([document, BEHIND]), strict=True):
        assert tokens == nltk_tokens(sentence)


def test_treebank_words_of_real_text_are_those_of_nltk() -> None:
    path = SHARED / "text" / "webtext.txt.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data/text")
    document = gzip.decompress(path.read_bytes())[:500_000].decode()
    sentences, tokens = sentences_and_tokens([document])
    n = sum(map(len, tokens))
    wrong = sum(len(ours) for s, ours in zip(sentences, tokens, strict=True) if ours != nltk_tokens(s))
    assert n > 80_000
    assert wrong <= n / 1000


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("Good muffins cost $3.88 in New York. Don't!", "Good muffins cost $ 3.88 in New York . Do n't !"),
        ("\"It's the dogs',\" they'll say...", "\" It 's the dogs ' , \" they 'll say ..."),
        ("I cannot; gonna -- (U.S.) 'tis 50% a-b", "I can not ; gon na -- ( U.S. ) ' tis 50 % a-b"),
    ],
)
def test_treebank_words(document: str, expected: str) -> None:
    segmentation = Documents.from_texts([document]).segmentation
    assert cut(segmentation, segmentation.treebank_words) == [expected.split(" ")]


# --- Sentences ---


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Smith paid 3.50 at www.example.org/a.", "Then what?!", '"Really?" he asked.', "(Yes.)"],
        ["He lives in the U.S. Senate.", "I saw the U.S.", "The end.", "J. R. R. Tolkien wrote it, e.g. this."],
        ["See p. 5 and No. 7 here.", "World War I.", "It ended at 6:30.", "Am 3. Oktober."],
        ["Wow... and so on.", "Wow...", "Then…", "End"],
        ["これは本です。", "「ありがとう。」と彼は言った。", "はい！"],
        ["वह गया।", "कब?", "هل؟", "نعم.", "Τι κάνεις;", "Καλά."],
        ["« Je sais. »", "« Quoi ? »", "Non !"],
    ],
)
@pytest.mark.parametrize("between", [" ", "\n", "\r\n\n "])
def test_sentences(expected: list[str], between: str) -> None:
    segmentation = Documents.from_texts([between.join(expected), between]).segmentation
    assert cut(segmentation, segmentation.sentences) == [expected, []]


@settings(deadline=None, derandomize=True)
@given(st.lists(TEXTS | ENGLISH_TEXTS | UNICODE_TEXTS, max_size=4))
def test_every_character_but_whitespace_lies_in_one_sentence(texts: list[str]) -> None:
    segmentation = Documents.from_texts(texts).segmentation
    for document, found in zip(texts, cut(segmentation, segmentation.sentences), strict=True):
        assert "".join("".join(found).split()) == "".join(document.split())
        assert all(sentence and sentence == sentence.strip() for sentence in found)
        assert not any(c in sentence for sentence in found for c in "\n\r\x85\u2028\u2029")
    assert_measured(segmentation.sentences, [s for found in cut(segmentation, segmentation.sentences) for s in found])


@settings(deadline=None, derandomize=True)
@given(st.lists(TEXTS | ENGLISH_TEXTS | UNICODE_TEXTS, max_size=4))
def test_words_are_counted_as_they_are_cut(texts: list[str]) -> None:
    for kind in KINDS:
        counts = Documents.from_texts(texts).segmentation.count(kind)
        assert counts.tolist() == Documents.from_texts(texts).segmentation.cut(kind).counts.tolist()


def test_no_character_is_read_from_its_middle() -> None:
    for n in range(130):  # the last byte of 爸 and a ^ would be an Arabic mark that ends sentences
        for document in ("a" * n + "爸^b" + "c" * m for m in (0, 40, 62)):
            segmentation = Documents.from_texts([document]).segmentation
            assert cut(segmentation, segmentation.sentences) == [[document]]


def test_more_sentences_than_there_was_room_for() -> None:
    documents = ["a\n" * 100, "", "b? " * 70] * 40
    segmentation = Documents.from_texts(documents).segmentation
    assert cut(segmentation, segmentation.sentences) == [["a"] * 100, [], ["b?"] * 70] * 40


@numba.njit
def next_mark(data, block, marks):  # type: ignore[no-untyped-def]
    return sentences._next_mark(data, 0, len(data), block, marks)


def test_no_mark_is_passed_over() -> None:
    ends = [c for c, kind in enumerate(sentences._table()) if kind >= sentences._STOP or kind == sentences._LINE_END]
    assert len(ends) > 150
    for character in map(chr, ends):
        data = np.frombuffer(f"a{character} {BEHIND}".encode(), np.uint8)
        assert next_mark(data, -64, np.uint64(0))[0] == 1


@pytest.mark.parametrize(
    ("language", "least"),
    [
        *(("en", 0.98), ("de", 0.97), ("fr", 0.97), ("es", 0.98), ("it", 0.98), ("nl", 0.97), ("pl", 0.97)),
        *(
            ("ru", 0.97),
            ("tr", 0.98),
            ("cs", 0.98),
            ("el", 0.97),
            ("ja", 0.95),
            ("zh", 0.97),
            ("ar", 0.95),
            ("hi", 0.96),
        ),
    ],
)
def test_sentences_of_other_people(language: str, least: float) -> None:
    """F1 of the ends of Tatoeba's sentences, joined by blanks; its items hold two sentences at times."""
    gold = [" ".join(sentence.split()) for sentence in languages("tatoeba")[language][:2000]]
    segmentation = Documents.from_texts([" ".join(gold)]).segmentation
    ends = {int(end) for end in np.cumsum([len(s.encode()) + 1 for s in gold]) - 1}
    found = set(segmentation.sentences.end.tolist())
    assert 2 * len(ends & found) / (len(ends) + len(found)) >= least


# --- All kinds ---


def test_more_words_than_there_was_room_for() -> None:
    texts = ["a é 3 b" if i % 2 else "x." for i in range(1000)]
    words = Documents.from_texts(texts).segmentation.words
    found = [bytes(words.data[a:b]).decode() for a, b in zip(words.start, words.end, strict=True)]
    assert found == " ".join(texts).split()
    assert np.diff(words.offsets).tolist() == [len(text.split()) for text in texts]
    assert words.hash.tolist() == [reference_hash(word) for word in found]
    assert words.n_chars.tolist() == [len(word) for word in found]


def test_a_scorer_may_take_the_kind_of_words_as_a_parameter() -> None:
    segmentation = Documents.from_texts(["it's. So"]).segmentation
    counts = {kind: len(segmentation.cut(kind)) for kind in text.KINDS}
    assert counts == {"whitespace": 2, "unicode": 2, "treebank": 4}
    assert segmentation.cut("unicode") is segmentation.unicode_words
    with pytest.raises(UnknownNameError, match="did you mean 'unicode'"):
        segmentation.cut("unicod")


BYTES = st.binary(max_size=90) | st.sampled_from([b"\xe2\x80", b" \xe3\x80", b"a.\xf0\x9f", b"\xff" * 64])


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(BYTES, max_size=4))
def test_any_bytes_are_cut_inside_their_documents(documents: list[bytes]) -> None:
    offsets = np.cumsum([0, *map(len, documents)])
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(b"".join(documents))]
    segmentation = Segmentation(pa.Array.from_buffers(pa.large_string(), len(documents), buffers))
    for kind in ALL_KINDS:
        spans = getattr(segmentation, kind)
        assert spans.offsets[0] == 0
        assert spans.offsets[-1] == len(spans)
        for document, (a, b) in enumerate(itertools.pairwise(spans.offsets)):
            assert (spans.start[a:b] >= offsets[document]).all()
            assert (spans.end[a:b] <= offsets[document + 1]).all()
            assert (spans.start[a:b][1:] >= spans.end[a:b][:-1]).all()


@pytest.mark.parametrize(
    ("document", "n"),
    [
        *(
            ("a" * 10_000_000, 1),
            ("word " * 1_000_000, 1_000_000),
            ("\n" * 1000, 0),
            ("\x00", 1),
            (". " * 100_000, 100_000),
        ),
        *((".(" * 500_000, 1_000_000), ("'" * 1_000_001, 500_001), ("a.b." * 250_000, 2)),
    ],
    ids=["a long line", "equal words", "newlines", "NUL", "stops", "openers", "quotes", "dots"],
)
def test_odd_texts_take_linear_time(document: str, n: int) -> None:
    segmentation = Documents.from_texts([document]).segmentation
    for kind in ALL_KINDS:
        assert (getattr(segmentation, kind).n_chars >= 0).all()
    assert len(segmentation.treebank_words) == n


@settings(deadline=None, derandomize=True)
@given(st.binary(min_size=72, max_size=72), st.integers(0, 8), st.integers(0, 255), st.integers(0, 255))
def test_masks_and_numbers_of_bytes(data: bytes, i: int, low: int, size: int) -> None:
    found, eight, ones, lowest, part = bits_of(np.frombuffer(data, np.uint8), i, low, size)
    assert int(found) == sum(
        1 << k for k in range(64) if 0 <= data[i + k] - low < size or data[i + k] + 256 - low < size
    )
    assert int(eight) == int.from_bytes(data[i : i + 8], "little")
    assert int(ones) == int(eight).bit_count()
    assert int(lowest) == (int(eight | np.uint64(1 << 63)) & -int(eight | np.uint64(1 << 63))).bit_length() - 1
    assert int(part) == int.from_bytes(data[64 + i :], "little") if i < 8 else True


@numba.njit
def bits_of(data, i, low, size):  # type: ignore[no-untyped-def]
    eight = bits.load_eight(data, i)
    lowest = bits.lowest_one(eight | np.uint64(1) << np.uint64(63))
    part = bits.load(data, 64 + i, len(data)) if i < 8 else np.uint64(0)
    return bits.byte_mask(data, i, low, size), eight, bits.count_ones(eight), lowest, part


def test_kernels_are_compiled_once_wherever_the_text_comes_from() -> None:
    """A batch without a byte, say, is of the same types as any other."""
    texts = pa.array(["a", "b", None], pa.large_string())
    kept = pa.py_buffer(bytes(texts.buffers()[1])), pa.py_buffer(bytes(texts.buffers()[2]))
    arrays = [texts, texts[1:], texts[:0], pa.array([""], pa.large_string()), pa.nulls(2, pa.large_string())]
    arrays += [pa.LargeStringArray.from_buffers(3, *kept), pa.array([], pa.large_string())]
    assert len({(numba.typeof(pieces.data), numba.typeof(pieces.offsets)) for pieces in map(Segmentation, arrays)}) == 1


@numba.njit
def _plain_letters(data: NDArray[np.uint8]) -> tuple[np.uint64, np.uint64]:
    return plain_letters(data, 0)


def test_plain_letters_are_letters_of_two_bytes_and_their_own_normal_form() -> None:
    """Of every character of two bytes, alone between others: what the masks say of it holds."""
    n_found = 0
    for character in map(chr, range(0x80, 0x800)):
        data = np.frombuffer((" " + character).encode().ljust(65, b"-"), np.uint8)
        lower, caseless = map(int, _plain_letters(data))
        assert (lower | caseless) in (0, 2), character
        n_found += (lower | caseless) == 2
        if lower | caseless:
            assert character_classes()[ord(character)] == LETTER
            assert unicodedata.normalize("NFD", character.lower()) == character
            assert not character.isupper() and character.islower() == (lower == 2)
    assert n_found == 197


@numba.njit
def _letters_of_two_bytes(data):  # type: ignore[no-untyped-def]
    return letters_of_two_bytes(data, 0)


def test_letters_of_two_bytes_are_letters() -> None:
    n_found = 0
    for character in map(chr, range(0x80, 0x800)):
        found = int(_letters_of_two_bytes(np.frombuffer((" " + character).encode().ljust(65, b"-"), np.uint8)))
        assert found == 0 or (found == 2 and character_classes()[ord(character)] == LETTER), character
        n_found += found == 2
    assert n_found == 939
