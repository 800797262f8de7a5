"""Models in Hugging Face's layout for Llama: ``model.safetensors``, ``config.json`` and the tokenizer, and back.

The weights are the same but for their names and one order: Llama's files expect RoPE to turn the pairs (i, i + d/2) of
a head, ours are (2i, 2i + 1), so the rows of queries and keys change places within each head. A model that is no Llama
(another norm, activation or position, QK-norm, a window, a cap) is refused, and so is a file that is no plain Llama.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from textmill import storage
from textmill.errors import InputError, UnknownNameError, UserError
from textmill.tokenize import Tokenizer
from textmill.tokenize.files.definition import END_OF_TEXT
from textmill.train import safetensors_file
from textmill.train.config import ModelConfig
from textmill.train.model import Transformer

WEIGHTS_FILE, INDEX_FILE, CONFIG_FILE = "model.safetensors", "model.safetensors.index.json", "config.json"
LLAMA = {
    "norm": "rmsnorm",
    "norm_position": "pre",
    "position": "rope",
    "activation": "swiglu",
    "qk_norm": False,
    "window": None,
    "logit_cap": None,
}
# Ours, and Llama's: shapes, whole names, and names within a layer.
SHAPE = {
    "vocab_size": "vocab_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "context_length": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
    "tie_embeddings": "tie_word_embeddings",
}
# Where a file has none.
DEFAULTS = {"tie_word_embeddings": False, "rms_norm_eps": 1e-6, "max_position_embeddings": 2048}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ENDS = {"token_embeddings": "model.embed_tokens", "ln_final": "model.norm", "lm_head": "lm_head"}
LAYER = {
    "ln1": "input_layernorm",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "ln2": "post_attention_layernorm",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
}
ROTATED = ("attn.q_proj", "attn.k_proj")
COMPUTED = "rotary_emb.inv_freq"  # in files of old versions


def export_llama(model: Transformer, tokenizer: Tokenizer | None, out: str, dtype: str = "float32") -> None:
    """Writes ``model`` (weights in one of the `DTYPES`) and its tokenizer to the new folder ``out``, all or none.

    Errors: `UserError` for a model that is no Llama; `UnknownNameError` for the type; `InputError` for a tokenizer that
    Hugging Face cannot express; `WorkspaceError` for ``out``.
    """
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    config = format_config(model.config) | {"dtype": dtype, **_end_of_text(tokenizer)}
    weights = to_llama(model.state_dict(), model.config)
    tensors = {name: weight.to(DTYPES[dtype]) for name, weight in weights.items()}
    with storage.whole_folder(out) as folder:
        safetensors_file.write(tensors, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(storage.to_json(config), encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save(folder, "hf")


def load_llama(folder: Path) -> Transformer:
    """The model in ``folder``, in float32. Errors: `InputError` for files that are missing, damaged, or no Llama."""
    config = parse_config(_read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        tensors |= safetensors_file.read(path)
    if config.tie_embeddings:
        tensors.pop("lm_head.weight", None)
    model = Transformer(config, seed=0)
    expected = {name: tuple(tensor.shape) for name, tensor in to_llama(model.state_dict(), config).items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith(COMPUTED)}
    if wrong := sorted(name for name in expected | found if expected.get(name) != found.get(name)):
        raise InputError(
            f"{folder}: {len(wrong)} tensors are not those of its {CONFIG_FILE}; the first is {wrong[0]}: "
            f"{found.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'none')}"
        )
    model.load_state_dict(from_llama(tensors, model.state_dict(), config))
    return model


def format_config(config: ModelConfig) -> dict[str, Any]:
    """What ``config.json`` says of a model. Errors: `UserError` for one that is no Llama."""
    if others := [f"{name} {getattr(config, name)}" for name, value in LLAMA.items() if getattr(config, name) != value]:
        raise UserError(f"Llama's layout cannot hold this model: no Llama has {', '.join(others)}")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{theirs: getattr(config, ours) for ours, theirs in SHAPE.items()},
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
        "rope_theta": config.rope_theta,  # transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # transformers 5
    }


def parse_config(content: Mapping[str, Any], name: str) -> ModelConfig:
    """The model that the ``config.json`` called ``name`` describes. Errors: `InputError` for one that is no Llama."""
    try:
        config, rope = _shape_of(DEFAULTS | dict(content)), _rope_of(content)
        plain = {
            "model_type": (content["model_type"], "llama"),
            "hidden_act": (content.get("hidden_act", "silu"), "silu"),
            "rope_type": (rope.get("rope_type", rope.get("type", "default")), "default"),
            "head_dim": (content.get("head_dim") or config.d_head, config.d_head),
            "mlp_bias": (content.get("mlp_bias", False), config.bias),
        }
    except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        raise InputError(f"{name}: not the configuration of a Llama ({error})") from error
    if odd := [f"{key} is {found}" for key, (found, wanted) in plain.items() if found != wanted]:
        raise InputError(f"{name}: a model that textmill cannot run: its {', '.join(odd)}")
    return config


def _shape_of(content: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        **{ours: content[theirs] for ours, theirs in SHAPE.items() if theirs in content},
        rope_theta=float(_rope_of(content).get("rope_theta", content.get("rope_theta", 10_000.0))),
        bias=content.get("attention_bias", False),
    )


def _rope_of(content: Mapping[str, Any]) -> dict[str, Any]:
    return content.get("rope_parameters") or content.get("rope_scaling") or {}


def to_llama(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our weights as Llama's."""
    half = config.d_head // 2
    return {_their_name(name): _swap(tensor, half, 2) if _turns(name) else tensor for name, tensor in weights.items()}


def from_llama(weights: Mapping[str, Tensor], names: Iterable[str], config: ModelConfig) -> dict[str, Tensor]:
    """Llama's weights as ours, which are called ``names``."""
    half, theirs = config.d_head // 2, {name: weights[_their_name(name)] for name in names}
    return {name: _swap(tensor, 2, half) if _turns(name) else tensor for name, tensor in theirs.items()}


def _swap(tensor: Tensor, outer: int, inner: int) -> Tensor:
    """The rows of each head ([outer, inner] of them) in the order [inner, outer]."""
    return tensor.view(-1, outer, inner, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _turns(name: str) -> bool:
    return name.endswith(tuple(f"{rotated}.{part}" for rotated in ROTATED for part in ("weight", "bias")))


def _their_name(name: str) -> str:
    module, _, part = name.rpartition(".")
    if module in ENDS:
        return f"{ENDS[module]}.{part}"
    _, number, inside = module.split(".", 2)
    return f"model.layers.{number}.{LAYER[inside]}.{part}"


def _end_of_text(tokenizer: Tokenizer | None) -> dict[str, int]:
    """A document begins after the end of another, so both are the same token."""
    token_id = None if tokenizer is None else tokenizer.definition.special_tokens.get(END_OF_TEXT)
    return {} if token_id is None else {"bos_token_id": token_id, "eos_token_id": token_id}


def _weight_files(folder: Path) -> list[Path]:
    """One file, or those that the index of several names."""
    if not (folder / INDEX_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    try:
        names = set(_read_json(folder / INDEX_FILE)["weight_map"].values())
        return [folder / Path(name).name for name in sorted(names)]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{folder / INDEX_FILE}: not an index of safetensors files") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON, or cut short; copy it again") from error
