"""``textmill train trace``: the pages of a training step, with their loss."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive

if TYPE_CHECKING:
    from textmill.train.trace import StepTrace

TRACE = "train trace"
TRACE_EXAMPLES = """\
examples:
  textmill train trace work --step 123                   of the model of a run
  textmill train trace shards --model model --step 7     of the training in a folder, on token shards
  textmill train trace work --step 123 --json            all pages, as JSON
"""


def add_trace(commands: Any) -> None:
    """Adds ``train trace``."""
    trace = commands.add_parser(
        TRACE,
        help="list the pages of a training step with their loss",
        epilog=TRACE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trace.add_argument("source", metavar="RUN_OR_SHARDS", help="workspace, WORKSPACE:NAME, or a folder of token shards")
    trace.add_argument("--model", metavar="DIR", help="folder of the training (default: that of the run, else model)")
    trace.add_argument("--step", type=positive, required=True, help="from 1")
    trace.add_argument("--top", type=positive, default=20, metavar="N", help="pages to list (default: %(default)s)")
    trace.add_argument("--json", action="store_true", help="print all pages as JSON")
    trace.set_defaults(command=_trace)


def _trace(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from textmill.pipeline.workspace import tokens_folder
    from textmill.storage import to_json
    from textmill.tokenize.shards.token_shards import TokenShards
    from textmill.train.config import require_torch

    require_torch()
    from textmill.train.trace import trace_step  # after the check, because it imports torch

    shards = TokenShards.open(tokens_folder(options.source), "train")
    found = trace_step(_folder_of_training(options), shards, options.step)
    if options.json:
        sys.stdout.write(to_json(asdict(found)))
    else:
        print_trace(found, options.top)


def _folder_of_training(options: argparse.Namespace) -> Path:
    """What was named, else that of the run's own model, else ``model``, where ``textmill train`` writes."""
    from textmill.pipeline.trained import model_of_run

    if options.model is not None:
        return Path(options.model)
    found = model_of_run(options.source)
    return Path("model") if found is None else found.path.parent


def print_trace(trace: StepTrace, n_pages: int) -> None:
    """A table of the ``n_pages`` that have the largest part of the loss of a step."""
    from textmill.schema import show_doc_id
    from textmill.terminal import console, table

    rows = [
        [
            f"{page.loss_frac:.1%}",
            f"{page.loss:.3f}",
            f"{page.n_tokens:,}",
            page.source,
            show_doc_id(page.doc_id),
            page.url,
        ]
        for page in trace.pages[:n_pages]
    ]
    title = (
        f"step {trace.step}: {len(trace.pages)} pages, loss {trace.loss:.3f} by the weights of step "
        f"{trace.weights_step}"
    )
    console().print(table(title, ["part", "loss", "tokens", "source", "document", "page"], rows, max_chars=80))
