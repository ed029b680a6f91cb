"""Cycles from instructions: what the manuals state for each instruction, times what boards take beyond that.

An estimate, never a measurement: the emulator has no pipeline, no flash wait states and no caches. The factor between the
manuals' cycles and a board's is calibrated where a published board result and the instruction count of comparable code are
known; for other cores it is carried over and its interval is wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from marram.measure.emulator.instructions import Instruction


class BoardPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A published latency, and the instructions that comparable code executes for the same net, counted by us."""

    net: str
    instructions: int
    board_ms: float
    board_hz: int

    @property
    def cycles_per_instruction(self) -> float:
        """What the board took for each instruction."""
        return self.board_ms * 1e-3 * self.board_hz / self.instructions


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The factor on a core's stated cycles: the middle, and the interval that it can be trusted to. ``source`` says why."""

    factor: float
    low: float
    high: float
    source: str


# OctoML microTVM with CMSIS-NN on NUCLEO-L4R5ZI at 120 MHz (mlcommons/tiny_results_v1.0, closed division), against the counts
# of TensorFlow Lite Micro 90b983c2 with CMSIS-NN 99f736a6 for the same nets on mps2-an386. Not the same version and not the
# same runtime around the kernels: this is why the interval is wider than the residuals.
CORTEX_M4_POINTS = (
    BoardPoint(net="ad", instructions=582_945, board_ms=8.60, board_hz=120_000_000),
    BoardPoint(net="kws", instructions=7_698_405, board_ms=99.81, board_hz=120_000_000),
    BoardPoint(net="vww", instructions=24_101_943, board_ms=301.20, board_hz=120_000_000),
    BoardPoint(net="ic", instructions=29_863_738, board_ms=389.56, board_hz=120_000_000),
)
# Stated cycles for each instruction of that code on a Cortex-M4, by the rules below.
STATED_OF_POINTS = 1.19
# Cycles of Plumerai's engine (tiny_results_v1.1) on a core, over its cycles on the Cortex-M4: ad, kws, vww, ic.
CORTEX_M7_OVER_M4 = (1.43 / 1.84, 1.46 / 2.16, 1.00 / 1.58, 1.14 / 1.61)
CORTEX_M33_OVER_M4 = (2.22 / 1.84, 1.81 / 2.16, 1.27 / 1.58, 1.33 / 1.61)


def residuals() -> dict[str, float]:
    """For each net of the calibration: the board's cycles over the calibrated estimate, less 1."""
    middle = calibration("cortex-m4").factor * STATED_OF_POINTS
    return {point.net: point.cycles_per_instruction / middle - 1.0 for point in CORTEX_M4_POINTS}


def calibration(core: str) -> Calibration:
    """The factor of a core."""
    factors = [point.cycles_per_instruction / STATED_OF_POINTS for point in CORTEX_M4_POINTS]
    middle, high = _middle(factors), max(factors)
    m4 = (
        "NUCLEO-L4R5ZI at 120 MHz, microTVM with CMSIS-NN (MLPerf Tiny v1.0) against instructions counted of TFLM with CMSIS-NN"
    )
    if core == "cortex-m4":
        return Calibration(factor=middle, low=1.0, high=high, source=m4)
    if core in {"cortex-m7", "cortex-m33"}:
        ratios = CORTEX_M7_OVER_M4 if core == "cortex-m7" else CORTEX_M33_OVER_M4
        source = f"{m4}; carried over by the cycles of one engine on both cores (MLPerf Tiny v1.1, Plumerai)"
        return Calibration(factor=middle * _middle(ratios), low=min(ratios), high=high * max(ratios), source=source)
    if core == "cortex-m3":
        return Calibration(
            factor=middle, low=1.0, high=1.2 * high, source=f"{m4}; taken over from Cortex-M4, no board compared"
        )
    if core in {"cortex-m55", "cortex-m85"}:
        source = "stated cycles with overlapping of vector instructions; no board compared"
        return Calibration(factor=1.25, low=0.75, high=2.0, source=source)
    return Calibration(factor=1.2, low=1.0, high=1.5, source="stated cycles and up to one flash wait state; no board compared")


def _middle(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def architectural_cycles(code: Sequence[Instruction], core: str) -> list[float]:
    """Cycles of each instruction, as the manuals state them, branches taken, no waiting.

    Sources: Cortex-M0 and M0+ Technical Reference Manuals (DDI 0432, DDI 0484) 3.3; Cortex-M3 and M4 (DDI 0337, DDI 0439) 3.3.
    Cortex-M7 and M33 state none: those of the M4 are taken, and the calibration's ratio. Cortex-M55: its Software
    Optimization Guide; a vector instruction takes two cycles, one where it overlaps with one of another unit before it.
    """
    rule = {"cortex-m0": _small, "cortex-m0plus": _small_plus, "cortex-m55": _vector, "cortex-m85": _vector}.get(core)
    if rule is None:
        slow = core == "cortex-m3"
        return [_middle_core(one, before, slow=slow) for before, one in zip((None, *code), code, strict=False)]
    return [rule(one, before) for before, one in zip((None, *code), code, strict=False)]


def _small(one: Instruction, before: Instruction | None) -> float:
    del before
    if one.kind == "branch":
        return 4.0 + one.registers if one.registers else 4.0 if one.mnemonic == "bl" else 3.0
    if one.kind in {"load", "store"}:
        return 1.0 + one.registers if one.registers else 2.0
    return 1.0


def _small_plus(one: Instruction, before: Instruction | None) -> float:
    return _small(one, before) - (1.0 if one.kind == "branch" else 0.0)


def _middle_core(one: Instruction, before: Instruction | None, *, slow: bool) -> float:
    if one.kind == "branch":
        return 2.0 + one.registers
    if one.kind == "load":
        if one.registers:
            return 1.0 + one.registers
        wide = 1.0 if one.mnemonic.startswith("ldrd") else 0.0
        pipelined = before is not None and before.kind == "load" and not before.registers
        return wide + (1.0 if pipelined else 2.0)
    if one.kind == "store":
        return 1.0 + one.registers if one.registers else 2.0 if one.mnemonic.startswith("strd") else 1.0
    if one.kind == "divide":
        return 6.0
    if slow and one.kind in {"mac", "multiply"}:
        return {"mla": 2.0, "mls": 2.0, "smull": 4.0, "umull": 4.0, "smlal": 5.0, "umlal": 5.0}.get(one.mnemonic, 1.0)
    return 1.0


def _vector(one: Instruction, before: Instruction | None) -> float:
    if one.kind.startswith("vector"):
        same = before is not None and _unit(before) == _unit(one)
        return 2.0 if same else 1.0
    if one.kind == "branch":
        return 1.0 if one.mnemonic in {"le", "letp"} else 2.0 + one.registers
    if one.kind in {"load", "store"}:
        return max(1.0, one.registers / 2 + 0.5)
    return 6.0 if one.kind == "divide" else 1.0


def _unit(one: Instruction) -> str:
    return "memory" if one.kind in {"vector_load", "vector_store"} else one.kind
