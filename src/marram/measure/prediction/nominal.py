"""A float Graph as an integer one with made-up numbers: costs depend on shapes and operators, hardly on values.

Ranges and weights are such that the kernels chosen are those of trained nets: right shifts of 6 or 7 everywhere, outputs of a
ReLU from their zero point on, no clamp within int8.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import msgspec
import numpy as np

from marram.compress.integers.calibration import Range
from marram.compress.integers.quantisation import quantise_by_ranges
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node
from marram.measure.prediction.cache import PriceCache
from marram.model.spec import RULES

_POOL = 1 << 16
_BIAS = 0.1
_STEPS = (0.6180339887, 0.7548776662)
"""Of two sequences that fill the unit interval: ranges are as uneven as calibrated ones, or rounding would meet ties."""
_SUM = 1.37
"""The range of a sum, over those of its operands."""


def nominal(graph: Graph, cache: PriceCache | None = None) -> Graph:
    """The integer Graph of a float one, for its costs: shapes, operators and activations are kept, numbers are made up.

    Args:
        graph: float; an integer Graph is given back as it is.
        cache: where made-up weights are kept.

    Raises:
        UserError: the Graph is not a legal float Graph.
    """
    if any(tensor.quantisation is not None for tensor in graph.tensors.values()):
        return graph
    cache = cache or PriceCache()
    folded = unroll(fold(graph))
    made = msgspec.structs.replace(folded, constants={**folded.constants, **_parameters(folded, cache)})
    return quantise_by_ranges(made, _ranges(folded))


def _parameters(graph: Graph, cache: PriceCache) -> dict[str, Array]:
    """Weights and biases; layers of one shape have different ones, or the C would have them once."""
    found: dict[str, Array] = {}
    seen: Counter[tuple[int, ...]] = Counter()
    for node in graph.nodes:
        rule = RULES[type(node.op)]
        for position, share in ((rule.weights, 1.0), (rule.bias, _BIAS)):
            name = node.inputs[position] if position is not None and position < len(node.inputs) else ""
            if not name or name in found or name not in graph.constants:
                continue
            shape = graph.constants[name].shape
            seen[shape] += 1
            key = (shape, seen[shape], share)
            found[name] = cache.once(("weights", *key), partial(_drawn, *key), size_bytes=4 * int(np.prod(shape)))
    return found


def _drawn(shape: tuple[int, ...], which: int, share: float) -> Array:
    """float32 between -share and share, the same for equal arguments."""
    random = np.random.default_rng([*shape, which])
    size = int(np.prod(shape))
    pool = random.integers(-127, 128, min(size, _POOL)).astype(np.float32) * np.float32(share / 127)
    return np.resize(pool, size).reshape(shape)


def _ranges(graph: Graph) -> dict[str, Range]:
    found = {name: _range(-1 - index, positive=False, reach=1.0) for index, name in enumerate(graph.inputs)}
    for index, node in enumerate(graph.nodes):
        reach = _SUM if isinstance(node.op, ops.Add | ops.Sub) else 1.0
        found.update({name: _range(index, positive=_positive(node), reach=reach) for name in node.outputs if name})
    return found


def _range(index: int, *, positive: bool, reach: float) -> Range:
    up, down = (index * step % 1.0 for step in _STEPS)
    high = reach * (0.9 + 0.3 * up)
    return Range(low=0.0 if positive else -high * (0.6 + 0.35 * down), high=high)


def _positive(node: Node) -> bool:
    if isinstance(node.op, ops.Relu | ops.Relu6):
        return True
    return getattr(node.op, "activation", "none") in {"relu", "relu6"}
