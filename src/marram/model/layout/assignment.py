"""The search: which order each tensor is best stored in, so that the fewest elements are moved by transposes.

Each activation has a label, at first the identity. Where a node would need a transpose, storing the tensor in the wanted order
is tried, flooded through every operator that follows suit; it is kept if the whole then costs less. Costs fall with each step,
so the search ends. Ties stay as they are and nodes are tried in order, hence the result depends on the Graph alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from marram.core import operators as ops
from marram.core.graph import Graph
from marram.model.layout.flattening import reshapes_after_dense, reshapes_before_dense
from marram.model.layout.permutations import Label, Shape, conversion, identity, keeps_order, permute
from marram.model.layout.rules import Form, Sides, bound_form, form_from_input, form_from_output

_CALL = 256
"""What one more node costs, in elements moved."""
_ROUNDS = 12
_BUDGET = 2_000_000
"""Tensors and nodes that a search may touch; past it the labels found so far stand. A net of 1,000 nodes needs far less."""
_RANK_CHANGING = (ops.Reshape, ops.Mean, ops.Sum)


class Assignment:
    """The labels of a Graph's activations while they are searched, and what they cost."""

    def __init__(self, graph: Graph, *, first: bool) -> None:
        """Start with every tensor stored as it is; with ``first``, spatial operators want channels first."""
        self.graph = graph
        self.first = first
        self.shapes = {name: tensor.shape for name, tensor in graph.tensors.items()}
        self.sides = [
            Sides(
                tuple(self.shapes[name] if name else () for name in node.inputs),
                tuple(self.shapes[name] for name in node.outputs),
            )
            for node in graph.nodes
        ]
        self.fixed = set(graph.inputs) | set(graph.constants)
        self.labels = {name: identity(len(shape)) for name, shape in self.shapes.items()}
        self.writer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {name: [] for name in self.shapes}
        for index, node in enumerate(graph.nodes):
            self.writer.update(dict.fromkeys(node.outputs, index))
            for name in dict.fromkeys(filter(None, node.inputs)):
                self.readers[name].append(index)
        self.free_inputs = frozenset() if first else reshapes_before_dense(graph)
        self.free_outputs = frozenset() if first else reshapes_after_dense(graph)
        self.forms = [self._form(index) for index in range(len(graph.nodes))]
        self.outputs = frozenset(graph.outputs)
        self.spent = 0

    def search(self) -> None:
        """Improve the labels until no single flood makes the whole cheaper."""
        for _ in range(_ROUNDS):
            improved = False
            for index in range(len(self.graph.nodes)):
                for name, label in list(self._wishes(index)):
                    improved = self._try(name, label) or improved
            if not improved:
                return

    def _form(self, index: int) -> Form:
        node, sides = self.graph.nodes[index], self.sides[index]
        form = form_from_output(node.op, sides, self.labels[node.outputs[0]], first=self.first)
        source = self.labels[node.inputs[0]]
        if form is None and (len(source) == len(sides.outputs[0]) or isinstance(node.op, _RANK_CHANGING)):
            form = form_from_input(node.op, sides, source, first=self.first)
        return form or bound_form(node.op, sides, first=self.first)

    def _wishes(self, index: int) -> Iterator[tuple[str, Label]]:
        """Labels that would spare this node a transpose."""
        node, form = self.graph.nodes[index], self.forms[index]
        for name, label in zip(node.inputs, form.inputs, strict=True):
            if name and label is not None and self._relabels(name, label):
                yield name, label
        for name, label in zip(node.outputs, form.outputs, strict=False):
            if self._relabels(name, label):
                yield name, label
        if isinstance(node.op, ops.Transpose) and node.inputs[0] in self.labels:
            follows = form_from_input(node.op, self.sides[index], self.labels[node.inputs[0]], first=self.first)
            if follows is not None and self._relabels(node.outputs[0], follows.outputs[0]):
                yield node.outputs[0], follows.outputs[0]

    def _relabels(self, name: str, label: Label) -> bool:
        return name not in self.fixed and len(label) == len(self.shapes[name]) and label != self.labels[name]

    def _try(self, name: str, label: Label) -> bool:
        """Flood a label from a tensor; keep it if that is cheaper."""
        if not self._relabels(name, label):
            return False
        if self.spent > _BUDGET:
            return False
        flooded = self._flood(name, label)
        touched = {i for tensor in flooded for i in (*self.readers[tensor], *self._written_by(tensor))}
        near = {t for i in touched for t in (*self.graph.nodes[i].inputs, *self.graph.nodes[i].outputs) if t}
        self.spent += len(touched) + len(near)
        before = sum(map(self._cost, near))
        old_labels = {tensor: self.labels[tensor] for tensor in flooded}
        old_forms = {i: self.forms[i] for i in touched}
        self.labels.update(flooded)
        for i in touched:
            self.forms[i] = self._form(i)
        if sum(map(self._cost, near)) < before:
            return True
        self.labels.update(old_labels)
        for i, form in old_forms.items():
            self.forms[i] = form
        return False

    def _written_by(self, name: str) -> list[int]:
        return [self.writer[name]] if name in self.writer else []

    def _flood(self, name: str, label: Label) -> dict[str, Label]:
        """The labels that follow from one, through operators that take the order of their neighbours."""
        found = {name: label}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            for index in (*self._written_by(current), *self.readers[current]):
                node = self.graph.nodes[index]
                if isinstance(node.op, ops.Transpose):
                    continue
                for other, follows in self._neighbours(index, current, found[current]):
                    if other not in found and other not in self.fixed and len(follows) == len(self.shapes[other]):
                        found[other] = follows
                        waiting.append(other)
        return found

    def _neighbours(self, index: int, name: str, label: Label) -> Iterator[tuple[str, Label]]:
        node, sides = self.graph.nodes[index], self.sides[index]
        written = name in node.outputs
        if not written and len(label) != len(sides.outputs[0]) and not isinstance(node.op, _RANK_CHANGING):
            return  # a broadcast operand of lower rank has its own order
        derive = form_from_output if written else form_from_input
        form = derive(node.op, sides, label, first=self.first)
        if form is None:
            return
        for other, follows in zip(node.inputs, form.inputs, strict=True):
            if other and follows is not None:
                yield other, follows
        yield from zip(node.outputs, form.outputs, strict=False)

    def _cost(self, name: str) -> int:
        """Elements that transposes of this tensor move, plus a charge for each."""
        if name in self.graph.constants:
            return 0
        shape, held = self.shapes[name], self.labels[name]
        wanted: set[Label] = set()
        for index in self.readers[name]:
            node, form = self.graph.nodes[index], self.forms[index]
            for other, label in zip(node.inputs, form.inputs, strict=True):
                if other == name and label is not None and len(label) == len(shape):
                    if index in self.free_inputs and conversion(held, label)[0] == 0:
                        continue
                    wanted.add(label)
        if name in self.outputs:
            wanted.add(identity(len(shape)))
        total = sum(_moved(shape, held, label) for label in wanted)
        for index in self._written_by(name):
            given = self.forms[index].outputs[self.graph.nodes[index].outputs.index(name)]
            if not (index in self.free_outputs and conversion(given, held)[0] == 0):
                total += _moved(shape, given, held)
        return total


def _moved(shape: Shape, held: Label, wanted: Label) -> int:
    if held == wanted:
        return 0
    if keeps_order(permute(shape, held), conversion(held, wanted)):
        return 1
    return _CALL + prod(shape)
