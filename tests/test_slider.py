"""The page with sliders: its numbers in a real browser against `textmill whatif`, and hostile pages against it."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_report import HOSTILE, RULES, Fixture, page, parse
from test_whatif import run_demo

from textmill import cli
from textmill.errors import UserError
from textmill.filters.base import Rule
from textmill.pipeline.dag import parse_bounds
from textmill.pipeline.finished import FinishedRun
from textmill.pipeline.report import account_of, slider
from textmill.pipeline.whatif import what_if
from textmill.pipeline.workspace import Run, Workspace
from textmill.simulate.crawl import write_crawl

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Run]:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=150)
    return run_demo(folder, tmp_path_factory.mktemp("work") / "w")


def write(workspace: Workspace, run: Run, path: Path) -> Path:
    finished = FinishedRun(workspace, run)
    slider.write_slider(finished, account_of(finished)["histograms"], str(path))
    return path


@pytest.fixture(scope="module")
def whatif_page(work: tuple[Workspace, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(*work, tmp_path_factory.mktemp("page") / "whatif.html")


def browse(path: Path, settings: tuple[str, ...] = ()) -> str:
    """The page as it is when a browser has run its script."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    address = f"{path.as_uri()}#{'&'.join(settings)}"
    profile = f"--user-data-dir={path.parent / 'profile'}"
    done = subprocess.run([CHROMIUM, *options, profile, address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def result(dom: str) -> dict[str, Any]:
    """What the script wrote down about its numbers."""
    (body,) = (attributes for tag, attributes in parse(dom).tags if tag == "body")
    return json.loads(body["data-result"] or "")


def facts_of(page: str) -> dict[str, Any]:
    packed = page.split('id="data-facts">')[1].split("<")[0]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@in_a_browser
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("gopher_words.low=60", "gopher_alpha.low=0.95"),
        ("gopher_words.low=none", "gopher_words.high=200", "language_score.low=0.9"),
        ("language.low=none", "language.high=none", "language_score.low=none", "gopher_words.low=200"),
    ],
)
def test_its_numbers_are_those_of_the_command(
    work: tuple[Workspace, Run], whatif_page: Path, settings: tuple[str, ...]
) -> None:
    account = what_if(*work, parse_bounds(settings), 0)
    dom = browse(whatif_page, settings)
    shown = result(dom)
    names = ("docs", "text_bytes")
    after = account["after"]
    assert shown["kept"] == {name: after[name] for name in names}
    assert shown["unknown"] == {name: after["unknown"][name] for name in names}
    assert shown["copies"] == {name: account["copies"]["after"][name] for name in names}
    assert shown["flips"] == [account["flips"][way]["docs"] for way in ("comes in", "goes out", "may come in")]
    rules = {r["reason"]: [r["after"][n] for n in ("in_order", "alone", "only")] for r in account["rules"]}
    assert shown["rules"] == rules
    text = " ".join(parse(re.sub(r"<script.*?</script>", "", dom, flags=re.S)).text)
    assert f"{after['docs']:,}" in text and f"{after['tokens']:,}" in text
    assert all(f"--set {setting}" in text for setting in settings)
    assert ("as the run found them" in text or "it may find others" in text) == any("lang" in s for s in settings)


@in_a_browser
def test_bounds_are_compared_in_the_type_of_the_column(fixture: Fixture) -> None:
    rows = [
        page(i, text) for i, text in enumerate(("abbbbbbbbb", "aabbbbbbbb", "aaabbbbbbb", "bb"))
    ]  # shares .1, .2, .3
    rules = (Rule("few_a", "a_frac", high=0.1), Rule("open", "a_frac", high=0.5, exclusive=True), RULES[0])
    fixture.judged(fixture.pages(rows), rules)
    path = write(fixture.workspace, fixture.run, fixture.root / "whatif.html")
    for settings in ((), ("few_a.high=0.2", "open.high=0.2"), ("few_a.high=0.3", "long.low=2.5"), ("open.high=none",)):
        account = what_if(fixture.workspace, fixture.run, parse_bounds(settings), 0)
        shown = result(browse(path, settings))
        assert shown["kept"]["docs"] == account["after"]["docs"], settings
        assert {r: n[1] for r, n in shown["rules"].items()} == {
            r["reason"]: r["after"]["alone"] for r in account["rules"]
        }


@in_a_browser
def test_hostile_pages_do_nothing_in_a_browser(fixture: Fixture) -> None:
    rows = [page(i, f"{a} to someone@mail.example", f"http://h.example/{a}") for i, a in enumerate(HOSTILE)]
    fixture.judged(fixture.pages(rows), (Rule("long", "n_chars", low=10**6, source=HOSTILE[0]),))
    fixture.run.settings.append(HOSTILE[1])
    path = write(fixture.workspace, fixture.run, fixture.root / "whatif.html")
    dom = browse(path, ("long.low=none", f"{HOSTILE[1]}.low=5"))
    elements = parse(dom)
    assert result(dom)["flips"] == [len(HOSTILE), 0, 0]
    text = "".join(elements.text)
    for attack in HOSTILE[:4]:
        assert attack in text
    assert not {"img", "iframe", "object", "link", "form"} & {tag for tag, _ in elements.tags}
    assert [tag for tag, _ in elements.tags].count("script") == 3
    assert not any(name.startswith("on") for _, attributes in elements.tags for name in attributes)
    assert "someone@mail" not in dom and not any(c in text for c in "\x1b\x07\x00\u202e")


def test_nothing_from_data_is_markup(fixture: Fixture) -> None:
    rows = [page(i, f"{a} to someone@mail.example", f"http://h.example/{a}") for i, a in enumerate(HOSTILE)]
    fixture.judged(fixture.pages(rows), RULES)
    written = write(fixture.workspace, fixture.run, fixture.root / "whatif.html").read_text("utf-8")
    assert "alert(" not in html.unescape(written) and "h.example" not in written
    policy = next(a["content"] for tag, a in parse(written).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';") and "http" not in policy
    assert "src=" not in written and "href=" not in written
    facts = facts_of(written)
    assert len(facts["texts"]) == len(HOSTILE)
    assert all("|||EMAIL_ADDRESS|||" in text and "someone" not in text for _, _, text in facts["texts"])
    shown = "".join(url + text.replace("\n", "") for _, url, text in facts["texts"])
    assert shown.isprintable()


def test_the_page_is_always_the_same(work: tuple[Workspace, Run], whatif_page: Path, tmp_path: Path) -> None:
    assert write(*work, tmp_path / "again.html").read_bytes() == whatif_page.read_bytes()


# -- a sample of a large run


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def large(fixture: Fixture) -> list[str]:
    """900 documents, of which 30 % are shorter than 4 characters."""
    texts = ["b" * (1 + i % 10) for i in range(900)]
    fixture.judged(fixture.pages([page(i, text) for i, text in enumerate(texts)]), RULES[:2])
    return texts


def test_a_large_run_is_sampled_by_hash(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = large(fixture)
    monkeypatch.setattr(slider, "N_DOCUMENTS", 300)
    monkeypatch.setattr(slider, "N_TEXTS", 40)
    facts = facts_of(write(fixture.workspace, fixture.run, fixture.root / "whatif.html").read_text("utf-8"))
    assert facts["n_documents"] == 900 and 200 < facts["n_sample"] == len(set(facts["doc_ids"])) < 400
    assert facts["kept"]["docs"] == sum(len(text) > 3 for text in texts)  # of all, not of the sample
    assert len(facts["texts"]) == 40 and sum(len(text) > 3 for _, _, text in facts["texts"]) == 20  # of each kind
    assert sum(facts["rules"][0]["histogram"]["counts"]) == 900


@in_a_browser
def test_a_change_is_estimated_with_its_error(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    large(fixture)
    monkeypatch.setattr(slider, "N_DOCUMENTS", 300)
    path = write(fixture.workspace, fixture.run, fixture.root / "whatif.html")
    n = facts_of(path.read_text("utf-8"))["n_sample"]
    dom = browse(path, ("long.low=8",))
    n_out = result(dom)["flips"][1]
    frac = n_out / n
    by = round(900 * frac)
    error = round(1.96 * 900 * ((frac * (1 - frac) * n / (n - 1)) / n * (1 - n / 900)) ** 0.5)
    text = " ".join(parse(dom).text)
    assert f"−{by} ± {error} (" in text and f"Estimated: {n} of 900" in text
    assert abs(by - 360) <= 2 * error  # characters 4 to 7: 360 documents


def test_a_run_without_rules_or_documents(fixture: Fixture) -> None:
    pages = fixture.pages([page(0, None)])
    with pytest.raises(UserError, match="no decisions yet"):
        slider.write_slider(FinishedRun(fixture.workspace, fixture.run), [], str(fixture.root / "a.html"))
    fixture.judged(pages, RULES)
    slider.write_slider(FinishedRun(fixture.workspace, fixture.run), [], str(fixture.root / "a.html"))
    assert facts_of((fixture.root / "a.html").read_text("utf-8"))["n_documents"] == 0


# -- the command, and the report


def test_the_command_writes_the_page(
    work: tuple[Workspace, Run], whatif_page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "w.html"
    assert cli.main(["whatif", f"{work[0].root}:{work[1].name}", "--html", str(target)]) == 0
    assert target.read_bytes() == whatif_page.read_bytes()
    (tmp_path / "folder").mkdir()
    capsys.readouterr()
    assert cli.main(["whatif", work[0].root, "--html", str(tmp_path / "folder")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_run_writes_it_and_its_report_links_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_crawl(tmp_path / "crawl", n_pages=60, n_files=1)
    run = ["run", "demo", "--serial", "--set", "warcs=crawl", "--set", "language_model=builtin", "--out", "w"]
    assert cli.main([*run, "--to", "pages"]) == 0
    assert not list(Path("w/runs").glob("*/whatif.html"))
    assert cli.main([*run, "--to", "decisions"]) == 0
    (written,) = Path("w/runs").glob("*/whatif.html")
    report = (written.parent / "report.html").read_text("utf-8")
    links = [attributes["href"] for tag, attributes in parse(report).tags if tag == "a"]
    assert "whatif.html" in links
    assert facts_of(written.read_text("utf-8"))["n_documents"] > 10
