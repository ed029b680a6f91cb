"""Cutting: a graph without some channels of its groups, and which part of each constant that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from marram.compress.structure.groups import Group, groups
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node
from marram.model.shapes import infer

Slices = dict[str, tuple[tuple[int, Array], ...]]
"""By a constant's name: axes with the indices that are kept of them, rising; none for a constant that stays whole."""

_Kept = dict[tuple[str, int], Array]
"""By tensor and axis: which indices stay, (size,) bool; only axes that lose any."""


def slices(graph: Graph, keep: Mapping[str, Array], *, found: tuple[Group, ...] | None = None) -> Slices:
    """For every constant the (axis, kept indices) that make it the constant of ``narrowed(graph, keep)``.

    Args:
        graph: a float Graph.
        keep: by a group's name the channels that stay, rising; groups that are not named stay whole.
        found: ``groups(graph)``, where the caller has them already.

    Raises:
        UserError: there is no such group, or the channels are not rising indices of its own, at least one.
    """
    kept = _kept(graph, keep, groups(graph) if found is None else found)
    return _slices(graph, kept)


def narrowed(graph: Graph, keep: Mapping[str, Array], *, found: tuple[Group, ...] | None = None) -> Graph:
    """The graph with only these channels; arguments and errors as for ``slices``.

    What it computes is what ``graph`` does when every convolution, dense layer, matrix product and sum takes the dropped
    channels as zero (``Group.exact`` tells where a layer norm's statistics change besides). Names stay; shapes are inferred.
    """
    kept = _kept(graph, keep, groups(graph) if found is None else found)
    constants = {name: _taken(graph.constants[name], cuts) for name, cuts in _slices(graph, kept).items()}
    nodes = tuple(_renewed(graph, node, kept) for node in graph.nodes)
    return infer(msgspec.structs.replace(graph, nodes=nodes, constants=constants))


def sliced(graph: Graph, cuts: Slices) -> dict[str, Array]:
    """The graph's constants cut so."""
    return {name: _taken(graph.constants[name], axes) for name, axes in cuts.items()}


def _taken(value: Array, cuts: tuple[tuple[int, Array], ...]) -> Array:
    for axis, indices in cuts:
        value = np.take(value, indices, axis=axis)
    return value


def _kept(graph: Graph, keep: Mapping[str, Array], found: tuple[Group, ...]) -> _Kept:
    known = {group.name: group for group in found}
    kept: _Kept = {}
    for name, channels in keep.items():
        if name not in known:
            raise UserError(f"there is no group {name!r}", where=f"graph {graph.name}", hint=f"It has {', '.join(known)}.")
        stays = _stays(known[name], np.asarray(channels))
        if stays.all():
            continue
        for tensor, slots in known[name].tensors.items():
            for slot in slots:
                size = graph.tensors[tensor].shape[slot.axis]
                flags = kept.setdefault((tensor, slot.axis), np.ones(size, np.bool_))
                flags[slot.places[~stays].ravel()] = False
    return kept


def _stays(group: Group, channels: Array) -> Array:
    """Which channels of a group stay: (size,) bool."""
    whole = channels.ndim == 1 and channels.size > 0 and channels.dtype.kind in "iu"
    if not whole or (np.diff(channels) <= 0).any() or channels[0] < 0 or channels[-1] >= group.size:
        raise UserError(f"the channels to keep are not rising indices below {group.size}", where=f"group {group.name}")
    stays = np.zeros(group.size, np.bool_)
    stays[channels] = True
    return stays


def _slices(graph: Graph, kept: _Kept) -> Slices:
    return {
        name: tuple(
            (axis, np.flatnonzero(kept[name, axis])) for axis in range(graph.constants[name].ndim) if (name, axis) in kept
        )
        for name in graph.constants
    }


def _renewed(graph: Graph, node: Node, kept: _Kept) -> Node:
    """The node with attributes that fit what is left."""
    rule = _ATTRIBUTES.get(type(node.op))
    return node if rule is None else msgspec.structs.replace(node, op=rule(graph, node, node.op, kept))


def _left(graph: Graph, kept: _Kept, name: str, axis: int) -> int:
    flags = kept.get((name, axis))
    return graph.tensors[name].shape[axis] if flags is None else int(flags.sum())


def _reshape(graph: Graph, node: Node, op: ops.Reshape, kept: _Kept) -> ops.Reshape:
    return ops.Reshape(shape=tuple(_left(graph, kept, node.outputs[0], axis) for axis in range(len(op.shape))))


def _split(graph: Graph, node: Node, op: ops.Split, kept: _Kept) -> ops.Split:
    return ops.Split(axis=op.axis, sizes=tuple(_left(graph, kept, name, op.axis) for name in node.outputs))


def _slice(_graph: Graph, node: Node, op: ops.Slice, kept: _Kept) -> ops.Slice:
    """What is left of a slice is a slice of what is left; only axes of stride 1 lose anything."""
    begins, ends = list(op.begin), list(op.end)
    for axis, (begin, end, step) in enumerate(zip(op.begin, op.end, op.strides, strict=True)):
        flags = kept.get((node.inputs[0], axis))
        if flags is not None:
            first, last, _ = slice(begin, end, step).indices(len(flags))
            begins[axis], ends[axis] = int(flags[:first].sum()), int(flags[:last].sum())
    return ops.Slice(begin=tuple(begins), end=tuple(ends), strides=op.strides)


def _conv2d(graph: Graph, node: Node, op: ops.Conv2D, kept: _Kept) -> ops.Conv2D:
    if op.groups == 1:
        return op
    each = graph.tensors[node.inputs[1]].shape[3]
    return msgspec.structs.replace(op, groups=_left(graph, kept, node.inputs[0], 3) // each)


def _recurrent(graph: Graph, node: Node, op: ops.Lstm | ops.Gru, kept: _Kept) -> ops.Lstm | ops.Gru:
    return msgspec.structs.replace(op, hidden=_left(graph, kept, node.inputs[2], 1))


_ATTRIBUTES: dict[type, Callable[[Graph, Node, Any, _Kept], ops.Operator]] = {
    ops.Reshape: _reshape,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Conv2D: _conv2d,
    ops.Lstm: _recurrent,
    ops.Gru: _recurrent,
}
