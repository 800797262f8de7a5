"""Models: ``textmill train`` (and what it would cost), ``generate``, ``export``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive
from textmill.cli.plan import print_plan, short
from textmill.cli.recipe import chosen_recipe, print_fields
from textmill.errors import UserError

if TYPE_CHECKING:
    from textmill.pipeline.trained import TrainedModel
    from textmill.tokenize import Tokenizer
    from textmill.train.initial import InitialWeights
    from textmill.train.loop import StepLog
    from textmill.train.model import Transformer

TRAIN_EXAMPLES = """\
examples:
  textmill train work --model tiny --steps 400
  textmill train work --set optimizer=muon --set n_layers=6 --set learning_rate=1e-3
  textmill train --list --model nano-25m                          what can be set, and what it is
  textmill train work --init other-model --set learning_rate=1e-4   go on from weights, of textmill or Hugging Face
  torchrun --nproc-per-node 8 -m textmill train work --set parallel=ddp
  textmill train work --choices hellaswag_val.jsonl               accuracy beside the validation loss
  textmill train --plan --model llama-1b --gpu h200 --gpus 8      parameters, memory, operations, time
  textmill train work --plan --model nano-25m --mfu 0.5           for the vocabulary and the tokens of a run

models: tiny, nano-25m, gpt2-124m, llama-350m, llama-1b, cs336
"""
GENERATE_EXAMPLES = """\
examples:
  textmill generate work --prompt 'The history of'              the model of a run
  textmill generate model --prompt 'Once upon' --temperature 0.7 --top-p 0.9 --max-tokens 300
  textmill generate model --prompt A --prompt B --json          several at once
  textmill generate exported/ --prompt Hello --stop '.'         a folder of Hugging Face's Llama
"""
EXPORT_EXAMPLES = """\
examples:
  textmill export work --to hf --out my-model                   the model of a run, for transformers, vLLM, llama.cpp
  textmill export model/checkpoint.pt --to hf --out my-model --dtype bfloat16
"""
EXPORTS = ("hf",)
DEFAULT_STEPS = 300
MODEL_HELP = "workspace, WORKSPACE:NAME, a folder that train or export wrote, or a checkpoint"


def add_commands(commands: Any) -> None:
    """Adds ``train``, ``generate`` and ``export``."""
    _add_train(commands)
    _add_generate(commands)
    _add_export(commands)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model on the tokens of a run, or on a folder of shards; or plan it",
        epilog=TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "source", metavar="RUN_OR_SHARDS", nargs="?", help="workspace, WORKSPACE:NAME, or a folder of token shards"
    )
    train.add_argument("--out", default="model", help="folder for checkpoint and log (default: %(default)s)")
    train.add_argument("--model", default="tiny", help="shape and recipe (default: %(default)s)")
    train.add_argument(
        "--choices",
        action="append",
        default=[],
        metavar="FILE",
        help="multiple choice to evaluate with the validation split, as for textmill eval; any number",
    )
    train.add_argument(
        "--steps", type=int, help=f"optimizer steps (default: {DEFAULT_STEPS}; in a plan, those of the model)"
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="a field of the shape or the recipe (see --list); any number",
    )
    train.add_argument("--init", metavar="MODEL", help=f"begin with its weights, in its shape: {MODEL_HELP}")
    train.add_argument("--list", action="store_true", help="show all fields with their values, and stop")
    train.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="NAME",
        help="show the curves in tensorboard or wandb, where that is installed; any number",
    )
    train.add_argument("--plan", action="store_true", help="say what it would take, and stop")
    train.add_argument("--gpu", default="H200", metavar="NAME", help="of the plan (default: %(default)s)")
    train.add_argument("--gpus", type=positive, default=1, metavar="N", help="of the plan (default: %(default)s)")
    train.add_argument(
        "--mfu", type=float, default=0.4, help="share of the GPUs' peak that the plan counts on (default: %(default)s)"
    )
    train.set_defaults(command=_train)


def _add_generate(commands: Any) -> None:
    generate = commands.add_parser(
        "generate",
        help="let a trained model write",
        epilog=GENERATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    generate.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    generate.add_argument(
        "--prompt", action="append", metavar="TEXT", help="what to go on from (default: a new document); any number"
    )
    generate.add_argument("--max-tokens", type=positive, default=200, metavar="N", help="default: %(default)s")
    generate.add_argument(
        "--temperature", type=float, default=0.8, help="0: the likeliest token each time (default: %(default)s)"
    )
    generate.add_argument(
        "--top-k", type=int, default=50, metavar="N", help="of the likeliest N; 0: of all (default: %(default)s)"
    )
    generate.add_argument("--top-p", type=float, metavar="P", help="of the likeliest that have this share together")
    generate.add_argument("--seed", type=int, default=0, help="the same seed, the same text (default: %(default)s)")
    generate.add_argument(
        "--stop", action="append", default=[], metavar="TOKEN", help="stop there, as at the end of the document"
    )
    generate.add_argument("--tokenizer", metavar="FILE", help="for a model that has none beside it")
    generate.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    generate.add_argument("--json", action="store_true", help="print prompts and texts as JSON")
    generate.set_defaults(command=_generate)


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a trained model as other programs want it",
        epilog=EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    export.add_argument("--to", required=True, metavar="FORMAT", help="hf: Hugging Face's Llama, with the tokenizer")
    export.add_argument("--out", required=True, metavar="DIR", help="a new folder")
    export.add_argument(
        "--dtype", default="float32", help="of the weights: float32, bfloat16, float16 (default: %(default)s)"
    )
    export.add_argument("--tokenizer", metavar="FILE", help="for a model that has none beside it")
    export.set_defaults(command=_export)


def _train(options: argparse.Namespace) -> None:
    if options.init and (options.list or options.plan):
        raise UserError("--init is for a training; a plan or a list takes --model and --set")
    if options.list:
        print_fields(chosen_recipe(options))
    elif options.plan:
        print_plan(options)
    elif options.source is None:
        raise UserError("nothing to train on; give a run or a folder of token shards, or --plan")
    else:
        _train_model(options)


def _train_model(options: argparse.Namespace) -> None:
    from pathlib import Path

    from textmill.pipeline.report.training import write_page
    from textmill.pipeline.trace import tokenizer_behind
    from textmill.pipeline.workspace import tokens_folder
    from textmill.progress import training_progress
    from textmill.terminal import safe
    from textmill.tokenize.shards.token_shards import TOKENIZER_FILE, TokenShards
    from textmill.train.config import require_torch

    require_torch()
    from textmill.train.choices import encoded_tasks  # after the check, because it imports torch
    from textmill.train.parallel import is_first_process

    speaks = is_first_process()
    with _said_once(speaks):
        folder = tokens_folder(options.source)
        train_shards, val_shards = TokenShards.open(folder, "train"), TokenShards.open(folder, "val")
        init = _initial(options, train_shards.tokenizer_sha256)
        shape = None if init is None else init.config
        recipe = chosen_recipe(options, vocab_size=train_shards.vocab_size, steps=DEFAULT_STEPS, shape=shape)
        tokenizer = tokenizer_behind(folder)
        tasks = encoded_tasks(options.choices, tokenizer, recipe.model)
    from textmill.train.curves import curves
    from textmill.train.loop import train

    out, logs = Path(options.out), options.log if speaks else []
    values = {**vars(recipe.model), **vars(recipe.train)}
    with training_progress(recipe.train.steps, shown=speaks) as show, curves(logs, out, values) as draw:

        def keep_tokenizer() -> None:
            if tokenizer and speaks and not (out / TOKENIZER_FILE).exists():
                tokenizer.save(out / TOKENIZER_FILE)  # so that the model can be used wherever its folder goes

        def on_step(log: StepLog) -> None:
            keep_tokenizer()
            show(log)
            draw(log)

        sets = recipe.model, recipe.train, train_shards, val_shards
        result = train(*sets, out, tasks=tasks, on_step=on_step, init=init)
        keep_tokenizer()
    if not speaks:
        return
    if result.began_at == result.last.step:
        print(f"{options.out}: this run was finished before; nothing was done. Another one needs another --out")
    val_loss = "not measured" if result.last.val_loss is None else f"{result.last.val_loss:.4f}"
    print(f"step {result.last.step}: loss {result.last.loss:.4f}, validation loss {val_loss}; {result.checkpoint}")
    for name, accuracy in result.last.accuracy.items():
        print(f"{safe(name)}: {accuracy:.1%} right")
    print(f"curves: {write_page(str(out), options.out)}")


def _initial(options: argparse.Namespace, tokenizer_sha256: str) -> InitialWeights | None:
    """The weights to begin with, if they are to be given."""
    if options.init is None:
        return None
    from textmill.pipeline.trained import find_model
    from textmill.train.initial import InitialWeights

    found = find_model(options.init)
    return InitialWeights.read(found.path, found.tokenizer, tokenizer_sha256)


@contextlib.contextmanager
def _said_once(speaks: bool) -> Iterator[None]:
    """What every process of a training finds wrong, one of them says."""
    try:
        yield
    except UserError:
        if speaks:
            raise
        raise SystemExit(2) from None


def _generate(options: argparse.Namespace) -> None:
    from textmill.pipeline.trained import find_model, require_tokenizer
    from textmill.storage import to_json
    from textmill.tokenize import Tokenizer
    from textmill.train.config import require_torch

    require_torch()
    found = find_model(options.model, options.tokenizer)
    tokenizer = Tokenizer.load(require_tokenizer(found))
    from textmill.train.generate import Sampling, generate, stream

    sampling = Sampling(options.temperature, options.top_k or None, options.top_p, options.seed)
    stop_ids = _stop_ids(tokenizer, options.stop)
    model = load_found(found, tokenizer, options.device)
    prompts = options.prompt or [""]
    limits = {"max_tokens": options.max_tokens, "sampling": sampling, "stop_ids": stop_ids}
    if options.json:
        texts = generate(model, tokenizer, prompts, **limits)
        pairs = zip(prompts, texts, strict=True)
        sys.stdout.write(to_json([{"prompt": prompt, "text": text} for prompt, text in pairs]))
    elif len(prompts) == 1:
        for piece in (prompts[0], *stream(model, tokenizer, prompts[0], **limits)):
            print(_shown(piece), end="", flush=True)
        print()
    else:
        for prompt, text in zip(prompts, generate(model, tokenizer, prompts, **limits), strict=True):
            print(f"{_shown(prompt + text)}\n")


def _stop_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> set[int]:
    """The end of the document, if there is one, and what was asked for."""
    from textmill.tokenize.files.definition import END_OF_TEXT

    ids = {tokenizer.special_ids[END_OF_TEXT]} if END_OF_TEXT in tokenizer.special_ids else set()
    for text in texts:
        encoded = tokenizer.encode(text)
        if len(encoded) != 1:
            raise UserError(f"--stop {text!r}: {len(encoded)} tokens of this tokenizer; name one token")
        ids |= set(encoded)
    return ids


def load_found(found: TrainedModel, tokenizer: Tokenizer | None, device_name: str, digest: str = "") -> Transformer:
    """The model, for use with ``tokenizer``, or with that of ``digest``. Errors: those of `load_model`;
    `UnknownNameError` for the device."""
    from textmill.errors import UnknownNameError
    from textmill.train.checkpoint import load_model
    from textmill.train.config import DEVICES
    from textmill.train.huggingface import load_llama
    from textmill.train.trainer import device_named

    if device_name not in DEVICES:
        raise UnknownNameError("device", device_name, DEVICES)
    device = device_named(device_name)
    if not found.is_checkpoint:
        return load_llama(found.path).to(device)
    return load_model(found.path, tokenizer_sha256=tokenizer.digest if tokenizer else digest or None, device=device)


def _shown(text: str) -> str:
    """What a model wrote, safe to print: lines stay lines."""
    from textmill.terminal import safe

    return "\n".join("\t".join(safe(cell, len(cell) * 10) for cell in line.split("\t")) for line in text.split("\n"))


def _export(options: argparse.Namespace) -> None:
    from textmill.errors import UnknownNameError
    from textmill.pipeline.trained import find_model
    from textmill.tokenize import Tokenizer
    from textmill.train.config import require_torch

    if options.to not in EXPORTS:
        raise UnknownNameError("format", options.to, EXPORTS)
    require_torch()
    found = find_model(options.model, options.tokenizer)
    tokenizer = Tokenizer.load(found.tokenizer) if found.tokenizer else None
    from textmill.train.huggingface import export_llama

    model = load_found(found, tokenizer, "cpu")
    export_llama(model, tokenizer, options.out, options.dtype)
    print(f"{options.out}: {short(model.n_parameters)} parameters in {options.dtype}")
    if tokenizer is None:
        print("no tokenizer was found beside the model: --tokenizer FILE adds it", file=sys.stderr)
