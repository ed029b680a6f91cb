"""Sum and difference of two tensors by two float32 multiply-adds, where all 65536 pairs of inputs come out right."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.geometry import two_alike
from marram.compile.c.place import Place, Routine
from marram.core.graph import Array
from marram.core.operators import Activation, Add, Sub
from marram.model.reference.arithmetic import Multiplier, activation_range, multiplier, multiply

_NUDGES = 6


def add(place: Place) -> Routine:
    """int8 sum."""
    return _sum(place, 1, place.site.op(Add).activation)


def sub(place: Place) -> Routine:
    """int8 difference."""
    return _sum(place, -1, place.site.op(Sub).activation)


class _Sum(msgspec.Struct, frozen=True, kw_only=True):
    """The integer form, AddElementwise of TensorFlow Lite Micro."""

    sign: int
    zeros: tuple[int, int, int]
    factors: tuple[Multiplier, Multiplier, Multiplier]
    low: int
    high: int

    @property
    def outputs(self) -> Array:
        """int64 (256, 256): the output for each pair of inputs from -128 on."""
        inputs = np.arange(-128, 128)
        first = multiply((inputs - self.zeros[0]) * 2**20, self.factors[0])[:, None]
        second = multiply((inputs - self.zeros[1]) * 2**20, self.factors[1])[None, :]
        sums: Array = multiply(first + self.sign * second, self.factors[2]) + self.zeros[2]
        return sums.clip(self.low, self.high)


def _sum(place: Place, sign: int, activation: Activation) -> Routine:
    site = place.site
    a, b = two_alike(place)
    scales = float(site.scale(a)), float(site.scale(b)), float(site.scale(site.output))
    twice = 2 * max(scales[:2])
    low, high = activation_range(site, activation)
    by = _Sum(
        sign=sign,
        zeros=(site.zero_point(a), site.zero_point(b), site.zero_point(site.output)),
        factors=(multiplier(scales[0] / twice), multiplier(scales[1] / twice), multiplier(twice / (2**20 * scales[2]))),
        low=low,
        high=high,
    )
    floats = _float_form(by, scales)
    if floats is None:
        raise site.error("no float32 form gives all outputs")
    factor_a, factor_b, addend = (float(value).hex() + "f" for value in floats)
    fields = [f".sign = {sign}, .low = {low}, .high = {high}"]
    for name, zero, factor in zip(("a", "b", "out"), by.zeros, by.factors, strict=True):
        fields.append(f".zero_{name} = {zero}, .multiplier_{name} = {int(factor.values)}, .shift_{name} = {int(factor.shifts)}")
    fields.append(f".factor_a = {factor_a}, .factor_b = {factor_b}, .addend = {addend}")
    return Routine(
        includes=("host/add.h",),
        body=f"marram_host_add(((marram_sum){{{', '.join(fields)}}}), x0, x1, y0, {site.output.size});",
        traversal="elements",
        instructions=site.output.size / 2.0,
    )


def _float_form(by: _Sum, scales: tuple[float, float, float]) -> tuple[np.float32, np.float32, np.float32] | None:
    """Factors of both inputs and the addend, near the real ones, that give every output; None where none is found."""
    wanted = by.outputs
    real_a, real_b = scales[0] / scales[2], by.sign * scales[1] / scales[2]
    if not 2.0**-10 < min(abs(real_a), abs(real_b)) <= max(abs(real_a), abs(real_b)) < 2.0**8:
        return None
    factor_a, factor_b = np.float32(real_a), np.float32(real_b)
    addend = by.zeros[2] - by.zeros[0] * real_a - by.zeros[1] * real_b
    for step in sorted(range(-_NUDGES, _NUDGES + 1), key=abs):
        near = np.float32(addend + step * 2.0**-17)
        if (_outputs(factor_a, factor_b, near, by) == wanted).all():
            return factor_a, factor_b, near
    return None


def _outputs(factor_a: np.float32, factor_b: np.float32, addend: np.float32, by: _Sum) -> Array:
    """What the device computes; each product and sum of float32 is exact in float64, and rounded once."""
    inputs = np.arange(-128.0, 128.0)
    first = (inputs * np.float64(factor_a) + np.float64(addend)).astype(np.float32).astype(np.float64)
    both = (inputs[None, :] * np.float64(factor_b) + first[:, None]).astype(np.float32)
    result: Array = np.clip(np.rint(both), by.low, by.high).astype(np.int64)
    return result
