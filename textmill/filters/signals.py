"""The document signals of RedPajama-V2 that are plain statistics (Weber et al. 2024, arXiv 2411.12372).

Columns bear the published names, so they break the rule that a name ends in its unit. Signals of lines are means over
the lines of a document. Whoever wants thresholds sets them: none were published (`PRESETS` has no rules).

- **Raw words** are runs of letters, numbers and ``_``, and runs of anything else but whitespace: ``don't`` is three.
- **Normalised words**: lower case, without ASCII punctuation, canonically decomposed (NFD), split by whitespace.
- **Lines** end with their newline, which counts as a character; no line follows the last newline.
- **Sentences** are stretches between ``.``, ``!`` and ``?`` that hold a letter, a number or ``_``.

What deviates: a text that has no words, or no lines, gets 0 where null was published. Case is folded letter by letter
(a final sigma is a sigma). Combining marks stay in the order that they have. Words are told apart by a 64-bit hash.
Stop words are a field; its default is English function words, not the published 570 words, many of which
(``a's``, ``c'mon``) no raw word can equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textmill.filters import signals_kernels as kernels
from textmill.filters.base import Preset, Scorer, named, numbers
from textmill.text import Documents

# Words of closed classes: articles, pronouns, prepositions, conjunctions, auxiliaries, and what WordPunct leaves of
# contractions ("don", "t").
STOP_WORDS = tuple(
    """
    a about above across after again against all along also although am among an and another any anybody anyone anything
    are around as at away be because been before behind being below beneath beside between beyond both but by can cannot
    could d did do does doing don done down during each either else enough even ever every everybody everyone everything
    few first for from further had has have having he hence her here hers herself him himself his how however i if in
    indeed inside instead into is it its itself just last least less ll m many may me might mine more most much must my
    myself near neither never nevertheless no nobody none nor not nothing now of off often on once one only onto or
    other others otherwise ought our ours ourselves out outside over own per perhaps please quite rather re s same
    several shall she should since so some somebody someone something sometimes somewhere still such t than that the
    their theirs them themselves then there therefore these they this those though through throughout thus till to
    together too toward towards under unless until up upon us ve very via was we well were what whatever when whenever
    where whereas wherever whether which while who whoever whole whom whose why will with within without would yes
    yet you your yours yourself yourselves
    """.split()
)

_SOURCE = "RedPajama-V2, arXiv 2411.12372"

COLUMNS = pa.schema(
    [
        pa.field("rps_doc_word_count", pa.int32(), nullable=False),  # normalised words
        pa.field("rps_doc_mean_word_length", pa.float32(), nullable=False),  # characters of normalised words
        pa.field("rps_doc_frac_unique_words", pa.float32(), nullable=False),  # normalised
        pa.field("rps_doc_unigram_entropy", pa.float32(), nullable=False),  # normalised; natural logarithm
        pa.field("rps_doc_lorem_ipsum", pa.float32(), nullable=False),  # occurrences a normalised character
        pa.field("rps_doc_symbol_to_word_ratio", pa.float32(), nullable=False),  # "#", "...", "…" a raw word
        pa.field("rps_doc_frac_no_alph_words", pa.float32(), nullable=False),  # raw words without an ASCII letter
        pa.field("rps_doc_frac_all_caps_words", pa.float32(), nullable=False),  # raw words in capitals
        pa.field("rps_doc_stop_word_fraction", pa.float32(), nullable=False),  # raw words, lower case only
        pa.field("rps_doc_curly_bracket", pa.float32(), nullable=False),  # "{" and "}" a character
        pa.field("rps_doc_num_sentences", pa.int32(), nullable=False),
        pa.field("rps_doc_frac_lines_end_with_ellipsis", pa.float32(), nullable=False),
        # Means over lines, under the published names of the signals; "punctution" is theirs.
        pa.field("rps_lines_ending_with_terminal_punctution_mark", pa.float32(), nullable=False),
        pa.field("rps_lines_start_with_bulletpoint", pa.float32(), nullable=False),
        pa.field("rps_lines_uppercase_letter_fraction", pa.float32(), nullable=False),  # of the characters of a line
        pa.field("rps_lines_numerical_chars_fraction", pa.float32(), nullable=False),  # of the normalised line
        pa.field("rps_lines_num_words", pa.float32(), nullable=False),  # normalised words
        pa.field("rps_lines_javascript_counts", pa.float32(), nullable=False),  # normalised words
    ]
)


@dataclass(frozen=True)
class RedPajamaSignals(Scorer):
    """Counts what RedPajama-V2's plain signals count.

    Cost beside cutting the text: see the table of `benchmarks/filters.py`.
    """

    stop_words: tuple[str, ...] = STOP_WORDS

    @property
    def columns(self) -> pa.Schema:
        """The same for all stop words."""
        return COLUMNS

    def score(self, documents: Documents) -> list[pa.Array]:
        """The columns; see `Scorer.score`."""
        pieces = documents.segmentation
        data, lines, words = pieces.data, pieces.lines, pieces.words
        if len(data) < kernels.MIN_BYTES:
            data = np.concatenate([data, np.zeros(kernels.MIN_BYTES, np.uint8)])
        longest_line = int((lines.end - lines.start).max(initial=0))
        most_bytes = int(np.diff(pieces.offsets).max(initial=0))
        counts = np.zeros((len(documents), kernels.N_COUNTS), np.int64)
        sums = np.zeros((len(documents), kernels.N_SUMS))
        most_words = most_bytes // 2 + 1
        kernels.count_documents(
            data,
            lines.offsets,
            lines.start,
            lines.end,
            lines.n_chars,
            *kernels.characters(),
            kernels.stop_table(self.stop_words),
            kernels.gains(),
            kernels.Words(*words.bounds, words.hash),
            np.empty(kernels.FORM_GROWTH * longest_line + kernels.SCRATCH_BEYOND, np.uint8),
            np.empty(most_words, np.uint64),
            np.empty((max(kernels.MIN_SLOTS, 1 << (2 * most_words).bit_length()), 2), np.uint64),
            counts,
            sums,
        )
        n_lines = lines.counts - (lines.n_chars[lines.offsets[1:] - 1] == 0)
        values = _signals(counts.T, sums.T, pieces.n_chars, n_lines)
        return numbers(values, COLUMNS)


PRESETS = {"signals@rpv2": Preset("signals@rpv2", _SOURCE, (RedPajamaSignals(),), ())}


def passes(text: str, preset: str = "signals@rpv2") -> bool:
    """Whether one text passes all rules of a preset of this family. Errors: `UnknownNameError`."""
    return named(PRESETS, preset).passes(text)


def _signals(counts: NDArray[np.int64], sums: NDArray[np.float64], n_chars: NDArray, n_lines: NDArray) -> list[NDArray]:
    """The columns, of counts [quantities, documents]."""
    n_raw, n_words, n_word_chars = counts[kernels.RAW], counts[kernels.WORDS], counts[kernels.WORD_CHARS]
    entropy = np.log(np.maximum(n_words, 1)) - _ratio(sums[kernels.SPREAD], n_words)
    return [
        n_words,
        _ratio(n_word_chars, n_words),
        _ratio(counts[kernels.UNIQUE], n_words),
        np.maximum(entropy, 0),  # rounding may leave a text of one word below
        _ratio(counts[kernels.LOREM_IPSUM], n_word_chars + n_words - 1),  # a space between two words
        _ratio(counts[kernels.SYMBOLS], n_raw),
        _ratio(counts[kernels.NO_ALPHA], n_raw),
        _ratio(counts[kernels.CAPITALS], n_raw),
        _ratio(counts[kernels.STOP], n_raw),
        _ratio(counts[kernels.BRACES], n_chars),
        counts[kernels.SENTENCES],
        _ratio(counts[kernels.ELLIPSES], n_lines),
        _ratio(counts[kernels.ENDED], n_lines),
        _ratio(counts[kernels.BULLETED], n_lines),
        _ratio(sums[kernels.UPPER_FRAC], n_lines),
        _ratio(sums[kernels.NUMERIC_FRAC], n_lines),
        _ratio(n_words, n_lines),
        _ratio(counts[kernels.JAVASCRIPTS], n_lines),
    ]


def _ratio(counts: NDArray[np.float64], n: NDArray) -> NDArray[np.float64]:
    """``counts / n``; where n is 0 the counts are too, and so is the ratio."""
    return np.asarray(counts / np.maximum(n, 1))
