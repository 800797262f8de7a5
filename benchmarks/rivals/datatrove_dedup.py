"""datatrove's near-duplicate removal, all four stages, one after the other. Runs in datatrove's own environment.

    python datatrove_dedup.py TEXTS.jsonl FOLDER

Each line has ``id`` and ``text``. 14 bands of 8 rows over word 5-grams, its defaults. Writes the ids that it keeps to
FOLDER/kept.txt.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )

    texts, folder = Path(sys.argv[1]), Path(sys.argv[2])

    def documents() -> Iterator[Document]:
        with texts.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                yield Document(text=row["text"], id=str(row["id"]))

    def stage(name: str) -> str:
        return str(folder / name)

    MinhashDedupSignature(stage("signatures")).run(documents())
    buckets = MinhashDedupBuckets(stage("signatures"), stage("buckets"))
    for rank in range(buckets.config.num_buckets):
        buckets.run(None, rank, buckets.config.num_buckets)
    MinhashDedupCluster(stage("buckets"), stage("removed")).run(None, 0, 1)
    kept = MinhashDedupFilter(stage("removed")).run(documents(), 0, 1)
    (folder / "kept.txt").write_text("".join(f"{document.id}\n" for document in kept))


if __name__ == "__main__":
    main()
