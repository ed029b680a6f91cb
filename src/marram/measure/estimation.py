"""Latency and energy of a core from what it executes: stated cycles, a calibration, the power model of the device profile."""

from __future__ import annotations

from marram.core.evidence import Figure
from marram.core.target import Target
from marram.measure.emulator.cycles import calibration


def moves(by_class: dict[str, int]) -> int:
    """The loads and stores among counted instructions."""
    return sum(count for kind, count in by_class.items() if kind.endswith(("load", "store")))


def estimates(core: str, target: Target, *, instructions: float, cycles: float, moved: float) -> tuple[Figure, Figure]:
    """Latency and energy by the core's calibration; open where the profile has no clock or no power model.

    Args:
        core: the one that was emulated.
        target: the device.
        instructions: of one inference.
        cycles: that the core's manual states for them.
        moved: the loads and stores among them, taken to be of 4 bytes each.
    """
    by = calibration(core)
    clock = target.clock_hz
    if clock is None:
        reason = "the device profile states no clock (clock_hz)"
        return (_open("latency_p90_us", "us", reason), _open("energy_uj", "uJ", reason))
    low, middle, high = (cycles * factor / clock * 1e6 for factor in (by.low, by.factor, by.high))
    latency = Figure(
        name="latency_p90_us",
        unit="us",
        value=middle,
        low=low,
        high=high,
        method=f"stated cycles of the counted instructions at {clock / 1e6:g} MHz; {by.source}",
        kind="estimated",
    )
    if target.power is None:
        return (latency, _open("energy_uj", "uJ", "the device profile has no power model"))
    power = target.power
    active = instructions * power.instruction_pj * 1e-6 + 4 * moved * power.memory_byte_pj * 1e-6
    low, middle, high = (
        (active + power.active_mw * us * 1e-3) * share
        for us, share in ((low, 1 - power.spread), (middle, 1.0), (high, 1 + power.spread))
    )
    energy = Figure(
        name="energy_uj",
        unit="uJ",
        value=middle,
        low=low,
        high=high,
        method=f"power model of the profile ({power.source}) on counted instructions and estimated time",
        kind="estimated",
    )
    return (latency, energy)


def _open(name: str, unit: str, reason: str) -> Figure:
    return Figure(name=name, unit=unit, value=None, method="none", kind="estimated", reason=reason)
