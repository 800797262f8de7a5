"""From a token to its page: the text around it, and everything that the run behind its shard knows about the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from textmill import schema, storage
from textmill.errors import UnknownNameError
from textmill.pipeline.explain import explain
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.workspace import MARKER, Run, Workspace, tokens_folder
from textmill.terminal import safe
from textmill.tokenize import Tokenizer
from textmill.tokenize.shards.check import tokenizer_of
from textmill.tokenize.shards.token_shards import (
    TOKENIZER_FILE,
    Location,
    TokenShards,
    common_format,
    manifests_of,
    names,
    place_of,
)

AROUND_TOKENS = 24
SHOWN_CHARS = 400  # of the text on either side


def locate(address: str, split: str, offset: int) -> tuple[TokenShards, Location]:
    """Where a token comes from. ``address`` is the path of a ``tokens-NNNNN.bin``, in which ``offset`` counts; or a run
    or a folder of shards, and ``offset`` counts over the shards of ``split``. Errors: `UserError`.
    """
    place = place_of(address)
    if place is None:
        shards = TokenShards.open(tokens_folder(address), split)
        return shards, shards.locate(offset)
    folder, split, shard = place
    shards = TokenShards.open(folder, split)
    if shard not in shards.names:
        raise UnknownNameError(f"shard of {folder}:", shard, shards.names)
    return shards, shards.locate_in(shards.names.index(shard), offset)


def trace(shards: TokenShards, location: Location, tokenizer_path: str | None = None) -> Iterator[str]:
    """What is known of a token, as lines for people: its text, and its page.

    ``tokenizer_path`` names the tokenizer of shards that have none beside them and no run behind them. Errors:
    `InputError` when it is another one than the shards were written with.
    """
    tokenizer = tokenizer_behind(shards.folder, tokenizer_path)
    yield from _token_lines(shards, location, tokenizer)
    yield f"  document token {location.token + 1:,} of {location.n_tokens:,}, source {safe(location.source)}"
    behind = _run_of_source(shards, location.source) or run_behind(shards.folder)
    yield f"  run      {behind[1].name} in {behind[0].root}" if behind else "  run      none behind these shards"
    yield ""
    yield from explain(*behind, schema.show_doc_id(location.doc_id)) if behind else _document_lines(location)


def run_behind(folder: str) -> tuple[Workspace, Run] | None:
    """The newest run with these shards, if they lie in a workspace."""
    path = Path(storage.absolute(folder))
    workspace = Workspace(str(path.parent))
    if not storage.exists(workspace.path(MARKER)):
        return None
    runs = map(workspace.load_run, workspace.run_names())
    return next(((workspace, run) for run in runs if path.name in run.stages.values()), None)


def tokenizer_behind(folder: str, path: str | None = None) -> Tokenizer | None:
    """The tokenizer of the shards in ``folder``: that at ``path``, else that of the run behind them, else the one that
    lies beside them, or None. Errors: `InputError` when it is another one."""
    behind = run_behind(folder)
    if path is None and behind is not None:
        run = FinishedRun(*behind)
        stage = run.tokenizer
        path = storage.join(run.folder(stage), TOKENIZER_FILE) if stage else None
    return tokenizer_of(folder, common_format(folder, manifests_of(folder)), path)


def _run_of_source(shards: TokenShards, source: str) -> tuple[Workspace, Run] | None:
    """The run that a source of a mix came from."""
    sources = (shards.format.mix or {}).get("sources", {})
    return run_behind(sources[source]["folder"]) if source in sources else None


def _token_lines(shards: TokenShards, at: Location, tokenizer: Tokenizer | None) -> Iterator[str]:
    index = next(i for i, name in enumerate(shards.names) if int(name) == at.shard)
    tokens = shards.tokens[index][at.offset : at.offset + at.n_tokens]
    start = max(0, at.token - AROUND_TOKENS)
    before, token, after = (
        part.tolist()
        for part in (
            tokens[start : at.token],
            tokens[at.token : at.token + 1],
            tokens[at.token + 1 : at.token + 1 + AROUND_TOKENS],
        )
    )
    name = names(shards.split, shards.names[index])[0]
    end = ", the end of its document" if at.token == at.n_tokens - 1 else ""
    yield f"token {at.offset + at.token:,} of {name}: id {token[0]}{end}"
    if tokenizer is None:
        yield "  text     not known without the tokenizer: --tokenizer FILE"
    else:
        left, middle, right = (tokenizer.decode(part) for part in (before, token, after))
        yield f"  text     {safe(left[-SHOWN_CHARS:], SHOWN_CHARS)}[{safe(middle)}]{safe(right, SHOWN_CHARS)}"
    yield f"  ids      {' '.join([*map(str, before), f'[{token[0]}]', *map(str, after)])}"


def _document_lines(at: Location) -> Iterator[str]:
    """What the table of documents knows."""
    yield f"document {schema.show_doc_id(at.doc_id)}  {safe(at.url, 500) or '(no URL)'}"
    end = at.warc_offset + at.warc_length
    yield f"  record   {safe(at.warc_file, 500)}, bytes {at.warc_offset:,} to {end:,}"
