"""datatrove's MinHash signature stage on texts, with its defaults. Runs in datatrove's own environment.

    python datatrove_signatures.py TEXTS.jsonl

Each line is a JSON string. The stage writes its files to a temporary folder, and sorts them. The first text warms up
(spaCy's tokenizer is made then). Prints one JSON object: CPU seconds.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import sys
import tempfile
import time


def main() -> None:
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    with open(sys.argv[1], encoding="utf-8") as lines:  # noqa: PTH123
        documents = [Document(text=json.loads(line), id="") for line in lines]
    with tempfile.TemporaryDirectory() as scratch:
        MinhashDedupSignature(f"{scratch}/warm-up").run(documents[:1])
        stage = MinhashDedupSignature(f"{scratch}/signatures")
        stage.get_shingles(documents[0].text)
        began = time.process_time()
        stage.run(documents)
        print(json.dumps({"cpu_s": time.process_time() - began}))


if __name__ == "__main__":
    main()
