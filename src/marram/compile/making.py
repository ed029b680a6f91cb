"""What the makers of Programs have in common: a maker's shape, what a file says of itself, and samples as tools want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec
import numpy as np

from marram.core.codec import digest
from marram.core.errors import InternalError, UserError
from marram.core.graph import Array, Graph, OpaqueModel, Quantisation, Tensor
from marram.core.program import Format, Program
from marram.core.target import Runtime, Target

Precision = Literal["float32", "int8"]
Make = Callable[[Graph | OpaqueModel, Target, Precision | None, Sequence[Array] | None], Program]


class Maker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Programs of one runtime are made: the file format that it takes, and the package that runs it here."""

    runtime: Runtime
    format: Format
    package: str
    distribution: str
    make: Make


def graph_precision(graph: Graph) -> Precision:
    """``int8`` if any activation is an integer image of reals, else ``float32``."""
    activations = (tensor for name, tensor in graph.tensors.items() if name not in graph.constants)
    return "int8" if any(tensor.quantisation is not None for tensor in activations) else "float32"


def from_graph(graph: Graph, target: Target, *, maker: Maker, written: OpaqueModel) -> Program:
    """The Program of a Graph that was written as a file."""
    precision = graph_precision(graph)
    return Program(
        target=target.name,
        runtime=maker.runtime,
        runtime_version=installed_version(maker.distribution),
        format=maker.format,
        precision=precision,
        blob=written.blob,
        inputs=_interface(graph.input_tensors, written.inputs),
        outputs=_interface(graph.output_tensors, written.outputs),
        graph_digest=digest(graph),
        quantised_by="marram" if precision == "int8" else None,
    )


def from_opaque(model: OpaqueModel, target: Target, *, maker: Maker, quantised_by: str | None = None) -> Program:
    """The Program of a file, as it is."""
    whole = all(tensor.quantisation is not None for tensor in (*model.inputs, *model.outputs))
    return Program(
        target=target.name,
        runtime=maker.runtime,
        runtime_version=installed_version(maker.distribution),
        format=maker.format,
        precision="int8" if quantised_by or whole else "float32",
        blob=model.blob,
        inputs=tuple(_one_sample(tensor) for tensor in model.inputs),
        outputs=tuple(_one_sample(tensor) for tensor in model.outputs),
        graph_digest=None,
        quantised_by=quantised_by or ("the file's maker" if whole else None),
    )


def installed_version(distribution: str) -> str:
    """The version of a package on this machine, ``not installed here`` if there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed here"


def checked_calibration(model: OpaqueModel, calibration: Sequence[Array] | None) -> list[dict[str, Array]]:
    """The samples one by one, by input name, as quantising tools want them.

    Raises:
        UserError: there are none, or they are not what the model takes.
    """
    if not calibration or not len(calibration[0]):
        raise UserError("quantising this model takes calibration samples, and none were given", where=model.name)
    if len(calibration) != len(model.inputs) or len({len(array) for array in calibration}) != 1:
        raise UserError(f"calibration needs equally many samples of each of the {len(model.inputs)} inputs", where=model.name)
    for tensor, array in zip(model.inputs, calibration, strict=True):
        if array.shape[1:] != tensor.shape[1:] or array.dtype != np.dtype(tensor.dtype):
            raise UserError(
                f"calibration has {array.dtype}{list(array.shape[1:])} where {tensor.dtype}{list(tensor.shape[1:])} is needed",
                where=f"input {tensor.name}",
            )
    return [
        {tensor.name: array[index : index + 1] for tensor, array in zip(model.inputs, calibration, strict=True)}
        for index in range(len(calibration[0]))
    ]


def _interface(graph_side: Sequence[Tensor], file_side: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Names, shapes and dtypes of the file; quantisation of the Graph, moved by 128 where the file is unsigned."""
    if len(graph_side) != len(file_side):
        raise InternalError(f"a file was written with {len(file_side)} inputs or outputs in place of {len(graph_side)}")
    return tuple(
        msgspec.structs.replace(_one_sample(ours), quantisation=ours.quantisation or _moved(theirs, ours))
        for theirs, ours in zip(graph_side, file_side, strict=True)
    )


def _moved(source: Tensor, goal: Tensor) -> Quantisation | None:
    if source.quantisation is None or goal.dtype not in {"int8", "uint8"}:
        return None
    if source.dtype == goal.dtype:
        return source.quantisation
    by = 128 if goal.dtype == "uint8" else -128
    return msgspec.structs.replace(
        source.quantisation, zero_points=tuple(zero_point + by for zero_point in source.quantisation.zero_points)
    )


def _one_sample(tensor: Tensor) -> Tensor:
    """The tensor with its leading axis set to one where the file leaves it open."""
    if any(size < 1 for size in tensor.shape[1:]):
        raise UserError(f"the shape {tensor.shape} is not known before the model runs", where=f"tensor {tensor.name}")
    return msgspec.structs.replace(tensor, shape=(1, *tensor.shape[1:])) if tensor.shape and tensor.shape[0] < 1 else tensor
