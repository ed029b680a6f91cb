"""The Evidence noun: what was measured, how, on what, on which data, and how sure. Never a bare float."""

from __future__ import annotations

from typing import Literal

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured or estimated figure.

    ``value`` is None when it was not measured, and then ``reason`` says why. ``low`` and ``high`` bound it with the given
    ``confidence``. ``deterministic`` figures come out the same on every run; times do not.
    """

    name: str
    unit: str
    value: float | None
    method: str
    kind: Literal["measured", "computed", "estimated"] = "measured"
    deterministic: bool = True
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    samples: int | None = None
    reason: str | None = None


class Parity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A runtime held against the integer reference (or the float one) on the same vectors.

    ``differing`` counts output elements that are not equal, of ``elements`` in all; ``largest`` is the largest difference
    in steps of the output's dtype (integers) or as a real number (floats).
    """

    runtime: str
    reference: str
    vectors: int
    elements: int
    differing: int
    largest: float
    metric_change: float | None
    vectors_digest: str
    outputs_digest: str


class LayerCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one layer of generated C cost on an emulated core, in instructions of one inference, exactly counted.

    ``name`` is the layer's function, ``node`` the Graph's node, the first one and "and <n> more" where layers that do the same
    share the function (steps of a recurrent layer): the other numbers are then of all of them. ``classes`` splits the
    instructions by kind (load, store, multiply, branch, other).
    """

    name: str
    node: str
    operator: str
    macs: int
    instructions: int
    classes: dict[str, int]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was measured of one Program: figures by name, parity with the reference, and where and on which data.

    ``on`` describes the machine; ``data_digest`` the samples; ``program_digest`` what ran. ``marks`` are plain remarks a
    reader must see, such as that an opaque model was quantised by its runtime's own tool.
    """

    program_digest: str
    data_digest: str
    on: str
    figures: tuple[Figure, ...]
    parity: tuple[Parity, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    layers: tuple[LayerCost, ...] = ()
    marks: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, or None if nobody took it."""
        return next((figure for figure in self.figures if figure.name == name), None)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One promise or budget held against its figure: ``kept`` is None when the figure could not be taken."""

    subject: str
    promise: str
    limit: float
    unit: str
    figure: Figure
    kept: bool | None
