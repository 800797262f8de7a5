"""Near duplicates: small edits of an article, until a wanted word 5-gram similarity is reached.

Copies on the web differ by a replaced word, a sentence more, a sentence less. A replaced word costs up to five shingles
of the text and brings five new ones; an edit costs one comparison, a near duplicate of 400 words about 1.4 ms.
"""

from __future__ import annotations

import random
from dataclasses import replace

from textmill.simulate.phrases import Article, PhraseBook, write_sentence
from textmill.simulate.similarity import WORD, jaccard, shingles

MAX_EDITS = 60
ADD_SENTENCE_FRAC = 0.1  # of all edits


def replace_word(rng: random.Random, book: PhraseBook, article: Article) -> Article:
    """One word of one paragraph replaced by a different word of a new sentence on the same topic."""
    index = rng.randrange(len(article.paragraphs))
    paragraph = article.paragraphs[index]
    old = rng.choice(list(WORD.finditer(paragraph)))
    others = [word for word in WORD.findall(write_sentence(rng, book, article.topic)) if word != old[0]]
    return _with_paragraph(article, index, paragraph[: old.start()] + rng.choice(others) + paragraph[old.end() :])


def add_sentence(rng: random.Random, book: PhraseBook, article: Article) -> Article:
    """A new sentence at the end of one paragraph."""
    index = rng.randrange(len(article.paragraphs))
    sentence = write_sentence(rng, book, article.topic)
    return _with_paragraph(article, index, article.paragraphs[index] + book.gap + sentence)


def near_duplicate(rng: random.Random, book: PhraseBook, article: Article, min_jaccard: float) -> tuple[Article, float]:
    """An edited copy and its true similarity: one word replaced, then more edits that stay above ``min_jaccard``."""
    original = shingles(article.text)
    edited = replace_word(rng, book, article)
    similarity = jaccard(original, shingles(edited.text))
    for _ in range(MAX_EDITS):
        edit = add_sentence if rng.random() < ADD_SENTENCE_FRAC else replace_word
        candidate = edit(rng, book, edited)
        candidate_similarity = jaccard(original, shingles(candidate.text))
        if candidate_similarity < min_jaccard:
            break
        edited, similarity = candidate, candidate_similarity
    return edited, similarity


def _with_paragraph(article: Article, index: int, paragraph: str) -> Article:
    paragraphs = (*article.paragraphs[:index], paragraph, *article.paragraphs[index + 1 :])
    return replace(article, paragraphs=paragraphs)
