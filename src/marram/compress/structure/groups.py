"""Groups: channels (or heads, hidden units, groups of a convolution) that can be left out one by one.

A channel is a set of indices of axes that can only go together (``dependencies``): the rows of the layer that makes it, its
entry in norms, its place in every tensor that a residual sum ties to it, the columns of all that read it. Channels that are
carried by the same axes, equally often, are one group. What is tied to an input or output of the graph, to places, to time
steps, to the axis of a softmax or a mean is in no group. Source of the idea: Fang et al., DepGraph, CVPR 2023; the search
here is by elements.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compress.structure.dependencies import tied
from marram.compress.structure.ties import Ties
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node
from marram.model.spec import verify

OUTPUT_AXIS: dict[type, int] = {
    ops.Conv2D: 0,
    ops.DepthwiseConv2D: 3,
    ops.TransposeConv2D: 0,
    ops.Dense: 0,
    ops.Lstm: 0,
    ops.Gru: 0,
}
"""Operators whose second input is weights, with the axis of the channels that they make."""

_Key = tuple[str, int]
_Signature = tuple[tuple[_Key, int], ...]


class Slot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one axis of a tensor carries a group: ``places[c]`` are the indices that channel ``c`` has, (size, count) int64."""

    axis: int
    places: Array


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Channels that are alike, each of which can be left out.

    Args:
        name: of the first node in execution order whose output carries them; with ``/1``, ``/2`` ... where that node carries
            several groups. Leaving channels out, here or elsewhere, does not change it while two are left of each.
        size: number of channels.
        unit: how many consecutive elements of that node's output are one channel: the width of a head, 1 for plain channels.
        exact: whether the graph without a channel computes what it did with the channel's share in all sums zero. Not so
            where a layer norm takes its statistics over them.
        producers: nodes with weights whose rows (of a depthwise convolution: kernels) they are, in execution order.
        tensors: activations and constants that carry them, each with the axes that do.
    """

    name: str
    size: int
    unit: int
    exact: bool
    producers: tuple[str, ...]
    tensors: dict[str, tuple[Slot, ...]]


def groups(graph: Graph) -> tuple[Group, ...]:
    """The groups of at least two channels, by the execution order of the nodes that they are named by.

    Args:
        graph: a float Graph, its batch norms folded or not.

    Raises:
        UserError: the Graph is not a legal float Graph.
    """
    verify(graph, "float")
    ties = tied(graph)
    labels, pinned, inexact = ties.solved()
    axes = {key: labels[start : start + graph.tensors[key[0]].shape[key[1]]] for key, start in ties.starts.items()}
    found: list[Group] = []
    count_by_node: dict[str, int] = {}
    for node_name, lead, (signature, channels) in _ordered(graph, _classes(ties, axes, pinned)):
        number = count_by_node[node_name] = count_by_node.get(node_name, -1) + 1
        if len(channels) == 1:
            continue
        order = np.array([label for label in dict.fromkeys(axes[lead].tolist()) if label in channels])
        slots: dict[str, tuple[Slot, ...]] = {}
        for (name, axis), count in signature:
            slot = Slot(axis=axis, places=_places(axes[name, axis], order, count))
            slots[name] = (*slots.get(name, ()), slot)
        found.append(
            Group(
                name=f"{node_name}/{number}" if number else node_name,
                size=len(order),
                unit=_unit(next(slot for slot in slots[lead[0]] if slot.axis == lead[1]).places[0]),
                exact=not bool(inexact[order].any()),
                producers=tuple(node.name for node in graph.nodes if _produced(node, slots)),
                tensors=slots,
            )
        )
    return tuple(found)


def _classes(ties: Ties, axes: dict[_Key, Array], pinned: Array) -> dict[_Signature, set[int]]:
    """Labels that may go, by the axes that carry them and how often."""
    carried: dict[int, list[tuple[_Key, int]]] = {}
    for key, start in ties.starts.items():
        numbers = axes[key]
        free = numbers[~pinned[start : start + len(numbers)]]
        for label, count in zip(*(part.tolist() for part in np.unique(free, return_counts=True)), strict=True):
            carried.setdefault(label, []).append((key, count))
    classes: dict[_Signature, set[int]] = {}
    for label, signature in carried.items():
        classes.setdefault(tuple(signature), set()).add(label)
    return classes


def _ordered(graph: Graph, classes: dict[_Signature, set[int]]) -> list[tuple[str, _Key, tuple[_Signature, set[int]]]]:
    """Each class with the node that it is named by and the axis that orders its channels; in execution order."""
    made = {name: (index, node.name) for index, node in enumerate(graph.nodes) for name in node.outputs}
    rows = []
    for signature, channels in classes.items():
        leads = [(made[key[0]][0], place, key) for place, (key, _) in enumerate(signature) if key[0] in made]
        if leads:  # rows of weights that nothing reads are carried by no activation
            index, _, lead = min(leads)
            rows.append((index, min(channels), made[lead[0]][1], lead, (signature, channels)))
    rows.sort(key=lambda row: row[:2])
    return [(name, lead, members) for _, _, name, lead, members in rows]


def _places(numbers: Array, channels: Array, count: int) -> Array:
    """Where on an axis each channel is: (channels, count), rising in each row."""
    order = np.argsort(channels)
    at = np.searchsorted(channels, numbers, sorter=order)
    known = channels[order[np.minimum(at, len(channels) - 1)]] == numbers
    rank = order[np.minimum(at, len(channels) - 1)][known]
    indices = np.flatnonzero(known)
    return indices[np.lexsort((indices, rank))].reshape(len(channels), count)


def _produced(node: Node, slots: dict[str, tuple[Slot, ...]]) -> bool:
    """Whether the weights of a node make a group's channels."""
    axis = OUTPUT_AXIS.get(type(node.op))
    return axis is not None and any(slot.axis == axis for slot in slots.get(node.inputs[1], ()))


def _unit(places: Array) -> int:
    """Elements of a channel, if they follow one another."""
    return len(places) if bool((np.diff(places) == 1).all()) else 1
