"""Rounding: each weight goes up or down, whichever keeps its layer's outputs nearest to the float layer's.

Layer by layer, in order, on the inputs that the integer layers before give. A layer is linear before its activation, so its
squared error over all positions is a quadratic form of its weights, whose matrix (the inputs' second moments) is made once;
after that nothing depends on the number of samples. The relaxed form is that of the paper: a rectified sigmoid for each weight,
drawn to 0 or 1 by a regulariser that is annealed. Single weights are then turned for as long as that lowers the error, and a
layer keeps what was found only if its real outputs are nearer on samples that nothing was fitted to.

Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020, sections 3.2 to 3.4. Instead of
by mini-batches the quadratic form is minimised as a whole, with a hundredth of its mean diagonal added for a prior at the
float weights, as in Frantar et al., GPTQ, 2022.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from marram.compress.integers.calibration import Samples
from marram.compress.integers.patches import Layer, channel_groups, from_weight_groups, patches, weight_groups
from marram.compress.integers.stepping import (
    Values,
    first_batches,
    last_reads,
    run_node,
    samples_in_memory,
    step,
    to_float,
    to_inputs,
)
from marram.compress.integers.widths import check_names
from marram.compress.material import Material, Standing
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, with_nodes
from marram.core.operators import operator_name
from marram.core.recipe import Round
from marram.model.counts import counts

_LIMIT = 256
_HELD_OUT = 4
"""One batch in so many is not fitted to: it tells whether a layer keeps what was found."""
_BATCH = 16
_DAMPING = 0.01
_WARM_UP = 0.2
_BETA = (20.0, 2.0)
_PULL = 0.1
"""Weight of the regulariser beside an error that is 1 for each weight where all are rounded to the nearest."""
_LOW, _HIGH = -0.1, 1.1
_MOST_WEIGHT = 1e30
"""A layer that reads nothing but zeros has no error to weigh, and float32 must hold the weight."""


def rounded_adaptively(standing: Standing, decision: Round, material: Material) -> Standing:
    """The row of ``Round`` in a replay."""
    assert standing.integer is not None
    made = round_adaptively(standing.exact, standing.integer, decision, material)
    return msgspec.structs.replace(standing, integer=made)


def round_adaptively(exact: Graph, integer: Graph, decision: Round, material: Material, *, along: Graph | None = None) -> Graph:
    """The integer Graph with weights rounded up or down for the least error of each layer's outputs.

    Scales, biases and the bits that a channel's weights take stay as they are. Layers whose weights are shared are left alone.

    Args:
        exact: the Graph that ``integer`` was quantised from, with its node names.
        integer: an integer Graph.
        decision: which layers (empty: those whose weights lie within 4 bits), iterations and learning rate of the relaxed
            form. All weights move at once and from nearest rounding on, so nothing is random.
        material: calibration samples.
        along: another quantisation of ``exact``, whose activations the layers read instead of those of the layers before
            them; each is then rounded by itself.

    Raises:
        UserError: a name in ``nodes`` is no node's, or the node has no weights of its own.
    """
    chosen = _chosen(exact, integer, decision.nodes)
    inputs = _batches(exact, integer, material.calibration)
    floats, integers = [dict(values) for values in inputs], [to_inputs(integer, values) for values in inputs]
    by_name = {node.name: index for index, node in enumerate(exact.nodes)}
    forget_float, forget = last_reads(exact), last_reads(integer)
    done = 0
    for index, node in enumerate(integer.nodes):
        partner = by_name.get(node.name)
        while partner is not None and done < partner:
            step(exact, done, floats, forget_float)
            done += 1
        if partner is not None and node.name in chosen and _reads_alike(integer, along, node):
            material.progress(f"rounding {node.name}", index / len(integer.nodes))
            integer = _rounded((exact, exact.nodes[partner], floats), (integer, integer.nodes[index], integers), decision)
        step(along or integer, index, integers, forget)
    return integer


def _reads_alike(integer: Graph, along: Graph | None, node: Node) -> bool:
    """Whether a layer's inputs are on the same grid in both graphs."""
    name = node.inputs[0]
    return along is None or (name in along.tensors and along.tensors[name] == integer.tensors[name])


def _chosen(exact: Graph, integer: Graph, nodes: tuple[str, ...]) -> frozenset[str]:
    """The names of the layers that are to be rounded anew."""
    check_names(nodes, [node.name for node in integer.nodes], "nodes")
    uses = Counter(node.inputs[1] for node in integer.nodes if isinstance(node.op, Layer))
    known = {node.name for node in exact.nodes}
    able = {
        node.name: node
        for node in integer.nodes
        if isinstance(node.op, Layer)
        and node.name in known
        and uses[node.inputs[1]] == 1
        and integer.tensors[node.inputs[1]].dtype == "int8"
    }
    for node in integer.nodes:
        if node.name in nodes and node.name not in able:
            raise UserError(
                "has no integer weights of its own that could be rounded",
                where=f"node {node.name} ({operator_name(node.op)})",
                hint="Convolutions, depthwise convolutions and dense layers have, where no other node reads them.",
            )
    few = {name for name, node in able.items() if np.abs(integer.constants[node.inputs[1]].astype(np.int64)).max() <= 7}
    return frozenset(nodes) if nodes else frozenset(few)


def _batches(exact: Graph, integer: Graph, samples: Samples) -> list[Values]:
    """Calibration samples in batches, of as many samples as fit into memory."""
    live = counts(exact).peak_live_bytes + counts(integer).peak_live_bytes
    count = samples_in_memory(live, limit=_LIMIT)
    return first_batches(exact, samples, limit=count, size=max(1, min(_BATCH, count // _HELD_OUT)))


_Side = tuple[Graph, Node, list[Values]]


class _Form(msgspec.Struct, frozen=True, kw_only=True):
    """The squared error of a layer's outputs, ``w G w - 2 B w`` and a constant: (groups, I, I) and (groups, O, I), float64."""

    moments: Array
    products: Array

    def gradient(self, weights: Array) -> Array:
        """Half of the gradient by real weights (groups, O, I)."""
        return np.asarray(weights @ self.moments - self.products)

    def error(self, weights: Array) -> Array:
        """Less the constant: (groups, O)."""
        return np.asarray(((weights @ self.moments - 2 * self.products) * weights).sum(axis=2))


def _rounded(exact_side: _Side, whole_side: _Side, decision: Round) -> Graph:
    """The integer graph with one layer's weights rounded anew, or as it was where that is no gain."""
    (exact, partner, floats), (integer, node, integers) = exact_side, whole_side
    op = node.op
    assert isinstance(op, Layer)
    fitted, held = _shared_out(len(floats))
    real = exact.constants[partner.inputs[1]].astype(np.float64)
    quantisation = integer.tensors[node.inputs[1]].quantisation
    assert quantisation is not None
    channels = exact.tensors[partner.outputs[0]].shape[-1]
    scales = channel_groups(op, np.broadcast_to(np.array(quantisation.scales), channels)).transpose(0, 2, 1)
    form = _form(
        (exact, partner, [floats[i] for i in fitted]), (integer, node, [integers[i] for i in fitted]), weight_groups(op, real)
    )
    before = weight_groups(op, integer.constants[node.inputs[1]].astype(np.float64))
    found = _least(form, weight_groups(op, real) / scales, before, scales, decision)
    changed = from_weight_groups(op, found, real.shape).astype(np.int8)
    after = with_nodes(integer, integer.nodes, constants={node.inputs[1]: changed})
    pairs = [(exact, partner, floats[i], integers[i]) for i in held]
    return after if _output_error(after, node, pairs) < _output_error(integer, node, pairs) else integer


def _shared_out(count: int) -> tuple[list[int], list[int]]:
    """Batches that are fitted to, and those that judge; a single one does both."""
    held = [index for index in range(count) if index % _HELD_OUT == _HELD_OUT - 1]
    return ([index for index in range(count) if index not in held], held) if held else ([*range(count)], [*range(count)])


def _form(exact_side: _Side, whole_side: _Side, real: Array) -> _Form:
    """The quadratic form of a layer: what the float layer gives before its activation, from what the integer layer reads."""
    (exact, partner, floats), (integer, node, integers) = exact_side, whole_side
    op = node.op
    assert isinstance(op, Layer)
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    channels = real.shape[0] * real.shape[1]
    offset = to_float(integer, bias, integer.constants[bias]) if bias else np.zeros(channels, np.float32)
    shape = exact.constants[partner.inputs[1]].shape
    kernel = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    bare = msgspec.structs.replace(partner, op=msgspec.structs.replace(op, activation="none"))
    groups, _, depth = real.shape
    moments, products = np.zeros((groups, depth, depth)), np.zeros(real.shape)
    for given, values in zip(floats, integers, strict=True):
        read = to_float(integer, node.inputs[0], values[node.inputs[0]])
        rows = patches(op, kernel, read, channels)
        (wanted,) = run_node(exact, bare, given)
        target = channel_groups(op, wanted - offset)
        moments += rows.transpose(0, 2, 1) @ rows
        products += target.transpose(0, 2, 1) @ rows
    damping = _DAMPING * np.trace(moments, axis1=1, axis2=2) / depth + np.finfo(np.float32).tiny
    moments += damping[:, None, None] * np.eye(depth)
    return _Form(moments=moments, products=products + damping[:, None, None] * real)


def _least(form: _Form, wanted: Array, before: Array, scales: Array, decision: Round) -> Array:
    """The integers of the least error that were found: relaxed and polished, or nearest and polished, channel by channel.

    Args:
        form: the error of real weights.
        wanted: real weights by their scales, (groups, O, I).
        before: the integers as they are.
        scales: (groups, O, 1).
        decision: iterations and learning rate.
    """
    peaks = np.abs(before).max(axis=2, keepdims=True)
    most = np.where(peaks <= 1, 1, np.where(peaks <= 7, 7, 127))
    floor = np.clip(np.floor(wanted), -most, most - 1)
    part = np.clip(wanted - floor, 0.0, 1.0)
    starts = (floor + (_relaxed(form, floor, part, scales, decision) >= 0.5), floor + np.round(part))
    ends = [_polished(form, start, floor, scales) for start in starts]
    errors = np.stack([form.error(each * scales) for each in (before, *ends)])
    best = errors.argmin(axis=0)[..., None]
    return np.asarray(np.where(best == 0, before, np.where(best == 1, ends[0], ends[1])))


def _relaxed(form: _Form, floor: Array, part: Array, scales: Array, decision: Round) -> Array:
    """How far up each weight goes, between 0 and 1, by Adam on the annealed relaxation."""
    depth = part.shape[2]
    uniform = scales**2 / 12 * np.trace(form.moments, axis1=1, axis2=2)[:, None, None]  # the error of rounding at random
    weight = np.minimum(depth / uniform, _MOST_WEIGHT).astype(np.float32)
    small = _Form(moments=form.moments.astype(np.float32), products=form.products.astype(np.float32))
    floor32, step_size = floor.astype(np.float32), scales.astype(np.float32)
    position = np.clip((part - _LOW) / (_HIGH - _LOW), 1e-4, 1 - 1e-4)
    logit = np.log(position / (1 - position)).astype(np.float32)
    mean, square = np.zeros_like(logit), np.zeros_like(logit)
    warm = int(_WARM_UP * decision.iterations)
    for turn in range(decision.iterations):
        sigmoid = 1 / (1 + np.exp(-logit))
        stretched = sigmoid * (_HIGH - _LOW) + _LOW
        up = np.clip(stretched, 0.0, 1.0)
        slope = 2 * weight * step_size * small.gradient((floor32 + up) * step_size)
        if turn >= warm:
            slope += _PULL * _regulariser_slope(up, (turn - warm) / max(decision.iterations - warm, 1))
        slope = slope * ((stretched > 0) & (stretched < 1)) * (_HIGH - _LOW) * sigmoid * (1 - sigmoid)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        logit -= (
            decision.learning_rate * (mean / (1 - 0.9 ** (turn + 1))) / (np.sqrt(square / (1 - 0.999 ** (turn + 1))) + 1e-8)
        )
    return np.clip((1 / (1 + np.exp(-logit))) * (_HIGH - _LOW) + _LOW, 0.0, 1.0)


def _regulariser_slope(up: Array, progress: float) -> Array:
    """The derivative of ``1 - |2 h - 1|**beta``; beta falls from 20 to 2 as training goes on."""
    beta = _BETA[1] + (_BETA[0] - _BETA[1]) * 0.5 * (1 + np.cos(np.pi * progress))
    centred = 2 * up - 1
    return np.asarray(-2 * beta * np.sign(centred) * np.abs(centred) ** (beta - 1))


def _polished(form: _Form, whole: Array, floor: Array, scales: Array) -> Array:
    """Single weights turned between their two roundings, in every channel the one that gains most, until none gains."""
    whole = whole.copy()
    slope = form.gradient(whole * scales)
    diagonal = np.diagonal(form.moments, axis1=1, axis2=2)[:, None]
    groups, outputs, depth = whole.shape
    group, output = np.meshgrid(np.arange(groups), np.arange(outputs), indexing="ij")
    for _ in range(4 * depth):
        turn = (2 * floor + 1 - 2 * whole) * scales  # to the other rounding
        gain = turn * (2 * slope + turn * diagonal)
        index = gain.argmin(axis=2)
        better = gain[group, output, index] < 0
        if not better.any():
            break
        by = np.where(better, turn[group, output, index], 0.0)
        whole[group, output, index] += np.where(better, np.sign(turn[group, output, index]), 0)
        slope += by[..., None] * form.moments[group, index]
    return whole


def _output_error(integer: Graph, node: Node, pairs: list[tuple[Graph, Node, Values, Values]]) -> float:
    """The squared error of a layer's real outputs over batches."""
    total = 0.0
    for exact, partner, given, values in pairs:
        (wanted,), (made,) = run_node(exact, partner, given), run_node(integer, node, values)
        total += float(((wanted - to_float(integer, node.outputs[0], made)).astype(np.float64) ** 2).sum())
    return total
