"""Ties: which activations of an integer Graph share one step size, and which of these may be learnt.

Operators that only move numbers have one quantisation for inputs and outputs; so have the same parts of an unrolled recurrent
node's steps, and inputs of layers that share a bias. Outputs of softmax, sigmoid and tanh are fixed, and inputs may be given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
import numpy as np

from marram.compress.integers.scales import activations
from marram.compress.rewrites.recurrence import tied
from marram.core.graph import Graph, Node, Quantisation
from marram.model.spec import RULES


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Tensors of one quantisation: whether its scale may be learnt, elements of the largest one, its greatest integer."""

    tensors: tuple[str, ...]
    quantisation: Quantisation
    learnt: bool
    size: int
    greatest: int


def groups(integer: Graph, *, given: Collection[str] = ()) -> tuple[Group, ...]:
    """The groups of all quantised activations, in the order of their first tensors.

    Args:
        integer: an integer Graph.
        given: inputs whose quantisation must stay.
    """
    names = dict.fromkeys(
        name
        for name in (*integer.inputs, *(n for node in integer.nodes for n in activations(node)), *integer.outputs)
        if integer.tensors[name].quantisation is not None
    )
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for tied_names in _equal(integer):
        for other in tied_names[1:]:
            parent[root(other)] = root(tied_names[0])
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(root(name), []).append(name)
    fixed = {*given, *(node.outputs[0] for node in integer.nodes if RULES[type(node.op)].fixed_output is not None)}
    return tuple(_group(integer, tuple(found), fixed) for found in members.values())


def _group(integer: Graph, names: tuple[str, ...], fixed: set[str]) -> Group:
    first = integer.tensors[names[0]]
    assert first.quantisation is not None
    return Group(
        tensors=names,
        quantisation=first.quantisation,
        learnt=fixed.isdisjoint(names) and not all(name in integer.constants for name in names),
        size=max(integer.tensors[name].size for name in names),
        greatest=int(np.iinfo(first.dtype).max),
    )


def _equal(integer: Graph) -> Iterator[tuple[str, ...]]:
    """Sets of tensors that must keep one quantisation."""
    readers: dict[str, list[Node]] = {}
    for node in integer.nodes:
        rule = RULES[type(node.op)]
        if rule.same_scale:
            yield tuple(name for name in activations(node) if integer.tensors[name].quantisation is not None)
        if rule.bias is not None and len(node.inputs) > rule.bias and node.inputs[rule.bias]:
            readers.setdefault(node.inputs[rule.bias], []).append(node)
    for nodes in readers.values():
        yield tuple(node.inputs[0] for node in nodes if integer.tensors[node.inputs[0]].quantisation is not None)
    for names in tied(integer.nodes):
        yield from _alike(integer, names)


def _alike(integer: Graph, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Names in sets of equal dtype and quantisation; floats are left out."""
    found: dict[tuple[str, Quantisation], list[str]] = {}
    for name in names:
        tensor = integer.tensors[name]
        if tensor.quantisation is not None:
            found.setdefault((tensor.dtype, tensor.quantisation), []).append(name)
    yield from (tuple(alike) for alike in found.values())
