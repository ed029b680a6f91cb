"""``nn.MultiheadAttention`` with the batch axis kept first.

torch's own forward turns the batch behind the time axis, after which no pass over the Graph can run many samples at once. While
a module is exported, its attention layers run the forward below instead; it computes the same.
"""
# ruff: noqa: FBT001, FBT002, PLR0917 -- parameters stand as in torch's forward

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marram.model.torch_import.product import MASKED


@contextmanager
def batch_first_attention(module: nn.Module) -> Iterator[None]:
    """Attention layers inside ``module`` that take the batch first keep it there, until the end of the block."""
    changed = [part for part in module.modules() if isinstance(part, nn.MultiheadAttention) and _is_plain(part)]
    for part in changed:
        vars(part)["forward"] = functools.partial(_forward, part)
    try:
        yield
    finally:
        for part in changed:
            del vars(part)["forward"]


def _is_plain(part: nn.MultiheadAttention) -> bool:
    return (
        type(part) is nn.MultiheadAttention
        and "forward" not in vars(part)
        and part.batch_first
        and part.in_proj_weight is not None
        and part.bias_k is None
        and not part.add_zero_attn
    )


def _forward(
    part: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    **more: Any,
) -> tuple[Tensor, Tensor | None]:
    """``(N,T,E)`` as ``MultiheadAttention.forward`` gives it."""
    mask_rank = 2 if attn_mask is None else attn_mask.dim()
    if query.dim() != 3 or key_padding_mask is not None or mask_rank != 2:
        return nn.MultiheadAttention.forward(
            part,
            query,
            key,
            value,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            average_attn_weights=average_attn_weights,
            **more,
        )
    matrices = part.in_proj_weight.chunk(3)
    biases = (None, None, None) if part.in_proj_bias is None else part.in_proj_bias.chunk(3)
    q, k, v = (
        _heads(functional.linear(x, matrix, bias), part.num_heads)
        for x, matrix, bias in zip((query, key, value), matrices, biases, strict=True)
    )
    scores = torch.matmul(q, k.transpose(2, 3)) * (1 / math.sqrt(part.head_dim))
    if attn_mask is not None:
        scores = scores + _additive(attn_mask)
    chances = torch.softmax(scores, dim=-1)
    mixed = torch.matmul(chances, v).transpose(1, 2).flatten(2)
    seen = None if not need_weights else chances.mean(dim=1) if average_attn_weights else chances
    return part.out_proj(mixed), seen


def _heads(x: Tensor, heads: int) -> Tensor:
    """``(N,T,E)`` to ``(N,heads,T,E/heads)``."""
    return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)


def _additive(mask: Tensor) -> Tensor:
    """A mask to add to scores; True in a boolean one forbids."""
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape).masked_fill(mask, MASKED)
    return mask.clamp(min=MASKED)
