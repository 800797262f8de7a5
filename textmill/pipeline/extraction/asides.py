"""What stands beside the text by the names that pages give to it: readers' comments, and captions and boxes.

Whether these belong to the text is a matter of wish, not of fact (sources of ground truth differ), so it is not left to
the model: comments are out unless asked for, captions, credits and newsletter boxes are out. Names are words of class,
id, role and itemprop, in the languages of the data; a ``<figcaption>`` needs none.

Measured on pages that the model did not see: without comments, F1 is .008 higher on all pages with truth; without the
rest, it is the same there (precision .003 higher), and .004 higher on pages with segments.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from textmill.bits import kernel, part
from textmill.pipeline.extraction.markup import Markup, hint_hash, tag

MOST: Final = (
    0.6  # of the words kept: what holds so many is no aside, whatever its name. From .3 to .7 F1 hardly differs
)


COMMENTS, BOXES = np.uint8(1), np.uint8(2)  # kinds of asides, as bits
_WORDS: Final = {
    int(COMMENTS): (
        "comment comments commentlist commentlisting commentcontent commentbody commentary usercomment disqus replies "
        "respond kommentar kommentare leserkommentare commentaire commentaires comentario comentarios commenti "
        "kommentarer komentarze reacties"
    ),
    int(BOXES): (
        "newsletter newsletters subscribe subscription signup caption captions figcaption imagecaption credit credits "
        "copyright"
    ),
}
_FIGCAPTION: Final = tag("figcaption")
_NAMES: Final = np.array([hint_hash(word) for words in _WORDS.values() for word in words.split()], np.uint32)
_KINDS: Final = np.array([kind for kind, words in _WORDS.items() for _ in words.split()], np.uint8)
_LIKELY: Final = np.zeros(1024, np.bool_)  # by the last bits: a look-up spares most comparisons
_LIKELY[_NAMES & 1023] = True


def within(markup: Markup, kept_words: NDArray[np.float32], kind: np.uint8) -> NDArray[np.bool_]:
    """Which blocks stand in an element that is so named, and does not hold `MOST` of the words kept, [blocks].

    The exception is for a "has-comments" of a whole page, and for the posts of a forum.
    """
    return _within(markup, kept_words, kind)


@kernel
def _within(markup, kept_words, kind):  # type: ignore[no-untyped-def]
    inside = np.zeros(kept_words.size, np.bool_)
    mark_within(markup, named(markup), kind, kept_words, inside)
    return inside


@part
def named(markup):  # type: ignore[no-untyped-def]
    """The kinds of asides that each element is by its names and its tag, [elements]."""
    kinds = np.zeros(markup.tag.size, np.uint8)
    for e in range(kinds.size):
        kinds[e] = BOXES if markup.tag[e] == _FIGCAPTION else 0
    e = 0
    for k in range(markup.hint.size):
        if _LIKELY[markup.hint[k] & np.uint32(1023)]:
            while markup.first_hint[e + 1] <= k:
                e += 1
            for i in range(_NAMES.size):
                kinds[e] |= _KINDS[i] if markup.hint[k] == _NAMES[i] else 0
    return kinds


@part
def mark_within(markup, kinds, kind, kept_words, inside):  # type: ignore[no-untyped-def]
    """`within`, for kernels: sets ``inside`` [blocks]. ``kinds``: what `named` gives."""
    before = np.zeros(kept_words.size + 1)
    for b in range(kept_words.size):
        before[b + 1] = before[b] + kept_words[b]
    for e in range(kinds.size):
        if kinds[e] & kind:
            start, end = markup.first_block[e], markup.end_block[e]
            if before[end] - before[start] < MOST * before[-1]:
                for b in range(start, end):
                    inside[b] = True
