"""Legality: learnt step sizes stay where every kernel's requantisation can follow.

The rules are those by which ``integers.scales.plan`` coarsens and ``integers.grid.symmetric_weights`` floors scales: a layer's
factor (input scale * weight scale / output scale) is at most 1 and at least 2**-20, sums are at most 2**12 times finer than
their inputs, other operators 2**10 times. A ratio that is beyond its rule from the start may stay where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from marram.compress.integers.scales import activations
from marram.compress.learning.quantised.ties import Group
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node
from marram.model.spec import RULES

_FINEST = 2.0**-20
_SLACK = 1e-6
_PASSES = 16


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What one node asks: groups that it reads, the group and the weights it concerns, the greatest and least ratio."""

    node: Node
    reads: tuple[int, ...]
    output: int
    weights: str
    most: float
    least: float


def rules(integer: Graph, found: Sequence[Group]) -> tuple[Rule, ...]:
    """The rules of every node that requantises."""
    by_tensor = {name: index for index, group in enumerate(found) for name in group.tensors}
    scales = np.array([group.quantisation.scale for group in found])
    made = []
    for node in integer.nodes:
        rule = RULES[type(node.op)]
        names = list(activations(node))
        if rule.same_scale or rule.fixed_output is not None or any(name not in by_tensor for name in names):
            continue
        reads = tuple(by_tensor[name] for name in names[: -len(node.outputs)])
        weights = "" if rule.weights is None else node.inputs[rule.weights]
        draft = Rule(node=node, reads=reads, output=by_tensor[node.outputs[0]], weights=weights, most=1.0, least=0.0)
        steps = _weight_scales(integer, weights)
        most = max(1.0, _ratio(draft, scales, steps))
        least = min(_FINEST, float(steps.min()) * scales[reads[0]] / scales[draft.output]) if weights else 0.0
        made.append(msgspec.structs.replace(draft, most=most, least=least))
    return tuple(made)


def _weight_scales(integer: Graph, name: str) -> Array:
    quantisation = integer.tensors[name].quantisation if name else None
    return np.array([0.0]) if quantisation is None else np.array(quantisation.scales)


def _ratio(rule: Rule, scales: Array, steps: Array) -> float:
    """The finest useful scale of a node's output, as ``integers.scales`` has it, by the scale that it has."""
    read = [float(scales[index]) for index in rule.reads]
    match rule.node.op:
        case ops.Conv2D() | ops.DepthwiseConv2D() | ops.TransposeConv2D() | ops.Dense():
            needed = read[0] * float(steps.max())
        case ops.MatMul() | ops.Mul():
            needed = read[0] * read[1]
        case ops.Add() | ops.Sub():
            needed = max(read) * 2.0**-12
        case ops.HardSwish():
            needed = max(read) * 2.0**-6  # the kernel's own rule is 2**-7
        case _:
            needed = max(read) * 2.0**-10
    return needed / float(scales[rule.output])


def legal(
    found: Sequence[Rule], scales: Array, weights: Mapping[str, Array], *, learnt: Sequence[bool]
) -> tuple[Array, dict[str, Array]]:
    """Scales nearest to the given ones, in the order of the nodes, that keep the rules.

    Args:
        found: the rules.
        scales: of the groups, float64.
        weights: of the layers' weights, by tensor, float64 (channels,).
        learnt: which groups may move; where an output may not, the layer's weights get finer steps.

    Returns:
        The scales of the groups and of the weights; what kept the rules already is returned as it came.
    """
    groups, layers = scales.copy(), dict(weights)
    for _ in range(_PASSES):
        moved = False
        for rule in found:
            steps = layers.get(rule.weights, np.zeros(1))
            excess = _ratio(rule, groups, steps) / rule.most
            if excess > 1 + _SLACK and learnt[rule.output]:
                groups[rule.output] *= excess
                moved = True
            elif excess > 1 + _SLACK and rule.weights:
                layers[rule.weights] = np.minimum(steps, steps.max() / excess)
                moved = True
            if rule.weights:
                moved |= _raised(rule, groups, layers)
        if not moved:
            break
    return groups, layers


def _raised(rule: Rule, groups: Array, layers: dict[str, Array]) -> bool:
    """Raise weights' scales to the least that a layer takes; whether there were any."""
    floor = rule.least * groups[rule.output] / groups[rule.reads[0]]
    low = layers[rule.weights] < floor * (1 - _SLACK)
    if low.any():
        layers[rule.weights] = np.where(low, floor, layers[rule.weights])
    return bool(low.any())
