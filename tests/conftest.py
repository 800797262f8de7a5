"""What a parallel run needs: kernels that are compiled once, and tests that are called the same in every process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("kernels", deadline=None)  # a first call compiles, and no time is asserted
settings.load_profile("kernels")

SENTENCES = "The cat sat on the mat. It was a good day, and all were with us.\n" * 20


def compile_extraction() -> None:
    from textmill.pipeline.extract import extract_record
    from textmill.pipeline.stages.pages import WARM_UP

    extract_record(WARM_UP)


def compile_filters() -> None:
    apply("gopher@datatrove", "gopher@dclm", "c4@fineweb", "c4@datatrove", "fineweb@code", "refinedweb@dclm")
    apply("heuristics@curator", "signals@rpv2")


def compile_others() -> None:
    apply("pii@dolma", "classifier@textmill")


def compile_tokens() -> None:
    import pyarrow as pa

    from textmill.tokenize import Tokenizer
    from textmill.tokenize.bpe.train import train
    from textmill.tokenize.pretokens.count import count_texts

    documents = pa.array([SENTENCES], pa.large_string())
    training = train(count_texts([documents]), 300, [])
    Tokenizer(training.vocab, training.merges).encode_batch(documents)


def apply(*names: str) -> None:
    """Use presets, editors included."""
    from textmill.filters import preset
    from textmill.filters.base import measure
    from textmill.text import Documents

    documents = Documents.from_texts([SENTENCES])
    for name in names:
        measure(preset(name).scorers, documents)
        for editor in preset(name).editors:
            editor.edit(documents)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tests of small models: their matrices only lose by being shared out, above all on a busy machine."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Share the work of compiling the kernels between the processes of a parallel run, which all need most of them.

    Even ones begin at one end and odd ones at the other, and find the rest in numba's cache; so does every process that
    a test starts. Without this they would compile the same kernels at the same time. A run in one process compiles as
    it goes.
    """
    worker = getattr(session.config, "workerinput", {}).get("workerid", "")
    if worker:
        parts = [compile_extraction, compile_others, compile_tokens, compile_filters]
        for part in parts if int(worker.removeprefix("gw")) % 2 == 0 else reversed(parts):
            part()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Binary data are called by their argument: what is packed may hold the time of its packing."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
