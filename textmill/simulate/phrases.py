"""What the simulated articles are made of: a phrase book a language, expanded like a context-free grammar.

A template holds slots in braces; a slot is replaced by one of its phrases, which may hold slots again. All phrases
were written for this package. Slots stand close together (a fixed stretch is rarely longer than four words), so that
two articles on the same topic share few word 5-grams, as unrelated pages of the web do.

The articles are grammatical, dull and full of facts that nobody should rely on; a word costs half a microsecond.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

Slots = Mapping[str, tuple[str, ...]]

SLOT = re.compile(r"\{(\w+)\}")
FIRST_LETTER = re.compile(r"\w")
SENTENCES_PER_PARAGRAPH = (3, 6)


def phrases(text: str) -> tuple[str, ...]:
    """The phrases of one slot, written as lines or with bars between: ``"the oar | the sail"``."""
    return tuple(phrase.strip() for phrase in re.split(r"[|\n]", text) if phrase.strip())


@dataclass(frozen=True)
class PhraseBook:
    """All that is needed to write in one language.

    ``sentences`` and ``headlines`` are templates; ``slots`` holds the phrases of every topic, ``topics`` those of one
    topic each. ``gap`` stands between two sentences. ``labels`` are the words of a site around its articles.
    """

    language: str
    sentences: tuple[str, ...]
    headlines: tuple[str, ...]
    slots: Slots
    topics: Mapping[str, Slots]
    names: tuple[str, ...]
    menu: tuple[str, ...]
    labels: Mapping[str, str]
    gap: str = " "


@dataclass(frozen=True)
class Article:
    """A text with a headline, in paragraphs."""

    language: str
    topic: str
    headline: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text as a reader sees it, headline first, a blank line between two blocks."""
        return "\n\n".join((self.headline, *self.paragraphs))


def expand(rng: random.Random, template: str, slots: Slots) -> str:
    """``template`` with every slot replaced, recursively. Errors: KeyError for a slot that has no phrases."""
    return SLOT.sub(lambda slot: expand(rng, rng.choice(slots[slot[1]]), slots), template)


def capitalised(text: str) -> str:
    """``text`` with its first letter a capital, quotation marks skipped."""
    return FIRST_LETTER.sub(lambda letter: letter[0].upper(), text, count=1)


def write_sentence(rng: random.Random, book: PhraseBook, topic: str) -> str:
    """One sentence on ``topic``, its first letter a capital where the script has them."""
    return capitalised(expand(rng, rng.choice(book.sentences), {**book.slots, **book.topics[topic]}))


def write_paragraph(rng: random.Random, book: PhraseBook, topic: str, n_sentences: int) -> str:
    """``n_sentences`` sentences on ``topic``, in one line."""
    return book.gap.join(write_sentence(rng, book, topic) for _ in range(n_sentences))


def write_headline(rng: random.Random, book: PhraseBook, topic: str) -> str:
    """A headline on ``topic``, without a full stop."""
    return capitalised(expand(rng, rng.choice(book.headlines), {**book.slots, **book.topics[topic]}))


def write_article(rng: random.Random, book: PhraseBook, n_paragraphs: int) -> Article:
    """An article of ``n_paragraphs`` paragraphs on one of the topics of ``book``."""
    topic = rng.choice(tuple(book.topics))
    paragraphs = (write_paragraph(rng, book, topic, rng.randint(*SENTENCES_PER_PARAGRAPH)) for _ in range(n_paragraphs))
    return Article(book.language, topic, write_headline(rng, book, topic), tuple(paragraphs))
