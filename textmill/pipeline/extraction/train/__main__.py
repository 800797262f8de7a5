"""The command line of the training; see --help."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from textmill.errors import EnvironmentFault, UserError
from textmill.pipeline.extraction.engine import MODEL
from textmill.pipeline.extraction.train.evaluate import cross_validate, table
from textmill.pipeline.extraction.train.fit import fit, prepare
from textmill.pipeline.extraction.train.pages import read_examples

EXAMPLES = """\
examples:
  python -m textmill.pipeline.extraction.train --data crawl/ --taught taught.jsonl
  python -m textmill.pipeline.extraction.train --data crawl/ --taught taught.jsonl --cross-validate texts.jsonl.gz

needs: pip install 'textmill[extraction]'. Five minutes for the teachers (once), two for the model, ten to
cross-validate.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m textmill.pipeline.extraction.train", epilog=EXAMPLES,
        description="Make the model of the extraction engine from pages with known main content.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with pages.warc.gz and the files beside it")
    parser.add_argument("--taught", type=Path, required=True, help="file that keeps what the teachers say")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model (default: the one of the package)")
    parser.add_argument("--cross-validate", type=Path, metavar="TEXTS", help="score unseen sources; write texts here")
    options = parser.parse_args()
    try:
        _run(options)
    except (UserError, EnvironmentFault) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    console = Console()
    examples = read_examples(options.data, options.taught)
    pages = prepare(examples, lambda them: track(them, "cutting and labelling", console=console))
    if options.cross_validate:
        texts = cross_validate(pages, console.print)
        with gzip.open(options.cross_validate, "wt", encoding="utf-8") as lines:
            for record_id, text in texts.items():
                lines.write(json.dumps({"record_id": record_id, "text": text}) + "\n")
        shown = Table("source", "pages", "F1", "precision", "recall", title="Sources and sites never seen")
        for name, n, *scores in table(pages, texts):
            shown.add_row(name, f"{n:,}", *(f"{score:.3f}" for score in scores))
        console.print(shown)
        return
    fit(pages).save(options.out)
    console.print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, from {len(pages):,} pages")


if __name__ == "__main__":
    sys.exit(main())
