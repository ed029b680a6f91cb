"""Which sources the costs of a family are those of."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from marram.compile.c.families import Family
from marram.core.codec import digest

_SHARED = ("common", "scalar")
_OTHER = "packed"
"""Kernels for weights of fewer than 8 bits: no sample has such, and no other kernel includes them."""


def kernels_of(family: Family) -> str:
    """Digest of the kernel headers that a family's nets of int8 may be made from."""
    root = files("marram") / "firmware" / "kernels"
    folders = [name for name in (*_SHARED, *family.line) if (root / name).is_dir()]
    return digest({place: text for name in folders for place, text in _texts(root / name, name)})


def _texts(folder: Traversable, place: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if not entry.is_dir():
            yield f"{place}/{entry.name}", entry.read_text(encoding="ascii")
        elif entry.name != _OTHER:
            yield from _texts(entry, f"{place}/{entry.name}")
