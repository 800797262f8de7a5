"""Duplicates through the stages: people's own files, several shards, earlier runs; against brute force."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_stage import Silent

from textmill import schema
from textmill.cli import main
from textmill.dedup import records
from textmill.dedup.exact import canonical_url
from textmill.dedup.minhash import MinHash
from textmill.errors import InputError, InvariantError, UnknownNameError, UserError
from textmill.filters.base import Scorer
from textmill.pipeline import dag as dags
from textmill.pipeline.clusters import differences
from textmill.pipeline.executors import Serial
from textmill.pipeline.repeats import deduplicate
from textmill.pipeline.rows import find_text_files
from textmill.pipeline.runner import run_pipeline
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages import duplicates
from textmill.pipeline.stages import known as known_stages
from textmill.pipeline.stages import signatures as signature_stages
from textmill.pipeline.stages.duplicates import Candidates, Clusters, Edges
from textmill.pipeline.stages.keepers import Keepers, rank
from textmill.pipeline.stages.known import EarlierRun, Known, KnownCopies, KnownPairs
from textmill.pipeline.stages.rows import Rows
from textmill.pipeline.stages.scores import Score
from textmill.pipeline.stages.signatures import Signatures, SortedBands
from textmill.pipeline.workspace import Workspace, new_run
from textmill.text import Documents

WORDS = [f"word{i}" for i in range(400)]


def corpus(n: int, seed: int = 1) -> list[str]:
    """Texts of which some are copies of others, with a few words changed."""
    rng = random.Random(seed)
    texts: list[str] = []
    while len(texts) < n:
        words = rng.choices(WORDS, k=rng.randrange(30, 90))
        for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
            copy = [rng.choice(WORDS) if rng.random() < rng.choice([0, 0.01, 0.08]) else word for word in words]
            texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts[:n]


def write(folder: Path, texts: list[str], n_files: int) -> Path:
    """JSON lines; ids ascend from file to file."""
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(texts)), n_files)):
        rows = [{"text": texts[i], "n": int(i), "url": f"http://h{i % 3}.example/{i}"} for i in part]
        (folder / f"{number:03d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def target(files: Path, **settings: Any) -> Keepers:
    kept = dags.load_dag("dedup")(files=(str(files),), **settings)
    (keepers,) = (stage for stage in kept.ancestry() if isinstance(stage, Keepers))
    return keepers


def run(root: Path, stage: Stage) -> Workspace:
    workspace = Workspace(str(root))
    workspace.create()
    run_pipeline(new_run("dedup", [], stage), stage, workspace, Serial(), Silent())
    return workspace


def table(workspace: Workspace, stage: Stage) -> pa.Table:
    return pa.concat_tables([pq.read_table(uri) for uri in workspace.tables(stage.folder)])


def numbers(files: Path, ids: list[int]) -> list[int]:
    """Which texts these documents are."""
    rows = [[json.loads(line)["n"] for line in path.read_text().splitlines()] for path in sorted(files.iterdir())]
    return [rows[i >> 32][i & 0xFFFFFFFF] for i in ids]


def clusters_of(files: Path, workspace: Workspace, keepers: Keepers) -> set[frozenset[int]]:
    found: dict[int, list[int]] = {}
    rows = table(workspace, keepers.clusters)
    for id_, root in zip(rows["doc_id"].to_pylist(), rows["cluster"].to_pylist(), strict=True):
        found.setdefault(root, []).append(id_)
    assert all(root == min(ids) for root, ids in found.items())
    return {frozenset(numbers(files, ids)) for ids in found.values()}


@dataclass(frozen=True)
class Brevity(Scorer):
    """Minus the characters of a text."""

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([pa.field("brevity", pa.float32())])

    def score(self, documents: Documents) -> list[pa.Array]:
        return [pa.array([-len(text) for text in documents.text.to_pylist()], pa.float32())]


def test_clusters_do_not_depend_on_files_merging_or_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpus(240)
    expected = None
    for n_files, fan_in, shards_a_range in ((1, 256, 200), (4, 256, 2), (4, 2, 200), (6, 3, 2)):
        monkeypatch.setattr(records, "FAN_IN", fan_in)
        monkeypatch.setattr(duplicates, "SHARDS_A_RANGE", shards_a_range)
        files = write(tmp_path / f"{n_files}-{fan_in}", texts, n_files)
        keepers = target(files)
        workspace = run(tmp_path / f"w-{n_files}-{fan_in}", keepers)
        kinds = {type(stage) for stage in keepers.ancestry()}
        assert (SortedBands in kinds) == (n_files > fan_in)
        found = clusters_of(files, workspace, keepers)
        expected = expected or found
        assert found == expected
    assert len(expected or ()) > 20


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_edges_are_all_true_and_as_many_as_theory_expects(tmp_path: Path) -> None:
    texts = corpus(200, seed=5)
    files = write(tmp_path / "f", texts, 3)
    keepers = target(files, bands=40, rows=3)
    workspace = run(tmp_path / "w", keepers)
    sets = [shingles(text) for text in texts]
    similar = {
        frozenset((i, j))
        for i, j in itertools.combinations(range(len(texts)), 2)
        if len(sets[i] & sets[j]) >= 0.7 * len(sets[i] | sets[j])
    }
    edges = table(workspace, keepers.clusters.edges)
    pairs = zip(edges["doc_id_a"].to_pylist(), edges["doc_id_b"].to_pylist(), strict=True)
    found = {frozenset(numbers(files, list(pair))) for pair in pairs}
    assert found <= similar  # the star and the chain leave out pairs within a group
    clusters = clusters_of(files, workspace, keepers)
    together = {frozenset(pair) for cluster in clusters for pair in itertools.combinations(cluster, 2)}
    assert similar <= together
    assert len(similar) > 50


def test_unverified_pairs_make_clusters_without_similarity(tmp_path: Path) -> None:
    files = write(tmp_path / "f", corpus(100), 2)
    keepers = target(files, verify=False)
    workspace = run(tmp_path / "w", keepers)
    assert isinstance(keepers.clusters.edges, Candidates)
    assert table(workspace, keepers.clusters)["similarity"].null_count == len(table(workspace, keepers.clusters)) > 0


@pytest.mark.parametrize("texts", [[], ["one two three"], ["same words here"] * 9, [""] * 5, ["a"] * 3, ["", "x y"]])
def test_few_empty_and_equal_documents(tmp_path: Path, texts: list[str]) -> None:
    files = write(tmp_path / "f", texts, 1)
    keepers = target(files)
    workspace = run(tmp_path / "w", keepers)
    copies = [text for text in texts if text and texts.count(text) > 1]
    assert len(table(workspace, keepers.clusters)) == len(copies)
    removed = table(workspace, keepers)["removed"].to_pylist()
    assert removed.count("exact_duplicate") == max(0, len(copies) - 1)


def test_policies(tmp_path: Path) -> None:
    assert rank(pa.chunked_array([["2024-05-01", "", "2024-05-01T10:00:00Z", "soon"]]), "newest").tolist() == [
        20240501000000, 0, 20240501100000, 0,
    ]  # fmt: skip
    assert rank(pa.chunked_array([[0.5, float("nan")]]), "best").tolist() == [0.5, np.finfo(np.float64).min]
    texts = ["a b c d e f g h i j k l m n o p q r s t u v w x", "a b c d e f g h i j k l m n o p q r s t u v w x y"]
    files = write(tmp_path / "f", texts[:1] + texts, 1)
    for keep, expected in (("longest", 2), ("first", 0)):
        keepers = target(files, keep=keep)
        rows = table(run(tmp_path / "w", keepers), keepers)
        assert set(rows["keeper"].to_pylist()) == {expected}
    with pytest.raises(UnknownNameError, match="longest"):
        target(files, keep="longst")
    with pytest.raises(UserError, match="best"):
        target(files, keep="best")


def test_the_best_by_a_score_stays(tmp_path: Path) -> None:
    text = "a b c d e f g h i j k l m n o p q r s t u v w x"
    files = write(tmp_path / "f", [text, f"{text} 1 2 3", f"{text} 1 2"], 1)
    keepers = target(files)
    scores = Score(keepers.signatures.documents, (Brevity(),), name="word_scores")
    best = replace(keepers, policy="best", scores=scores, best_by="brevity")
    rows = table(run(tmp_path / "w", best), best)
    assert set(rows["keeper"].to_pylist()) == {0}
    with pytest.raises(UnknownNameError, match="brevity"):
        replace(best, best_by="brevty")


def test_signatures_of_other_parameters_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path / "f", corpus(20), 1)
    keepers = target(files)
    workspace = run(tmp_path / "w", keepers)
    (bands,) = Path(workspace.folder(keepers.signatures)).glob("*.bands")
    other = replace(keepers.signatures, minhash=MinHash(seed=2))
    with pytest.raises(InvariantError, match=r"'seed': 1.*'seed': 2"):
        signature_stages.open_bands(other, str(bands))


def test_a_truncated_band_file_is_made_again(tmp_path: Path) -> None:
    files = write(tmp_path / "f", corpus(40), 2)
    keepers = target(files)
    workspace = run(tmp_path / "w", keepers)
    before = table(workspace, keepers)
    first = sorted(Path(workspace.folder(keepers.signatures)).glob("*.bands"))[0]
    first.write_bytes(first.read_bytes()[:-10])
    (candidates,) = (stage for stage in keepers.ancestry() if isinstance(stage, Candidates))
    for path in Path(workspace.folder(candidates)).glob("*.manifest.json"):
        path.unlink()
    run(tmp_path / "w", keepers)
    assert table(workspace, keepers).equals(before)


# ---- earlier runs


def earlier(name: str, workspace: Workspace, keepers: Keepers, folder: Path) -> EarlierRun:
    """A run that kept what its keepers leave."""
    removed = table(workspace, keepers).filter(pa.compute.is_valid(table(workspace, keepers)["removed"]))
    ids = table(workspace, keepers.signatures)["doc_id"]
    kept = pa.table(
        {"doc_id": ids.filter(pa.compute.invert(pa.compute.is_in(ids, removed["doc_id"].combine_chunks())))}
    )
    folder.mkdir()
    pq.write_table(kept, folder / "00000.parquet")
    output = {"n_bytes": 1, "sha256": str(kept), "rows": 1}
    manifest = {"stage": "kept", "fingerprint": "", "shard": "00000", "outputs": {"00000.parquet": output}}
    (folder / "00000.manifest.json").write_text(json.dumps(manifest))
    return EarlierRun.of(name, workspace.tables(keepers.signatures.folder), [str(folder / "00000.parquet")])


def test_what_an_earlier_run_kept_is_found_with_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = corpus(90, seed=2), corpus(60, seed=3)
    old_files = write(tmp_path / "old", old, 3)
    old_keepers = target(old_files)
    old_workspace = run(tmp_path / "w-old", old_keepers)
    known_run = earlier("old", old_workspace, old_keepers, tmp_path / "kept")
    other_run = replace(known_run, name="another")
    kept = numbers(old_files, pq.read_table(tmp_path / "kept" / "00000.parquet")["doc_id"].to_pylist())
    copied = dict(zip((5, 17, 30), (kept[0], kept[20], kept[-1]), strict=True))  # of the new texts: texts of the old
    for place, source in copied.items():
        new[place] = old[source]
    new_files = write(tmp_path / "new", new, 2)
    keepers = target(new_files)
    (candidates,) = (stage for stage in keepers.ancestry() if isinstance(stage, Candidates))
    known = Known(candidates.bands, (known_run, other_run))
    copies = KnownCopies(keepers.signatures, KnownPairs(known), 0.7)
    workspace = run(tmp_path / "w-new", replace(keepers, known=copies))
    found = table(workspace, copies).to_pylist()
    assert set(numbers(new_files, [row["doc_id"] for row in found])) == set(copied)
    clusters = clusters_of(old_files, old_workspace, old_keepers)
    for row in found:
        (place,), (match,) = numbers(new_files, [row["doc_id"]]), numbers(old_files, [row["known_doc_id"]])
        mates = next((c for c in clusters if copied[place] in c), frozenset([copied[place]]))
        assert match in mates
        assert match in kept
        assert row["run"] == "old"  # the first of equals
        assert row["similarity"] > 0.7
    rows = table(workspace, replace(keepers, known=copies))
    by_cluster = {row["keeper"] for row in rows.to_pylist()}
    assert not by_cluster & {row["doc_id"] for row in found}


@pytest.mark.parametrize("n_hashes", [2, 20, 200])
def test_sorted_hashes_are_joined_whatever_the_blocks(n_hashes: int) -> None:
    rng = np.random.default_rng(n_hashes)

    def blocks(hashes: np.ndarray, ids: np.ndarray) -> Iterator[records.Block]:
        hashes, ids = records.sort(hashes, ids)
        while len(ids):
            n = int(rng.integers(1, 8))
            yield hashes[:n], ids[:n]
            hashes, ids = hashes[n:], ids[n:]

    for _ in range(60):
        here, there = (rng.integers(1, n_hashes + 1, n).astype(np.uint64) for n in rng.integers(0, 60, 2))
        ids, known_ids = np.arange(len(here), dtype=np.uint64), np.arange(100, 100 + len(there), dtype=np.uint64)
        joined = known_stages._matches(blocks(here, ids), blocks(there, known_ids))
        found = [pair for block in joined for pair in zip(*(side.tolist() for side in block), strict=True)]
        matches = {i: known_ids[there == here[i]][: known_stages.MOST_MATCHES].tolist() for i in range(len(here))}
        assert sorted(found) == [(i, match) for i, known in matches.items() for match in known]


def test_known_copies_are_not_kept_by_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from textmill.simulate.crawl import write_crawl

    write_crawl(tmp_path / "crawl", n_pages=60)
    settings = ["--set", f"warcs={tmp_path / 'crawl'}", "--set", "language_model=builtin", "--serial", "--to", "corpus"]
    assert main(["run", "common_crawl", *settings, "--out", str(tmp_path / "one")]) == 0
    against = ["--against", str(tmp_path / "one")]
    assert main(["run", "common_crawl", *settings, *against, "--out", str(tmp_path / "two")]) == 0
    (corpus_folder,) = (tmp_path / "two").glob("corpus-*")
    counts = json.loads((corpus_folder / "_SUCCESS").read_text())
    (first_folder,) = (tmp_path / "one").glob("corpus-*")
    n_kept = json.loads((first_folder / "_SUCCESS").read_text())["rows_out"]
    assert counts["removed_known_duplicate"] >= n_kept > 10
    assert counts["rows_out"] <= n_kept / 10
    capsys.readouterr()
    wrong = ["run", "common_crawl", *settings, "--out", str(tmp_path / "three")]
    assert main([*wrong, "--set", f"against={tmp_path / 'none'}"]) == 2
    assert main([*wrong, *against, "--set", f"against={tmp_path / 'one'}"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("textmill: ")]) >= 2
    assert "named twice" in errors[-1]


# ---- people's own files


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def test_the_command_writes_files_without_copies_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = corpus(60, seed=4)
    folder = write(tmp_path / "in", texts, 1)
    with gzip.open(folder / "b.jsonl.gz", "wt") as out:
        out.write(json.dumps({"text": texts[0], "n": [1, 2]}) + "\n")
    pq.write_table(pa.table({"x": [1, 2], "text": [texts[3], "quite another text of its own"]}), folder / "c.parquet")
    for _ in range(2):
        assert main(["dedup", str(folder), "--out", str(tmp_path / "o"), "--keep", "first", "--serial"]) == 0
    assert "nothing was executed" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"000.jsonl", "b.jsonl.gz", "c.parquet", "run"}
    kept = rows_of(tmp_path / "o" / "000.jsonl")
    original = rows_of(folder / "000.jsonl")
    assert kept == [row for row in original if row in kept]
    assert 20 < len(kept) < 60
    assert rows_of(tmp_path / "o" / "b.jsonl.gz") == []
    assert rows_of(tmp_path / "o" / "c.parquet") == [{"x": 2, "text": "quite another text of its own"}]
    assert main(["clusters", str(tmp_path / "o" / "run"), "-n", "2"]) == 0
    shown = capsys.readouterr().out
    assert "http://h#.example/#" in shown
    (folder / "000.jsonl").write_text("{}\n")
    assert main(["dedup", str(folder), "--out", str(tmp_path / "o2"), "--serial"]) == 2
    assert "'text'" in capsys.readouterr().err


def test_files_are_compared_with_what_an_earlier_dedup_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = corpus(60, seed=5)
    march, april = write(tmp_path / "march", texts[:40], 1), write(tmp_path / "april", [*texts[:10], *texts[40:]], 2)
    command = ["dedup", str(march), "--out", str(tmp_path / "clean-march"), "--serial"]
    assert main(command) == 0
    against = ["--against", str(tmp_path / "clean-march")]
    assert main(["dedup", str(april), "--out", str(tmp_path / "clean-april"), "--serial", *against]) == 0
    left = [row["text"] for path in sorted((tmp_path / "clean-march").glob("*.jsonl")) for row in rows_of(path)]
    kept = [row["text"] for path in sorted((tmp_path / "clean-april").glob("*.jsonl")) for row in rows_of(path)]
    assert not set(kept) & set(texts[:10])  # each has a copy in March: itself, or what stayed of its cluster
    assert len(kept) > 5 and set(kept) <= set(texts[40:])
    (done,) = (tmp_path / "clean-april" / "run").glob("kept_rows-*/_SUCCESS")
    counts = json.loads(done.read_text())
    assert counts["removed_known_duplicate"] >= 10
    assert counts["rows_in"] == counts["rows_out"] + sum(n for name, n in counts.items() if name.startswith("removed_"))
    # What March removed is no reason to remove: only what stayed there is known.
    gone = [text for text in texts[:40] if text not in left]
    assert gone
    capsys.readouterr()
    assert main(["dedup", str(april), "--out", str(tmp_path / "o"), "--method", "lines", *against]) == 2
    assert main(["dedup", str(april), "--out", str(tmp_path / "o"), "--against", str(march)]) == 2
    assert (
        main(["dedup", str(april), "--out", str(tmp_path / "o"), "--set", "preset=fineweb", *against, "--serial"]) == 2
    )
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("textmill: ")]
    assert len(errors) == 3 and "minhash" in errors[0] and "not a textmill workspace" in errors[1]
    assert "its signatures differ: " in errors[2] and "short was one, now none" in errors[2]


METHODS = [("exact", "first"), ("exact", "none"), ("url", "first"), ("lines", "none"), ("paragraphs", "first")]


@pytest.mark.parametrize(("method", "keep"), METHODS)
def test_repeats_of_each_method(tmp_path: Path, method: str, keep: str) -> None:
    end = "Menu | Home\n\nAnother paragraph\nof two lines."
    texts = [f"A line.\n{end}", f"A  line.\n{end}", "Menu | Home", "", "\n\n", f"日本語\n\n{end[13:]}", "alone", ""]
    same = ["http://a.de/x?b=1&a=2", "https://www.A.de/x/?a=2&b=1&utm_source=z#top"]
    urls = [*same, "", "", "mailto:x", "x", "http://b", ""]
    with (tmp_path / "a.jsonl").open("w") as out:
        for text, url in zip(texts, urls, strict=True):
            out.write(json.dumps({"text": text, "url": url}) + "\n")
    counts = deduplicate(find_text_files([str(tmp_path / "a.jsonl")]), tmp_path / "out", method, keep)
    kept = [row["text"] for row in rows_of(tmp_path / "out" / "a.jsonl")]
    expected = {
        ("exact", "first"): [texts[0], *texts[2:]],
        ("exact", "none"): texts[2:],
        ("url", "first"): [texts[0], *texts[2:]],
        ("lines", "none"): ["A line.", "A  line.", "", "\n\n", "日本語", "alone", ""],
        ("paragraphs", "first"): [texts[0], "A  line.\nMenu | Home", "Menu | Home", "", "\n\n", "日本語", "alone", ""],
    }[method, keep]
    assert kept == expected
    assert counts.n_documents == 8
    assert counts.n_documents_removed == 8 - len(kept)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jsonl"}


def test_short_pieces_stay(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "ab\nabc\nab\nabc"}) + "\n")
    deduplicate(find_text_files([str(tmp_path / "a.jsonl")]), tmp_path / "out", "lines", min_chars=3)
    assert rows_of(tmp_path / "out" / "a.jsonl") == [{"text": "ab\nabc\nab"}]
    with pytest.raises(UserError, match="overwritten"):
        deduplicate(find_text_files([str(tmp_path / "a.jsonl")]), tmp_path, "lines")
    with pytest.raises(InputError, match="no such file"):
        find_text_files([str(tmp_path / "nothing")])


def test_canonical_urls() -> None:
    same = [
        "http://www.Example.org:80/a/b/?x=1&utm_id=7&a=2#c",
        " https://example.org/a/b?a=2&x=1",
        "https://example.org:443/a/b/?a=2&x=1&gclid=1",
    ]
    assert {canonical_url(url) for url in same} == {"example.org/a/b?a=2&x=1"}
    assert canonical_url("http://example.org:8080") == "example.org:8080"
    assert [canonical_url(url) for url in ("", "ftp://x/y", "http://[::1", "http://:80/", "example.org/a")] == [""] * 5


def test_rows_name_where_they_come_from(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", ["first text", "second text"], 2)
    keepers = target(folder)
    workspace = run(tmp_path / "w", keepers)
    (rows,) = (stage for stage in keepers.ancestry() if isinstance(stage, Rows))
    found = table(workspace, rows).to_pylist()
    assert [(row["doc_id"], row["warc_file"], row["warc_offset"], row["host"]) for row in found] == [
        (schema.doc_id(0, 0), "000.jsonl", 0, "h0.example"),
        (schema.doc_id(1, 0), "001.jsonl", 0, "h1.example"),
    ]
    (folder / "000.jsonl").write_text(json.dumps({"text": "changed"}) + "\n")
    with pytest.raises(InputError, match="has changed"):
        rows.open("00000")
    assert {type(stage) for stage in keepers.ancestry()} >= {Signatures, Edges, Clusters}


def test_differences_of_two_texts() -> None:
    assert list(differences("the cat sat  on\nthe mat", "the cat sat on a mat today")) == [("the", "a"), ("", "today")]
    assert list(differences("a b", " a\n b ")) == []
    assert list(differences("", "x")) == [("", "x")]


def test_repeated_stretches_are_cut_out_of_peoples_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(3)
    shared = " ".join(rng.choices(WORDS, k=60))
    own = [" ".join(rng.choices(WORDS, k=40)) for _ in range(6)]
    texts = [f"{own[0]} {shared} {own[1]}", own[2], f"{own[3]} {shared}", shared, own[4]]
    folder = write(tmp_path / "in", texts, 2)
    command = ["dedup", str(folder), "--method", "substring", "--serial"]
    assert main([*command, "--out", str(tmp_path / "o")]) == 0
    kept = rows_of(tmp_path / "o" / "000.jsonl") + rows_of(tmp_path / "o" / "001.jsonl")
    assert [(row["n"], row["text"].split()) for row in kept] == [
        (0, texts[0].split()), (1, own[2].split()), (2, own[3].split()), (4, own[4].split()),
    ]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "o2"), "--keep", "none", "--set", "words=55"]) == 0
    kept = rows_of(tmp_path / "o2" / "000.jsonl") + rows_of(tmp_path / "o2" / "001.jsonl")
    assert kept[0]["text"].split() == f"{own[0]} {own[1]}".split()
    capsys.readouterr()
    assert main(["dedup", str(folder), "--out", str(tmp_path / "o"), "--method", "exakt"]) == 2
    assert "exact" in capsys.readouterr().err
