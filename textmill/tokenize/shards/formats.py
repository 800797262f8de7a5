"""Token files of other trainers: their layouts, which `exports` writes and `imports` reads.

    name       files                      layout, all of it little-endian                                 end of text
    nanogpt    train.bin                  uint16 ids and nothing else; CS336 reads the same               appended
    llm.c      textmill_train_000000.bin  256 int32 (20240520, 1, n_tokens, 0 ...), then uint16 ids       prepended
    llama3     textmill_train_000000.bin  256 int32 (20240801, 7, n_tokens, 0 ...), then uint32 ids       prepended
    megatron   train.bin, train.idx       ids (uint16 below 65,500 ids, else int32); the index below      appended
    datatrove  00000_tokens.ds            uint16 or uint32 ids; .ds.index: where documents end, uint64;   appended
                                          .ds.metadata: tokenizer|bytes a token, n_tokens, the same
                                          for people, a line each
    olmo       part-00000.npy, .csv.gz    ids without a header, whatever the name; start,end,id,src,loc   appended

The index of Megatron is ``MMIDIDX`` and two zero bytes, uint64 1, one byte for the type of the ids, uint64 numbers of
sequences and of documents + 1, then int32 lengths (tokens) and int64 places (bytes) of sequences, and int64 numbers of
the sequences with which documents begin, from 0 to their number. modded-nanogpt reads what llm.c reads, nanotron what
datatrove writes. Sources: nanoGPT data/openwebtext/prepare.py, llm.c dev/data/data_common.py, Megatron-LM
core/datasets/indexed_dataset.py, datatrove pipeline/tokens/tokenizer.py, dolma tokenizer/memmap_writer.py.

A delimiter that is prepended begins each document, one that is appended ends it: the same ids, shifted by one place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textmill.errors import UnknownNameError

HEADER_INTS = 256  # of llm.c
MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # 6 and 7 are floats
MEGATRON_UINT16_IDS = 65_500  # below which ids are uint16


@dataclass(frozen=True)
class TokenFileFormat:
    """How another trainer keeps tokens."""

    name: str
    ending: str  # of the files of tokens
    prepends: bool = False  # the end-of-text token, before each document
    magic: tuple[int, int] | None = None  # first numbers of a header as that of llm.c
    dtype: str = ""  # of ids; "" where it depends
    one_file: bool = False  # a split
    file_limit: int = 1 << 62  # tokens that a file can hold


FORMATS = {
    form.name: form
    for form in (
        TokenFileFormat("nanogpt", ".bin", dtype="<u2", one_file=True),
        TokenFileFormat("llm.c", ".bin", True, (20240520, 1), "<u2", file_limit=(1 << 31) - 1),
        TokenFileFormat("llama3", ".bin", True, (20240801, 7), "<u4", file_limit=(1 << 31) - 1),
        TokenFileFormat("megatron", ".bin", one_file=True),
        TokenFileFormat("datatrove", ".ds"),
        TokenFileFormat("olmo", ".npy"),
    )
}


def format_named(name: str) -> TokenFileFormat:
    """Errors: `UnknownNameError`."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def megatron_type(vocab_size: int) -> tuple[int, np.dtype[np.uint16] | np.dtype[np.int32]]:
    """The code and the type of ids that Megatron would choose."""
    return (8, np.dtype("<u2")) if vocab_size < MEGATRON_UINT16_IDS else (4, np.dtype("<i4"))
