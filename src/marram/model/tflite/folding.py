"""Operators that are computed while importing, because all they read is known.

Such are the arithmetic of shapes that exporters leave in a file with an open batch size, and weights that wait behind
DEQUANTIZE, TRANSPOSE or RESHAPE.

Each rule takes a ``Site`` whose inputs are known and gives the value of its one output, or None to leave it to the importer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from marram.core.graph import Array
from marram.model.tflite.importing import Site, dequantised
from marram.model.tflite.movement import reshaped, strided_cuts
from marram.model.tflite.schema import DTYPES

LARGEST_ARITHMETIC = 64
"""Elements of the largest operand of folded arithmetic: shapes are short."""


def folded(site: Site) -> Array | None:
    """The value of the operator's output if it can be known at import time, else None."""
    operator = site.operator
    if len(operator.outputs) != 1 or operator.name not in FOLDED:
        return None
    if operator.name == "SHAPE":
        return _shape(site)
    count, rule = _RULES[operator.name]
    if count and len(operator.inputs) != count:
        site.damaged(f"has {len(operator.inputs)} inputs, not {count}")
    values = [site.value(place) for place in range(len(operator.inputs))]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    site.state.spend(4 * sum(value.nbytes for value in known) + 16)
    return rule(site, known)


def _shape(site: Site) -> Array:
    kind = DTYPES.get(site.options("ShapeOptions")["out_type"])
    if kind not in {"int32", "int64"}:
        site.damaged(f"gives a shape as {kind}")
    return np.array(site.shape(0), kind)


def _dequantise(site: Site, values: list[Array]) -> Array:
    return dequantised(values[0], site.described(0).quantisation)


def _strided_slice(site: Site, values: list[Array]) -> Array:
    cuts, gone = strided_cuts(site)
    part = values[0][tuple(cuts)]
    return part.reshape([n for axis, n in enumerate(part.shape) if axis not in gone])


def _slice(site: Site, values: list[Array]) -> Array:
    x = values[0]
    begin, size = site.integers(1), site.integers(2)
    if not x.ndim == len(begin) == len(size):
        site.damaged(f"does not name every axis of {x.shape}")
    pairs = zip(begin, size, strict=True)
    return x[tuple(slice(max(first, 0), None if count == -1 else first + count) for first, count in pairs)]


def _pack(site: Site, values: list[Array]) -> Array:
    if len({value.shape for value in values}) != 1:
        site.damaged("packs values of different shapes")
    return np.stack(values, axis=site.axis(site.options("PackOptions")["axis"], values[0].ndim + 1))


def _concat(site: Site, values: list[Array]) -> Array:
    axis = site.axis(site.options("ConcatenationOptions")["axis"], values[0].ndim)
    if len({(*value.shape[:axis], *value.shape[axis + 1 :], value.ndim) for value in values}) != 1:
        site.damaged("joins values of shapes that do not fit")
    return np.concatenate(values, axis=axis)


def _gather(site: Site, values: list[Array]) -> Array | None:
    options = site.options("GatherOptions")
    if options["batch_dims"] or max(value.size for value in values) > LARGEST_ARITHMETIC or values[1].dtype.kind not in "iu":
        return None
    axis = site.axis(options["axis"], values[0].ndim)
    if values[1].size and not 0 <= values[1].min() <= values[1].max() < values[0].shape[axis]:
        site.damaged("gathers from outside a tensor")
    return np.take(values[0], values[1], axis=axis)


def _cast(site: Site, values: list[Array]) -> Array | None:
    wanted = site.output().dtype
    return values[0].astype(wanted) if wanted in {"int32", "int64", "float32"} and values[0].dtype.kind in "iu" else None


def _reshape(site: Site, values: list[Array]) -> Array:
    wanted = reshaped(site)
    if any(n < 0 for n in wanted) or prod(wanted) != values[0].size:
        site.damaged(f"cannot give {values[0].shape} the shape {wanted}")
    return values[0].reshape(wanted)


def _transpose(site: Site, values: list[Array]) -> Array:
    axes = [site.axis(axis, values[0].ndim) for axis in site.integers(1)]
    if sorted(axes) != list(range(values[0].ndim)):
        site.damaged(f"permutes {values[0].ndim} axes by {axes}")
    return np.ascontiguousarray(values[0].transpose(axes))


def _arithmetic(function: Callable[[Array, Array], Array]) -> Callable[[Site, list[Array]], Array | None]:
    def rule(_site: Site, values: list[Array]) -> Array | None:
        integers = all(value.dtype.kind == "i" and value.dtype.itemsize >= 4 for value in values)
        if not integers or max(value.size for value in values) > LARGEST_ARITHMETIC or len({v.size for v in values} - {1}) > 1:
            return None
        return function(values[0], values[1])

    return rule


def _product(site: Site, values: list[Array]) -> Array | None:
    if values[0].ndim != 1 or values[0].size > LARGEST_ARITHMETIC:
        return None
    keep = bool(site.options("ReducerOptions")["keep_dims"])
    product: Array = np.prod(values[0], keepdims=True, dtype=values[0].dtype)
    return product if keep else product.reshape(())


_RULES: dict[str, tuple[int, Callable[[Site, list[Array]], Array | None]]] = {  # with the number of inputs, 0 for any
    "DEQUANTIZE": (1, _dequantise),
    "STRIDED_SLICE": (4, _strided_slice),
    "SLICE": (3, _slice),
    "PACK": (0, _pack),
    "CONCATENATION": (0, _concat),
    "GATHER": (2, _gather),
    "CAST": (1, _cast),
    "RESHAPE": (0, _reshape),
    "SQUEEZE": (1, _reshape),
    "EXPAND_DIMS": (2, _reshape),
    "TRANSPOSE": (2, _transpose),
    "ADD": (2, _arithmetic(np.add)),
    "SUB": (2, _arithmetic(np.subtract)),
    "MUL": (2, _arithmetic(np.multiply)),
    "REDUCE_PROD": (2, _product),
}

FOLDED = ("SHAPE", *_RULES)
