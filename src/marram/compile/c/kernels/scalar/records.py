"""Channel records of the scalar kernels: ``half, multiplier, right`` as ``kernels/armv7m/requantise.h`` has it."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.portable.constancy import constant_channels
from marram.compile.c.place import Place
from marram.compile.c.requantisation import INT32_MAX, Requantisation
from marram.core.graph import Array
from marram.model.reference.site import Site


def records(site: Site, by: Requantisation) -> tuple[Array, Array]:
    """Biases (O,) and records (O, 3), int32 values in int64. Channels of constant result need no multiplication.

    Raises:
        UserError: a channel shifts left or not at all, or its accumulator or sums can leave what the assembly computes in.
    """
    constant, result = constant_channels(by)
    right = np.where(constant, 1, -by.shift)
    zero_point = np.where(constant, result, by.zero_point)
    multiplier = np.where(constant, 0, by.multiplier)
    bias = np.where(constant, 0, by.bias)
    reach = by.reach - np.abs(by.bias) + np.abs(bias)
    half = (np.int64(1) << np.maximum(right - 1, 0)) + zero_point * (np.int64(1) << np.maximum(right, 0))
    if (right < 1).any() or (reach >= 2**30).any() or (np.abs(half) + reach >= INT32_MAX).any():
        raise site.error("the requantisation of a channel needs more than one multiplication and a right shift")
    return bias, np.stack([half, multiplier, right], axis=1)


def require_bytes(place: Place) -> None:
    """Refuses a place whose activations are not int8 or whose weights are to be packed."""
    site = place.site
    if {site.input(0).dtype, site.output.dtype} != {"int8"} or place.weight_bits != 8:
        raise site.error("only int8 activations, and weights of 8 bits")


def grouped(biases: Array, of_channels: Array, channels: int) -> Array:
    """For each group of ``channels``: their biases, then their records. Missing channels are 0, shifted by one."""
    outputs, size = of_channels.shape
    groups = -(-outputs // channels)
    padded = np.zeros((groups * channels, size), np.int64)
    padded[:, -1] = 1
    padded[:outputs] = of_channels
    first = np.zeros(groups * channels, np.int64)
    first[:outputs] = biases
    return np.concatenate([first.reshape(groups, -1), padded.reshape(groups, -1)], axis=1).ravel()
