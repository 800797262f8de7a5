"""Generation: the same tokens with and without a cache, alone and in a batch; sampling; the command."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UserError
from textmill.train.config import ModelConfig
from textmill.train.generate import Context, Sampling, generate, generate_ids, stream
from textmill.train.model import Transformer

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ModelConfig(vocab_size=17, n_layers=2, n_heads=4, n_kv_heads=2, d_model=16, d_ff=24, context_length=16)
GREEDY = Sampling(temperature=0)


class Letters:
    """A tokenizer of 16 letters and an end of text."""

    vocab_size = 17
    eot_id = 16

    def encode(self, text: str) -> list[int]:
        return ["abcdefghijklmnop".index(letter) for letter in text]

    def decode_bytes(self, ids: list[int]) -> bytes:
        return bytes(b"abcdefghijklmnop"[i] for i in ids)


class Bytes:
    """Each byte is a token; 256 ends the text."""

    vocab_size = 257
    eot_id = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode_bytes(self, ids: list[int]) -> bytes:
        return bytes(ids)


def restless(seed: int = 0, **others: object) -> Transformer:
    """A model whose weights are large enough for its texts to wander; in float64, lest rounding decide a draw."""
    model = Transformer(replace(SMALL, **others), seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    return model


class Successor(Transformer):
    """Knows what comes after each token: the next one."""

    def logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states

    def hidden_states(self, token_ids: torch.Tensor, *_: object) -> torch.Tensor:
        n_ids = self.config.vocab_size
        return torch.nn.functional.one_hot((token_ids + 1) % n_ids, n_ids).float() * 20


def texts(model: Transformer, prompts: list[list[int]], n: int, sampling: Sampling, cached: bool) -> list[list[int]]:
    steps = generate_ids(model, prompts, max_tokens=n, sampling=sampling, stop_ids={16}, n_ids=17, cached=cached)
    rows = zip(*steps, strict=True)
    return [[i for i in row if i is not None] for row in rows]


@settings(max_examples=30, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=20), min_size=1, max_size=3),
    temperature=st.sampled_from([0.0, 1.0]),
    form=st.sampled_from([{}, {"window": 5}, {"position": "learned"}, {"position": "sinusoidal", "qk_norm": True}]),
)
def test_a_cache_changes_no_token(prompts: list[list[int]], temperature: float, form: dict[str, object]) -> None:
    """Prompts up to the whole context and longer, and texts that outgrow it twice."""
    model, sampling = restless(**form), Sampling(temperature, top_k=5)
    assert texts(model, prompts, 40, sampling, True) == texts(model, prompts, 40, sampling, False)


@given(
    prompts=st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=8), min_size=2, max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_a_prompt_is_continued_alike_alone_and_beside_others(prompts: list[list[int]], seed: int) -> None:
    model = restless()
    together = texts(model, prompts, 8, Sampling(seed=seed), True)
    for row, prompt in enumerate(prompts):
        alone = texts(model, [prompt], 8, Sampling(seed=seed + row), True)
        assert (alone or [[]])[0] == (together or [[]] * len(prompts))[row]


def test_no_token_is_run_twice_while_the_context_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lengths = restless(), []
    inner = Transformer.hidden_states

    def counted(self: Transformer, token_ids: torch.Tensor, *others: object) -> torch.Tensor:
        lengths.append(token_ids.shape[1])
        return inner(self, token_ids, *others)

    monkeypatch.setattr(Transformer, "hidden_states", counted)
    list(generate_ids(model, [[1] * 13], max_tokens=14, sampling=GREEDY, stop_ids=(), n_ids=17))
    assert lengths == [13, 1, 1, 1, 9, *[1] * 7, 9, 1]


def test_a_full_context_goes_on_from_its_newer_half() -> None:
    model = restless().eval()
    with torch.inference_mode():
        context = Context(model, [[5], list(range(12))], cached=True)
        for token_id in range(5):
            context.next_logits()
            context.append([token_id, token_id])
        expected = Context(model, [[5, 0, 1, 2, 3, 4], [8, 9, 10, 11, 0, 1, 2, 3, 4]], cached=False)
        torch.testing.assert_close(context.next_logits(), expected.next_logits())
        assert context.n_padding.tolist() == [[3], [0]]


def test_generation_follows_the_pattern_and_stops_at_the_end_of_text() -> None:
    model = Successor(SMALL, seed=0)

    def text(prompt: str, n: int, sampling: Sampling = GREEDY, stop_ids: set[int] | None = None) -> str:
        (made,) = generate(model, Letters(), [prompt], max_tokens=n, sampling=sampling, stop_ids=stop_ids)
        return made

    assert text("abc", 50) == "defghijklmnop"
    assert text("o", 4, stop_ids={15}) == ""
    assert text("abc", 50, stop_ids={6, 9}) == "def"
    assert text("abc", 4, Sampling(1e-310, top_k=5)) == "defg"
    assert text("abc", 0) == ""
    assert generate(model, Letters(), ["m", "abc", "p"], max_tokens=4, sampling=GREEDY) == ["nop", "defg", ""]
    assert generate(model, Letters(), [], max_tokens=4, sampling=GREEDY) == []


def test_an_empty_prompt_starts_a_document() -> None:
    assert generate(Successor(SMALL, seed=0), Letters(), [""], max_tokens=4, sampling=GREEDY) == ["abcd"]


def test_generation_is_a_function_of_the_seed() -> None:
    model = Transformer(replace(SMALL, vocab_size=128), seed=0)  # more ids than the tokenizer has

    def text(seed: int, top_k: int | None = None) -> str:
        sampling = Sampling(2.0, top_k, seed=seed)
        return generate(model, Letters(), ["a"], max_tokens=30, sampling=sampling)[0]

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(5)}) == 5
    assert len({text(seed, top_k=1) for seed in range(5)}) == 1


def test_a_stream_is_the_text_in_whole_characters() -> None:
    model, asked = Successor(replace(SMALL, vocab_size=257), seed=0), "é€😀"
    encoded = asked.encode()
    order = dict(zip((65, *encoded), (*encoded, 256), strict=True))
    model.hidden_states = lambda ids, *_: torch.nn.functional.one_hot(  # type: ignore[method-assign]
        torch.tensor([[order.get(int(i), 0) for i in ids[0]]]), 257
    ).float()
    pieces = list(stream(model, Bytes(), "A", max_tokens=20, sampling=GREEDY))
    assert "".join(pieces) == asked and [p for p in pieces if p] == list(asked)
    cut = list(stream(model, Bytes(), "A", max_tokens=4, sampling=GREEDY))
    assert "".join(cut) == encoded[:4].decode(errors="replace") == "é\ufffd"


@given(
    logits=st.lists(st.floats(-5, 5), min_size=1, max_size=9),
    top_k=st.one_of(st.none(), st.integers(1, 10)),
    top_p=st.one_of(st.none(), st.floats(0.01, 1)),
    seed=st.integers(0, 9),
)
def test_only_the_likeliest_are_drawn(logits: list[float], top_k: int | None, top_p: float | None, seed: int) -> None:
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[:top_k]
    weights = [math.exp(logits[i]) for i in order]
    allowed, total = set(), 0.0
    for i, weight in zip(order, weights, strict=True):
        if top_p is None or total < top_p * sum(weights) + 1e-9:
            allowed.add(logits[i])
        total += weight
    sampling = Sampling(1.0, top_k, top_p)
    drawn = sampling.draw(torch.tensor(logits).double(), torch.Generator().manual_seed(seed))
    assert min(abs(logits[drawn] - value) for value in allowed) < 1e-6


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=2), Sampling(0.5), Sampling(top_p=0.7)])
def test_draws_have_the_shares_of_the_softmax(sampling: Sampling) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0]).double()
    weights = [math.exp(value / sampling.temperature) for value in logits.tolist()]
    if sampling.top_k or sampling.top_p:  # the first has .665 of all
        weights[2] = 0.0
    generator = torch.Generator().manual_seed(0)
    drawn = [sampling.draw(logits, generator) for _ in range(4000)]
    for i, weight in enumerate(weights):
        assert drawn.count(i) / 4000 == pytest.approx(weight / sum(weights), abs=0.03)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_sampling_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**values)
    with pytest.raises(UserError, match="max_tokens is -1"):
        generate(restless(), Letters(), ["a"], max_tokens=-1, sampling=GREEDY)
