"""Float islands of one operator: Dequantise -> operator -> Quantise becomes the operator's integer form.

The integers that come out are those of the integer rule, not those that the floats would have been rounded to: the two differ
by a step here and there. Layer norm is what quantised graphs leave in floats; the others are there for graphs from files.
"""

from __future__ import annotations

import msgspec

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor, consumers, fresh_name, with_nodes
from marram.model.reference.site import site_of
from marram.model.reference.tables import EITHER, INTEGER, kernel_of
from marram.model.spec import RULES


def without_islands(graph: Graph) -> Graph:
    """The graph with every such operator in integers; where there is no integer rule for it, it stays as it is."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    readers = consumers(graph)
    tensors: dict[str, Tensor] = {}
    replaced: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        found = _integer_form(graph, node, makers, readers, tensors)
        if found is not None:
            after = readers[node.outputs[0]]
            replaced[node.name] = ()
            replaced.update({reader.name: () for reader in after})
            replaced[after[0].name] = found  # where the value is first there in integers
    nodes = [new for node in graph.nodes for new in replaced.get(node.name, (node,))]
    return _without_idle(with_nodes(graph, nodes, tensors=tensors))


def _integer_form(
    graph: Graph, node: Node, makers: dict[str, Node], readers: dict[str, list[Node]], tensors: dict[str, Tensor]
) -> tuple[Node, ...] | None:
    """The nodes that stand for the operator and the Quantise nodes after it; new tensors are added to ``tensors``."""
    if type(node.op) not in {*INTEGER, *EITHER} - {ops.Quantise, ops.Dequantise} or len(node.outputs) != 1:
        return None
    after = readers[node.outputs[0]]
    if not after or node.outputs[0] in graph.outputs or not all(isinstance(reader.op, ops.Quantise) for reader in after):
        return None
    inputs = tuple(_integer_name(graph, name, makers) for name in node.inputs)
    if graph.tensors[node.outputs[0]].dtype != "float32" or any(name is None for name in inputs):
        return None
    made: list[Node] = []
    for reader in after:
        target = graph.tensors[reader.outputs[0]]
        own = _own_quantisation(graph, node, tuple(name or "" for name in inputs), target)
        result = target
        if own != target.quantisation:
            name = fresh_name({**graph.tensors, **tensors}, f"{target.name}/own")
            result = msgspec.structs.replace(target, name=name, quantisation=own)
            tensors[name] = result
            made.append(msgspec.structs.replace(reader, inputs=(name,)))
        core = Node(name=f"{reader.name}/integer", op=node.op, inputs=tuple(n or "" for n in inputs), outputs=(result.name,))
        if not _has_rule(graph, core, tensors):
            return None
        made.insert(len(made) - 1 if own != target.quantisation else len(made), core)
    return tuple(made)


def _integer_name(graph: Graph, name: str, makers: dict[str, Node]) -> str | None:
    """The integer tensor behind an input; parameters stay as they are; None where the input is computed in floats."""
    if not name or name in graph.constants:
        return name
    maker = makers.get(name)
    return maker.inputs[0] if maker is not None and isinstance(maker.op, ops.Dequantise) else None


def _own_quantisation(graph: Graph, node: Node, inputs: tuple[str, ...], target: Tensor) -> Quantisation | None:
    """What the integer rule gives: a fixed quantisation, that of the input, or any that is asked for."""
    rule = RULES[type(node.op)]
    if rule.fixed_output is not None:
        return rule.fixed_output
    return graph.tensors[inputs[0]].quantisation if rule.same_scale else target.quantisation


def _has_rule(graph: Graph, node: Node, tensors: dict[str, Tensor]) -> bool:
    known = msgspec.structs.replace(graph, tensors={**graph.tensors, **tensors})
    try:
        kernel_of(site_of(known, node, graph.constants))
    except UserError:
        return False
    return True


def _without_idle(graph: Graph) -> Graph:
    """Dequantise nodes that nobody reads any more go."""
    readers = consumers(graph)
    kept = [
        node
        for node in graph.nodes
        if not isinstance(node.op, ops.Dequantise) or readers[node.outputs[0]] or node.outputs[0] in graph.outputs
    ]
    return with_nodes(graph, kept)
