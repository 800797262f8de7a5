"""From bytes to characters: marks, declarations, detection, and what no charset explains."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.pipeline.reading.charset import codec_of, decode_html, is_utf8, n_unexplained, to_utf8, unmarked_utf16
from textmill.pipeline.reading.http import read_response
from textmill.pipeline.reading.warc import Record, read_range

SHARED = Path(__file__).parents[2] / "shared" / "data"

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 10
UKRAINIAN = "Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо. " * 10
JAPANESE = "色は匂へど散りぬるを我が世誰ぞ常ならむ有為の奥山今日越えて浅き夢見じ酔ひもせず。" * 10
CHINESE = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。寒来暑往，秋收冬藏。闰余成岁，律吕调阳。" * 10
KOREAN = "다람쥐 헌 쳇바퀴에 타고파. 키스의 고유 조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. " * 10
THAI = "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน " * 10
GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 10
ENGLISH = "The “quick” brown fox’s dog – £5, © 2004… " * 3


@pytest.mark.parametrize(
    ("text", "codec", "declared", "prefix", "found"),
    [
        (GERMAN, "utf-8-sig", "latin-1", b"", "utf-8"),  # the mark beats the header
        (RUSSIAN, "utf-16", "utf-8", b"", "utf-16-le"),
        (RUSSIAN, "utf-16-be", "", "\ufeff".encode("utf-16-be"), "utf-16-be"),
        (RUSSIAN, "utf-32", "", b"", "utf-32-le"),
        (RUSSIAN, "utf-32-be", "", "\ufeff".encode("utf-32-be"), "utf-32-be"),
        (RUSSIAN, "utf-16-le", "", b"", "utf-16-le"),  # no mark, no word
        (RUSSIAN, "utf-16-be", "windows-1252", b"", "utf-16-be"),
        (GERMAN, "utf-16-le", "", b"", "utf-16-le"),
        (JAPANESE.replace("。", "。\n"), "utf-16-le", "utf-16", b"", "utf-16-le"),
        (RUSSIAN, "cp1251", "windows-1251", b'<meta charset="utf-8">', "cp1251"),  # the header beats the meta
        (GERMAN, "cp1252", "ISO-8859-1", b"", "cp1252"),  # as WHATWG reads that label
        (GERMAN, "cp1252", "nonsense", b'<META http-equiv=x content="text/html; charset=iso-8859-1">', "cp1252"),
        (GERMAN, "utf-8", "ISO-8859-1", b"<meta charset=latin1>", "utf-8"),  # valid UTF-8 beats them all
        (JAPANESE, "shift_jis", "", b"<meta charset='x-sjis'/>", "cp932"),
        (JAPANESE + "①㈱", "cp932", "Shift_JIS", b"", "cp932"),
        (JAPANESE, "euc_jp", "", b'<?xml version="1.0" encoding="euc-jp"?>', "euc_jis_2004"),
        (JAPANESE + "①㈱", "euc_jis_2004", "euc-jp", b"", "euc_jis_2004"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", b"", "iso2022_jp_ext"),
        (JAPANESE, "iso2022_jp", "", b"", "iso2022_jp_ext"),  # seven bits, yet not ASCII
        (CHINESE, "hz", "", b"", "hz"),
        (CHINESE, "gb2312", "gb2312", b"", "gb18030"),
        (CHINESE + "囧€", "gb18030", "", b"<meta charset=gb2312>", "gb18030"),
        (CHINESE, "gbk", "", b"", "gb18030"),
        (KOREAN + "펲", "cp949", "ks_c_5601-1987", b"", "cp949"),
        (KOREAN, "euc_kr", "", b"", "cp949"),
        (THAI, "tis-620", "tis-620", b"", "cp874"),
        (THAI, "tis-620", "", b"", "cp874"),
        (UKRAINIAN, "koi8-u", "", b"", "koi8-u"),
        (RUSSIAN, "koi8-r", "koi8-r", b"", "koi8-r"),
        (RUSSIAN, "mac-cyrillic", "x-mac-cyrillic", b"", "mac-cyrillic"),
        (GERMAN, "cp1252", "x-user-defined", b"", "cp1252"),
        (GERMAN, "utf-8", "", b"<meta charset=utf-16>", "utf-8"),  # it was read as bytes
        (GERMAN, "cp1252", "utf-16le", b"<meta charset=iso-8859-1>", "cp1252"),  # no NUL: no UTF-16
        (GERMAN, "utf-8", "", b"", "utf-8"),
        (RUSSIAN, "cp1251", "", b"", "cp1251"),  # detected
        (RUSSIAN, "cp1251", "utf-8", b"", "cp1251"),  # the header lies
        (ENGLISH, "cp1252", "", b"", "cp1252"),  # nothing but signs
        ("Caf\xe9", "cp1252", "utf-8", b"", "cp1252"),  # one fault, and nothing that speaks for UTF-8
        ("", "utf-8", "", b"", "utf-8"),
    ],
)
def test_charsets(text: str, codec: str, declared: str, prefix: bytes, found: str) -> None:
    charset, decoded = decode_html(prefix + text.encode(codec), declared)
    assert charset == found
    assert decoded.endswith(text)


@pytest.mark.parametrize(
    ("labels", "codec"),
    [
        ("ascii iso-8859-1 latin1 cp1252 WINDOWS-1252", "cp1252"),
        ("gb2312 gbk x-gbk chinese gb18030", "gb18030"),
        ("shift_jis sjis ms_kanji windows-31j", "cp932"),
        ("big5 big5-hkscs cn-big5", "big5hkscs"),
        ("euc-kr korean ks_c_5601-1987 windows-949", "cp949"),
        ("iso-8859-9 latin5 windows-1254", "cp1254"),
        ("tis-620 iso-8859-11 windows-874", "cp874"),
        ("macintosh x-mac-roman", "mac-roman"),
        ("nonsense utf-7 cp037 replacement", ""),
    ],
)
def test_labels_are_read_as_browsers_do(labels: str, codec: str) -> None:
    assert {codec_of(label) for label in labels.split()} == {codec}
    assert codec_of(f" {labels.split()[0]} ") == codec


def test_a_few_bad_bytes_do_not_change_the_charset() -> None:
    charset, text = decode_html(GERMAN.encode() + b"\xff" + GERMAN.encode()[:-1] + b"\xc3", "utf-8")
    assert charset == "utf-8"
    assert text.count("\ufffd") == 2
    charset, text = decode_html(b"\xff" + CHINESE.encode("gb18030"), "gb2312")
    assert (charset, text.count("\ufffd")) == ("gb18030", 1)


def test_bytes_without_meaning_are_controls_in_windows_1252() -> None:
    charset, text = decode_html(GERMAN.encode("cp1252") + b"\x81", "windows-1252")
    assert (charset, text) == ("cp1252", GERMAN + "\x81")


@pytest.mark.parametrize(
    ("body", "codec"),
    [
        (b"", ""),
        (b"<p>plain", ""),
        (b"<p>a\0b\0\0c", ""),
        (bytes(100), ""),
        (b"\0a" * 9 + b"\0", "utf-16-be"),  # an odd length
        ("<p>Ḁ a longer row of plain words 一".encode("utf-16-le") * 9, "utf-16-le"),  # NULs in the other half, too
        (b"a\0" * 9 + b"\0\xdc" * 9, ""),  # lone surrogates
        (("a" * 511 + "😀").encode("utf-16-le"), "utf-16-le"),  # a pair that the sample cuts
        (b"a" * 2000 + b"\0" * 2000, ""),
    ],
)
def test_utf_16_without_a_mark(body: bytes, codec: str) -> None:
    assert unmarked_utf16(body) == codec


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data, with the true charsets of real pages, is not there")
def test_real_pages_are_decoded_right() -> None:
    """A fifth of them; benchmarks/charsets.py takes them all."""
    crawl = SHARED / "crawl" / "pages.warc.gz"
    with gzip.open(SHARED / "crawl" / "pages.meta.jsonl.gz", "rt") as lines:
        truths = {row["payload_sha1"]: row["charset"] for row in map(json.loads, lines)}
    size = crawl.stat().st_size
    n = n_right = 0
    with crawl.open("rb") as stream:
        for item in read_range(stream, 0, size // 5, size, {"response"}):
            if isinstance(item, Record):
                response = read_response(item.block)
                _, text = decode_html(response.body, response.charset)
                codec = codec_of(truths[hashlib.sha1(response.body).hexdigest()])
                n += 1
                n_right += text == response.body.decode(codec, "replace").removeprefix("\ufeff")
    assert n_right >= 0.99 * n > 500


@given(
    st.binary(max_size=300), st.sampled_from(["", "utf-8", "utf-16", "gbk", "iso-2022-jp", "hz-gb-2312", "x", "big5"])
)
def test_no_page_raises(body: bytes, declared: str) -> None:
    for start in (b"", b"\xff\xfe", b"\xff\xfe\0\0", b"\x1b$B", b"~{", b"<meta charset=euc-jp>"):
        charset, text = decode_html(start + body, declared)
        assert isinstance((start + body).decode(charset, "replace"), str)
        text.encode()  # no lone surrogates


UTF8_EDGES = [b"\x80", b"\xbf", b"\xc1", b"\xc2", b"\xdf", b"\xe0\x9f", b"\xe0\xa0", b"\xed\x9f", b"\xed\xa0"]
UTF8_EDGES += [
    b"\xef\xbf\xbd",
    b"\xf0\x8f",
    b"\xf0\x90",
    b"\xf4\x8f",
    b"\xf4\x90",
    b"\xf5",
    b"a" * 63,
    "\ufeff".encode(),
]


@given(
    st.lists(st.sampled_from([*UTF8_EDGES, b"~{", b"\x1b$B", b"\0"]) | st.text(max_size=3).map(str.encode)).map(
        b"".join
    )
)
def test_utf_8_is_told_and_left_alone(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        assert not is_utf8(body)
    else:
        assert is_utf8(body)
    charset, text = decode_html(body, "")
    assert to_utf8(body, "") == (charset, text.encode())
    assert n_unexplained(text.encode()) == text.count("\ufffd")
