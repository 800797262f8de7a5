"""What counts as the same text: how it is folded before two documents are compared.

Always character by character, so that one table serves the kernels: nothing is decomposed into several letters.
Accents go by taking the base letter of the canonical decomposition (NFD) and dropping marks that stand alone, so that
composed and decomposed text agree. Hangul, which decomposes into letters, stays whole; a text in decomposed Hangul,
which the web hardly has, differs from a composed one. *Punctuation* is the Unicode categories P and S: symbols too, as
in ASCII's usual list. *White space* is what `str.isspace` says. With the accents go all control and format characters.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import regex
from numpy.typing import NDArray

from textmill.errors import UnknownNameError
from textmill.text import LETTER, MARK, NUMBER, OTHER, PUNCTUATION, SPACE, SYMBOL, character_classes, lowercase_table

PUNCTUATION_IS = ("kept", "removed", "space")

# A folded character, as the tables of `Normalization.characters` hold it: ASCII as it is, any other code point with
# WIDE, in the lower 24 bits; and these flags.
WIDE = np.uint32(1 << 23)
IGNORED = np.uint32(1 << 29)  # dropped
SEPARATOR = np.uint32(1 << 30)  # white space
STARTS_WORD = np.uint32(1 << 31)  # a letter of a script that is written without spaces

UNSPACED_SCRIPTS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


@dataclass(frozen=True)
class Normalization:
    """How text is folded. The default tells two texts apart by their letters and digits alone."""

    version: ClassVar[int] = 1

    lowercase: bool = True
    strip_accents: bool = True  # and all characters that cannot be seen
    punctuation: str = "space"  # one of PUNCTUATION_IS
    zero_digits: bool = False  # every decimal digit becomes 0
    collapse_whitespace: bool = True  # a run is one space, and none at the ends; words never see white space

    def __post_init__(self) -> None:
        if self.punctuation not in PUNCTUATION_IS:
            raise UnknownNameError("treatment of punctuation", self.punctuation, PUNCTUATION_IS)

    def normalize(self, text: str) -> str:
        """The folded text; what the kernels compare."""
        folded = text.translate(_translation(self))
        return " ".join(folded.split()) if self.collapse_whitespace else folded

    def fold(self, character: str) -> str:
        """What becomes of one character: another, a space, or nothing."""
        kind = character_classes()[ord(character)]
        if kind & SPACE:
            return character
        if kind & (PUNCTUATION | SYMBOL) and self.punctuation != "kept":
            return " " if self.punctuation == "space" else ""
        if kind & (MARK | OTHER) and self.strip_accents:
            return ""
        if self.zero_digits and character.isdecimal():
            return "0"
        if self.lowercase:
            character = chr(lowercase_table()[ord(character)])
        return _base_letter(character) if self.strip_accents else character

    def characters(self) -> NDArray[np.uint32]:
        """What each code point is to a kernel, uint32 [0x110000]: a folded character and flags. Made once, in .5 s."""
        return _characters(self)


# What published systems do before they compare. Sources stand with `minhash.PRESETS`.
AS_IT_IS = Normalization(False, False, "kept", False, False)
LETTERS_AND_DIGITS = Normalization()
NO_PUNCTUATION = Normalization(punctuation="removed")
NO_NUMBERS = Normalization(zero_digits=True)


def _base_letter(character: str) -> str:
    """The letter without its accents."""
    parts = list(unicodedata.normalize("NFD", character))
    return parts[0] if all(unicodedata.category(part)[0] == "M" for part in parts[1:]) else character


class _Translation(dict[int, str]):
    """For `str.translate`: folds a character when it is first met."""

    def __init__(self, normalization: Normalization) -> None:
        self.normalization = normalization

    def __missing__(self, code_point: int) -> str:
        self[code_point] = folded = self.normalization.fold(chr(code_point))
        return folded


@functools.cache
def _translation(normalization: Normalization) -> _Translation:
    return _Translation(normalization)


@functools.cache
def _characters(normalization: Normalization) -> NDArray[np.uint32]:
    classes = character_classes()
    table = np.arange(len(classes), dtype=np.uint32)
    table[128:] |= WIDE
    # Nothing happens to what is not assigned, but that it may be dropped.
    for code_point in np.flatnonzero(classes & (LETTER | MARK | NUMBER | PUNCTUATION | SYMBOL)).tolist():
        folded = normalization.fold(chr(code_point))
        if folded == " ":
            table[code_point] = SEPARATOR | ord(" ")
        else:
            table[code_point] = ord(folded) | WIDE * (ord(folded) >= 128) if folded else IGNORED
    table[(classes & SPACE) != 0] |= SEPARATOR
    if normalization.strip_accents:
        table[(classes & OTHER) != 0] = IGNORED
    table[_unspaced()] |= STARTS_WORD
    table.flags.writeable = False
    return table


@functools.cache
def _unspaced() -> NDArray[np.int64]:
    """The letters of scripts that are written without spaces."""
    letters = np.flatnonzero(character_classes() & LETTER).tolist()
    return np.array([code_point for code_point in letters if UNSPACED_SCRIPTS.match(chr(code_point))])
