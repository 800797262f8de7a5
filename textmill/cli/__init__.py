"""The command line: parsing and printing, nothing else. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textmill import __version__
from textmill.cli import evaluate, shards, tokenizer, train
from textmill.cli.first_use import EXTRACTING, say_if_compiling
from textmill.cli.options import Parser, add_against, add_executor, add_run_options, positive
from textmill.cli.trace_step import TRACE, add_trace
from textmill.errors import MACHINE_FAULTS, EnvironmentFault, InvariantError, UserError
from textmill.process import lean

if TYPE_CHECKING:
    from textmill.pipeline.dag import Dag
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.stage import Stage
    from textmill.pipeline.workspace import Run, Workspace

DESCRIPTION = "Web crawls in; training data, a report that explains every decision, and a trained model out."
EXAMPLES = """\
examples:
  textmill demo                                            a synthetic crawl, the whole pipeline, a report; minutes
  textmill run common_crawl --set warcs='crawl/*.warc.gz'  the same on archives of yours
  textmill run common_crawl --set crawl=CC-MAIN-2026-04    the same on ten archives of Common Crawl
  textmill run common_crawl --set warcs=a.warc.gz --to decisions
  textmill report work                                     what each filter did, as a table
  textmill explain work https://example.org/page           why this page was kept or dropped
  textmill whatif work --set gopher_words.low=30           what another bound would keep, in seconds
"""
RUN_EXAMPLES = """\
examples:
  textmill run common_crawl --set warcs=crawl/ --set language=de --out work
  textmill run common_crawl --set crawl=CC-MAIN-2026-04 --set files=10          ten archives of Common Crawl
  textmill run common_crawl --set crawl=CC-MAIN-2026-04 --set kind=wet --set crawl_base=s3://commoncrawl
  textmill run common_crawl --set 'warcs=s3://bucket/crawl/*.warc.gz' --out s3://bucket/work
  textmill run common_crawl --set warcs=https://example.org/a.warc.gz --to pages
  textmill run common_crawl --set warcs=a.warc.gz --set gopher_words.low=30     another bound: only decisions rerun
  textmill run common_crawl --set warcs=a.warc.gz --to corpus --workers 8
  textmill run my_dag.py:variant --set warcs=a.warc.gz --scheduler tcp://10.0.0.1:8786
  textmill run common_crawl --help-dag                                          the parameters of a DAG
"""
PLAN_EXAMPLES = """\
examples:
  textmill plan common_crawl --set warcs=crawl/                what would run
  textmill plan common_crawl --set warcs=crawl/ --sample 8     the rules on 8 shards: what fires never or always

With --sample the exit status is 2 if a rule is wrong: it fails all documents, none reach it, or its bound is
no share where one is needed. Notes leave it 0.
"""
CRAWLS_EXAMPLES = """\
examples:
  textmill crawls                                the crawls of Common Crawl, the newest first
  textmill crawls --base s3://commoncrawl        the same from its bucket (needs credentials of AWS)
  textmill crawls --base /data/mirror --json     a mirror in a folder, as JSON
  textmill run common_crawl --set crawl=NAME --set files=10 --set crawl_base=BASE
"""
PERPLEXITY_EXAMPLES = """\
examples:
  textmill perplexity train --text wiki/*.jsonl.gz --calibrate sample.parquet --out wiki.ngrams
  textmill perplexity train --text good.txt --out good.ngrams --order 3 --max-words 50000000

files: .parquet and .jsonl (a column or value "text"), else plain text; packed with gzip or not
"""
WHATIF_EXAMPLES = """\
examples:
  textmill whatif work                                                 what the run keeps, checked anew
  textmill whatif work --set gopher_words.low=30                       a wider bound
  textmill whatif work --set gopher_words.low=30 --set gopher_words.high=none --json
  textmill whatif work --set language.low=none --set language.high=none    a rule switched off
  textmill whatif work --table losses.parquet --set bits_per_byte.high=1.2 a bound on what textmill eval --out wrote
"""
SHOW_EXAMPLES = """\
examples:
  textmill show work pages -n 5
  textmill show work scores --where "gopher_n_words < 50 and gopher_alpha_word_frac > 0.9"
  textmill show work pages --where "status == 'bad_charset' or host == 'a.example'"
"""
PRESETS_EXAMPLES = """\
examples:
  textmill presets
  textmill presets gopher@dolma
  textmill run common_crawl --set rules=gopher@dclm,c4@tfds --set warcs=a.warc.gz
"""
FIDELITY_EXAMPLES = """\
examples:
  textmill fidelity gopher@dolma gopher@datatrove work
  textmill fidelity gopher@paper heuristics@curator work -n 10
"""
DEDUP_DAGS = {"minhash": "dedup", "substring": "substrings"}
DEDUP_METHODS = (*DEDUP_DAGS, "exact", "url", "lines", "paragraphs")
DEDUP_EXAMPLES = """\
examples:
  textmill dedup corpus/ --out clean                                  near-duplicates, verified
  textmill dedup corpus/ --out clean --set similarity=0.8 --keep first
  textmill dedup a.jsonl.gz b.parquet --out clean --method exact
  textmill dedup corpus/ --out clean --method lines --keep none --min-chars 30
  textmill dedup corpus/ --out clean --method substring --set words=50
  textmill dedup april/ --out clean-april --against clean-march       nor what is in the files that March left
  textmill clusters clean/run                                         what the copies are

methods: minhash compares whole documents by their words; exact, their texts; url, the column url; lines, paragraphs and
substring (of some words) take repeated pieces out of the texts. For minhash and substring, --set takes the parameters
of the DAGs dedup and substrings (textmill run dedup --help-dag); tables are in DIR/run, and an interrupted run goes on
when called again.
"""
CLUSTERS_EXAMPLES = """\
examples:
  textmill clusters work
  textmill clusters work -n 50 --json
"""
CLASSIFIER_EXAMPLES = """\
examples:
  textmill classifier train --positive good/*.jsonl --negative crawl.warc.gz --out quality.bin
  textmill classifier train --positive books/*.txt --negative pages.parquet --out quality.ftz --quantize 40000
  textmill classifier eval quality.ftz --positive good.jsonl --negative crawl.warc.gz --svg curve.svg
"""
DECONTAMINATE_EXAMPLES = """\
examples:
  textmill decontaminate work --items gsm8k.jsonl                              which documents of a run hold items
  textmill decontaminate corpus/ --items mmlu.csv --question question --question choices --answer answer
  textmill decontaminate a.jsonl.gz b.parquet --items gsm8k.jsonl --action drop --out clean --threshold 0.5

items: JSON lines, Parquet or CSV; the fields are guessed by their names unless given. Documents: JSON lines, Parquet,
folders of them, or runs. In --out: report.html, report.json, matches.parquet, and (drop, cut) all documents.
"""
INTERRUPTED = 130
SLIDER_PAGE = "whatif.html"  # beside the report
SHOWN_FILES = 50  # of those that were lost


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 a bug, 2 a mistake, a lack, a loss, 130 interrupted."""
    lean()
    options = _parser().parse_args(_with_two_words(sys.argv[1:] if arguments is None else arguments))
    logging.basicConfig(format="textmill: %(message)s", level=logging.WARNING)
    try:
        _refuse_undecodable(sys.argv[1:] if arguments is None else arguments)
        return options.command(options) or 0
    except (UserError, EnvironmentFault) as error:
        print(f"textmill{_rank()}: {_one_line(error)}", file=sys.stderr)
        return 2
    except InvariantError as error:
        logging.exception("this is a bug in textmill, or in a file of yours: %s", error)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone; nothing is left to say
        return 1
    except MemoryError as error:
        print(f"textmill: not enough memory ({_one_line(error) or 'none is left'}); give it more", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in MACHINE_FAULTS:
            raise
        print(f"textmill: {_one_line(error.filename or 'output')}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not _rank():  # which all get
            print("\ntextmill: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _rank() -> str:
    """Which of several processes of a training this is, where it is not the first."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f" (rank {rank})"


def _with_two_words(arguments: Sequence[str]) -> list[str]:
    """``train trace`` is a command of two words, since ``train`` by itself is one that takes a name."""
    words = " ".join(arguments[:2])
    return [words, *arguments[2:]] if words == TRACE else list(arguments)


def _refuse_undecodable(arguments: Sequence[str]) -> None:
    """Errors: `UserError` for an argument in another encoding: all that is asked for is written down as UTF-8."""
    from textmill.storage import is_utf8

    if odd := next((argument for argument in arguments if not is_utf8(argument)), None):
        raise UserError(f"{odd}: not UTF-8")


def _one_line(message: object) -> str:
    """The message; it may quote data, so control characters are shown as escapes."""
    from textmill.terminal import safe

    return safe(" ".join(str(message).split()), max_chars=2000)


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("textmill", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="make a synthetic crawl and run everything on it")
    demo.add_argument("--out", default="textmill-demo", help="folder for everything (default: %(default)s)")
    demo.add_argument("--pages", type=int, default=3000, help="pages of the crawl (default: %(default)s)")
    add_run_options(demo)
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="run a DAG", epilog=RUN_EXAMPLES, formatter_class=raw)
    plan = commands.add_parser(
        "plan",
        help="show what a run would do, what is there already, and what is wrong with its rules",
        epilog=PLAN_EXAMPLES,
        formatter_class=raw,
    )
    for command in (run, plan):
        command.add_argument("dag", metavar="DAG", help="its name, or FILE.py, or FILE.py:FUNCTION")
        command.add_argument("--out", default="work", help="workspace folder or URL (default: %(default)s)")
        command.add_argument("--help-dag", action="store_true", help="show the parameters of the DAG and stop")
        add_against(command, "finished runs: what they kept is not kept again")
        add_run_options(command)
    plan.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help="run N shards here up to the decisions, and check the rules on them",
    )
    run.set_defaults(command=_run)
    plan.set_defaults(command=_plan)

    crawls = commands.add_parser(
        "crawls", help="the crawls that Common Crawl, or a mirror, offers", epilog=CRAWLS_EXAMPLES, formatter_class=raw
    )
    crawls.add_argument("--base", metavar="URL", help="where crawls lie (default: https://data.commoncrawl.org)")
    crawls.add_argument("--json", action="store_true", help="print them as JSON")
    crawls.set_defaults(command=_crawls)

    report = commands.add_parser("report", help="what each stage and each rule did")
    report.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    report.add_argument("--html", metavar="FILE", help="write the page with plots to FILE")
    report.add_argument("--json", action="store_true", help="print everything as JSON")
    report.set_defaults(command=_report)

    explain = commands.add_parser("explain", help="everything that is known about one page")
    explain.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    explain.add_argument("page", metavar="URL_OR_ID", help="its URL, or its document id")
    explain.add_argument("--all", action="store_true", help="also the rules that hold by far, and unjudged scores")
    explain.set_defaults(command=_explain)

    whatif = commands.add_parser(
        "whatif", help="what a run would keep under other bounds", epilog=WHATIF_EXAMPLES, formatter_class=raw
    )
    whatif.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    whatif.add_argument(
        "--set", action="append", default=[], metavar="REASON.low=VALUE", dest="settings", help="a bound, or none"
    )
    whatif.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="FILE",
        dest="tables",
        help="scores from elsewhere, by doc_id: their columns can be set as rules are; any number",
    )
    whatif.add_argument("-n", type=int, default=5, help="documents to show of each kind (default: %(default)s)")
    whatif.add_argument("--json", action="store_true", help="print everything as JSON")
    whatif.add_argument("--html", metavar="FILE", help="write the page with sliders to FILE")
    whatif.set_defaults(command=_whatif)

    show = commands.add_parser("show", help="rows of a table", epilog=SHOW_EXAMPLES, formatter_class=raw)
    show.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    show.add_argument("table", metavar="TABLE", help="pages, documents, scores, decisions, clusters, corpus, ...")
    show.add_argument("-n", type=int, default=10, help="rows at most (default: %(default)s)")
    show.add_argument("--where", metavar="EXPRESSION", help="only rows for which it is true")
    show.set_defaults(command=_show)

    presets = commands.add_parser("presets", help="published rule sets", epilog=PRESETS_EXAMPLES, formatter_class=raw)
    presets.add_argument("name", metavar="PRESET", nargs="?", help="show the rules of this one")
    presets.set_defaults(command=_presets)

    fidelity = commands.add_parser(
        "fidelity", help="where two presets disagree, and why", epilog=FIDELITY_EXAMPLES, formatter_class=raw
    )
    fidelity.add_argument("presets", metavar="PRESET", nargs=2, help="two presets, such as gopher@paper")
    fidelity.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    fidelity.add_argument("-n", type=int, default=3, help="sample documents, of either kind (default: %(default)s)")
    fidelity.add_argument("--json", action="store_true", help="print everything as JSON")
    fidelity.set_defaults(command=_fidelity)

    _add_dedup(commands)

    clusters = commands.add_parser(
        "clusters",
        help="the largest groups of copies: hosts, templates, who stays",
        epilog=CLUSTERS_EXAMPLES,
        formatter_class=raw,
    )
    clusters.add_argument("run", metavar="RUN", help="workspace, or WORKSPACE:NAME")
    clusters.add_argument("-n", type=positive, default=10, help="how many (default: %(default)s)")
    clusters.add_argument("--json", action="store_true", help="print everything as JSON")
    clusters.set_defaults(command=_clusters)
    _add_decontaminate(commands)

    train.add_commands(commands)
    add_trace(commands)
    evaluate.add_commands(commands)
    tokenizer.add_commands(commands)
    shards.add_commands(commands)

    perplexity = commands.add_parser("perplexity", help="models of reference text, to measure perplexity with")
    actions = perplexity.add_subparsers(title="actions", metavar="ACTION", required=True)
    learn = actions.add_parser(
        "train", help="make a model of reference text", epilog=PERPLEXITY_EXAMPLES, formatter_class=raw
    )
    learn.add_argument(
        "--text",
        nargs="+",
        required=True,
        metavar="FILE",
        help="text that is held to be good: archives, tables, JSON lines, plain text",
    )
    learn.add_argument("--calibrate", nargs="+", default=[], metavar="FILE", help="documents to part into three by it")
    learn.add_argument("--out", required=True, metavar="MODEL", help="the file to write")
    learn.add_argument("--order", type=positive, default=5, help="words of the longest n-gram (default: %(default)s)")
    learn.add_argument(
        "--max-words", type=positive, default=10_000_000, help="of more text, a sample (default: %(default)s)"
    )
    learn.set_defaults(command=_perplexity_train)

    _add_classifier(commands)

    version = commands.add_parser("version", help="versions of textmill and of what shapes its output")
    version.set_defaults(command=_version)
    return parser


def _add_dedup(commands: Any) -> None:
    parser = commands.add_parser(
        "dedup",
        help="remove copies from your own Parquet or JSON lines",
        epilog=DEDUP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="Parquet, JSON lines, a folder of them, or a run")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the files are written anew")
    parser.add_argument("--method", default="minhash", help=f"{', '.join(DEDUP_METHODS)} (default: %(default)s)")
    parser.add_argument("--keep", metavar="WHICH", help="minhash: longest, newest, first; else: first, none")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="where the text is (default: %(default)s)")
    add_against(parser, "minhash: folders that dedup wrote, or finished runs: what they kept is not kept again")
    parser.add_argument("--min-chars", type=positive, default=1, metavar="N", help="shorter pieces stay (default: 1)")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="minhash, substring: see below",
    )
    add_executor(parser)
    parser.set_defaults(command=_dedup, to="", strict=False)


def _add_classifier(commands: argparse._SubParsersAction[Parser]) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    classifier = commands.add_parser(
        "classifier", help="train or judge a quality classifier", epilog=CLASSIFIER_EXAMPLES, formatter_class=raw
    )
    actions = classifier.add_subparsers(title="actions", metavar="ACTION", required=True)
    train = actions.add_parser("train", help="train a fastText model on two kinds of texts")
    judge = actions.add_parser("eval", help="precision, recall and thresholds of a model")
    judge.add_argument("model", metavar="MODEL", help="a fastText model")
    for action in (train, judge):
        for kind in ("positive", "negative"):
            action.add_argument(
                f"--{kind}", nargs="+", required=True, metavar="FILE", help="WARC, Parquet, JSON lines or plain text"
            )
        action.add_argument("--json", action="store_true", help="print all figures as JSON")
        action.add_argument("--svg", metavar="FILE", help="write the precision/recall curve to FILE")
    train.add_argument("--out", required=True, metavar="MODEL", help="where to write the model, and its card beside it")
    train.add_argument(
        "--quantize", type=positive, default=0, metavar="ROWS", help="make it small: keep so many words and n-grams"
    )
    train.set_defaults(command=_classifier_train)
    judge.add_argument("--label", default="high", help="the positive label of the model (default: %(default)s)")
    judge.set_defaults(command=_classifier_eval)


def _add_decontaminate(commands: Any) -> None:
    parser = commands.add_parser(
        "decontaminate",
        help="find items of benchmarks in documents; drop these, or cut the items out",
        epilog=DECONTAMINATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("documents", nargs="+", metavar="INPUT", help="Parquet, JSON lines, a folder, or a run")
    parser.add_argument("--items", nargs="+", required=True, metavar="FILE", help="items of benchmarks")
    parser.add_argument("--question", action="append", default=[], metavar="FIELD", help="a field of the question")
    parser.add_argument("--answer", action="append", default=[], metavar="FIELD", help="a field of the answer")
    parser.add_argument("--text", default="text", metavar="COLUMN", help="where the text is (default: %(default)s)")
    parser.add_argument("--out", default="decontaminated", metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("-n", type=positive, default=13, help="words an n-gram (default: %(default)s)")
    parser.add_argument(
        "--max-items", type=positive, default=10, metavar="N", help="n-grams of more items do not count (default: 10)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.1, metavar="SHARE", help="of an item that counts (default: %(default)s)"
    )
    parser.add_argument("--action", default="report", help="report, drop documents, or cut items (default: report)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=_decontaminate)


def _run(options: argparse.Namespace) -> int:
    from textmill.pipeline import dag as dags

    dag = dags.load_dag(options.dag)
    if options.help_dag:
        print((dag.__doc__ or "").strip())
        return 0
    values, bounds = _settings(dag, options)
    workspace, run = _execute(options, dags.build(dag, values, bounds), dag.__name__)
    _keep_source(dag, workspace, run)
    print(f"run {run.name}: see `textmill report {workspace.root}`, or {workspace.report_page(run)}")
    return _say_what_was_lost(workspace, run)


def _keep_source(dag: Dag, workspace: Workspace, run: Run) -> None:
    """A copy of the file that a DAG of one's own comes from, beside the report: it may be another one tomorrow."""
    from textmill.pipeline.own_code import file_of, source_of
    from textmill.storage import write_text

    if path := file_of(dag):
        write_text(source_of(path).decode("utf-8", "replace"), workspace.path("runs", run.name, path.name))


def _settings(dag: Dag, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The parameters and bounds of a DAG as the options give them."""
    from textmill.pipeline import dag as dags

    options.settings += [f"against={address}" for address in options.against]
    return dags.parse_settings(dag, options.settings)


def _execute(options: argparse.Namespace, target: Stage, dag_name: str) -> tuple[Workspace, Run]:
    """Run ``target`` as the options say, with progress on the terminal."""
    from textmill.pipeline import dag as dags
    from textmill.pipeline.executors import make_executor
    from textmill.pipeline.runner import run_pipeline
    from textmill.pipeline.workspace import Workspace, new_run
    from textmill.progress import RunProgress

    target = dags.cut(target, options.to) if options.to else target
    workspace = Workspace(options.out)
    workspace.create()
    executor = make_executor(options.workers, options.scheduler, options.serial)
    say_if_compiling(EXTRACTING)
    try:
        with workspace.locked(), RunProgress() as progress:
            run = new_run(dag_name, options.settings, target)
            run = run_pipeline(run, target, workspace, executor, progress, options.strict)
    finally:
        executor.close()
    if not progress.n_executed:
        print("everything is there already; nothing was executed")
    _save_report(workspace, run, again=progress.n_executed > 0)
    return workspace, run


def _say_what_was_lost(workspace: Workspace, run: Run) -> int:
    """The account of losses on standard error. Returns the exit status: a lost file is a lack."""
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.losses import losses_of
    from textmill.terminal import safe

    losses = losses_of(FinishedRun(workspace, run))
    if losses is None or not losses["n_stretches"]:
        return 0
    faults = ", ".join(f"{fault['fault']} {fault['n']:,}" for fault in losses["faults"])
    share = f"{losses['bytes']:,} of {losses['of_bytes']:,} bytes"
    print(f"not readable: {share} of the archives, in {losses['n_stretches']:,} places: {faults}", file=sys.stderr)
    for lost in losses["lost_files"][:SHOWN_FILES]:
        print(f"lost: {safe(lost['file'], 500)}: {lost['fault']}", file=sys.stderr)
    n_lost = len(losses["lost_files"])
    if n_lost:
        print(f"textmill: {n_lost:,} of {losses['n_files']:,} files are lost", file=sys.stderr)
    return 2 if n_lost else 0


def _save_report(workspace: Workspace, run: Run, again: bool) -> None:
    """Keep the report beside the run."""
    from textmill.storage import exists, to_json, write_text

    page = workspace.report_page(run)
    if again or not exists(page):
        from textmill.pipeline.finished import FinishedRun
        from textmill.pipeline.report import account_of, write_html

        finished = FinishedRun(workspace, run)
        account = account_of(finished)
        whatif = _save_slider(finished, account, workspace.path("runs", run.name, SLIDER_PAGE))
        write_html(account, page, whatif)
        write_text(to_json(account), workspace.path("runs", run.name, "report.json"))


def _save_slider(run: FinishedRun, account: dict[str, Any], uri: str) -> str:
    """Write the page with sliders beside the report, if there are rules. Returns its name, or ""."""
    from textmill.pipeline.report.slider import write_slider

    if "decisions" not in account:
        return ""
    write_slider(run, account.get("histograms", []), uri)
    return SLIDER_PAGE


def _plan(options: argparse.Namespace) -> int:
    from textmill.pipeline import dag as dags
    from textmill.pipeline.runner import missing_shards
    from textmill.pipeline.workspace import Workspace
    from textmill.terminal import console, table

    dag = dags.load_dag(options.dag)
    if options.help_dag:
        print((dag.__doc__ or "").strip())
        return 0
    values, bounds = _settings(dag, options)
    target = dags.build(dag, values, bounds)
    target = dags.cut(target, options.to) if options.to else target
    workspace = Workspace(options.out)
    rows = []
    for stage in target.ancestry():
        n_shards, n_missing = len(stage.shards()), len(missing_shards(stage, workspace))
        does = "nothing: there already" if not n_missing else f"run {n_missing} of {n_shards}"
        rows.append([stage.name, type(stage).__name__, n_shards, does, stage.folder])
    console().print(table(f"plan for {workspace.root}", ["stage", "class", "tasks", "would", "folder"], rows))
    return _check(target, options.sample) if options.sample else 0


def _check(target: Stage, n_shards: int) -> int:
    """The rules on a sample. Returns the exit status: a rule that is wrong is a mistake."""
    from textmill.pipeline.checks import check, print_checked

    say_if_compiling(EXTRACTING)
    checked = check(target, n_shards)
    print_checked(checked)
    return 2 if checked.is_wrong else 0


def _crawls(options: argparse.Namespace) -> None:
    from textmill.pipeline.sources import crawls
    from textmill.storage import redact, to_json
    from textmill.terminal import console, table

    base = options.base or crawls.COMMON_CRAWL
    names = crawls.offered(base)
    if options.json:
        sys.stdout.write(to_json({"base": redact(base), "crawls": names}))
    else:
        console().print(table(f"crawls at {redact(base)}", ["crawl"], ([name] for name in names)))


def _demo(options: argparse.Namespace) -> None:
    from textmill.demo import run_demo

    run_demo(options, _execute)


def _report(options: argparse.Namespace) -> None:
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.report import account_of, print_report, write_html
    from textmill.pipeline.workspace import open_run
    from textmill.storage import to_json

    account = account_of(FinishedRun(*open_run(options.run)))
    if options.json:
        sys.stdout.write(to_json(account))
    elif options.html:
        write_html(account, options.html)
        print(f"wrote {options.html}")
    else:
        print_report(account)


def _explain(options: argparse.Namespace) -> None:
    from textmill.pipeline.explain import explain
    from textmill.pipeline.workspace import open_run

    workspace, run = open_run(options.run)
    for line in explain(workspace, run, options.page, everything=options.all):
        print(line)


def _whatif(options: argparse.Namespace) -> None:
    from textmill.pipeline.dag import parse_bounds
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.whatif import print_whatif, what_if
    from textmill.pipeline.workspace import open_run
    from textmill.storage import to_json

    if options.n < 0:
        raise UserError(f"-n {options.n}: must not be negative")
    wanted = parse_bounds(options.settings)
    if options.html and (wanted or options.tables):
        raise UserError("--html with --set or --table: the page has sliders for the rules of the run; leave one out")
    if options.html:
        _write_slider(FinishedRun(*open_run(options.run)), options.html)
        print(f"wrote {options.html}")
        return
    account = what_if(*open_run(options.run), wanted, options.n, options.tables)
    if options.json:
        sys.stdout.write(to_json(account))
    else:
        print_whatif(account)


def _write_slider(run: FinishedRun, path: str) -> None:
    from textmill.pipeline.report import account_of
    from textmill.pipeline.report.slider import write_slider

    write_slider(run, account_of(run).get("histograms", []), path)


def _show(options: argparse.Namespace) -> None:
    from textmill.pipeline.query import rows_where
    from textmill.pipeline.workspace import open_run
    from textmill.terminal import print_rows

    if options.n < 0:
        raise UserError(f"-n {options.n}: must not be negative")
    workspace, run = open_run(options.run)
    rows = rows_where(workspace, run, options.table, options.where, options.n)
    print_rows(rows, f"{options.table} of {run.name}")


def _presets(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from textmill.filters import preset, preset_names
    from textmill.pipeline.report.values import bounds
    from textmill.terminal import console, table

    if options.name is None:
        found = [preset(name) for name in preset_names()]
        rows = ([p.name, len(p.rules), "yes" if p.editors else "", p.source] for p in found)
        console().print(table("presets", ["preset", "rules", "edits", "source"], rows, max_chars=90))
        return
    chosen = preset(options.name)
    rows = ([rule.reason, rule.column, bounds(asdict(rule)), rule.source] for rule in chosen.rules)
    console().print(table(f"{chosen.name}: {chosen.source}", ["rule", "column", "keeps", "source"], rows, max_chars=60))
    for scorer in chosen.scorers:
        print(f"measured by {_semantics(scorer)}")
    for editor in chosen.editors:
        print(f"edits the texts by {_semantics(editor)}")


def _semantics(part: Any) -> str:
    """A scorer or an editor, with those of its fields that are not the default."""
    from dataclasses import fields, is_dataclass

    chosen = {
        field.name: getattr(part, field.name) for field in fields(part) if field.default != getattr(part, field.name)
    }
    told = (f"{name}={_semantics(value) if is_dataclass(value) else repr(value)}" for name, value in chosen.items())
    return f"{type(part).__name__}({', '.join(told)})"


def _fidelity(options: argparse.Namespace) -> None:
    from textmill.filters import preset
    from textmill.pipeline.fidelity import compare, documents_of, print_fidelity
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.workspace import open_run
    from textmill.storage import to_json
    from textmill.terminal import counter

    if options.n < 0:
        raise UserError(f"-n {options.n}: must not be negative")
    first, second = map(preset, options.presets)
    run = FinishedRun(*open_run(options.run))
    with counter("documents", documents_of(run)[1]) as on_rows:
        found = compare(run, first, second, options.n, on_rows)
    if options.json:
        sys.stdout.write(to_json(found.as_json()))
    else:
        print_fidelity(found)


def _dedup(options: argparse.Namespace) -> None:
    from textmill.errors import UnknownNameError
    from textmill.storage import is_local

    if options.method not in DEDUP_METHODS:
        raise UnknownNameError("method", options.method, DEDUP_METHODS)
    if not is_local(options.out):
        raise UserError(f"--out {options.out}: dedup writes to a local folder")
    if options.against and options.method != "minhash":
        raise UserError(f"--against: only the method minhash knows what earlier runs kept, not {options.method}")
    if options.method in DEDUP_DAGS:
        _dedup_by_dag(options)
    else:
        _dedup_repeats(options)


def _dedup_by_dag(options: argparse.Namespace) -> None:
    import shutil
    from pathlib import Path

    from textmill.pipeline import dag as dags
    from textmill.pipeline.rows import check_targets, find_text_files
    from textmill.pipeline.stages.rows import EditedRows, KeptRows, published
    from textmill.pipeline.workspace import DEDUP_RUN

    dag = dags.load_dag(DEDUP_DAGS[options.method])
    values, bounds = dags.parse_settings(dag, options.settings)
    if twice := next((name for name in ("files", "column") if name in values), None):
        raise UserError(f"--set {twice}: give INPUT and --text instead")
    check_targets(find_text_files(options.inputs, options.text), options.out)
    given = {"files": tuple(options.inputs), "column": options.text} | ({"keep": options.keep} if options.keep else {})
    given |= {"against": tuple(options.against)} if options.against else {}
    target = dags.build(dag, values | given, bounds)
    assert isinstance(target, KeptRows | EditedRows)
    out = Path(options.out)
    options.out = str(out / DEDUP_RUN)
    workspace, _ = _execute(options, target, dag.__name__)
    for path in published(workspace.root, target):
        part = out / f".{path.name}.part"
        shutil.copyfile(path, part)
        part.replace(out / path.name)
    print(f"files without copies: {out}; what was found: {workspace.root} (textmill report, clusters, show)")


def _dedup_repeats(options: argparse.Namespace) -> None:
    from pathlib import Path

    from textmill.pipeline.repeats import deduplicate
    from textmill.pipeline.rows import find_text_files

    if options.settings:
        raise UserError(f"--set {options.settings[0]}: only the methods {' and '.join(DEDUP_DAGS)} take parameters")
    files = find_text_files(options.inputs, options.text)
    done = deduplicate(files, Path(options.out), options.method, options.keep or "first", options.min_chars)
    print(f"{done.n_documents_removed:,} of {done.n_documents:,} documents removed; files: {options.out}")
    if done.n_pieces != done.n_documents:
        print(f"{done.n_pieces_removed:,} of {done.n_pieces:,} {options.method} removed")


def _clusters(options: argparse.Namespace) -> None:
    from textmill.pipeline.clusters import as_json, largest, print_clusters
    from textmill.pipeline.finished import FinishedRun
    from textmill.pipeline.workspace import open_run
    from textmill.storage import to_json

    found = largest(FinishedRun(*open_run(options.run)), options.n)
    if options.json:
        sys.stdout.write(to_json(as_json(found)))
    else:
        print_clusters(found)


def _decontaminate(options: argparse.Namespace) -> None:
    from textmill.dedup.decontaminate import Judgement, Ngrams
    from textmill.pipeline.benchmark_items import ItemFile
    from textmill.pipeline.decontaminate import decontaminate, print_account
    from textmill.pipeline.rows import find_text_files
    from textmill.storage import to_json

    items = [ItemFile.find(path, options.question, options.answer) for path in options.items]
    judgement, ngrams = Judgement(options.threshold, options.action), Ngrams(options.n, options.max_items)
    account = decontaminate(find_text_files(options.documents, options.text), items, options.out, ngrams, judgement)
    if options.json:
        sys.stdout.write(to_json(account))
    else:
        print_account(account)
        print(f"wrote {options.out}/report.html")


def _perplexity_train(options: argparse.Namespace) -> None:
    from textmill.filters.ngrams_train import calibrated, train
    from textmill.pipeline.texts import read_batches
    from textmill.storage import check_writable

    check_writable(options.out)  # better now than after an hour
    model = train(read_batches(options.text), options.order, options.max_words)
    if options.calibrate:
        model = calibrated(model, read_batches(options.calibrate))
    model.save(options.out)
    head, middle = model.header.head_below, model.header.middle_below
    parts = "not calibrated" if head is None else f"head below {head:.1f}, middle below {middle:.1f}"
    print(f"{options.out}: {sum(model.header.n_ngrams):,} n-grams of {model.header.n_words:,} words; {parts}")


def _classifier_train(options: argparse.Namespace) -> None:
    from textmill.pipeline.classify import Recipe, train

    card = train(options.positive, options.negative, options.out, Recipe(kept_rows=options.quantize))
    _show_figures(options, card, card["held_out"])


def _classifier_eval(options: argparse.Namespace) -> None:
    from textmill.pipeline.classify import evaluate

    figures = evaluate(options.model, options.positive, options.negative, options.label)
    _show_figures(options, figures, figures)


def _show_figures(options: argparse.Namespace, everything: dict[str, Any], figures: dict[str, Any]) -> None:
    from textmill.pipeline.classify import curve_svg
    from textmill.storage import to_json, write_text
    from textmill.terminal import console, table

    if options.svg:
        write_text(curve_svg(figures), options.svg)
    if options.json:
        sys.stdout.write(to_json(everything))
        return
    n = f"{figures['n_positive']:,} positive, {figures['n_negative']:,} negative, AUC {figures['auc']}"
    rows = [[f"{p['negatives_kept']:.0%}", p["threshold"], p["recall"], p["precision"]] for p in figures["keep"]]
    rows += [["", p["threshold"], p["recall"], p["precision"]] for p in figures["curve"][4::5]]
    console().print(table(n, ["negatives kept", "score at least", "positives kept", "precision"], rows))


def _version(options: argparse.Namespace) -> None:
    from textmill.pipeline.workspace import versions

    for name, version in {"textmill": __version__, **versions()}.items():
        print(f"{name} {version}")
