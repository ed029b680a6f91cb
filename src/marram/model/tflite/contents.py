"""What a TFLite file says: bytes -> its tensors and operators as plain frozen values, every index and size checked.

Enters: the file's bytes. Leaves: ``Contents`` of the first subgraph (the one that runtimes run). Constants are still views into
the file, in the file's own packing; ``unpack`` turns one into an array.
"""

from __future__ import annotations

from math import isfinite, prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from marram.core.errors import ModelFileError, UserError
from marram.core.graph import Array, Quantisation, fresh_name
from marram.model.tflite import flatbuffer
from marram.model.tflite.flatbuffer import LARGEST_FILE, Table
from marram.model.tflite.schema import CUSTOM, DTYPES, OPERATORS, VERSION

LARGEST_RANK = 8


class FileTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of the file. ``data`` are the raw bytes of a constant, None of what is computed or given.

    ``dtype`` is a name of ``schema.DTYPES``, or ``type N`` for one that has no place here. ``dynamic`` tells that the file
    leaves some axis open; the sizes are then those for a batch of one; ``is_open``, that more than the batch is. ``sparse``
    and ``variable`` tensors are refused by whoever uses one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None
    data: Array | None = None
    dynamic: bool = False
    is_open: bool = False
    sparse: bool = False
    variable: bool = False


class FileOperator(msgspec.Struct, frozen=True, kw_only=True):
    """An operator of the file; inputs and outputs are indices of tensors, -1 for an absent input."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: tuple[str, Table] | None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """One subgraph with everything it refers to."""

    where: str
    name: str
    size_bytes: int
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def load(source: Path | bytes, *, name: str | None = None) -> tuple[bytes, Contents]:
    """The bytes of a TFLite file and its checked contents.

    Args:
        source: the file's path or its bytes.
        name: what to call the model; the subgraph's name or the file's stem where it is None.

    Raises:
        UserError: the file cannot be read.
        ModelFileError: it is not a sound TFLite file; names the byte or the field.
    """
    data = source if isinstance(source, bytes) else _bytes_of(source)
    where = name or "model" if isinstance(source, bytes) else str(source)
    stem = None if isinstance(source, bytes) else source.stem
    return data, _contents(data, flatbuffer.decode(data, where=where), name=name, stem=stem, where=where)


def unpack(tensor: FileTensor) -> Array:
    """A constant's elements in its own shape: a new array; int4 comes as int8. Its size was checked on loading."""
    assert tensor.data is not None
    if tensor.dtype == "int4":
        low, high = (tensor.data << 4).view(np.int8) >> 4, tensor.data.view(np.int8) >> 4
        return np.stack([low, high], axis=-1).reshape(-1)[: prod(tensor.shape)].reshape(tensor.shape)
    dtype = np.dtype(tensor.dtype)
    if dtype == np.bool_:
        return np.not_equal(tensor.data, 0).reshape(tensor.shape)
    return np.frombuffer(tensor.data.tobytes(), dtype.newbyteorder("<")).astype(dtype).reshape(tensor.shape)


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelFileError(f"is larger than {LARGEST_FILE} bytes, the most that a TFLite file can have", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path), hint="Check the path.") from error


def _contents(data: bytes, model: Table, *, name: str | None, stem: str | None, where: str) -> Contents:
    at = f"{where}, Model"
    if model["version"] != VERSION:
        raise _fault(f"{at}.version", f"is {model['version']}, not {VERSION}")
    subgraphs = model["subgraphs"] or []
    if not subgraphs:
        raise _fault(f"{at}.subgraphs", "has no subgraph")
    main = subgraphs[0]
    buffers = [_buffer(data, buffer, f"{at}.buffers[{i}]") for i, buffer in enumerate(model["buffers"] or [])]
    at = f"{at}.subgraphs[0]"
    tensors = _tensors(main["tensors"] or [], buffers, at)
    codes, count = model["operator_codes"] or [], len(tensors)
    operators = tuple(_operator(table, codes, i, count, at) for i, table in enumerate(main["operators"] or []))
    own = main["name"] if main["name"] != "main" else None  # converters call every subgraph so
    return Contents(
        where=where,
        name=name or own or stem or main["name"] or "model",
        size_bytes=len(data),
        tensors=tensors,
        operators=operators,
        inputs=_indices(main["inputs"], count, f"{at}.inputs"),
        outputs=_indices(main["outputs"], count, f"{at}.outputs"),
    )


def _fault(at: str, what: str) -> ModelFileError:
    return ModelFileError(what, where=at, hint="The file is damaged or was made for another version of TFLite.")


def _buffer(data: bytes, buffer: Table, at: str) -> Array | None:
    """A buffer's raw bytes: inside the flatbuffer, or behind it in large files; None if it holds none."""
    offset, size = buffer["offset"], buffer["size"]
    if offset > 1:
        if offset + size > len(data):
            raise _fault(at, f"lies at bytes {offset} to {offset + size}, beyond the file's {len(data)}")
        return np.frombuffer(data, np.uint8, size, offset)
    view: Array | None = buffer["data"]
    return view if view is not None and view.size else None


def _tensors(tables: list[Table], buffers: list[Array | None], at: str) -> tuple[FileTensor, ...]:
    names: dict[str, object] = {}
    known: dict[tuple[int, int], Quantisation | None] = {}  # a table shared by many tensors is converted once
    tensors = []
    for i, table in enumerate(tables):
        place = f"{at}.tensors[{i}]"
        name = table["name"] or f"tensor_{i}"
        if name in names:  # counted by place: a file full of one name must not cost a search for each
            name = fresh_name(names, f"{name}_{i}")
        names[name] = None
        key = (id(table["quantization"]), table["type"])
        if key not in known:
            known[key] = _quantisation(table["quantization"], _dtype(table["type"]), f"{place}.quantization")
        tensors.append(_tensor(table, name, known[key], buffers, place))
    return tuple(tensors)


def _tensor(table: Table, name: str, quantisation: Quantisation | None, buffers: list[Array | None], at: str) -> FileTensor:
    shape = _shape(table["shape"], f"{at}.shape")
    given = table["shape_signature"]
    signature = () if given is None else tuple(given[:LARGEST_RANK].tolist())
    if not table["buffer"] < max(len(buffers), 1):
        raise _fault(f"{at}.buffer", f"is {table['buffer']}, but there are {len(buffers)} buffers")
    dtype = _dtype(table["type"])
    if quantisation is not None:
        _check_axis(quantisation, shape, f"{at}.quantization")
    tensor = FileTensor(
        name=name,
        shape=shape,
        dtype=dtype,
        quantisation=quantisation,
        data=buffers[table["buffer"]] if buffers else None,
        dynamic=-1 in signature,
        is_open=-1 in signature[1:],
        sparse=table["sparsity"] is not None,
        variable=table["is_variable"],
    )
    if tensor.data is None and 0 in shape:
        tensor = msgspec.structs.replace(tensor, data=np.zeros(0, np.uint8))
    if tensor.data is not None and not tensor.sparse and dtype in DTYPES.values():
        _check_size(tensor, at)
    return tensor


def _shape(sizes: Array | None, at: str) -> tuple[int, ...]:
    if sizes is None:
        return ()
    if sizes.size > LARGEST_RANK:
        raise _fault(at, f"has {sizes.size} axes, more than {LARGEST_RANK}")
    shape = tuple(sizes.tolist())
    if any(n < 0 for n in shape):
        raise _fault(at, f"is {shape}: sizes are not negative")
    return shape


def _check_size(tensor: FileTensor, at: str) -> None:
    elements = prod(tensor.shape)
    needed = (elements + 1) // 2 if tensor.dtype == "int4" else elements * np.dtype(tensor.dtype).itemsize
    assert tensor.data is not None
    if tensor.data.size != needed:
        what = f"of shape {tensor.shape} and dtype {tensor.dtype} takes {needed} bytes, but its buffer has {tensor.data.size}"
        raise _fault(at, what)


def _dtype(number: int) -> str:
    return DTYPES.get(number, f"type {number}")


def _quantisation(table: Table | None, dtype: str, at: str) -> Quantisation | None:
    if table is None or table["scale"] is None or not table["scale"].size or dtype.startswith("float"):
        return None
    scales = tuple(table["scale"].tolist())
    zero_points = tuple(() if table["zero_point"] is None else table["zero_point"].tolist()) or (0,)
    if len(zero_points) == 1:
        zero_points *= len(scales)
    if len(zero_points) != len(scales):
        raise _fault(at, f"has {len(scales)} scales and {len(zero_points)} zero points")
    if not all(isfinite(scale) and scale > 0 for scale in scales):
        raise _fault(at, "has a scale that is not a positive number")
    low, high = _range(dtype)
    if not all(low <= zero_point <= high for zero_point in zero_points):
        raise _fault(at, f"has a zero point outside {dtype}")
    axis = table["quantized_dimension"] if len(scales) > 1 else None
    return Quantisation(scales=scales, zero_points=zero_points, axis=axis)


def _check_axis(quantisation: Quantisation, shape: tuple[int, ...], at: str) -> None:
    axis = quantisation.axis
    if axis is not None and not (0 <= axis < len(shape) and shape[axis] == len(quantisation.scales)):
        raise _fault(at, f"has {len(quantisation.scales)} scales along axis {axis} of shape {shape}")


def _range(dtype: str) -> tuple[int, int]:
    if dtype == "int4":
        return -8, 7
    kind: Any = np.iinfo(dtype if dtype.startswith(("int", "uint")) else "int64")
    return int(kind.min), int(kind.max)


def _operator(table: Table, codes: list[Table], index: int, tensor_count: int, at: str) -> FileOperator:
    at = f"{at}.operators[{index}]"
    if not table["opcode_index"] < len(codes):
        raise _fault(f"{at}.opcode_index", f"is {table['opcode_index']}, but there are {len(codes)} operator codes")
    inputs = _indices(table["inputs"], tensor_count, f"{at}.inputs", absent=True)
    outputs = _indices(table["outputs"], tensor_count, f"{at}.outputs")
    name = _operator_name(codes[table["opcode_index"]], at)
    return FileOperator(index=index, name=name, inputs=inputs, outputs=outputs, options=table["builtin_options"])


def _operator_name(code: Table, at: str) -> str:
    number = max(code["builtin_code"], code["deprecated_builtin_code"])  # old writers fill the old field alone
    if not 0 <= number < len(OPERATORS):
        raise _fault(at, f"has the unknown operator code {number}")
    return f"custom operator {code['custom_code'] or '?'}" if number == CUSTOM else OPERATORS[number]


def _indices(values: Array | None, count: int, at: str, *, absent: bool = False) -> tuple[int, ...]:
    indices = () if values is None else tuple(values.tolist())
    if any(not (0 <= index < count or (absent and index == -1)) for index in indices):
        raise _fault(at, f"names a tensor outside 0 to {count - 1}")
    return indices
