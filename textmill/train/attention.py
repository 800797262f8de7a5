"""Attention: which tokens see which, the product itself, and the keys and values that generation keeps.

Without a mask attention is causal and runs in torch's fused kernels. A sliding window, documents that must not see each
other, or a cache need a mask. On the CPU it is a matrix of booleans, true where a query attends to a key, of T² bytes
for each row of the batch; on a GPU FlexAttention (Dong et al. 2024) skips the blocks in which nothing is attended to.

Grouped queries: n_heads / kv_heads neighbouring heads share one head of keys and values (Ainslie et al. 2023).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's usual name

HAS_FLEX = importlib.util.find_spec("torch.nn.attention.flex_attention") is not None
Mask = Any  # booleans that broadcast to [B, heads, queries, keys]; FlexAttention's BlockMask; or None: causal


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, dropout: float = 0.0) -> Tensor:
    """``softmax(q kᵀ / sqrt(d_k)) v`` for ``q`` [..., Q, d_k], ``k`` [..., K, d_k] and ``v`` [..., K, d_v].

    ``mask`` (booleans that broadcast to [..., Q, K]) is true where a query attends to a key; without one all do.
    ``dropout`` is the share of attention that is dropped.
    """
    return _dot_product(q, k, v, mask, False, dropout)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, dropout: float = 0.0) -> Tensor:
    """`attention` of heads [B, heads, T, d_head] under what `attention_mask` gave; there may be fewer k and v heads."""
    if mask is None or isinstance(mask, Tensor):
        return _dot_product(q, k, v, mask, mask is None, dropout)
    return _flex()(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def _dot_product(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> Tensor:
    grouped = q.ndim == 4 and q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, enable_gqa=grouped)


def attention_mask(
    n_queries: int,
    n_keys: int,
    *,
    window: int | None,
    document_ids: Tensor | None,
    device: torch.device,
    in_blocks: bool = False,
) -> Mask:
    """What the last ``n_queries`` of ``n_keys`` tokens attend to: themselves and what precedes them.

    At most ``window`` tokens, and only tokens with the same of ``document_ids`` [B, n_keys]. ``in_blocks`` makes it a
    mask for FlexAttention, which takes no dropout and as many queries as keys.
    """
    if window is not None and n_keys <= window:
        window = None
    if n_queries == n_keys and window is None and document_ids is None:
        return None
    if in_blocks:
        return _block_mask(n_keys, window, document_ids, device)
    keys = torch.arange(n_keys, device=device)
    queries = keys[n_keys - n_queries :, None]
    mask = _sees(queries, keys, window)
    if document_ids is None:
        return mask
    same = document_ids[:, n_keys - n_queries :, None] == document_ids[:, None, :]
    return (mask & same)[:, None]


class LayerCache:
    """The keys and values of the tokens that a layer has seen, in memory for ``n_slots`` of them.

    A cache of a model is a list of these, one a layer; each `extend` moves them on.
    """

    def __init__(self, n_rows: int, n_heads: int, n_slots: int, d_head: int, like: Tensor) -> None:
        self.keys, self.values = like.new_empty(2, n_rows, n_heads, n_slots, d_head)
        self.n_tokens = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the keys and values of the next tokens [B, heads, T, d_head]; gives those of all tokens so far."""
        begin, self.n_tokens = self.n_tokens, self.n_tokens + keys.shape[2]
        self.keys[:, :, begin : self.n_tokens] = keys
        self.values[:, :, begin : self.n_tokens] = values
        return self.keys[:, :, : self.n_tokens], self.values[:, :, : self.n_tokens]


def _sees(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    causal = key <= query
    return causal if window is None else causal & (key > query - window)


def has_flex(device: torch.device) -> bool:
    """Whether FlexAttention is to be had there."""
    return device.type == "cuda" and HAS_FLEX


def _block_mask(n_tokens: int, window: int | None, document_ids: Tensor | None, device: torch.device) -> Mask:
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = _sees(query, key, window)
        return seen if document_ids is None else seen & (document_ids[row, query] == document_ids[row, key])

    n_rows = None if document_ids is None else len(document_ids)
    return create_block_mask(sees, n_rows, None, n_tokens, n_tokens, device=device)


def _flex() -> Callable[..., Tensor]:
    """FlexAttention, which must be compiled, by itself or with the model: else it would hold all scores."""
    if not torch.compiler.is_compiling():
        return _compiled_flex()
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)
