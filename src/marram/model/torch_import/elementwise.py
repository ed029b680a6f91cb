"""Sums, differences, products and functions of each element."""

from __future__ import annotations

from typing import Any

import torch

from marram.core.operators import (
    Add,
    Gelu,
    HardSwish,
    LeakyRelu,
    Mul,
    Operator,
    Relu,
    Relu6,
    Sigmoid,
    Sub,
    Tanh,
)
from marram.model.torch_import.page import Activation, Constant, Page, Value

Operand = Value | float | int


def add(page: Page, a: Operand, b: Operand, alpha: float = 1) -> Value:
    """``aten::add``: ``a + alpha * b``."""
    return page.add(Add(), _value(page, a), _scaled(page, b, alpha))


def sub(page: Page, a: Operand, b: Operand, alpha: float = 1) -> Value:
    """``aten::sub``: ``a - alpha * b``."""
    return page.add(Sub(), _value(page, a), _scaled(page, b, alpha))


def rsub(page: Page, a: Operand, b: Operand, alpha: float = 1) -> Value:
    """``aten::rsub``: ``b - alpha * a``."""
    return sub(page, b, a, alpha)


def mul(page: Page, a: Operand, b: Operand) -> Value:
    """``aten::mul``."""
    return page.add(Mul(), _value(page, a), _value(page, b))


def div(page: Page, a: Operand, b: Operand, rounding_mode: str | None = None) -> Value:
    """``aten::div`` by what is constant."""
    if rounding_mode is not None:
        page.refuse("with rounding")
    if isinstance(b, Activation):
        page.refuse("by a computed tensor")
    inverse = Constant(name=b.name, value=1 / b.value) if isinstance(b, Constant) else page.number(1 / b)
    return page.add(Mul(), _value(page, a), inverse)


def neg(page: Page, x: Activation) -> Value:
    """``aten::neg``."""
    return page.add(Mul(), x, page.number(-1))


def power(page: Page, x: Activation, exponent: Any) -> Value:
    """``aten::pow`` with exponent 2, and ``square``."""
    if exponent != 2:
        page.refuse(f"with exponent {exponent}")
    return page.add(Mul(), x, x)


def square(page: Page, x: Activation) -> Value:
    """``aten::square``."""
    return page.add(Mul(), x, x)


def relu(page: Page, x: Activation) -> Value:
    """``aten::relu``."""
    return page.add(Relu(), x)


def relu6(page: Page, x: Activation) -> Value:
    """``aten::relu6``."""
    return page.add(Relu6(), x)


def clamp(page: Page, x: Activation, low: float | None = None, high: float | None = None) -> Value:
    """``aten::clamp`` and ``hardtanh`` to the ranges that the Graph has: from 0, 0 to 6, -1 to 1."""
    operators: dict[tuple[Any, Any], Operator] = {(0, None): Relu(), (0, 6): Relu6()}
    if (low, high) in operators:
        return page.add(operators[low, high], x)
    if (low, high) == (-1, 1):
        return page.add(Add(activation="relu_n1_to_1"), x, page.number(0))
    return page.refuse(f"to {low} .. {high}")


def clamp_min(page: Page, x: Activation, low: float) -> Value:
    """``aten::clamp_min`` at 0."""
    return clamp(page, x, low)


def hardtanh(page: Page, x: Activation, low: float = -1, high: float = 1) -> Value:
    """``aten::hardtanh``; torch writes ReLU6 so."""
    return clamp(page, x, low, high)


def leaky_relu(page: Page, x: Activation, negative_slope: float = 0.01) -> Value:
    """``aten::leaky_relu``."""
    return page.add(LeakyRelu(alpha=float(negative_slope)), x)


def prelu(page: Page, x: Activation, weight: Value) -> Value:
    """``aten::prelu`` with one slope."""
    if not isinstance(weight, Constant) or weight.value.numel() != 1:
        page.refuse("with a slope for each channel")
    return leaky_relu(page, x, float(weight.value.reshape(()).item()))


def hardswish(page: Page, x: Activation) -> Value:
    """``aten::hardswish``."""
    return page.add(HardSwish(), x)


def hardsigmoid(page: Page, x: Activation) -> Value:
    """``aten::hardsigmoid``: ``relu6(x + 3) / 6``."""
    shifted = page.add(Add(activation="relu6"), x, page.number(3), suffix="clamped")
    return page.add(Mul(), shifted, page.number(1 / 6))


def sigmoid(page: Page, x: Activation) -> Value:
    """``aten::sigmoid``."""
    return page.add(Sigmoid(), x)


def silu(page: Page, x: Activation) -> Value:
    """``aten::silu``: ``x * sigmoid(x)``."""
    return page.add(Mul(), x, page.add(Sigmoid(), x, suffix="sigmoid"))


def tanh(page: Page, x: Activation) -> Value:
    """``aten::tanh``."""
    return page.add(Tanh(), x)


def gelu(page: Page, x: Activation, approximate: str = "none") -> Value:
    """``aten::gelu``."""
    return page.add(Gelu(approximate=approximate == "tanh"), x)


def expand(page: Page, x: Activation, size: Any, *_implicit: Any) -> Value:
    """``aten::expand``: broadcast against zeros of the result's shape."""
    del size
    if x.shape == page.shape:
        return x
    zeros = Constant(name=f"{page.place}.zeros", value=torch.zeros(page.shape))
    return page.add(Add(), x, zeros)


def _value(page: Page, operand: Operand) -> Value:
    return operand if isinstance(operand, Activation | Constant) else page.number(operand)


def _scaled(page: Page, operand: Operand, factor: float) -> Value:
    value = _value(page, operand)
    if factor == 1:
        return value
    if isinstance(value, Constant):
        return Constant(name=value.name, value=value.value * factor)
    return page.add(Mul(), value, page.number(factor), suffix="scaled")
