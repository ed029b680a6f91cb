"""What an emulated core tells, as Figures: counts that are exact, sizes, stack, and estimates of time and energy."""

from __future__ import annotations

import msgspec

from marram.compile.toolchain.cross import Compiled, Image
from marram.core.evidence import Figure
from marram.core.target import PowerModel
from marram.measure.emulator.cycles import calibration
from marram.measure.emulator.profile import Profile


class Footprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of a model on a device, forecast before linking and read from the image or the device: both or it is a fault."""

    flash_forecast: int
    flash_measured: int
    ram_forecast: int
    ram_measured: int
    stack_bound: int
    stack_measured: int


def footprint(compiled: Compiled, application: Image, stack_measured: int) -> Footprint:
    """The footprint of the smallest application with a model in it. RAM is without stack."""
    return Footprint(
        flash_forecast=compiled.sizes.flash_bytes,
        flash_measured=application.flash_bytes,
        ram_forecast=compiled.sizes.ram_bytes,
        ram_measured=application.ram_bytes,
        stack_bound=compiled.stack.size_bytes,
        stack_measured=stack_measured,
    )


def size_figures(compiled: Compiled, found: Footprint) -> tuple[Figure, ...]:
    """Flash, RAM (static and stack together), stack, and what of the flash is code and what the model's weights."""
    weights = sum(layer.weight_bytes for layer in compiled.generated.layers)
    forecast_ram = found.ram_forecast + found.stack_bound
    return (
        Figure(
            name="flash_bytes",
            unit="B",
            value=found.flash_measured,
            method=f"linked image of the smallest application, startup included; forecast before linking: {found.flash_forecast}",
        ),
        Figure(
            name="ram_bytes",
            unit="B",
            value=found.ram_measured + found.stack_measured,
            method=f"static data and arena of that image, and painted stack of one invoke; forecast: at most {forecast_ram}",
        ),
        Figure(
            name="stack_bytes",
            unit="B",
            value=found.stack_measured,
            high=found.stack_bound,
            method="painted stack of one invoke on the emulated core; high is the bound from the compiler and the call graph",
        ),
        Figure(
            name="code_bytes",
            unit="B",
            value=found.flash_measured - weights,
            kind="computed",
            method="flash less the weights as the generator packs them",
        ),
    )


def count_figures(counted: Profile) -> tuple[Figure, ...]:
    """Instructions of one inference, and by multiply-accumulate."""
    how = f"counted one by one on the emulated {counted.core}, from the entry of invoke to its return"
    return (
        Figure(name="instructions", unit="1", value=counted.instructions, method=how, samples=len(counted.runs)),
        Figure(
            name="instructions_per_mac",
            unit="1",
            value=counted.instructions / counted.macs if counted.macs else None,
            reason=None if counted.macs else "the model has no multiply-accumulates",
            kind="computed",
            method=f"{how}, over {counted.macs} multiply-accumulates",
        ),
    )


def latency_figure(counted: Profile, clock_hz: int) -> Figure:
    """Microseconds of one inference at a clock: an estimate, never a measurement; low and high say how sure it is."""
    found = calibration(counted.core)
    stated_us = counted.cycles / clock_hz * 1e6
    return Figure(
        name="latency_us",
        unit="us",
        value=stated_us * found.factor,
        low=stated_us * found.low,
        high=stated_us * found.high,
        kind="estimated",
        method=f"instructions by class at their stated cycles, {clock_hz / 1e6:g} MHz, times {found.factor:.2f}: {found.source}",
    )


def energy_figure(counted: Profile, power: PowerModel | None, latency: Figure) -> Figure:
    """Microjoules of one inference by the profile's power model: an estimate; None where the profile has no model."""
    if power is None or latency.value is None:
        reason = "the device profile has no power model"
        return Figure(name="energy_uj", unit="uJ", value=None, kind="estimated", method="power model", reason=reason)
    moved = sum(counted.by_class.get(kind, 0) * size for kind, size in _MOVED_BYTES.items())
    active = (counted.instructions * power.instruction_pj + moved * power.memory_byte_pj) * 1e-6
    idle_uj_per_us = power.idle_mw * 1e-3

    def at(duration_us: float | None) -> float | None:
        return None if duration_us is None else active + idle_uj_per_us * duration_us

    return Figure(
        name="energy_uj",
        unit="uJ",
        value=at(latency.value),
        low=at(latency.low),
        high=at(latency.high),
        kind="estimated",
        method=f"counted instructions and bytes moved, idle draw over the estimated time: {power.source}",
    )


# Bytes that an instruction of a class moves, lists of registers counted as one word: an estimate has no need of more.
_MOVED_BYTES = {"load": 4, "store": 4, "vector_load": 16, "vector_store": 16}
