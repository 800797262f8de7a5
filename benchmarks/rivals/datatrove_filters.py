"""datatrove's Gopher repetition, Gopher quality, C4 and FineWeb filters on texts. Runs in datatrove's own environment.

    python datatrove_filters.py TEXTS.jsonl

Each line is a JSON string. Every filter sees every text as it was given; what FineWeb does, one after another until one
drops the text, is timed apart. The first text warms up (spaCy's tokenizer is made then) and is not counted. Prints one
JSON object: CPU seconds, and for each filter its reasons, "" where it keeps the text.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as lines:  # noqa: PTH123
        texts = [json.loads(line) for line in lines]
    blocks = filters()
    for block in blocks.values():
        reason(block, texts[0])
    cpu_s, reasons = {}, {}
    for name, block in blocks.items():
        began = time.process_time()
        reasons[name] = [reason(block, text) for text in texts]
        cpu_s[name] = time.process_time() - began
    began = time.process_time()
    for text in texts:
        any(reason(block, text) for block in blocks.values())
    print(json.dumps({"cpu_s": cpu_s, "in_order_cpu_s": time.process_time() - began, "reasons": reasons}))


def filters() -> dict[str, Any]:
    """The four filters as FineWeb sets them, in its order."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb": FineWebQualityFilter(),
    }


def reason(block: Any, text: str) -> str:
    """Why a filter drops a text; "" if it keeps it. The document is new: the C4 filter changes the text of its own."""
    from datatrove.data import Document

    verdict = block.filter(Document(text=text, id=""))
    return "" if verdict is True else str(verdict[1])


if __name__ == "__main__":
    main()
