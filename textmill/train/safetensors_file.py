"""Files of tensors that hold no code: the format safetensors (version 1), read and written.

    8 bytes            n, the length of the header, little-endian
    n bytes            JSON: a tensor's name -> its dtype, shape, and data_offsets [begin, end) in what follows
    the rest           the tensors' values, little-endian, without gaps

A header takes at most 100 MB, as in Hugging Face's own reader; nothing is read beyond what the file has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from textmill.errors import InputError

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
METADATA = "__metadata__"
ALIGNMENT = 8  # of the values; the header is padded with spaces
MAX_HEADER_BYTES = 100_000_000


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes ``tensors``, of the types in `DTYPES`, to ``path``."""
    header: dict[str, Any] = {METADATA: {"format": "pt"}}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    packed = json.dumps(header, separators=(",", ":")).encode()
    packed += b" " * (-len(packed) % ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(len(packed).to_bytes(8, "little"))
        stream.write(packed)
        for tensor in tensors.values():
            stream.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def read(path: Path) -> dict[str, Tensor]:
    """All tensors in ``path``. Errors: `InputError` when it is missing, cut short, or something else."""
    try:
        with path.open("rb") as stream:
            header, begin = _read_header(stream)
            n_values = path.stat().st_size - begin
            return {name: _read_tensor(stream, begin, n_values, entry) for name, entry in header.items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no safetensors file, or one that was cut short; copy it again") from error


def _read_header(stream: BufferedReader) -> tuple[dict[str, Any], int]:
    """The entry of each tensor, and where values begin."""
    n = int.from_bytes(stream.read(8), "little")
    if n > MAX_HEADER_BYTES:
        raise ValueError(n)
    header = json.loads(stream.read(n))
    header.pop(METADATA, None)
    return header, 8 + n


def _read_tensor(stream: BufferedReader, begin: int, n_values: int, entry: Mapping[str, Any]) -> Tensor:
    dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if min(shape, default=0) < 0 or not 0 <= first <= last <= n_values:
        raise ValueError(entry)
    if last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(entry)
    values = bytearray(last - first)
    stream.seek(begin + first)
    stream.readinto(values)
    return torch.frombuffer(values, dtype=dtype).view(shape) if values else torch.empty(shape, dtype=dtype)
