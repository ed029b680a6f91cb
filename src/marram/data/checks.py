"""What data must not be: NaN, infinite, constant, of the wrong shape. Every error names the file, recording or row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marram.core.contract import AudioInput, ImageInput, ImuInput, InputSection, TensorInput
from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.dataset import Dataset


def refuse_unusable(signals: Sequence[Array], names: Sequence[str], *, channels: tuple[str, ...], source: str) -> None:
    """Refuse recordings (steps, channels) with NaN or inf anywhere, or with a channel that is the same in all of them.

    Raises:
        DataError: names recording, step and channel.
    """
    for signal, name in zip(signals, names, strict=True):
        refuse_not_finite(signal, where=name, channels=channels)
    filled = [signal for signal in signals if len(signal)]
    if not filled:
        raise DataError("holds no data", where=source)
    low = np.min([signal.min(axis=0) for signal in filled], axis=0)
    high = np.max([signal.max(axis=0) for signal in filled], axis=0)
    if sum(map(len, filled)) > 1 and (low == high).any():
        still = int(np.argmax(low == high))
        raise DataError(
            f"channel {_title(channels, still)} is {low[still]:g} throughout: it tells nothing",
            where=source,
            hint="Repair the sensor or its recording, or leave the channel out of the contract.",
        )


def refuse_not_finite(signal: Array, *, where: str, channels: tuple[str, ...] = ()) -> None:
    """Refuse an array (rows, ...) that holds NaN or inf.

    Raises:
        DataError: names the first row and, where it has a name, the channel.
    """
    if signal.dtype.kind != "f":
        return
    good = np.isfinite(signal)
    if good.all():
        return
    bad = np.argwhere(~good)[0]
    channel = f", channel {_title(channels, int(bad[-1]))}" if signal.ndim > 1 else ""
    value = signal[tuple(bad)]
    raise DataError(
        f"{int((~good).sum())} values are NaN or infinite; the first is {value} at row {bad[0]}{channel}",
        where=where,
        hint="Repair or remove these rows.",
    )


def refuse_constant(samples: Array, *, where: str) -> None:
    """Refuse samples (N, ...) that are all one value.

    Raises:
        DataError: they are.
    """
    if samples.size > 1 and (samples == samples.flat[0]).all():
        raise DataError(
            f"every value is {samples.flat[0]}: there is nothing to learn", where=where, hint="Check how it was recorded."
        )


def refuse_misfit(dataset: Dataset, section: InputSection, *, source: str) -> None:
    """Hold shape and dtype of the samples against the contract's ``[input]``.

    Images may have any size: preprocessing resizes them.

    Raises:
        DataError: says what the contract states and what the data has, and the likely cause.
    """
    shape, dtype = dataset.sample_shape, dataset.sample_dtype
    wanted, good = _wanted(section, shape, dtype)
    if not len(dataset):
        raise DataError("holds no samples", where=source)
    if not good:
        raise DataError(
            f"samples are {dtype} of shape {shape}; the contract's [input] asks for {wanted}",
            where=source,
            hint=_cause(section, shape),
        )


def _wanted(section: InputSection, shape: tuple[int, ...], dtype: str) -> tuple[str, bool]:
    match section:
        case ImageInput():
            good = len(shape) == 3 and shape[2] == section.channels and dtype == "uint8"
            return f"uint8 images (height, width, {section.channels})", good
        case ImuInput():
            window = (max(1, round(section.window_s * section.rate_hz)), len(section.channels))
            return f"windows {window}", shape == window and dtype != "uint8"
        case AudioInput():
            clip = (max(1, round(section.duration_s * section.rate_hz)),)
            return f"clips {clip} of int16 or float32", shape == clip and dtype != "uint8"
        case TensorInput():
            return f"arrays {section.shape}", shape == section.shape


def _cause(section: InputSection, shape: tuple[int, ...]) -> str:
    if isinstance(section, ImageInput) and len(shape) == 3 and shape[0] == section.channels:
        return "Channels come last: transpose (C, H, W) to (H, W, C)."
    if isinstance(section, ImuInput) and len(shape) == 2 and shape[0] == len(section.channels):
        return "Channels come last: transpose (channels, steps) to (steps, channels)."
    return "Correct [input] in the contract, or the data."


def _title(channels: tuple[str, ...], index: int) -> str:
    return channels[index] if index < len(channels) else str(index)
