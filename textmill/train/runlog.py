"""Files of a run with one JSON object a line, each with its step; what a stopped attempt wrote too much is cut off."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, TextIO


class LineFile:
    """Lines up to a step, and those that come after. ``kept``: the former."""

    def __init__(self, path: Path, step: int, *, writes: bool = True, when_needed: bool = False) -> None:
        """Nothing is kept of a run that begins (``step`` 0). Without ``writes`` the file is only read; ``when_needed``
        makes none for no line."""
        text = path.read_text(encoding="utf-8") if step and path.exists() else ""
        parsed = (_parsed(line) for line in text.splitlines())
        self.kept = list(itertools.takewhile(lambda line: line.get("step", step + 1) <= step, parsed))
        self._path, self._writes, self._when_needed = path, writes, when_needed
        self._stream: TextIO | None = None

    def __enter__(self) -> LineFile:
        if self._writes and self._when_needed and not self.kept:
            self._path.unlink(missing_ok=True)
        elif self._writes:
            self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, values: dict[str, Any]) -> None:
        """One more line, on disk at once."""
        if not self._writes:
            return
        stream = self._stream or self._open()
        stream.write(_line(values))
        stream.flush()

    def _open(self) -> TextIO:
        self._stream = self._path.open("w", encoding="utf-8")
        self._stream.writelines(map(_line, self.kept))
        return self._stream


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"


def _parsed(line: str) -> dict[str, Any]:
    """Nothing for a line that was being written when the attempt was stopped."""
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else {}
