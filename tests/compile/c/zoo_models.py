"""The zoo's models as integer graphs, quantised on random samples."""

from __future__ import annotations

from functools import cache

import numpy as np
from tests.conformance.test_zoo_paths import SHAPES, samples, settled_module

from marram.compress import fold, quantise
from marram.core.graph import Graph
from marram.model import load

NAMES = tuple(sorted(SHAPES))


@cache
def integer_model(name: str) -> Graph:
    """A zoo model in int8."""
    graph = load(settled_module(name), example=np.zeros((1, *SHAPES[name]), np.float32))
    return quantise(fold(graph), samples(name, seed=3))
