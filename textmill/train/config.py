"""What to train and how: the shape of the model, the recipe, and named presets of both.

Importing this module does not import torch, so the command line can list presets and check values without it.
Everything is counted in steps, never in seconds, so that a run can be repeated. The recipe's defaults (AdamW with
betas 0.9 and 0.95, weight decay 0.1, gradient norm clipped at 1, cosine to a tenth) are those of GPT-3, appendix B.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from textmill.errors import MissingExtraError, UnknownNameError, UserError
from textmill.settings import Parameter, parameters

DEVICES = ("auto", "cpu", "cuda", "mps")
DOCUMENTS = ("across", "masked", "packed")  # see `TrainConfig.documents`
PARALLEL = ("none", "ddp", "fsdp")
RECOMPUTE = ("none", "blocks")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune-no-cudagraphs")
DTYPES = ("auto", "float32", "bfloat16")
NORMS = ("rmsnorm", "layernorm", "none")
NORM_POSITIONS = ("pre", "post")
POSITIONS = ("rope", "sinusoidal", "learned", "none")
GATED = ("swiglu",)  # a third matrix gates the activation
ACTIVATIONS = (*GATED, "silu", "gelu", "relu", "relu2")
OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "wsd", "linear")
MOST_THREADS = 1 << 12  # more than a machine has cores; a process cannot start as many as it likes


def require_torch() -> None:
    """Call before importing any other module of this package. Errors: `MissingExtraError` when torch is missing."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "train")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a decoder-only Transformer. Errors: `UserError` for a shape that cannot be built."""

    vocab_size: int  # ids 0 to vocab_size - 1; may exceed the tokenizer's, for instance to be a multiple of 128
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int
    context_length: int  # tokens
    rope_theta: float = 10_000.0  # Su et al. 2021, section 3.3
    norm_eps: float = 1e-5
    tie_embeddings: bool = True  # the output layer is the embedding table
    n_kv_heads: int | None = None  # each is shared by as many query heads (Ainslie et al. 2023); None: not shared
    norm: str = "rmsnorm"
    norm_position: str = "pre"  # before each layer and at the end; or post: after each residual sum
    position: str = "rope"
    activation: str = "swiglu"
    qk_norm: bool = False  # RMSNorm of each head's queries and keys, before they are turned
    window: int | None = None  # tokens that a token attends to, itself included; None: all before it
    dropout: float = 0.0  # of embeddings, attention, and what layers add
    logit_cap: float | None = None  # logits are bent to stay within it: cap · tanh(logits / cap)
    bias: bool = False  # of the layers' matrices and of layernorm

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_layers", "n_heads", "d_model", "d_ff", "context_length"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("rope_theta", "norm_eps", "window", "logit_cap"):
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, f"{name} is {value}; it must be above 0, and finite")
        _require(0 <= self.dropout < 1, f"dropout is {self.dropout}; it must be in [0, 1)")
        for name, valid in CHOICES.items():
            if getattr(self, name) not in valid:
                raise UnknownNameError(name, getattr(self, name), valid)
        self._require_heads()

    def _require_heads(self) -> None:
        multiple = self.n_heads * (2 if self.position == "rope" else 1)
        width = "an even width (RoPE turns pairs)" if self.position == "rope" else "equal width"
        _require(
            self.d_model % multiple == 0,
            f"d_model {self.d_model} does not split into {self.n_heads} heads of {width}; "
            f"make d_model a multiple of {multiple}, or change n_heads",
        )
        _require(
            self.kv_heads >= 1 and self.n_heads % self.kv_heads == 0,
            f"{self.n_heads} heads cannot share {self.kv_heads} heads of keys and values evenly; "
            "make n_kv_heads a divisor of n_heads",
        )

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def is_gated(self) -> bool:
        return self.activation in GATED


CHOICES = {"norm": NORMS, "norm_position": NORM_POSITIONS, "position": POSITIONS, "activation": ACTIVATIONS}


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of a run. Errors: `UserError` for a value out of range."""

    steps: int
    batch_size: int  # sequences of context_length tokens
    learning_rate: float
    min_learning_rate: float
    warmup_steps: int
    batch_warmup_steps: int = 0  # in which batches grow evenly to batch_size
    micro_batch_size: int | None = None  # sequences at once; gradients of a batch's parts are summed up. None: all
    optimizer: str = "adamw"  # or muon: for the blocks' matrices, with AdamW for the rest, at the same learning rate
    schedule: str = "cosine"  # after the warm-up: cosine; linear; or wsd: level, then linear at the end
    decay_frac: float = 0.2  # of the steps, at the end: wsd's decay
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    grad_clip: float = 1.0  # the largest norm of all gradients together
    eval_every: int = 100  # steps; the last step is always evaluated
    eval_batches: int = 8
    checkpoint_every: int = 500  # steps; the last step is always kept
    seed: int = 0
    device: str = "auto"  # cuda where there is one, else mps (Apple's GPU), else cpu
    dtype: str = "auto"  # of the matrix products: bfloat16 on cuda, float32 elsewhere; weights are always float32
    documents: str = "across"  # attention: across those of the stream, within them (masked), or rows of whole ones
    recompute: str = "none"  # blocks: backward passes compute each anew; a third more work, far fewer activations kept
    compile: bool | None = None  # by torch.compile; None: on a GPU
    compile_mode: str = "default"  # reduce-overhead: by CUDA graphs, for small models; max-autotune: tried out
    joins_products: bool = False  # queries, keys and values are one product, and so are w1 and w3: fewer, larger ones
    log_every: int | None = None  # steps between looks at the loss, for which a GPU waits; None: 10 there, 1 on a CPU
    spike_z: float = 6.0  # standard deviations above late steps, from which a loss or gradient norm is a spike
    skip_spikes: bool = False  # steps that are spikes change no weights
    parallel: str = "none"  # ddp: among torchrun's processes, each with all weights; fsdp: each with its part of them
    n_threads: int | None = None  # CPU threads of torch, for the whole process; None leaves them as they are

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "eval_batches", "checkpoint_every"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("warmup_steps", "batch_warmup_steps", "weight_decay", "seed"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, f"{name} is {value}; it must be at least 0, and finite")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name)}; it must be in [0, 1)")
        for name in ("grad_clip", "spike_z"):
            _require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; it must be above 0")
        _require(
            0 <= self.min_learning_rate <= self.learning_rate < math.inf and self.learning_rate > 0,
            f"learning_rate {self.learning_rate} and min_learning_rate {self.min_learning_rate} do not fit; "
            "the first must be above 0, the second between 0 and the first",
        )
        for name in ("warmup_steps", "batch_warmup_steps"):
            _require(
                getattr(self, name) <= self.steps,
                f"{name} is {getattr(self, name)}, but the run has {self.steps} steps; lower {name}",
            )
        _require(self.seed < 1 << 64, f"seed is {self.seed}; it must be below 2 to the 64, as torch wants it")
        _require(0 <= self.decay_frac <= 1, f"decay_frac is {self.decay_frac}; it must be in [0, 1]")
        for name in ("n_threads", "micro_batch_size", "log_every"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} is {value}; use at least 1")
        _require((self.n_threads or 1) <= MOST_THREADS, f"n_threads is {self.n_threads}; use at most {MOST_THREADS}")
        for name, valid in RECIPE_CHOICES.items():
            if getattr(self, name) not in valid:
                raise UnknownNameError(name, getattr(self, name), valid)


RECIPE_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "documents": DOCUMENTS,
    "parallel": PARALLEL,
    "recompute": RECOMPUTE,
    "compile_mode": COMPILE_MODES,
    "device": DEVICES,
    "dtype": DTYPES,
}


@dataclass(frozen=True)
class Preset:
    """A model and a recipe that suit each other. ``dataclasses.replace`` adapts either."""

    model: ModelConfig
    train: TrainConfig

    def sized(self, *, vocab_size: int, steps: int) -> Preset:
        """The preset for a vocabulary and a number of steps. Errors: `UserError` for a value out of range."""
        train = replace(self.train, steps=steps, warmup_steps=min(self.train.warmup_steps, max(0, steps)))
        return Preset(replace(self.model, vocab_size=vocab_size), train)

    def changed(self, values: Mapping[str, Any]) -> Preset:
        """The preset with other values of the `recipe_fields`. A learning rate alone keeps its share at the end.

        Errors: `UserError` for a value out of range.
        """
        own = {field.name for field in fields(ModelConfig)}
        model = {name: value for name, value in values.items() if name in own}
        train = {name: value for name, value in values.items() if name not in own}
        if "learning_rate" in train:
            share = self.train.min_learning_rate / self.train.learning_rate
            train.setdefault("min_learning_rate", share * train["learning_rate"])
        return Preset(replace(self.model, **model), replace(self.train, **train))


def recipe_fields() -> dict[str, Parameter]:
    """All that can be set of a model and its training, by name."""
    return {**parameters(ModelConfig), **parameters(TrainConfig)}


PRESETS: dict[str, Preset] = {
    # About a minute on two CPU cores.
    "tiny": Preset(
        ModelConfig(vocab_size=4096, n_layers=4, n_heads=4, d_model=128, d_ff=352, context_length=128),
        TrainConfig(
            steps=400, batch_size=8, checkpoint_every=100, learning_rate=3e-3, min_learning_rate=3e-4, warmup_steps=40
        ),
    ),
    # 25 M weights in the blocks and 200 M tokens: a size for comparing data sets on one GPU.
    "nano-25m": Preset(
        ModelConfig(vocab_size=32_768, n_layers=8, n_heads=4, d_model=512, d_ff=1344, context_length=1024),
        TrainConfig(steps=3_052, batch_size=64, learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=150),
    ),
    # The size of GPT-2 small; 2.5 B tokens, 20 a weight (Hoffmann et al. 2022). Heads are 128 wide, for GPUs.
    "gpt2-124m": Preset(
        ModelConfig(vocab_size=50_304, n_layers=12, n_heads=6, d_model=768, d_ff=2048, context_length=1024),
        TrainConfig(steps=38_000, batch_size=64, learning_rate=6e-4, min_learning_rate=6e-5, warmup_steps=700),
    ),
    # Llama's blocks at the size of GPT-2 medium; 6.8 B tokens.
    "llama-350m": Preset(
        ModelConfig(vocab_size=32_768, n_layers=24, n_heads=8, d_model=1024, d_ff=2816, context_length=2048),
        TrainConfig(steps=26_000, batch_size=128, learning_rate=6e-4, min_learning_rate=6e-5, warmup_steps=700),
    ),
    # The shape of Llama 3.2 1B; 25 B tokens.
    "llama-1b": Preset(
        ModelConfig(
            vocab_size=128_256,
            n_layers=16,
            n_heads=32,
            n_kv_heads=8,
            d_model=2048,
            d_ff=8192,
            context_length=2048,
            rope_theta=500_000.0,
        ),
        TrainConfig(steps=47_000, batch_size=256, learning_rate=4e-4, min_learning_rate=4e-5, warmup_steps=1_000),
    ),
    # Stanford's CS336, the model for TinyStories: 327,680,000 tokens.
    "cs336": Preset(
        ModelConfig(
            vocab_size=10_000,
            n_layers=4,
            n_heads=16,
            d_model=512,
            d_ff=1344,
            context_length=256,
            tie_embeddings=False,
        ),
        TrainConfig(steps=10_000, batch_size=128, learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=500),
    ),
}


def preset(name: str) -> Preset:
    """The preset called ``name``. Errors: `UnknownNameError`."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]
