"""The regular expressions that cut text into pretokens, by name, and what each character is to them.

- ``gpt2``: GPT-2 (Radford et al. 2019, ``encoder.py``), also r50k and p50k.
- ``cl100k``: GPT-3.5 and GPT-4, and ``o200k``: GPT-4o, as tiktoken gives them (``tiktoken_ext/openai_public.py``).
- ``nanochat``: that of GPT-4 with numbers of at most two digits (nanochat, ``tokenizer.py``).

Properties of characters are those of the package `regex` that is installed, and so is the version of Unicode. A new
version only says more of code points that had no character before.
"""

from __future__ import annotations

import functools

import numpy as np
import regex
from numpy.typing import NDArray

from textmill.characters import N_CODE_POINTS
from textmill.errors import UnknownNameError

PATTERNS = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "cl100k": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
        r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
    ),
    "nanochat": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
        r"""|\s*[\r\n]|\s+(?!\S)|\s+"""
    ),
    "o200k": (
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
        r"""|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
        r"""|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    ),
}
# Numbers of the patterns, for kernels. They and the bits below are no literals, for each of which kernels would be
# compiled anew.
GPT2, CL100K, NANOCHAT, O200K = np.arange(len(PATTERNS))

# What a character is, in bits. Each one is exactly one of the first four; marks are OTHER.
LETTER, NUMBER, SPACE, OTHER = np.int64(1), np.int64(2), np.int64(4), np.int64(8)
NEWLINE = np.int64(16)  # CR and LF, which are SPACE too
UPPER = np.int64(32)  # may stand before the small letters of a word of o200k: capitals, letters without case, marks
LOWER = np.int64(64)  # may stand behind its capitals: small letters, letters without case, marks

_PROPERTIES = {
    r"[\p{Lu}\p{Lt}]": LETTER | UPPER,
    r"\p{Ll}": LETTER | LOWER,
    r"[\p{Lm}\p{Lo}]": LETTER | UPPER | LOWER,
    r"\p{M}": OTHER | UPPER | LOWER,
    r"\p{N}": NUMBER,
    r"\s": SPACE,
    r"[\r\n]": SPACE | NEWLINE,
}
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))  # the rest is not assigned, or private


def pattern_number(name: str) -> int:
    """The number of a pattern. Errors: `UnknownNameError`."""
    if name not in PATTERNS:
        raise UnknownNameError("pretokenizer pattern", name, PATTERNS)
    return list(PATTERNS).index(name)


@functools.cache
def character_kinds() -> NDArray[np.uint8]:
    """What every code point is, uint8 [0x110000]; made on first use, in 0.04 s."""
    table = np.full(N_CODE_POINTS, OTHER, np.uint8)
    for assigned in _ASSIGNED:
        text = np.array(assigned, np.uint32).tobytes().decode("utf-32-le", "surrogatepass")
        for characters, kind in _PROPERTIES.items():
            for run in regex.finditer(f"{characters}+", text):
                table[assigned[run.start()] : assigned[run.end() - 1] + 1] = kind
    table.flags.writeable = False
    return table
