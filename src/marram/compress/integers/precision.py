"""Precision: what fewer bits for one layer's weights cost, measured on samples, beside the bytes that they save.

Nothing here is a proxy: each figure comes from running an integer Graph whose one layer, or part of one, has fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from marram.compress.integers.calibration import Range, calibrate
from marram.compress.integers.grid import greatest
from marram.compress.integers.quantisation import quantise_by_ranges
from marram.compress.integers.rounding import round_adaptively
from marram.compress.integers.stepping import to_inputs
from marram.compress.integers.weight_bytes import weight_bytes
from marram.compress.integers.weight_scales import least_squares
from marram.compress.integers.widths import PACKABLE
from marram.compress.material import Material
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.compress.scoring import closeness
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Tensor, with_nodes
from marram.core.recipe import Quantise, Round, WeightBits
from marram.model.reference import interpret
from marram.model.spec import RULES

Score = Callable[[Graph], float]
"""How good an integer Graph is: higher is better."""


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a layer's weights in fewer bits do alone, all else as it was.

    ``nodes`` share the weights, one as a rule; ``channels`` are those that have fewer bits, empty for all of them.
    ``saved_bytes`` of flash: none where only some channels have fewer bits, as kernels pack a layer by its widest.
    ``closeness_db`` is that of the whole graph, ``lost_db`` how far it fell; ``accuracy`` and ``accuracy_drop`` are shares of
    the validation samples, None without targets.
    """

    nodes: tuple[str, ...]
    bits: int
    channels: tuple[int, ...] = ()
    saved_bytes: int
    closeness_db: float
    lost_db: float
    accuracy: float | None = None
    accuracy_drop: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """An integer Graph's figures; ``damage`` is what decisions compare: lower is better, and about additive."""

    weight_bytes: int
    damage: float
    closeness_db: float


class Bench:
    """Measures one float Graph in any precision on the same samples; nothing is measured twice.

    Args:
        exact: a float Graph.
        material: calibration samples, and validation examples where accuracy is to be told.
        decision: how everything else is quantised; its bits are where fewer ones start from.
        score: what damage is a fall of; None: the noise power that the closeness in decibels stands for.
        samples: how many samples closeness and accuracy are measured on at most.
        size: bytes of an integer Graph's weights in flash.
        rounding: weights of fewer bits are measured as this decision would round each layer by itself; None: to the nearest.
        bits: for which ``rounding`` makes them ready.
    """

    def __init__(
        self,
        exact: Graph,
        material: Material,
        decision: Quantise,
        *,
        score: Score | None,
        samples: int,
        size: Callable[[Graph], int] = weight_bytes,
        rounding: Round | None = None,
        bits: tuple[WeightBits, ...] = (),
    ) -> None:
        self.exact, self.material, self.decision = unroll(fold(exact)), material, decision
        self.score, self.samples, self.size = score, samples, size
        self.ranges: Mapping[str, Range] = calibrate(
            self.exact, material.calibration, method=decision.calibration, percentile=decision.percentile
        )
        self._closeness = closeness(self.exact, material.calibration, limit=samples)
        self._known: dict[tuple[tuple[str, Any], ...], Measured] = {}
        self._held_out = _held_out(material, samples)
        self._rounded: dict[tuple[str, int], tuple[Tensor, Array]] = {}
        for few in bits if rounding else ():
            self._make_ready(few, rounding or Round())

    def _make_ready(self, few: WeightBits, rounding: Round) -> None:
        """Keep every layer's weights in so many bits as the decision rounds them, each by itself in the int8 graph."""
        names = [name for nodes in layers_to_pack(self.exact, self.decision) for name in nodes if len(nodes) == 1]
        low, plain = self.graph(dict.fromkeys(names, few), {}), self.graph({}, {})
        made = round_adaptively(
            self.exact, low, msgspec.structs.replace(rounding, nodes=tuple(names)), self.material, along=plain
        )
        for node in made.nodes:
            if node.name in names:
                self._rounded[node.name, few] = made.tensors[node.inputs[1]], made.constants[node.inputs[1]]

    def graph(self, weight_bits: Mapping[str, WeightBits], channel_bits: Mapping[str, tuple[WeightBits, ...]]) -> Graph:
        """The integer Graph with these bits beside those of the decision."""
        made = quantise_by_ranges(
            self.exact,
            self.ranges,
            keep_float=self.decision.keep_float,
            input_quantisation=self.material.input_quantisation,
            weight_bits={**self.decision.weight_bits, **weight_bits},
            channel_bits={**self.decision.channel_bits, **channel_bits},
            activation_bits=self.decision.activation_bits,
        )
        changed = {}
        for node in made.nodes:
            tensor, weights = self._rounded.get((node.name, weight_bits.get(node.name, 8)), (None, None))
            if weights is not None and tensor == made.tensors[node.inputs[1]]:
                changed[node.inputs[1]] = weights
        return with_nodes(made, made.nodes, constants=changed)

    def measured(
        self, weight_bits: Mapping[str, WeightBits], channel_bits: Mapping[str, tuple[WeightBits, ...]] | None = None
    ) -> Measured:
        """The figures of the Graph with these bits."""
        channels = channel_bits or {}
        key = (*sorted(weight_bits.items()), *sorted(channels.items()))
        if key not in self._known:
            made = self.graph(weight_bits, channels)
            near = self._closeness(made)
            damage = float(10 ** (-near / 10)) if self.score is None else -self.score(made)
            self._known[key] = Measured(weight_bytes=self.size(made), damage=damage, closeness_db=near)
        return self._known[key]

    def accuracy(
        self, weight_bits: Mapping[str, WeightBits], channel_bits: Mapping[str, tuple[WeightBits, ...]] | None = None
    ) -> float | None:
        """The share of the validation samples that the Graph with these bits has right; None without targets."""
        if self._held_out is None:
            return None
        made = self.graph(weight_bits, channel_bits or {})
        inputs, targets = self._held_out
        (result, *_) = interpret(made, to_inputs(made, {self.exact.inputs[0]: inputs}))
        return float((result.reshape(len(result), -1).argmax(axis=1) == targets).mean())


def _held_out(material: Material, limit: int) -> tuple[Array, Array] | None:
    """Validation samples as the model takes them, and their classes."""
    if material.validation is None or not material.classes or not len(material.validation):
        return None
    count = len(material.validation)
    chosen = np.unique(np.linspace(0, count - 1, min(limit, count)).astype(np.int64))
    samples, targets = next(material.validation.subset(chosen).batches(len(chosen)))
    if (targets < 0).any():
        return None
    return np.asarray(material.preprocess(samples) if material.preprocess else samples, np.float32), targets


def layers_to_pack(exact: Graph, decision: Quantise) -> tuple[tuple[str, ...], ...]:
    """Names of the nodes whose weights can have fewer bits; those that share their weights together, in the graph's order."""
    found: dict[str, list[str]] = {}
    for node in exact.nodes:
        float_or_wide = node.name in decision.keep_float or decision.activation_bits.get(node.name) == 16
        if isinstance(node.op, PACKABLE) and not float_or_wide:
            found.setdefault(node.inputs[1], []).append(node.name)
    return tuple(tuple(names) for names in found.values())


def sensitivities(
    exact: Graph,
    material: Material,
    *,
    bits: tuple[WeightBits, ...] = (4,),
    parts: int = 1,
    decision: Quantise = Quantise(),  # noqa: B008  # a frozen value
    samples: int = 128,
) -> tuple[Sensitivity, ...]:
    """The damage of fewer bits for each layer's weights alone, in the graph's order.

    Args:
        exact: a float Graph; it is folded first.
        material: calibration samples; with validation examples accuracy is measured as well.
        bits: that are tried.
        parts: more than 1 cuts each layer's channels into so many, from those that fewer bits harm least (by squared error of
            the weights for their power) on, and measures each part alone.
        decision: how everything else is quantised.
        samples: how many are used at most.

    Raises:
        UserError: the Graph is no float Graph.
        DataError: there are no samples.
    """
    bench = Bench(exact, material, decision, score=None, samples=samples)
    plain, right = bench.measured({}), bench.accuracy({})
    by_name = {node.name: node for node in bench.exact.nodes}
    found = []
    for nodes in layers_to_pack(bench.exact, decision):
        for few in bits:
            for channels in _parts(bench.exact, by_name[nodes[0]], few, parts):
                whole = dict.fromkeys(nodes, few) if not channels else {}
                single = dict.fromkeys(nodes, _channel_bits(bench.exact, by_name[nodes[0]], few, channels)) if channels else {}
                one, share = bench.measured(whole, single), bench.accuracy(whole, single)
                found.append(
                    Sensitivity(
                        nodes=nodes,
                        bits=few,
                        channels=channels,
                        saved_bytes=plain.weight_bytes - one.weight_bytes,
                        closeness_db=one.closeness_db,
                        lost_db=plain.closeness_db - one.closeness_db,
                        accuracy=share,
                        accuracy_drop=None if share is None or right is None else right - share,
                    )
                )
    return tuple(found)


def _rows(exact: Graph, node: Node) -> Array:
    """The weights of a layer by output channel: (channels, weights of one)."""
    axis = RULES[type(node.op)].channel_axis
    assert axis is not None
    weights = exact.constants[node.inputs[1]]
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)


def _parts(exact: Graph, node: Node, bits: int, parts: int) -> list[tuple[int, ...]]:
    """Channels in parts, the least harmed first; one empty part where there is nothing to cut."""
    rows = _rows(exact, node)
    if parts < 1:
        raise UserError(f"{parts} parts of a layer's channels", hint="1 measures whole layers.")
    if parts == 1 or len(rows) < parts:
        return [()]
    most = greatest(bits)
    scales = np.maximum(least_squares(rows, axis=0, limit=most), float(np.finfo(np.float64).tiny))[:, None]
    error = ((rows - np.clip(np.round(rows / scales), -most, most) * scales) ** 2).sum(axis=1)
    order = np.argsort(error / np.maximum((rows**2).sum(axis=1), 1e-30), kind="stable")
    return [tuple(int(channel) for channel in np.sort(part)) for part in np.array_split(order, parts)]


def _channel_bits(exact: Graph, node: Node, bits: WeightBits, channels: tuple[int, ...]) -> tuple[WeightBits, ...]:
    return tuple(bits if channel in channels else 8 for channel in range(len(_rows(exact, node))))
