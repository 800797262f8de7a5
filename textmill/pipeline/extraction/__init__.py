"""From the markup of a page to its main content.

markup     the page's bytes, cut into blocks of text and a table of elements
features   numbers for each block; trees: the forests that judge them; engine: the model, and both put together
compose    which blocks to keep, and their text; asides: what is left out by its name
budgets    pages too expensive for parsers that build a tree
train/     how the model is made
"""

from __future__ import annotations

import os
from pathlib import Path


def is_compiled() -> bool:
    """Whether numba has compiled the kernels before, as far as its files here tell. Costs no import of numba."""
    here = Path(__file__).parent
    elsewhere = "NUMBA_CACHE_DIR" in os.environ or not os.access(here, os.W_OK)
    return elsewhere or any((here / "__pycache__").glob("markup._read-*.nbi"))
