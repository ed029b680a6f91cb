"""Pricing: what a float Graph will cost on each target of a contract, and by how much that is too much.

For targets that take generated C the price is foretold from the planner and from what kernels were seen to cost; elsewhere only
what is counted is known beforehand: MACs and bytes of int8 weights. What a search returns is measured in any case.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from marram.core.contract import TargetSection
from marram.core.graph import Graph
from marram.core.recipe import WeightBits
from marram.core.target import Target
from marram.measure import budget_limits
from marram.measure.prediction import PriceCache, predict
from marram.model.counts import counts

COUNTED = ("macs", "weight_bytes")
"""What is known for every target."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a contract: its name there, its profile, its budget, and whether it takes generated C.

    ``weight_bits`` are those that weights may have on it, in falling order.
    """

    name: str
    target: Target
    section: TargetSection
    in_c: bool
    weight_bits: tuple[WeightBits, ...] = (8,)


def price(graph: Graph, device: Device, cache: PriceCache | None = None) -> dict[str, float]:
    """What a float Graph will cost once quantised, by the names that Evidence has for the figures.

    ``macs`` and ``weight_bytes`` (int8) for every device; for one that takes C ``instructions``, ``ram_bytes``,
    ``flash_bytes`` with ``constant_bytes`` in it, and where the profile allows it ``latency_p90_us`` and ``energy_uj``, the
    upper ends of estimates.
    """
    counted = counts(graph)
    found = {"macs": float(counted.macs), "weight_bytes": float(counted.parameters)}
    if not device.in_c:
        return found
    limit = device.section.ram_kib
    within = None if limit is None else int(limit * 1024)
    foretold = predict(graph, device.target, ram_limit_bytes=within, cache=cache)
    return found | foretold.figures | {"constant_bytes": float(foretold.constant_bytes)}


def excess(prices: Mapping[str, float], device: Device) -> dict[str, float]:
    """By key the budgets that a price breaks, and by how much of the budget. Costs that are not known break none.

    Where weights may have fewer bits, flash counts with as few bytes of constants as they are likely to come to.
    """
    found = {}
    for limit in budget_limits(device.section):
        cost = prices.get(limit.figure)
        if limit.figure == "flash_bytes" and cost is not None:
            cost -= (1 - LEAST_SHARE[min(device.weight_bits)]) * prices["constant_bytes"]
        if limit.figure == "size_bytes":  # a file holds its weights at least
            cost = prices["weight_bytes"]
        if cost is not None and cost > limit.limit * limit.figure_units:
            found[limit.promise] = cost / (limit.limit * limit.figure_units) - 1
    return found


LEAST_SHARE: dict[int, float] = {8: 1.0, 4: 0.62, 2: 0.45}
"""Constants in flash beside those of 8 bits, where all weights that can be packed have so few; biases and multipliers stay."""

_SPARE = 0.98  # predictions of flash have an error, and rounding up layers costs bytes


def constants_share(prices: Mapping[str, float], device: Device) -> float | None:
    """The share of its constants that a part may have in flash; None where it fits with 8 bits or may not have fewer."""
    limit = device.section.flash_kib
    if limit is None or min(device.weight_bits) == 8 or prices["flash_bytes"] <= limit * 1024:
        return None
    code = prices["flash_bytes"] - prices["constant_bytes"]
    return max((_SPARE * limit * 1024 - code) / prices["constant_bytes"], LEAST_SHARE[min(device.weight_bits)])


def main_cost(device: Device) -> str:
    """The figure by which models that keep everything are compared: the one that energy and time follow from."""
    return "instructions" if device.in_c else "macs"


def objectives(device: Device) -> tuple[str, ...]:
    """The costs that a search weighs against the error: work, and memory where a device has little of it."""
    return (main_cost(device), "ram_bytes") if device.in_c else (main_cost(device),)
