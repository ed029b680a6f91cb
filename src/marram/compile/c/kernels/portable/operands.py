"""The inputs of a routine in C: an activation is ``x0``, ``x1`` ... by its rank among activations, a constant an array."""

from __future__ import annotations

import msgspec

from marram.compile.c.place import ConstantArray, CType, Place


class Operands(msgspec.Struct, frozen=True, kw_only=True):
    """``names`` are the C expressions of all inputs in the node's order; ``constants`` the arrays that some of them name."""

    names: tuple[str, ...]
    constants: tuple[ConstantArray, ...]


def operands(place: Place) -> Operands:
    """The inputs of a node whose constants are read as they are."""
    names: list[str] = []
    constants: list[ConstantArray] = []
    for index, value in enumerate(place.site.constants):
        if value is None:
            names.append(f"x{len(names) - len(constants)}")
        else:
            c_type: CType = "int16_t" if value.dtype.name == "int16" else "int8_t"
            constants.append(ConstantArray(name=f"operand{index}", c_type=c_type, values=value.ravel()))
            names.append(f"@operand{index}@")
    return Operands(names=tuple(names), constants=tuple(constants))


def item_bytes(place: Place) -> int:
    """Bytes of one element of the output."""
    return 2 if place.site.output.dtype == "int16" else 1
