"""Importance: a score for each channel of each group; the least important ones are left out first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from marram.compress.material import Material
from marram.compress.structure.groups import OUTPUT_AXIS, Group, groups
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.recipe import Importance


def importance(graph: Graph, found: Iterable[Group], method: Importance, material: Material) -> dict[str, Array]:
    """Scores of the channels of groups, by the groups' names: (size,) float64, more is more important.

    ``first``: falling with the index, as in a supernet whose narrower nets are its first channels. ``l2``: the norm of the
    weights that make the channel (Li et al., Pruning Filters, ICLR 2017). ``batch_norm``: the sum of its |gamma| (Liu et al.,
    Network Slimming, ICCV 2017). ``taylor``: how far the loss would move, to first order, without the channel
    (Molchanov et al., ICLR 2017); in units of loss, so that scores of different groups compare.

    Args:
        graph: a float Graph.
        found: of ``groups(graph)``.
        method: which of the four.
        material: ``taylor`` needs training examples; the others need nothing.

    Raises:
        UserError: a group has no weights, or no batch norm, where the method looks at them; no training examples.
    """
    if method == "taylor":
        from marram.compress.structure.taylor import taylor

        return taylor(graph, tuple(found), material)
    score = _METHODS[method]
    return {group.name: score(graph, group) for group in found}


def most_important(scores: Array, count: int) -> Array:
    """The indices of the ``count`` highest scores, rising; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def narrowest(graph: Graph, keep: dict[str, int], method: Importance, material: Material) -> dict[str, Array]:
    """The most important channels of named groups, as ``cutting`` takes them.

    Raises:
        UserError: there is no such group, or it has not so many channels; as for ``importance``.
    """
    found = {group.name: group for group in groups(graph)}
    for name, count in keep.items():
        if name not in found:
            raise UserError(f"there is no group {name!r}", where=f"graph {graph.name}", hint=f"It has {', '.join(found)}.")
        if not 1 <= count <= found[name].size:
            raise UserError(f"cannot keep {count} of {found[name].size} channels", where=f"group {name}")
    scores = importance(graph, [found[name] for name in keep], method, material)
    return {name: most_important(scores[name], count) for name, count in keep.items()}


def _first(_graph: Graph, group: Group) -> Array:
    return np.arange(group.size, 0, -1, dtype=np.float64)


def _norm(graph: Graph, group: Group) -> Array:
    rows = list(_rows(graph, group))
    if not rows:
        raise UserError("no weights make its channels", where=f"group {group.name}", hint="Take the importance taylor.")
    return np.asarray(np.sqrt(np.sum(rows, axis=0)))


def _rows(graph: Graph, group: Group) -> Iterator[Array]:
    """For each node that makes the channels the squares of their weights, summed: (size,)."""
    producers = set(group.producers)
    for node in graph.nodes:
        if node.name in producers:
            recurrent = isinstance(node.op, ops.Lstm | ops.Gru)
            for name in node.inputs[1 : 3 if recurrent else 2]:
                yield _gathered(group, name, OUTPUT_AXIS[type(node.op)], graph.constants[name].astype(np.float64) ** 2)


def _gathered(group: Group, name: str, axis: int, values: Array) -> Array:
    """Values of a tensor summed over what belongs to each channel: (size,)."""
    others = tuple(place for place in range(values.ndim) if place != axis)
    places = next(slot.places for slot in group.tensors[name] if slot.axis == axis)
    return np.asarray(values.sum(axis=others)[places].sum(axis=1))


def _gamma(graph: Graph, group: Group) -> Array:
    norms = [node.inputs[1] for node in graph.nodes if isinstance(node.op, ops.BatchNorm) and node.inputs[1] in group.tensors]
    if not norms:
        raise UserError(
            "no batch norm scales its channels",
            where=f"group {group.name}",
            hint="Take another importance, or prune before the batch norms are folded.",
        )
    rows = [_gathered(group, name, 0, np.abs(graph.constants[name].astype(np.float64))) for name in norms]
    return np.asarray(np.sum(rows, axis=0))


_METHODS: dict[str, Callable[[Graph, Group], Array]] = {"first": _first, "l2": _norm, "batch_norm": _gamma}
