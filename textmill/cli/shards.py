"""``textmill shards``: what token shards are, whether they are whole, and where their tokens come from."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive
from textmill.errors import UserError

if TYPE_CHECKING:
    from textmill.tokenize.shards.mix import Share, Source

SHOWN_SHARDS = 20
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

EXAMPLES = """\
examples:
  textmill shards info work                                    the shards of a run: counts, lengths, format
  textmill shards verify work                                  every byte of them
  textmill shards trace work 123456                            the page of a token, counted over the training shards
  textmill shards trace work/tokens-1a2b/val/tokens-00003.bin 77
  textmill shards mix --source web=work:0.7 --source books=books:0.3 --tokens 1B --out mixed
  textmill shards mix --source web=work:1 --source notes=notes:2x --source code=code:300M --out mixed
  textmill shards export work --to llm.c --out for-llmc
  textmill shards import fineweb_train_*.bin --val fineweb_val_*.bin --from llm.c --tokenizer gpt2.json --out shards

Amounts of a mix: a weight (0.7), epochs (2x) or tokens (300M, with K, M, B or T for the powers of a thousand).
Weights share what is left of --tokens; without it, as much as makes none of their sources repeat.
"""
FORMATS_HELP = "nanogpt, llm.c (modded-nanogpt), llama3 (of llm.c), megatron, datatrove (nanotron) or olmo"


def add_commands(commands: Any) -> None:
    """Add ``shards`` and its actions."""
    raw = argparse.RawDescriptionHelpFormatter
    shards = commands.add_parser(
        "shards", help="token shards: show, check, trace", epilog=EXAMPLES, formatter_class=raw
    )
    actions = shards.add_subparsers(title="actions", metavar="ACTION", required=True)

    info = actions.add_parser("info", help="format, counts, and how long documents are")
    _add_shards(info)
    info.add_argument("--json", action="store_true", help="print everything as JSON")
    info.set_defaults(command=_info)

    verify = actions.add_parser("verify", help="read every byte; exit status 2 for the first that is wrong")
    _add_shards(verify)
    verify.set_defaults(command=_verify)

    trace = actions.add_parser("trace", help="the page that a token comes from, and every decision on it")
    trace.add_argument("shards", metavar="SHARD", help="path of a tokens-NNNNN.bin; or a run, or a folder of shards")
    trace.add_argument("offset", metavar="OFFSET", type=int, help="of the token, from 0")
    trace.add_argument(
        "--split", default="train", help="of a run or a folder, over whose shards OFFSET counts (default: %(default)s)"
    )
    trace.add_argument("--tokenizer", metavar="FILE", help="for shards that have none beside them and no run behind")
    trace.set_defaults(command=_trace)
    _add_mix(actions)
    _add_export(actions)
    _add_import(actions)


def _add_mix(actions: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    mix = actions.add_parser("mix", help="several sources in one shuffled order", epilog=EXAMPLES, formatter_class=raw)
    mix.add_argument(
        "--source", action="append", required=True, metavar="NAME=RUN_OR_SHARDS:AMOUNT", help="what to take how much of"
    )
    mix.add_argument("--tokens", type=n_tokens, metavar="N", help="in all")
    mix.add_argument("--seed", type=int, default=0, help="of the order (default: %(default)s)")
    mix.add_argument("--out", metavar="DIR", help="a new folder of shards; without it, only the plan is shown")
    mix.set_defaults(command=_mix)


def _add_export(actions: Any) -> None:
    export = actions.add_parser("export", help="write them as other trainers want them")
    _add_shards(export)
    export.add_argument("--to", required=True, metavar="FORMAT", help=FORMATS_HELP)
    export.add_argument("--out", required=True, metavar="DIR", help="a new folder")
    export.add_argument(
        "--file-tokens",
        type=positive,
        metavar="N",
        help="tokens a file, if there are several (default: 100 million)",
    )
    export.set_defaults(command=_export)


def _add_import(actions: Any) -> None:
    imports = actions.add_parser("import", help="make shards of what other trainers have")
    imports.add_argument("files", nargs="+", metavar="FILE", help="of tokens, for the training split, in order")
    imports.add_argument("--val", nargs="+", default=[], metavar="FILE", help="for the validation split")
    imports.add_argument("--from", required=True, metavar="FORMAT", dest="form", help=FORMATS_HELP)
    imports.add_argument("--out", required=True, metavar="DIR", help="a new folder of shards")
    imports.add_argument("--tokenizer", metavar="FILE", help="that made the ids, of any kind that textmill reads")
    imports.add_argument("--vocab-size", type=positive, metavar="N", help="ids, where the tokenizer is not at hand")
    imports.add_argument("--eot-id", type=int, metavar="ID", help="of end of text (default: that of <|endoftext|>)")
    imports.add_argument("--eot", choices=("append", "prepend"), help="where it is (default: as the first token says)")
    imports.add_argument("--dtype", choices=("uint16", "uint32"), help="of ids, where the files do not say")
    imports.add_argument("--source", metavar="NAME", help="what the table of documents says (default: the format)")
    imports.set_defaults(command=_import)


def _add_shards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shards", metavar="RUN_OR_SHARDS", help="workspace, WORKSPACE:NAME, or a folder of token shards"
    )


def _info(options: argparse.Namespace) -> None:
    from textmill.pipeline.workspace import tokens_folder
    from textmill.storage import to_json
    from textmill.tokenize.shards.check import describe

    found = describe(tokens_folder(options.shards))
    if options.json:
        sys.stdout.write(to_json(found))
    else:
        _print_info(found)


def _print_info(found: dict[str, Any]) -> None:
    from textmill.terminal import console, safe, table

    form = found["format"]
    print(f"{found['folder']}: {form['dtype']}, {form['vocab_size']:,} ids, {form['format']}")
    tokenizer = safe(form["tokenizer_sha256"]) or "not known"
    print(f"tokenizer {tokenizer}; end-of-text {form['eot_id']}, {form['eot_policy']}")
    if form["mix"] is not None:
        print(f"mixed with seed {form['seed']} of {safe(', '.join(form['mix']['sources']))}")
    header = ["split", "documents", "tokens", "text bytes", "bytes per token"]
    splits = found["splits"]
    rows: list[list[object]] = [
        [name, s["n_docs"], s["n_tokens"], s["n_bytes"] or None, s["bytes_per_token"]] for name, s in splits.items()
    ]
    console().print(table("splits", header, rows))
    lengths = {name: s["tokens_per_document"] for name, s in splits.items() if s["tokens_per_document"]}
    if lengths:
        header = ["split", *next(iter(lengths.values()))]
        console().print(table("tokens per document", header, ([name, *n.values()] for name, n in lengths.items())))
    rows = [
        [name, source, n["n_docs"], n["n_tokens"]] for name, s in splits.items() for source, n in s["sources"].items()
    ]
    console().print(table("sources", ["split", "source", "documents", "tokens"], rows))
    names = [f"{split}_n_{what}" for split in splits for what in ("docs", "tokens")]
    shards = list(found["shards"].items())
    rows = [[shard, *(counts[name] for name in names)] for shard, counts in shards[:SHOWN_SHARDS]]
    header = ["shard", *(name.replace("_n_", " ").replace("docs", "documents") for name in names)]
    console().print(table("shards", header, rows))
    if len(shards) > SHOWN_SHARDS:
        print(f"and {len(shards) - SHOWN_SHARDS:,} more: --json")


def _verify(options: argparse.Namespace) -> None:
    from textmill.pipeline.trace import tokenizer_behind
    from textmill.pipeline.workspace import tokens_folder
    from textmill.terminal import counter
    from textmill.tokenize.shards.check import n_files, sum_counts, verify

    folder = tokens_folder(options.shards)
    tokenizer_behind(folder)  # refuses another one
    with counter("files", n_files(folder)) as on_file:
        counts = verify(folder, on_file)
    n_docs, n_tokens = sum_counts(counts, "n_docs"), sum_counts(counts, "n_tokens")
    print(f"{folder}: whole; {n_docs:,} documents, {n_tokens:,} tokens")


def _trace(options: argparse.Namespace) -> None:
    from textmill.pipeline.trace import locate, trace

    for line in trace(*locate(options.shards, options.split, options.offset), options.tokenizer):
        print(line)


def n_tokens(text: str) -> int:
    """A number of tokens such as 300M, as argparse wants its types."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "")
    try:
        return int(float(number) * UNITS.get(unit, 1))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text}: not a number of tokens, such as 300M") from None


def _source(text: str) -> Source:
    """What ``NAME=RUN_OR_SHARDS:AMOUNT`` says. Errors: `UserError`."""
    from textmill.pipeline.workspace import tokens_folder
    from textmill.tokenize.shards.mix import Source

    name, equals, rest = text.partition("=")
    address, _, amount = rest.rpartition(":")
    if not (name and equals and address):
        raise UserError(f"--source {text}: must be NAME=RUN_OR_SHARDS:AMOUNT")
    try:
        if amount.endswith("x"):
            return Source(name, tokens_folder(address), epochs=float(amount[:-1]))
        if amount[-1:] in UNITS:
            return Source(name, tokens_folder(address), n_tokens=n_tokens(amount))
        return Source(name, tokens_folder(address), weight=float(amount))
    except (ValueError, argparse.ArgumentTypeError):
        raise UserError(f"--source {text}: {amount!r} is no amount; give 0.7, 2x or 300M") from None


def _mix(options: argparse.Namespace) -> None:
    from textmill.pipeline.trace import tokenizer_behind
    from textmill.terminal import counter
    from textmill.tokenize.shards.check import sum_counts
    from textmill.tokenize.shards.mix import mix, plan
    from textmill.tokenize.shards.token_shards import TokenShards

    shares = plan([_source(text) for text in options.source], options.tokens)
    _print_plan(shares)
    if not options.out:
        return
    n_val = sum(TokenShards.open(share.source.folder, "val").n_tokens for share in shares)
    with counter("tokens", n_val + sum(share.n_tokens for share in shares)) as on_tokens:
        tokenizer = tokenizer_behind(shares[0].source.folder)
        counts = mix(shares, options.out, options.seed, tokenizer=tokenizer, on_tokens=on_tokens)
    print(f"{options.out}: {sum_counts(counts, 'n_docs'):,} documents, {sum_counts(counts, 'n_tokens'):,} tokens")


def _print_plan(shares: list[Share]) -> None:
    from textmill.terminal import console, table
    from textmill.tokenize.shards.mix import USEFUL_EPOCHS

    total = sum(share.n_tokens for share in shares)
    header = ["source", "has tokens", "takes", "share", "epochs"]
    rows = [[s.source.name, s.n_available, s.n_tokens, f"{s.n_tokens / total:.1%}", f"{s.epochs:.2f}"] for s in shares]
    console().print(table(f"a mix of {total:,} tokens", header, rows))
    for share in shares:
        if share.epochs > USEFUL_EPOCHS:
            print(
                f"textmill: {share.source.name} repeats {share.epochs:.1f} times; beyond {USEFUL_EPOCHS}, "
                "repeated tokens teach less and less",
                file=sys.stderr,
            )


def _export(options: argparse.Namespace) -> None:
    from textmill.pipeline.workspace import tokens_folder
    from textmill.terminal import counter
    from textmill.tokenize.shards.check import sum_counts, totals
    from textmill.tokenize.shards.exports import FILE_TOKENS, export

    folder = tokens_folder(options.shards)
    with counter("tokens", sum_counts(totals(folder), "n_tokens")) as on_tokens:
        limit = options.file_tokens or FILE_TOKENS
        written = export(folder, options.to, options.out, file_tokens=limit, on_tokens=on_tokens)
    for name, n_tokens in written.items():
        print(f"{options.out}/{name}: {n_tokens:,} tokens")


def _import(options: argparse.Namespace) -> None:
    from textmill.terminal import counter
    from textmill.tokenize import Tokenizer
    from textmill.tokenize.shards.check import sum_counts
    from textmill.tokenize.shards.formats import format_named
    from textmill.tokenize.shards.imports import Import, import_files, open_files, prepends

    form = format_named(options.form)
    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    importing = Import.of(options.source or form.name, tokenizer, options.vocab_size, options.eot_id)
    vocab_size, eot_id = importing.form.vocab_size, importing.form.eot_id
    paths = {"train": options.files, "val": options.val}
    splits = {split: open_files(form, files, options.dtype or "", vocab_size) for split, files in paths.items()}
    before = options.eot == "prepend" if options.eot else prepends(form, splits["train"], eot_id)
    with counter("tokens", sum(len(file.tokens) for files in splits.values() for file in files)) as on_tokens:
        counts = import_files(splits, importing, options.out, prepends=before, tokenizer=tokenizer, on_tokens=on_tokens)
    n_docs, n_tokens = sum_counts(counts, "n_docs"), sum_counts(counts, "n_tokens")
    print(f"{options.out}: {n_docs:,} documents, {n_tokens:,} tokens; textmill shards info {options.out}")
