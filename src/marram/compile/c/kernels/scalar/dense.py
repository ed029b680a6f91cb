"""Fully connected layers, a group of channels at a time: the driver is ``kernels/scalar/dense.h``."""

from __future__ import annotations

import msgspec

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array


class DenseKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A family's fully connected layer: ``function(&full, &rest, x, y, rows, outputs, low, high)`` of header ``include``.

    Args:
        channels: of a group.
        words: int32 words of constants of a channel.
        cost: estimated instructions for each MAC and for each output.
    """

    include: str
    function: str
    channels: int
    words: int
    cost: tuple[float, float]


def dense_in_groups(place: Place, by: Requantisation, weights: Array, records: Array, kernel: DenseKernel) -> Routine:
    """The routine. ``weights`` is int8, groups filled up, in the kernel's order; ``records`` is its int32 constant."""
    outputs, depth = place.site.constant(1).shape
    full, rest = divmod(outputs, kernel.channels)
    of_rest = full * kernel.channels if rest else 0
    parts = (
        f"static const marram_dense_part full = {{{depth}, {full}, @weights@, @channels@}};\n"
        f"static const marram_dense_part rest = {{{depth}, {int(rest > 0)}, "
        f"@weights@ + {of_rest * depth}, @channels@ + {of_rest * kernel.words}}};\n"
    )
    rows = place.site.input(0).size // depth
    return Routine(
        includes=(kernel.include,),
        body=f"{parts}{kernel.function}(&full, &rest, x0, y0, {rows}, {outputs}, {by.low}, {by.high});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=records),
        ),
        instructions=rows * (kernel.cost[0] * outputs * depth + kernel.cost[1] * outputs),
    )
