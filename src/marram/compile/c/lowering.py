"""Graph -> the same computation in the form that C is made from: integers from input to output, nothing that moves no value.

- A Quantise at the input and a Dequantise at the output go: the program takes and gives integers.
- One operator in floats between Dequantise and Quantise becomes its integer form (``islands.py``).
- What is computed from constants alone becomes a constant.
- A Pad of zeros before a window operator becomes its padding.
- A window over an image of one row becomes a window of one row (``flat_windows.py``).
- A Dense whose rows are then split apart is made part by part, when it is read (``late_rows.py``).
- Nodes that nobody needs go.
"""

from __future__ import annotations

import msgspec

from marram.compile.c.flat_windows import with_flat_windows
from marram.compile.c.islands import without_islands
from marram.compile.c.late_rows import with_late_rows
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, consumers, with_nodes
from marram.core.operators import Conv2D, DepthwiseConv2D, Dequantise, Gru, Lstm, Pad, Quantise, operator_name
from marram.model.reference.site import site_of
from marram.model.reference.tables import kernel_of


def lower(graph: Graph) -> Graph:
    """The integer graph that the C computes, byte for byte.

    Raises:
        UserError: the graph computes in floats somewhere; names the first such node.
    """
    work = _without_constants(without_islands(_without_borders(graph)))
    work = _without_pads(_without_dead(work))
    work = with_late_rows(with_flat_windows(work))
    _need_work(work)
    for node in work.nodes:
        for name in (*node.inputs, *node.outputs):
            if name and name not in work.constants and work.tensors[name].dtype not in {"int8", "int16"}:
                raise UserError(
                    f"tensor {name} is {work.tensors[name].dtype}, and C for microcontrollers is made of integers only",
                    where=f"graph {graph.name}, node {node.name} ({operator_name(node.op)})",
                    hint=_to_integers(node),
                )
    return work


def _to_integers(node: Node) -> str:
    if isinstance(node.op, Lstm | Gru):
        return (
            "Write it out over its steps, then quantise: marram.compress.unroll(graph), marram.compress.quantise(graph, ...)."
        )
    return "Quantise the graph first: marram.compress.quantise(graph, ...). An operator alone in floats becomes integers here."


def _need_work(graph: Graph) -> None:
    """Refuses graphs that compute nothing of their inputs, whole or in one of their outputs."""
    idle = [name for name in graph.outputs if name in graph.constants]
    if idle or not graph.nodes:
        raise UserError(
            f"output {idle[0]} does not depend on any input" if idle else "there is nothing to compute",
            where=f"graph {graph.name}",
            hint="Remove such outputs: they are constants of your program.",
        )


def _without_borders(graph: Graph) -> Graph:
    """Integer inputs and outputs in place of float ones that are converted at once."""
    readers = consumers(graph)
    gone: set[str] = set()
    inputs = []
    for name in graph.inputs:
        after = readers[name]
        if len(after) == 1 and isinstance(after[0].op, Quantise) and graph.tensors[name].dtype == "float32":
            inputs.append(after[0].outputs[0])
            gone.add(after[0].name)
        else:
            inputs.append(name)
    makers = {name: node for node in graph.nodes for name in node.outputs}
    outputs = []
    for name in graph.outputs:
        node = makers.get(name)
        if node is not None and isinstance(node.op, Dequantise) and not readers[name] and node.inputs[0] not in graph.inputs:
            outputs.append(node.inputs[0])
            gone.add(node.name)
        else:
            outputs.append(name)
    kept = [node for node in graph.nodes if node.name not in gone]
    return with_nodes(graph, kept, inputs=tuple(inputs), outputs=tuple(outputs))


def _without_constants(graph: Graph) -> Graph:
    """Nodes on constants alone become constants."""
    constants: dict[str, Array] = dict(graph.constants)
    kept = []
    for node in graph.nodes:
        if any(name and name not in constants for name in node.inputs):
            kept.append(node)
            continue
        results = kernel_of(site_of(graph, node, constants))(*(constants.get(name) for name in node.inputs))
        constants.update(zip(node.outputs, results, strict=False))
    return with_nodes(graph, kept, constants=constants)


def _without_dead(graph: Graph) -> Graph:
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return with_nodes(graph, reversed(kept))


def _without_pads(graph: Graph) -> Graph:
    """Padding with the zero point that only window operators read becomes their own."""
    readers = consumers(graph)
    merged: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        if not isinstance(node.op, Pad) or node.op.value != 0.0 or node.outputs[0] in graph.outputs:
            continue
        after = readers[node.outputs[0]]
        pads = node.op.paddings
        if len(pads) != 4 or any(pads[0]) or any(pads[3]) or not after:
            continue
        if not all(isinstance(reader.op, Conv2D | DepthwiseConv2D) and reader.inputs[0] == node.outputs[0] for reader in after):
            continue
        for reader in after:
            assert isinstance(reader.op, Conv2D | DepthwiseConv2D)
            top, bottom, left, right = reader.op.padding
            grown = (top + pads[1][0], bottom + pads[1][1], left + pads[2][0], right + pads[2][1])
            op = msgspec.structs.replace(reader.op, padding=grown)
            merged[reader.name] = msgspec.structs.replace(reader, op=op, inputs=(node.inputs[0], *reader.inputs[1:]))
        gone.add(node.name)
    return with_nodes(graph, [merged.get(node.name, node) for node in graph.nodes if node.name not in gone])
