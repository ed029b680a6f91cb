"""IDX files, plain or gzip: MNIST, Fashion-MNIST and their kin, with their own training and test parts.

Format: two zero bytes, a dtype code, the number of axes, each size as a big-endian 32-bit number, then the values.
Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST Database of Handwritten Digits.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.dataset import TEST, TRAINING, ArraySamples, Dataset
from marram.data.layout import encode

STEMS = (("train", TRAINING), ("t10k", TEST))
LABELS_FILE = "labels.txt"
VALUE_LIMIT_BYTES = 4 << 30
_UNSIGNED_BYTE = 0x08


def holds_idx(folder: Path) -> bool:
    """Whether the folder has IDX images of a training part."""
    return _path(folder, f"{STEMS[0][0]}-images-idx3-ubyte") is not None


def read(folder: Path, *, classes: Sequence[str] | None = None) -> Dataset:
    """The images uint8 (height, width, 1) of all parts in a folder, ``parts`` as the files declare them.

    Class names are the lines of ``labels.txt`` if there is one, else the numbers; ``classes`` replaces both.

    Raises:
        DataError: a file that is missing, damaged, or disagrees with another.
    """
    images, targets, parts = [], [], []
    for stem, part in STEMS:
        image_path, label_path = (_path(folder, f"{stem}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
        if image_path is None or label_path is None:
            raise DataError(f"has no {stem}-images-idx3-ubyte and {stem}-labels-idx1-ubyte", where=str(folder))
        pixels, numbers = read_array(image_path), read_array(label_path)
        if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers):
            raise DataError(
                f"images of shape {pixels.shape} do not agree with labels of shape {numbers.shape}", where=str(image_path)
            )
        images.append(pixels)
        targets.append(numbers)
        parts.append(np.full(len(numbers), part, np.int8))
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(f"images of {images[0].shape[1:]} and of {images[1].shape[1:]} in one set", where=str(folder))
    numbers = np.concatenate(targets)
    names = _names(folder, int(numbers.max(initial=0)) + 1, classes)
    indices, labels = encode([names[number] for number in numbers], len(numbers), declared=names, source=str(folder))
    samples = ArraySamples(np.concatenate(images)[..., np.newaxis], source=str(folder))
    return Dataset(samples, targets=indices, labels=labels, parts=np.concatenate(parts))


def read_array(path: Path) -> Array:
    """The array in one IDX file of unsigned bytes.

    Raises:
        DataError: truncated, damaged, too long, or of another dtype.
    """
    data = _content(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE or not 1 <= data[3] <= 4:
        raise DataError("not an IDX file of unsigned bytes", where=str(path), hint="Fetch it again.")
    axes = data[3]
    if len(data) < 4 + 4 * axes:
        raise DataError(f"truncated in its header, at byte {len(data)}", where=str(path), hint="Fetch it again.")
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if len(data) - 4 - 4 * axes != prod(shape):
        raise DataError(
            f"holds {len(data) - 4 - 4 * axes} values, its header says {prod(shape)}", where=str(path), hint="Fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if path.suffix != ".gz":
        return stored
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(stored, VALUE_LIMIT_BYTES)
    except (zlib.error, MemoryError) as error:
        raise DataError(f"damaged gzip: {error}", where=str(path), hint="Fetch it again.") from error
    if not unpacker.eof:
        raise DataError("truncated gzip, or far too long", where=str(path), hint="Fetch it again.")
    return data


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _names(folder: Path, count: int, classes: Sequence[str] | None) -> list[str]:
    names = list(classes) if classes else None
    path = folder / LABELS_FILE
    if names is None and path.is_file():
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) < count:
        raise DataError(
            f"{len(names)} class names, but labels go up to {count - 1}", where=str(folder), hint="Name every class."
        )
    return names
