"""C text: constants as arrays, kernels gathered from the firmware folder, one include after another, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np

from marram.compile.c.place import ConstantArray
from marram.core.codec import digest
from marram.core.errors import InternalError

_INCLUDE = re.compile(r'^#include "([^"]+)"\s*$', re.MULTILINE)
_PER_LINE = 96


@cache
def kernel_text(path: str) -> str:
    """A kernel header of ``marram/firmware/kernels``, by its path there."""
    return (files("marram") / "firmware" / "kernels" / path).read_text(encoding="ascii")


def kernels_digest() -> str:
    """Digest of every kernel header: what else decides what is generated than the Graph and the target."""

    def texts(folder: Traversable, place: str) -> Iterator[tuple[str, str]]:
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from texts(entry, f"{place}{entry.name}/")
            else:
                yield f"{place}{entry.name}", entry.read_text(encoding="ascii")

    return digest(dict(texts(files("marram") / "firmware" / "kernels", "")))


def gathered(includes: list[str]) -> str:
    """The text of kernel headers and of what they include, in order of need, each once.

    System headers stay includes; so do headers named in angle brackets, for kernels from elsewhere.
    """
    done: dict[str, str] = {}
    foreign = [path for path in dict.fromkeys(includes) if path.startswith("<")]

    def visit(path: str, trail: tuple[str, ...]) -> None:
        if path in done:
            return
        if path in trail:
            raise InternalError(f"kernel headers include each other: {' -> '.join((*trail, path))}")
        text = kernel_text(path)
        for inner in _INCLUDE.findall(text):
            visit(inner, (*trail, path))
        done[path] = _INCLUDE.sub("", text).strip()

    for path in dict.fromkeys(includes):
        if path not in foreign:
            visit(path, ())
    heads = [f"#include {path}" for path in foreign]
    return "\n\n".join([*heads, *(f"/* {path} */\n{text}" for path, text in done.items())])


def array_text(name: str, array: ConstantArray, *, section: str = "") -> str:
    """A constant as a C definition; ``section`` is the macro that names its own section."""
    values = np.ascontiguousarray(array.values).ravel()
    limits = np.iinfo(array.c_type.removesuffix("_t"))
    if values.size and (int(values.min()) < limits.min or int(values.max()) > limits.max):
        raise InternalError(f"constant {name} does not fit {array.c_type}")
    texts = _numbers(values.tolist(), array.c_type)
    rows = [",".join(texts[start : start + _PER_LINE]) for start in range(0, len(texts), _PER_LINE)]
    body = "\n".join(f"    {row}," for row in rows)
    there = f"MARRAM_SECTION({section})\n" if section else ""
    return f"{there}MARRAM_ALIGNED({array.align_bytes}) static const {array.c_type} {name}[{values.size}] = {{\n{body}\n}};"


def _numbers(values: list[int], c_type: str) -> list[str]:
    if c_type == "int32_t":
        return ["(-2147483647-1)" if value == -(2**31) else str(value) for value in values]
    if c_type == "int64_t":
        return ["INT64_MIN" if value == -(2**63) else f"INT64_C({value})" for value in values]
    return [f"{value}u" for value in values] if c_type == "uint32_t" else [str(value) for value in values]


def identifier(name: str) -> str:
    """A name as a C identifier, lower case."""
    found = re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_").lower()
    return f"m_{found}" if not found or found[0].isdigit() else found
