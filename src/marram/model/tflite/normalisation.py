"""Layer normalisation, for which TFLite has no operator: one node <-> a handful of float operators.

Writing: mean, minus mean, square, mean, plus epsilon, reciprocal square root, times, times gamma, plus beta; all over the last
axis. Reading finds this form and the others that converters write (``FORMS``) wherever their operators stand, and gives the
node back. A reciprocal square root in any other place is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import LayerNorm, Relu, Relu6
from marram.model.tflite.contents import Contents, FileOperator
from marram.model.tflite.importing import Site
from marram.model.tflite.records import Parameter, Record, integers, shape, unwritable

# A form is an operator with the forms of its inputs; a string is a tensor, the same one wherever the string stands.
_MEAN = ("MEAN", "x", "axes")
_CENTRED = ("SUB", "x", _MEAN)
_SQUARES = (("MUL", _CENTRED, _CENTRED), ("SQUARED_DIFFERENCE", "x", _MEAN), ("SQUARED_DIFFERENCE", _MEAN, "x"))
_FACTORS = tuple(("RSQRT", ("ADD", ("MEAN", square, "variance axes"), "epsilon")) for square in _SQUARES)
FORMS: tuple[Any, ...] = tuple(
    form
    for factor in _FACTORS
    for scaled in (("MUL", factor, "gamma"),)
    for form in (
        ("ADD", ("MUL", ("MUL", _CENTRED, factor), "gamma"), "beta"),
        ("ADD", ("MUL", _CENTRED, scaled), "beta"),
        ("ADD", ("MUL", "x", scaled), ("SUB", "beta", ("MUL", _MEAN, scaled))),
    )
)
_COMMUTING = frozenset({"ADD", "MUL"})
_MOST_STEPS = 10**6
"""Comparisons spent on one file: a hundred layer norms take some ten thousand."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A layer norm in a file: the tensors by the names of the forms, and the operators that it is made of."""

    tensors: dict[str, int]
    operators: frozenset[int]


def found(contents: Contents) -> dict[int, Match]:
    """The layer norms of a file, by the index of the operator that computes the result."""
    if not any(operator.name == "RSQRT" for operator in contents.operators):
        return {}
    search = _Search(contents)
    matches = {}
    for operator in contents.operators:
        if operator.name == "ADD" and len(operator.outputs) == 1:
            match = search.match(operator)
            if match is not None:
                matches[operator.index] = match
    return matches


class _Search:
    """Matching of forms against one file."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.steps_left = _MOST_STEPS
        self.producers = {index: operator for operator in contents.operators for index in operator.outputs}
        self.readers: dict[int, set[int]] = {index: {-1} for index in contents.outputs}
        for operator in contents.operators:
            for index in operator.inputs:
                self.readers.setdefault(index, set()).add(operator.index)

    def match(self, root: FileOperator) -> Match | None:
        for form in FORMS:
            for bound in self.fit(form, root.outputs[0], {}):
                inside = frozenset(index for index in bound if isinstance(index, int))
                tensors = {name: index for name, index in bound.items() if isinstance(name, str)}
                if self.is_layer_norm(root, tensors, inside):
                    return Match(tensors=tensors, operators=inside)
        return None

    def fit(self, form: Any, index: int, bound: dict[str | int, int]) -> Iterator[dict[str | int, int]]:
        """Every way in which the tensor is computed as the form says: names -> tensors, and the operators used."""
        self.steps_left -= 1
        if self.steps_left < 0:
            return
        if isinstance(form, str):
            if bound.get(form, index) == index:
                yield {**bound, form: index}
            return
        operator = self.producers.get(index)
        name, *parts = form
        if operator is None or operator.name != name or len(operator.inputs) != len(parts) or len(operator.outputs) != 1:
            return
        bound = {**bound, operator.index: index}
        orders = [operator.inputs, operator.inputs[::-1]] if name in _COMMUTING else [operator.inputs]
        for first, *rest in orders:
            for partly in self.fit(parts[0], first, bound):
                if rest:
                    yield from self.fit(parts[1], rest[0], partly)
                else:
                    yield partly

    def is_layer_norm(self, root: FileOperator, tensors: dict[str, int], inside: frozenset[int]) -> bool:
        """Whether what fits a form normalises over the last axis and keeps its inner results to itself."""
        described = self.contents.tensors
        size = described[tensors["x"]].shape[-1:]
        vectors = all(described[tensors[name]].shape == size for name in ("gamma", "beta"))
        floats = all(described[self.contents.operators[index].outputs[0]].dtype == "float32" for index in inside)
        inner = [self.contents.operators[index] for index in inside if index != root.index]
        private = all(self.readers[operator.outputs[0]] <= inside for operator in inner)
        return bool(size) and vectors and floats and private and all(map(_is_plain, inner))


def _is_plain(operator: FileOperator) -> bool:
    """No fused activation, and a mean that keeps its axis."""
    options = operator.options[1] if operator.options else {}
    return not options.get("fused_activation_function", 0) and (operator.name != "MEAN" or bool(options.get("keep_dims")))


def read(site: Site, match: Match) -> None:
    """Emit the layer norm whose result ``site`` computes."""
    state, tensors = site.state, match.tensors
    rank = len(state.contents.tensors[tensors["x"]].shape)
    for name in ("axes", "variance axes"):
        axes = site.integers_of(tensors[name])
        if axes not in {(-1,), (rank - 1,)}:
            site.refuse(f"in a normalisation over axes {axes}")
    epsilon = state.value(tensors["epsilon"])
    if epsilon is None or epsilon.size != 1:
        site.refuse("in a normalisation with a computed epsilon")
    if any(state.value(tensors[name]) is None for name in ("gamma", "beta")):
        site.refuse("in a normalisation with computed weights")
    op = LayerNorm(epsilon=float(epsilon.reshape(()).item()))
    inputs = [site.name_of(tensors[name]) for name in ("x", "gamma", "beta")]
    activation = site.activation("AddOptions")
    if activation == "none":
        site.emit(op, inputs)
        return
    if activation == "relu_n1_to_1":
        site.refuse("with fused relu_n1_to_1")
    linear = site.temporary("normalised")
    site.emit(op, inputs, [linear], part="_normalised")
    site.emit(Relu() if activation == "relu" else Relu6(), [linear])


def records(node: Node, graph: Graph) -> list[tuple[Record, tuple[Tensor, ...]]]:
    """The nine operators of a layer norm and the tensors they write.

    Raises:
        UserError: the node computes on integers.
    """
    assert isinstance(node.op, LayerNorm)
    y = graph.tensors[node.outputs[0]]
    if y.dtype != "float32":
        raise unwritable(node, "a layer norm on integers", hint="Keep it in float: name it in keep_float of Quantise.")
    x, gamma, beta = node.inputs
    full = shape(node, graph)
    column = (*full[:-1], 1)
    axes = integers("axes", len(full) - 1)
    epsilon = Parameter(label="epsilon", value=np.array(node.op.epsilon, np.float32))
    mean, centred, square, variance, total, factor, normal, scaled = (f"{y.name}/{part}" for part in _PARTS)
    keep: tuple[str, dict[str, Any]] = ("ReducerOptions", {"keep_dims": True})
    add: tuple[str, dict[str, Any]] = ("AddOptions", {})
    sub: tuple[str, dict[str, Any]] = ("SubOptions", {})
    mul: tuple[str, dict[str, Any]] = ("MulOptions", {})
    steps = [
        (Record(operator="MEAN", inputs=(x, axes), options=keep), mean, column),
        (Record(operator="SUB", inputs=(x, mean), options=sub), centred, full),
        (Record(operator="MUL", inputs=(centred, centred), options=mul), square, full),
        (Record(operator="MEAN", inputs=(square, axes), options=keep), variance, column),
        (Record(operator="ADD", inputs=(variance, epsilon), options=add), total, column),
        (Record(operator="RSQRT", inputs=(total,)), factor, column),
        (Record(operator="MUL", inputs=(centred, factor), options=mul), normal, full),
        (Record(operator="MUL", inputs=(normal, gamma), options=mul), scaled, full),
        (Record(operator="ADD", inputs=(scaled, beta), options=add), y.name, full),
    ]
    return [(record, (msgspec.structs.replace(y, name=name, shape=size),)) for record, name, size in steps]


_PARTS = ("mean", "centred", "square", "variance", "sum", "factor", "normal", "scaled")
