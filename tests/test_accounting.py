"""Accounting: formulas against models that are built, published figures, and plans on the command line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from textmill import cli
from textmill.errors import UnknownNameError
from textmill.train.accounting import (
    GPUS,
    Memory,
    Plan,
    find_gpu,
    flops_per_token,
    gpu_named,
    mfu_frac,
    n_parameters,
    optimal_tokens,
)
from textmill.train.config import PRESETS, ModelConfig

GPT2 = PRESETS["gpt2-124m"].model
SMALL = ModelConfig(vocab_size=17, n_layers=2, n_heads=4, d_model=16, d_ff=24, context_length=8)
FORMS = [{}, {"n_kv_heads": 2}, {"tie_embeddings": False}, {"activation": "silu"}]


def test_sizes_are_what_their_names_say() -> None:
    sizes = {name: n_parameters(preset.model) / 1e6 for name, preset in PRESETS.items()}
    assert sizes == pytest.approx(
        {"tiny": 1.33, "nano-25m": 41.8, "gpt2-124m": 123.6, "llama-350m": 341.9, "llama-1b": 1235.8, "cs336": 22.7},
        rel=0.01,
    )


def test_operations_equal_published_figures() -> None:
    one = ModelConfig(vocab_size=1, n_layers=1, n_heads=1, d_model=2, d_ff=1, context_length=1)
    assert flops_per_token(one) == 6 * (16 + 6 + 2) + 24
    assert flops_per_token(GPT2) == pytest.approx(0.855e9, rel=1e-3)
    assert 12 * GPT2.n_layers * GPT2.d_model * 1024 == pytest.approx(0.113e9, rel=5e-3)
    course = replace(GPT2, vocab_size=50_257, context_length=512, tie_embeddings=False)
    assert flops_per_token(course) == pytest.approx(0.798e9, rel=1e-3)
    assert flops_per_token(replace(GPT2, window=256)) == flops_per_token(replace(GPT2, context_length=256))
    assert flops_per_token(replace(GPT2, window=4096)) == flops_per_token(GPT2)


@pytest.mark.parametrize("form", FORMS)
def test_operations_are_those_that_torch_counts(form: dict[str, object]) -> None:
    """With plain matrix products for attention: fused kernels leave out what is masked."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from textmill.train.functional import cross_entropy
    from textmill.train.model import Transformer

    model, ids = Transformer(replace(SMALL, **form), seed=0), torch.zeros(2, 9, dtype=torch.int64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    assert counter.get_total_flops() == 16 * flops_per_token(model.config)


@pytest.mark.parametrize(
    ("device_name", "name"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA H800", None),
        ("AMD Instinct MI300X", None),
        ("cpu", None),
        ("", None),
    ],
)
def test_only_a_device_that_is_known_has_a_peak(device_name: str, name: str | None) -> None:
    gpu = find_gpu(device_name)
    assert (gpu and gpu.name) == name
    assert (mfu_frac(GPT2, 1e5, device_name) is None) == (name is None)


def test_every_gpu_is_found_by_its_own_name() -> None:
    assert [find_gpu(gpu.name) for gpu in GPUS] == list(GPUS)
    assert gpu_named("h100 pcie").peak_flops == 756e12
    with pytest.raises(UnknownNameError, match="did you mean 'H100'"):
        gpu_named("H10")


def test_mfu_equals_published_figures() -> None:
    assert mfu_frac(GPT2, 468e3, "NVIDIA H100 80GB HBM3") == pytest.approx(0.405, abs=1e-3)
    assert mfu_frac(GPT2, 8 * 468e3, "NVIDIA H100 80GB HBM3", n_gpus=8) == pytest.approx(0.405, abs=1e-3)


def test_time_and_tokens() -> None:
    plan, gpu = Plan(PRESETS["gpt2-124m"]), gpu_named("H200")
    assert plan.n_tokens == 38_000 * 64 * 1024
    assert optimal_tokens(GPT2) == 20 * n_parameters(GPT2)
    assert plan.seconds(gpu, 1, 0.4) == pytest.approx(plan.n_tokens * 0.855e9 / (989e12 * 0.4), rel=1e-3)
    assert plan.seconds(gpu, 4, 0.4, 10**9) == pytest.approx(0.855e18 / (4 * 989e12 * 0.4), rel=1e-3)


def test_memory_is_shared_out_by_batch_only() -> None:
    plan = Plan(PRESETS["gpt2-124m"])
    one, four = plan.memory(1), plan.memory(4)
    assert one.weights_bytes + one.gradients_bytes + one.optimizer_bytes == 18 * n_parameters(GPT2)
    assert one.activations_bytes == 4 * four.activations_bytes
    assert plan.memory(1000).activations_bytes == 12 * 1024 * (16 * 768 + 4 * 768 + 6 * 2048)
    parts = one.weights_bytes, one.gradients_bytes, one.optimizer_bytes, one.activations_bytes, one.logits_bytes
    assert one.total_bytes == sum(parts)


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_near_what_autograd_keeps(form: dict[str, object]) -> None:
    """Uncompiled it keeps more than the estimate, but not several times as much."""
    import torch

    from textmill.train.model import Transformer

    shape = replace(SMALL, d_model=64, d_ff=192, context_length=64, **form)
    model = Transformer(shape, seed=0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(saved: torch.Tensor) -> torch.Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved), torch.autocast("cpu", torch.bfloat16):
        model.hidden_states(torch.zeros(4, 64, dtype=torch.int64))
    assert 1 < sum(kept.values()) / Memory.of(shape, 4, PRESETS["tiny"].train).activations_bytes < 3


def test_logits_are_those_of_a_chunk() -> None:
    few, many = (Memory.of(GPT2, n_rows, PRESETS["gpt2-124m"].train).logits_bytes for n_rows in (1, 64))
    assert few == 1024 * GPT2.vocab_size * 10
    chunk_tokens = (1 << 28) // (4 * GPT2.vocab_size)
    gradients = 4 * GPT2.d_model * (64 * 1024 + 2 * GPT2.vocab_size)  # of the hidden states, and of the table twice
    assert many == chunk_tokens * GPT2.vocab_size * 10 + gradients


def test_memory_follows_the_recipe() -> None:
    plain = PRESETS["gpt2-124m"]

    def memory(n_gpus: int = 1, **changes: object) -> Memory:
        return Plan(plain.changed(changes)).memory(n_gpus)

    assert memory(micro_batch_size=16).activations_bytes * 4 == memory().activations_bytes
    assert memory(4, micro_batch_size=32) == memory(4)
    blocks = memory(recompute="blocks").activations_bytes
    one_block = memory().activations_bytes // 12
    assert blocks == one_block + 64 * 1024 * 12 * 4 * 768 and blocks < memory().activations_bytes / 4
    muon, n_block = memory(optimizer="muon"), 12 * 768 * (4 * 768 + 3 * 2048)
    assert memory().optimizer_bytes - muon.optimizer_bytes == 4 * n_block
    shared = memory(8, parallel="fsdp")
    assert shared.weights_bytes == memory(8, parallel="ddp").weights_bytes // 8
    assert shared.optimizer_bytes == memory().optimizer_bytes // 8


def test_a_plan_says_everything_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--plan", "--model", "llama-1b", "--gpu", "h100", "--gpus", "8", "--mfu", "0.5"]) == 0
    shown = capsys.readouterr().out
    for part in ("1.24 G", "24.6 G", "8 H100 at 50% of 989 TFLOP/s", "47,000 steps of 256 × 2,048", "14.2 hours"):
        assert part in shown
    code = "import sys; from textmill import cli; cli.main(['train', '--plan']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "--model", "llama-2b"], "did you mean 'llama-1b'"),
        (["--plan", "--gpu", "V100"], "unknown GPU 'V100'"),
        (["--plan", "--mfu", "40"], "--mfu 40.0: a share"),
        (["--plan", "--steps", "0"], "steps is 0"),
        ([], "nothing to train on"),
    ],
)
def test_a_plan_that_cannot_be_made(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert cli.main(["train", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and len(shown.err.splitlines()) == 1 and not shown.out
