"""QuantizeLinear and DequantizeLinear. uint8 is shifted to int8 (zero point less 128) right here, which is exact.

Of constants the result is known at once: integers that stand for reals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.errors import UnsupportedOperator
from marram.core.graph import Array, Quantisation
from marram.model.onnx.contents import FileNode
from marram.model.onnx.importing import Import, Site, Stored, normalised

_SHIFT = 128
_DTYPES = {2: "uint8", 3: "int8"}


def _parameters(site: Site, dtype: str) -> Quantisation:
    """Scales and zero points of a node, as they stand in the file."""
    site.need(not site.attribute("block_size", 0), "by blocks")
    scales = site.array(1)
    zeros = site.array(2) if site.has(2) else np.zeros(scales.shape, np.int64)
    if scales.ndim > 1 or scales.size != zeros.size or scales.dtype.kind != "f" or zeros.dtype.kind not in "iu":
        site.damaged("has scales and zero points that do not fit")
    flat = scales.astype(np.float32).reshape(-1)
    if not np.isfinite(flat).all() or flat.size == 0 or flat.min() <= 0:
        site.damaged("has a scale that is not a positive number")
    limits = np.iinfo(dtype)
    if zeros.size and not limits.min <= int(zeros.min()) <= int(zeros.max()) <= limits.max:
        site.damaged(f"has a zero point outside {dtype}")
    axis = None
    if scales.ndim == 1 and scales.size > 1:
        axis = normalised(site, site.attribute("axis", 1), len(site.shape(0)))
        if site.shape(0)[axis] != scales.size:
            site.damaged(f"has {scales.size} scales for axis {axis} of {site.shape(0)}")
    return Quantisation(
        scales=tuple(float(scale) for scale in flat), zero_points=tuple(int(zero) for zero in zeros.reshape(-1)), axis=axis
    )


def _shifted(quantisation: Quantisation) -> Quantisation:
    return replace(quantisation, zero_points=tuple(zero - _SHIFT for zero in quantisation.zero_points))


def quantize_linear(site: Site) -> None:
    """Float to int8 or uint8."""
    wanted = _DTYPES.get(site.attribute("output_dtype", 0) or 2, "another type")
    dtype = site.array(2).dtype.name if site.has(2) else wanted
    site.need(dtype in {"int8", "uint8"}, f"to {dtype}")
    quantisation = _parameters(site, dtype)
    name = site.node.outputs[0]
    if site.is_constant(0):
        site.state.constants[name] = _quantised(site.array(0).astype(np.float32), quantisation, dtype)
        return
    site.need(quantisation.axis is None, "of an activation by channel")
    whole = quantisation if dtype == "int8" else _shifted(quantisation)
    if dtype == "uint8" and any(value.name == name for value in site.state.contents.outputs):
        inner = site.step(ops.Quantise(), site.tensor(0))
        _mark(site, inner, "int8", whole)
        site.result(ops.Quantise(), inner)
        _mark(site, name, "uint8", quantisation)
    else:
        site.result(ops.Quantise(), site.tensor(0))
        _mark(site, name, "int8", whole)


def _quantised(value: Array, quantisation: Quantisation, dtype: str) -> Array:
    """The integers of a constant: rounded half to even, saturated."""
    shape = [1] * value.ndim
    if quantisation.axis is not None:
        shape[quantisation.axis] = -1
    scales = np.array(quantisation.scales, np.float32).reshape(shape)
    zeros = np.array(quantisation.zero_points, np.float64).reshape(shape)
    limits = np.iinfo(dtype)
    if not np.isfinite(value).all():
        value = np.nan_to_num(value)
    return np.clip(np.rint(value / scales) + zeros, limits.min, limits.max).astype(dtype)


def _mark(site: Site, name: str, dtype: str, quantisation: Quantisation) -> None:
    tensor = site.state.tensors[name]
    kind = "int8" if dtype == "int8" else "uint8"
    site.state.tensors[name] = replace(tensor, dtype=kind, quantisation=quantisation)


def dequantize_linear(site: Site) -> None:
    """Integers to float; of a constant, the reals with their integers kept."""
    name = site.name(0)
    if site.state.known(name):
        value = site.array(0)
        site.need(value.dtype.name in {"int8", "uint8", "int32"}, f"of {value.dtype.name}")
        quantisation = _parameters(site, value.dtype.name)
        if value.dtype.name == "uint8":
            value, quantisation = (value.astype(np.int16) - _SHIFT).astype(np.int8), _shifted(quantisation)
        site.state.spend(2 * value.nbytes)
        site.state.stored[site.node.outputs[0]] = Stored(value, quantisation)
        return
    tensor = site.tensor(0)
    known = site.state.tensors[tensor]
    site.need(known.dtype == "int8", f"of a {known.dtype} activation")
    shifted = site.has(2) and site.array(2).dtype == np.uint8
    quantisation = _parameters(site, "uint8" if shifted else "int8")
    site.need((_shifted(quantisation) if shifted else quantisation) == known.quantisation, "by another scale than it has")
    site.result(ops.Dequantise(), tensor)


_MOVING = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "MaxPool"})


def open_inputs(state: Import) -> None:
    """Give each integer input the quantisation with which it is first read; uint8 goes through a Quantise to int8."""
    for value in state.contents.inputs:
        if value.dtype == "float32":
            continue
        node = _first_reader(state, value.name)
        if node is None:
            raise UnsupportedOperator(f"{value.dtype} input without scale", node=repr(value.name), where=state.contents.where)
        site = Site(state, FileNode(value.name, "DequantizeLinear", (value.name, *node.inputs[1:]), (value.name,), {}))
        quantisation = _parameters(site, value.dtype)
        site.need(quantisation.axis is None, "of an activation by channel")
        _mark(site, value.name, value.dtype, quantisation)
        if value.dtype == "uint8":
            whole = site.step(ops.Quantise(), value.name, wanted=f"{value.name}_int8")
            _mark(site, whole, "int8", _shifted(quantisation))
            state.active[value.name] = whole


def _first_reader(state: Import, name: str) -> FileNode | None:
    """The DequantizeLinear that reads a value, directly or after it was moved."""
    waiting = {name}
    for node in state.contents.nodes:
        if waiting.isdisjoint(node.inputs[:1]):
            continue
        if node.operator == "DequantizeLinear" and all(n in state.constants for n in node.inputs[1:] if n):
            return node
        if node.operator in _MOVING:
            waiting.update(node.outputs)
    return None


READERS: dict[str, Callable[[Site], None]] = {"QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear}
