"""Layers with weights whose numbers are not int8 by int8: the same makers for int16 activations and for packed weights.

Such kernels make one output after the other, in plain loops.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.core.operators import Activation, Conv2D, Dense, DepthwiseConv2D, operator_name


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """From inputs and weights to outputs: ``arrays`` are the layer's constants, weights first; ``arguments`` those of the C.

    ``zero_in`` is the argument, with a comma, that kernels with a border take before ``limits``, the last ones.
    """

    arrays: tuple[ConstantArray, ...]
    arguments: str
    zero_in: str
    limits: str


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels ``marram_portable_<name>_<operator>`` of headers ``portable/<name>/<operator>.h``.

    Args:
        name: of the kind.
        ending: gives the constants of a place with an activation, and refuses what the kind can't do; its last argument is the
            axis of the weights' output channels.
        costs: about the instructions of a MAC of a convolution, a depthwise one and a dense layer.
    """

    name: str
    ending: Callable[[Place, Activation, int], Ending]
    costs: tuple[float, float, float]

    def convolution(self, place: Place) -> Routine:
        """Conv2D of any groups or DepthwiseConv2D of any multiplicity, any geometry."""
        op = place.site.node.op
        assert isinstance(op, Conv2D | DepthwiseConv2D)
        groups, axis, cost = (f"{op.groups}, ", 0, self.costs[0]) if isinstance(op, Conv2D) else ("", 3, self.costs[1])
        weights = place.site.constant(1)
        sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
        end = self.ending(place, op.activation, axis)
        return output_by_output(
            sizes,
            include=f"portable/{self.name}/{operator_name(op)}.h",
            body=f"marram_portable_{self.name}_{operator_name(op)}({sizes.literal}, x0, y0, row_begin, row_end, "
            f"{groups}{end.arguments}, {end.zero_in}{end.limits});",
            constants=end.arrays,
            instructions=cost * sizes.out_height * sizes.out_width * weights.size,
        )

    def dense(self, place: Place) -> Routine:
        """On the last axis."""
        outputs, depth = place.site.constant(1).shape
        rows = place.site.input(0).size // depth
        end = self.ending(place, place.site.op(Dense).activation, 0)
        return Routine(
            includes=(f"portable/{self.name}/dense.h",),
            body=f"marram_portable_{self.name}_dense(x0, y0, {rows}, {depth}, {outputs}, {end.arguments}, {end.limits});",
            constants=end.arrays,
            instructions=self.costs[2] * rows * outputs * depth,
        )


def output_by_output(
    sizes: Geometry, *, include: str, body: str, constants: tuple[ConstantArray, ...], instructions: float
) -> Routine:
    """The routine of a kernel that reads a pixel's inputs again for each of its outputs."""
    return Routine(
        includes=(include,),
        body=body,
        constants=constants,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=instructions,
    )
