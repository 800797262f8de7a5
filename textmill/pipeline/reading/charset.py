"""From the bytes of a page to characters.

Charset: byte order mark, HTTP header, ``<meta>`` (first 4 KB; labels as WHATWG reads them), UTF-8, then uchardet on
64 KB. A charset that garbles the page is passed over for the next one; the least bad wins if all are bad.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_META_BYTES = 4096
_DETECT_BYTES = 64 << 10
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(
    rb"""<meta\b[^>]{0,512}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})"""
    rb"""|<\?xml\b[^>]{0,99}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)


def decode_html(body: bytes, declared: str) -> tuple[str, str]:
    """Python's name of the charset, and the text, with U+FFFD for what the charset does not explain.

    ``declared`` is the charset of the HTTP header, or "".
    """
    best = ("utf-8", "")
    fewest = len(body) + 1
    for charset in _charsets(body, declared):
        text = body.decode(charset, "replace").removeprefix("\ufeff")
        n_bad = text.count("\ufffd")
        if n_bad == 0 or n_bad <= 1 + _n_non_ascii(text) // 20:
            return charset, text
        if n_bad < fewest:
            best, fewest = (charset, text), n_bad
    return best


def _charsets(body: bytes, declared: str) -> Iterator[str]:
    """The charsets to try, the most credible first."""
    for mark, charset in _BOMS:
        if body.startswith(mark):
            yield charset
            return
    if in_header := _known(declared):
        yield in_header
    meta = _META.search(body, 0, _META_BYTES)
    if meta and (in_meta := _known((meta.group(1) or meta.group(2)).decode("latin-1"))):
        yield "utf-8" if in_meta.startswith("utf-16") else in_meta  # the label was read as bytes, so not UTF-16
    yield "utf-8"
    yield detect_encoding(body, _DETECT_BYTES) or "utf-8"


def _known(label: str) -> str:
    return map_encoding_to_html5(label, fallback_utf8=False) or ""


def _n_non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))
