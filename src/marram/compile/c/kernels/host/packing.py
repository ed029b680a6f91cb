"""Weights of products as the host kernels read them: ``marram_product`` in ``host/conv2d.h``."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.host.channels import LANES
from marram.compile.c.place import ConstantArray
from marram.core.graph import Array

_GROUP = 4


def packed_product(weights: Array) -> ConstantArray:
    """int8 (O, segments, bytes) as groups of at most four blocks of 16 channels, each (segments, quads, blocks, 16, 4)."""
    outputs, segments, size = weights.shape
    quads, blocks = -(-size // 4), -(-outputs // LANES)
    filled = np.zeros((blocks * LANES, segments, quads * 4), np.int8)
    filled[:outputs, :, :size] = weights
    apart = filled.reshape(blocks, LANES, segments, quads, 4).transpose(2, 3, 0, 1, 4)
    groups = [apart[:, :, first : first + _GROUP].ravel() for first in range(0, blocks, _GROUP)]
    return ConstantArray(name="weights", c_type="int8_t", values=np.concatenate(groups), align_bytes=64)
