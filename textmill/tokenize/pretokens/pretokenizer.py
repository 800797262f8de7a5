"""Cutting text into pretokens, the units that no BPE merge crosses.

Special tokens are split off first, then one of the `PATTERNS` cuts the rest. A lone surrogate, which UTF-8 cannot hold,
counts as U+FFFD. This is for strings; `cut_pretokens` does the same for UTF-8, with kernels.

Text that does not fit in memory goes through `Pretokenizer.stream`, which gives exactly the pretokens of the whole. It
holds back what later text may still change: what follows the last blank between two words or, where there is none, the
last two pretokens (``'`` and ``l`` become one ``'ll``; a run of white space ends differently before a word), and as
many characters as may begin a special token.

Costs about 0.1 s per MB of English text on one core, nearly all of it in the pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

import regex

from textmill.errors import UserError
from textmill.tokenize.pretokens.patterns import PATTERNS, pattern_number

N_UNSETTLED = 2  # pretokens at the end of a text that more text can change; holds for every pattern
BUFFER_CHARS = 1 << 13  # small enough that streaming needs well under 1 MB

_SURROGATE = regex.compile(r"\p{Cs}")


def utf8(text: str) -> bytes:
    """``text`` in UTF-8, with U+FFFD for each lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


class Pretokenizer:
    """Cuts text at special tokens, the longest first where they overlap, and the rest by ``pattern``.

    Errors: `UnknownNameError` for the pattern, `UserError` for special tokens that are empty, double or not text.
    """

    def __init__(self, special_tokens: Sequence[str] = (), pattern: str = "gpt2") -> None:
        pattern_number(pattern)  # refuses a name that is unknown
        _check_special_tokens(special_tokens)
        self.special_tokens = tuple(special_tokens)
        self._find = regex.compile(PATTERNS[pattern]).findall
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._special = regex.compile("|".join(map(regex.escape, longest_first))) if special_tokens else None
        self._longest_chars = max(map(len, special_tokens), default=1)

    def ordinary(self, text: str) -> list[str]:
        """The pretokens of ``text``, which is read as having no special tokens. Together they are ``text``."""
        return self._find(text)

    def split(self, text: str) -> list[str]:
        """The pretokens of ``text``, each special token one of them. Together they are ``text``."""
        ordinary, special = self.pieces(text)
        pretokens = self.ordinary(ordinary[0])
        for token, piece in zip(special, ordinary[1:], strict=True):
            pretokens.append(token)
            pretokens += self.ordinary(piece)
        return pretokens

    def pieces(self, text: str) -> tuple[list[str], list[str]]:
        """The special tokens (second), and the texts around them, one more, some of them empty (first)."""
        ordinary, special, end = [], [], 0
        for match in self._matches(text, len(text)):
            ordinary.append(text[end : match.start()])
            special.append(match.group())
            end = match.end()
        return [*ordinary, text[end:]], special

    def stream(self, texts: Iterable[str]) -> Iterator[str]:
        """The pretokens of all ``texts`` joined, as `split` would give them.

        Memory is bounded by the longest text and the longest pretoken.
        """
        for part in self.parts(texts):
            yield from self.split(part)

    def parts(self, texts: Iterable[str]) -> Iterator[str]:
        """All ``texts`` joined and cut where that changes no pretoken, at about `BUFFER_CHARS`."""
        held, enough_chars = "", BUFFER_CHARS
        for text in texts:
            held += text
            if len(held) >= enough_chars:
                settled = self._settled_chars(held)
                yield held[:settled]
                held = held[settled:]
                enough_chars = BUFFER_CHARS + 2 * len(held)  # doubling keeps one endless pretoken linear in time
        yield held

    def _settled_chars(self, text: str) -> int:
        """How much of ``text`` has, by itself, pretokens that hold whatever follows."""
        known = max(0, len(text) - self._longest_chars + 1)  # a special token that begins later may not be whole
        end = max((match.end() for match in self._matches(text, known)), default=0)
        stop = max(0, known - 1)
        while (blank := text.rfind(" ", end + 1, stop)) > 0:  # between two words it always begins a pretoken
            if not text[blank - 1].isspace() and not text[blank + 1].isspace():
                return blank
            stop = blank
        pretokens = self.ordinary(text[end:known])[:-N_UNSETTLED]
        while pretokens and pretokens[-1][-1].isspace():  # at an end, white space is cut in another way
            pretokens.pop()
        return end + sum(map(len, pretokens))

    def _matches(self, text: str, known: int) -> Iterator[regex.Match[str]]:
        """The special tokens that begin before ``known``."""
        found = self._special.finditer(text) if self._special else ()
        return takewhile(lambda match: match.start() < known, found)


def _check_special_tokens(special_tokens: Sequence[str]) -> None:
    if isinstance(special_tokens, str):
        raise UserError(f"special tokens {special_tokens!r}: give a list of texts, not one text")
    for token in special_tokens:
        if not token or _SURROGATE.search(token):
            raise UserError(f"special token {token!r}: it must be text of at least one character")
    if len(set(special_tokens)) < len(special_tokens):
        raise UserError(f"special tokens {list(special_tokens)}: give each of them once")
