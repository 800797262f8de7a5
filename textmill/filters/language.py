"""The language of a document, by a fastText model or by a detector that is built in.

fastText: Joulin et al. 2016 (arXiv 1612.03651). ``lid.176.ftz`` (CC BY-SA 3.0) knows 176 languages; other models work
too, if their labels are languages: GlotLID's and NLLB's ``eng_Latn`` becomes ``en``. For text without letters a model
would still name some language; such text is ``und`` here. Newlines count as spaces.

The sample is the first 1,000 characters after leading whitespace. On 2,678 web pages of known language that are longer,
it gets the same label as the whole text on all (99.7 % right), 500 characters on all but two. Samples of the same size
that are spread over the text in four or ten parts are no better (.07 % of their labels are other ones) and cost a look
at all of it.

Built in: resiliparse's ``detect_fast`` (101 languages, no file), for machines that have neither model nor network. It
gives a distance, not a probability; the score is 1 at distance 0 and .65, FineWeb's bound, at `SURE_DISTANCE`. On
3,154 web pages of known language that bound keeps 97.2 %, 99.8 % of them right (the model: 99.2 % and 99.7 %). Of
Tatoeba's sentences, strung together to 1,000 characters, it keeps 95 %, 96 % of them right; but of 200 characters only
56 %, and it takes most long texts in languages that it does not know for others. Prefer the model. Of short texts in
other scripts than Latin it mostly finds nothing; then a script that one language has nearly to itself decides, with
`SURE_SCORE`: of 910 such sentences and paragraphs 761 were in that language, 119 in Wu or Cantonese, 29 in Yiddish.

Cost: see ``benchmarks/languages.py``.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import logging
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import platformdirs
import pyarrow as pa
from numpy.typing import NDArray

from textmill import storage
from textmill.bits import kernel
from textmill.errors import InputError, UserError
from textmill.filters.base import Scorer
from textmill.filters.fasttext_model import load_named, load_same
from textmill.text import LETTER, SPACE, Documents, character_classes, decode

OFFICIAL_URL = "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz"
OFFICIAL_DIGEST = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
MAX_DOWNLOAD_BYTES = 2 << 20  # the file has 938,013
TIMEOUT_S = 5.0

BUILTIN = "builtin"
UNDETERMINED = "und"  # ISO 639-2
SAMPLE_CHARS = 1000
SURE_DISTANCE = 500
SURE_SCORE = 0.65

# Scripts that one language has nearly to itself; Han beside kana counts as Japanese.
SCRIPTS = {
    "Hiragana": "ja", "Katakana": "ja", "Han": "zh", "Hangul": "ko", "Thai": "th", "Lao": "lo", "Khmer": "km",
    "Myanmar": "my", "Greek": "el", "Hebrew": "he", "Armenian": "hy", "Georgian": "ka", "Tamil": "ta", "Telugu": "te",
    "Kannada": "kn", "Malayalam": "ml", "Gujarati": "gu", "Gurmukhi": "pa", "Sinhala": "si", "Oriya": "or",
    "Tibetan": "bo", "Thaana": "dv",
}  # fmt: skip
_LETTERS = "|".join(rf"(?P<{script}>[\p{{{script}}}&&\p{{L}}])" for script in SCRIPTS) + r"|(?P<other>\p{L})"
MIN_KANA_FRAC = 0.1  # of the kana and Han of Japanese text

COLUMNS = pa.schema(
    [
        pa.field("language", pa.string(), nullable=False),  # ISO 639-1 where there is one, else the model's own label
        pa.field("language_score", pa.float32(), nullable=False),  # 0 to 1
        pa.field("language_second", pa.string(), nullable=False),  # the next likely
        pa.field("language_second_score", pa.float32(), nullable=False),
    ]
)
PARAGRAPH_COLUMNS = pa.schema(
    [
        pa.field("language_main", pa.string(), nullable=False),  # that of most characters
        pa.field("language_main_frac", pa.float32(), nullable=False),  # of the characters in judged paragraphs
        pa.field("language_n_paragraphs", pa.int32(), nullable=False),  # those judged
        pa.field("language_n_found", pa.int32(), nullable=False),  # different languages of theirs
    ]
)


@dataclass(frozen=True)
class Language(Scorer):
    """The two most likely languages, with their scores; ``("und", 0)`` for text without letters, or if none is near.

    ``digest`` is the sha256 of the fastText model at the path ``model``, or "builtin". The path does not belong to the
    scorer's identity. ``sample_chars`` characters after leading whitespace are looked at; 0 means the whole text.
    Errors, on first use: `EnvironmentFault` if the file is not there or has another digest, `InputError` if it is no
    fastText classifier; `UserError` for a negative ``sample_chars``.
    """

    version = 3

    model: str = field(default="", metadata={"identity": False})
    digest: str = BUILTIN
    sample_chars: int = SAMPLE_CHARS

    def __post_init__(self) -> None:
        if self.sample_chars < 0:
            raise UserError(f"sample_chars is {self.sample_chars}; give a number of characters, or 0 for all")

    @property
    def columns(self) -> pa.Schema:
        """The same for all models."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        bounds = pieces.offsets[:-1], pieces.offsets[1:]
        start, end = _cut_samples(pieces.data, *bounds, character_classes(), self.sample_chars)
        labels, scores = _identify(self.model, self.digest, pieces.data, start, end)
        first, second = scores.T
        return [labels[0], pa.array(first), labels[1], pa.array(second)]


@dataclass(frozen=True)
class ParagraphLanguages(Scorer):
    """How far the paragraphs of a document are in one language; paragraphs as `Segmentation.paragraphs` cuts them.

    A paragraph of fewer than ``min_chars`` characters, or without letters, is not judged: it would be a guess. ``und``,
    0 and 0 if none is left. ``model`` and ``digest`` as in `Language`, with the same errors.
    """

    version = 2

    model: str = field(default="", metadata={"identity": False})
    digest: str = BUILTIN
    min_chars: int = 50

    @property
    def columns(self) -> pa.Schema:
        """The same for all models."""
        return PARAGRAPH_COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        paragraphs = pieces.paragraphs
        judged = (paragraphs.n_chars >= self.min_chars) & ((paragraphs.classes & LETTER) != 0)
        n_chars = paragraphs.n_chars[judged]
        (labels, _), _ = _identify(
            self.model, self.digest, pieces.data, paragraphs.start[judged], paragraphs.end[judged]
        )
        coded = labels.dictionary_encode()
        names = [*coded.dictionary.to_pylist(), UNDETERMINED]
        offsets = np.concatenate([[0], np.cumsum(paragraphs.sums(judged))])
        main, frac, n_found = _count_languages(coded.indices.to_numpy(), n_chars, offsets, len(names))
        columns = [pa.array(names).take(pa.array(main)), frac, np.diff(offsets), n_found]
        return [pa.array(column).cast(field.type) for column, field in zip(columns, PARAGRAPH_COLUMNS, strict=True)]


def identify(text: str, scorer: Language | None = None) -> tuple[str, float]:
    """Label and score, 0 to 1, of one text; without a ``scorer`` by `model_at_hand`."""
    language, score, *_ = (scorer or model_at_hand()).score(Documents.from_texts([text]))
    return language[0].as_py(), score[0].as_py()


@functools.cache
def model_at_hand() -> Language:
    """The scorer with ``lid.176.ftz`` if that is in the user's cache, else the built-in detector; no download.

    Looked for once a process.
    """
    return Language(str(_cached()), OFFICIAL_DIGEST) if _is_cached() else Language()


def find_model(path: str | None = None, wanted: str = "", *, url: str = OFFICIAL_URL) -> Language:
    """The scorer with the best model at hand.

    That is the model at ``path`` if given ("builtin" is the built-in detector); else ``lid.176.ftz`` in the user's
    cache; else that file, downloaded from ``url`` into the cache; else, with a warning, the built-in detector. Errors:
    `InputError` if ``path`` is no fastText classifier, or knows no language ``wanted``: nothing would be in it.
    """
    if path == BUILTIN:
        return Language()
    if path is not None:
        return _given_model(Path(path), wanted)
    cached = _cached()
    try:
        if not _is_cached():
            _download(url, cached)
    except (OSError, ValueError, http.client.HTTPException) as error:
        logging.getLogger("textmill").warning(
            "no fastText language model (%s: %s); using the built-in detector, which is less exact. "
            "Give the path of lid.176.ftz, or put the file at %s",
            url,
            error,
            cached,
        )
        return Language()
    return Language(str(cached), OFFICIAL_DIGEST)


def _cached() -> Path:
    return Path(platformdirs.user_cache_dir("textmill")) / "lid.176.ftz"


def _is_cached() -> bool:
    """Whether the official model is in the user's cache. Errors: `OSError`."""
    return _cached().is_file() and storage.sha256(_cached()) == OFFICIAL_DIGEST


def _given_model(path: Path, wanted: str) -> Language:
    model, digest = load_named(path, "language model")
    if wanted and wanted not in (UNDETERMINED, *map(iso_code, model.labels)):
        names = ", ".join(model.labels[:10])
        raise InputError(f"{path}: this model does not know the language {wanted!r}; its labels: {names}")
    return Language(str(path.resolve()), digest)


def _download(url: str, target: Path) -> None:
    """Writes the official model whole or not at all. Errors: `OSError`, `ValueError`, `http.client.HTTPException`."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        content = response.read(MAX_DOWNLOAD_BYTES)
    if hashlib.sha256(content).hexdigest() != OFFICIAL_DIGEST:
        raise ValueError("what came is not the file that was published")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        complete = Path(scratch) / target.name
        complete.write_bytes(content)
        complete.replace(target)


# What a model says


def _identify(
    model: str, digest: str, data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[tuple[pa.StringArray, pa.StringArray], NDArray[np.float32]]:
    """The two most likely languages of ``data[start[k]:end[k]]``, and their scores, [texts, 2]; none is "und" and 0."""
    if digest == BUILTIN:
        return _detect(data, start, end)
    loaded = load_same(model, digest)
    numbers, scores = loaded.best(data, np.arange(len(start) + 1), start, end)
    scores[start == end] = 0  # without a word a model judges its end-of-sentence token
    numbers[start == end] = -1
    names = pa.array([*map(iso_code, loaded.labels), UNDETERMINED])
    first, second = (names.take(pa.array(column % len(names))) for column in numbers.T)
    return (first, second), scores


def _detect(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[tuple[pa.StringArray, pa.StringArray], NDArray[np.float32]]:
    """As `_identify`, by the built-in detector."""
    from resiliparse.parse.lang import detect_fast

    labels = np.full((len(start), 2), UNDETERMINED, dtype=object)
    scores = np.zeros((len(start), 2), dtype=np.float32)
    for i, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        sample = " ".join(bytes(data[a:b]).decode(errors="replace").split())
        found = detect_fast(sample, n_results=2) if sample else []
        assert isinstance(found, list)
        for rank, (label, distance) in enumerate(found):
            labels[i, rank] = label
            scores[i, rank] = max(0.0, 1 - (1 - SURE_SCORE) * distance / SURE_DISTANCE)
        if sample and not found and (language := _by_script(sample[:SAMPLE_CHARS])):
            labels[i, 0], scores[i, 0] = language, SURE_SCORE
    first, second = (pa.array(column, pa.string()) for column in labels.T)
    return (first, second), scores


def _by_script(sample: str) -> str:
    """The language whose script most letters are of; "" if there is none, or the script has several."""
    import regex

    scripts = Counter(letter.lastgroup for letter in regex.finditer(_LETTERS, sample, regex.V1))
    n_letters = Counter(dict.fromkeys(SCRIPTS.values(), 0))
    for script, language in SCRIPTS.items():
        n_letters[language] += scripts[script]
    n_both = n_letters["ja"] + n_letters["zh"]
    if n_letters["ja"] >= MIN_KANA_FRAC * n_both:
        n_letters.update(ja=n_letters.pop("zh"))
    language, n = n_letters.most_common(1)[0]
    return language if 2 * n > scripts.total() else ""


@kernel
def _cut_samples(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    classes: NDArray[np.uint8],
    n_chars: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the sample of each text starts and ends; it is empty if it would have no letters."""
    starts, ends = np.copy(start), np.copy(start)
    for k in range(len(start)):
        text = data[start[k] : end[k]]
        i, first, n_seen, seen = 0, -1, 0, np.uint8(0)
        while i < len(text) and (n_chars == 0 or n_seen < n_chars):
            code_point, size = decode(text, i)
            if first < 0 and classes[code_point] != SPACE:
                first = i
            seen |= classes[code_point]
            n_seen += first >= 0
            i += size
        if seen & LETTER:
            starts[k], ends[k] = start[k] + first, start[k] + i
    return starts, ends


@kernel
def _count_languages(
    labels: NDArray[np.int32], n_chars: NDArray[np.int32], offsets: NDArray[np.int64], n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Of each document the label with most characters (the last label if there is none), its share, and how many."""
    main = np.full(len(offsets) - 1, n_labels - 1, dtype=np.int64)
    frac, n_found = np.zeros(len(main), dtype=np.float32), np.zeros(len(main), dtype=np.int64)
    chars = np.zeros(n_labels, dtype=np.int64)
    for document in range(len(main)):
        total = 0
        for k in range(offsets[document], offsets[document + 1]):
            label = labels[k]
            n_found[document] += chars[label] == 0
            chars[label] += n_chars[k]
            total += n_chars[k]
            if chars[label] > chars[main[document]]:
                main[document] = label
        if total:
            frac[document] = chars[main[document]] / total
        for k in range(offsets[document], offsets[document + 1]):
            chars[labels[k]] = 0
    return main, frac, n_found


# Codes


def iso_code(label: str) -> str:
    """The code of ISO 639-1 for a model's label, where there is one; else the label without its script.

    ``en``, ``eng`` and ``eng_Latn`` are all ``en``. Of a language that ISO 639-3 divides, the part that the models have
    counts as the whole, as ``arb`` (standard Arabic) does for ``ar``.
    """
    language, _, script = label.partition("_")
    if script and language == "als":
        return "sq"  # Tosk Albanian; by itself it is Wikipedia's name of Alemannic
    return _ISO_639_1.get(language, language)


# ISO 639-3, and where they differ the codes of ISO 639-2/B, to ISO 639-1; then parts of languages that 639-3 divides.
_ISO_639_1 = dict(
    pair.split(":")
    for pair in """
aar:aa abk:ab afr:af aka:ak amh:am ara:ar arg:an asm:as ava:av ave:ae aym:ay aze:az bak:ba bam:bm bel:be ben:bn bis:bi
bod:bo tib:bo bos:bs bre:br bul:bg cat:ca ces:cs cze:cs cha:ch che:ce chu:cu chv:cv cor:kw cos:co cre:cr cym:cy wel:cy
dan:da deu:de ger:de div:dv dzo:dz ell:el gre:el eng:en epo:eo est:et eus:eu baq:eu ewe:ee fao:fo fas:fa per:fa fij:fj
fin:fi fra:fr fre:fr fry:fy ful:ff gla:gd gle:ga glg:gl glv:gv grn:gn guj:gu hat:ht hau:ha hbs:sh heb:he her:hz hin:hi
hmo:ho hrv:hr hun:hu hye:hy arm:hy ibo:ig ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik isl:is ice:is ita:it jav:jv
jpn:ja kal:kl kan:kn kas:ks kat:ka geo:ka kau:kr kaz:kk khm:km kik:ki kin:rw kir:ky kom:kv kon:kg kor:ko kua:kj kur:ku
lao:lo lat:la lav:lv lim:li lin:ln lit:lt ltz:lb lub:lu lug:lg mah:mh mal:ml mar:mr mkd:mk mac:mk mlg:mg mlt:mt mon:mn
mri:mi mao:mi msa:ms may:ms mya:my bur:my nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl dut:nl nno:nn nob:nb nor:no
nya:ny oci:oc oji:oj ori:or orm:om oss:os pan:pa pli:pi pol:pl por:pt pus:ps que:qu roh:rm ron:ro rum:ro run:rn rus:ru
sag:sg san:sa sin:si slk:sk slo:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so sot:st spa:es sqi:sq alb:sq srd:sc srp:sr
ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr
twi:tw uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh chi:zh zul:zu
arb:ar azj:az cmn:zh ekk:et fuv:ff gaz:om khk:mn kmr:ku lvs:lv npi:ne ory:or pbt:ps pes:fa plt:mg quy:qu swh:sw
uzn:uz ydd:yi zsm:ms
""".split()
)
