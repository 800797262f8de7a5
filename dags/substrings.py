"""Long repeated stretches of people's own documents, Parquet or JSON lines."""

from __future__ import annotations

from textmill.dedup.substring import Cut
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.repeats import CutRepeats, Substrings
from textmill.pipeline.stages.rows import EditedRows, Rows, freeze


def substrings(
    files: tuple[str, ...],
    column: str = "text",
    words: int = 50,
    keep: str = "first",
    policy: str = "remove",
    replacement: str = "",
    least_words: int = 20,
    memory_mb: int = 256,
) -> Stage:
    """The files again without the stretches of words that stand elsewhere, too; every other column as it was.

    files        Parquet or JSON lines, folders of them, or runs
    column       where the text is
    words        the shortest stretch that counts (RefinedWeb: 50 tokens)
    keep         of the copies of a stretch: first, or none
    policy       remove stretches, mask them, or only report them (in the table substrings)
    replacement  what masks a stretch
    least_words  a document that loses something, and has fewer left, is dropped
    memory_mb    for the search; less is slower
    """
    documents = Rows(freeze(files, column), column)
    found = Substrings(documents, words, keep, memory_mb)
    return EditedRows(documents, CutRepeats(documents, found, Cut(policy, replacement, least_words)))
