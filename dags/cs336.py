"""The data assignment of Stanford's CS336 (4 of 2025) as one pipeline, from Common Crawl's files to a model.

Its parts: text, language, personal data, harmful content, Gopher's rules, a quality classifier, lines that occur more
than once, near-duplicates, and flat uint16 tokens. What differs here: repeated lines go before the rules, which judge
what is trained on; personal data is masked last, so that no rule sees placeholders; and what opts out of training is
left out. Harmful content is judged only with models: `nsfw` and `toxic` take Dolma's files.
"""

from __future__ import annotations

from textmill.dedup import minhash
from textmill.dedup.substring import Cut
from textmill.filters import classifier as classifiers
from textmill.filters import preset, toxicity
from textmill.filters.base import stack
from textmill.filters.pii import masks_named
from textmill.pipeline.sources import crawls
from textmill.pipeline.sources.inputs import find_inputs
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.repeats import CutRepeats, RepeatedLines
from textmill.pipeline.stages.scores import Decide, Score
from textmill.pipeline.stages.tokens import CountPretokens, GivenTokenizer, Tokens, TrainTokenizer
from textmill.pipeline.steps import choose_copies, gate


def cs336(
    warcs: tuple[str, ...] = (),
    crawl: str = "",
    files: int = 10,
    kind: str = "wet",
    crawl_base: str = crawls.COMMON_CRAWL,
    language: str = "en",
    language_score: float = 0.65,
    language_model: str = "",
    engine: str = "resiliparse-all",
    nsfw: str = "",
    toxic: str = "",
    classifier: str = "",
    lines: str = "none",
    similarity: float = 0.8,
    keep: str = "first",
    mask: str = "dolma",
    tokenizer: str = "",
    vocab_size: int = 50_257,
    val_frac: float = 0.05,
    model: str = "cs336",
    steps: int = 1000,
    shard_mb: float = 16.0,
) -> Stage:
    """The steps of the data assignment of CS336, from web archives to a model.

    warcs           archives, WARC or WET: files, globs, folders, URLs (comma-separated, or given again)
    crawl           instead of warcs: crawls of Common Crawl by name, comma-separated (`textmill crawls` lists them)
    files           how many archives of each crawl, drawn by a fixed rule; 0 for all
    kind            which archives of a crawl: wet (text as Common Crawl extracts it), or warc
    crawl_base      where crawls lie: https://data.commoncrawl.org, s3://commoncrawl, or a mirror
    language        the language to keep, as ISO 639-1
    language_score  how sure the language model must be, 0 to 1
    language_model  a fastText model; builtin; or "": from the cache, else downloaded, else builtin
    engine          text extraction: resiliparse-all (the assignment's), resiliparse, textmill, trafilatura
    nsfw            Dolma's fastText model of sexual content; "": not judged
    toxic           Dolma's fastText model of hate speech; "": not judged
    classifier      a fastText model of `textmill classifier train`; "": the small one that comes with textmill
    lines           copies of a repeated line that stay: none, or first
    similarity      Jaccard index of word 5-grams from which two documents are copies
    keep            which copy stays: first, longest, newest, or best:COLUMN by a column of the scores
    mask            personal data to replace: dolma (emails, phones, ips), all, fineweb, none
    tokenizer       a file of any known format, such as GPT-2's; "": one is trained on the documents
    vocab_size      entries of a tokenizer that is trained
    val_frac        share of hosts held out for validation, 0 to below 1
    model           shape of the model: cs336, tiny, nano-25m, gpt2-124m, llama-350m, llama-1b
    steps           optimizer steps
    shard_mb        megabytes of archive a task reads; larger ones suit large crawls
    """
    inputs = find_inputs(crawls.choose(warcs, crawl, files, kind, crawl_base), shard_mb)
    pages = Extract(inputs, engine)
    found = gate(pages, language, language_score, language_model)
    documents = CutRepeats(found, RepeatedLines(found, lines), Cut(least_words=1))

    models = {"nsfw@dolma": nsfw, "toxic@dolma": toxic}
    harmless = [toxicity.preset_of(name, path) for name, path in models.items() if path]
    good = classifiers.preset_of("classifier@textmill", classifier) if classifier else preset("classifier@textmill")
    quality = stack([*harmless, preset("gopher@cs336"), good])
    decisions = Decide(Score(documents, quality.scorers), quality.rules)

    keepers = choose_copies(documents, decisions, minhash.preset("cs336").minhash, similarity, keep)
    corpus = Corpus(documents, decisions, keepers, masks=masks_named(mask))

    new = TrainTokenizer(CountPretokens(corpus, "gpt2"), vocab_size)
    made = GivenTokenizer.find(tokenizer) if tokenizer else new
    return Train.by_preset(Tokens(corpus, made, val_frac), made, model, steps)
