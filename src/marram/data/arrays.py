"""A Dataset from named arrays, as they stand in an ``.npz`` file or come from a Python function.

Two forms. Samples: ``x`` (N, ...), and optionally ``y`` (N,) as class indices or names, ``labels`` (names by index),
``groups`` (N,) and ``parts`` (N,) of ``train|validation|test``. Recordings one after the other: ``signal`` (steps, channels),
``lengths`` (R,), and optionally ``label`` (R,), ``group`` (R,), ``name`` (R,), ``channels`` (names) and ``rate_hz``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marram.core.contract import ImuInput, InputSection
from marram.core.errors import DataError
from marram.core.graph import Array
from marram.data.checks import refuse_constant, refuse_not_finite
from marram.data.dataset import ArraySamples, Dataset
from marram.data.layout import PART_FOLDERS, encode, nearest
from marram.data.recordings import Recording, cut, select_channels


def from_arrays(
    arrays: Mapping[str, Any],
    *,
    section: InputSection,
    group: str | None = None,
    classes: Sequence[str] | None = None,
    source: str,
) -> Dataset:
    """The Dataset that the arrays describe.

    Args:
        arrays: by name, see above; a group's array may be called ``group``, ``groups`` or as ``group`` says.
        section: the contract's ``[input]``; recordings are cut by it.
        group: what a group is.
        classes: declared class names.
        source: for messages.

    Raises:
        DataError: arrays that are missing, disagree, or hold what data must not hold.
    """
    named = {str(name): np.asarray(value) for name, value in arrays.items() if value is not None}
    if "signal" in named and isinstance(section, ImuInput):
        recordings = _recordings(named, section, group=group, source=source)
        return cut(
            recordings,
            rate_hz=section.rate_hz,
            window_s=section.window_s,
            stride_s=section.stride_s,
            channels=section.channels,
            classes=classes,
            group_name=group or "group",
            source=source,
        )
    if "x" not in named:
        raise DataError(
            f"holds no array x; it has {', '.join(sorted(named))}",
            where=source,
            hint="Samples are x (N, ...) with y (N,); recordings of a kind 'imu' are signal (steps, channels) with lengths.",
        )
    return _samples(named, section, group=group, classes=classes, source=source)


def _samples(
    named: Mapping[str, Array], section: InputSection, *, group: str | None, classes: Sequence[str] | None, source: str
) -> Dataset:
    x = named["x"]
    if x.ndim < 2 or not len(x):
        raise DataError(f"x has shape {x.shape}, not (N, ...) with N samples", where=source)
    x = x.astype(np.float32) if x.dtype == np.float64 else x
    refuse_not_finite(x, where=f"{source}: x")
    refuse_constant(x, where=f"{source}: x")
    targets, labels = _targets(named, len(x), classes=classes, source=source)
    groups = _group_of(named, group)
    parts = named.get("parts")
    for what, value in (("groups", groups), ("parts", parts)):
        if value is not None and value.shape != (len(x),):
            raise DataError(f"x has {len(x)} samples, but {what} has shape {value.shape}", where=source)
    samples = ArraySamples(x, source=source, rate_hz=section.rate_hz if isinstance(section, ImuInput) else None)
    return Dataset(
        samples,
        targets=targets,
        labels=labels,
        groups=None if groups is None else [str(name) for name in groups],
        parts=None if parts is None else _parts(parts, source),
        group_name=group or "group",
        channels=section.channels if isinstance(section, ImuInput) else (),
    )


def _targets(
    named: Mapping[str, Array], count: int, *, classes: Sequence[str] | None, source: str
) -> tuple[Array, tuple[str, ...]]:
    y = named.get("y")
    if y is None:
        return encode(None, count, declared=classes, source=source)
    if y.shape != (count,):
        raise DataError(f"x has {count} samples, but y has shape {y.shape}", where=source, hint="One class for each sample.")
    if y.dtype.kind in "US":
        return encode([str(name) for name in y.astype(str)], count, declared=classes, source=source)
    if y.dtype.kind not in "iub":
        raise DataError(f"y holds {y.dtype}", where=source, hint="Classes are whole numbers or names.")
    if (y == -1).all():
        return np.full(count, -1, np.int64), ()
    declared = named.get("labels", classes)
    names = None if declared is None else [str(name) for name in declared]
    if names is None:
        bad = np.flatnonzero(y.astype(np.int64) < 0)
        if bad.size:
            raise DataError(f"class {y[bad[0]]} of sample {bad[0]} is negative", where=source)
        numbers = [str(number) for number in y.astype(np.int64)]
        return encode(numbers, count, declared=sorted(set(numbers), key=int), source=source)
    outside = np.flatnonzero((y < 0) | (y >= len(names)))
    if outside.size:
        raise DataError(
            f"sample {outside[0]} has class {y[outside[0]]}, but there are {len(names)} labels: {', '.join(names)}",
            where=source,
            hint="Correct y or add the label.",
        )
    return encode([names[number] for number in y], count, declared=classes or names, source=source)


def _recordings(named: Mapping[str, Array], section: ImuInput, *, group: str | None, source: str) -> list[Recording]:
    signal, lengths = named["signal"], named.get("lengths")
    if lengths is None:
        raise DataError("holds a signal without lengths", where=source, hint="lengths (R,) are the steps of each recording.")
    whole = lengths.ndim == 1 and lengths.dtype.kind in "iu" and (lengths >= 0).all()
    if not whole or signal.ndim != 2 or lengths.sum() != len(signal):
        raise DataError(
            f"signal of shape {signal.shape} does not agree with lengths", where=source, hint="Their sum is the signal's steps."
        )
    if "channels" in named:
        titles = [str(name) for name in named["channels"]]
        if len(titles) != signal.shape[1]:
            raise DataError(f"names {len(titles)} channels, but its signal has {signal.shape[1]}", where=source)
        signal = signal[:, select_channels(titles, section.channels, source=source)]
    labels, groups, names = (_each(named, value, len(lengths), source) for value in ("label", _group_key(named, group), "name"))
    ends = np.cumsum(lengths)
    return [
        Recording(
            signal=signal[end - length : end],
            name=f"{source}: recording {number if names is None else names[number]}",
            label=None if labels is None else labels[number],
            group=None if groups is None else groups[number],
            rate_hz=float(named["rate_hz"]) if "rate_hz" in named else None,
        )
        for number, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True))
    ]


def _each(named: Mapping[str, Array], key: str | None, count: int, source: str) -> list[str] | None:
    if key is None or key not in named:
        return None
    if named[key].shape != (count,):
        raise DataError(f"{count} recordings, but {key} has shape {named[key].shape}", where=source)
    return [str(value) for value in named[key]]


def _group_key(named: Mapping[str, Array], group: str | None) -> str | None:
    return next((key for key in (group, "group", "groups") if key is not None and key in named), None)


def _group_of(named: Mapping[str, Array], group: str | None) -> Array | None:
    key = _group_key(named, group)
    return None if key is None else named[key]


def _parts(parts: Array, source: str) -> Array:
    for name in set(parts.astype(str).tolist()):
        if name not in PART_FOLDERS:
            raise DataError(
                f"{name!r} is no part of a split",
                where=source,
                hint=f"Parts: {', '.join(PART_FOLDERS)}.{nearest(name, list(PART_FOLDERS))}",
            )
    return np.array([PART_FOLDERS[name] for name in parts.astype(str).tolist()], np.int8)
