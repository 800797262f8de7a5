"""The model: its functions against numpy and torch, all its forms against a forward pass in plain numpy and float64,
masks and caches against the same tokens alone, and the shapes and names that Stanford's CS336 agrees on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - the field's usual name

from textmill.errors import UserError
from textmill.train.accounting import matmul_parameters, n_parameters
from textmill.train.attention import attend, attention, attention_mask
from textmill.train.config import PRESETS, ModelConfig, TrainConfig
from textmill.train.data import IGNORED
from textmill.train.functional import (
    cross_entropy,
    embedding,
    linear,
    relu2,
    rms_norm,
    rope,
    rotate_pairs,
    rotation_table,
    sinusoids,
    soft_cap,
    softmax,
    swiglu,
)
from textmill.train.model import Block, FeedForward, SelfAttention, Surroundings, Transformer
from textmill.train.optim import adamw, clip_gradients

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ModelConfig(vocab_size=17, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=8)
FIRST_WEIGHTS = [-0.030511918, -0.015004636, 0.007698718, -0.004736608]  # of SMALL with seed 1: the first and last
FORMS = {
    "default": {},
    "untied": {"tie_embeddings": False},
    "grouped": {"n_heads": 4, "n_kv_heads": 2},
    "one key head": {"n_heads": 4, "n_kv_heads": 1},
    "qk_norm": {"qk_norm": True},
    "window": {"window": 3},
    "layernorm": {"norm": "layernorm"},
    "no norm": {"norm": "none"},
    "post": {"norm_position": "post"},
    "post, layernorm, bias": {"norm_position": "post", "norm": "layernorm", "bias": True},
    "sinusoidal": {"position": "sinusoidal"},
    "learned": {"position": "learned"},
    "no positions": {"position": "none"},
    "silu": {"activation": "silu"},
    "gelu, bias": {"activation": "gelu", "bias": True},
    "relu": {"activation": "relu"},
    "relu2": {"activation": "relu2"},
    "cap": {"logit_cap": 0.05},
    "all": {
        "n_heads": 4,
        "n_kv_heads": 2,
        "qk_norm": True,
        "window": 4,
        "bias": True,
        "logit_cap": 0.1,
        "tie_embeddings": False,
    },
}
Array = NDArray[np.float64]


def tensor(values: Array) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def model_of(form: str, seed: int = 0) -> Transformer:
    """A model whose every weight is drawn, scales and biases too, and large enough to matter."""
    model = Transformer(replace(SMALL, **FORMS[form]), seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


# --- the functions


def test_linear_and_embedding_equal_numpy() -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)
    np.testing.assert_allclose(linear(tensor(x), tensor(weight)).numpy(), x @ weight.T, atol=1e-5)
    np.testing.assert_allclose(linear(tensor(x), tensor(weight), tensor(bias)).numpy(), x @ weight.T + bias, atol=1e-5)
    ids = rng.integers(0, 4, (3, 2))
    np.testing.assert_array_equal(embedding(torch.tensor(ids), tensor(weight)).numpy(), weight[ids].astype(np.float32))


def test_rms_norm_equals_torch_and_numpy() -> None:
    rng = np.random.default_rng(1)
    x, gain = rng.normal(size=(4, 6)) * 50, rng.normal(size=6)
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * gain
    actual = rms_norm(tensor(x), tensor(gain), 1e-5)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4)
    torch.testing.assert_close(actual, F.rms_norm(tensor(x), (6,), tensor(gain), 1e-5))


def test_norm_computes_in_float32_and_returns_the_type_it_got() -> None:
    x = torch.full((2, 4), 300.0, dtype=torch.float16)  # its square is beyond float16
    normed = rms_norm(x, torch.ones(4), 1e-5)
    assert normed.dtype == torch.float16
    torch.testing.assert_close(normed, torch.ones(2, 4, dtype=torch.float16))


def test_activations_equal_numpy() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 50)) * 3
    np.testing.assert_allclose(swiglu(tensor(x), tensor(y)).numpy(), x / (1 + np.exp(-x)) * y, rtol=1e-5)
    np.testing.assert_allclose(relu2(tensor(x)).numpy(), np.maximum(x, 0) ** 2, rtol=1e-5)
    np.testing.assert_allclose(soft_cap(tensor(x), 2.0).numpy(), 2 * np.tanh(x / 2), rtol=1e-5)


def test_rotation_equals_numpy_and_depends_on_distance_only() -> None:
    x = np.random.default_rng(3).normal(size=(2, 9, 6))
    rotation = rotation_table(9, 6, 10_000.0)
    turned = rotate_pairs(tensor(x), rotation)
    np.testing.assert_allclose(turned.numpy(), numpy_rotate(x, np.arange(9), 10_000.0), atol=1e-5)
    q, k = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    q_turned, k_turned = rotate_pairs(q.expand(9, 6), rotation), rotate_pairs(k.expand(9, 6), rotation)
    torch.testing.assert_close(q_turned[2] @ k_turned[5], q_turned[4] @ k_turned[7])


def test_rope_takes_any_positions() -> None:
    rng = np.random.default_rng(4)
    x, positions = rng.normal(size=(3, 5, 4)), rng.integers(0, 40, (3, 5))
    expected = np.stack([numpy_rotate(row, at, 100.0) for row, at in zip(x, positions, strict=True)])
    np.testing.assert_allclose(rope(tensor(x), torch.tensor(positions), 100.0).numpy(), expected, atol=1e-4)
    assert rope(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), 100.0).shape == (0, 4)


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoids(7, 5).numpy()
    for position, place in np.ndindex(7, 5):
        angle = position / 10_000 ** (2 * (place // 2) / 5)
        assert table[position, place] == pytest.approx(math.cos(angle) if place % 2 else math.sin(angle), abs=1e-6)


def test_softmax_is_stable() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 1000.0]])
    torch.testing.assert_close(softmax(x, 1), softmax(x + 100, 1))
    torch.testing.assert_close(softmax(x, 0).sum(0), torch.ones(3))
    assert softmax(x, 1)[1].tolist() == [0.0, 0.0, 1.0]


def test_cross_entropy_survives_large_logits() -> None:
    rng = np.random.default_rng(5)
    logits, targets = rng.normal(size=(2, 3, 7)), rng.integers(0, 7, (2, 3))
    for scale in (1.0, 1000.0):
        shifted = scale * logits - (scale * logits).max(axis=-1, keepdims=True)
        shares = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        expected = -np.take_along_axis(shares, targets[..., None], -1).mean()
        actual = cross_entropy(tensor(scale * logits), torch.tensor(targets))
        assert actual.item() == pytest.approx(expected, rel=1e-5)
    assert cross_entropy(torch.tensor([[[1000.0, 0.0]]]), torch.tensor([[1]])).item() == 1000.0
    assert cross_entropy(torch.zeros(1, 2).bfloat16(), torch.tensor([1])).dtype == torch.float32
    logits = torch.tensor([[0.0, 3.0], [9.0, 0.0]])
    counted = cross_entropy(logits[:1], torch.tensor([1]))
    torch.testing.assert_close(cross_entropy(logits, torch.tensor([1, IGNORED])), counted)


@pytest.mark.parametrize("leading", [(3,), (2, 3)])
def test_attention_equals_numpy_where_the_mask_is_true(leading: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    q, k = rng.normal(size=(*leading, 4, 8)), rng.normal(size=(*leading, 6, 8))
    v, mask = rng.normal(size=(*leading, 6, 5)), rng.random((*leading, 4, 6)) < 0.5
    mask[..., 0] = True
    for wanted in (mask, np.ones_like(mask)):
        scores = np.where(wanted, q @ np.swapaxes(k, -1, -2) / math.sqrt(8), -np.inf)
        expected = numpy_softmax(scores) @ v
        given_mask = None if wanted.all() else torch.tensor(wanted)
        np.testing.assert_allclose(attention(tensor(q), tensor(k), tensor(v), given_mask).numpy(), expected, atol=1e-5)


# --- the model against plain numpy in float64


def numpy_softmax(scores: Array) -> Array:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def numpy_rotate(x: Array, positions: NDArray[np.int64], theta: float) -> Array:
    """RoPE as complex numbers: pair (2i, 2i+1) is a point that turns by position · theta^(-2i/d)."""
    d = x.shape[-1]
    angles = positions[:, None] * theta ** (-np.arange(0, d, 2) / d)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


ERF = np.vectorize(math.erf)
NUMPY_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "swiglu": lambda x: x / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}


class NumpyModel:
    """One row of tokens through the model, written from the papers: no torch, no batches, float64."""

    def __init__(self, model: Transformer) -> None:
        self.config = model.config
        self.weights = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)

    def rms(self, x: Array, weight: Array) -> Array:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.config.norm_eps) * weight

    def norm(self, name: str, x: Array) -> Array:
        if self.config.norm == "none":
            return x
        weight = self.weights[f"{name}.weight"]
        if self.config.norm == "rmsnorm":
            return self.rms(x, weight)
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config.norm_eps)
        return centred / scale * weight + self.weights.get(f"{name}.bias", 0.0)

    def attention(self, name: str, x: Array, positions: NDArray[np.int64], documents: NDArray[np.int64]) -> Array:
        config, outputs = self.config, []
        q, k, v = (self.linear(f"{name}.{part}_proj", x) for part in "qkv")
        for head in range(config.n_heads):
            at = slice(head * config.d_head, (head + 1) * config.d_head)
            shared = head * config.kv_heads // config.n_heads
            shared_at = slice(shared * config.d_head, (shared + 1) * config.d_head)
            q_head, k_head = q[:, at], k[:, shared_at]
            if config.qk_norm:
                q_head = self.rms(q_head, self.weights[f"{name}.q_norm.weight"])
                k_head = self.rms(k_head, self.weights[f"{name}.k_norm.weight"])
            if config.position == "rope":
                q_head, k_head = (numpy_rotate(h, positions, config.rope_theta) for h in (q_head, k_head))
            scores = q_head @ k_head.T / math.sqrt(config.d_head)
            for query, key in np.ndindex(scores.shape):
                distance = query - key
                far = config.window is not None and distance >= config.window
                if distance < 0 or far or documents[query] != documents[key]:
                    scores[query, key] = -np.inf
            outputs.append(numpy_softmax(scores) @ v[:, shared_at])
        return self.linear(f"{name}.output_proj", np.concatenate(outputs, axis=-1))

    def feed_forward(self, name: str, x: Array) -> Array:
        hidden = NUMPY_ACTIVATIONS[self.config.activation](self.linear(f"{name}.w1", x))
        if self.config.activation == "swiglu":
            hidden = hidden * self.linear(f"{name}.w3", x)
        return self.linear(f"{name}.w2", hidden)

    def logits(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64] | None = None, documents: Array | None = None
    ) -> Array:
        config, n = self.config, len(ids)
        positions = np.arange(n) if positions is None else positions
        documents = np.zeros(n, np.int64) if documents is None else documents
        x = self.weights["token_embeddings.weight"][ids]
        if config.position == "learned":
            x = x + self.weights["position_embeddings.weight"][positions]
        if config.position == "sinusoidal":
            pairs = np.arange(config.d_model) // 2
            angles = positions[:, None] / 10_000 ** (2 * pairs / config.d_model)
            x = x * math.sqrt(config.d_model) + np.where(np.arange(config.d_model) % 2, np.cos(angles), np.sin(angles))
        for i in range(config.n_layers):
            name = f"layers.{i}"
            if config.norm_position == "pre":
                x = x + self.attention(f"{name}.attn", self.norm(f"{name}.ln1", x), positions, documents)
                x = x + self.feed_forward(f"{name}.ffn", self.norm(f"{name}.ln2", x))
            else:
                x = self.norm(f"{name}.ln1", x + self.attention(f"{name}.attn", x, positions, documents))
                x = self.norm(f"{name}.ln2", x + self.feed_forward(f"{name}.ffn", x))
        if config.norm_position == "pre":
            x = self.norm("ln_final", x)
        table = self.weights["token_embeddings.weight" if config.tie_embeddings else "lm_head.weight"]
        logits = x @ table.T
        return logits if config.logit_cap is None else config.logit_cap * np.tanh(logits / config.logit_cap)


def numpy_loss(logits: Array, targets: NDArray[np.int64]) -> float:
    return float(-np.log(np.take_along_axis(numpy_softmax(logits), targets[..., None], -1)).mean())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_numpy(form: str) -> None:
    model = model_of(form)
    ids = np.random.default_rng(7).integers(0, 17, (3, 8))
    with torch.no_grad():
        actual = model(torch.tensor(ids)).numpy()
    expected = np.stack([NumpyModel(model).logits(row) for row in ids])
    np.testing.assert_allclose(actual, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("form", ["default", "all", "window", "learned", "sinusoidal"])
def test_documents_do_not_see_each_other(form: str) -> None:
    model = model_of(form)
    rng = np.random.default_rng(8)
    ids, documents = rng.integers(0, 17, (2, 8)), np.array([[4, 4, 4, 9, 9, 2, 2, 2], [1, 2, 2, 2, 2, 2, 2, 3]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1, 2], [0, 0, 1, 2, 3, 4, 5, 0]])
    with torch.no_grad():
        actual = model(torch.tensor(ids), positions, torch.tensor(documents))
        for row, document in ((0, 4), (0, 9), (0, 2), (1, 2), (1, 3)):
            inside = documents[row] == document
            alone = model(torch.tensor(ids[row, inside])[None])[0]
            torch.testing.assert_close(actual[row, inside], alone, atol=1e-4, rtol=1e-4)
    for row in range(2):
        expected = NumpyModel(model).logits(ids[row], positions[row].numpy(), documents[row])
        np.testing.assert_allclose(actual[row].numpy(), expected, atol=1e-4 * max(1.0, np.abs(expected).max()))


def test_with_rope_only_distance_counts_so_documents_need_no_positions_of_their_own() -> None:
    model = model_of("default")
    ids, documents = torch.randint(17, (1, 8)), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        one, other = model(ids, None, documents), model(ids, torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]]), documents)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@given(n=st.integers(1, 9), n_queries=st.integers(1, 9), window=st.one_of(st.none(), st.integers(1, 10)))
def test_a_mask_is_true_for_what_precedes_within_the_window(n: int, n_queries: int, window: int | None) -> None:
    n_queries = min(n, n_queries)
    mask = attention_mask(n_queries, n, window=window, document_ids=None, device=torch.device("cpu"))
    rows = range(n - n_queries, n)
    expected = [[k <= q and (window is None or q - k < window) for k in range(n)] for q in rows]
    if mask is None:
        assert expected == [[k <= q for k in range(n)] for q in range(n)]
    else:
        assert mask.tolist() == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("window", [None, 4])
def test_flex_attention_takes_the_same_masks(window: int | None) -> None:
    """As a GPU gets them, in one graph; here in plain operations on the CPU."""
    pytest.importorskip("torch.nn.attention.flex_attention")
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 4, 16, 8, generator=generator), torch.randn(2, 2, 16, 8, generator=generator)
    documents = torch.tensor([[0] * 5 + [1] * 11, [0] * 16])

    def attended(in_blocks: bool) -> torch.Tensor:
        options = {"window": window, "document_ids": documents, "device": torch.device("cpu")}
        return attend(q, k, k, attention_mask(16, 16, in_blocks=in_blocks, **options))

    compiled = torch.compile(attended, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(True), attended(False))


@pytest.mark.parametrize("form", ["default", "all"])
def test_the_model_compiles_to_one_graph(form: str) -> None:
    model, ids = model_of(form), torch.randint(17, (2, 8))
    documents = torch.tensor([[0] * 3 + [1] * 5, [0] * 8])
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(ids), model(ids))
    torch.testing.assert_close(compiled(ids, None, documents), model(ids, None, documents))


@pytest.mark.parametrize("form", FORMS)
def test_a_cache_changes_nothing(form: str) -> None:
    model = model_of(form)
    ids = torch.randint(17, (2, 8), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[0] * 8, [-1] * 2 + [0] * 6])
    with torch.no_grad():
        for document_ids in (None, documents):
            whole, cache = model(ids, None, document_ids), model.new_cache(2)
            parts, begin = [], 0
            for end in (3, 4, 5, 8):
                seen = None if document_ids is None else document_ids[:, :end]
                parts.append(model(ids[:, begin:end], None, seen, cache))
                begin = end
            torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-4, rtol=1e-4)


def test_model_is_causal_and_takes_short_inputs() -> None:
    model = Transformer(SMALL, seed=0)
    ids = torch.tensor([[3, 1, 4, 1, 5, 9]])
    changed = ids.clone()
    changed[0, 4] = 2
    before, after = model(ids), model(changed)
    assert before.shape == (1, 6, 17)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    with pytest.raises(UserError, match="9 tokens exceed the model's context_length of 8"):
        model(torch.zeros(1, 9, dtype=torch.int64))


def test_a_cs336_shaped_models_loss_equals_numpy() -> None:
    config = replace(PRESETS["cs336"].model, vocab_size=300, n_layers=2, n_heads=4, d_model=64, d_ff=168)
    model = Transformer(replace(config, context_length=64), seed=3)
    ids = np.random.default_rng(9).integers(0, 300, (2, 65))
    with torch.no_grad():
        actual = cross_entropy(model(torch.tensor(ids[:, :-1])), torch.tensor(ids[:, 1:])).item()
    expected = numpy_loss(np.stack([NumpyModel(model).logits(row[:-1]) for row in ids]), ids[:, 1:])
    assert actual == pytest.approx(expected, abs=1e-4)


def test_a_trained_models_loss_equals_numpy() -> None:
    """Untrained logits are near zero and hide mistakes: after some steps on one batch they are not."""
    config = replace(SMALL, tie_embeddings=False)
    model, ids = Transformer(config, seed=0), np.tile(np.arange(9), (2, 1))
    recipe = TrainConfig(steps=60, batch_size=2, learning_rate=1e-2, min_learning_rate=1e-2, warmup_steps=0)
    optimizer = adamw(model, recipe)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(model(torch.tensor(ids[:, :-1])), torch.tensor(ids[:, 1:]))
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        actual = cross_entropy(model(torch.tensor(ids[:, :-1])), torch.tensor(ids[:, 1:])).item()
    assert 0 < actual < 0.3
    expected = numpy_loss(np.stack([NumpyModel(model).logits(row[:-1]) for row in ids]), ids[:, 1:])
    assert actual == pytest.approx(expected, abs=1e-4)


# --- weights, dropout, gradients


def test_weights_have_the_usual_names_and_come_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    tied, again, other = (Transformer(SMALL, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tied[name], again[name]) for name in tied)
    assert not torch.equal(tied["token_embeddings.weight"], other["token_embeddings.weight"])
    layer = {f"attn.{part}_proj.weight" for part in ("q", "k", "v", "output")}
    layer |= {"ln1.weight", "ln2.weight", "ffn.w1.weight", "ffn.w2.weight", "ffn.w3.weight"}
    expected = {f"layers.{i}.{name}" for i in range(2) for name in layer}
    assert set(tied) == expected | {"token_embeddings.weight", "ln_final.weight"}
    untied = Transformer(replace(SMALL, tie_embeddings=False), seed=1)
    assert set(untied.state_dict()) == set(tied) | {"lm_head.weight"}
    assert untied.n_parameters == Transformer(SMALL, seed=1).n_parameters + 17 * 16


def test_the_first_weights_of_the_default_form_stay_what_they_were() -> None:
    """Checkpoints and comparisons of earlier versions rest on it."""
    state = Transformer(SMALL, seed=1).state_dict()
    assert state["token_embeddings.weight"][0, :2].tolist() == pytest.approx(FIRST_WEIGHTS[:2])
    assert state["layers.1.ffn.w3.weight"][-1, -2:].tolist() == pytest.approx(FIRST_WEIGHTS[2:])


@pytest.mark.parametrize("form", FORMS)
def test_every_weight_is_set_and_used(form: str) -> None:
    model = Transformer(replace(SMALL, **FORMS[form]), seed=0)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert all(not parameter.any() for name, parameter in model.named_parameters() if name.endswith("bias"))
    ids = torch.randint(17, (4, 9))
    model = model_of(form)
    cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_as_many_as_the_formulas_say(form: str) -> None:
    config = replace(SMALL, **FORMS[form])
    model = Transformer(config, seed=0)
    assert n_parameters(config) == model.n_parameters
    looked_up = {"position_embeddings.weight"} | (set() if config.tie_embeddings else {"token_embeddings.weight"})
    matrices = {name: parameter for name, parameter in model.named_parameters() if parameter.ndim == 2}
    assert matmul_parameters(config) == sum(p.numel() for name, p in matrices.items() if name not in looked_up)


def test_dropout_is_for_training_only() -> None:
    model = Transformer(replace(SMALL, dropout=0.5), seed=0)
    ids = torch.tensor([[3, 1, 4]])
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
    torch.testing.assert_close(model(ids), Transformer(SMALL, seed=0)(ids))


def test_clipping_scales_all_gradients_together() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(3)) for _ in range(4)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    parameters[2].requires_grad_(False)
    assert clip_gradients(parameters, 10.0).item() == 5.0
    assert parameters[1].grad[1] == 4.0
    assert clip_gradients(parameters, 1.0).item() == 5.0
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.6, 0.0, 0.0]))
    assert parameters[3].grad is None


def test_adamw_equals_the_paper() -> None:
    model = Transformer(replace(SMALL, n_layers=1), seed=0)
    config = TrainConfig(steps=9, batch_size=1, learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=0)
    optimizer = adamw(model, config)
    name, weight = "layers.0.attn.q_proj.weight", model.layers[0].attn.q_proj.weight
    expected = weight.detach().double().numpy().copy()
    first, second = np.zeros_like(expected), np.zeros_like(expected)
    for step in range(1, 6):
        optimizer.zero_grad()
        ids = torch.randint(17, (2, 8), generator=torch.Generator().manual_seed(step))
        cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
        gradient = dict(model.named_parameters())[name].grad.double().numpy()
        optimizer.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.95 * second + 0.05 * gradient**2
        expected *= 1 - 1e-2 * 0.1
        expected -= 1e-2 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.95**step)) + 1e-8)
    np.testing.assert_allclose(weight.detach().numpy(), expected, atol=1e-6)


# --- CS336: its shapes and names, by adapters of a few lines


def shaped(d_model: int, n_heads: int, d_ff: int, **others: object) -> ModelConfig:
    values = {"vocab_size": 11, "n_layers": 2, "context_length": 16, "tie_embeddings": False} | others
    return ModelConfig(n_heads=n_heads, d_model=d_model, d_ff=d_ff, **values)


def run_swiglu(d_model: int, d_ff: int, w1: torch.Tensor, w2: torch.Tensor, w3: torch.Tensor, x: torch.Tensor):
    layer = FeedForward(shaped(d_model, 1, d_ff))
    layer.load_state_dict({"w1.weight": w1, "w2.weight": w2, "w3.weight": w3})
    return layer(x)


def run_attention(
    d_model: int, n_heads: int, weights: list[torch.Tensor], x: torch.Tensor, theta: float | None, positions=None
):
    layer = SelfAttention(shaped(d_model, n_heads, 4))
    layer.load_state_dict(
        dict(zip([f"{part}_proj.weight" for part in ("q", "k", "v", "output")], weights, strict=True))
    )
    rotation = None if theta is None else rotation_table(x.shape[-2], d_model // n_heads, theta)
    if rotation is not None and positions is not None:
        rotation = rotation[0][positions].unsqueeze(-3), rotation[1][positions].unsqueeze(-3)
    return layer(x, Surroundings(rotation, None))


def test_course_swiglu() -> None:
    rng = np.random.default_rng(10)
    x, w1, w2, w3 = (rng.normal(size=shape) for shape in ((2, 3, 6), (8, 6), (6, 8), (8, 6)))
    gate = x @ w1.T
    expected = (gate / (1 + np.exp(-gate)) * (x @ w3.T)) @ w2.T
    actual = run_swiglu(6, 8, *map(tensor, (w1, w2, w3, x)))
    np.testing.assert_allclose(actual.detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("theta", [None, 100.0])
def test_course_attention(theta: float | None) -> None:
    rng = np.random.default_rng(11)
    x, weights = rng.normal(size=(3, 7, 12)), [rng.normal(size=(12, 12)) / 3 for _ in range(4)]
    config = shaped(12, 3, 4, position="none" if theta is None else "rope", rope_theta=theta or 1.0)
    reference = NumpyModel(Transformer(config, seed=0))
    for part, weight in zip(("q", "k", "v", "output"), weights, strict=True):
        reference.weights[f"attn.{part}_proj.weight"] = weight
    for positions in (None, np.arange(7)[::-1].copy()):
        at = np.arange(7) if positions is None else positions
        expected = np.stack([reference.attention("attn", row, at, np.zeros(7)) for row in x])
        index = None if positions is None else torch.tensor(positions).expand(3, 7)
        actual = run_attention(12, 3, [tensor(w) for w in weights], tensor(x), theta, index)
        np.testing.assert_allclose(actual.detach().numpy(), expected, atol=1e-5)


def test_course_block_and_model_load_by_name() -> None:
    config = shaped(16, 4, 24)
    model = Transformer(config, seed=5)
    names = {f"attn.{part}_proj.weight" for part in ("q", "k", "v", "output")} | {"ln1.weight", "ln2.weight"}
    names |= {f"ffn.w{i}.weight" for i in (1, 2, 3)}
    block = Block(config)
    assert set(block.state_dict()) == names
    block.load_state_dict(model.layers[0].state_dict())
    ends = {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    assert set(model.state_dict()) == ends | {f"layers.{i}.{name}" for i in range(2) for name in names}
    x = torch.randn(2, 12, 16)
    around = Surroundings(rotation_table(12, 4, config.rope_theta), None)
    torch.testing.assert_close(block(x, around), model.layers[0](x, around))
    assert model(torch.zeros(2, 12, dtype=torch.int64)).shape == (2, 12, 11)
