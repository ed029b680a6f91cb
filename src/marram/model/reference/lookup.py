"""Integer operators of one or two int8 inputs as tables: 256 or 65,536 outputs, made once by the operator's rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.model.reference.site import Kernel, Site

_ALL = np.arange(-128, 128, dtype=np.int64)


def unary_table(rule: Callable[[Array], Array]) -> Array:
    """The int8 outputs of ``rule`` (int64 in, int64 out) for the inputs 0..127, -128..-1, as a byte indexes them."""
    values = rule(_ALL)
    assert values.min() >= -128
    assert values.max() <= 127
    return np.roll(values, -128).astype(np.int8)


def unary(site: Site, rule: Callable[[Array], Array]) -> Kernel:
    """A kernel of one int8 input."""
    need_int8(site)
    table = unary_table(rule)
    return lambda x: (np.take(table, x.view(np.uint8)),)


def binary(site: Site, rule: Callable[[Array, Array], Array]) -> Kernel:
    """A kernel of two int8 inputs that broadcast against each other."""
    need_int8(site)
    values = rule(_ALL[:, None], _ALL[None, :])
    table = np.roll(values, (-128, -128), axis=(0, 1)).astype(np.int8).ravel()

    def kernel(a: Array, b: Array) -> tuple[Array, ...]:
        index = a.view(np.uint8).astype(np.uint16)
        index = (index << np.uint16(8)) | b.view(np.uint8)
        return (np.take(table, index),)

    return kernel


def need_int8(site: Site) -> None:
    """Refuses other integers than int8."""
    for tensor in (*site.inputs, *site.outputs):
        if tensor is not None and tensor.dtype != "int8":
            raise site.error(f"tensor {tensor.name} must be int8 in this integer operator, got {tensor.dtype}")
