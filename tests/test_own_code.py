"""Files of people's own: the pipeline in docs/pipelines.md, in every process; and what of a class is its identity."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from textmill import cli
from textmill.errors import EnvironmentFault, InputError, UserError
from textmill.pipeline.dag import load_dag
from textmill.pipeline.own_code import class_name, file_of, find_class, load_file, source_digest
from textmill.simulate.crawl import write_crawl

DOCS = Path(__file__).parent.parent / "docs" / "pipelines.md"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_crawl(folder, n_pages=60, n_files=1)
    return folder


@pytest.fixture
def dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the documentation shows."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "few_questions.py"
    path.write_text(code)
    monkeypatch.chdir(tmp_path)
    return path


def run(dag: Path, crawl: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: a file is imported once a process."""
    sets = ("--set", f"warcs={crawl}", "--set", "language_model=builtin", "--out", "w")
    command = [sys.executable, "-m", "textmill", "run", str(dag), *sets, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def executed(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The stages that were not there already."""
    assert done.returncode == 0, done.stderr
    lines = [
        line.split() for line in (done.stdout + done.stderr).splitlines() if re.search(r"\d (rows|pairs|doc)", line)
    ]
    return {words[0] for words in lines if "already" not in words}


def test_the_pipeline_of_the_documentation(
    dag: Path, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"pages", "scores", "decisions", "corpus"} <= executed(run(dag, crawl, "--workers", "1"))
    (copy,) = tmp_path.glob("w/runs/few_questions-corpus-*/few_questions.py")
    assert copy.read_text() == dag.read_text()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert cli.main(["report", "../w"]) == 0
    assert "questions" in capsys.readouterr().out
    assert cli.main(["whatif", "../w", "--set", "questions.high=0"]) == 0
    assert cli.main(["show", "../w", "scores", "-n", "1"]) == 0
    assert "question_line_frac" in capsys.readouterr().out


def test_a_changed_scorer_measures_anew_and_a_changed_dag_does_not(dag: Path, crawl: Path) -> None:
    to_decisions = ("--serial", "--to", "decisions")
    assert "scores" in executed(run(dag, crawl, *to_decisions))
    text = dag.read_text()
    dag.write_text(
        text.replace("most: float = 0.1", "most: float = 0.2").replace("The share", "Of all lines the share")
    )
    assert executed(run(dag, crawl, *to_decisions)) == {"decisions"}
    dag.write_text(text.replace("line.rstrip().ends", "line.ends"))
    assert executed(run(dag, crawl, *to_decisions)) == {"scores", "decisions"}
    dag.write_text(text.replace("text.splitlines() or", "text.splitlines()[:0] or").replace("len(lines),)", "0,)"))
    failed = run(dag, crawl, *to_decisions)
    assert failed.returncode == 1 and "ZeroDivisionError" in failed.stderr
    assert re.search(r"Questions: a text of [\d,]+ characters that begins '", failed.stderr)


def test_the_copy_is_of_what_was_run(dag: Path, crawl: Path, tmp_path: Path) -> None:
    text = dag.read_text()
    dag.write_text(text.replace("    pages = ", "    __import__('pathlib').Path(__file__).unlink()\n    pages = "))
    executed(run(dag, crawl, "--serial", "--to", "pages"))
    (copy,) = tmp_path.glob("w/runs/few_questions-pages-*/few_questions.py")
    assert "unlink()" in copy.read_text() and not dag.exists()


def test_a_file_that_is_gone_is_told(dag: Path, crawl: Path) -> None:
    executed(run(dag, crawl, "--serial", "--to", "decisions"))
    dag.unlink()
    report = subprocess.run(
        [sys.executable, "-m", "textmill", "report", "w"], capture_output=True, text=True, check=False
    )
    told = f"textmill: {dag}: no such file; Questions is defined in it, and every machine needs it there\n"
    assert (report.returncode, report.stderr) == (2, told)


# Classes


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text("from dataclasses import dataclass\n" + textwrap.dedent(text))
    return path


ONE = """
    from math import pi
    import os.path
    LIMIT, OTHER = 3, 4
    def helper(x):
        '''Text.'''
        return deeper(x) + LIMIT
    def deeper(x): return x * pi
    def unused(x): return os.path.join(x, OTHER)
    class Base:
        factor = 2
    @dataclass(frozen=True)
    class One(Base):
        x: int = 0
        def score(self): return helper(self.x)
"""


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("def unused(x): return os", "def unused(x): return 5 or os", True),
        ("OTHER = 3, 4", "OTHER = 3, 5", False),  # one statement
        ("'''Text.'''", "'''Other text.'''", True),
        ("return helper", "return  helper", True),
        ("x * pi", "x * pi * 2", False),
        ("factor = 2", "factor = 3", False),
        ("from math import pi", "from cmath import pi", False),
        ("import os.path", "import os", True),
        ("x: int = 0", "x: int = 1", False),
    ],
)
def test_what_of_a_file_is_the_identity_of_a_class(tmp_path: Path, old: str, new: str, is_same: bool) -> None:
    before, after = (
        load_file(written(tmp_path, name, text)).One
        for name, text in {"a.py": ONE, "b.py": ONE.replace(old, new)}.items()
    )
    assert ONE.count(old) == 1
    assert (source_digest(before) == source_digest(after)) is is_same


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("async def helper(x): return 1", "1", "2"),
        ("if LIMIT:\n  def helper(x): return 1\nelse:\n  def helper(x): return 2", "2", "3"),
        ("try:\n  import nowhere\nexcept ImportError:\n  class helper: factor = 1", "1", "2"),
        ("helper = {}\nhelper['a'] = 1", "1", "2"),
        ("class helper: pass\nhelper.factor = 1", "1", "2"),
        ("helper = []\nfor i in range(3):\n  helper.append(i + 1)", "1", "2"),
        ("helper = [3]\nlist.extend(helper, [1])", "1", "2"),
        ("match [1, 2]:\n  case [helper, *_]: pass", "1", "3"),
        ("from math import *\ndef helper(x): return pi", "math", "cmath"),
    ],
)
def test_whatever_gives_a_name_its_value_or_changes_it_counts(tmp_path: Path, text: str, old: str, new: str) -> None:
    kind = "LIMIT = 1\n@dataclass(frozen=True)\nclass One:\n    def score(self): return helper\n"
    digests = {
        source_digest(load_file(written(tmp_path, name, f"{kind}{text}\n{other}\n")).One)
        for name, text, other in [
            ("a.py", text, ""),
            ("b.py", text, "def other():\n    helper = 5\n"),  # a local name
            ("c.py", text.replace(old, new), ""),
        ]
    }
    assert len(digests) == 2


def test_a_class_in_a_branch_has_a_source(tmp_path: Path) -> None:
    text = "try:\n    import nowhere\nexcept ImportError:\n    @dataclass(frozen=True)\n    class One: x: int = 1\n"
    one, two = (
        load_file(written(tmp_path, n, t)).One for n, t in {"a.py": text, "b.py": text.replace("1", "2")}.items()
    )
    assert source_digest(one) != source_digest(two)


def test_classes_are_found_by_their_file(tmp_path: Path) -> None:
    written(tmp_path, "beside_one.py", "@dataclass(frozen=True)\nclass Beside:\n    x: int = 1\n")
    path = written(
        tmp_path,
        "json.py",  # a name that the standard library has
        """
        from beside_one import Beside
        @dataclass(frozen=True)
        class Own: x: 'int' = 1
        class Plain: pass
        def within():
            @dataclass(frozen=True)
            class Inner: x: int = 1
            return Inner
        """,
    )
    module = load_file(path)
    assert load_file(tmp_path / "." / "json.py") is module
    assert class_name(module.Own) == f"{path}:Own" and find_class(f"{path}:Own") is module.Own
    assert class_name(module.Beside) == f"{tmp_path / 'beside_one.py'}:Beside" and source_digest(module.Beside)
    assert find_class(class_name(module.Beside))(x=2).x == 2
    assert file_of(logging.Logger) is None and source_digest(logging.Logger) == ""
    with pytest.raises(UserError, match="class Inner is defined within a function"):
        class_name(module.within())
    with pytest.raises(EnvironmentFault, match="cannot be imported here"):
        find_class(f"{path}:Gone")
    with pytest.raises(EnvironmentFault, match=r"nowhere\.py: no such file; Own is defined in it"):
        find_class(f"{tmp_path}/nowhere.py:Own")


def test_a_folder_may_have_a_colon(tmp_path: Path) -> None:
    (tmp_path / "12:30").mkdir()
    path = written(tmp_path / "12:30", "timed.py", "def timed(): return 1\ndef other(): return 2\n")
    assert (load_dag(str(path))(), load_dag(f"{path}:other")()) == (1, 2)


def test_a_module_beside_is_imported_once(tmp_path: Path) -> None:
    beside = written(tmp_path, "beside_two.py", "@dataclass(frozen=True)\nclass Beside:\n    x: int = 1\n")
    own = written(tmp_path, "imports_it.py", "from beside_two import Beside\n")
    assert find_class(f"{beside}:Beside") is load_file(own).Beside
    first = written(tmp_path, "imports_first.py", "from beside_three import Beside\n")
    shutil.copy(beside, tmp_path / "beside_three.py")
    kind = load_file(first).Beside
    assert find_class(class_name(kind)) is kind


def test_the_source_is_what_was_imported(tmp_path: Path) -> None:
    kind = "@dataclass(frozen=True)\nclass One:\n    x: int = 1\n"
    one, two = (load_file(written(tmp_path, name, kind)).One for name in ("edited.py", "not_edited.py"))
    written(tmp_path, "edited.py", kind.replace("1", "2"))  # while the DAG looks for its inputs
    assert source_digest(one) == source_digest(two)


def test_a_file_that_ends_the_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends\.py: ends the process when it is imported"):
        load_file(written(tmp_path, "ends.py", "raise SystemExit(3)\n"))


def test_a_file_with_a_mistake_is_tried_again(tmp_path: Path) -> None:
    path = written(tmp_path, "mistaken.py", "def f(:\n")
    with pytest.raises(InputError, match="line 2"):
        load_file(path)
    with pytest.raises(InputError, match=r"/mistaken\.py: line 2"):  # not of the file that imports it
        load_file(written(tmp_path, "not_mistaken.py", "import mistaken\n"))
    written(tmp_path, "mistaken.py", "def f(): return 1\n")
    assert load_file(path).f() == 1
