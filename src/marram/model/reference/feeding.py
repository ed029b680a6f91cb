"""Inputs of a Graph, checked: which array feeds which tensor, of how many samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marram.core.errors import DataError, UserError
from marram.core.graph import Array, Graph, Tensor

Inputs = Array | Sequence[Array] | Mapping[str, Array]


def fed(graph: Graph, inputs: Inputs) -> tuple[dict[str, Array], int]:
    """The arrays by tensor name, and the number of samples that they hold.

    Args:
        graph: declares names, shapes and dtypes; the leading axis may hold any number of samples.
        inputs: one array, arrays in the graph's order, or arrays by name.

    Raises:
        UserError: a missing, unknown or wrongly shaped or typed input.
        DataError: NaN or infinity in a float input.
    """
    arrays = _named(graph, inputs)
    counts = {name: _samples(graph, graph.tensors[name], array) for name, array in arrays.items()}
    counts = {name: count for name, count in counts.items() if count is not None}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise UserError(f"the inputs hold different numbers of samples ({found})", where=f"graph {graph.name}")
    return arrays, next((count for count in counts.values() if count is not None), 1)


def _named(graph: Graph, inputs: Inputs) -> dict[str, Array]:
    where = f"graph {graph.name}"
    wanted = ", ".join(graph.inputs)
    if isinstance(inputs, Mapping):
        missing = [name for name in graph.inputs if name not in inputs]
        unknown = [name for name in inputs if name not in graph.inputs]
        if missing or unknown:
            raise UserError(
                f"inputs do not match: missing {missing}, unknown {unknown}", where=where, hint=f"It takes: {wanted}."
            )
        return {name: _array(graph, name, inputs[name]) for name in graph.inputs}
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(arrays) != len(graph.inputs):
        raise UserError(f"{len(arrays)} inputs for {len(graph.inputs)}", where=where, hint=f"It takes: {wanted}.")
    return {name: _array(graph, name, array) for name, array in zip(graph.inputs, arrays, strict=True)}


def _array(graph: Graph, name: str, value: object) -> Array:
    """The value as a contiguous array of the declared dtype."""
    tensor = graph.tensors[name]
    where = f"graph {graph.name}, input {name}"
    if not isinstance(value, np.ndarray):
        raise UserError(f"expected a numpy array of {tensor.dtype} {tensor.shape}, got {type(value).__name__}", where=where)
    if value.dtype != np.dtype(tensor.dtype):
        hint = f"Convert it: array.astype({tensor.dtype!r})" if tensor.dtype == "float32" else "Quantise it first."
        raise UserError(f"expected {tensor.dtype}, got {value.dtype}", where=where, hint=hint)
    if value.dtype == np.float32 and not np.isfinite(value).all():
        raise DataError("holds NaN or infinity", where=where)
    return np.ascontiguousarray(value)


def _samples(graph: Graph, tensor: Tensor, array: Array) -> int | None:
    """How many samples an input holds; None for a tensor without axes."""
    fits = array.ndim == len(tensor.shape) and array.shape[1:] == tensor.shape[1:]
    if fits and not tensor.shape:
        return None
    if not fits or array.shape[0] == 0 or array.shape[0] % tensor.shape[0]:
        leading = f"{tensor.shape[0]} x samples" if tensor.shape else ""
        expected = ", ".join(filter(None, [leading, *(str(size) for size in tensor.shape[1:])]))
        raise UserError(f"expected shape ({expected}), got {array.shape}", where=f"graph {graph.name}, input {tensor.name}")
    return int(array.shape[0]) // tensor.shape[0]
