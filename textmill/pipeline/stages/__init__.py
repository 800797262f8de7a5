"""The stages, in the order in which data flows through them.

pages       Extract                                archives -> a row for every candidate record
scores      Score, Decide, Materialize             measure, judge, drop
edit        Edit                                   lines dropped and marks cut, as published rules do
duplicates  Signatures, Candidates, Edges,
            Clusters, Keepers                      who is whose copy, and who stays
substrings  Substrings, CutSubstrings              stretches that stand elsewhere, too
contamination
            Contamination, Decontaminate           items of benchmarks in documents
corpus      Corpus                                 the kept documents, personal data masked
tokens      TrainTokenizer, Tokens                 text -> token shards
model       Train                                  token shards -> a model
"""

from textmill.pipeline.stages.contamination import Contamination, Decontaminate
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.duplicates import Candidates, Clusters, Edges, Keepers, Signatures
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide, Materialize, Score
from textmill.pipeline.stages.substrings import CutSubstrings, Substrings
from textmill.pipeline.stages.tokens import Tokens, TrainTokenizer

__all__ = [
    "Candidates",
    "Clusters",
    "Contamination",
    "Corpus",
    "CutSubstrings",
    "Decide",
    "Decontaminate",
    "Edges",
    "Edit",
    "Extract",
    "Keepers",
    "Materialize",
    "Score",
    "Signatures",
    "Substrings",
    "Tokens",
    "Train",
    "TrainTokenizer",
]
