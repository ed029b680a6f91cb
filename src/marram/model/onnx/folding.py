"""Nodes whose inputs are all known while importing -> their values: shape computations and constants, in numpy.

Every result is bounded by the import's allowance before it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from marram.core.graph import Array
from marram.model.onnx.importing import Site, normalised

_CONSTANT_KINDS: dict[str, Any] = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
_CASTS = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float32", 11: "float32"}


def folded(site: Site) -> Array | None:
    """The value of a node that can be known now; None of a node that must be translated."""
    if site.node.operator == "Constant":
        return _constant(site)
    if site.node.operator in {"Shape", "Size"} and not site.is_constant(0):
        shape = site.shape(0)
        return np.asarray(np.array(shape if site.node.operator == "Shape" else prod(shape), np.int64)[_shape_part(site)])
    rule = _RULES.get(site.node.operator)
    names = [name for name in site.node.inputs if name]
    if rule is None or not all(site.state.known(name) for name in names):
        return None
    size = 8 * sum(site.state.constants[name].size for name in names) + 1024
    site.state.spend(size)
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(rule(site))
    except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
        site.damaged(f"cannot be worked out: {error}")
    site.state.spend(value.nbytes)
    return value


def _shape_part(site: Site) -> Any:
    if site.node.operator == "Size":
        return ()
    end = site.node.attributes.get("end")
    return slice(site.attribute("start", 0), end if isinstance(end, int) else None)


def _constant(site: Site) -> Array:
    found = [(name, value) for name, value in site.node.attributes.items() if name in _CONSTANT_KINDS and value is not None]
    if len(found) != 1:
        site.refuse("without a numeric value")
    name, value = found[0]
    site.state.spend(np.asarray(value).nbytes)
    return np.asarray(value, _CONSTANT_KINDS[name])


def _axes(site: Site, rank: int) -> tuple[int, ...]:
    """The axes of a squeeze, an unsqueeze or a reduction: an input in newer files, an attribute in older ones."""
    values = site.sizes(1) if site.has(1) else site.integers("axes")
    return tuple(sorted(normalised(site, axis, rank) for axis in values))


def _allow(site: Site, count: int) -> None:
    """Spend before a result is made whose size the values of inputs decide."""
    site.state.spend(8 * max(count, 0))


def _squeeze(site: Site) -> Array:
    x = site.array(0)
    axes = _axes(site, x.ndim) or tuple(axis for axis, n in enumerate(x.shape) if n == 1)
    return np.squeeze(x, axes)


def _unsqueeze(site: Site) -> Array:
    x = site.array(0)
    count = len(site.sizes(1) if site.has(1) else site.integers("axes"))
    return np.expand_dims(x, _axes(site, x.ndim + count))


def _constant_of_shape(site: Site) -> Array:
    shape = site.sizes(0)
    _allow(site, prod(shape))
    value = site.node.attributes.get("value")
    fill = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else np.float32(0)
    return np.full(shape, fill)


def _range(site: Site) -> Array:
    start, limit, delta = (site.real(index) for index in range(3))
    if not delta or not np.isfinite([start, limit, delta]).all():
        site.damaged("has no end")
    _allow(site, int(min((limit - start) / delta + 1, 2**62)))
    return np.arange(start, limit, delta).astype(site.array(0).dtype)


def _expand(site: Site) -> Array:
    shape = np.broadcast_shapes(site.shape(0), site.sizes(1))
    _allow(site, prod(shape))
    return np.broadcast_to(site.array(0), shape).copy()


def _tile(site: Site) -> Array:
    repeats = site.sizes(1)
    _allow(site, prod(max(n, 0) for n in repeats) * site.array(0).size)
    return np.tile(site.array(0), repeats)


def _slice(site: Site) -> Array:
    x = site.array(0)
    starts, ends = site.sizes(1), site.sizes(2)
    axes = site.sizes(3) if site.has(3) else tuple(range(len(starts)))
    steps = site.sizes(4) if site.has(4) else (1,) * len(starts)
    cuts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cuts[normalised(site, axis, x.ndim)] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(cuts)]


def _reshape(site: Site) -> Array:
    x, shape = site.array(0), list(site.sizes(1))
    if not site.attribute("allowzero", 0):
        shape = [x.shape[axis] if n == 0 else n for axis, n in enumerate(shape)]
    return x.reshape(shape)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Site], Any]:
    def rule(site: Site) -> Any:
        a, b = site.array(0), site.array(1)
        _allow(site, prod(np.broadcast_shapes(a.shape, b.shape)))
        return function(a, b)

    return rule


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("division by zero")
    return np.asarray((np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype))


def _cast(site: Site) -> Array:
    target = _CASTS.get(site.attribute("to", 0))
    if target is None:
        site.refuse(f"to data type {site.attribute('to', 0)}")
    return site.array(0).astype(target)


def _where(site: Site) -> Array:
    _allow(site, prod(np.broadcast_shapes(site.shape(0), site.shape(1), site.shape(2))))
    return np.where(site.array(0), site.array(1), site.array(2))


_RULES: dict[str, Callable[[Site], Any]] = {
    "Identity": lambda site: site.array(0),
    "Shape": lambda site: np.array(site.array(0).shape, np.int64)[_shape_part(site)],
    "Size": lambda site: np.int64(site.array(0).size),
    "Cast": _cast,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Expand": _expand,
    "Tile": _tile,
    "Slice": _slice,
    "Reshape": _reshape,
    "Flatten": lambda site: site.array(0).reshape(int(np.prod(site.shape(0)[: site.attribute("axis", 1)])), -1),
    "Where": _where,
    "Gather": lambda site: np.take(site.array(0), site.array(1), axis=site.attribute("axis", 0)),
    "Concat": lambda site: np.concatenate([site.array(i) for i in range(len(site.node.inputs))], site.attribute("axis", 0)),
    "Transpose": lambda site: site.array(0).transpose(site.integers("perm") or None),
    "ReduceProd": lambda site: np.prod(site.array(0), keepdims=bool(site.attribute("keepdims", 1))),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Mod": _binary(np.mod),
    "Min": _binary(np.minimum),
    "Max": _binary(np.maximum),
    "Equal": _binary(np.equal),
    "Greater": _binary(np.greater),
    "Less": _binary(np.less),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Not": lambda site: np.logical_not(site.array(0)),
    "Neg": lambda site: -site.array(0),
    "Sqrt": lambda site: np.sqrt(site.array(0)),
    "Floor": lambda site: np.floor(site.array(0)),
    "Ceil": lambda site: np.ceil(site.array(0)),
    "Round": lambda site: np.round(site.array(0)),
}
"""Operators that shape computations are made of. What else is constant is translated as a node and folded by ``compress``."""
