"""Commands of tokenizers: train one, compare some, convert and try them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textmill.cli.compare import add_compare
from textmill.cli.convert import add_convert
from textmill.cli.first_use import CUTTING, MERGING, say_if_compiling
from textmill.cli.options import positive
from textmill.errors import UserError

if TYPE_CHECKING:
    from textmill.tokenize.bpe.train import Training
    from textmill.tokenize.pretokens.count import PretokenCounts

TRAIN_EXAMPLES = """\
examples:
  textmill tokenizer train corpus.txt --vocab-size 32000
  textmill tokenizer train work --vocab-size 50257 --out gpt2-like.json              the corpus of a run
  textmill tokenizer train a.jsonl.gz b.parquet --text content --vocab-size 8192
  textmill tokenizer train corpus.txt --vocab-size 32000 --tie-break ids             as Hugging Face merges
  textmill tokenizer train corpus.txt --vocab-size 32000 --special '<|endoftext|>' --special '<|pad|>'

files: .txt (UTF-8, each file one text), .parquet and .jsonl, packed or not (each row one), folders of these, runs
"""


def add_commands(commands: Any) -> None:
    """Adds the command ``tokenizer`` and what it can do."""
    parser = commands.add_parser("tokenizer", help="train, compare, convert and try tokenizers")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_train(actions)
    add_compare(actions)
    add_convert(actions)


def _add_train(actions: Any) -> None:
    train = actions.add_parser(
        "train",
        help="train a byte-level BPE on text",
        epilog=TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("sources", nargs="+", metavar="FILE_OR_RUN", help="text, Parquet, JSON lines, folders, or a run")
    train.add_argument("--vocab-size", type=positive, required=True, metavar="N", help="ids, special tokens among them")
    train.add_argument("--pattern", default="gpt2", help="gpt2, cl100k, o200k, nanochat (default: %(default)s)")
    train.add_argument(
        "--tie-break", default="bytes", metavar="RULE", help="between equal pairs: bytes, ids, first (default: bytes)"
    )
    train.add_argument(
        "--special", action="append", metavar="TOKEN", help="a special token (default: <|endoftext|>, if none is given)"
    )
    train.add_argument("--text", default="text", metavar="COLUMN", help="where the text is (default: %(default)s)")
    train.add_argument("--out", default="tokenizer.json", metavar="FILE", help="to write (default: %(default)s)")
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> None:
    from textmill.pipeline.training_text import Sources
    from textmill.progress import share_progress
    from textmill.storage import check_writable
    from textmill.tokenize import Tokenizer
    from textmill.tokenize.bpe.train import check, train
    from textmill.tokenize.files.definition import END_OF_TEXT, N_BYTES

    special_tokens = options.special or [END_OF_TEXT]
    check(options.vocab_size, special_tokens, options.pattern, options.tie_break)
    sources = Sources(options.sources, options.text)
    if sources.holds(options.out):
        raise UserError(f"--out {options.out}: would take the place of a text to train on; choose another name")
    check_writable(options.out)  # better now than after an hour
    say_if_compiling(CUTTING, MERGING)
    with share_progress("counting", sources.n_bytes) as on_bytes:
        counts = sources.count(special_tokens, options.pattern, on_bytes)
    if not len(counts):
        raise UserError(f"{', '.join(options.sources)}: no text to train on")
    n_merges = options.vocab_size - N_BYTES - len(special_tokens)
    with share_progress("merging", n_merges) as advance:
        training = train(
            counts,
            options.vocab_size,
            special_tokens,
            tie_break=options.tie_break,
            on_merge=_steps(advance),
        )
    Tokenizer(training.vocab, training.merges, special_tokens, pattern=options.pattern).save(options.out)
    _show(options, counts, training)


def _steps(advance: Callable[[float], None]) -> Callable[[int], None]:
    """What hears numbers of merges that grow, and passes on by how much."""
    before = 0

    def on_merge(n_merges: int) -> None:
        nonlocal before
        advance(n_merges - before)
        before = n_merges

    return on_merge


def _show(options: argparse.Namespace, counts: PretokenCounts, training: Training) -> None:
    from textmill.terminal import console, table

    n_ids, n_merges = len(training.vocab), len(training.left)
    print(f"{options.out}: {n_ids:,} ids, {n_merges:,} merges, of {counts.n_bytes:,} bytes of text")
    if n_ids < options.vocab_size:
        print(f"that is all: the text has no pair left to merge; {options.vocab_size:,} ids were wanted")
    rows = [[f"{size:,}", f"{ratio:.3f}"] for size, ratio in training.curve().items()]
    console().print(table("What a vocabulary of the first ids gives", ["ids", "bytes per token"], rows))
