"""What the weights of an integer Graph take in flash once C packs them: a byte, half of one or a quarter each."""

from __future__ import annotations

from math import prod

import numpy as np

from marram.compress.integers.widths import PACKABLE
from marram.core.graph import Array, Graph
from marram.model.spec import RULES

_RECORD_BYTES = 12
"""Bias, multiplier and shift of an output channel, int32 each."""
_SHORT_RECORD_BYTES = 9
"""The same beside packed weights, the shift int8."""
_WIDE_RECORD_BYTES = 16
"""The same beside int16 activations, where the bias is int64."""


def fewest_bits(weights: Array) -> int:
    """2, 4 or 8: the least that hold all of some integers."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return next((bits for bits in (2, 4) if low >= -(1 << (bits - 1)) and high < 1 << (bits - 1)), 8)


def weight_bytes(integer: Graph) -> int:
    """Bytes of all weights, packed layer by layer as kernels read them, with the bias and multiplier of each output channel.

    A layer takes the bits of its widest channel. Weights that several nodes share count once.

    Args:
        integer: an integer Graph; nodes that stayed float count with 4 bytes a weight.
    """
    total, seen = 0, set[str]()
    for node in integer.nodes:
        rule = RULES[type(node.op)]
        if rule.weights is None or node.inputs[rule.weights] in seen:
            continue
        name = node.inputs[rule.weights]
        seen.add(name)
        tensor, source = integer.tensors[name], integer.tensors[node.inputs[0]].dtype
        channels = 1 if rule.channel_axis is None else tensor.shape[rule.channel_axis]
        if tensor.dtype == "float32":
            total += 4 * (prod(tensor.shape) + channels)
            continue
        bits = fewest_bits(integer.constants[name]) if isinstance(node.op, PACKABLE) and source == "int8" else 8
        record = _WIDE_RECORD_BYTES if source == "int16" else _RECORD_BYTES if bits == 8 else _SHORT_RECORD_BYTES
        total += int(np.ceil(tensor.size * bits / 8)) + channels * record
    return total
