"""GPT-2's alphabet, in which files of tokenizers write bytes: one printable character for each (``encoder.py``).

Latin-1 characters that print stand for the byte of the same number, the others in their order for U+0100 and on. A
space is ``Ġ``, so a token never holds one, and two tokens can stand on a line. All tokens are translated at once: one
at a time, the 50,000 of GPT-2 took three times as long to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from textmill.tokenize.files.definition import N_BYTES

_PRINTING = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = sorted(set(range(N_BYTES)) - set(_PRINTING))
_TO_CODE = np.zeros(N_BYTES, "<u4")  # the code point of each byte
_TO_CODE[_PRINTING] = _PRINTING
_TO_CODE[_OTHERS] = N_BYTES + np.arange(len(_OTHERS))
_TO_BYTE = np.full(N_BYTES + len(_OTHERS) + 1, -1, np.int16)  # the byte of each code point; the last is no letter
_TO_BYTE[_TO_CODE] = np.arange(N_BYTES)
PLACES = np.argsort(np.argsort(_TO_CODE))  # of each byte in the alphabet: the ids that Hugging Face's trainer gives


def to_printable(tokens: Sequence[bytes]) -> list[str]:
    """Tokens as files write them."""
    codes = _TO_CODE[np.frombuffer(b"".join(tokens), np.uint8)]
    text = codes.tobytes().decode("utf-32-le")
    return [text[start:end] for start, end in pairwise(accumulate(map(len, tokens), initial=0))]


def from_printable(tokens: Sequence[str]) -> list[bytes]:
    """The bytes of tokens; one with a character beyond the alphabet, as special tokens have it, is plain text."""
    codes = np.frombuffer("".join(tokens).encode("utf-32-le"), "<u4")
    values = _TO_BYTE[np.minimum(codes, len(_TO_BYTE) - 1)]
    data = values.astype(np.uint8).tobytes()
    ends = list(accumulate(map(len, tokens), initial=0))
    found = [data[start:end] for start, end in pairwise(ends)]
    for i in set(np.searchsorted(ends, np.flatnonzero(values < 0), side="right").tolist()):
        found[i - 1] = tokens[i - 1].encode()
    return found
