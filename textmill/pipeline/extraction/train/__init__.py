"""How the model of the extraction engine is made: pages with known main content in, ``model.npz`` out.

    python -m textmill.pipeline.extraction.train --help

`pages` reads the pages, and asks other extractors about those without ground truth; `labels` finds the truth in the
blocks of a page; `fit` learns words and forests; `evaluate` scores models on sources and hosts that they never saw.
Nothing here is needed, or imported, to extract text.
"""
