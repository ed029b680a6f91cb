"""Facts of each layer of an integer Graph that tell why it does damage.

They are its share of the noise at the outputs, and what its values and weights look like beside the scales they were given.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from marram.compress.integers.calibration import Samples, Statistics, scores, statistics
from marram.compress.integers.grid import span, to_reals
from marram.compress.integers.layer_damage import LayerDamage, damage, decibels, only
from marram.compress.integers.stepping import Values, first_batches
from marram.compress.scoring import closeness
from marram.core.graph import Array, Graph, Node, Quantisation
from marram.model.reference import interpret
from marram.model.spec import RULES

_ENDS = 0.0005
"""The share of values at each end that counts as outliers."""


class LayerFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer: its damage, and what of it can be the cause.

    ``alone_db`` is how close the graph's outputs stay when only this layer is integer, ``noise_share`` its part of the noise of
    all layers alone. ``stretch`` is how many times wider the int8 range is than what all but 0.1 % of the values need, in the
    layer's output or in an input of the graph that it reads; ``shared`` tells that other tensors have the same scale.
    ``channel_ratio`` is the widest channel's range by the median one's. ``weight_db`` is the signal-to-noise ratio of its
    weights. ``fixed`` tells that the operator or the task sets the scale, not the calibration. ``inputs`` are the layers whose
    outputs it reads.
    """

    damage: LayerDamage
    alone_db: float
    noise_share: float
    stretch: float
    shared: bool
    channel_ratio: float
    weight_db: float | None
    fixed: bool
    inputs: tuple[str, ...]

    @property
    def node(self) -> str:
        """The node's name."""
        return self.damage.node


def layer_facts(
    float_graph: Graph, integer: Graph, samples: Samples, targets: Array | None = None, *, limit: int = 256
) -> tuple[LayerFacts, ...]:
    """The facts of every int8 layer, in execution order; arguments as for ``damage``."""
    rows = damage(float_graph, integer, samples, targets, limit=limit)
    close = closeness(float_graph, samples, limit=limit)
    alone = {row.node: close(only(float_graph, integer, row.node)) for row in rows}
    noises = {name: 10 ** (-db / 10) for name, db in alone.items()}
    total = sum(noises.values())
    inputs = first_batches(float_graph, samples, limit=limit)
    seen = statistics(float_graph, inputs)
    widths = _channel_ratios(float_graph, inputs, {row.tensor for row in rows})
    nodes = {node.name: node for node in integer.nodes}
    floats = {node.name: node for node in float_graph.nodes}
    producers = {name: node.name for node in float_graph.nodes for name in node.outputs}
    whole = scores(float_graph)
    moving = [node for node in integer.nodes if RULES[type(node.op)].same_scale]
    shared = {name for node in moving for name in (*node.inputs, *node.outputs)}
    found = []
    for row in rows:
        entering = [name for name in floats[row.node].inputs if name in float_graph.inputs]
        found.append(
            LayerFacts(
                damage=row,
                alone_db=alone[row.node],
                noise_share=noises[row.node] / total,
                stretch=max(_stretch(seen[name], integer.tensors[name].quantisation) for name in (row.tensor, *entering)),
                shared=row.tensor in shared,
                channel_ratio=widths[row.tensor],
                weight_db=_weight_db(float_graph, integer, floats[row.node], nodes[row.node]),
                fixed=row.tensor in whole or RULES[type(nodes[row.node].op)].fixed_output is not None,
                inputs=tuple(producers[name] for name in floats[row.node].inputs if name in producers),
            )
        )
    return tuple(found)


def _stretch(seen: Statistics, quantisation: Quantisation | None) -> float:
    """How many times wider the int8 range is than that of all but a few of the values, at least 1."""
    if quantisation is None or not seen.counts.sum():
        return 1.0
    whole = _width(*span(quantisation))
    ends = np.searchsorted(np.cumsum(seen.counts) / seen.counts.sum(), [_ENDS, 1 - _ENDS]).clip(0, seen.counts.size - 1)
    inner = _width(*(float(end) for end in seen.centres[ends]))
    return max(whole / max(inner, whole * 2.0**-12), 1.0)


def _width(low: float, high: float) -> float:
    """How far it is from the lowest to the highest value; zero always counts as one."""
    return max(high, 0.0) - min(low, 0.0)


def _channel_ratios(graph: Graph, inputs: list[Values], wanted: set[str]) -> dict[str, float]:
    """The widest channel's range by the median channel's, for the last axis of some tensors; zero always counts."""
    lows: dict[str, Array] = {}
    highs: dict[str, Array] = {}

    def watch(name: str, values: Array) -> None:
        if name in wanted:
            rows = values.reshape(-1, values.shape[-1])
            lows[name] = np.minimum(lows.get(name, 0.0), rows.min(axis=0))
            highs[name] = np.maximum(highs.get(name, 0.0), rows.max(axis=0))

    for values in inputs:
        interpret(graph, values, observe=watch)
    found = {}
    for name in wanted:
        ranges = np.asarray(highs[name] - lows[name], np.float64)
        alive = ranges[ranges > 0]
        found[name] = float(alive.max() / np.median(alive)) if alive.size > 1 else 1.0
    return found


def _weight_db(float_graph: Graph, integer: Graph, exact: Node, node: Node) -> float | None:
    """Signal-to-noise ratio of a layer's weights; None where it has none."""
    position = RULES[type(node.op)].weights
    if position is None or type(exact.op) is not type(node.op):
        return None
    real = float_graph.constants.get(exact.inputs[position])
    tensor = integer.tensors[node.inputs[position]]
    if real is None or tensor.quantisation is None or tensor.shape != real.shape:
        return None
    made = to_reals(integer.constants[tensor.name], tensor.quantisation)
    wide = real.astype(np.float64)
    ratio = decibels(float((wide**2).sum()), float(((wide - made) ** 2).sum()))
    return ratio if math.isfinite(ratio) else None
