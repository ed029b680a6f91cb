"""The Target noun: what a device can do."""

from __future__ import annotations

from typing import Literal

import msgspec

Runtime = Literal["onnxruntime", "litert", "openvino", "c"]


class PowerModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How energy is estimated where no meter is: the draw while the core computes, and what instructions and bytes add to it.

    ``spread`` is the share by which published figures differ around the model, both ways.
    """

    active_mw: float
    instruction_pj: float = 0.0
    memory_byte_pj: float = 0.0
    spread: float = 0.0
    source: str


class TargetMemory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory of a device that can be written: its size, and how many cycles a byte waits there if that is known.

    ``source`` is who says so.
    """

    name: str
    size_bytes: int
    byte_cost: float | None = None
    source: str


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device profile.

    ``here`` tells that a Program for it runs on the machine that builds. Sizes that a profile leaves open are None.
    ``memories`` are those of which a plan over several may be asked by name; without being asked nothing uses them.
    """

    name: str
    title: str
    core: str
    instruction_set: str
    runtimes: tuple[Runtime, ...]
    dtypes: tuple[str, ...]
    here: bool = False
    clock_hz: int | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    power: PowerModel | None = None
    memories: tuple[TargetMemory, ...] = ()
    notes: str = ""
