"""DCLM-Baseline's order of work, from web archives to a model.

DCLM (Li et al. 2024, arXiv 2406.11794): RefinedWeb's rules and edits as DCLM reproduces them, then copies, then what a
classifier takes for instructive. What differs here: documents are compared by MinHash, as in DCLM's ablation, where
DCLM-Baseline has a Bloom filter of 13-grams; the classifier judges before a copy is chosen, so that none stays for one
that it drops; the language is that of the text as extracted, there without its URLs; and what opts out of training is
left out. The published threshold belongs to DCLM's own model, openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin.
"""

from __future__ import annotations

from textmill.dedup import minhash
from textmill.filters import classifier as classifiers
from textmill.filters import preset, preset_for
from textmill.filters.base import stack
from textmill.filters.pii import masks_named
from textmill.pipeline.sources import crawls
from textmill.pipeline.sources.inputs import find_inputs
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.corpus import Corpus
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.model import Train
from textmill.pipeline.stages.pages import Extract
from textmill.pipeline.stages.scores import Decide, Score
from textmill.pipeline.stages.tokens import CountPretokens, Tokens, TrainTokenizer
from textmill.pipeline.steps import choose_copies, gate


def dclm(
    warcs: tuple[str, ...] = (),
    crawl: str = "",
    files: int = 10,
    kind: str = "warc",
    crawl_base: str = crawls.COMMON_CRAWL,
    language: str = "en",
    language_score: float = 0.65,
    language_model: str = "",
    engine: str = "resiliparse",
    deny_list: tuple[str, ...] = (),
    word_lists: tuple[str, ...] = (),
    classifier: str = "",
    convention: str = "classifier@dclm",
    similarity: float = 0.74,
    against: tuple[str, ...] = (),
    keep: str = "first",
    mask: str = "none",
    vocab_size: int = 32_768,
    val_frac: float = 0.05,
    split_by: str = "host",
    model: str = "tiny",
    steps: int = 300,
    shard_mb: float = 16.0,
) -> Stage:
    """DCLM-Baseline's order of work.

    warcs           archives: files, globs, folders, URLs (comma-separated, or given again)
    crawl           instead of warcs: crawls of Common Crawl by name, comma-separated (`textmill crawls` lists them)
    files           how many archives of each crawl, drawn by a fixed rule; 0 for all
    kind            which archives of a crawl: warc, or wet (text as Common Crawl extracts it)
    crawl_base      where crawls lie: https://data.commoncrawl.org, s3://commoncrawl, or a mirror
    language        the language to keep, as ISO 639-1
    language_score  how sure the language model must be, 0 to 1
    language_model  a fastText model; builtin; or "": from the cache, else downloaded, else builtin
    engine          text extraction: resiliparse (DCLM's), textmill, resiliparse-all, trafilatura
    deny_list       domains and URLs to leave out: files, or folders in UT1's layout
    word_lists      words in URLs to leave out: files or folders named strict, hard, soft; default: a few of ours
    classifier      a fastText model of quality; "": the small one that comes with textmill
    convention      how that is used: classifier@dclm, or classifier@textmill for one of `textmill classifier train`
    similarity      Jaccard index of word 5-grams from which two documents are copies
    against         finished runs (folders, or FOLDER:RUN): what they kept already is not kept again
    keep            which copy stays: first, longest, newest, or best:COLUMN by a column of the scores
    mask            personal data to replace: none (as DCLM), all, dolma, fineweb
    vocab_size      entries of the tokenizer
    val_frac        share of hosts held out for validation, 0 to below 1
    split_by        host: no host is on both sides; document: each by itself, for documents of few hosts
    model           shape of the model: tiny, nano-25m, gpt2-124m, llama-350m, llama-1b, cs336
    steps           optimizer steps
    shard_mb        megabytes of archive a task reads; larger ones suit large crawls
    """
    inputs = find_inputs(crawls.choose(warcs, crawl, files, kind, crawl_base), shard_mb)
    pages = Extract(inputs, engine)
    documents = gate(pages, language, language_score, language_model, deny_list, word_lists)

    instructive = classifiers.preset_of(convention, classifier) if classifier else preset("classifier@textmill")
    quality = stack([preset_for("refinedweb@dclm", language), instructive])
    decisions = Decide(Score(documents, quality.scorers), quality.rules)
    edited = Edit(documents, quality.editors)

    keepers = choose_copies(edited, decisions, minhash.preset("dclm").minhash, similarity, keep, against)
    corpus = Corpus(edited, decisions, keepers, masks=masks_named(mask))

    tokenizer = TrainTokenizer(CountPretokens(corpus, "gpt2"), vocab_size)
    return Train.by_preset(Tokens(corpus, tokenizer, val_frac, split_by=split_by), tokenizer, model, steps)
