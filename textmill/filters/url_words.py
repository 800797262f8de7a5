"""Words in URLs that tell of pages nobody wants in training data: adult, gambling, drugs, spam.

RefinedWeb's three kinds (Penedo et al. 2023, arXiv 2306.01116, appendix G.1), which FineWeb uses too:

- **strict**: anywhere in the URL, also inside of words, and with "-" and "." ignored (``foo.b-a-r.example`` has "bar");
- **hard**: as a word of its own;
- **soft**: as a word of its own, where only two different ones are telling.

Upper and lower case make no difference (Unicode, on either side), and escapes are decoded once (``%70orn``). A word is
a maximal run of letters, marks and digits, of the whole URL: scheme, host, path, query and fragment.

The words of the package are ours, few, and chosen to be unmistakable; they are no match for the published lists (some
100 to 200 words a kind), which can be given as files: ``strict``, ``hard`` and ``soft``, or under datatrove's names.

Cost on one busy core: 1 us a URL, and little more for long lists. Of 3,887 URLs of real pages the words of the package
mark one, an article about a lawsuit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.errors import InputError
from textmill.filters import list_files
from textmill.filters.base import Rule, Scorer
from textmill.filters.list_files import ListFile
from textmill.text import (
    FNV_BASIS,
    FNV_PRIME,
    LETTER,
    MARK,
    NUMBER,
    Documents,
    Segmentation,
    character_classes,
    decode,
    lowercase_table,
)

# Raise `UrlWords.version` with any change.
STRICT = """
    bangbros brazzers camgirl chaturbate freeporn livejasmin onlyfansleak pornhub pornmovie pornstar porntube pornvideo
    redtube sexchat sexvideo spankbang xhamster xnxx xvideos youporn
    buycialis buylevitra buyviagra cheapcialis cheapviagra cialisonline viagraonline onlinecasino casinobonus
    nodepositbonus paydayloan judionline situsjudi slotgacor togelonline
""".split()
HARD = """
    bdsm blowjob blowjobs bukkake camsex creampie cumshot deepthroat gangbang handjob hentai milf milfs porn porno
    pornos pornographic sexcam sexcams upskirt
    bandarq dominoqq sbobet togel
""".split()
SOFT = """
    adult amateur anal babes betting bonus boobs busty casino cialis cock crack cum dildo erotic escorts fetish fuck
    gambling horny jackpot keygen kinky levitra lottery naked nude orgasm payday pills poker pussy roulette serial sex
    sexy shemale slots slut spins stripper swingers threesome tits topless torrent viagra warez webcam xxx
""".split()  # never two forms of one word, which would tell as much as two words

RULES = (
    Rule("url_strict", "url_n_strict", high=0, source="RefinedWeb, arXiv 2306.01116, G.1; the lists that were given"),
    Rule("url_hard", "url_n_hard", high=0, source="RefinedWeb, arXiv 2306.01116, G.1; the lists that were given"),
    Rule("url_soft", "url_n_soft", high=1, source="RefinedWeb, arXiv 2306.01116, G.1: at least 2 fail"),
)

COLUMNS = pa.schema(
    [
        pa.field("url_n_strict", pa.int32(), nullable=False),  # occurrences, which may overlap
        pa.field("url_n_hard", pa.int32(), nullable=False),  # occurrences
        pa.field("url_n_soft", pa.int32(), nullable=False),  # distinct ones
    ]
)
KINDS = {
    "strict": ("strict", "banned_subwords"),
    "hard": ("hard", "banned_words"),
    "soft": ("soft", "soft_banned_words"),
}
ENDINGS = ("", ".txt", ".gz", ".txt.gz")
MIN_STRICT_CHARS = 3
MAX_STRICT_CHARS = 1_000_000  # of all words together: 4 bytes for each of them times the letters that occur

_WORD = LETTER | MARK | NUMBER
_IGNORED = "-."
_PERCENT, _ZERO, _LOWER_A = map(ord, "%0a")


@dataclass(frozen=True)
class UrlWords(Scorer):
    """Counts the words of three lists in a page's URL; without any list, those of the package.

    Errors, on first use: `EnvironmentFault` if a list has changed.
    """

    inputs: ClassVar[tuple[str, ...]] = ("url",)

    strict: tuple[ListFile, ...] = ()
    hard: tuple[ListFile, ...] = ()
    soft: tuple[ListFile, ...] = ()

    @property
    def columns(self) -> pa.Schema:
        """The same for all lists."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        urls = Segmentation(documents.column("url"))
        data, offsets = np.empty_like(urls.data), np.empty_like(urls.offsets)
        _unescape(urls.data, urls.offsets, data, offsets)
        automaton, dictionary = _load(self)
        counts = np.zeros((len(COLUMNS), len(documents)), np.int32)
        _count_strict(data, offsets, *automaton, counts[0])
        _count_words(data, offsets, character_classes(), lowercase_table(), *dictionary, counts[1], counts[2])
        return [pa.array(column) for column in counts]


def find_words(paths: Iterable[str]) -> UrlWords:
    """The scorer with the lists at ``paths``: files, or folders of them, whose names say of which kind they are.

    Warns of lines that are no word. Errors: `InputError` for a list that cannot be read or is of no kind.
    """
    lists: dict[str, list[ListFile]] = {kind: [] for kind in KINDS}
    names = [name + ending for kind in KINDS.values() for name in kind for ending in ENDINGS]
    for found in [found for path in paths for found in list_files.files_at(Path(path), names)]:
        file = list_files.identify(found)
        kind = _kind_of(found)
        bad = [number for number, word in _words(kind, file) if not word]
        list_files.report_bad_lines(file, len(bad), min(bad, default=0), f"{kind} word")
        lists[kind].append(file)
    scorer = UrlWords(**{kind: tuple(files) for kind, files in lists.items()})
    _load(scorer)  # says now if there are too many
    return scorer


def _kind_of(path: Path) -> str:
    for kind, names in KINDS.items():
        if path.name.partition(".")[0] in names:
            return kind
    raise InputError(f"{path}: a list of words for URLs is named strict, hard or soft, for example strict.txt")


def _words(kind: str, file: ListFile) -> Iterator[tuple[int, str]]:
    """Number and word of each line that has something on it, "" if that is no word of this kind."""
    tidy = _strict_word if kind == "strict" else _whole_word
    for number, line in enumerate(list_files.read(file).decode("utf-8-sig", "replace").split("\n"), 1):
        if entry := line.partition("#")[0].strip():
            yield number, tidy(_lower(entry))


def _strict_word(entry: str) -> str:
    kept = entry.translate(dict.fromkeys(map(ord, _IGNORED)))
    return kept if len(kept) >= MIN_STRICT_CHARS and not any(map(str.isspace, kept)) else ""


def _whole_word(entry: str) -> str:
    classes = character_classes()
    return entry if all(classes[ord(c)] & _WORD for c in entry) else ""


def _lower(text: str) -> str:
    table = lowercase_table()
    return "".join(chr(table[ord(c)]) for c in text)


class Automaton(NamedTuple):
    """Aho and Corasick's (1975), over the characters that occur in the words; all others lead back to state 0."""

    letters: NDArray[np.int16]  # number of a code point, [0x110000]; 0 for one in no word, -1 for one to ignore
    step: NDArray[np.int32]  # next state, [states, letters]
    n_ends: NDArray[np.int32]  # words that end in a state, [states]


class Dictionary(NamedTuple):
    """Words by their hashes, sorted."""

    keys: NDArray[np.uint64]
    kinds: NDArray[np.uint8]  # 1 hard, 2 soft, 3 both


@functools.lru_cache(maxsize=2)
def _load(scorer: UrlWords) -> tuple[Automaton, Dictionary]:
    """What the kernels need of a scorer's words. Made once a process."""
    if not (scorer.strict or scorer.hard or scorer.soft):
        return _automaton(STRICT), _dictionary(HARD, SOFT)
    strict, hard, soft = (
        sorted({word for file in getattr(scorer, kind) for _, word in _words(kind, file)} - {""}) for kind in KINDS
    )
    return _automaton(strict), _dictionary(hard, soft)


def _automaton(words: Iterable[str]) -> Automaton:
    """Errors: `InputError` if there is too much of them."""
    text = "".join(words)
    if len(text) > MAX_STRICT_CHARS:
        raise InputError(
            f"{len(text):,} characters of strict words for URLs, at most {MAX_STRICT_CHARS:,} are possible"
        )
    numbers = {letter: number for number, letter in enumerate(sorted(set(text)), 1)}
    edges: list[dict[str, int]] = [{}]
    n_ends = [0]
    for word in words:
        state = 0
        for letter in word:
            if letter not in edges[state]:
                edges[state][letter] = len(edges)
                edges.append({})
                n_ends.append(0)
            state = edges[state][letter]
        n_ends[state] += 1
    step = np.zeros((len(edges), len(numbers) + 1), np.int32)
    fallback = [0] * len(edges)  # the state of the longest proper suffix
    queue = [0]
    for state in queue:  # it grows: breadth first, so that suffixes come before
        step[state] = step[fallback[state]]
        for letter, child in edges[state].items():
            fallback[child] = int(step[state, numbers[letter]])
            step[state, numbers[letter]] = child
            n_ends[child] += n_ends[fallback[child]]
        queue += edges[state].values()
    return Automaton(_letters(numbers), step, np.array(n_ends, np.int32))


def _letters(numbers: dict[str, int]) -> NDArray[np.int16]:
    lower = lowercase_table()
    letters = np.zeros(len(lower), np.int16)
    for letter, number in numbers.items():
        letters[lower == ord(letter)] = number
    letters[[ord(c) for c in _IGNORED]] = -1
    return letters


def _dictionary(hard: Iterable[str], soft: Iterable[str]) -> Dictionary:
    kinds: dict[int, int] = {}
    for bit, words in ((1, hard), (2, soft)):
        for word in words:
            key = int(FNV_BASIS)
            for c in word:
                key = (key ^ ord(c)) * int(FNV_PRIME) % 2**64
            kinds[key] = kinds.get(key, 0) | bit
    keys = sorted(kinds)
    return Dictionary(np.array(keys, np.uint64), np.array([kinds[key] for key in keys], np.uint8))


# Kernels


@kernel
def _unescape(data, offsets, plain, plain_offsets):  # type: ignore[no-untyped-def]
    """Writes the URLs with "%XX" decoded to bytes, as ``urllib.parse.unquote_to_bytes`` does."""
    n = plain_offsets[0] = 0
    for url in range(len(offsets) - 1):
        i, end = offsets[url], offsets[url + 1]
        while i < end:
            plain[n] = data[i]
            if data[i] == _PERCENT and i + 2 < end:
                high, low = _hex_digit(data[i + 1]), _hex_digit(data[i + 2])
                if high >= 0 and low >= 0:
                    plain[n] = high << 4 | low
                    i += 2
            i += 1
            n += 1
        plain_offsets[url + 1] = n


@kernel
def _hex_digit(byte):  # type: ignore[no-untyped-def]
    """The value of a hexadecimal digit, else -1."""
    if _ZERO <= byte < _ZERO + 10:
        return np.int64(byte) - _ZERO
    letter = np.int64(byte | 0x20) - _LOWER_A
    return letter + 10 if 0 <= letter < 6 else -1


@kernel
def _decode(text, i):  # type: ignore[no-untyped-def]
    """`decode`, but strict: an escape can give any byte, and must not hide the letters after it (``%E3porn``)."""
    code_point, size = decode(text, i)
    if size > 1 and text[i] < 0xC2:
        return np.uint32(0xFFFD), 1
    for k in range(1, size):
        if text[i + k] & 0xC0 != 0x80:
            return np.uint32(0xFFFD), 1
    return code_point, size


@kernel
def _count_strict(data, offsets, letters, step, n_ends, counts):  # type: ignore[no-untyped-def]
    """Counts where a word of the automaton ends in each URL."""
    for url in range(len(offsets) - 1):
        text = data[offsets[url] : offsets[url + 1]]
        i = state = n = 0
        while i < len(text):
            code_point, size = _decode(text, i)
            letter = letters[code_point]
            if letter >= 0:
                state = step[state, letter]
                n += n_ends[state]
            i += size
        counts[url] = n


@kernel
def _count_words(data, offsets, classes, lower, keys, kinds, n_hard, n_soft):  # type: ignore[no-untyped-def]
    """Counts the hard words, and the distinct soft ones, in each URL."""
    last_seen = np.full(len(keys), -1, np.int64)  # the latest URL that has the word
    for url in range(len(offsets) - 1):
        text = data[offsets[url] : offsets[url + 1]]
        key = FNV_BASIS
        i = 0
        while i <= len(text):
            code_point, size = _decode(text, i) if i < len(text) else (np.uint32(0), 1)
            i += size
            if classes[code_point] & _WORD:
                key = (key ^ np.uint64(lower[code_point])) * FNV_PRIME
            elif key != FNV_BASIS:
                place = np.searchsorted(keys, key)
                if place < len(keys) and keys[place] == key:
                    n_hard[url] += kinds[place] & 1
                    n_soft[url] += kinds[place] >> 1 and last_seen[place] != url
                    last_seen[place] = url
                key = FNV_BASIS
