"""Perplexity: what training and scoring cost, what the order of the model gains, and whether likeness orders texts.

    python benchmarks/perplexity.py --text good.txt.gz ... --held-out other.txt.gz --web pages.jsonl [--orders 3 5]

Files as `textmill perplexity train` reads them. Prints one JSON object an order; medians of perplexity a document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import pyarrow as pa

from textmill.filters.ngrams import Model
from textmill.filters.ngrams_train import train
from textmill.pipeline.texts import read_batches
from textmill.text import Documents

ROUNDS = 3
PIECE_CHARS = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--held-out", nargs="+", required=True, metavar="FILE", help="of the same kind as --text")
    parser.add_argument("--web", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--orders", nargs="+", type=int, default=[3, 4, 5])
    options = parser.parse_args()
    train([Documents.from_texts(["compile the kernels"])]).perplexities(Documents.from_texts([""]))
    web = _texts(options.web)
    all_held_out = "\n".join(_texts(options.held_out))
    held_out = [all_held_out[i : i + PIECE_CHARS] for i in range(0, len(all_held_out), PIECE_CHARS)]
    kinds = {
        "held_out": held_out,
        "web": web,
        "web_words_shuffled": [" ".join(_shuffled(text.split())) for text in web],
        "web_characters_shuffled": ["".join(_shuffled(list(text))) for text in web],
    }
    for order in options.orders:
        began = time.process_time()
        model = train(read_batches(options.text), order)
        train_s = time.process_time() - began
        medians = {name: round(float(np.median(model.perplexities(Documents.from_texts(texts))[0])), 1)
                   for name, texts in kinds.items()}  # fmt: skip
        cost = {"n_words": model.header.n_words, "train_cpu_s": round(train_s, 1), "model_mb": model.table.nbytes / 1e6}
        print(json.dumps({"order": order, **cost, "score_mb_s": round(_speed(model, web), 1), "medians": medians}))


def _texts(uris: list[str]) -> list[str]:
    return [text for documents in read_batches(uris) for text in documents.text.to_pylist()]


def _shuffled(pieces: list[str]) -> list[str]:
    np.random.default_rng(0).shuffle(pieces)
    return pieces


def _speed(model: Model, texts: list[str]) -> float:
    """Megabytes of text a CPU second, lines cut included."""
    table: pa.Table = Documents.from_texts(texts).table
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        model.perplexities(Documents(table))
        seconds.append(time.process_time() - began)
    return sum(len(text.encode()) for text in texts) / 1e6 / statistics.median(seconds)


if __name__ == "__main__":
    main()
