"""Several graphs as one, side by side: one file of C, one image for a core, for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.core.graph import Array, Graph, Node, Tensor


def joined(graphs: Sequence[Graph], *, name: str = "joined") -> Graph:
    """A graph with the inputs, the nodes and the outputs of all; names get the number of their graph before them."""
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Array] = {}
    nodes: list[Node] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for number, graph in enumerate(graphs):

        def named(old: str, number: int = number) -> str:
            return f"g{number}/{old}" if old else ""

        tensors |= {named(old): msgspec.structs.replace(tensor, name=named(old)) for old, tensor in graph.tensors.items()}
        constants |= {named(old): value for old, value in graph.constants.items()}
        nodes += [
            Node(
                name=named(node.name),
                op=node.op,
                inputs=tuple(map(named, node.inputs)),
                outputs=tuple(map(named, node.outputs)),
            )
            for node in graph.nodes
        ]
        inputs += map(named, graph.inputs)
        outputs += map(named, graph.outputs)
    return Graph(
        name=name, inputs=tuple(inputs), outputs=tuple(outputs), tensors=tensors, constants=constants, nodes=tuple(nodes)
    )
