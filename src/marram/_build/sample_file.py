"""Samples for a model file: an ``.npz`` with inputs ``x`` and class indices ``y``, held against the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marram.core.errors import DataError, UserError
from marram.core.graph import Array, Graph
from marram.data.npz import read_npz


def samples_for(graph: Graph, path: Path, *, least: int) -> tuple[Array, Array | None]:
    """The samples and targets of a file.

    Args:
        graph: the model, of one input and with scores of classes if there are targets.
        path: the ``.npz``.
        least: how many samples there must be.

    Returns:
        Inputs ``(N, ...)`` float32 as the model takes them, and class indices ``(N,)`` int64, None where the file has none.

    Raises:
        UserError: no such file, or a model of several inputs.
        DataError: samples that the model cannot take.
    """
    if not path.is_file():
        raise UserError("there is no such file", where=str(path))
    if len(graph.inputs) != 1:
        raise UserError(f"the model takes {len(graph.inputs)} inputs, and an array of samples feeds one", where=str(path))
    arrays = read_npz(path)
    if "x" not in arrays:
        hint = "Save inputs as x and class indices as y with numpy.savez."
        raise DataError(f"has no array x, only {', '.join(sorted(arrays))}", where=str(path), hint=hint)
    given, wanted = arrays["x"], graph.input_tensors[0].shape[1:]
    if given.dtype.kind not in "fiu" or given.shape[1:] != wanted or len(given) < least:
        raise DataError(
            f"x has shape {given.shape} of {given.dtype}, the model takes (N, {', '.join(map(str, wanted))}), "
            f"at least {least} samples",
            where=str(path),
        )
    samples = np.ascontiguousarray(given, np.float32)
    if not np.isfinite(samples).all():
        raise DataError("NaN or infinite values in x", where=str(path), hint="Remove or repair them.")
    return samples, _targets(arrays.get("y"), len(samples), graph.output_tensors[0].shape[-1], path)


def _targets(given: Array | None, count: int, classes: int, path: Path) -> Array | None:
    if given is None:
        return None
    if given.shape != (count,) or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= classes:
        raise DataError(
            f"y has shape {given.shape} of {given.dtype}; it should be {count} class indices from 0 to {classes - 1}",
            where=str(path),
        )
    return given.astype(np.int64)
