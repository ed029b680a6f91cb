"""Channel records of the Armv6-M kernels: ``ml, mh, half, right`` as ``kernels/armv6m/requantise.h`` has it."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.scalar.records import records as wide_records
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array
from marram.model.reference.site import Site


def records(site: Site, by: Requantisation) -> tuple[Array, Array]:
    """Biases (O,) and records (O, 4), int32 values in int64: those of ``scalar`` with the multiplier in two halves.

    Raises:
        UserError: as there, and where an accumulator can reach 2**29.
    """
    bias, wide = wide_records(site, by)
    half, multiplier, right = wide.T
    reach = by.reach - np.abs(by.bias) + np.abs(bias)
    if (reach >= 2**29).any():
        raise site.error("an accumulator can reach 2**29")
    return bias, np.stack([multiplier & 0xFFFF, multiplier >> 16, half, right], axis=1)
