"""What an ONNX file says: bytes -> its inputs, constants and nodes as plain values, every size checked before it is used.

Data outside the file is never opened: a path in a model file is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marram.core.errors import ModelFileError, UserError
from marram.core.graph import Array

LARGEST_FILE = 2**31 - 1
LARGEST_RANK = 8
_OPSETS = range(7, 27)
_DTYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"),
}
"""TensorProto.DataType -> numpy name and the typed field that holds it. Source: onnx.proto."""
INT4 = 22
"""The data type of constants of 4 bits, two to a byte, the first in the lower half; they are decoded to int8."""


class FileNode(NamedTuple):
    """A node of the file; ``""`` marks an absent input. ``operator`` has its domain in front unless it is ONNX's own."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class FileValue(NamedTuple):
    """A declared input or output; a size that the file leaves open is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


class Contents(NamedTuple):
    """The main graph of a file."""

    where: str
    name: str
    opset: int
    inputs: tuple[FileValue, ...]
    outputs: tuple[FileValue, ...]
    constants: dict[str, Array]
    nodes: tuple[FileNode, ...]
    size_bytes: int
    channels_last: bool  # it says itself that its inputs and outputs are channels last


LAYOUT_KEY, CHANNELS_LAST = "marram.layout", "channels_last"
"""The entry of the file's metadata with which our own files say so."""


def load(source: Path | bytes, *, name: str | None = None) -> tuple[bytes, Contents]:
    """The file's bytes and its checked contents.

    Args:
        source: the file's path or its bytes.
        name: what to call the model; the file's stem or the graph's own name where it is None.

    Raises:
        UserError: the file cannot be opened.
        ModelFileError: it is not ONNX, damaged, too large, or keeps data outside itself.
    """
    where = str(source) if isinstance(source, Path) else "ONNX data"
    data = _bytes(source, where)
    model = _parsed(data, where)
    graph = model.graph
    _check_names(graph, where)
    stem = source.stem if isinstance(source, Path) else None
    if graph.sparse_initializer:
        raise ModelFileError("holds sparse constants", where=where, hint="Export it with dense weights.")
    constants = {tensor.name: decoded(tensor, where) for tensor in graph.initializer}
    return data, Contents(
        where=where,
        name=name or stem or graph.name or "model",
        opset=_opset(model, where),
        inputs=tuple(_declared(value, where) for value in graph.input if value.name not in constants),
        outputs=tuple(_declared(value, where) for value in graph.output),
        constants=constants,
        nodes=tuple(_node(node, index, where) for index, node in enumerate(graph.node)),
        size_bytes=len(data),
        channels_last=any(entry.key == LAYOUT_KEY and entry.value == CHANNELS_LAST for entry in model.metadata_props),
    )


def _bytes(source: Path | bytes, where: str) -> bytes:
    try:
        data = source if isinstance(source, bytes) else _read(source, where)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=where) from error
    if not data:
        raise ModelFileError("is empty", where=where)
    return data


def _read(path: Path, where: str) -> bytes:
    if path.stat().st_size > LARGEST_FILE:
        raise ModelFileError(f"is larger than {LARGEST_FILE} bytes", where=where)
    return path.read_bytes()


def _parsed(data: bytes, where: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelFileError("is not a readable ONNX file", where=where, hint=str(error) or None) from error
    if not model.HasField("graph"):
        raise ModelFileError("has no graph", where=where)
    return model


def _check_names(graph: Any, where: str) -> None:
    """Every name is text that can be written again."""
    names = [graph.name, *(value.name for values in (graph.input, graph.output, graph.initializer) for value in values)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
    for name in names:
        if not isinstance(name, str) or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ModelFileError(f"holds the name {name!r}, which is not UTF-8", where=where)


def _opset(model: Any, where: str) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    if not versions:
        raise ModelFileError("names no operator set", where=where)
    if versions[0] not in _OPSETS:
        raise ModelFileError(
            f"uses operator set {versions[0]}", where=where, hint=f"Export it with {_OPSETS.start} to {_OPSETS.stop - 1}."
        )
    return int(versions[0])


def _declared(value: Any, where: str) -> FileValue:
    if value.type.WhichOneof("value") != "tensor_type":
        raise ModelFileError(f"{value.name!r} is not a tensor", where=where)
    kind = value.type.tensor_type
    dtype = _DTYPES.get(kind.elem_type, (f"type {kind.elem_type}", ""))[0]
    if not kind.HasField("shape"):
        return FileValue(value.name, dtype, None)
    sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    if len(sizes) > LARGEST_RANK:
        raise ModelFileError(f"{value.name!r} has {len(sizes)} axes", where=where)
    return FileValue(value.name, dtype, tuple(None if size is None or size <= 0 else size for size in sizes))


def decoded(tensor: Any, where: str) -> Array:
    """The value of a TensorProto, checked against its own shape.

    Raises:
        ModelFileError: it lies outside the file, is of an unknown dtype, or has other bytes than its shape says.
    """
    label = f"constant {tensor.name!r}"
    if tensor.data_location == 1 or tensor.external_data:
        hint = "Save it again in one piece: onnx.save(onnx.load(path), path, save_as_external_data=False)."
        raise ModelFileError(f"{label} lies outside the file", where=where, hint=hint)
    if tensor.data_type not in {*_DTYPES, INT4} or tensor.HasField("segment"):
        raise ModelFileError(f"{label} has the data type {tensor.data_type}, which has no place in a Graph", where=where)
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > LARGEST_RANK or any(size < 0 for size in shape):
        raise ModelFileError(f"{label} has the shape {shape}", where=where)
    if tensor.data_type == INT4:
        return _halves(tensor, label, where)[: prod(shape)].reshape(shape)
    dtype, field = _DTYPES[tensor.data_type]
    if tensor.HasField("raw_data"):
        flat = _from_raw(tensor.raw_data, dtype, label, where)
    else:
        flat = _from_field(getattr(tensor, field), dtype, label, where)
    if flat.size != prod(shape):
        raise ModelFileError(f"{label} of shape {shape} has {flat.size} elements", where=where)
    return flat.reshape(shape)


def _halves(tensor: Any, label: str, where: str) -> Array:
    """The values of 4 bits of a constant, int8; one more than there are where their number is odd."""
    raw = tensor.HasField("raw_data")
    data = _from_raw(tensor.raw_data, "uint8", label, where) if raw else _from_field(tensor.int32_data, "uint8", label, where)
    if data.size != (prod(int(size) for size in tensor.dims) + 1) // 2:
        raise ModelFileError(f"{label} of shape {tuple(tensor.dims)} has {data.size} bytes of 4-bit values", where=where)
    return np.stack([(data << 4).view(np.int8) >> 4, data.view(np.int8) >> 4], axis=-1).reshape(-1)


def _from_raw(data: bytes, dtype: str, label: str, where: str) -> Array:
    kind = np.dtype(dtype).newbyteorder("<")
    if len(data) % kind.itemsize:
        raise ModelFileError(f"{label} has {len(data)} bytes, not a whole number of {dtype}", where=where)
    return np.frombuffer(data, kind).astype(dtype)


def _from_field(values: Any, dtype: str, label: str, where: str) -> Array:
    if dtype == "float16":  # as the bits of uint16
        return np.array(values, np.int64).astype(np.uint16).view(np.float16)
    flat = np.array(values, dtype="float64" if dtype.startswith("float") else None)
    if flat.size and np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        if flat.min() < limits.min or flat.max() > limits.max:
            raise ModelFileError(f"{label} has values outside {dtype}", where=where)
    with np.errstate(over="ignore"):  # NaN and infinity are refused where the Graph is verified
        return flat.astype(dtype)


def _node(node: Any, index: int, where: str) -> FileNode:
    operator = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}.{node.op_type}"
    name = node.name or f"{node.op_type}_{index}"
    attributes = {attribute.name: _attribute(attribute, where) for attribute in node.attribute}
    return FileNode(name, operator, tuple(node.input), tuple(node.output), attributes)


def _attribute(attribute: Any, where: str) -> Any:
    """A number, text, list of numbers or array; None of anything else, subgraphs among them."""
    readers: dict[int, Callable[[], Any]] = {
        1: lambda: float(attribute.f),
        2: lambda: int(attribute.i),
        3: lambda: attribute.s.decode("utf-8", "replace"),
        4: lambda: decoded(attribute.t, where),
        6: lambda: tuple(float(value) for value in attribute.floats),
        7: lambda: tuple(int(value) for value in attribute.ints),
        8: lambda: tuple(value.decode("utf-8", "replace") for value in attribute.strings),
    }
    reader = readers.get(attribute.type)
    return reader() if reader else None
