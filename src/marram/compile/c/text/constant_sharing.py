"""Equal constants stand in flash once: the weights of a recurrent layer's steps, the tables of equal activations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from marram.compile.c.layers import Layer
from marram.compile.c.place import Routine


def constant_names(layers: Iterable[Layer], routines: Iterable[Routine]) -> tuple[dict[str, str], ...]:
    """For each layer, by the name that its routine gave an array: ``<layer>_<name>`` of the first array with those values.

    An array is the layer's own where that is the layer's own name for it.
    """
    first: dict[tuple[str, int, str, bytes], str] = {}
    found = []
    for layer, answer in zip(layers, routines, strict=True):
        names = {}
        for array in answer.constants:
            values = np.ascontiguousarray(array.values, np.int64).tobytes()
            key = (array.c_type, array.align_bytes, array.role, values)
            names[array.name] = first.setdefault(key, f"{layer.name}_{array.name}")
        found.append(names)
    return tuple(found)
