"""Rewriting: a Graph and the order in which each tensor is to be stored -> the Graph that stores them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor, fresh_name, with_nodes
from marram.core.operators import Operator
from marram.model.layout.permutations import Label, conversion, identity, keeps_order, permute
from marram.model.layout.rules import Form


def rewrite(graph: Graph, labels: Mapping[str, Label], forms: Sequence[Form]) -> Graph:
    """The graph whose tensors are stored by their labels, transposes only where two orders meet.

    Args:
        graph: what is computed; its inputs and outputs keep their order.
        labels: the stored order of each activation.
        forms: for each node, the form it takes.
    """
    page = _Page(graph, labels)
    for node, form in zip(graph.nodes, forms, strict=True):
        page.write(node, form)
    return page.finish()


class _Page:
    """The new Graph while it is written."""

    def __init__(self, graph: Graph, labels: Mapping[str, Label]) -> None:
        self.graph = graph
        self.labels = labels
        self.nodes: list[Node] = []
        self.names = dict.fromkeys(node.name for node in graph.nodes)
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.stored: dict[tuple[str, Label], str] = {}
        for name in (*graph.inputs, *graph.constants):
            self.stored[name, identity(len(graph.tensors[name].shape))] = name

    def write(self, node: Node, form: Form) -> None:
        """One node in its form, with the transposes that it needs before and after it."""
        if isinstance(node.op, ops.Transpose):
            (name,), (label,) = node.outputs, form.outputs
            self.stored[name, label] = self.read(node.inputs[0], form.inputs[0])
            return
        inputs = tuple(self.read(name, label) if name else "" for name, label in zip(node.inputs, form.inputs, strict=True))
        outputs = []
        for name, given in zip(node.outputs, form.outputs, strict=False):
            plain = given == identity(len(given))
            target = name if plain or (name not in self.graph.outputs and given == self.labels[name]) else self.fresh(name)
            self.tensors[target] = _stored(self.graph.tensors[name], target, given)
            self.stored[name, given] = target
            outputs.append(target)
        self.nodes.append(replace(node, op=form.op, inputs=inputs, outputs=tuple(outputs)))
        for name, given in zip(node.outputs, form.outputs, strict=False):
            if given != self.labels[name]:
                self.read(name, self.labels[name])

    def fresh(self, name: str) -> str:
        """A tensor's name for another order of the same tensor."""
        return fresh_name(self.tensors, f"{name}_permuted")

    def read(self, name: str, label: Label | None) -> str:
        """The name of a tensor that holds ``name`` in the order ``label``; it is made if there is none."""
        shape = self.graph.tensors[name].shape
        if label is None or label == identity(len(label)):
            label = identity(len(shape))
        if (name, label) in self.stored:
            return self.stored[name, label]
        if name in self.graph.constants:
            return self.stored.setdefault((name, label), self._constant(name, label))
        held = identity(len(shape)) if len(label) > len(shape) else self.labels[name]
        if (name, held) not in self.stored:  # stored otherwise only, by an alias of a transpose
            held = next(known for other, known in self.stored if other == name)
        source, full = self.stored[name, held], shape
        if len(label) > len(shape):
            source = self.read(name, identity(len(shape)))
            full = (1,) * (len(label) - len(shape)) + shape
            held = identity(len(label))
        turn = conversion(held, label)
        target = self.fresh(name)
        self.tensors[target] = _stored(replace(self.graph.tensors[name], shape=full), target, label)
        self._emit(_moving(permute(full, held), turn), source, target)
        self.stored[name, label] = target
        return target

    def _emit(self, op: Operator, source: str, target: str) -> None:
        name = fresh_name(self.names, target)
        self.names[name] = None
        self.nodes.append(Node(name=name, op=op, inputs=(source,), outputs=(target,)))

    def _constant(self, name: str, label: Label) -> str:
        """A permuted copy of a constant, expanded to the rank of the label."""
        target, tensor = self.fresh(name), self.graph.tensors[name]
        missing = len(label) - len(tensor.shape)
        value = self.graph.constants[name].reshape((1,) * missing + tensor.shape).transpose(label)
        self.constants[target] = np.array(value, order="C")
        quantised = tensor.quantisation
        if quantised is not None and quantised.axis is not None:
            quantised = replace(quantised, axis=quantised.axis + missing)
        full = replace(tensor, shape=(1,) * missing + tensor.shape, quantisation=quantised)
        self.tensors[target] = _stored(full, target, label)
        return target

    def finish(self) -> Graph:
        """The whole graph, its outputs under their own names and in logical order."""
        renamed: dict[str, str] = {}
        kept = {*self.graph.inputs, *self.graph.constants, *self.graph.outputs}
        for name in self.graph.outputs:
            held = self.read(name, identity(len(self.graph.tensors[name].shape)))
            if held == name or renamed.get(held) == name:
                continue
            if held in kept or held in renamed:
                self._emit(ops.Reshape(shape=self.graph.tensors[name].shape), renamed.get(held, held), name)
            else:
                renamed[held] = name
        nodes = [_renamed(node, renamed) for node in self.nodes]
        tensors = {**self.tensors, **{name: self.graph.tensors[name] for name in self.graph.outputs}}
        return with_nodes(self.graph, nodes, tensors=tensors, constants=self.constants)


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
    )


def _moving(shape: tuple[int, ...], turn: Label) -> Operator:
    """A transpose, or the reshape that does the same where no element changes its place."""
    if keeps_order(shape, turn):
        return ops.Reshape(shape=permute(shape, turn))
    return ops.Transpose(permutation=turn)


def _stored(tensor: Tensor, name: str, label: Label) -> Tensor:
    """What is known of a tensor stored by a label."""
    quantised = tensor.quantisation
    if quantised is not None and quantised.axis is not None:
        quantised = replace(quantised, axis=label.index(quantised.axis))
    return replace(tensor, name=name, shape=permute(tensor.shape, label), quantisation=quantised)


def tidy(graph: Graph) -> Graph:
    """The graph without reshapes of reshapes, reshapes that change nothing, and nodes whose results nobody needs."""
    origin: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.op, ops.Reshape):
            source = origin.get(node.inputs[0], node.inputs[0])
            if graph.tensors[source].shape == node.op.shape and node.outputs[0] not in graph.outputs:
                origin[node.outputs[0]] = source
                continue
            origin[node.outputs[0]] = source
            nodes.append(replace(node, inputs=(source,)))
        else:
            nodes.append(node)
    same = {name: source for name, source in origin.items() if graph.tensors[source].shape == graph.tensors[name].shape}
    straight = [replace(node, inputs=tuple(_shortcut(name, same, graph) for name in node.inputs)) for node in nodes]
    return with_nodes(graph, _needed(straight, graph.outputs))


def _shortcut(name: str, same: Mapping[str, str], graph: Graph) -> str:
    return same[name] if name in same and name not in graph.outputs else name


def _needed(nodes: list[Node], outputs: Sequence[str]) -> list[Node]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
