"""The ids that a data set of text-dedup holds. Runs in text-dedup's own environment.

python text_dedup_kept.py DATASET_FOLDER KEPT.txt
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    from datasets import load_from_disk

    rows = load_from_disk(sys.argv[1])
    Path(sys.argv[2]).write_text("".join(f"{number}\n" for number in rows["id"]))


if __name__ == "__main__":
    main()
