"""Integer graphs with int16 activations beside int8 weights, made from int8 ones: every scale 256 times finer."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import strategies as st
from tests.model.graphs import affine, integer_graphs

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor, with_nodes

OPERATORS = frozenset(
    {
        ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.Dense, ops.Add, ops.Sub, ops.AveragePool2D, ops.MaxPool2D,
        ops.Concat, ops.Split, ops.Slice, ops.Pad, ops.Reshape, ops.Transpose, ops.Resize, ops.Quantise,
    }
)  # fmt: skip
"""Those that the reference computes in int16."""

_FINER = 256


def _finer(scales: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(np.float32(scale) / np.float32(_FINER)) for scale in scales)


def widened(graph: Graph, *, byte_borders: bool) -> Graph:
    """The graph in int16: zero points 0, biases int64; with ``byte_borders`` its inputs and outputs stay int8."""
    weights = {node.inputs[1] for node in graph.nodes if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D)}
    weights |= {node.inputs[1] for node in graph.nodes if isinstance(node.op, ops.TransposeConv2D | ops.Dense)}
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Array] = {}
    for name, tensor in graph.tensors.items():
        value = graph.constants.get(name)
        if name in weights:
            tensors[name], constants[name] = tensor, graph.constants[name]
            continue
        found = tensor.quantisation
        assert found is not None
        finer = Quantisation(scales=_finer(found.scales), zero_points=(0,) * len(found.scales), axis=found.axis)
        dtype = "int64" if tensor.dtype == "int32" else "int16"
        tensors[name] = msgspec.structs.replace(tensor, dtype=dtype, quantisation=finer)
        if value is not None:
            constants[name] = (value.astype(np.int64) * (_FINER - 1)).astype(dtype)
    wide = msgspec.structs.replace(graph, tensors=tensors, constants=constants)
    return _with_byte_borders(wide) if byte_borders else wide


def _with_byte_borders(graph: Graph) -> Graph:
    tensors: dict[str, Tensor] = {}
    first, last = [], []
    for group, names in ((first, graph.inputs), (last, graph.outputs)):
        for index, name in enumerate(names):
            wide = graph.tensors[name]
            assert wide.quantisation is not None
            byte = msgspec.structs.replace(
                wide, name=f"{name}/byte", dtype="int8", quantisation=affine(wide.quantisation.scale * _FINER, 5 * index - 7)
            )
            tensors[byte.name] = byte
            ends = (byte.name, name) if group is first else (name, byte.name)
            group.append(Node(name=f"{name}/border{len(tensors)}", op=ops.Quantise(), inputs=ends[:1], outputs=ends[1:]))
    return with_nodes(
        graph,
        [*first, *graph.nodes, *last],
        tensors=tensors,
        inputs=tuple(node.inputs[0] for node in first),
        outputs=tuple(node.outputs[0] for node in last),
    )


@st.composite
def int16_graphs(draw: st.DrawFn, *, most_nodes: int = 6) -> Graph:
    """Random graphs of int16 activations."""
    return widened(draw(integer_graphs(operators=OPERATORS, most_nodes=most_nodes)), byte_borders=draw(st.booleans()))


def vectors(graph: Graph, count: int, *, seed: int) -> tuple[Array, ...]:
    """Random values over the whole range of each input's dtype."""
    rng = np.random.default_rng(seed)
    found = []
    for tensor in graph.input_tensors:
        info = np.iinfo(tensor.dtype)
        shape = (count * tensor.shape[0], *tensor.shape[1:])
        found.append(rng.integers(info.min, info.max, shape, endpoint=True).astype(tensor.dtype))
    return tuple(found)
