"""Optimizers and schedules against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from textmill.errors import UnknownNameError, UserError  # noqa: E402
from textmill.train.config import ModelConfig, TrainConfig  # noqa: E402
from textmill.train.model import Transformer  # noqa: E402
from textmill.train.optim import (  # noqa: E402
    Muon,
    MuonAndAdamW,
    learning_rate_of,
    optimizer_of,
    orthogonalized,
    set_learning_rate,
)

SMALL = ModelConfig(vocab_size=17, n_layers=2, n_heads=2, d_model=16, d_ff=24, context_length=8)
RECIPE = TrainConfig(steps=20, batch_size=4, learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=4)


@pytest.mark.parametrize("shape", [(16, 16), (24, 16), (3, 16, 24)])
def test_newton_schulz_makes_all_singular_values_about_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalized(matrices * 1e-3)
    values = (u.mT @ found @ vh.mT).diagonal(dim1=-2, dim2=-1)
    assert s.max() / s.min() > 3  # or there is nothing to make equal
    assert values.min() > 0.6 and values.max() < 1.3
    torch.testing.assert_close(u @ torch.diag_embed(values) @ vh, found, atol=1e-4, rtol=0)


def test_orthogonalizing_nothing_gives_nothing() -> None:
    assert not orthogonalized(torch.zeros(2, 3, 4)).any()


def test_muon_leaves_what_has_no_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    Muon([weight], lr=0.5, weight_decay=0.5).step()
    assert torch.equal(weight.data, torch.ones(2, 3))


def test_muon_equals_its_definition() -> None:
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(*shape, generator=generator) for shape in ((6, 4), (4, 6), (6, 4))]
    parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
    optimizer = Muon(parameters, lr=0.05, weight_decay=0.1)
    momenta = [torch.zeros_like(weight) for weight in weights]
    for _ in range(4):
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.randn(*parameter.shape, generator=generator)
            momenta[i] = 0.95 * momenta[i] + 0.05 * parameter.grad
            ahead = 0.05 * parameter.grad + 0.95 * momenta[i]
            update = 0.2 * math.sqrt(6) * orthogonalized(ahead)
            weights[i] = weights[i] * (1 - 0.05 * 0.1) - 0.05 * update
        optimizer.step()
    for weight, parameter in zip(weights, parameters, strict=True):
        torch.testing.assert_close(parameter.data, weight, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs a torch that has Muon")
def test_muon_follows_torchs() -> None:
    """Which works in bfloat16, so no more than two digits agree."""
    weight = torch.randn(8, 12, generator=torch.Generator().manual_seed(3))
    ours, theirs = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(weight.clone())
    optimizers = (
        Muon([ours], lr=0.05, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(3):
        gradient = torch.randn(8, 12, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - weight).norm()
    assert (ours - theirs).norm() < 0.03 * moved


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest() -> None:
    model = Transformer(replace(SMALL, tie_embeddings=False), seed=0)
    model.layers[1].attn.q_proj.weight.requires_grad_(False)
    optimizer = optimizer_of(model, replace(RECIPE, optimizer="muon"))
    assert isinstance(optimizer, MuonAndAdamW)
    names = {id(weight): name for name, weight in model.named_parameters()}
    muon, decayed, kept = ({names[id(weight)] for weight in group["params"]} for group in optimizer.param_groups)
    assert len(muon) == 2 * 7 - 1 and all(name.startswith("layers.") for name in muon)
    assert decayed == {"token_embeddings.weight", "lm_head.weight"}
    assert {"ln_final.weight", "layers.0.ln1.weight"} <= kept
    assert len(muon | decayed | kept) == len(names) - 1
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [0.5, 0.5, 0.5]


def rates(config: TrainConfig) -> list[float]:
    return [learning_rate_of(step, config) for step in (0, 2, 4, 12, 16, 18, 20, 99)]


def test_schedules() -> None:
    assert rates(replace(RECIPE, schedule="linear")) == pytest.approx(
        [0.0, 5e-3, 1e-2, 5.5e-3, 3.25e-3, 2.125e-3, 1e-3, 1e-3]
    )
    assert rates(replace(RECIPE, schedule="wsd")) == pytest.approx([0.0, 5e-3, 1e-2, 1e-2, 1e-2, 5.5e-3, 1e-3, 1e-3])
    assert rates(replace(RECIPE, schedule="wsd", decay_frac=0.0))[3:] == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3])
    assert rates(replace(RECIPE, schedule="wsd", decay_frac=1.0)) == rates(replace(RECIPE, schedule="linear"))
    assert np.diff(rates(RECIPE)[2:]).max() <= 0


def test_a_recipe_that_does_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="unknown optimizer 'adam'; did you mean 'adamw'"):
        replace(RECIPE, optimizer="adam")
    with pytest.raises(UnknownNameError, match="unknown schedule"):
        replace(RECIPE, schedule="constant")
    with pytest.raises(UserError, match="decay_frac is"):
        replace(RECIPE, decay_frac=1.5)
    with pytest.raises(UserError, match="micro_batch_size is 0"):
        replace(RECIPE, micro_batch_size=0)
