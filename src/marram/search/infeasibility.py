"""Infeasibility: when no model can meet a budget, which one binds, by how much, and why that is certain.

Two kinds of answer, told apart:

- *proven*: a bound that holds for every part of the space and every recipe already exceeds the budget. Bounds are only
  those that follow from sizes: an input must stand in memory while it is read, constants in flash, products need instructions.
- *not found*: nothing that was tried meets it; ``nearest`` is the closest that was found, and no proof is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from marram.compile.c.families import family_of
from marram.core.contract import PromiseSection, TargetSection
from marram.core.evidence import Figure
from marram.core.graph import Graph
from marram.measure.prediction import lower_bounds
from marram.search.choosing import Assessed
from marram.search.pricing import Device


class Infeasible(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a target's budget or promise cannot be met, or was not.

    Args:
        target: whose.
        kind: ``proven`` by ``bound``, or ``not found``.
        binding: the keys of the contract that bind, the one that is exceeded most first.
        budget: what the first of them allows, in its unit.
        bound: what no model of the space can go below; None where there is no proof.
        nearest: the closest that was found: by key what it would take, in the keys' units.
        why: one sentence for a reader.
    """

    target: str
    kind: Literal["proven", "not found"]
    binding: tuple[str, ...]
    budget: float
    bound: float | None
    nearest: dict[str, float]
    why: str


MACS_PER_INSTRUCTION = {"mve": 16, "dsp": 2, "armv7m": 1, "armv6m": 1, "portable": 1}
"""The most products that one instruction of a family's cores adds up: VMLADAV.S8, SMLAD, MLA. Source: Arm's manuals."""

_MOST_INSTRUCTIONS_PER_CYCLE = {"cortex-m7": 2, "cortex-m85": 2}
"""Cores that may end two instructions in a cycle; all others end one."""


def proven(least: Graph, device: Device) -> Infeasible | None:
    """The answer where not even the least part of a space can meet a budget; None where that is not certain.

    Every part has at least as many weights, products and elements of input as the least one: what this one cannot, none can.

    Args:
        least: the least part as a float Graph.
        device: the target with its budget.
    """
    if not device.in_c:
        return None
    rows = [(bound / limit - 1, key, limit, bound, why) for key, limit, bound, why in _bounds(least, device) if bound > limit]
    if not rows:
        return None
    rows.sort(key=lambda row: (-row[0], row[1]))
    _, _, limit, bound, why = rows[0]
    return Infeasible(
        target=device.name,
        kind="proven",
        binding=tuple(row[1] for row in rows),
        budget=limit,
        bound=bound,
        nearest={row[1]: row[3] for row in rows},
        why=why,
    )


def _bounds(least: Graph, device: Device) -> Iterator[tuple[str, float, float, str]]:
    """Key, budget, bound and reason, for each budget that sizes alone say something of."""
    section, target = device.section, device.target
    sizes = lower_bounds(least, target)
    if section.ram_kib is not None:
        kib = sizes.ram_bytes / 1024
        text = f"inputs and outputs alone take {sizes.ram_bytes:,} bytes, and ram_kib = {section.ram_kib:g}"
        yield "ram_kib", section.ram_kib, kib, text
    if section.flash_kib is not None:
        bits = min(device.weight_bits)
        kib = sizes.flash_bytes * bits / 8 / 1024
        text = f"the smallest net of the space has {kib * 1024:,.0f} bytes of weights at {bits} bits"
        yield "flash_kib", section.flash_kib, kib, f"{text}, and flash_kib = {section.flash_kib:g}"
    if target.clock_hz is None:
        return
    family = family_of(target).name
    at_once = MACS_PER_INSTRUCTION[family]
    cycles = sizes.products / at_once / _MOST_INSTRUCTIONS_PER_CYCLE.get(target.core, 1)
    least_ms = cycles / target.clock_hz * 1e3
    work = f"the smallest net of the space needs {sizes.products:,} products, at most {at_once} an instruction"
    if section.latency_ms is not None:
        yield "latency_ms", section.latency_ms, least_ms, f"{work}: {least_ms:.3g} ms, and latency_ms = {section.latency_ms:g}"
    if section.energy_uj is not None and target.power is not None:
        least_uj = target.power.active_mw * (1 - target.power.spread) * least_ms
        yield "energy_uj", section.energy_uj, least_uj, f"{work}: {least_uj:.3g} uJ, and energy_uj = {section.energy_uj:g}"


def out_of_reach(target: str, promises: PromiseSection, exact: Figure | None) -> Infeasible | None:
    """The answer where more accuracy is promised than the float model has, with the doubt about that in the promise's favour.

    Args:
        target: whose promise it is.
        promises: the contract's.
        exact: the float model's accuracy with its interval; None where there is none.
    """
    promised = promises.accuracy_min
    if promised is None or exact is None or exact.value is None or exact.high is None or promised <= exact.high:
        return None
    has = f"{100 * exact.value:.2f} % (at most {100 * exact.high:.2f} % at {100 * (exact.confidence or 0.0):g} % confidence)"
    return Infeasible(
        target=target,
        kind="not found",
        binding=("accuracy_min",),
        budget=promised,
        bound=None,
        nearest={"accuracy_min": exact.value},
        why=f"accuracy_min = {100 * promised:g} %, and the float model itself has {has}: its parts were not searched",
    )


def nearest(assessed: Sequence[Assessed], device: str) -> Assessed | None:
    """The part that breaks a device's budgets least, by the largest of its excesses; None where nothing was assessed."""
    rows = [
        (max(one.excess[device].values(), default=0.0), index) for index, one in enumerate(assessed) if device in one.excess
    ]
    return assessed[min(rows)[1]] if rows else None


def not_found(assessed: Sequence[Assessed], target: str, section: TargetSection) -> Infeasible | None:
    """The answer where every part breaks a budget of a target; None where one of them breaks none."""
    closest = nearest(assessed, target)
    if closest is None or not closest.excess[target]:
        return None
    over = sorted(closest.excess[target].items(), key=lambda item: (-item[1], item[0]))
    needed = {key: float(getattr(section, key)) * (1 + share) for key, share in over}
    key, share = over[0]
    priced = sum(target in one.prices for one in assessed)
    return Infeasible(
        target=target,
        kind="not found",
        binding=tuple(key for key, _ in over),
        budget=float(getattr(section, key)),
        bound=None,
        nearest=needed,
        why=f"of {priced} models that were priced for it the nearest exceeds {key} by {100 * share:.1f} %",
    )
