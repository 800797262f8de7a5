"""From the bytes of a page to characters.

In this order: a byte order mark; UTF-16 told by its NULs; UTF-8, if every byte fits, whatever was declared; the HTTP
header; ``<meta>`` (first 4 KB); UTF-8 with a few faults; uchardet on 64 KB; windows-1252. A charset that garbles the
page is passed over for the next one; the least bad wins if all are bad.

Labels mean what browsers mean by them (encoding.spec.whatwg.org): iso-8859-1 is windows-1252, gb2312 is gb18030. What
deviates: valid UTF-8 beats the header (of 4,847 real pages, 133 declared something else and held UTF-8; none the other
way round), UTF-16 without a mark and UTF-32 are read, and so is HZ.

Figures: benchmarks/charsets.py. The common page is not decoded at all, only looked through (`to_utf8`).
"""

from __future__ import annotations

import codecs
import functools
import re
import sys
from collections.abc import Iterator

import pyarrow as pa
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

META_BYTES = 4096
DETECT_BYTES = 64 << 10
MIN_DETECT_BYTES = 6  # 4,834 of 4,847 undeclared pages come out right so, 4,824 without
UTF16_BYTES = 1024
MIN_NUL_FRAC = 0.02  # of the characters of UTF-16; Chinese and Japanese have line ends and digits

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
)
_MARK_BYTES = tuple(mark for mark, _ in _MARKS)
_META = re.compile(
    rb"""<meta\b[^>]{0,512}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})"""
    rb"""|<\?xml\b[^>]{0,99}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)

# Python's codec for what resiliparse makes of a label, where another one knows all that browsers know.
_FULLER = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_jp": "euc_jis_2004",  # with the circled numbers and company signs of NEC
    "iso2022_jp": "iso2022_jp_ext",  # with half-width kana
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
}
_MORE_LABELS = {"x-mac-cyrillic": "mac-cyrillic", "x-mac-ukrainian": "mac-cyrillic", "x-user-defined": "cp1252"}
_MORE_LABELS |= {"hz-gb-2312": "hz", "hz": "hz"}
# What the detector names and nobody serves; and KOI8-R, whose box-drawing characters are letters of KOI8-U.
_DETECTED = {"tis-620": "cp874", "koi8-r": "koi8-u", "cp949": "cp949", "hz": "hz", "mac-cyrillic": "mac-cyrillic"}
# ASCII, and bytes that are signs in windows-1252: a page with hardly any others misleads the detector.
_ASCII_AND_SIGNS = bytes(range(128)) + "\xa0£©«®°·»–—‘’“”•…€™".encode("cp1252")
_UNEXPLAINED = "\ufffd".encode()
_SEVEN_BIT = ("iso2022_jp_ext", "hz")


def decode_html(body: bytes, declared: str) -> tuple[str, str]:
    """Python's name of the charset, and the text, with U+FFFD for what the charset does not explain.

    ``declared`` is the charset of the HTTP header, or "".
    """
    if marked := _marked(body):
        return marked, body.decode(marked, "replace").removeprefix("\ufeff")
    if not is_utf8(body):
        return _decode_legacy(body, declared)
    return (_has_escapes(body) and _decode_seven_bit(body, declared)) or ("utf-8", body.decode())


def to_utf8(body: bytes, declared: str) -> tuple[str, bytes]:
    """The same with the text in UTF-8: the common page is its own, and no characters are made of it."""
    if not _marked(body) and is_utf8(body) and not _has_escapes(body):
        return "utf-8", body
    charset, text = decode_html(body, declared)
    return charset, text.encode(errors="replace")


def is_utf8(body: bytes) -> bool:
    """Whether ``body.decode()`` would be without fault. Arrow says so in half of the time, and needs no memory."""
    if body.isascii():
        return True
    offsets = bytes(8) + len(body).to_bytes(8, sys.byteorder)
    try:
        pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(body)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def n_unexplained(text: bytes) -> int:
    """How many U+FFFD there are in ``text`` (UTF-8)."""
    return text.count(_UNEXPLAINED) if _UNEXPLAINED[0] in text else 0  # one byte is found faster than three


def _marked(body: bytes) -> str:
    """The codec that a byte order mark, or the NULs of UTF-16, tell; else ""."""
    if body.startswith(_MARK_BYTES):
        return next(codec for mark, codec in _MARKS if body.startswith(mark))
    return unmarked_utf16(body)


def _has_escapes(body: bytes) -> bool:
    """Whether it may be in a charset of seven bits."""
    return body.isascii() and (0x1B in body or (0x7E in body and b"~{" in body))


def unmarked_utf16(body: bytes) -> str:
    """The codec of UTF-16 without a mark, "" for anything else: half of its ASCII characters is NUL."""
    if body.find(0, 0, UTF16_BYTES) < 0:
        return ""
    head = body[: min(UTF16_BYTES, len(body) & ~1)]
    n_even, n_odd = head[::2].count(0), head[1::2].count(0)
    if min(n_even, n_odd) > max(n_even, n_odd) / 10 or max(n_even, n_odd) < MIN_NUL_FRAC * len(head) / 2:
        return ""
    codec = "utf-16-le" if n_odd > n_even else "utf-16-be"
    return "" if "\ufffd" in head[:-2].decode(codec, "replace") else codec  # its end may cut a surrogate pair


def codec_of(label: str) -> str:
    """Python's codec for a label, as browsers read it; "" if they do not know it."""
    label = label.strip().lower()
    known = map_encoding_to_html5(label, fallback_utf8=False) or _MORE_LABELS.get(label, "")
    return _FULLER.get(known, known)


def _decode_legacy(body: bytes, declared: str) -> tuple[str, str]:
    """The best of the charsets to try for ``body``, which is not valid UTF-8."""
    best = ("utf-8", "")
    fewest = len(body) + 1
    for codec in _codecs(body, declared):
        text = body.decode(codec, "replace")
        n_bad = text.count("\ufffd")
        if not n_bad or _is_credible(codec, text, n_bad):
            return codec, _mended(body, codec, text)
        if n_bad < fewest:
            best, fewest = (codec, text), n_bad
    return best


def _decode_seven_bit(body: bytes, declared: str) -> tuple[str, str] | None:
    for codec in _codecs(body, declared):
        if codec in _SEVEN_BIT:
            return codec, body.decode(codec, "replace")
    return None


def _codecs(body: bytes, declared: str) -> Iterator[str]:
    """The codecs to try, the most credible first."""
    meta = _META.search(body, 0, META_BYTES)
    in_meta = (meta.group(1) or meta.group(2)).decode("latin-1") if meta else ""
    for codec in (codec_of(declared), codec_of(in_meta)):
        if codec and not (codec.startswith("utf-16") and 0 not in body):  # which then fits anything
            yield codec
    yield "utf-8"
    if len(body.translate(None, _ASCII_AND_SIGNS)) < MIN_DETECT_BYTES:
        yield "cp1252"
    detected = detect_encoding(body, DETECT_BYTES, html5_compatible=False) or ""
    yield _DETECTED.get(detected) or codec_of(detected) or "cp1252"
    yield "cp1252"


def _is_credible(codec: str, text: str, n_bad: int) -> bool:
    """Whether so few faults are slips. Valid UTF-8 sequences hardly come by chance, other charsets fit anything."""
    n_good = len(text) - len(text.encode("ascii", "ignore")) - n_bad
    return n_good >= 2 * n_bad if codec == "utf-8" else n_bad <= 1 + n_good // 20


def _mended(body: bytes, codec: str, text: str) -> str:
    """``text`` with what browsers add to Python's single-byte codecs: bytes 80 to 9F without a meaning are controls."""
    table = _table(codec) if "\ufffd" in text else ""
    return codecs.charmap_decode(body, "replace", table)[0] if table else text


@functools.cache
def _table(codec: str) -> str:
    """The characters of the 256 bytes of a single-byte codec; "" for any other."""
    characters = bytes(range(256)).decode(codec, "replace")
    if len(characters) != 256 or codec in _FULLER.values() or codec.startswith("utf"):
        return ""
    return "".join(chr(i) if c == "\ufffd" and 0x80 <= i < 0xA0 else c for i, c in enumerate(characters))
