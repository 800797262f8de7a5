"""The stages, in the order in which data flows through them. Each is imported from its file: a guarded child needs one.

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
