"""The kernel families and their lines of fallback: which maker turns an operator at a place into C."""

from __future__ import annotations

import importlib
from types import ModuleType

import msgspec

from marram.compile.c.geometry import activations_of
from marram.compile.c.place import Maker, Place, Routine
from marram.core.errors import UserError
from marram.core.operators import operator_name
from marram.core.target import Target


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A set of kernels for one kind of core. ``line`` names the families asked in turn, itself first.

    A name with a dot in it is a module outside this package that has ``MAKERS``: kernels of somebody else's.
    """

    name: str
    line: tuple[str, ...]
    align_bytes: int = 8


FAMILIES = {
    family.name: family
    for family in (
        Family(name="portable", line=("portable",)),
        Family(name="armv6m", line=("armv6m", "portable")),
        Family(name="armv7m", line=("armv7m", "portable")),
        Family(name="dsp", line=("dsp", "portable")),
        Family(name="mve", line=("mve", "portable"), align_bytes=16),
        Family(name="host", line=("host", "portable"), align_bytes=64),
    )
}

_OF_CORE = {
    "cortex-m0": "armv6m",
    "cortex-m0plus": "armv6m",
    "cortex-m3": "armv7m",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
    "cortex-m85": "mve",
}


def family_of(target: Target) -> Family:
    """The family for a target's core: its own, ``host`` for a machine with an operating system, else ``portable``."""
    if target.core in _OF_CORE:
        return FAMILIES[_OF_CORE[target.core]]
    return FAMILIES["host"] if target.here or "onnxruntime" in target.runtimes else FAMILIES["portable"]


def makers(name: str) -> dict[type, Maker]:
    """The table of one family: operator class to maker."""
    table: dict[type, Maker] = _module(name).MAKERS
    return table


def _module(name: str) -> ModuleType:
    return importlib.import_module(name if "." in name else f"marram.compile.c.kernels.{name}")


def _dtypes(name: str) -> frozenset[str]:
    """The dtypes of activations that a family's makers know: int8 alone where the family does not say."""
    return getattr(_module(name), "DTYPES", frozenset({"int8"}))


def _weight_bits(name: str) -> frozenset[int]:
    """The widths of packed weights that a family's makers know: bytes alone where the family does not say."""
    return getattr(_module(name), "WEIGHT_BITS", frozenset({8}))


def routine(place: Place, family: Family) -> Routine:
    """The first answer along the family's line.

    Raises:
        UserError: no family of the line has the operator at these shapes and dtypes; says why for each.
    """
    refusals = []
    for name in family.line:
        try:
            return _answer(place, name)
        except UserError as refusal:
            refusals.append(f"{name}: {refusal.what}")
    refusals += [f"family {name} has it" for name in FAMILIES if name not in family.line and _serves(place, name)]
    raise place.site.error(f"no kernel of family {family.name} serves this operator", "; ".join(refusals))


def _answer(place: Place, name: str) -> Routine:
    """What one family makes of a place; a UserError that says what it lacks."""
    site = place.site
    dtypes = {tensor.dtype for tensor in (*activations_of(site), *site.outputs)} - _dtypes(name)
    if dtypes:
        raise site.error(f"has no {' and '.join(sorted(dtypes))}")
    if place.weight_bits not in _weight_bits(name):
        raise site.error(f"has no weights of {place.weight_bits} bits")
    maker = makers(name).get(type(site.node.op))
    if maker is None:
        raise site.error(f"has no {operator_name(site.node.op)}")
    return maker(place)


def _serves(place: Place, name: str) -> bool:
    try:
        _answer(place, name)
    except UserError:
        return False
    return True
