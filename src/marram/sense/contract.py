"""The sensor contract in its first form: what a window must be before a model sees it.

What can only be a fault of the caller or the wire (dtype, shape, NaN) is refused; what may be a fault of the sensor (a value
outside its range, a channel that does not move) is flagged.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from marram.core.graph import Array

Outcome = Literal["accepted", "flagged", "refused"]
Code = Literal["dtype", "shape", "not_finite", "range", "constant"]


class SensorContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may enter: dtype, shape, and the range of each channel (last axis), empty where none was stated.

    ``channels`` names the channels for messages and may be empty.
    """

    dtype: Literal["uint8", "int8", "int16", "float32"]
    shape: tuple[int, ...]
    channels: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong with a window: a code for programs, a sentence for people."""

    code: Code
    text: str


class WindowVerdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the check says of one window."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()


def check(window: Array, contract: SensorContract) -> WindowVerdict:
    """Hold one window, without a batch axis, against the contract. Never raises on a bad window."""
    refusal = _refusal(window, contract)
    if refusal is not None:
        return WindowVerdict(outcome="refused", findings=(refusal,))
    findings = (*_out_of_range(window, contract), *_constant(window, contract))
    return WindowVerdict(outcome="flagged" if findings else "accepted", findings=findings)


def _refusal(window: Array, contract: SensorContract) -> Finding | None:
    if window.dtype != np.dtype(contract.dtype):
        return Finding(code="dtype", text=f"dtype is {window.dtype}, not {contract.dtype}")
    if window.shape != contract.shape:
        return Finding(code="shape", text=f"shape is {window.shape}, not {contract.shape}")
    if window.dtype.kind == "f" and not np.isfinite(window).all():
        return Finding(code="not_finite", text=f"{int((~np.isfinite(window)).sum())} values are NaN or infinite")
    return None


def _out_of_range(window: Array, contract: SensorContract) -> tuple[Finding, ...]:
    if not contract.low and not contract.high:
        return ()
    flat = _by_channel(window)
    low = np.asarray(contract.low or (-np.inf,))
    high = np.asarray(contract.high or (np.inf,))
    outside = ((flat < low) | (flat > high)).sum(axis=0)
    return tuple(
        Finding(code="range", text=f"channel {_title(contract, index)}: {outside[index]} values outside the stated range")
        for index in np.flatnonzero(outside).tolist()
    )


def _constant(window: Array, contract: SensorContract) -> tuple[Finding, ...]:
    flat = _by_channel(window)
    if len(flat) < 2:
        return ()
    still = np.flatnonzero((flat == flat[0]).all(axis=0)).tolist()
    return tuple(
        Finding(code="constant", text=f"channel {_title(contract, index)} is {flat[0, index]:g} throughout") for index in still
    )


def _by_channel(window: Array) -> Array:
    return window.reshape(-1, window.shape[-1]) if window.ndim > 1 else window.reshape(-1, 1)


def _title(contract: SensorContract, index: int) -> str:
    return contract.channels[index] if index < len(contract.channels) else str(index)
