"""Ordering: channels of groups put in another order, so that the most important ones come first; nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marram.compress.structure.groups import Group
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, with_nodes


def reordered(graph: Graph, order: Mapping[str, Array], found: tuple[Group, ...]) -> Graph:
    """The Graph with the channels of its groups in another order. It computes what it did, up to the order of sums.

    Args:
        graph: a float Graph.
        order: by a group's name its channels, each once, in their new order; groups that are not named stay.
        found: the Graph's groups.

    Raises:
        UserError: there is no such group, or its channels are not each there once.
    """
    known = {group.name: group for group in found}
    moved: dict[str, Array] = {}
    for name, channels in order.items():
        if name not in known or sorted(np.asarray(channels).tolist()) != list(range(known[name].size)):
            raise UserError(f"is no order of a group's channels: {name!r}", where=f"graph {graph.name}")
        for tensor, slots in known[name].tensors.items():
            for slot in slots if tensor in graph.constants else ():
                value = moved.get(tensor, graph.constants[tensor])
                places = np.arange(value.shape[slot.axis])
                places[slot.places.ravel()] = slot.places[np.asarray(channels)].ravel()
                moved[tensor] = np.take(value, places, axis=slot.axis)
    return with_nodes(graph, graph.nodes, constants=moved)
