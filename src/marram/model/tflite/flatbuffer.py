"""Flatbuffers by the schema: bytes -> plain values, every step checked against the file; plain values -> bytes.

A table becomes a dict with an entry for every field of the schema, a scalar its value or default, a string ``str``, a vector of
scalars a read-only numpy view into the file, a vector of tables a list of dicts, a union a pair of its table's name and
dict; what is absent is None. Nothing of a damaged or hostile file is believed: each offset, length and vtable is held
against the file, and the work is bounded by the file's size. A table met twice is the same dict, so sharing cannot multiply.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from marram.core.errors import ModelFileError
from marram.model.tflite.schema import IDENTIFIER, SCALARS, TABLES, UNIONS

Table = dict[str, Any]

LARGEST_FILE = 2**31 - 1
LARGEST_TABLE_COUNT = 2**18
DATA_ALIGNMENT = 16


def decode(data: bytes, *, where: str, root: str = "Model") -> Table:
    """The root table of a TFLite file.

    Args:
        data: the whole file.
        where: the file's name for error messages.
        root: the table that the file's first offset points to.

    Raises:
        ModelFileError: the bytes are not such a file; names the byte and the path of fields.
    """
    if len(data) > LARGEST_FILE:
        raise ModelFileError(f"is larger than {LARGEST_FILE} bytes, the most that its format can address", where=where)
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ModelFileError(f"is not a TFLite file: bytes 4 to 7 are not {IDENTIFIER.decode()}", where=f"{where}, byte 4")
    reader = _Reader(data, where)
    return reader.table(reader.number("<I", 0, root), root, root)


def defaults(name: str) -> Table:
    """The fields of a table that says nothing."""
    return {field: _default(kind) if kind.partition("=")[0] in SCALARS else None for field, kind in TABLES[name].items()}


def _default(kind: str) -> bool | int | float:
    scalar, _, default = kind.partition("=")
    value: bool | int | float = np.dtype(SCALARS[scalar]).type(int(default or 0)).item()
    return value


class _Reader:
    """One walk through one file, and what is left of its allowance."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.tables_left = min(len(data) // 4, LARGEST_TABLE_COUNT)
        self.bytes_left = 2 * len(data)
        self.seen: dict[tuple[int, str], Table] = {}

    def fault(self, what: str, at: int, path: str) -> ModelFileError:
        return ModelFileError(f"{path} {what}", where=f"{self.where}, byte {at}", hint="The file is damaged; get it again.")

    def number(self, code: str, at: int, path: str) -> int:
        if at < 0 or at + struct.calcsize(code) > len(self.data):
            raise self.fault("lies outside the file", at, path)
        value: int = struct.unpack_from(code, self.data, at)[0]
        return value

    def table(self, at: int, name: str, path: str) -> Table:
        known = self.seen.get((at, name))
        if known is not None:
            return known
        self.tables_left -= 1
        if self.tables_left < 0:
            raise self.fault("is one table more than a file of this size can hold", at, path)
        places = self.places(at, len(TABLES[name]), path)
        table: Table = {}
        self.seen[at, name] = table
        for field, place in zip(TABLES[name], places, strict=True):
            table[field] = self.field(name, field, place, table, f"{path}.{field}")
        return table

    def places(self, at: int, count: int, path: str) -> list[tuple[int, int]]:
        """Where each field lies, 0 for an absent one, and where the table ends."""
        vtable = at - self.number("<i", at, path)
        vtable_bytes, table_bytes = self.number("<H", vtable, path), self.number("<H", vtable + 2, path)
        if vtable_bytes < 4 or vtable_bytes % 2 or vtable + vtable_bytes > len(self.data):
            raise self.fault(f"has a vtable of {vtable_bytes} bytes", vtable, path)
        if table_bytes < 4 or at + table_bytes > len(self.data):
            raise self.fault(f"has {table_bytes} bytes, which reach beyond the file", at, path)
        present = min(count, vtable_bytes // 2 - 2)
        offsets = struct.unpack_from(f"<{present}H", self.data, vtable + 4) + (0,) * (count - present)
        if any(0 < offset < 4 for offset in offsets):
            raise self.fault("has a field on top of its vtable offset", vtable, path)
        return [(at + offset if offset else 0, at + table_bytes) for offset in offsets]

    def field(self, name: str, field: str, place: tuple[int, int], table: Table, path: str) -> Any:
        at, end = place
        kind = TABLES[name][field]
        scalar = kind.partition("=")[0]
        if not at:
            return _default(kind) if scalar in SCALARS else None
        if scalar in SCALARS:
            return self.scalar(scalar, at, end, path)
        if at + 4 > end:
            raise self.fault("reaches beyond its table", at, path)
        target = at + self.number("<I", at, path)
        if kind == "string":
            return self.string(target, path)
        if kind == "union":
            return self.union(target, UNIONS[name, field], table[f"{field}_type"], path)
        if kind.startswith("["):
            return self.vector(target, kind[1:-1], path)
        return self.table(target, kind, path)

    def scalar(self, kind: str, at: int, end: int, path: str) -> bool | int | float:
        dtype = np.dtype(SCALARS[kind])
        if at + dtype.itemsize > end:
            raise self.fault("reaches beyond its table", at, path)
        if kind == "bool":
            return self.data[at] != 0
        value: int | float = np.frombuffer(self.data, dtype, 1, at)[0].item()
        return value

    def extent(self, at: int, itemsize: int, path: str) -> int:
        """Length of the vector at a place, whose items lie in the file."""
        length = self.number("<I", at, path)
        if length * itemsize > len(self.data) - at - 4:
            raise self.fault(f"has {length} items of {itemsize} bytes, which reach beyond the file", at, path)
        return length

    def spend(self, count: int, at: int, path: str) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise self.fault("shares its bytes with too many others", at, path)

    def string(self, at: int, path: str) -> str:
        length = self.extent(at, 1, path)
        self.spend(length, at, path)
        try:
            return self.data[at + 4 : at + 4 + length].decode()
        except UnicodeDecodeError as error:
            raise self.fault("is not UTF-8 text", at + 4 + error.start, path) from error

    def union(self, at: int, tables: dict[str, int], number: int, path: str) -> tuple[str, Table] | None:
        name = next((name for name, known in tables.items() if known == number), None)
        return (name, self.table(at, name, path)) if name else None

    def vector(self, at: int, kind: str, path: str) -> Any:
        if kind in SCALARS:
            dtype = np.dtype(SCALARS[kind])
            length = self.extent(at, dtype.itemsize, path)
            if kind != "ubyte":  # raw data stays a view; numbers are going to be copied
                self.spend(length * dtype.itemsize, at, path)
            return np.frombuffer(self.data, dtype, length, at + 4)
        length = self.extent(at, 4, path)
        self.spend(4 * length, at, path)
        places = np.frombuffer(self.data, "<u4", length, at + 4).tolist()
        return [self.table(at + 4 + 4 * i + place, kind, f"{path}[{i}]") for i, place in enumerate(places)]


def encode(value: Table, *, root: str = "Model") -> bytes:
    """The file whose root table is ``value``, in the form that ``decode`` gives; absent fields may be left out.

    A union is given as its pair; the number before it follows from that. Equal values give equal bytes.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024 + _data_bytes(value))
    builder.Finish(_put_table(builder, value, root), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _data_bytes(value: Any) -> int:
    """About as many bytes as the raw data in a value take."""
    if isinstance(value, dict):
        return sum(map(_data_bytes, value.values()))
    if isinstance(value, list):
        return sum(map(_data_bytes, value))
    return value.nbytes + DATA_ALIGNMENT if isinstance(value, np.ndarray) else 0


def _put_table(builder: Any, value: Table, name: str) -> int:
    fields = TABLES[name]
    offsets = {field: _put(builder, value[field], kind) for field, kind in fields.items() if _is_apart(value.get(field), kind)}
    builder.StartObject(len(fields))
    for number, (field, kind) in enumerate(fields.items()):
        scalar, _, default = kind.partition("=")
        if field in offsets:
            builder.PrependUOffsetTRelativeSlot(number, offsets[field], 0)
        elif scalar in SCALARS:
            given = value.get(field)
            if given is None and (name, field.removesuffix("_type")) in UNIONS:
                given = _union_number(value.get(field.removesuffix("_type")), UNIONS[name, field.removesuffix("_type")])
            if given is not None:
                _put_scalar(builder, number, scalar, given, int(default or 0))
    offset: int = builder.EndObject()
    return offset


def _is_apart(value: Any, kind: str) -> bool:
    """Whether a field's value stands outside its table."""
    return value is not None and kind.partition("=")[0] not in SCALARS


def _union_number(pair: tuple[str, Table] | None, numbers: dict[str, int]) -> int | None:
    return numbers[pair[0]] if pair else None


def _put_scalar(builder: Any, number: int, kind: str, value: Any, default: int) -> None:
    slots = {
        "bool": builder.PrependBoolSlot,
        "byte": builder.PrependInt8Slot,
        "ubyte": builder.PrependUint8Slot,
        "int": builder.PrependInt32Slot,
        "uint": builder.PrependUint32Slot,
        "long": builder.PrependInt64Slot,
        "ulong": builder.PrependUint64Slot,
        "float": builder.PrependFloat32Slot,
    }
    slots[kind](number, value, default)


def _put(builder: Any, value: Any, kind: str) -> int:
    """Write what stands outside its table; the place to point to."""
    offset: int
    if kind == "string":
        offset = builder.CreateString(value)
    elif kind == "union":
        offset = _put_table(builder, value[1], value[0])
    elif not kind.startswith("["):
        offset = _put_table(builder, value, kind)
    elif kind[1:-1] in SCALARS:
        offset = _put_scalars(builder, np.ascontiguousarray(value, SCALARS[kind[1:-1]]))
    else:
        offset = _put_tables(builder, [_put_table(builder, item, kind[1:-1]) for item in value])
    return offset


def _put_tables(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    place: int = builder.EndVector()
    return place


def _put_scalars(builder: Any, values: np.ndarray[Any, Any]) -> int:
    """A vector of scalars; raw bytes are aligned as every runtime's kernels want them."""
    builder.StartVector(values.itemsize, values.size, DATA_ALIGNMENT if values.dtype == np.uint8 else values.itemsize)
    builder.head -= values.nbytes
    builder.Bytes[builder.head : builder.head + values.nbytes] = values.tobytes()
    offset: int = builder.EndVector()
    return offset
