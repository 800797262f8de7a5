"""MinHash: 14 numbers a document, of which documents that are much alike share at least one.

Broder, "On the resemblance and containment of documents" (1997), with 14 bands of 8 rows over word 5-grams as in
FineWeb (arXiv 2406.17557): a pair of Jaccard similarity .8 is found with 92 %, .7 with 56 %, .5 with 5 %. `PRESETS` has
what other systems use, and `deduplicate_files` does all of it for a few files of text.

**Words** are what lies between white space after folding (`normalize.Normalization`); by default letters and digits
make words, and everything else separates. In scripts that are written without spaces (Han, Kana, Thai, Lao, Khmer,
Burmese) each letter begins a new word; marks, digits and other letters after it join it. A word's hash is that of its
folded characters: one byte for ASCII, three for any other.

**Shingles.** A shingle is a 64-bit hash of n words, or characters, in order: a polynomial, mixed. A document that has
fewer, but at least one, has one shingle, all of them (or none, by `MinHash.short`). Without words it has none, and is
never a candidate. The hashes are quick ones that an adversary could make collide, which gains him nothing: copying the
text would do as well, and pairs are verified.

**Permutations.** ``a * x + b`` modulo 2**32 with random odd ``a``: one multiplication in 32-bit lanes. Half of the
permutations read the upper half of the shingle's hash, half the lower, and each band has rows of both, so that even the
bands of one-shingle documents tell 64 bits apart. Being bijections of uniform hashes, each estimates the Jaccard
similarity without bias, up to collisions of 32 bits (n/2**33 for n shingles); tests/test_minhash_theory.py compares
bias, variance and pairs found with theory. Each band is collapsed to 64 bits; with 32 there would be false candidates
by the million in a crawl.

**Sketches** keep eight bits of each minimum: what estimates a similarity where the text is out of reach.

Costs (benchmarks/dedup_signatures.py): band hashes of 120 to 250 MB of text a second, on a core that others kept busy
(AMD EPYC), shingle sets of 80 to 200. Memory: at most 4 bytes a byte (8 with characters) of 16 MB of text or of the
longest document, and the signatures, 4 bytes a permutation; shingle sets take 8 bytes a word of the whole batch.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.bits import kernel
from textmill.dedup import minhash_kernels as kernels
from textmill.dedup import records
from textmill.dedup.clusters import connected_components
from textmill.dedup.lsh import candidate_pairs
from textmill.dedup.minhash_kernels import Cutting, Signed
from textmill.dedup.normalize import AS_IT_IS, LETTERS_AND_DIGITS, NO_NUMBERS, NO_PUNCTUATION, Normalization
from textmill.errors import InputError, MissingExtraError, UnknownNameError, UserError, WorkspaceError
from textmill.text import Segmentation

if TYPE_CHECKING:
    from datasketch import LeanMinHash

SHINGLES_OF = ("words", "characters")
MOST_PERMUTATIONS = 1 << 15  # RefinedWeb takes 9,000
SHORT_HAS = ("one", "none")
PIECE_BYTES = 1 << 24  # of text and signatures, that are worked on at a time
BATCH_BYTES = 1 << 26  # of files

# ---- signatures


@dataclass(frozen=True)
class MinHash:
    """The parameters of a signature. Only documents that were signed with the same ones can be compared."""

    version: ClassVar[int] = 2  # of the hashes

    ngram: int = 5
    bands: int = 14
    rows: int = 8  # a band
    seed: int = 1  # of the permutations
    shingles: str = "words"  # what n of make a shingle, one of SHINGLES_OF
    normalization: Normalization = LETTERS_AND_DIGITS
    short: str = "one"  # shingles of a document with fewer words than ngram, one of SHORT_HAS

    def __post_init__(self) -> None:
        for name, least in (("ngram", 1), ("bands", 1), ("rows", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.permutations > MOST_PERMUTATIONS:
            raise UserError(f"{self.bands} bands of {self.rows} rows; at most {MOST_PERMUTATIONS:,} permutations")
        if self.shingles not in SHINGLES_OF:
            raise UnknownNameError("kind of shingles", self.shingles, SHINGLES_OF)
        if self.short not in SHORT_HAS:
            raise UnknownNameError("number of shingles of a short document", self.short, SHORT_HAS)

    @property
    def permutations(self) -> int:
        """Numbers in a signature."""
        return self.bands * self.rows

    def band_hashes(self, text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """The hash of every band, uint64 [n, bands], and the number of shingles, repeats included, int32 [n].

        A document without shingles has `lsh.NO_BAND` in every band; no other document has that.
        """
        hashes = np.empty((len(text), self.bands), dtype=np.uint64)
        n_shingles = np.empty(len(text), dtype=np.int32)
        for some in self._pieces(text):
            signed = self.sign(text[some])
            hashes[some], n_shingles[some] = self.bands_of(signed.signatures), signed.n_shingles
        return hashes, n_shingles

    def signatures(self, text: pa.LargeStringArray) -> NDArray[np.uint32]:
        """The minimum of every permutation, uint32 [n, permutations]; `NO_MINIMUM` where there is no shingle."""
        return self.sign(text).signatures

    def sketches(self, text: pa.LargeStringArray) -> NDArray[np.uint8]:
        """Eight bits of every minimum, uint8 [n, permutations], for `sketch_similarities`."""
        return sketches_of(self.signatures(text))

    def sign(self, text: pa.LargeStringArray) -> Signed:
        """Signatures and counts in one go; `bands_of` and `sketches_of` make the rest from the signatures.

        Documents with fewer words, or characters, than a shingle has are those with ``0 < n_units < ngram``.
        """
        n = len(text)
        signed = Signed(np.empty((n, self.permutations), np.uint32), np.empty(n, np.int32), np.empty(n, np.int32))
        for some in self._pieces(text):
            shingles, offsets, signed.n_units[some] = self._shingle(text[some])
            signed.n_shingles[some] = np.diff(offsets)
            kernels.sign(shingles, offsets, *self._permutations(), signed.signatures[some])
        return signed

    def bands_of(self, signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """The hash of every band, uint64 [n, bands]."""
        hashes = np.empty((len(signatures), self.bands), dtype=np.uint64)
        kernels.collapse(signatures, hashes)
        return hashes

    def shingle_sets(self, text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The sets of shingles, for `pair_similarities`: document i has ``hashes[offsets[i]:offsets[i + 1]]``.

        Ascending and each shingle once within a document; ``offsets`` is int64 [n + 1].
        """
        shingles, offsets, _ = self._shingle(text)
        for start, end in itertools.pairwise(offsets.tolist()):
            shingles[start:end].sort()  # numpy's, not numba's: several times as fast
        offsets = kernels.unique(shingles, offsets)
        return shingles[: offsets[-1]].copy(), offsets

    def lean_minhashes(self, signatures: NDArray[np.uint32]) -> Iterator[LeanMinHash]:
        """The signatures as objects of datasketch, for its indexes (``MinHashLSH``, ``MinHashLSHForest``).

        Their ``seed`` stands for all parameters, so that datasketch refuses to compare those of different ones, or with
        its own, whose permutations are others. Errors: `MissingExtraError`.
        """
        try:
            from datasketch import LeanMinHash
        except ImportError as error:
            raise MissingExtraError("datasketch", "datasketch") from error
        digest = hashlib.blake2b(repr((self.version, self)).encode(), digest_size=7).digest()
        seed = int.from_bytes(digest, "big")
        return (LeanMinHash(seed=seed, hashvalues=signature, scheme="affine32") for signature in signatures)

    def _permutations(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Odd multipliers and increments. PCG64's raw output is the same in every version of numpy."""
        raw = np.random.PCG64(self.seed).random_raw(self.permutations)
        return raw.astype(np.uint32) | np.uint32(1), (raw >> np.uint64(32)).astype(np.uint32)

    def _shingle(self, text: pa.LargeStringArray) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32]]:
        cut = Segmentation(text)  # for its buffers; nothing is cut before it is asked for
        return kernels.shingle(cut.data, cut.offsets, self._cutting())

    def _pieces(self, text: pa.LargeStringArray) -> Iterator[slice]:
        """Runs of documents, of a bounded size together or one alone: signatures, and text with its shingles."""
        ends = np.cumsum(np.diff(Segmentation(text).offsets) + 4 * self.permutations)
        start = 0
        while start < len(text):
            before = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + PIECE_BYTES, "right")))
            yield slice(start, end)
            start = end

    def _cutting(self) -> Cutting:
        how = self.normalization
        return Cutting(
            how.characters(),
            words=self.shingles == "words",
            ngram=self.ngram,
            short_has_one=self.short == "one",
            lowercase=how.lowercase,
            zero_digits=how.zero_digits,
            punctuation_separates=how.punctuation == "space",
            collapse_whitespace=how.collapse_whitespace,
        )


# ---- what others use


@dataclass(frozen=True)
class Preset:
    """A published system's parameters.

    Permutations and hash functions are always textmill's own: the same documents give other numbers, and the same
    chance of being found.
    """

    minhash: MinHash
    threshold: float  # similarity from which a pair counts; where nothing is verified, the bands' nominal threshold
    source: str
    deviates: str = ""  # what else differs from the source


_COURSE = "CS336 (Stanford), assignment 4 of 2025; bands and rows of its tests"
_REDPAJAMA = "RedPajama-V2, rp:dedupe/minhash.py (2024-12-07)"
_ASCII = "punctuation is Unicode's, there ASCII's"

PRESETS = {
    "textmill": Preset(MinHash(), 0.7, "FineWeb's shape; digits are kept, pairs are verified"),
    "fineweb": Preset(
        MinHash(normalization=NO_NUMBERS, short="none"),
        0.75,
        "FineWeb (arXiv 2406.17557)",
        "words are cut at what is no letter or digit, there by spaCy; never verified there",
    ),
    "datatrove": Preset(
        MinHash(normalization=NO_NUMBERS, short="none"),
        0.72,
        "datatrove 0.10, pipeline/dedup/minhash.py (2026-08-13), its defaults",
        "words are cut at what is no letter or digit, there by a tokenizer of the language; never verified there",
    ),
    "refinedweb": Preset(
        MinHash(bands=450, rows=20, normalization=NO_PUNCTUATION),
        0.74,
        "RefinedWeb (arXiv 2306.01116)",
        "shingles are of words, there of GPT-2 tokens; never verified there",
    ),
    "dclm": Preset(
        MinHash(bands=93, rows=15, normalization=NO_PUNCTUATION),
        0.74,
        "DCLM (arXiv 2406.11794), its ablation of MinHash; DCLM-Baseline itself has a Bloom filter of 13-grams",
        "never verified there",
    ),
    "redpajama": Preset(MinHash(13, 9, 13, normalization=NO_PUNCTUATION), 0.8, _REDPAJAMA, _ASCII),
    "redpajama-0.7": Preset(MinHash(13, 14, 9, normalization=NO_PUNCTUATION), 0.7, _REDPAJAMA, _ASCII),
    "redpajama-0.9": Preset(MinHash(13, 5, 25, normalization=NO_PUNCTUATION), 0.9, _REDPAJAMA, _ASCII),
    "redpajama-1.0": Preset(MinHash(13, 1, 128, normalization=NO_PUNCTUATION), 1.0, _REDPAJAMA, _ASCII),
    "cs336": Preset(MinHash(5, 50, 10, normalization=NO_PUNCTUATION), 0.8, _COURSE, _ASCII),
    "curator": Preset(
        MinHash(24, 20, 13, seed=42, shingles="characters", normalization=AS_IT_IS),
        0.79,
        "NeMo Curator 26.07, stages/deduplication/fuzzy (2026-08-21), its defaults",
        "never verified there",
    ),
}


def preset(name: str) -> Preset:
    """The parameters of a published system. Errors: `UnknownNameError`."""
    if name not in PRESETS:
        raise UnknownNameError("MinHash preset", name, PRESETS)
    return PRESETS[name]


def bands_for(
    threshold: float,
    permutations: int = 128,
    false_positive_weight: float = 0.5,
    false_negative_weight: float = 0.5,
) -> tuple[int, int]:
    """Bands and rows, ``bands * rows <= permutations``, that tell pairs above and below a similarity apart best.

    The weighted sum is smallest of the areas under the S-curve below the threshold (false positives) and above it,
    beside 1 (false negatives), all similarities being equally frequent. The same as datasketch's ``MinHashLSH`` chooses
    (Zhu et al., LSH Ensemble, VLDB 2016). Errors: `UserError`.
    """
    if not 0 < threshold < 1:
        raise UserError(f"threshold is {threshold}; it must lie between 0 and 1")
    if permutations < 1:
        raise UserError(f"permutations is {permutations}; it must be at least 1")
    if min(false_positive_weight, false_negative_weight) < 0:
        raise UserError("weights must be at least 0")
    nodes, weights = np.polynomial.legendre.leggauss(128)
    below, above = threshold * (nodes + 1) / 2, 1 - (1 - threshold) * (nodes + 1) / 2
    to_error = weights / 2 * np.array([[false_positive_weight * threshold], [false_negative_weight * (1 - threshold)]])
    best = (np.inf, 0, 0)
    for bands in range(1, permutations + 1):
        rows = np.arange(1, permutations // bands + 1)[:, None]
        errors = (1 - (1 - below**rows) ** bands) @ to_error[0] + (1 - above**rows) ** bands @ to_error[1]
        best = min(best, (float(errors.min()), bands, int(errors.argmin()) + 1))
    return best[1:]


# ---- similarities


@kernel
def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Shared values / all values of two ascending arrays without repeats; 0 if both are empty."""
    i = j = n_shared = 0
    while i < a.shape[0] and j < b.shape[0]:
        left, right = a[i], b[j]
        n_shared += left == right
        i += left <= right
        j += right <= left
    n_all = a.shape[0] + b.shape[0] - n_shared
    return n_shared / n_all if n_all else 0.0


@kernel
def pair_similarities(
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The Jaccard similarity of documents ``left[k]`` and ``right[k]``, float32 [m].

    ``hashes`` and ``offsets`` are those of `MinHash.shingle_sets`; ``left`` and ``right`` are rows in them.
    """
    similarities = np.empty(len(left), dtype=np.float32)
    for k in range(len(left)):
        a, b = left[k], right[k]
        similarities[k] = jaccard(hashes[offsets[a] : offsets[a + 1]], hashes[offsets[b] : offsets[b + 1]])
    return similarities


def sketches_of(signatures: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Eight bits of every minimum, uint8 of the same shape: the upper ones, after MurmurHash3's finalizer.

    A minimum's own bits will not do: its upper ones are nearly always zero, and its lower ones depend on the lower bits
    of the shingle alone, so that two shingles which share these would agree under every permutation.
    """
    mixed = (signatures ^ signatures >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ mixed >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return ((mixed ^ mixed >> np.uint32(16)) >> np.uint32(24)).astype(np.uint8)


def sketch_similarities(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The similarity of the documents with sketches ``a[k]`` and ``b[k]`` (uint8 [m, permutations]), float32 [m].

    The share of bytes that agree, less what agrees by chance (1/256), at least 0; its standard error is
    `sketch_error`. Two documents without shingles, which are never candidates, look equal.
    """
    agree = (a == b).mean(axis=1)
    return np.maximum((256 * agree - 1) / 255, 0).astype(np.float32)


def sketch_error(similarity: float, permutations: int) -> float:
    """The standard error of `sketch_similarities` for a pair of this similarity: .038 at .8 with 112 permutations.

    A byte agrees with probability p = s + (1 - s)/256; the estimate is a binomial share of n, times 256/255, whose
    variance p(1 - p)/n (256/255)**2 comes to (1 - s)(s + 1/255)/n.
    """
    return float(np.sqrt((1 - similarity) * (similarity + 1 / 255) / permutations))


# ---- files of text


def deduplicate_files(
    paths: Iterable[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    num_hashes: int,
    num_bands: int,
    ngrams: int,
    jaccard_threshold: float,
    seed: int = 1,
) -> list[Path]:
    """Copy files to ``output_dir`` under the same names, but of those that are near-duplicates only one.

    One file is one document, in UTF-8. Pairs that share one of ``num_bands`` bands, each of ``num_hashes / num_bands``
    minima, are duplicates if the Jaccard similarity of their sets of word ``ngrams`` reaches the threshold; so are
    those that a chain of duplicates connects. Words are cut at white space, in lower case, without accents and
    punctuation. Of each cluster one stays, drawn by name and seed, whatever the order of the paths. Files without words
    all stay.

    Returns the copies, in the order of the paths. Memory: 8 bytes a band and file, 8 a word of files with a candidate.
    Errors: `UserError` for a wrong number; `InputError` for no files, one that cannot be read, or two of one name;
    `WorkspaceError` if one of the names is taken in ``output_dir``.
    """
    if num_bands < 1 or num_hashes < 1 or num_hashes % num_bands:
        raise UserError(f"num_hashes is {num_hashes} and num_bands {num_bands}; bands must divide hashes evenly")
    if not 0 < jaccard_threshold <= 1:
        raise UserError(f"jaccard_threshold is {jaccard_threshold}; it must be above 0 and at most 1")
    minhash = MinHash(ngrams, num_bands, num_hashes // num_bands, seed, normalization=NO_PUNCTUATION)
    if isinstance(paths, str | os.PathLike):
        raise UserError(f"{paths}: give a list of paths, not one path")
    sources, folder = [Path(path) for path in paths], Path(output_dir)
    _check_files(sources, folder)
    pairs = _duplicates(minhash, sources, jaccard_threshold)
    removed = _removed([source.name for source in sources], pairs, seed)
    return _copy([source for row, source in enumerate(sources) if row not in removed], folder)


def _check_files(sources: Sequence[Path], folder: Path) -> None:
    if not sources:
        raise InputError("no files to deduplicate; give at least one")
    name, n = Counter(source.name for source in sources).most_common(1)[0]
    if n > 1:
        raise InputError(f"{n} files are named {name!r}; each needs a name of its own in {folder}")
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is no folder")
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: {'not a file' if source.exists() else 'no such file'}")
        if (folder / source.name).exists():
            raise WorkspaceError(f"{folder / source.name} exists already; give an empty folder")


def _duplicates(minhash: MinHash, sources: Sequence[Path], threshold: float) -> NDArray[np.int64]:
    """Pairs of rows, int64 [m, 2], whose similarity reaches the threshold."""
    bands = np.concatenate([minhash.band_hashes(text)[0] for text in _texts(sources)])
    rows = np.arange(len(sources), dtype=np.uint64)
    found = (pair for band in bands.T for pair in candidate_pairs([records.sort(band, rows)]))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(np.column_stack(pair).astype(np.int64) for pair in found)])
    pairs = np.unique(pairs, axis=0)
    wanted, places = np.unique(pairs, return_inverse=True)
    if not len(wanted):
        return pairs
    sets = [minhash.shingle_sets(text) for text in _texts([sources[row] for row in wanted])]
    sizes = np.concatenate([np.diff(offsets) for _, offsets in sets])
    hashes, offsets = np.concatenate([hashes for hashes, _ in sets]), np.concatenate([[0], np.cumsum(sizes)])
    left, right = places.reshape(-1, 2).T
    return pairs[pair_similarities(hashes, offsets, left, right) >= np.float32(threshold)]


def _texts(sources: Sequence[Path]) -> Iterator[pa.LargeStringArray]:
    """The files' texts, in arrays of about `BATCH_BYTES`; bytes that are no UTF-8 become U+FFFD."""
    texts: list[str] = []
    n_bytes = 0
    for source in sources:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from error
        texts.append(data.decode("utf-8", "replace"))
        n_bytes += len(data)
        if n_bytes >= BATCH_BYTES:
            yield pa.array(texts, pa.large_string())
            texts, n_bytes = [], 0
    yield pa.array(texts, pa.large_string())


def _removed(names: Sequence[str], pairs: NDArray[np.int64], seed: int) -> set[int]:
    """The rows that are not chosen of their cluster."""
    clusters: dict[int, list[int]] = {}
    members, roots = connected_components([(pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64))])
    for member, root in zip(members.tolist(), roots.tolist(), strict=True):
        clusters.setdefault(root, []).append(member)

    def draw(row: int) -> bytes:
        return hashlib.blake2b(f"{seed} {names[row]}".encode("utf-8", "surrogateescape")).digest()

    return {row for rows in clusters.values() for row in sorted(rows, key=draw)[1:]}


def _copy(sources: Sequence[Path], folder: Path) -> list[Path]:
    """Each file appears in the folder whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            unfinished = folder / f".unfinished-{os.getpid()}"
            shutil.copyfile(source, unfinished).replace(folder / source.name)
    except OSError as error:
        raise WorkspaceError(f"{folder}: cannot write there ({error.strerror or error})") from error
    return [folder / source.name for source in sources]
