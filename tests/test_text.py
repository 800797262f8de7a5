"""Documents, and the kernels that cut their text, against plain Python."""

import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import text
from textmill.text import Documents, Segmentation, Spans, character_classes, hash_bytes, lowercase_table

# Much of what cuts text, some of what only looks like it, characters of every length in UTF-8.
PIECES = ["a", "Word", ".", "\n", "\n", "\n\n", " ", "\t", "\r\n", "\x1c", "\x85", "\xa0", "\u1680", "\u2003", "\u2028"]
PIECES += ["\u3000", "\u200b", "\x00", "é", "ß", "İ", "€", "日本語", "ไทย", "عربى", "😀", "e\u0301", "½", "\ue000"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)

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
    assert spans.classes.tolist() == [sum({reference_class(c) for c in piece}) for piece in pieces]
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
    assert set(vars(segmentation)) == {"data", "offsets", "words"}


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
    for spans in (segmentation.words, segmentation.lines, segmentation.paragraphs):
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
