"""What the DAGs over web pages do alike: the gate, and the choice among copies."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.dedup.minhash import MinHash
from textmill.errors import UserError
from textmill.filters import language as languages
from textmill.filters import optout, url, url_words
from textmill.filters.base import Rule
from textmill.pipeline.earlier import known_copies
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.duplicates import Candidates, Clusters, Edges, Shingles
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.pipeline.stages.signatures import Signatures, sorted_bands


def gate(
    pages: Stage,
    language: str,
    language_score: float,
    language_model: str = "",
    deny_list: Sequence[str] = (),
    word_lists: Sequence[str] = (),
) -> Materialize:
    """The pages in one language that may be used, by their URLs and by what they say of themselves.

    ``language_model`` is as `find_model` takes it. Errors: `InputError` for a list or a model that cannot be read, or a
    model that does not know the language; `UserError` for a ``language_score`` that is no share.
    """
    if not 0 <= language_score <= 1:
        raise UserError(f"language_score is {language_score:g}; it must be from 0 to 1")
    scorers = (
        optout.OptOut(),
        url.find_lists(deny_list),
        url_words.find_words(word_lists),
        languages.find_model(language_model or None, language),
    )
    wanted = (
        *optout.RULES,
        *url.RULES,
        *url_words.RULES,
        Rule("language", "language", language, language, source="FineWeb: one language a data set"),
        Rule("language_score", "language_score", low=language_score, source="FineWeb: .65"),
    )
    return Materialize(pages, Decide(Score(pages, scorers, name="gate_scores"), wanted, name="gate"))


def choose_copies(
    documents: Stage,
    decisions: Decide,
    minhash: MinHash,
    similarity: float,
    keep: str = "longest",
    against: Sequence[str] = (),
) -> Keepers:
    """Who stays of the documents whose shingles have a Jaccard index of ``similarity``: verified, not believed.

    ``keep`` is one of `Keepers`' policies, or ``best:COLUMN`` of the scores that ``decisions`` judge; none of what the
    runs ``against`` kept stays.
    """
    signatures = Signatures(documents, minhash)
    bands = sorted_bands(signatures)
    candidates = Candidates(bands)
    clusters = Clusters(Edges(candidates, Shingles(documents, candidates), similarity))
    known = known_copies(signatures, bands, against, similarity)
    policy, _, best_by = keep.partition(":")
    scores = decisions.scores if policy == "best" else None
    return Keepers(signatures, decisions, clusters, policy, scores, best_by, known)
