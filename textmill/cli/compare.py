"""``textmill tokenizer compare``: tokenizers side by side on a corpus, as tables and as a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from textmill.cli.first_use import CUTTING, ENCODING, say_if_compiling
from textmill.cli.options import positive

if TYPE_CHECKING:
    from textmill.tokenize.compare import Batch, TextTokenizer

EXAMPLES = """\
examples:
  textmill tokenizer compare mine.json gpt2/ --on corpus/a.parquet --html compare.html
  textmill tokenizer compare mine.json --on sentences.jsonl.gz --by lang
  textmill tokenizer compare --train 32000 --on work              bytes, characters, words and BPE, on a run's corpus
  textmill tokenizer compare mine.json --train 8000 --pattern o200k --on book.txt.gz --json

--train learns from every other document and measures all tokenizers on those between. Tokenizers: files of textmill,
Hugging Face, tiktoken or GPT-2. Text: .txt and .jsonl, packed or not, .parquet, folders of rows, or runs.
"""


def add_compare(actions: Any) -> None:
    """Add ``compare`` to the actions of ``textmill tokenizer``."""
    parser = actions.add_parser(
        "compare",
        help="compression, unknown words, languages and speed of tokenizers on a corpus",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tokenizers", nargs="*", metavar="TOKENIZER", help="files of tokenizers")
    parser.add_argument("--on", nargs="+", required=True, metavar="FILE_OR_RUN", help="text: files, folders or runs")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="where the text is (default: %(default)s)")
    parser.add_argument("--by", metavar="COLUMN", help="group by it (default: language or lang, else by file)")
    parser.add_argument(
        "--train", type=positive, metavar="N", help="also bytes, characters, words and a BPE of N entries"
    )
    parser.add_argument("--pattern", default="gpt2", help="of what is trained (default: %(default)s)")
    parser.add_argument("--html", metavar="FILE", help="write the page with plots to FILE")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> None:
    from textmill import storage
    from textmill.pipeline.report.comparison import account_of, print_comparison
    from textmill.pipeline.tokenizers import write_page
    from textmill.terminal import console, safe
    from textmill.tokenize.compare import compare

    if options.html:
        storage.check_writable(options.html)
    say_if_compiling(CUTTING, ENCODING)
    tokenizers, batches = _tokenizers_and_text(options)
    with _status("comparing") as on_bytes:
        comparison = compare(tokenizers, batches, on_bytes)
    account = account_of(comparison)
    if options.html:
        write_page(comparison, options.html)
        print(f"wrote {safe(options.html)}", file=sys.stderr)
    if options.json:
        print(storage.to_json(account))
    else:
        print_comparison(account, console())


def _tokenizers_and_text(options: argparse.Namespace) -> tuple[dict[str, TextTokenizer], Iterator[Batch]]:
    """The tokenizers that were given, those that are trained, and the text that none of these has seen."""
    from textmill.errors import UserError
    from textmill.pipeline.tokenizers import read_batches, split_batches, train_tokenizers
    from textmill.tokenize import Tokenizer

    if not options.tokenizers and not options.train:
        raise UserError("nothing to compare: give files of tokenizers, or --train N, or both")
    given: dict[str, TextTokenizer] = {}
    for uri in options.tokenizers:
        name = uri.rstrip("/").rpartition("/")[2].removesuffix(".json")
        given[name if name not in given else uri] = Tokenizer.load(uri)
    if not options.train:
        return given, read_batches(options.on, options.text, options.by)
    with _status("training"):
        text = split_batches(read_batches(options.on, options.text, options.by), 0)
        trained = train_tokenizers(text, options.train, options.pattern)
    return given | trained, split_batches(read_batches(options.on, options.text, options.by), 1)


@contextmanager
def _status(what: str) -> Iterator[Any]:
    """A line on standard error while there is work; yields what to call with how many bytes more are done."""
    from rich.console import Console

    from textmill.terminal import size

    n_done = 0
    with Console(stderr=True).status(what) as status:

        def advance(n_bytes: int) -> None:
            nonlocal n_done
            n_done += n_bytes
            status.update(f"{what}: {size(n_done)} of text")

        yield advance
