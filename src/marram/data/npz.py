"""Arrays in an ``.npz`` file, read without trust: no pickles, no traversal, no bombs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.files import ZipFiles

ARRAY_LIMIT_BYTES = 16 << 30


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays by name.

    Raises:
        DataError: not an .npz file, damaged, hostile, or with arrays of Python objects.
    """
    files = ZipFiles(path, limit_bytes=ARRAY_LIMIT_BYTES)
    arrays: dict[str, Array] = {}
    for name in files.names:
        if name.endswith(".npy"):
            arrays[name.removesuffix(".npy")] = _array(files.read(name), files.where(name))
    if not arrays:
        raise DataError("holds no arrays", where=str(path), hint="Write it with numpy.savez.")
    return arrays


def _array(data: bytes, where: str) -> Array:
    try:
        return np.asarray(np.lib.format.read_array(io.BytesIO(data), allow_pickle=False))
    except (ValueError, TypeError, KeyError, EOFError, MemoryError, OverflowError, SyntaxError) as error:
        hint = "Save plain numbers and strings, no Python objects." if "allow_pickle" in str(error) else None
        raise DataError(f"not a readable array: {error}", where=where, hint=hint) from error
