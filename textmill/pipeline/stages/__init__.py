"""The stages, in the order in which data flows through them.

pages       Extract                                archives -> a row for every candidate record
scores      Score, Decide, Materialize             measure, judge, drop
edit        Edit                                   lines dropped and marks cut, as published rules do
signatures  Signatures, SortedBands                what documents are compared by
duplicates  Candidates, Shingles, Edges, Clusters  who is whose copy
known       Known, KnownPairs, KnownCopies         what an earlier run kept already
keepers     Keepers                                who stays
repeats     Substrings, RepeatedLines, CutRepeats  stretches and lines that stand elsewhere, too
contamination
            Contamination, Decontaminate           items of benchmarks in documents
rows        Rows, KeptRows                         people's own files, in and out again
corpus      Corpus                                 the kept documents, personal data masked
tokens      CountPretokens, TrainTokenizer, Tokens text -> token shards
model       Train                                  token shards -> a model
"""

from textmill.pipeline.stages.contamination import Contamination, Decontaminate
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.duplicates import Candidates, Clusters, Edges, Shingles
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.keepers import Keepers
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.repeats import CutRepeats, RepeatedLines, Substrings
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.pipeline.stages.signatures import Signatures, SortedBands
from textmill.pipeline.stages.tokens import CountPretokens, GivenTokenizer, MakeTokenizer, Tokens, TrainTokenizer

__all__ = [
    "Candidates",
    "Clusters",
    "Contamination",
    "Corpus",
    "CountPretokens",
    "CutRepeats",
    "Decide",
    "Decontaminate",
    "Edges",
    "Edit",
    "Extract",
    "GivenTokenizer",
    "Keepers",
    "MakeTokenizer",
    "Materialize",
    "RepeatedLines",
    "Score",
    "Shingles",
    "Signatures",
    "SortedBands",
    "Substrings",
    "Tokens",
    "Train",
    "TrainTokenizer",
]
