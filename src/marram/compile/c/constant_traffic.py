"""What a run reads of each layer's constants: what the planner of several memories weighs copies by."""

from __future__ import annotations

from collections.abc import Sequence

from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import Layer, Layers
from marram.compile.c.place import ConstantArray, Routine
from marram.compile.c.text.constant_sharing import constant_names
from marram.compile.memory import Weights
from marram.core.graph import Graph
from marram.core.operators import DepthwiseConv2D
from marram.model.counts import counts

_PIXELS = 3
"""How many pixels the kernels of most families make with one reading of the weights."""


def array_bytes(array: ConstantArray) -> int:
    """Bytes of a constant without padding."""
    return int(array.values.size) * (int(array.c_type.removesuffix("_t").lstrip("uint")) // 8)


def own_arrays(layer: Layer, answer: Routine, names: dict[str, str]) -> list[ConstantArray]:
    """The constants of a layer that do not stand in the source for an earlier layer; ``names`` as in ``constant_names``."""
    return [array for array in answer.constants if names[array.name] == f"{layer.name}_{array.name}"]


def weights_of(graph: Graph, found: Layers, routines: Sequence[Routine]) -> tuple[Weights, ...]:
    """For each layer its own constants in bytes, padding included, and the bytes that all layers read of them in a run.

    A weight is taken to be read once for every three pixels, as kernels make so many at a time, in a depthwise layer once for
    every row, and a table once for every output.
    """
    macs = macs_of(graph, found)
    named = constant_names(found.layers, routines)
    align = max((array.align_bytes for answer in routines for array in answer.constants), default=1)
    owner: dict[str, int] = {}
    reads = [0] * len(found.layers)
    sizes = [0] * len(found.layers)
    for index, (layer, answer, names) in enumerate(zip(found.layers, routines, named, strict=True)):
        for array in own_arrays(layer, answer, names):
            owner[names[array.name]] = index
            sizes[index] += -(-array_bytes(array) // align) * align  # whatever the compiler's order
        for array in answer.constants:
            reads[owner[names[array.name]]] += _reads(layer, array, macs[layer.name])
    return tuple(
        Weights(task=layer.name, size_bytes=size, reads=read)
        for layer, size, read in zip(found.layers, sizes, reads, strict=True)
    )


def _reads(layer: Layer, array: ConstantArray, macs: int) -> int:
    if array.role == "table":
        return layer.site.output.size_bytes
    weights = max((values.size for values in layer.site.constants if values is not None), default=0)
    uses = macs // weights if weights else 1
    times = rows_of(layer.site.output.shape)[0] if isinstance(layer.node.op, DepthwiseConv2D) else -(-uses // _PIXELS)
    return array_bytes(array) * max(times, 1)


def macs_of(graph: Graph, found: Layers) -> dict[str, int]:
    """Multiply-accumulates by layer."""
    per_node = {row.name: row.macs for row in counts(graph).per_node}
    return {layer.name: per_node[layer.node.name] for layer in found.layers}
