"""What training costs, by formula and before it starts: parameters, floating-point operations, memory, days.

Operations a token, forward and backward: ``6 · N + 12 · L · d · T`` (PaLM, Chowdhery et al. 2022, appendix B). N counts
every weight that takes part in a matrix product: the output layer too, the embedding table only where it is that. T is
the whole context, or the window where that is shorter: half of causal attention is zeros, but they count. What is
computed twice to save memory does not count. llm.c counts half of the second term, so its shares are lower.

A GPU that is not in the list has no peak and no MFU, rather than a wrong one. Nothing here imports torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from textmill.errors import UnknownNameError
from textmill.train.config import ModelConfig, Preset, TrainConfig

TOKENS_PER_PARAMETER = 20  # where loss is least for its operations: Hoffmann et al. 2022, about
FLOAT32_BYTES, BFLOAT16_BYTES = 4, 2
LOGITS_CHUNK_BYTES = 1 << 28  # of float32 logits at once; below that the plain way is taken


@dataclass(frozen=True)
class Gpu:
    """What a maker's data sheet says of a GPU."""

    name: str
    peak_flops: float  # a second: dense matrix products in bfloat16, summed in float32
    memory_bytes: float


GPUS = (
    Gpu("B200", 2250e12, 180e9),
    Gpu("GH200", 989e12, 96e9),
    Gpu("H200", 989e12, 141e9),
    Gpu("H200 NVL", 835e12, 141e9),
    Gpu("H100", 989e12, 80e9),
    Gpu("H100 NVL", 835e12, 94e9),
    Gpu("H100 PCIe", 756e12, 80e9),
    Gpu("A100", 312e12, 80e9),
    Gpu("A100 PCIe", 312e12, 80e9),
    Gpu("L40S", 362e12, 48e9),
    Gpu("RTX 4090", 165e12, 24e9),
    Gpu("RTX 3090", 71e12, 24e9),
)
# Words in a device's name that say nothing of its peak, such as NVIDIA H100 80GB HBM3. Any other word (MIG, Laptop, D)
# makes it another device.
NEUTRAL = re.compile(r"nvidia|geforce|sxm\d?|hbm\d?e?|\d+gb")


def find_gpu(device_name: str) -> Gpu | None:
    """The GPU that a driver calls ``device_name``, if its peak is known."""
    words = _words(device_name)
    return next((gpu for gpu in GPUS if _words(gpu.name) == words), None)


def gpu_named(name: str) -> Gpu:
    """`find_gpu` for a name that a person gave. Errors: `UnknownNameError`."""
    gpu = find_gpu(name)
    if gpu is None:
        raise UnknownNameError("GPU", name, (gpu.name for gpu in GPUS))
    return gpu


def _words(name: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]+", name.lower()) if not NEUTRAL.fullmatch(word)}


def matmul_parameters(config: ModelConfig) -> int:
    """Weights that take part in matrix products."""
    return _block_matrices(config) + config.vocab_size * config.d_model


def _block_matrices(config: ModelConfig) -> int:
    d_kv = config.kv_heads * config.d_head
    attention = 2 * config.d_model * (config.d_model + d_kv)
    feed_forward = (3 if config.is_gated else 2) * config.d_model * config.d_ff
    return config.n_layers * (attention + feed_forward)


def n_parameters(config: ModelConfig) -> int:
    """All weights; a tied table counts once."""
    d_kv = config.kv_heads * config.d_head
    norm = {"rmsnorm": 1, "layernorm": 2 if config.bias else 1, "none": 0}[config.norm] * config.d_model
    layer = 2 * norm + (2 * config.d_head if config.qk_norm else 0)
    if config.bias:
        layer += 2 * (config.d_model + d_kv) + (2 if config.is_gated else 1) * config.d_ff + config.d_model
    tables = 0 if config.tie_embeddings else config.vocab_size * config.d_model
    tables += config.context_length * config.d_model if config.position == "learned" else 0
    final_norm = norm if config.norm_position == "pre" else 0
    return matmul_parameters(config) + config.n_layers * layer + tables + final_norm


def flops_per_token(config: ModelConfig) -> int:
    """Floating-point operations to train on a token of a full context."""
    seen = min(config.context_length, config.window or config.context_length)
    return 6 * matmul_parameters(config) + 12 * config.n_layers * config.d_model * seen


def mfu_frac(config: ModelConfig, tokens_per_s: float, device_name: str, n_gpus: int = 1) -> float | None:
    """The share of the GPUs' peak that training at ``tokens_per_s`` (all GPUs together) uses; None for an unknown GPU.

    More than the hardware does: operations are counted by `flops_per_token`.
    """
    gpu = find_gpu(device_name)
    return None if gpu is None else tokens_per_s * flops_per_token(config) / (gpu.peak_flops * n_gpus)


def optimal_tokens(config: ModelConfig) -> int:
    """Tokens from which a model of this size learns most for its operations."""
    return TOKENS_PER_PARAMETER * n_parameters(config)


@dataclass(frozen=True)
class Memory:
    """What one GPU holds, in bytes. An estimate."""

    weights_bytes: int  # float32, and a copy for products in bfloat16
    gradients_bytes: int
    optimizer_bytes: int  # two moments; with Muon one of the blocks' matrices
    activations_bytes: int  # kept for the backward pass: tensors that a compiled model cannot do without
    logits_bytes: int  # bfloat16, float32, and the gradient of the latter, of a chunk; and the gradients of its inputs

    @property
    def total_bytes(self) -> int:
        parts = self.weights_bytes, self.gradients_bytes, self.optimizer_bytes
        return sum(parts) + self.activations_bytes + self.logits_bytes

    @classmethod
    def of(cls, config: ModelConfig, n_rows: int, recipe: TrainConfig, n_gpus: int = 1) -> Memory:
        """For ``n_rows`` sequences at once on each of ``n_gpus``."""
        n, n_tokens = n_parameters(config), n_rows * config.context_length
        n_moments = 2 * n - (_block_matrices(config) if recipe.optimizer == "muon" else 0)
        n_shares = n_gpus if recipe.parallel == "fsdp" else 1
        kept = config.n_layers * _layer_bytes(config)
        if recipe.recompute == "blocks":  # what goes into each, and what is in one of them
            kept = config.n_layers * FLOAT32_BYTES * config.d_model + _layer_bytes(config)
        return cls(
            weights_bytes=(FLOAT32_BYTES + BFLOAT16_BYTES) * n // n_shares,
            gradients_bytes=FLOAT32_BYTES * n // n_shares,
            optimizer_bytes=FLOAT32_BYTES * n_moments // n_shares,
            activations_bytes=n_tokens * kept,
            logits_bytes=_logits_bytes(config, n_tokens),
        )


def _logits_bytes(config: ModelConfig, n_tokens: int) -> int:
    """What the loss of as many tokens takes; it goes chunk by chunk where there are many (`textmill.train.loss`)."""
    at_once = min(n_tokens, max(1, LOGITS_CHUNK_BYTES // (FLOAT32_BYTES * config.vocab_size)))
    logits = at_once * config.vocab_size * (BFLOAT16_BYTES + 2 * FLOAT32_BYTES)
    if at_once == n_tokens:
        return logits
    return logits + FLOAT32_BYTES * config.d_model * (n_tokens + 2 * config.vocab_size)  # the head's: a sum, and a term


def _layer_bytes(config: ModelConfig) -> int:
    """Of a token in a layer: the residual stream twice, in float32, and all that products take, in bfloat16."""
    d_kv = config.kv_heads * config.d_head
    heads = 2 * config.d_model + 2 * d_kv  # queries, keys, values, and what attention gives
    hidden = (3 if config.is_gated else 2) * config.d_ff
    return FLOAT32_BYTES * 2 * config.d_model + BFLOAT16_BYTES * (2 * config.d_model + heads + hidden)


@dataclass(frozen=True)
class Plan:
    """What a preset's run takes."""

    preset: Preset

    @property
    def n_tokens(self) -> int:
        return self.preset.train.steps * self.preset.train.batch_size * self.preset.model.context_length

    @property
    def flops(self) -> int:
        return self.n_tokens * flops_per_token(self.preset.model)

    def rows_at_once(self, n_gpus: int) -> int:
        """Sequences on each of ``n_gpus`` that share out the batch."""
        rows = -(-self.preset.train.batch_size // n_gpus)
        return min(rows, self.preset.train.micro_batch_size or rows)

    def memory(self, n_gpus: int) -> Memory:
        """Of each of ``n_gpus``."""
        return Memory.of(self.preset.model, self.rows_at_once(n_gpus), self.preset.train, n_gpus)

    def seconds(self, gpu: Gpu, n_gpus: int, mfu_frac: float, n_tokens: int | None = None) -> float:
        """To train on ``n_tokens`` (by default those of the preset), if ``mfu_frac`` of the GPUs' peak is reached."""
        flops = flops_per_token(self.preset.model) * (self.n_tokens if n_tokens is None else n_tokens)
        return flops / (gpu.peak_flops * n_gpus * mfu_frac)
