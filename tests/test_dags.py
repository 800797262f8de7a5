"""The DAGs that come with textmill, beside common_crawl: they run, count everything, and do what their papers say."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_stage import Silent

from textmill import cli, storage
from textmill.errors import InputError, UnknownNameError
from textmill.filters.classifier import DEFAULT_MODEL
from textmill.pipeline import dag as dags
from textmill.pipeline.executors import Serial
from textmill.pipeline.explain import explain
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report.account import account_of
from textmill.pipeline.runner import run_pipeline
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.edit import Edit
from textmill.pipeline.stages.repeats import CutRepeats
from textmill.pipeline.stages.scores import Decide, Materialize
from textmill.pipeline.stages.signatures import Signatures
from textmill.pipeline.workspace import Workspace, new_run
from textmill.simulate.crawl import write_crawl

AnyStage = TypeVar("AnyStage", bound=Stage)
SETTINGS = ("language_model=builtin", "language_score=0", "shard_mb=0.1", "vocab_size=400", "steps=1")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=120)
    return folder


def build(name: str, crawl: Path, *settings: str) -> Stage:
    dag = dags.load_dag(name)
    return dags.cut(dags.build(dag, *dags.parse_settings(dag, [f"warcs={crawl}", *SETTINGS, *settings])), "tokens")


def finish(root: Path, target: Stage) -> Workspace:
    workspace = Workspace(str(root))
    workspace.create()
    with workspace.locked():
        run_pipeline(new_run("dag", [], target), target, workspace, Serial(), Silent())
    return workspace


def totals(workspace: Workspace, target: Stage) -> dict[str, dict[str, int]]:
    return {s.name: storage.read_json(workspace.path(f"{s.folder}/_SUCCESS")) for s in target.ancestry()}


def texts(root: Path, stage: Stage) -> list[str]:
    tables = [pq.read_table(path, columns=["text"]) for path in sorted(Path(root, stage.folder).glob("*.parquet"))]
    return pa.concat_tables(tables)["text"].to_pylist()


def last(target: Stage, kind: type[AnyStage]) -> AnyStage:
    return [stage for stage in target.ancestry() if isinstance(stage, kind)][-1]


def reasons(target: Stage) -> list[str]:
    return [rule.reason for rule in last(target, Decide).rules]


@pytest.mark.parametrize("name", ["dclm", "cs336"])
def test_a_recipe_runs_and_nothing_vanishes(crawl: Path, tmp_path: Path, name: str) -> None:
    target = build(name, crawl)
    workspace = finish(tmp_path, target)
    counts = totals(workspace, target)
    for of_stage in counts.values():
        if "rows_in" in of_stage:
            removed = sum(n for key, n in of_stage.items() if key.startswith("removed_"))
            assert of_stage["rows_in"] == of_stage["rows_out"] + removed
    assert counts["tokens"]["rows_in"] == counts["corpus"]["rows_out"] > 0
    assert counts["decisions"]["n_keep"] >= counts["corpus"]["rows_out"]

    account = account_of(FinishedRun(workspace, workspace.load_run(workspace.run_names()[0])))
    beside = {figure["step"]: figure["here"] for figure in account["published"]}
    assert 0 < beside["quality classifier"] <= 1
    funnel = account["funnel"]
    left = [step["rows"] for step in funnel]
    assert left == sorted(left, reverse=True) and left[-1] == counts["corpus"]["rows_out"]
    assert all(
        before["rows"] - after["removed_from_previous"] == after["rows"] for before, after in itertools.pairwise(funnel)
    )


def test_dclm_edits_as_refinedweb_does_before_the_classifier_judges(crawl: Path) -> None:
    target = build("dclm", crawl)
    assert reasons(target)[-2:] == ["refinedweb_removed_words", "quality"]
    assert [e.name for e in last(target, Edit).editors] == ["refinedweb"] * 2
    shape = last(target, Signatures).minhash
    assert (shape.bands, shape.rows) == (93, 15)


def test_cs336_leaves_no_line_that_stands_twice(crawl: Path, tmp_path: Path) -> None:
    target = build("cs336", crawl)
    workspace = finish(tmp_path, target)
    before, after = (texts(tmp_path, last(target, kind)) for kind in (Materialize, CutRepeats))
    lines = Counter(line for text in before for line in text.split("\n") if line.strip())
    kept = Counter(line for text in after for line in text.split("\n") if line.strip())
    assert kept == {line: 1 for line, n in lines.items() if n == 1}
    assert len(kept) < len(lines)
    assert all(text.strip() for text in after)

    found = workspace.load_run(workspace.run_names()[0])
    cut = next(t for t, u in zip(before, after, strict=False) if t != u)
    pages = pa.concat_tables([pq.read_table(p) for p in sorted(Path(tmp_path).glob("documents-*/*.parquet"))])
    url = pages["url"][before.index(cut)].as_py()
    assert "stand elsewhere, too" in "\n".join(explain(workspace, found, url))


def test_common_crawl_takes_word_lists_and_a_model_of_perplexity(crawl: Path, tmp_path: Path) -> None:
    words, model = tmp_path / "words", tmp_path / "model"
    words.write_text("zeppelin\n")
    assert cli.main(["perplexity", "train", "--text", str(words), "--order", "2", "--out", str(model)]) == 0
    plain = reasons(build("common_crawl", crawl))
    given = build("common_crawl", crawl, f"bad_words={words}", f"perplexity={model}")
    assert reasons(given) == [*plain, "perplexity", "c4_bad_words"]
    assert reasons(build("common_crawl", crawl, "rules=perplexity@ccnet", f"perplexity={model}")) == ["perplexity"]
    with pytest.raises(InputError, match="perplexity=FILE"):
        build("common_crawl", crawl, "rules=perplexity@ccnet")
    with pytest.raises(InputError, match="cannot read this word list"):
        build("common_crawl", crawl, f"bad_words={tmp_path / 'none'}")


def test_cs336_judges_harm_only_by_models_that_are_given(crawl: Path, tmp_path: Path) -> None:
    without = ["gopher_words", "gopher_word_length", "gopher_ellipsis_lines", "gopher_alpha", "quality"]
    assert reasons(build("cs336", crawl)) == without
    with pytest.raises(InputError, match="cannot read this model"):
        build("cs336", crawl, f"nsfw={tmp_path / 'missing.bin'}")
    model = tmp_path / "nsfw.ftz"
    model.write_bytes(DEFAULT_MODEL.read_bytes().replace(b"__label__high\0", b"__label__nsfw\0"))
    assert reasons(build("cs336", crawl, f"nsfw={model}")) == ["nsfw", *without]


@pytest.mark.parametrize(
    ("name", "setting", "content", "expected"),
    [
        ("dclm", "classifier", DEFAULT_MODEL.read_bytes(), "model: this model has no label 'hq'; its labels: high"),
        ("dclm", "classifier", DEFAULT_MODEL.read_bytes()[:-1], "model: not a fastText model that can be used (trunc"),
        ("dclm", "language_model", DEFAULT_MODEL.read_bytes(), "model: this model does not know the language 'en'"),
        ("cs336", "language_model", b"", "model: not a fastText model (empty)"),
        ("cs336", "classifier", b"nonsense" * 99, "model: not a fastText model that can be used (it does not begin"),
        ("cs336", "nsfw", DEFAULT_MODEL.read_bytes(), "model: this model has no label 'nsfw'"),
        ("cs336", "toxic", b"x", "model: not a fastText model that can be used"),
    ],
)
def test_a_wrong_model_is_told_before_the_run(
    crawl: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    setting: str,
    content: bytes,
    expected: str,
) -> None:
    model, out = tmp_path / "model", tmp_path / "w"
    model.write_bytes(content)
    settings = ["--set", "language_model=builtin", "--set", f"warcs={crawl}", "--set", f"{setting}={model}"]
    for command in ("plan", "run"):
        assert cli.main([command, name, "--serial", "--out", str(out), *settings]) == 2
        line = capsys.readouterr().err
        assert expected in line and line.count("\n") == 1
    assert not out.exists()


def test_dclm_refuses_an_unknown_convention(crawl: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(b"x")
    with pytest.raises(UnknownNameError, match="did you mean 'classifier@dclm'"):
        build("dclm", crawl, f"classifier={model}", "convention=classifier@dcml")
