"""The command line: what it prints, and one clear line with status 2 for every mistake."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from textmill.dags.common_crawl import common_crawl

from textmill import cli
from textmill.cli.first_use import CUTTING, say_if_compiling
from textmill.errors import EnvironmentFault
from textmill.pipeline import dag
from textmill.pipeline.stages.scores import Decide
from textmill.simulate.crawl import write_crawl


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=90, n_files=1)
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run_command(crawl: Path, *options: str) -> list[str]:
    """A run of the demo on the crawl; the options come last."""
    settings = ["--set", f"warcs={crawl}", "--set", "language_model=builtin"]
    return ["run", "demo", "--serial", "--out", "w", *settings, *options]


@pytest.fixture(scope="module")
def work(crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("work") / "w")
    assert cli.main(run_command(crawl, "--to", "corpus", "--out", out, "--set", "gopher_words.low=150")) == 0
    return out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a mistaken command prints."""
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("textmill: ") and shown.err.count("\n") == 1
    return shown.err.strip()


def run_fails(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    options = [part for setting in ("language_model=builtin", *settings) for part in ("--set", setting)]
    line = fails(capsys, "run", "common_crawl", "--serial", "--out", "w", *options)
    assert not Path("w").exists(), "something was written"
    return line


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("warcs=none.warc.gz",), "none.warc.gz: no such file"),
        (("warcs=*.warc.gz",), "*.warc.gz: matches no file"),
        (("warcs=",), "no input"),
        ((), "give either --set warcs=FILE,GLOB,FOLDER,URL or --set crawl=CC-MAIN-2026-04"),
        (("warc=a",), "unknown parameter 'warc'; did you mean 'warcs'?"),
        (("warcs",), "write it as NAME=VALUE"),
        (("warcs=a", "vocab_size=many"), "'many' is not a value of type int"),
        (("warcs=a", "steps=1.5"), "'1.5' is not a value of type int"),
        (("warcs=ssh://host/a.warc.gz",), "protocol not allowed"),
        (("warcs=http://127.0.0.1:9/a.warc.gz",), "cannot be reached"),
        (("warcs=https:///a.warc.gz",), "not a URL, it has no host"),
        (("warcs=http://[::1/a.warc.gz",), "not a URL, it has no host"),
        (("warcs=~nobody.here/a.warc.gz",), "no such file"),
        (("warcs=" + "a" * 5000,), "File name too long"),
        (("warcs=\udcff",), "\\udcff: not UTF-8"),
        (("warcs=a", "kind=wat"), "did you mean 'wet'?"),
        (("crawl=CC-MAIN-2026-04", "crawl_base="), "crawl_base is empty"),
        (("warcs=a", "noai.hihg=1"), "unknown bound of 'noai': 'hihg'; did you mean 'high'?"),
    ],
)
def test_a_wrong_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], expected: str
) -> None:
    assert expected in run_fails(capsys, *settings)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not a web archive"),
        (gzip.compress(b"<html>not found</html>"), "not a web archive"),
        (bytes(1000), "not a web archive"),
    ],
)
def test_a_file_that_is_no_archive_is_one_line(
    capsys: pytest.CaptureFixture[str], content: bytes, expected: str
) -> None:
    Path("a.warc.gz").write_bytes(content)
    line = run_fails(capsys, "warcs=a.warc.gz")
    assert expected in line and "a.warc.gz" in line


def test_a_folder_without_archives_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert "a folder without archives" in run_fails(capsys, "warcs=empty")


@pytest.mark.parametrize(
    "command",
    [
        ("perplexity", "train", "--text", "", "--out", "m"),
        ("classifier", "train", "--positive", "", "--negative", "b", "--out", "m"),
        ("tokenizer", "train", "", "--vocab-size", "300"),
        ("tokenizer", "encode", "", "a text"),
        ("dedup", "", "--out", "w"),
        ("decontaminate", "a.jsonl", "--items", ""),
        ("report", ""),
        ("shards", "info", ""),
    ],
)
def test_an_empty_name_is_told_as_one(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    Path("a.jsonl").write_text('{"text": "a"}\n')
    assert "'': an empty name; give a file" in fails(capsys, *command)


def test_an_empty_out_is_not_the_root(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    assert "'': an empty name" in fails(capsys, *run_command(crawl, "--to", "pages", "--out", ""))


def test_wrong_values_of_the_dag_are_one_line(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    warcs = f"warcs={crawl}"
    assert "did you mean 'resiliparse'" in run_fails(capsys, warcs, "engine=resiliparze")
    assert "did you mean 'gopher_words'" in run_fails(capsys, warcs, "gopher_word.low=3")
    assert "not a number" in run_fails(capsys, warcs, "gopher_words.low=few")
    assert "not a number" in run_fails(capsys, warcs, "gopher_words.low=nan")
    assert "did you mean 'tiny'" in run_fails(capsys, warcs, "model=tinny")
    assert "did you mean 'longest'" in run_fails(capsys, warcs, "keep=longer")
    assert "did you mean 'gopher@dolma'" in run_fails(capsys, warcs, "rules=c4@tfds,gopher@dolm")
    assert "two scorers" in run_fails(capsys, warcs, "rules=gopher@dolma,gopher@dclm")
    assert "unknown language 'xx'" in run_fails(capsys, warcs, "language=xx")
    assert "none.ftz" in run_fails(capsys, warcs, "language_model=none.ftz")
    assert "shard_mb" in run_fails(capsys, warcs, "shard_mb=0")
    assert "vocab_size 5: give at least 257" in run_fails(capsys, warcs, "vocab_size=5")
    assert "at most 16777216" in run_fails(capsys, warcs, "vocab_size=1000000000")
    assert "val_frac" in run_fails(capsys, warcs, "val_frac=2")
    assert "similarity" in run_fails(capsys, warcs, "similarity=-1")
    assert "about labels" in run_fails(capsys, warcs, "language.low=5")
    assert "did you mean 'response'" in run_fails(capsys, warcs, "records=respons")
    assert "no record types" in run_fails(capsys, warcs, "records=")
    assert "no list in this folder" in run_fails(capsys, warcs, "deny_list=.")


def test_a_rule_without_bounds_is_switched_off(crawl: Path) -> None:
    target = dag.build(common_crawl, {"warcs": (str(crawl),), "language_model": "builtin"}, {"noai": {"high": "none"}})
    reasons = [rule.reason for stage in target.ancestry() if isinstance(stage, Decide) for rule in stage.rules]
    assert "noai" not in reasons and "tdm_reservation" in reasons


def test_a_dag_that_imports_what_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("import nowhere_to_be_found\n")
    assert "mine.py: No module named 'nowhere_to_be_found'" in fails(capsys, "run", "mine.py")


def test_an_engine_that_is_not_installed_names_its_extra(
    capsys: pytest.CaptureFixture[str], crawl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise EnvironmentFault(name)

    monkeypatch.setattr("textmill.storage.package_version", missing)
    assert "pip install 'textmill[trafilatura]'" in run_fails(capsys, f"warcs={crawl}", "engine=trafilatura")


def test_a_name_in_another_encoding_is_one_line(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    Path("odd").mkdir()
    Path("odd/\udcff.warc.gz").write_bytes(next(crawl.glob("*.warc.gz")).read_bytes())
    assert "\\udcff.warc.gz: its name is not UTF-8" in run_fails(capsys, "warcs=odd")


def test_a_workspace_in_the_home_folder(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cli.main(run_command(crawl, "--to", "pages", "--out", "~/w")) == 0
    assert list((tmp_path / "home" / "w").glob("pages-*/*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "textmill: error: unknown command 'rnu'; did you mean 'run'?"),
        (["tokenizer", "trian"], "textmill tokenizer: error: unknown action 'trian'; did you mean 'train'?"),
        (["run", "demo", "--sett", "a=1"], "textmill run: error: unknown option '--sett'; did you mean '--set'?"),
        (["report", "work", "b\x1b[31m"], "textmill report: error: no use for 'b\\x1b[31m'; see --help"),
        (
            ["run", "demo", "--workers", "\x1b[31m"],
            "textmill run: error: argument --workers: \\x1b[31m: must be a number, at least 1",
        ),
    ],
)
def test_a_mistyped_command_is_told_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == expected


def test_unknown_names_are_one_line(capsys: pytest.CaptureFixture[str], crawl: Path, work: str) -> None:
    assert "did you mean 'common_crawl'" in fails(capsys, "run", "comon_crawl")
    assert "no such file" in fails(capsys, "run", "mine.py")
    assert "did you mean 'decisions'" in fails(capsys, *run_command(crawl, "--to", "decision"))
    assert "not a textmill workspace" in fails(capsys, "report", "nowhere")
    assert "did you mean" in fails(capsys, "report", f"{work}:demo-corpus")
    assert "did you mean 'pages'" in fails(capsys, "show", work, "page")
    assert "did you mean 'status'" in fails(capsys, "show", work, "pages", "--where", "staus == 'ok'")
    assert "not an expression" in fails(capsys, "show", work, "pages", "--where", "status ==")
    for odd in ("status in [url]", "status in 5", "-'a' == url", "warc_length > 99999999999999999999"):
        assert "not an expression" in fails(capsys, "show", work, "pages", "--where", odd)
    assert "not allowed" in fails(capsys, "show", work, "pages", "--where", "__import__('os').getcwd() == 'a'")
    assert "does not fit" in fails(capsys, "show", work, "pages", "--where", "status < 3")
    assert "no page of run" in fails(capsys, "explain", work, "https://nowhere.example/")


def test_a_folder_of_something_else_is_refused(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("mine")
    assert "not a textmill workspace" in fails(capsys, *run_command(crawl, "--out", "full"))
    assert "is a file" in fails(capsys, *run_command(crawl, "--out", "full/thesis.txt"))
    assert sorted(p.name for p in Path("full").iterdir()) == ["thesis.txt"]


def test_changed_inputs_are_refused(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    source = next(crawl.glob("*.warc.gz")).read_bytes()
    Path("a.warc.gz").write_bytes(source)
    run = run_command(Path("a.warc.gz"), "--to", "pages")
    assert cli.main(run) == 0
    capsys.readouterr()
    Path("a.warc.gz").write_bytes(source + source)
    assert "changed since" in fails(capsys, *run)


def test_train_without_torch_is_one_line_before_anything_runs(
    capsys: pytest.CaptureFixture[str], crawl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = fails(capsys, *run_command(crawl))
    assert "pip install 'textmill[train]'" in line
    assert not list(Path("w").glob("pages-*"))


def test_explain_tells_the_whole_story(capsys: pytest.CaptureFixture[str], work: str) -> None:
    def explain(table: str, where: str) -> str:
        assert cli.main(["show", work, table, "-n", "1", "--where", where]) == 0
        page = re.search(r"\b\d+:[0-9a-f]+\b", capsys.readouterr().out)
        assert page and cli.main(["explain", work, page.group()]) == 0
        return capsys.readouterr().out

    assert "verdict  kept" in explain("corpus", "warc_length > 0")
    assert "verdict  dropped: bad_record" in explain("pages", "status == 'bad_record'")
    assert "verdict  dropped: gopher_" in explain("decisions", "not keep")
    copy = explain("keepers", "removed != ''")
    assert "keeper" in copy and "_duplicate" in copy.split("verdict")[1]


def test_settings_accept_lists_and_bounds(crawl: Path) -> None:
    from textmill.pipeline import dag as dags

    dag = dags.load_dag("demo")
    values, bounds = dags.parse_settings(dag, ["warcs=a,b", "warcs=c", "gopher_words.high=none", "steps=7"])
    assert values == {"warcs": ("a", "b", "c"), "steps": 7}
    assert bounds == {"gopher_words": {"high": "none"}}


def test_a_dag_of_ones_own(capsys: pytest.CaptureFixture[str], crawl: Path) -> None:
    Path("mine.py").write_text(
        "from textmill.pipeline.sources.inputs import find_inputs\n"
        "from textmill.pipeline.stages.pages import Extract\n"
        "def mine(warcs: tuple[str, ...], all_text: bool = False):\n"
        "    return Extract(find_inputs(warcs, 1.0), 'resiliparse-all' if all_text else 'resiliparse')\n"
    )
    run = ["run", "mine.py", "--set", f"warcs={crawl}", "--set", "all_text=yes", "--serial", "--out", "w"]
    assert cli.main(run) == 0
    assert cli.main(["plan", *run[1:]]) == 0
    assert "there already" in capsys.readouterr().out


def test_a_run_that_keeps_nothing_has_its_pages(tmp_path: Path, crawl: Path) -> None:
    out = tmp_path / "w"
    assert cli.main(run_command(crawl, "--to", "corpus", "--out", str(out), "--set", "language=yo")) == 0
    assert len(list(out.glob("runs/*/whatif.html"))) == len(list(out.glob("runs/*/report.html"))) == 1


def test_presets_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["presets"]) == 0
    assert "gopher@cs336" in capsys.readouterr().out
    assert cli.main(["presets", "c4@fineweb"]) == 0
    shown = capsys.readouterr().out
    assert "c4_n_sentences" in shown and "≥ 5" in shown and "edits the texts by C4Lines(end_marks=''" in shown
    assert cli.main(["presets", "gopher@dolma"]) == 0
    assert "measured by GopherQuality(word_length='median', symbols='words_with'" in capsys.readouterr().out
    assert cli.main(["presets", "refinedweb@dclm"]) == 0
    assert "After(editor=RefinedWebUrls(guarded=True), scorer=Repetition(words='unicode'))" in capsys.readouterr().out
    assert "did you mean 'c4@tfds'" in fails(capsys, "presets", "c4@tfd")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.startswith("textmill ")


def test_report_as_json(capsys: pytest.CaptureFixture[str], work: str) -> None:
    assert cli.main(["report", work, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["dag"] == "demo"


def test_kernels_that_were_never_compiled_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    say_if_compiling(CUTTING)
    assert "compiling kernels" in capsys.readouterr().err
    (tmp_path / "pretokens_1").mkdir()
    (tmp_path / "pretokens_1" / "cut._cut-60.py311.nbi").touch()
    say_if_compiling(CUTTING)
    assert capsys.readouterr().err == ""
