"""What passes between a caller and a Program: arrays of its shapes and dtypes, and a blob that is what the Program says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from marram.core.errors import IntegrityError, UserError
from marram.core.graph import Array, Tensor
from marram.core.program import Program

Found = tuple[str, tuple[int, ...] | None, str]
"""What a runtime says of a tensor: name, shape if all of it is known, dtype."""


Expected = tuple[tuple[tuple[int, ...], Any], ...]
"""Shape and numpy dtype of each input, made once, since comparing dtypes by name costs a microsecond."""


def expected_inputs(program: Program) -> Expected:
    """What ``check_inputs`` compares with."""
    return tuple((tensor.shape, np.dtype(tensor.dtype)) for tensor in program.inputs)


def check_inputs(program: Program, expected: Expected, inputs: Sequence[Array]) -> None:
    """Hold inputs against what the Program takes.

    Raises:
        UserError: their number, a shape or a dtype is another one.
    """
    if len(inputs) != len(expected):
        raise UserError(f"the model takes {len(expected)} inputs, and {len(inputs)} were given", where="inputs")
    for array, (shape, dtype), tensor in zip(inputs, expected, program.inputs, strict=True):
        if not isinstance(array, np.ndarray):
            raise UserError(f"a {type(array).__name__} was given where an array is needed", where=f"input {tensor.name}")
        if array.shape != shape or array.dtype != dtype:
            raise UserError(
                f"{array.dtype}{list(array.shape)} was given where {dtype}{list(shape)} is needed", where=f"input {tensor.name}"
            )


def check_blob(program: Program, inputs: Iterable[Found], outputs: Iterable[Found]) -> None:
    """Hold what the runtime found in the blob against what the Program says of it.

    Raises:
        IntegrityError: they differ.
    """
    for kind, tensors, found in (("input", program.inputs, tuple(inputs)), ("output", program.outputs, tuple(outputs))):
        if len(found) != len(tensors):
            raise IntegrityError(
                f"the blob has {len(found)} {kind}s and the program names {len(tensors)}", where=program.target
            )
        for tensor, (name, shape, dtype) in zip(tensors, found, strict=True):
            if name != tensor.name or dtype != tensor.dtype or not _same(tensor, shape):
                raise IntegrityError(
                    f"the blob has {kind} {name} {dtype}{shape}, not {tensor.name} {tensor.dtype}{tensor.shape}",
                    where=program.target,
                )


def _same(tensor: Tensor, shape: tuple[int, ...] | None) -> bool:
    return shape is None or shape == tensor.shape
