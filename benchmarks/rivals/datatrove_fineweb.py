"""FineWeb's blocks in datatrove on one archive: from WARC to decisions. Runs in datatrove's own environment.

The blocks and their order are those of datatrove's examples/fineweb.py. What differs, and whom it favours:
- no writers, neither for kept nor for removed documents (favours datatrove: nothing is compressed, nothing stored);
- the language model is a local file instead of a download of lid.176.bin (the compressed model is a little faster);
- host names are split with the suffix list inside tldextract instead of one fetched at start-up (favours datatrove).

Prints one JSON object: documents read, kept, and removed by each block.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", type=Path)
    parser.add_argument("--language-model", type=Path, required=True, help="a fastText model, lid.176.ftz or .bin")
    parser.add_argument("--assets", type=Path, required=True, help="folder where datatrove unpacks lists, and keeps them")
    options = parser.parse_args()
    os.environ["HF_ASSETS_CACHE"] = str(options.assets)  # read when huggingface_hub is imported
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(json.dumps(run_blocks(options.warc, options.language_model)))


def run_blocks(warc: Path, language_model: Path) -> dict[str, Any]:
    """Run the pipeline in this process. Extraction has a child process of its own, as always in datatrove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.utils.logging import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    logs = Path(os.environ["TMPDIR"], "datatrove-logs")
    executor = LocalPipelineExecutor(fineweb_blocks(warc, language_model), tasks=1, workers=1, logging_dir=str(logs))
    executor.run()
    return summary(json.loads((logs / "stats.json").read_text()))


def fineweb_blocks(warc: Path, language_model: Path) -> list[Any]:
    """The blocks of FineWeb up to the decision, in order."""
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
        URLFilter,
    )
    from datatrove.pipeline.readers import WarcReader
    from tldextract import TLDExtract

    urls = URLFilter()
    urls.tldextractor = TLDExtract(suffix_list_urls=())
    language = LanguageFilter("en", language_threshold=0.65)
    language.model.MODEL_URL = str(language_model)  # "downloaded" into the assets by a local copy
    return [
        WarcReader(str(warc.parent), glob_pattern=warc.name),
        urls,
        Trafilatura(favour_precision=True),
        language,
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]


def summary(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of datatrove's stats.json by block. Errors: `SystemExit` if no document came through a block at all."""
    counts = {block["name"].split(" - ")[-1]: block["stats"] for block in blocks}
    return counts


if __name__ == "__main__":
    main()
