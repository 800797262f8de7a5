"""What Gopher's rules need for other languages: stop words, and bounds where the English ones do not fit.

Made from text, not from published lists, by ``python -m textmill.filters.languages --data FOLDER --out languages.json``
(three collections as ``udhr2.jsonl.gz``, ``tatoeba.jsonl.gz``, ``lingua_sentences.jsonl.gz``: the Universal Declaration
of Human Rights, Tatoeba's sentences, sentences from the web). Lines of the web sentences with an odd number are left
out of the making; ``--validate`` measures on them, and what it said is below.

- **Stop words**: of words that are nothing but letters, those that are in most chunks of `CHUNK_WORDS` words, by the
  collection where they are rarest. A word of laws, of chats or of news is rare in one of them; a function word in none.
  Eight, or as many more as it takes for 99 of 100 samples of `SAMPLE_WORDS` words to have two; sixty at most.
- **Word length**: the English bounds, times mean length of a word in the language over mean length in English.
- **Words with a letter**: the English bound, or what 99 of 100 samples of `SAMPLE_WORDS` words have, rounded down to
  .05, if that is lower. Treebank words have a bound of their own, as punctuation counts among them.
- **Languages without spaces** (`UNSPACED`): words are Unicode words, so a Chinese character or a Thai letter each. The
  bounds on their number are the English ones times words in a paragraph of the Declaration over words in English. Stop
  words of Thai, Burmese and the like are letters then, and say no more than the script. N-grams of characters are no
  n-grams of words, and the rules on these would drop 27 % of Chinese pages (5 % of English ones), so that
  `gopher.for_language` leaves them out.

Of held-out samples 99.7 % have two stop words of their language (mean of 74 languages; least: Korean, 95 %), and 94 %
of those in other languages do not (least: Bosnian, 74 %, Yoruba, Latin; relatives share words).
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from textmill.errors import UnknownNameError
from textmill.text import Documents

UNSPACED = ("ja", "th", "zh")
MIN_STOP_WORDS, MAX_STOP_WORDS = 8, 60
CHUNK_WORDS = 50
SAMPLE_WORDS = 100
COLLECTIONS = ("udhr2", "tatoeba", "lingua_sentences")
WEB = "lingua_sentences"
REFERENCE = "en"
ALPHA = 0.8  # the English bound

Texts = dict[str, dict[str, list[str]]]  # by collection, by language


@dataclass(frozen=True)
class Language:
    """What differs from English."""

    stop_words: tuple[str, ...]
    word_length: float  # mean length of a word over that in English
    alpha: float  # least share of words with a letter
    treebank_alpha: float  # the same of Treebank words
    n_words: float  # words of a text over words of its English translation; 1 where words are cut at whitespace
    words: str  # a kind of words, or "": as the preset has it


@functools.cache
def languages() -> dict[str, Language]:
    """What differs, by ISO 639-1 code; English is not there."""
    made = json.loads(resources.files("textmill.filters").joinpath("languages.json").read_text("utf-8"))
    return {
        code: Language(**{**fields, "stop_words": tuple(fields["stop_words"].split())}) for code, fields in made.items()
    }


def language(code: str) -> Language:
    """What differs in a language. Errors: `UnknownNameError`."""
    if code not in languages():
        raise UnknownNameError("language", code, [REFERENCE, *languages()])
    return languages()[code]


def words_of(text: str, code: str) -> list[str]:
    """The words of a text, as `Language.words` has them cut."""
    return _words(text, "unicode" if code in UNSPACED else "whitespace")


def _words(text: str, kind: str) -> list[str]:
    pieces = Documents.from_texts([text]).segmentation
    words = pieces.cut(kind)
    return [bytes(pieces.data[a:b]).decode() for a, b in zip(words.start, words.end, strict=True)]


def make(texts: Texts) -> dict[str, dict[str, object]]:
    """The content of ``languages.json``, from the texts that are not held out."""
    words = {
        code: {name: words_of("\n".join(texts[name][code]), code) for name in COLLECTIONS if code in texts[name]}
        for code in sorted(texts[WEB])
    }
    per_paragraph = {
        code: len(words[code]["udhr2"]) / len(texts["udhr2"][code]) for code in words if "udhr2" in words[code]
    }
    made: dict[str, dict[str, object]] = {}
    for code, by_collection in words.items():
        made[code] = {
            "stop_words": " ".join(_enough(stop_words([*by_collection.values()]), by_collection[WEB])),
            "word_length": round(_mean_chars(by_collection[WEB]) / _mean_chars(words[REFERENCE][WEB]), 2),
            "alpha": _alpha(by_collection[WEB]),
            "treebank_alpha": _alpha(_words("\n".join(texts[WEB][code]), "treebank")),
            "n_words": round(per_paragraph[code] / per_paragraph[REFERENCE], 2) if code in UNSPACED else 1.0,
            "words": "unicode" if code in UNSPACED else "",
        }
    return {code: fields for code, fields in made.items() if code != REFERENCE}


def stop_words(collections: Sequence[Sequence[str]]) -> list[str]:
    """Words by the share of chunks that they are in, in the collection where that is least; of equals, where it is next
    to least, and so on."""
    shares = [_chunk_shares([word.lower() for word in words]) for words in collections]
    known = {word: sorted(share.get(word, 0.0) for share in shares) for word in set().union(*shares)}
    return sorted(known, key=lambda word: ([-share for share in known[word]], word))[:MAX_STOP_WORDS]


def _enough(words: Sequence[str], text: Sequence[str]) -> Sequence[str]:
    """The first of the words, so many that 99 of 100 samples of a text have two; at least as many as English has."""
    cut = [{word.lower() for word in sample} for sample in _cut(text, SAMPLE_WORDS)]
    for n in range(MIN_STOP_WORDS, len(words)):
        if sum(len(sample.intersection(words[:n])) >= 2 for sample in cut) >= 0.99 * len(cut):
            return words[:n]
    return words


def _chunk_shares(words: Sequence[str]) -> dict[str, float]:
    """In what share of chunks of consecutive words each word is, of those that are nothing but letters."""
    chunks = list(_cut(words, min(CHUNK_WORDS, len(words))))
    counts = Counter(word for chunk in chunks for word in set(chunk) if _is_letters(word))
    return {word: count / len(chunks) for word, count in counts.items()}


def _is_letters(word: str) -> bool:
    """Whether a word is letters and their marks; the joiners of Persian and Indian scripts are allowed."""
    return all(unicodedata.category(c)[0] in "LM" or c in "\u200c\u200d" for c in word)


def _cut(words: Sequence[str], n: int) -> Iterator[Sequence[str]]:
    """Chunks of n words; the rest is left out."""
    return (words[i : i + n] for i in range(0, len(words) - n + 1, n))


def _mean_chars(words: Sequence[str]) -> float:
    return sum(map(len, words)) / len(words)


def _alpha(words: Sequence[str]) -> float:
    """The least share of words with a letter that a rule may ask for."""
    shares = sorted(
        sum(any(map(str.isalpha, word)) for word in sample) / len(sample) for sample in _cut(words, SAMPLE_WORDS)
    )
    seen = shares[len(shares) // 100]
    return min(ALPHA, math.floor(seen * 20) / 20)


def read(folder: Path) -> Texts:
    """The collections, by language."""
    texts: Texts = {}
    for name in COLLECTIONS:
        of = texts.setdefault(name, {})
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                of.setdefault(row["lang"], []).append(unicodedata.normalize("NFC", row["text"]))
    return texts


def split_web(texts: Texts) -> tuple[Texts, dict[str, list[str]]]:
    """The texts to make the rules from, and the web sentences that are held out, by language."""
    used = {code: sentences[::2] for code, sentences in texts[WEB].items()}
    return {**texts, WEB: used}, {code: sentences[1::2] for code, sentences in texts[WEB].items()}


def samples(sentences: Iterable[str], code: str) -> list[str]:
    """Consecutive sentences in one text each, until it has at least `SAMPLE_WORDS` words; the rest is left out."""
    made, sample, n_words = [], [], 0
    for sentence in sentences:
        sample.append(sentence)
        n_words += len(words_of(sentence, code))
        if n_words >= SAMPLE_WORDS:
            made.append("\n".join(sample))
            sample, n_words = [], 0
    return made


def validate(held_out: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, float, float]]:
    """For each language the share of its own samples that pass the stop word rule, and of other languages' that fail.

    Samples are `held_out` web sentences. Languages whose words are cut alike share the cutting.
    """
    cut: dict[str, list[tuple[str, list[set[str]]]]] = {"": [], "unicode": []}
    for code, sentences in held_out.items():
        texts = samples(sentences, code)
        cut[""].append((code, [set(text.lower().split()) for text in texts]))
        cut["unicode"].append((code, [{word.lower() for word in _words(text, "unicode")} for text in texts]))
    for code, differs in languages().items():
        passed = {
            other: sum(len(words.intersection(differs.stop_words)) >= 2 for words in texts) / len(texts)
            for other, texts in cut[differs.words]
        }
        own = passed.pop(code)
        yield code, own, 1 - sum(passed.values()) / len(passed)


def main() -> None:
    """The command line; see the docstring of the module."""
    parser = argparse.ArgumentParser(
        prog="python -m textmill.filters.languages", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the three collections")
    parser.add_argument("--out", type=Path, help="write languages.json")
    parser.add_argument("--validate", action="store_true", help="measure the stop words on sentences held out")
    arguments = parser.parse_args()
    used, held_out = split_web(read(arguments.data))
    if arguments.out:
        lines = (f"{json.dumps(code)}: {json.dumps(fields, ensure_ascii=False)}" for code, fields in make(used).items())
        arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    if arguments.validate:
        print("language  own text that passes  other languages' text that fails")
        for code, own, refused in validate(held_out):
            print(f"{code:8}  {own:21.3f}  {refused:32.3f}")


if __name__ == "__main__":
    main()
