"""From accumulators to outputs at build time: folded biases, and the proof that nothing overflows.

What the device computes is ``clamp(multiply(acc, multiplier, shift) + zero_point)`` with
``acc = bias' + sum(w * x)``, where the input's zero point is folded into ``bias' = bias - zero_point * sum(w)``. Padded places
hold the zero point, so the fold is exact there too. Source: TensorFlow Lite 8-bit quantisation specification, double rounding.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core.graph import Array
from marram.core.operators import Activation
from marram.model.reference.arithmetic import activation_range
from marram.model.reference.linear import channel_multiplier, integer_bias, integer_weights
from marram.model.reference.site import Site

INT32_MAX = 2**31 - 1


class Requantisation(msgspec.Struct, frozen=True, kw_only=True):
    """Per output channel, int64 arrays of shape (O,).

    Args:
        bias: folded bias, fits int32.
        multiplier: in [2**30, 2**31) or 0; the factor is ``multiplier * 2**(shift - 31)``.
        shift: positive shifts left before the product, negative ones right after it.
        zero_point, low, high: of the output; ``low`` and ``high`` include the fused activation.
        reach: greatest magnitude that the accumulator, folded bias included, can have at any point of the sum, for any
            input; exact for these weights.
    """

    bias: Array
    multiplier: Array
    shift: Array
    zero_point: int
    low: int
    high: int
    reach: Array

    @property
    def simple(self) -> bool:
        """Whether one high multiplication is exact: no left shift and every accumulator below 2**30 in magnitude."""
        return bool((self.shift <= 0).all() and (self.reach < 2**30).all())


def requantisation(site: Site, activation: Activation, *, channel_axis: int) -> Requantisation:
    """The constants of a layer with weights, ``channel_axis`` of which is the output channel.

    Raises:
        UserError: an accumulator can leave int32 for some input; the layer and the channel are named.
    """
    weights = np.moveaxis(integer_weights(site).astype(np.int64), channel_axis, 0)
    weights = weights.reshape(weights.shape[0], -1)
    bias = integer_bias(site)
    given = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
    folded = given - site.zero_point(site.input(0)) * weights.sum(axis=1)
    low, high = (-128, 127) if site.input(0).dtype == "int8" else (-32768, 32767)
    reach = np.abs(folded) + np.maximum(np.abs(weights * low), np.abs(weights * high)).sum(axis=1)
    factor = channel_multiplier(site, len(weights))
    grown = reach << np.maximum(factor.shifts, 0)
    if site.input(0).dtype == "int8" and (grown > INT32_MAX).any():
        worst = int(np.argmax(grown))
        raise site.error(
            f"the accumulator of channel {worst} can reach {int(grown[worst])}, beyond int32",
            "Fewer inputs to this layer, or a larger output scale.",
        )
    least, greatest = activation_range(site, activation)
    return Requantisation(
        bias=folded,
        multiplier=factor.values,
        shift=factor.shifts,
        zero_point=site.zero_point(site.output),
        low=least,
        high=greatest,
        reach=reach,
    )
