"""The one message that a command prints before its kernels are compiled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import textmill

EXTRACTING = "pipeline/extraction/markup._read"
CUTTING, MERGING = "tokenize/pretokens/cut._cut", "tokenize/bpe/merge_kernels.merge_some"
ENCODING = "tokenize/encoding/encode_kernels.encode_pretokens"


def say_if_compiling(*kernels: str) -> None:
    """Say so if numba has not compiled one of the kernels yet, as far as its files tell. Does not import numba."""
    if not all(map(_is_compiled, kernels)):
        print("first use: compiling kernels; a minute at most, once", file=sys.stderr)


def _is_compiled(kernel: str) -> bool:
    folder, _, name = kernel.rpartition("/")
    here = Path(textmill.__file__).parent / folder
    if cache := os.environ.get("NUMBA_CACHE_DIR"):
        return any(Path(cache).rglob(f"{name}-*.nbi"))
    return not os.access(here, os.W_OK) or any((here / "__pycache__").glob(f"{name}-*.nbi"))
