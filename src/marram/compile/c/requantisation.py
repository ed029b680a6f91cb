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
        bias: folded bias (or the given one, where it is not to be folded), fits int32.
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


def requantisation(site: Site, activation: Activation, *, channel_axis: int, folded: bool = True) -> Requantisation:
    """The constants of a layer with weights, ``channel_axis`` of which is the output channel.

    Args:
        site: an int8 layer.
        activation: fused into the clamp.
        channel_axis: of the weights.
        folded: whether the kernel sums ``w * x`` onto a folded bias; else it sums ``w * (x - zero_point)`` onto the given one.

    Raises:
        UserError: an accumulator can leave int32 for some input; the layer and the channel are named.
    """
    weights = np.moveaxis(integer_weights(site).astype(np.int64), channel_axis, 0)
    weights = weights.reshape(weights.shape[0], -1)
    bias = integer_bias(site)
    given = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
    zero_point = site.zero_point(site.input(0))
    start = given - zero_point * weights.sum(axis=1) if folded else given
    low, high = (-128, 127) if folded else (-128 - zero_point, 127 - zero_point)
    reach = np.abs(start) + np.maximum(np.abs(weights * low), np.abs(weights * high)).sum(axis=1)
    factor = channel_multiplier(site, len(weights))
    _need_int32(site, reach, "the accumulator")
    # What stands before a left shift is a whole sum; padded places add nothing, so these bounds hold at borders too.
    edges = np.stack([weights * (-128 - zero_point), weights * (127 - zero_point)])
    peak = np.maximum(given + edges.max(axis=0).sum(axis=1), -given - edges.min(axis=0).sum(axis=1))
    _need_int32(site, peak << np.clip(factor.shifts, 0, 31), "the accumulator, shifted left for its multiplier,")
    least, greatest = activation_range(site, activation)
    return Requantisation(
        bias=start,
        multiplier=factor.values,
        shift=factor.shifts,
        zero_point=site.zero_point(site.output),
        low=least,
        high=greatest,
        reach=reach,
    )


def _need_int32(site: Site, magnitudes: Array, what: str) -> None:
    """Refuses a layer in which some input can carry a channel beyond int32."""
    worst = int(np.argmax(magnitudes))
    if magnitudes[worst] > INT32_MAX:
        raise site.error(
            f"{what} of channel {worst} can reach {int(magnitudes[worst])}, beyond int32",
            "Fewer inputs to this layer, or a larger output scale.",
        )
