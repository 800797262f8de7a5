"""Tokens: training a BPE, encoding with it, writing shards, and loading them; beside the field's own tools.

The text is what textmill extracts from the manual pages (kept in `build/`). Every system runs in a process of its own,
by turns; a figure is the median of its rounds. Documents are in memory before the clock starts, except where a system
reads the file itself (textmill's and gigatoken's training).

- *train*: 32,768 entries with GPT-2's pattern, kernels compiled before. Threads as each library takes them.
- *small*: 133 KB of it and 500 entries.
- *encode*: one thread, twice over the text: *cold* fills the caches of a tokenizer that was just made, *warm* finds
  them filled. All have the tokenizer that textmill trained; the number of tokens must be the same.
- *shards*: from a table of documents in memory to the files of a token shard on disk, one thread.
- *load*: batches of 2,048 tokens from these shards, shuffled, one process.
- *scale*: training on a text several times as large, each word salted anew in every copy of every 50th document, for
  time and memory against size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness import (
    RIVALS,
    ROOT,
    BenchmarkError,
    by_turns,
    machine,
    measure,
    rival_python,
    say,
    write_figures,
)
from manual_pages import manual_pages
from rich.console import Console
from rich.table import Table

END = "<|endoftext|>"
SEPARATOR = f"\n{END}\n"
VOCAB_SIZE = 32_768
SMALL_BYTES, SMALL_VOCAB_SIZE = 133_000, 500
CONTEXT, BATCH = 2048, 16
TASKS = ("train", "small", "encode", "shards", "load", "scale")
TRAINERS, ENCODERS = ("gigatoken", "rustbpe", "huggingface"), ("gigatoken", "tiktoken", "huggingface")
EXAMPLES = """\
examples:
  python benchmarks/tokens.py                              everything; some minutes once the environment is made
  python benchmarks/tokens.py train encode --rounds 3
  python benchmarks/tokens.py encode --no-rivals           textmill alone, for work on a kernel
  python benchmarks/tokens.py scale --scale 5 10 20 40     2 GB
"""


def main() -> int:
    options = _options()
    if options.measure:
        print(json.dumps(MEASURED[options.tasks[0]](*map(Path, options.measure))))
        return 0
    try:
        text = manual_text()
        figures: dict[str, Any] = {"machine": machine(), "text_mb": round(text.stat().st_size / 1e6, 1)}
        with tempfile.TemporaryDirectory() as scratch:
            for task in options.tasks:
                figures[task] = COMPARED[task](text, Path(scratch), options)
    except BenchmarkError as error:
        say(f"error: {error}")
        return 1
    Console().print(_table(figures))
    if options.json:
        write_figures(figures, options.json)
    return 0


def _options() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=formatter)
    parser.add_argument("tasks", nargs="*", default=TASKS, choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-rivals", action="store_false", dest="rivals")
    parser.add_argument("--scale", type=int, nargs="+", default=[5, 10, 20, 40], metavar="N", help="times the text")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def manual_text() -> Path:
    """The texts of the manual pages in one file, between lines of the end-of-text token; extracted once."""
    target = ROOT / "build" / "manual-pages.txt"
    if target.is_file():
        return target
    archive, work = manual_pages(), ROOT / "build" / "manual-pages-text"
    say("extracting the text of the manual pages (once)")
    settings = ["--set", f"warcs={archive}", "--to", "pages", "--out", str(work)]
    measure([sys.executable, "-m", "textmill", "run", "common_crawl", *settings])
    from textmill.storage import open_parquet

    unfinished = target.with_suffix(".unfinished")
    with unfinished.open("w") as out:
        for path in sorted(work.glob("pages-*/**/*.parquet")):
            with open_parquet(str(path)) as file:
                texts = file.read(columns=["text"])["text"].drop_null().to_pylist()
            out.writelines(document + SEPARATOR for document in texts)
    return unfinished.replace(target)


# --- textmill's side, in a process of its own ---


def _timed(job: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = job()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}, result


def train_here(text: Path, out: Path) -> dict[str, Any]:
    """Train on a file; saves the tokenizer."""
    from textmill.tokenize import Tokenizer, train_bpe

    warm_up = ROOT / "README.md"
    train_bpe(warm_up, SMALL_VOCAB_SIZE, [END])
    vocab_size = SMALL_VOCAB_SIZE if text.stat().st_size <= SMALL_BYTES else VOCAB_SIZE
    figures, (vocab, merges) = _timed(lambda: train_bpe(text, vocab_size, [END]))
    Tokenizer(vocab, merges, [END]).save(str(out))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**figures, "n_merges": len(merges), "peak_mb": round(peak_mb)}


def encode_here(text: Path, tokenizer_file: Path) -> list[dict[str, Any]]:
    """Encode the documents twice."""
    import pyarrow as pa

    from textmill.tokenize import Tokenizer

    documents = pa.array(text.read_text().split(SEPARATOR), pa.large_string())
    load_s, tokenizer = _timed(lambda: Tokenizer.load(tokenizer_file))
    tokenizer.encode_batch(documents.slice(0, 1))
    rounds = []
    for _ in range(2):
        figures, (tokens, _offsets) = _timed(lambda: tokenizer.encode_batch(documents))
        rounds.append({**figures, "n_tokens": len(tokens), "load_s": load_s["wall_s"]})
    return rounds


def shards_here(text: Path, tokenizer_file: Path, out: Path) -> dict[str, Any]:
    """A table of documents to the files of one shard, on one thread."""
    import numpy as np
    import pyarrow as pa

    from textmill.tokenize import Tokenizer
    from textmill.tokenize.shards.writer import write_shard

    documents = pa.array(text.read_text().split(SEPARATOR), pa.large_string())
    n = len(documents)
    columns = {
        "doc_id": pa.array(np.arange(n, dtype=np.uint64)),
        "url": pa.array([f"https://manuals.example/{i}" for i in range(n)]),
        "warc_file": pa.array(["manual-pages.warc.gz"] * n),
        "warc_offset": pa.array(np.arange(n)),
        "warc_length": pa.array(np.arange(n)),
        "text": documents,
        "split": pa.array(["val" if i % 20 == 0 else "train" for i in range(n)]),
    }
    batches = pa.table(columns).to_batches(max_chunksize=256)
    tokenizer = Tokenizer.load(tokenizer_file)
    write_shard(out / "warm-up", 0, [pa.Table.from_batches(batches[:1])], tokenizer)
    tables = (pa.Table.from_batches([batch]) for batch in batches)
    fresh = Tokenizer.load(tokenizer_file)
    figures, written = _timed(lambda: write_shard(out, 0, tables, fresh))
    n_tokens = written.counts["train_n_tokens"] + written.counts["val_n_tokens"]
    return {**figures, "n_tokens": n_tokens, "mb_per_cpu_s": text.stat().st_size / 1e6 / figures["cpu_s"]}


def load_here(tokens_file: Path) -> dict[str, Any]:
    """Batches of the tokens in a file, each batch once over the file, shuffled."""
    import numpy as np

    from textmill.train.data import TrainBatches

    tokens = np.memmap(tokens_file, np.uint16, "r")
    source = SimpleNamespace(
        tokens=[tokens], n_tokens=len(tokens), n_docs=1, n_bytes=1, vocab_size=VOCAB_SIZE, tokenizer_sha256=""
    )
    batches = TrainBatches(source, CONTEXT, BATCH, seed=1)
    batches.at(0)
    n_steps = len(tokens) // (CONTEXT * BATCH)
    figures, _ = _timed(lambda: [batches.at(step) for step in range(n_steps)])
    return {**figures, "million_tokens_per_s": n_steps * CONTEXT * BATCH / 1e6 / figures["wall_s"]}


MEASURED: Mapping[str, Callable[..., Any]] = {
    "shards": shards_here,
    "load": load_here,
    "train": train_here,
    "small": train_here,
    "encode": encode_here,
    "scale": train_here,
}


def _textmill(task: str, *arguments: str | Path) -> Any:
    done = measure([sys.executable, Path(__file__), task, "--measure", *arguments])
    return json.loads(done.stdout.splitlines()[-1])


def _rival(*arguments: str | Path) -> Any:
    python = rival_python("tokenizers", RIVALS / "tokenizers.txt")
    done = measure([python, RIVALS / "tokenizer_tasks.py", *arguments])
    return json.loads(done.stdout.splitlines()[-1])


# --- Comparisons ---


def compare_training(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    jobs: dict[str, Callable[[], Any]] = {"textmill": lambda: _textmill("train", text, scratch / "tokenizer.json")}
    for name in TRAINERS if options.rivals else ():
        jobs[name] = partial(_rival, "train", name, text, str(VOCAB_SIZE), scratch / "rival.json")
    return _medians(by_turns(jobs, options.rounds))


def compare_small(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    small = scratch / "small.txt"
    small.write_bytes(text.read_bytes()[:SMALL_BYTES].decode(errors="ignore").encode())
    return _medians(by_turns({"textmill": lambda: _textmill("small", small, scratch / "small.json")}, options.rounds))


def compare_encoding(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    ours, hf_folder, ranks = scratch / "tokenizer.json", scratch / "hf", scratch / "ranks.tiktoken"
    if not ours.is_file():
        _textmill("train", text, ours)
    for kind, target in (("hf", hf_folder), ("tiktoken", ranks)):
        measure([sys.executable, "-m", "textmill", "tokenizer", "convert", ours, target, "--to", kind])
    jobs: dict[str, Callable[[], Any]] = {"textmill": lambda: _textmill("encode", text, ours)}
    for name in ENCODERS if options.rivals else ():
        jobs[name] = partial(_rival, "encode", name, text, hf_folder / "tokenizer.json", ranks)
    results = by_turns(jobs, options.rounds)
    figures = {}
    for number, state in enumerate(("cold", "warm")):
        found = _medians({name: [rounds[number] for rounds in of] for name, of in results.items()})
        for name, measured in found.items():
            measured["mb_per_cpu_s"] = round(text.stat().st_size / 1e6 / measured["cpu_s"], 1)
            figures[f"{name} {state}"] = measured
    if len({figure["n_tokens"] for figure in figures.values()}) > 1:
        say("the systems differ in the number of tokens")
    return figures


def compare_shards(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    tokenizer = scratch / "tokenizer.json"
    if not tokenizer.is_file():
        _textmill("train", text, tokenizer)
    out = scratch / "shards"
    out.mkdir(exist_ok=True)
    return _medians(by_turns({"textmill": lambda: _textmill("shards", text, tokenizer, out)}, options.rounds))


def compare_loading(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    if not (scratch / "shards").is_dir():
        compare_shards(text, scratch, options)
    tokens = scratch / "shards" / "train" / "tokens-00000.bin"
    return _medians(by_turns({"textmill": lambda: _textmill("load", tokens)}, options.rounds))


def compare_scale(text: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    figures = {}
    for times in options.scale:
        large = scratch / "large.txt"
        write_salted(text, times, large)
        say(f"training on {large.stat().st_size / 1e6:.0f} MB")
        measured = _textmill("scale", large, scratch / "large.json")
        figures[f"{large.stat().st_size / 1e9:.2f} GB"] = measured
        large.unlink()
    return figures


def write_salted(text: Path, times: int, target: Path) -> None:
    """The text several times over. Every 50th document of each copy has its words joined with a salt of their own."""
    documents = text.read_text().split(SEPARATOR)
    with target.open("w") as out:
        for copy in range(times):
            for number, document in enumerate(documents):
                if number % 50 == copy % 50:
                    salt = f"x{copy:x}"
                    document = " ".join(word + salt for word in document.split(" "))
                out.write(document + SEPARATOR)


def _medians(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: round(statistics.median(round_[key] for round_ in rounds), 4) for key in rounds[0]}
        for name, rounds in results.items()
    }


COMPARED: Mapping[str, Callable[[Path, Path, argparse.Namespace], dict[str, Any]]] = {
    "train": compare_training,
    "small": compare_small,
    "encode": compare_encoding,
    "shards": compare_shards,
    "load": compare_loading,
    "scale": compare_scale,
}


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table("", "", "wall s", "CPU s", "", title=f"{figures['text_mb']} MB, {os.cpu_count()} cores")
    for task in TASKS:
        for name, measured in figures.get(task, {}).items():
            rest = ", ".join(f"{key} {value:,}" for key, value in measured.items() if key not in ("wall_s", "cpu_s"))
            table.add_row(task, name, f"{measured['wall_s']:.3f}", f"{measured['cpu_s']:.3f}", rest)
    return table


if __name__ == "__main__":
    sys.exit(main())
