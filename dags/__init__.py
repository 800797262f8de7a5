"""Whole pipelines, each a Python function that returns its last stage. Its parameters are its knobs."""
