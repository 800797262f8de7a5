"""``textmill eval``: what a model makes of held-out text and of multiple choice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive
from textmill.cli.train import MODEL_HELP, load_found
from textmill.errors import InputError, UnknownNameError, UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from textmill.pipeline.trained import TrainedModel
    from textmill.tokenize import Tokenizer
    from textmill.tokenize.shards.token_shards import TokenShards
    from textmill.train.choices import Accuracy
    from textmill.train.evaluate import DocumentLosses, Figures
    from textmill.train.model import Transformer

EXAMPLES = """\
examples:
  textmill eval work                                          the model of a run, on the pages that the run held out
  textmill eval model --on work --docs all --by domain        a folder of textmill train, by site
  textmill eval exported/ --on shards --out losses.parquet    Hugging Face's layout; with a row for each document
  textmill eval other --on shards --against losses.parquet    another model on the same documents: the difference
  textmill eval model --choices hellaswag_val.jsonl --choices mmlu_test.jsonl
  textmill eval model --choices mmlu_test.jsonl --shots 5 --examples mmlu_dev.jsonl

Each document is read by itself, in windows of the model's context that overlap (--stride), so the figures do not depend
on how a training packed its text: compare models by bits per byte on the same documents. Which documents those are
follows from the split, --docs and --seed alone. ± is one standard error.

files of choices: JSON lines in HellaSwag's form (ctx, endings, label), in MMLU's (question, choices, answer), or plain
(context, choices, label: joined as they stand).
"""
KEYS = ("source", "domain", "tld")
DEFAULT_KEYS = ("source", "domain")
DEFAULT_DOCS = 2_000
OF_TEXT = ("out", "against", "by", "stride")  # options that mean nothing to multiple choice
NO_NAME = "(none)"


def add_commands(commands: Any) -> None:
    """Adds ``eval``."""
    parser = commands.add_parser(
        "eval",
        help="measure a model: bits per byte on held-out text, by source and site; multiple choice",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    text = parser.add_argument_group("held-out text")
    text.add_argument(
        "--on", metavar="RUN_OR_SHARDS", help="workspace, WORKSPACE:NAME, or a folder of token shards (default: MODEL)"
    )
    text.add_argument("--split", default="val", help="val, or train (default: %(default)s)")
    text.add_argument(
        "--docs",
        type=_n_docs,
        default=DEFAULT_DOCS,
        metavar="N",
        help="draw N documents, or all (default: %(default)s)",
    )
    text.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    text.add_argument("--stride", type=positive, metavar="N", help="tokens between windows (default: half a context)")
    text.add_argument("--by", action="append", metavar="KEY", help="source, domain or tld (default: the first two)")
    text.add_argument("--top", type=positive, default=10, metavar="N", help="groups to list (default: %(default)s)")
    text.add_argument("--out", metavar="FILE", help="write the losses of each document to FILE, as Parquet")
    text.add_argument("--against", metavar="FILE", help="what --out wrote for another model, on the same documents")
    choices = parser.add_argument_group("multiple choice")
    choices.add_argument("--choices", action="append", default=[], metavar="FILE", help="items; any number of files")
    choices.add_argument("--shots", type=int, default=0, metavar="N", help="examples before each item (default: 0)")
    choices.add_argument("--examples", metavar="FILE", help="where they are taken from")
    parser.add_argument("--tokenizer", metavar="FILE", help="for a model that has none beside it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="of matrix products: auto, float32, bfloat16 (default: auto)")
    parser.add_argument("--batch-tokens", type=positive, metavar="N", help="at once (default: as suits the device)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=_eval)


def _n_docs(text: str) -> int | None:
    return None if text == "all" else positive(text)


def _eval(options: argparse.Namespace) -> None:
    from textmill import storage
    from textmill.pipeline.trained import find_model
    from textmill.tokenize import Tokenizer
    from textmill.train.config import require_torch

    require_torch()
    _check(options)
    found = find_model(options.model, options.tokenizer)
    tokenizer = Tokenizer.load(found.tokenizer) if found.tokenizer else None
    shards = _shards(options)
    if shards is None and not options.choices:
        raise UserError("nothing to evaluate on; give token shards with --on, or --choices FILE, or both")
    if shards is None and (idle := next((name for name in OF_TEXT if getattr(options, name)), None)):
        raise UserError(f"--{idle} is for held-out text; give token shards with --on")
    model = _model(options, found, tokenizer, shards)
    account: dict[str, Any] = {"model": str(found.path), "context": model.config.context_length}
    if shards is not None:
        is_bare = tokenizer is None and not found.is_checkpoint  # which says what tokens it was trained on
        account["text"] = _held_out(options, model, shards, is_bare)
    if options.choices:
        account["choices"] = _choices(options, model, tokenizer)
    if options.json:
        sys.stdout.write(storage.to_json(account))
    else:
        _print(account)


def _check(options: argparse.Namespace) -> None:
    """What can be said before anything is read. Errors: `UserError`."""
    from textmill.storage import check_writable
    from textmill.train.config import DTYPES

    if options.dtype not in DTYPES:
        raise UnknownNameError("dtype", options.dtype, DTYPES)
    for key in options.by or ():
        if key not in KEYS:
            raise UnknownNameError("key", key, KEYS)
    if options.seed < 0 or options.shots < 0:
        raise UserError(f"--seed {options.seed}, --shots {options.shots}: must not be negative")
    if bool(options.shots) != bool(options.examples) or (options.shots and not options.choices):
        raise UserError("--shots N and --examples FILE go together, with --choices")
    if options.out:
        check_writable(options.out)


def _shards(options: argparse.Namespace) -> TokenShards | None:
    """The split to evaluate on: of what was named, else of the run that the model is from, else none."""
    from textmill.pipeline.workspace import is_run, tokens_folder
    from textmill.tokenize.shards.token_shards import TokenShards

    if options.on is None and not is_run(options.model):
        return None
    shards = TokenShards.open(tokens_folder(options.on or options.model), options.split)
    if not shards.n_docs:
        raise InputError(f"{shards.folder}: its split {options.split!r} has no documents; name another with --split")
    return shards


def _model(
    options: argparse.Namespace, found: TrainedModel, tokenizer: Tokenizer | None, shards: TokenShards | None
) -> Transformer:
    """The model. Errors: `InputError` for shards of another tokenizer; those of loading."""
    wrote = shards.tokenizer_sha256 if shards else ""
    if tokenizer is not None and wrote not in ("", tokenizer.digest):
        assert shards is not None
        raise InputError(
            f"{shards.folder}: written with tokenizer {wrote[:12]}, but the model {found.path} reads that of "
            f"{tokenizer.digest[:12]}; give shards of the model's own"
        )
    return load_found(found, tokenizer, options.device, wrote)


# --- held-out text


def _held_out(options: argparse.Namespace, model: Transformer, shards: TokenShards, is_bare: bool) -> dict[str, Any]:
    from textmill.progress import share_progress
    from textmill.train.evaluate import default_stride, draw_documents, evaluate, n_tokens_of

    other = _losses_in(options.against) if options.against else None
    numbers = draw_documents(shards.n_docs, options.docs or shards.n_docs, options.seed)
    with share_progress("evaluating", n_tokens_of(shards, numbers)) as on_tokens:
        losses = evaluate(
            model,
            shards,
            numbers,
            stride=options.stride,
            dtype=options.dtype,
            batch_tokens=options.batch_tokens,
            on_tokens=on_tokens,
        )
    if options.out:
        _write(losses.table(), options.out)
    compared = {} if other is None else {"against": {"file": options.against, **_difference(losses, other)}}
    return {
        "shards": shards.folder,
        "split": options.split,
        "n_docs": len(numbers),
        "of_docs": shards.n_docs,
        "seed": options.seed,
        "stride": options.stride or default_stride(model.config.context_length),
        **_figures_by_key(losses, options.by, options.top),
        **compared,
        "notes": list(_notes(options, losses, is_bare or not shards.tokenizer_sha256)),
    }


def _figures_by_key(losses: DocumentLosses, keys: Sequence[str] | None, n_top: int) -> dict[str, Any]:
    """All documents together, also with sites as the draws; then the groups of each key that tells documents apart."""
    import numpy as np

    from textmill.train.evaluate import figures, figures_by_group

    account: dict[str, Any] = {"all": _row("all", figures(losses)), "groups": {}}
    if losses.records is None:
        return account
    sites = _sites(losses)
    if 1 < (n_sites := len(np.unique(sites))) < len(sites):
        account["by_site"] = _row("all", figures(losses, sites)) | {"n_sites": n_sites}
    for key in keys or DEFAULT_KEYS:
        names, groups = _labels(losses.records, key)
        if len(names) > 1 or keys:
            account["groups"][key] = [_row(*found) for found in figures_by_group(losses, names, groups, n_top)]
    return account


def _losses_in(uri: str) -> pa.Table:
    from textmill import storage
    from textmill.train.evaluate import LOSSES

    with storage.open_parquet(uri, remedy="") as file:
        if file.schema_arrow.names != LOSSES.names:
            raise InputError(f"{uri}: no table of losses; give what `textmill eval --out` wrote")
        return file.read()


def _difference(losses: DocumentLosses, other: pa.Table) -> dict[str, Any]:
    """Bits per byte less those of another model, with the error over documents and over sites."""
    from textmill.train.evaluate import difference

    value, error = difference(losses, other)
    return {"bits_per_byte": value, "error": error, "site_error": difference(losses, other, _sites(losses))[1]}


def _sites(losses: DocumentLosses) -> Any:
    """The number of each document's site; what has none stands for itself."""
    import numpy as np

    names, own = _labels(losses.records, "domain")
    return np.where(np.array(names)[own] == NO_NAME, len(names) + np.arange(len(own)), own)


def _labels(records: pa.Table, key: str) -> tuple[list[str], Any]:
    """The names of groups, and the place of each document's own among them."""
    from textmill.filters.url_parts import UrlParts
    from textmill.text import Documents

    if key == "source":
        column = records["source"].combine_chunks()
    else:
        column = UrlParts().score(Documents(records))[KEYS.index(key) - 1]
    encoded = column.dictionary_encode()
    return [name or NO_NAME for name in encoded.dictionary.to_pylist()], encoded.indices.to_numpy()


def _row(name: str, figures: Figures) -> dict[str, Any]:
    from dataclasses import asdict

    return {"name": name, **asdict(figures), "perplexity": figures.perplexity}


def _notes(options: argparse.Namespace, losses: DocumentLosses, tokenizer_unknown: bool) -> Iterator[str]:
    if options.split == "train":
        yield "this is the training split: text that the model may have learnt by heart"
    if losses.n_bytes is None:
        yield "no bits per byte: the shards do not say how many bytes of text their documents have"
    if tokenizer_unknown:
        yield "whether model and shards have the same tokenizer is not known; only the number of ids was compared"


def _write(table: pa.Table, uri: str) -> None:
    from textmill import storage

    with storage.passing_scratch(uri.rpartition("/")[0] or ".") as folder:
        path = folder / "losses.parquet"
        with storage.TableWriter(path, table.schema) as writer:
            writer.write(table)
        storage.publish(path, uri)


# --- multiple choice


def _choices(options: argparse.Namespace, model: Transformer, tokenizer: Tokenizer | None) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from textmill.progress import share_progress
    from textmill.train.choices import encoded_tasks
    from textmill.train.evaluate import nats

    tasks = encoded_tasks(options.choices, tokenizer, model.config, options.examples, options.shots)
    found: list[Accuracy] = []
    with share_progress("choosing", sum(int(task.sequences.n_counted.sum()) for task in tasks)) as on_tokens:
        for task in tasks:
            limits = {"dtype": options.dtype, "batch_tokens": options.batch_tokens}
            found.append(task.accuracy(nats(model, task.sequences, **limits, on_tokens=on_tokens)))
    return [{**asdict(accuracy), "n_shots": options.shots} for accuracy in found]


# --- on the terminal


def _print(account: Mapping[str, Any]) -> None:
    from textmill.terminal import console, safe

    out = console()
    out.print(f"model {safe(account['model'], 500)}, context of {account['context']:,} tokens", markup=False)
    if text := account.get("text"):
        out.print()
        _print_text(text, account["context"])
    if tasks := account.get("choices"):
        out.print()
        _print_choices(tasks)


def _print_text(text: Mapping[str, Any], context: int) -> None:
    from textmill.terminal import console, safe, table

    out = console()
    drawn = f"{text['n_docs']:,} of {text['of_docs']:,} documents"
    title = f"split {text['split']} of {safe(text['shards'], 500)}: {drawn}"
    header = ["documents", "tokens", "bits/byte", "±", "nats/token", "±", "perplexity"]
    for key, rows in {"": [text["all"]], **text["groups"]}.items():
        body = [[row["name"], *_cells(row)] for row in rows]
        out.print(table(title if not key else f"by {key}", [key or "text", *header], body))
    out.print()
    for line in _text_notes(text, context):
        out.print(f"- {safe(line, 1000)}", markup=False)


def _cells(row: Mapping[str, Any]) -> list[object]:
    digits = {"bits_per_byte": 4, "bits_per_byte_error": 4, "loss": 4, "loss_error": 4, "perplexity": 2}
    shown = ["" if row[name] is None else f"{row[name]:,.{n}f}" for name, n in digits.items()]
    return [row["n_docs"], row["n_tokens"], *shown]


def _text_notes(text: Mapping[str, Any], context: int) -> Iterator[str]:
    yield f"each document by itself, in windows of {context:,} tokens, {text['stride']:,} apart"
    yield "± is one standard error, over documents"
    if (sites := text.get("by_site")) and sites["loss_error"] is not None:
        error = sites["bits_per_byte_error"]
        which = f"{sites['loss_error']:.4f} nats" if error is None else f"{error:.4f} bits/byte"
        yield f"pages of a site are alike: over the {sites['n_sites']:,} sites, all text has ±{which}"
    if other := text.get("against"):
        errors = f"±{_shown(other['error'])} over documents, ±{_shown(other['site_error'])} over sites"
        yield f"bits/byte less those in {other['file']}: {_shown(other['bits_per_byte'])}, {errors}"
    if text["n_docs"] < text["of_docs"]:
        yield f"drawn by --seed {text['seed']}, so they are the same for every model; --docs all takes all"
    yield from text["notes"]


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _print_choices(tasks: Sequence[Mapping[str, Any]]) -> None:
    from textmill.terminal import console, table

    header = ["task", "items", "shots", "accuracy", "±", "by byte", "±", "chance", "cut", "left out"]
    names = ("accuracy", "error", "normalized", "normalized_error", "chance")
    rows = [
        [
            task["name"],
            task["n_items"],
            task["n_shots"],
            *("" if task[name] is None else f"{task[name]:.2%}" for name in names),
            task["n_cut"],
            task["n_left_out"],
        ]
        for task in tasks
    ]
    out = console()
    out.print(table("multiple choice by likelihood", header, rows))
    out.print()
    out.print("- by byte: likelihoods divided by the bytes of the options; ± is one standard error over items")
    if any(task["n_cut"] for task in tasks):
        out.print("- cut: items whose context was cut at its left, to fit into the model's")
    if any(task["n_left_out"] for task in tasks):
        out.print("- left out: items with an option that is longer than the model's context")
