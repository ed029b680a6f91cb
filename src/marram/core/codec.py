"""One canonical encoding for every noun, and the digest that follows from it.

The encoding is MessagePack with sorted map keys and shortest forms; an array is a map of its dtype
(little-endian), shape and C-order bytes. Equal values give equal bytes on every machine, so a digest is
SHA-256 over them, written ``sha256:<64 hex digits>``.

Laws (``tests/laws/test_codec.py``): ``decode(encode(v), type(v)) == v`` and ``encode(decode(b, T)) == b``.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar, get_origin

import msgspec
import numpy as np

from marram.core.errors import IntegrityError

T = TypeVar("T")

_ARRAY_DTYPES = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"})


def _encode_foreign(value: object) -> object:
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _ARRAY_DTYPES:
            raise TypeError(f"arrays of dtype {value.dtype} have no canonical encoding")
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return {"data": little.tobytes(), "dtype": value.dtype.name, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no canonical encoding")


def _decode_foreign(kind: type, value: Any) -> Any:
    if (get_origin(kind) or kind) is np.ndarray:
        return _array(value)
    raise TypeError(f"{kind} has no canonical decoding")


def _array(value: Any) -> np.ndarray[Any, Any]:
    if not isinstance(value, dict) or set(value) != {"data", "dtype", "shape"} or value["dtype"] not in _ARRAY_DTYPES:
        raise ValueError("not an encoded array")
    dtype = np.dtype(value["dtype"])
    shape = tuple(value["shape"])
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError("an array's shape holds whole numbers only")
    flat = np.frombuffer(value["data"], dtype=dtype.newbyteorder("<"))
    return flat.reshape(shape).astype(dtype)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_foreign, order="deterministic")


def encode(value: object) -> bytes:
    """The canonical bytes of a noun or of plain values.

    Raises:
        TypeError: the value holds something without a canonical form.
    """
    return _ENCODER.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The value of type ``kind`` that ``encode`` turned into ``data``.

    Raises:
        IntegrityError: the bytes are not the encoding of such a value.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_decode_foreign)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"not a valid {kind.__name__}: {error}") from error


def digest(value: object) -> str:
    """``sha256:...`` of a value's canonical bytes; of raw bytes it is taken directly."""
    data = value if isinstance(value, bytes | bytearray | memoryview) else encode(value)
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value: object) -> bytes:
    """Readable JSON of a noun, keys sorted; arrays become their dtype, shape and digest."""

    def foreign(item: object) -> object:
        if isinstance(item, np.ndarray):
            return {"dtype": item.dtype.name, "shape": list(item.shape), "digest": digest(np.ascontiguousarray(item).tobytes())}
        return _encode_foreign(item)

    return msgspec.json.format(msgspec.json.encode(value, enc_hook=foreign, order="deterministic"), indent=2)
