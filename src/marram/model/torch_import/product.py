"""Dense layers, matrix products and attention."""
# ruff: noqa: FBT001, FBT002, PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

import math

import torch

from marram.core.operators import Add, Dense, MatMul, Mul, Softmax
from marram.model.torch_import.page import Activation, Constant, Page, Value

MASKED = -1e4
"""Added to scores that a mask forbids: their softmax is 0 in float32, and no infinity enters the Graph."""


def linear(page: Page, x: Activation, weight: Value, bias: Value | None = None) -> Value:
    """``aten::linear``."""
    if not isinstance(weight, Constant):
        product = page.add(MatMul(transpose_b=True), x, weight)
        return page.add(Add(), product, bias) if bias is not None else product
    return page.add(Dense(), x, weight, bias)


def matmul(page: Page, a: Value, b: Value) -> Value:
    """``aten::matmul``, ``mm`` and ``bmm``; a constant matrix on the right makes it a dense layer."""
    if isinstance(b, Constant) and len(b.shape) == 2 and len(a.shape) >= 2:
        return page.add(Dense(), a, Constant(name=b.name, value=b.value.t()), None)
    if len(a.shape) == 1 or len(b.shape) == 1:
        return _with_vector(page, a, b)
    return page.add(MatMul(), a, b)


def addmm(page: Page, bias: Value, a: Value, b: Value, beta: float = 1, alpha: float = 1) -> Value:
    """``aten::addmm`` and ``baddbmm``: ``bias + a @ b``."""
    if beta != 1 or alpha != 1:
        page.refuse("with beta or alpha")
    if isinstance(b, Constant) and len(b.shape) == 2 and isinstance(bias, Constant) and len(bias.shape) == 1:
        return page.add(Dense(), a, Constant(name=b.name, value=b.value.t()), bias)
    return page.add(Add(), matmul(page, a, b), bias)


def attention(
    page: Page,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """``aten::scaled_dot_product_attention``: softmax(q k' * scale + mask) v."""
    del dropout_p
    if enable_gqa:
        page.refuse("with grouped queries")
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    raw = page.add(MatMul(transpose_b=True), query, key, suffix="scores")
    scores: Value = page.add(Mul(), raw, page.number(factor), suffix="scaled")
    mask = _mask(page, attn_mask, scores.shape, causal=is_causal)
    if mask is not None:
        scores = page.add(Add(), scores, mask, suffix="masked")
    return page.add(MatMul(), page.add(Softmax(), scores, suffix="softmax"), value)


def _mask(page: Page, given: Value | None, shape: tuple[int, ...], *, causal: bool) -> Value | None:
    if causal:
        allowed = torch.ones(shape[-2:], dtype=torch.bool).tril()
        return Constant(name=f"{page.place}.mask", value=torch.zeros(shape[-2:]).masked_fill(~allowed, MASKED))
    if not isinstance(given, Constant):
        return given
    if given.value.dtype == torch.bool:
        return Constant(name=given.name, value=torch.zeros(given.shape).masked_fill(~given.value, MASKED))
    return Constant(name=given.name, value=given.value.clamp(min=MASKED))


def _with_vector(page: Page, a: Value, b: Value) -> Value:
    left = page.reshaped(a, (1, *a.shape)) if len(a.shape) == 1 else a
    right = page.reshaped(b, (*b.shape, 1)) if len(b.shape) == 1 else b
    return page.reshaped(page.add(MatMul(), left, right), page.shape)
