"""FineWeb's order of work, from web archives to a model.

FineWeb (Penedo et al. 2024, arXiv 2406.17557): extract the text, keep one language, judge the quality, remove near
duplicates within the crawl, mask personal data. What differs here: every score is stored before anything is decided;
duplicates are verified by their true similarity; and the copy that stays is chosen among documents that pass the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from textmill.dedup.minhash import MinHash
from textmill.errors import UserError
from textmill.filters import c4, model_losses, preset_for
from textmill.filters import perplexity as perplexities
from textmill.filters.base import Preset, stack
from textmill.filters.curator import CuratorRatios
from textmill.filters.pii import masks_named
from textmill.filters.signals import RedPajamaSignals
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


def common_crawl(
    warcs: tuple[str, ...] = (),
    crawl: str = "",
    files: int = 10,
    kind: str = "warc",
    crawl_base: str = crawls.COMMON_CRAWL,
    language: str = "en",
    language_score: float = 0.65,
    language_model: str = "",
    engine: str = "textmill",
    comments: bool = False,
    deny_list: tuple[str, ...] = (),
    word_lists: tuple[str, ...] = (),
    rules: tuple[str, ...] = ("gopher@paper", "c4@fineweb", "fineweb@code"),
    bad_words: tuple[str, ...] = (),
    perplexity: str = "",
    signals: bool = False,
    losses: str = "",
    bits_per_byte: float = 0.0,
    similarity: float = 0.7,
    against: tuple[str, ...] = (),
    keep: str = "longest",
    mask: str = "all",
    vocab_size: int = 32_768,
    pattern: str = "gpt2",
    tie_break: str = "bytes",
    val_frac: float = 0.05,
    split_by: str = "host",
    model: str = "tiny",
    steps: int = 300,
    shard_mb: float = 16.0,
    records: tuple[str, ...] = ("response", "conversion"),
    guard: bool = True,
) -> Stage:
    """FineWeb's order of work.

    warcs           archives: files, globs, folders, URLs (comma-separated, or given again)
    crawl           instead of warcs: crawls of Common Crawl by name, comma-separated (`textmill crawls` lists them)
    files           how many archives of each crawl, drawn by a fixed rule; 0 for all (some 90,000, or 90 TB)
    kind            which archives of a crawl: warc, or wet (text as Common Crawl extracts it)
    crawl_base      where crawls lie: https://data.commoncrawl.org, s3://commoncrawl, or a mirror
    language        the language to keep, as ISO 639-1
    language_score  how sure the language model must be, 0 to 1
    language_model  a fastText model; builtin; or "": from the cache, else downloaded, else builtin
    engine          text extraction: textmill, resiliparse, resiliparse-all, trafilatura
    comments        whether readers' comments are part of the text
    deny_list       domains and URLs to leave out: files, or folders in UT1's layout
    word_lists      words in URLs to leave out: files or folders named strict, hard, soft; default: a few of ours
    rules           published rule sets, in their order (docs/filters.md); each sees the text as those before it edit it
    bad_words       word lists, such as C4's LDNOOBW: documents with one of their words or phrases are left out
    perplexity      a model of `textmill perplexity train`: its head and middle are kept (perplexity@ccnet)
    signals         also store RedPajama-V2's signals and Curator's ratios, for looking at; no rule judges them
    losses          how hard documents are for a model, as `textmill eval --split train --docs all --out FILE` wrote it
    bits_per_byte   what a document of these may need at most; 0: only store it
    similarity      Jaccard index of word 5-grams from which two documents are copies
    against         finished runs (folders, or FOLDER:RUN): what they kept already is not kept again
    keep            which copy stays: longest, newest, first, or best:COLUMN by a column of the scores
    mask            personal data to replace: all (emails, phones, ips, cards, ibans, keys), dolma, fineweb, none
    vocab_size      entries of the tokenizer
    pattern         how the tokenizer cuts text before it merges: gpt2, cl100k, o200k, nanochat
    tie_break       which of two pairs of equal count is merged first: bytes, ids, first
    val_frac        share of hosts held out for validation, 0 to below 1
    split_by        host: no host is on both sides; document: each by itself, for documents of few hosts
    model           shape of the model: tiny, nano-25m, gpt2-124m, llama-350m, llama-1b, cs336
    steps           optimizer steps
    shard_mb        megabytes of archive a task reads; larger ones suit large crawls
    records         types of records to read: response, conversion, resource
    guard           parse pages in a process of their own, which they may crash; false is for debuggers (--serial)
    """
    inputs = find_inputs(crawls.choose(warcs, crawl, files, kind, crawl_base), shard_mb)
    pages = Extract(inputs, engine, comments, records=records, guarded=guard)
    documents = gate(pages, language, language_score, language_model, deny_list, word_lists)

    quality = stack(list(_presets(rules, language, bad_words, perplexity)))
    unjudged = (RedPajamaSignals(), CuratorRatios()) if signals else ()
    if bits_per_byte and not losses:
        raise UserError("bits_per_byte is a bound on losses; name their table with losses=FILE")
    judged_by_model = (model_losses.find_losses(losses),) if losses else ()
    scores = Score(documents, (*quality.scorers, *unjudged, *judged_by_model))
    at_most = (model_losses.rule(bits_per_byte),) if bits_per_byte else ()
    decisions = Decide(scores, (*quality.rules, *at_most))
    edited = Edit(documents, quality.editors) if quality.editors else documents

    keepers = choose_copies(edited, decisions, MinHash(ngram=5, bands=14, rows=8), similarity, keep, against)
    corpus = Corpus(edited, decisions, keepers, masks=masks_named(mask))

    tokenizer = TrainTokenizer(CountPretokens(corpus, pattern), vocab_size, tie_break)
    tokens = Tokens(corpus, tokenizer, val_frac, split_by=split_by)
    return Train.by_preset(tokens, tokenizer, model, steps)


def _presets(rules: tuple[str, ...], language: str, bad_words: tuple[str, ...], perplexity: str) -> Iterator[Preset]:
    """The published rules, then those whose lists or model are given."""
    ccnet = "perplexity@ccnet"
    for name in rules if ccnet in rules or not perplexity else (*rules, ccnet):
        yield perplexities.preset_of(name, perplexity) if name == ccnet else preset_for(name, language)
    if bad_words:
        yield c4.bad_words(bad_words)
