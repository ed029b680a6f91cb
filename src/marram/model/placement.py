"""Placement of a Graph's nodes for a drawing: layers from top to bottom, long edges routed through places of their own.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from marram.core.graph import Graph

_SWEEPS = 6
_STRAIGHTENING = 40


class Place(NamedTuple):
    """Where a node or a bend of an edge stands: the layer from the top and the middle's distance from the left."""

    layer: int
    x: float


class Placement(NamedTuple):
    """``places`` by key (a node's index, ``in:name``, ``out:name``); ``edges`` as a tensor and the points it runs through."""

    places: dict[str, Place]
    edges: list[tuple[str, list[Place]]]
    layers: int
    width: float


def place(graph: Graph, *, box: float, lane: float) -> Placement:
    """Place all nodes, boxes ``box`` wide and passing edges ``lane`` wide."""
    links, layers_of = _layers(graph)
    rows: list[list[str]] = [[] for _ in range(max(layers_of.values(), default=0) + 1)]
    for key, layer in layers_of.items():
        rows[layer].append(key)
    chains = _chains(links, layers_of, rows)
    neighbours: dict[str, list[str]] = {key: [] for row in rows for key in row}
    for _tensor, chain in chains:
        for upper, lower in itertools.pairwise(chain):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)
    _order(rows, neighbours)
    widths = {key: lane if key.startswith("bend:") else box for row in rows for key in row}
    xs = _abscissae(rows, neighbours, widths)
    places = {key: Place(layer, xs[key]) for layer, row in enumerate(rows) for key in row}
    width = max((xs[key] + widths[key] / 2 for row in rows for key in row), default=0)
    edges = [(tensor, [places[key] for key in chain]) for tensor, chain in chains]
    return Placement({k: p for k, p in places.items() if not k.startswith("bend:")}, edges, len(rows), width)


def _layers(graph: Graph) -> tuple[list[tuple[str, str, str]], dict[str, int]]:
    """Links (tensor, from, to) and each key's layer: one below the lowest of what it reads."""
    writer = {name: f"in:{name}" for name in graph.inputs}
    layer_of = {f"in:{name}": 0 for name in graph.inputs}
    links: list[tuple[str, str, str]] = []
    for index, node in enumerate(graph.nodes):
        read = [name for name in dict.fromkeys(node.inputs) if name in writer]
        links += [(name, writer[name], str(index)) for name in read]
        layer_of[str(index)] = 1 + max((layer_of[writer[name]] for name in read), default=0)
        writer.update(dict.fromkeys(node.outputs, str(index)))
    for name in dict.fromkeys(graph.outputs):
        if name in writer:
            links.append((name, writer[name], f"out:{name}"))
            layer_of[f"out:{name}"] = 1 + layer_of[writer[name]]
    return links, layer_of


def _chains(
    links: Sequence[tuple[str, str, str]], layer_of: dict[str, int], rows: list[list[str]]
) -> list[tuple[str, list[str]]]:
    """Each link as the keys it runs through, a bend in every layer between its ends."""
    chains = []
    for number, (tensor, upper, lower) in enumerate(links):
        bends = [f"bend:{number}:{layer}" for layer in range(layer_of[upper] + 1, layer_of[lower])]
        for layer, bend in enumerate(bends, layer_of[upper] + 1):
            rows[layer].append(bend)
        chains.append((tensor, [upper, *bends, lower]))
    return chains


def _order(rows: list[list[str]], neighbours: dict[str, list[str]]) -> None:
    """Order each layer by the mean position of its neighbours, sweeping down and up."""
    for sweep in range(_SWEEPS):
        sequence = rows if sweep % 2 == 0 else rows[::-1]
        above: dict[str, int] = {}
        for row in sequence:
            known = {key: [above[n] for n in neighbours[key] if n in above] for key in row}
            row.sort(key=lambda key: sum(known[key]) / len(known[key]) if known[key] else 0.0)  # used at once
            above = {key: position for position, key in enumerate(row)}


def _abscissae(rows: list[list[str]], neighbours: dict[str, list[str]], widths: dict[str, float]) -> dict[str, float]:
    """Distances from the left: each key near the mean of its neighbours, none overlapping in a layer."""
    xs: dict[str, float] = {}
    for row in rows:
        total = sum(widths[key] for key in row)
        left = -total / 2
        for key in row:
            xs[key] = left + widths[key] / 2
            left += widths[key]
    for sweep in range(_STRAIGHTENING):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [sum(xs[n] for n in neighbours[key]) / len(neighbours[key]) if neighbours[key] else xs[key] for key in row]
            _spread(row, wanted, widths, xs)
    leftmost = min((xs[key] - widths[key] / 2 for row in rows for key in row), default=0)
    return {key: x - leftmost for key, x in xs.items()}


def _spread(row: list[str], wanted: list[float], widths: dict[str, float], xs: dict[str, float]) -> None:
    """Move the keys of a layer to where they want to be, as far as their widths allow; boxes have the say over bends."""
    blocks: list[list[float]] = []  # position of the block's first key, weight, keys
    members: list[list[str]] = []
    for key, want in zip(row, wanted, strict=True):
        weight = 1.0 if key.startswith("bend:") else 4.0
        blocks.append([want, weight])
        members.append([key])
        while len(blocks) > 1 and blocks[-1][0] < blocks[-2][0] + _span(members[-2], members[-1], widths):
            offset = _span(members[-2], members[-1], widths)
            (want_b, weight_b), (want_a, weight_a) = blocks.pop(), blocks.pop()
            blocks.append([(want_a * weight_a + (want_b - offset) * weight_b) / (weight_a + weight_b), weight_a + weight_b])
            tail = members.pop()
            members[-1] += tail
    for (start, _weight), keys in zip(blocks, members, strict=True):
        x = start
        for before, key in zip([None, *keys], keys, strict=False):
            x += (widths[before] + widths[key]) / 2 if before else 0.0
            xs[key] = x


def _span(left: list[str], right: list[str], widths: dict[str, float]) -> float:
    """From the middle of the left block's first key to the middle of the right block's first."""
    inner = sum((widths[a] + widths[b]) / 2 for a, b in itertools.pairwise(left))
    return inner + (widths[left[-1]] + widths[right[0]]) / 2
