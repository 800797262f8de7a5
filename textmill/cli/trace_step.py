"""``textmill train trace``: the pages of a training step, with their loss."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.cli.options import positive

if TYPE_CHECKING:
    from textmill.train.trace import StepTrace

TRACE_EXAMPLES = """\
examples:
  textmill train trace work --step 1234                  the training in the folder model, on the tokens of a run
  textmill train trace shards --model runs/a --step 7    another folder of a training, and of token shards
"""


def add_trace(actions: Any) -> None:
    """Adds ``trace``."""
    trace = actions.add_parser(
        "trace",
        help="list the pages of a training step with their loss",
        epilog=TRACE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trace.add_argument("source", metavar="RUN_OR_SHARDS", help="workspace, WORKSPACE:NAME, or a folder of token shards")
    trace.add_argument("--model", default="model", help="folder of the training (default: %(default)s)")
    trace.add_argument("--step", type=positive, required=True, help="from 1")
    trace.add_argument("--top", type=positive, default=20, metavar="N", help="pages to list (default: %(default)s)")
    trace.set_defaults(command=_trace)


def _trace(options: argparse.Namespace) -> None:
    from textmill.pipeline.workspace import tokens_folder
    from textmill.tokenize.shards.token_shards import TokenShards
    from textmill.train.config import require_torch

    require_torch()
    from textmill.train.trace import trace_step  # after the check, because it imports torch

    shards = TokenShards.open(tokens_folder(options.source), "train")
    print_trace(trace_step(Path(options.model), shards, options.step), options.top)


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
