"""The demo: common_crawl on a small synthetic crawl, in a size that a laptop finishes in a few minutes."""

from __future__ import annotations

from textmill.dags.common_crawl import common_crawl

from textmill.pipeline.stage import Stage


def demo(
    warcs: tuple[str, ...],
    language: str = "en",
    language_model: str = "",
    vocab_size: int = 2048,
    val_frac: float = 0.1,
    steps: int = 300,
    shard_mb: float = 0.5,
) -> Stage:
    """common_crawl with a small vocabulary, a tiny model and many small shards.

    warcs           archives; `textmill demo` writes them
    language        the language to keep, as ISO 639-1
    language_model  a fastText model; builtin; or "": from the cache, else downloaded, else builtin
    vocab_size      entries of the tokenizer
    val_frac        share of hosts held out for validation, 0 to below 1
    steps           optimizer steps
    shard_mb        megabytes of archive a task reads
    """
    return common_crawl(
        warcs,
        language=language,
        language_model=language_model,
        vocab_size=vocab_size,
        val_frac=val_frac,
        model="tiny",
        steps=steps,
        shard_mb=shard_mb,
    )
