"""From people's own documents, Parquet or JSON lines, to token shards and a model."""

from __future__ import annotations

from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.rows import Rows, freeze
from textmill.pipeline.stages.tokens import CountPretokens, GivenTokenizer, Tokens, TrainTokenizer


def pretrain(
    files: tuple[str, ...],
    column: str = "text",
    tokenizer: str = "",
    vocab_size: int = 32_768,
    pattern: str = "gpt2",
    tie_break: str = "bytes",
    val_frac: float = 0.05,
    split_by: str = "host",
    source: str = "documents",
    model: str = "tiny",
    steps: int = 300,
) -> Stage:
    """Token shards of documents as they are, and a model trained on them.

    files       Parquet or JSON lines, folders of them, or runs; a column url is taken over
    column      where the text is
    tokenizer   a file of any known format; "": one is trained on the documents
    vocab_size  entries of a tokenizer that is trained
    pattern     how it cuts text before it merges: gpt2, cl100k, o200k, nanochat
    tie_break   which of two pairs of equal count is merged first: bytes, ids, first
    val_frac    share of hosts (of documents, if they have no URL) held out for validation, 0 to below 1
    split_by    host: no host is on both sides; document: each by itself, for documents of few hosts
    source      what the shards call these documents, in mixes and in losses by source
    model       shape of the model: tiny, nano-25m, gpt2-124m, llama-350m, llama-1b, cs336
    steps       optimizer steps
    """
    documents = Rows(freeze(files, column), column)
    new = TrainTokenizer(CountPretokens(documents, pattern), vocab_size, tie_break)
    made = GivenTokenizer.find(tokenizer) if tokenizer else new
    tokens = Tokens(documents, made, val_frac, source, split_by)
    return Train.by_preset(tokens, made, model, steps)
