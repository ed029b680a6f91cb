"""What each part of a core's kernels costs, fitted to counted samples and kept in the package: a file a core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

from marram.core.errors import UserError
from marram.measure.prediction.work import ALONE

T = TypeVar("T")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run of a part of a kernel executes: instructions, stated cycles, loads and stores."""

    instructions: float
    cycles: float
    moves: float


class KernelFit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well the layers of a kernel were met: how many there were, the relative errors, the instructions of the largest."""

    layers: int
    median_error: float
    p95_error: float
    most_instructions: int


class Errors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relative errors of whole nets that were held out: the median, and what 95 % and 99 % of them stay below."""

    median: float
    p95: float
    p99: float


class Coefficients(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of one core.

    Args:
        core: which, as emulated.
        compiler: that the samples were compiled by.
        kernels: digest of the kernels' sources, as ``kernels.kernels_of`` has it.
        nets: how many samples there were.
        parts: costs of the kernels' parts.
        fits: of layers, by kernel.
        code: bytes of flash beside constants: of the base, of each kernel that is there, of each layer of a kernel.
        stack: bytes that each kernel's layers need at most, callers included.
        instructions, cycles, flash, stack_error: errors of held-out nets.
    """

    core: str
    compiler: str
    kernels: str
    nets: int
    parts: dict[str, Part]
    fits: dict[str, KernelFit]
    code: dict[str, float]
    stack: dict[str, int]
    instructions: Errors
    cycles: Errors
    flash: Errors
    stack_error: Errors


def nearest(known: Mapping[str, T], name: str) -> T | None:
    """What is known of a part, or else of its like: with other callers of its kernel, or without its last variants."""
    for start in (name, name.removeprefix(ALONE), f"{ALONE}{name}"):
        part = start
        while part not in known and "_" in part.rpartition(".")[2]:
            part = part.rpartition("_")[0]
        if part in known:
            return known[part]
    return None


@cache
def coefficients(core: str) -> Coefficients:
    """What is known of an emulated core.

    Raises:
        UserError: nothing; names the cores of which something is.
    """
    folder = files("marram.measure.prediction") / "coefficients"
    known = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
    if core not in known:
        raise UserError(
            f"costs cannot be predicted for {core}", where="target", hint=f"Cores whose costs were learned: {', '.join(known)}."
        )
    return msgspec.json.decode((folder / f"{core}.json").read_bytes(), type=Coefficients)
