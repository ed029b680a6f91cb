"""The front of a graph in bands of columns: the same computation, made band by band from the input to one tensor.

What the memory planner cannot do is cut columns: its rings have rows as wide as the image. Here the nodes from the input up
to a tensor are written once for each band of that tensor's columns; each band reads no more columns than it needs, and what
two bands need is made twice. The planner then rolls rows in each band, as it does anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor, consumers, fresh_name, with_nodes
from marram.model.counts import counts

Columns = tuple[int, int]
"""Columns ``[first, past)`` of an image."""

_WINDOWS = (ops.Conv2D, ops.DepthwiseConv2D, ops.AveragePool2D, ops.MaxPool2D)
_ELEMENTWISE = (ops.Add, ops.Sub, ops.Mul, ops.Relu, ops.Relu6, ops.LeakyRelu, ops.HardSwish, ops.Sigmoid, ops.Tanh, ops.Gelu)
_POINTWISE = (*_ELEMENTWISE, ops.Quantise, ops.Concat, ops.Softmax)
_ACROSS = 2  # the axis of columns


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """The first ``nodes`` nodes, of which nothing but ``tensor`` is read by later ones."""

    nodes: int
    tensor: str


class Patched(msgspec.Struct, frozen=True, kw_only=True):
    """A graph whose front is made in bands, equal to the one that it was made from.

    ``joined`` is the Concat of the bands, the one node that is new beside copies and Slices. ``macs_again`` are those that
    the graph has more than the one it was made from, which has ``macs``.
    """

    graph: Graph
    cut: Cut
    bands: tuple[Columns, ...]
    joined: str
    macs: int
    macs_again: int

    @property
    def again(self) -> float:
        """The share of all MACs that are made again."""
        return self.macs_again / self.macs if self.macs else 0.0


def cuts(graph: Graph) -> Iterator[Cut]:
    """Where the front of a lowered graph can end: it has images only, from its one input on, and leaves one tensor."""
    if len(graph.inputs) != 1 or not _is_image(graph.input_tensors[0]):
        return
    source, readers = graph.inputs[0], consumers(graph)
    left = {name: len(found) for name, found in readers.items()}
    alive: set[str] = set()
    for index, node in enumerate(graph.nodes):
        if not _can_be_cut(graph, node):
            return
        for name in dict.fromkeys(node.inputs):
            if name in alive:
                left[name] -= 1
                if not left[name] and name not in graph.outputs:
                    alive.discard(name)
        alive.update(node.outputs)
        tensor = graph.tensors[node.outputs[0]]
        if alive == {tensor.name} and tensor.shape[_ACROSS] > 1 and tensor.name != source:
            yield Cut(nodes=index + 1, tensor=tensor.name)


def _is_image(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[1] > 1


def _can_be_cut(graph: Graph, node: Node) -> bool:
    """Whether columns of a node's output can be made from columns of its inputs."""
    read = [graph.tensors[name] for name in node.inputs if name and name not in graph.constants]
    if len(node.outputs) != 1 or not all(_is_image(tensor) for tensor in (*read, graph.tensors[node.outputs[0]])):
        return False
    op = node.op
    if isinstance(op, _WINDOWS):
        return len(read) == 1
    if isinstance(op, ops.Concat | ops.Softmax):
        return not isinstance(op, ops.Concat) or op.axis in {-1, 3}
    return isinstance(op, (*_POINTWISE, ops.Pad))


def needed(graph: Graph, cut: Cut, columns: Columns) -> dict[str, Columns] | None:
    """The columns of each tensor up to a cut that given columns of the cut tensor need.

    None where a node would be left with nothing but padding to look at.
    """
    found: dict[str, Columns] = {cut.tensor: columns}
    for node in reversed(graph.nodes[: cut.nodes]):
        for name in _activations(graph, node):
            met = _met(graph, node, name, found[node.outputs[0]])[0]
            if met[0] >= met[1]:
                return None
            known = found.get(name, met)
            found[name] = min(known[0], met[0]), max(known[1], met[1])
    return found


def _activations(graph: Graph, node: Node) -> list[str]:
    return [name for name in node.inputs if name and name not in graph.constants]


def _met(graph: Graph, node: Node, name: str, columns: Columns) -> tuple[Columns, Columns]:
    """The columns of an input that columns of a node's output are made from, and the padding (left, right) beside them."""
    width = graph.tensors[name].shape[_ACROSS]
    op, (begin, end) = node.op, columns
    if isinstance(op, ops.Conv2D | ops.DepthwiseConv2D | ops.AveragePool2D | ops.MaxPool2D):
        reach = _kernel(graph, node)
        begin = begin * op.stride[1] - op.padding[2]
        end = (end - 1) * op.stride[1] - op.padding[2] + reach
    elif isinstance(op, ops.Pad):
        begin, end = begin - op.paddings[_ACROSS][0], end - op.paddings[_ACROSS][0]
    elif width == 1:
        return (0, 1), (0, 0)  # of one column, for all
    first, past = max(begin, 0), min(end, width)
    return (first, past), (first - begin, end - past)


def _kernel(graph: Graph, node: Node) -> int:
    """Columns from the first to one past the last of a window."""
    op = node.op
    if isinstance(op, ops.AveragePool2D | ops.MaxPool2D):
        return op.kernel[1]
    assert isinstance(op, ops.Conv2D | ops.DepthwiseConv2D)
    return (graph.tensors[node.inputs[1]].shape[2] - 1) * op.dilation[1] + 1


def patched(graph: Graph, cut: Cut, bands: int) -> Patched | None:
    """The graph with its front in bands of columns that are as wide as each other, give or take one.

    Args:
        graph: lowered.
        cut: one of its ``cuts``.
        bands: how many, 2 or more; the cut tensor has at least as many columns.

    Returns:
        None where a band would be made of padding alone.
    """
    width = graph.tensors[cut.tensor].shape[_ACROSS]
    parts = tuple((width * band // bands, width * (band + 1) // bands) for band in range(bands))
    writer = _Writer(graph, cut)
    for part in parts:
        if not writer.write(part):
            return None
    joined = fresh_name({node.name: node for node in (*graph.nodes, *writer.nodes)}, f"bands of {cut.tensor}")
    node = Node(name=joined, op=ops.Concat(axis=_ACROSS), inputs=tuple(writer.made), outputs=(cut.tensor,))
    made = with_nodes(
        graph, [*writer.nodes, node, *graph.nodes[cut.nodes :]], tensors=writer.tensors, constants=writer.constants
    )
    macs = counts(graph).macs
    return Patched(graph=made, cut=cut, bands=parts, joined=joined, macs=macs, macs_again=counts(made).macs - macs)


class _Writer:
    """The nodes of band after band."""

    def __init__(self, graph: Graph, cut: Cut) -> None:
        self.graph = graph
        self.cut = cut
        self.nodes: list[Node] = []
        self.made: list[str] = []
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.parts: dict[tuple[str, Columns], str] = {}
        self.taken = {node.name: node for node in graph.nodes}

    def write(self, columns: Columns) -> bool:
        """Adds the nodes of one band; False where that cannot be."""
        found = needed(self.graph, self.cut, columns)
        if found is None:
            return False
        self.parts = {(name, (0, self.graph.tensors[name].shape[_ACROSS])): name for name in self.graph.inputs}
        held = {name: (0, self.graph.tensors[name].shape[_ACROSS]) for name in self.graph.inputs}
        for node in self.graph.nodes[: self.cut.nodes]:
            if node.outputs[0] in found:
                self._copy(node, found[node.outputs[0]], held)
                held[node.outputs[0]] = found[node.outputs[0]]
        self.made.append(self.parts[self.cut.tensor, columns])
        return True

    def _copy(self, node: Node, columns: Columns, held: dict[str, Columns]) -> None:
        padding = (0, 0)
        inputs: list[str] = []
        for name in node.inputs:
            if not name:
                inputs.append(name)
            elif name in self.graph.constants:
                inputs.append(self._constant(node, name, columns))
            else:
                met, padding = _met(self.graph, node, name, columns)
                inputs.append(self._part(name, met, held[name]))
        output = self._tensor(node.outputs[0], columns)
        self._add(node.name, _padded(node.op, padding), tuple(inputs), output, columns)
        self.parts[node.outputs[0], columns] = output

    def _part(self, name: str, columns: Columns, held: Columns) -> str:
        """The name of columns of a tensor: those that are held, or a Slice of them."""
        if (name, columns) not in self.parts:
            _, height, _, channels = self.graph.tensors[name].shape
            op = ops.Slice(
                begin=(0, 0, columns[0] - held[0], 0), end=(1, height, columns[1] - held[0], channels), strides=(1, 1, 1, 1)
            )
            output = self._tensor(name, columns)
            self._add(name, op, (self.parts[name, held],), output, columns)
            self.parts[name, columns] = output
        return self.parts[name, columns]

    def _add(self, name: str, op: ops.Operator, inputs: tuple[str, ...], output: str, columns: Columns) -> None:
        name = fresh_name(self.taken, f"{name}, columns {columns[0]} to {columns[1] - 1}")
        self.taken[name] = Node(name=name, op=op, inputs=inputs, outputs=(output,))
        self.nodes.append(self.taken[name])

    def _tensor(self, name: str, columns: Columns) -> str:
        """A new tensor for columns of one."""
        whole = self.graph.tensors[name]
        found = fresh_name(self.tensors, f"{name}, columns {columns[0]} to {columns[1] - 1}")
        shape = (*whole.shape[:_ACROSS], columns[1] - columns[0], *whole.shape[_ACROSS + 1 :])
        self.tensors[found] = msgspec.structs.replace(whole, name=found, shape=shape)
        return found

    def _constant(self, node: Node, name: str, columns: Columns) -> str:
        """A constant operand, cut where it has columns of its own."""
        tensor = self.graph.tensors[name]
        axis = len(tensor.shape) - 2
        if not isinstance(node.op, _POINTWISE) or axis < 0 or tensor.shape[axis] == 1:
            return name
        found = fresh_name(self.tensors, f"{name}, columns {columns[0]} to {columns[1] - 1}")
        values = np.take(self.graph.constants[name], range(*columns), axis=axis)
        self.tensors[found] = msgspec.structs.replace(tensor, name=found, shape=tuple(values.shape))
        self.constants[found] = values
        return found


def _padded(op: ops.Operator, padding: Columns) -> ops.Operator:
    """The operator with other padding to the left and to the right."""
    if isinstance(op, ops.Conv2D | ops.DepthwiseConv2D | ops.AveragePool2D | ops.MaxPool2D):
        return msgspec.structs.replace(op, padding=(*op.padding[:2], *padding))
    if isinstance(op, ops.Pad):
        return msgspec.structs.replace(op, paddings=(*op.paddings[:_ACROSS], padding, *op.paddings[_ACROSS + 1 :]))
    return op
