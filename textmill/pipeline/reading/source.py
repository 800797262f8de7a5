"""Random access to a file, or to what a piece of one unpacks to, of which one block is kept in memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
WINDOW_BYTES = 64 << 10  # what is searched at a time


class Source:
    """``size`` bytes of ``stream``, by position."""

    def __init__(self, stream: BinaryIO, size: int, block: bytes = b"") -> None:
        self.size = size
        self._stream = stream
        self._block, self._start = block, 0

    @classmethod
    def of(cls, content: bytes) -> Source:
        return cls(io.BytesIO(content), len(content), content)

    def close(self) -> None:
        self._stream.close()

    def at(self, position: int) -> memoryview:
        """Some bytes from ``position`` on; none only at the end."""
        if not self._start <= position < self._start + len(self._block):
            if position >= self.size:
                return memoryview(b"")
            self._stream.seek(position)
            self._block, self._start = self._stream.read(BLOCK_BYTES), position
        return memoryview(self._block)[position - self._start :]

    def read(self, position: int, n_bytes: int) -> bytes:
        """``n_bytes`` from ``position`` on; fewer only at the end."""
        start = position - self._start
        if start >= 0 and (start + n_bytes <= len(self._block) or len(self._block) == self.size):
            return self._block[start : start + n_bytes]
        pieces = []
        while n_bytes > 0 and (piece := self.at(position)[:n_bytes]):
            pieces.append(piece)
            position += len(piece)
            n_bytes -= len(piece)
        return b"".join(pieces)

    def find(self, pattern: re.Pattern[bytes], position: int, stop: int | None = None) -> Iterator[int]:
        """Where ``pattern`` (which matches at most 64 bytes) matches, from ``position`` on, and before ``stop``."""
        stop = self.size if stop is None else stop
        while position < stop and (window := self.read(position, WINDOW_BYTES)):
            step = WINDOW_BYTES - 64 if len(window) == WINDOW_BYTES else len(window)
            limit = min(step, stop - position)
            yield from (position + m.start() for m in pattern.finditer(window) if m.start() < limit)
            position += step
