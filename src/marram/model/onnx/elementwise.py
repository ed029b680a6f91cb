"""Arithmetic and activations, one value at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from marram.core import operators as ops
from marram.core.operators import Operator
from marram.model.onnx.importing import Site


def _unary(op: Operator, site: Site) -> None:
    site.result(op, site.tensor(0))


def _binary(op: Operator, site: Site) -> None:
    site.result(op, site.tensor(0), site.tensor(1))


def _number(site: Site, value: float) -> str:
    return site.constant("number", np.array(value, np.float32))


def div(site: Site) -> None:
    """Division by a constant, as a product with its reciprocal."""
    site.need(site.is_constant(1), "by a computed tensor")
    divisor = site.array(1).astype(np.float64)
    if not np.all(divisor):
        site.damaged("divides by zero")
    site.result(ops.Mul(), site.tensor(0), site.constant("reciprocal", 1 / divisor))


def power(site: Site) -> None:
    """Squares and cubes, as products."""
    exponent = site.real(1) if site.is_constant(1) else 0.0
    site.need(exponent in {1.0, 2.0, 3.0}, f"to {exponent:g}" if exponent else "to a computed exponent")
    x = site.tensor(0)
    if exponent == 1:
        site.bind(x)
        return
    left = x if exponent == 2 else site.step(ops.Mul(), x, x)
    site.result(ops.Mul(), left, x)


def negate(site: Site) -> None:
    """-x as a product."""
    site.result(ops.Mul(), site.tensor(0), _number(site, -1))


def clip(site: Site) -> None:
    """Clip between constants; 0 and 6 give Relu6, other limits a shifted and scaled one."""
    if site.opset < 11:
        low, high = site.attribute("min", -np.inf), site.attribute("max", np.inf)
    else:
        low = site.real(1) if site.has(1) else -np.inf
        high = site.real(2) if site.has(2) else np.inf
    _clip(site, site.tensor(0), float(low), float(high))


def _clip(site: Site, x: str, low: float, high: float) -> None:
    if abs(low) > 1e38:
        low = -np.inf
    if abs(high) > 1e38:
        high = np.inf
    if not low < high:
        site.damaged(f"clips between {low} and {high}")
    if (low, high) == (-np.inf, np.inf):
        site.bind(x)
    elif low == 0 and high in {6.0, np.inf}:
        site.result(ops.Relu() if high == np.inf else ops.Relu6(), x)
    elif high == np.inf:
        shifted = site.step(ops.Relu(), site.step(ops.Sub(), x, _number(site, low)))
        site.result(ops.Add(), shifted, _number(site, low))
    elif low == -np.inf:
        shifted = site.step(ops.Relu(), site.step(ops.Sub(), _number(site, high), x))
        site.result(ops.Sub(), _number(site, high), shifted)
    else:
        lifted = x if low == 0 else site.step(ops.Sub(), x, _number(site, low))
        factor = 6 / (high - low)
        bent = site.step(ops.Relu6(), site.step(ops.Mul(), lifted, _number(site, factor)))
        if low == 0:
            site.result(ops.Mul(), bent, _number(site, 1 / factor))
        else:
            site.result(ops.Add(), site.step(ops.Mul(), bent, _number(site, 1 / factor)), _number(site, low))


def extreme(site: Site) -> None:
    """Max and Min of an activation and a constant number, as a Clip."""
    site.need(len(site.node.inputs) == 2, f"of {len(site.node.inputs)} tensors")
    constant = 0 if site.is_constant(0) else 1
    site.need(site.is_constant(constant) and site.array(constant).size == 1, "of two computed tensors")
    limit = site.real(constant)
    low, high = (limit, np.inf) if site.node.operator == "Max" else (-np.inf, limit)
    _clip(site, site.tensor(1 - constant), low, high)


def leaky_relu(site: Site) -> None:
    """LeakyRelu."""
    site.result(ops.LeakyRelu(alpha=site.attribute("alpha", 0.01)), site.tensor(0))


def p_relu(site: Site) -> None:
    """PRelu with constant slopes: one slope gives LeakyRelu, more a sum of two branches."""
    site.need(site.is_constant(1), "with computed slopes")
    slopes = site.array(1)
    if slopes.size == 1:
        site.result(ops.LeakyRelu(alpha=float(slopes.reshape(()))), site.tensor(0))
        return
    positive = site.step(ops.Relu(), site.tensor(0))
    negative = site.step(ops.Sub(), site.tensor(0), positive)
    site.result(ops.Add(), positive, site.step(ops.Mul(), negative, site.tensor(1)))


def hard_sigmoid(site: Site) -> None:
    """clip(alpha * x + beta, 0, 1) as relu6(6 * alpha * x + 6 * beta) / 6."""
    alpha, beta = site.attribute("alpha", 0.2), site.attribute("beta", 0.5)
    x = site.tensor(0)
    scaled = x if abs(6 * alpha - 1) < 1e-6 else site.step(ops.Mul(), x, _number(site, 6 * alpha))
    bent = site.step(ops.Relu6(), site.step(ops.Add(), scaled, _number(site, 6 * beta)))
    site.result(ops.Mul(), bent, _number(site, 1 / 6))


def gelu(site: Site) -> None:
    """Gelu, exact or by tanh."""
    site.result(ops.Gelu(approximate=site.attribute("approximate", "none") == "tanh"), site.tensor(0))


def same(site: Site) -> None:
    """Identity and Dropout outside training: the value itself."""
    if site.node.operator == "Dropout":
        training = site.has(2) and bool(site.array(2).any())
        site.need(not training and len([name for name in site.node.outputs if name]) == 1, "in training mode")
    stored = site.state.stored.get(site.name(0))
    if stored is not None:
        site.state.stored[site.node.outputs[0]] = stored
    else:
        site.bind(site.tensor(0))


def cast(site: Site) -> None:
    """Cast from float to float; there is no other activation dtype."""
    site.need(site.attribute("to", 0) in {1, 10, 11, 16}, f"to data type {site.attribute('to', 0)}")
    site.bind(site.tensor(0))


READERS: dict[str, Callable[[Site], None]] = {
    "Add": partial(_binary, ops.Add()),
    "Sub": partial(_binary, ops.Sub()),
    "Mul": partial(_binary, ops.Mul()),
    "Div": div,
    "Pow": power,
    "Neg": negate,
    "Clip": clip,
    "Max": extreme,
    "Min": extreme,
    "Relu": partial(_unary, ops.Relu()),
    "LeakyRelu": leaky_relu,
    "PRelu": p_relu,
    "HardSwish": partial(_unary, ops.HardSwish()),
    "HardSigmoid": hard_sigmoid,
    "Sigmoid": partial(_unary, ops.Sigmoid()),
    "Tanh": partial(_unary, ops.Tanh()),
    "Gelu": gelu,
    "Identity": same,
    "Dropout": same,
    "Cast": cast,
}
