"""FineWeb's blocks in datatrove on one archive: from WARC to decisions. Runs in datatrove's own environment.

The blocks, their order and their settings are those of datatrove's examples/fineweb.py. What differs:

- no writers, neither for kept nor for removed documents: nothing is compressed or stored (favours datatrove);
- the language model is a local file, not a download of lid.176.bin;
- host names are split by the suffix list inside tldextract, not by one fetched at start-up (favours datatrove).

The URL lists come with the package and are unpacked once into ``--assets``. Prints one JSON object: documents read,
kept, and removed by each block.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", type=Path)
    parser.add_argument("--language-model", type=Path, required=True, help="a fastText model: lid.176.ftz or .bin")
    parser.add_argument("--assets", type=Path, required=True, help="where datatrove keeps what it unpacks")
    options = parser.parse_args()
    os.environ["HF_ASSETS_CACHE"] = str(options.assets)  # read when huggingface_hub is imported
    print(json.dumps(run_blocks(options.warc, options.language_model)))


def run_blocks(warc: Path, language_model: Path) -> dict[str, Any]:
    """Run the pipeline in this process (the extraction has, as always in datatrove, a child process)."""
    from datatrove.executor import LocalPipelineExecutor

    with tempfile.TemporaryDirectory() as logs:
        blocks = fineweb_blocks(warc, language_model)
        LocalPipelineExecutor(blocks, tasks=1, workers=1, logging_dir=logs).run()
        return summary(json.loads(Path(logs, "stats.json").read_text()))


def fineweb_blocks(warc: Path, language_model: Path) -> list[Any]:
    """FineWeb's blocks up to the decision, in order."""
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
    language.model.MODEL_URL = str(language_model)  # its "download" is then a copy into the assets
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
    """datatrove's own statistics as counts: ``read``, ``kept``, and ``removed`` by block.

    A block that got no document has empty statistics. The extractor has no count of dropped documents; what it did not
    pass on failed, ran into its time limit of one second, or was empty.
    """
    reader, *steps = blocks
    names = [step["name"].encode("ascii", "ignore").decode().rpartition(":")[2].strip() for step in steps]
    counts = [step["stats"] for step in steps]
    n_removed = [_total(count, "total") - _total(count, "forwarded") for count in counts]
    return {
        "read": _total(reader["stats"], "documents"),
        "kept": _total(counts[-1], "forwarded"),
        "removed": dict(zip(names, n_removed, strict=True)),
        "extraction_timeouts": sum(_total(count, "timeout") for count in counts),
        "extraction_errors": sum(_total(count, "clean_error") for count in counts),
    }


def _total(stats: dict[str, Any], name: str) -> int:
    value = stats.get(name, 0)
    return int(value["total"] if isinstance(value, dict) else value)


if __name__ == "__main__":
    main()
