"""Preprocessing as data: what turns stored samples into the model's input batch, and the integers that feed a device.

``apply`` defines the real-valued input. ``quantised`` is the integer path; its law is
``quantised(p, x, q) == quantise(apply(p, x), q)`` for every byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import msgspec
import numpy as np

from marram.core.contract import AudioInput, ImageInput, ImuInput, InputSection, TensorInput
from marram.core.errors import DataError, UserError
from marram.core.graph import Array, Quantisation
from marram.sense.log_mel import frame_count, log_mel_frames, mel_table, window_table
from marram.sense.resizing import ResizeMethod, resize
from marram.sense.statistics import Moments

INT8_LOW, INT8_HIGH = -128, 127
_WHOLE = 1e-6  # how far 255 * mean may be from a whole number and still be one


class _Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Root of the preprocessing steps; ``kind`` in the encoding tells them apart."""


class ImagePreprocess(_Preprocess, frozen=True, kw_only=True, tag="image"):
    """uint8 images (N, H, W, channels), resized to ``size`` (height, width), then ``(pixel / 255 - mean) / std``.

    ``mean`` and ``std`` have one entry, or one for each channel.
    """

    size: tuple[int, int]
    channels: int = 3
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: ResizeMethod = "area"

    def __post_init__(self) -> None:
        """Refuse statistics that fit no channel or divide by zero."""
        for values in (self.mean, self.std):
            if len(values) not in {1, self.channels} or not all(isfinite(value) for value in values):
                raise UserError(f"mean and std need 1 or {self.channels} finite entries, not {values}")
        if min(self.std) <= 0.0:
            raise UserError(f"std must be positive, not {self.std}")


class WindowPreprocess(_Preprocess, frozen=True, kw_only=True, tag="window"):
    """Windows (N, steps, channels) of float32 or int16; ``(x - mean) / std`` by channel when ``normalise``.

    ``mean`` and ``std`` are statistics of the training part, empty until ``fit`` has filled them in.
    """

    steps: int
    channels: int
    normalise: bool = True
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class AudioPreprocess(_Preprocess, frozen=True, kw_only=True, tag="audio"):
    """Mono sound (N, samples), int16 PCM or float32 in -1 .. 1, as log-mel frames (N, frames, mels, 1).

    ``frame`` and ``hop`` count samples. With ``normalise`` the frames become ``(x - mean) / std``, one statistic for all of
    them, None until ``fit`` has filled it in. ``high_hz`` None means half the rate.
    """

    rate_hz: int
    samples: int
    frame: int
    hop: int
    mels: int = 40
    fft_size: int
    low_hz: float = 20.0
    high_hz: float | None = None
    floor: float = 1e-6
    normalise: bool = True
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        """Refuse parameters from which no frame could be made."""
        if not 1 <= self.frame <= self.fft_size or self.hop < 1 or self.fft_size % 2:
            raise UserError(
                f"a frame of {self.frame} samples with hop {self.hop} does not fit an FFT of {self.fft_size} points"
            )
        if not frame_count(self.samples, frame=self.frame, hop=self.hop):
            raise UserError(f"a clip of {self.samples} samples holds no frame of {self.frame}", hint="Make the clip longer.")
        high_hz = self.rate_hz / 2 if self.high_hz is None else self.high_hz
        if not 0.0 <= self.low_hz < high_hz <= self.rate_hz / 2:
            raise UserError(f"mel filters from {self.low_hz} to {high_hz} Hz do not fit a rate of {self.rate_hz} Hz")


class TensorPreprocess(_Preprocess, frozen=True, kw_only=True, tag="tensor"):
    """Arrays of one shape: ``(x - offset) / scale``."""

    shape: tuple[int, ...]
    offset: float = 0.0
    scale: float = 1.0


Preprocess = ImagePreprocess | WindowPreprocess | AudioPreprocess | TensorPreprocess


def preprocess_for(section: InputSection) -> Preprocess:
    """The preprocessing that a contract's ``[input]`` asks for; statistics are still to be fitted."""
    match section:
        case ImageInput():
            return ImagePreprocess(size=section.size_px, channels=section.channels, mean=section.mean, std=section.std)
        case ImuInput():
            steps = max(1, round(section.window_s * section.rate_hz))
            return WindowPreprocess(steps=steps, channels=len(section.channels), normalise=section.normalise)
        case AudioInput():
            frame = max(1, round(section.frame_ms * section.rate_hz / 1000))
            return AudioPreprocess(
                rate_hz=section.rate_hz,
                samples=max(1, round(section.duration_s * section.rate_hz)),
                frame=frame,
                hop=max(1, round(section.hop_ms * section.rate_hz / 1000)),
                mels=section.mels,
                fft_size=max(2, 1 << (frame - 1).bit_length()),
            )
        case TensorInput():
            return TensorPreprocess(shape=section.shape, offset=section.offset, scale=section.scale)


def output_shape(preprocess: Preprocess) -> tuple[int, ...]:
    """Shape of one model input, without the batch axis."""
    match preprocess:
        case ImagePreprocess():
            return (*preprocess.size, preprocess.channels)
        case WindowPreprocess():
            return (preprocess.steps, preprocess.channels)
        case AudioPreprocess():
            frames = frame_count(preprocess.samples, frame=preprocess.frame, hop=preprocess.hop)
            return (frames, preprocess.mels, 1)
        case TensorPreprocess():
            return preprocess.shape


def apply(preprocess: Preprocess, samples: Array) -> Array:
    """The model's input batch: float32 (N, *output_shape).

    Raises:
        DataError: samples of another shape or dtype, or with NaN or inf.
        UserError: statistics are missing; ``fit`` comes first.
    """
    match preprocess:
        case ImagePreprocess():
            return _look_up(_pixel_table(preprocess), _pixels(preprocess, samples))
        case WindowPreprocess():
            return _normalised(preprocess, _reals(samples, (preprocess.steps, preprocess.channels)))
        case AudioPreprocess():
            return _normalised(preprocess, _log_mel(preprocess, samples))
        case TensorPreprocess():
            reals = _reals(samples, preprocess.shape)
            return (reals - np.float32(preprocess.offset)) / np.float32(preprocess.scale)


def fit(preprocess: Preprocess, samples: Array | Iterable[Array]) -> Preprocess:
    """The preprocessing with its statistics taken from the training samples, one pass, bounded memory.

    Args:
        preprocess: what to fit; one without statistics comes back as it is.
        samples: (N, ...), or batches of them.

    Raises:
        DataError: no samples, or a channel that never changes.
    """
    if not isinstance(preprocess, WindowPreprocess | AudioPreprocess) or not preprocess.normalise:
        return preprocess
    moments = Moments(preprocess.channels if isinstance(preprocess, WindowPreprocess) else 1)
    for batch in [samples] if isinstance(samples, np.ndarray) else samples:
        if isinstance(preprocess, WindowPreprocess):
            moments.add(_reals(batch, (preprocess.steps, preprocess.channels)))
        else:
            moments.add(_log_mel(preprocess, batch))
    if not moments.count:
        raise DataError("there are no samples to take statistics from")
    constant = np.flatnonzero(moments.std <= 1e-12 * np.maximum(1.0, np.abs(moments.mean)))
    if constant.size:
        raise DataError(
            f"channel {constant[0]} is {moments.mean[constant[0]]:g} in every training sample: it tells nothing",
            hint="Repair the sensor or its recording, or leave the channel out.",
        )
    mean, std = (tuple(float(value) for value in values) for values in (moments.mean, moments.std))
    if isinstance(preprocess, AudioPreprocess):
        return msgspec.structs.replace(preprocess, mean=mean[0], std=std[0])
    return msgspec.structs.replace(preprocess, mean=mean, std=std)


def input_quantisation(preprocess: Preprocess) -> Quantisation | None:
    """The int8 quantisation in which ``int8 = pixel - 128`` is exact; None where the range must be calibrated.

    ``real = (pixel / 255 - mean) / std = scale * (int8 - zero_point)`` holds with ``scale = 1 / (255 * std)`` and
    ``zero_point = 255 * mean - 128``, if that is a whole number of int8 and all channels share it.
    """
    if not isinstance(preprocess, ImagePreprocess) or len(set(preprocess.mean)) > 1 or len(set(preprocess.std)) > 1:
        return None
    zero_point = 255.0 * preprocess.mean[0] - 128.0
    if abs(zero_point - round(zero_point)) > _WHOLE or not INT8_LOW <= round(zero_point) <= INT8_HIGH:
        return None
    scale = float(np.float32(1.0 / (255.0 * preprocess.std[0])))
    return Quantisation(scales=(scale,), zero_points=(round(zero_point),))


def quantise(reals: Array, quantisation: Quantisation) -> Array:
    """int8 of float32 reals: ``x / scale`` in float32, rounded half away from zero, plus zero point, saturated."""
    steps = (np.asarray(reals, np.float32) / np.float32(quantisation.scale)).astype(np.float64)
    rounded: Array = np.trunc(steps + np.copysign(0.5, steps)) + quantisation.zero_point
    return np.clip(rounded, INT8_LOW, INT8_HIGH).astype(np.int8)


def quantised(preprocess: Preprocess, samples: Array, quantisation: Quantisation) -> Array:
    """The integers that feed a device: int8 (N, *output_shape), equal to ``quantise(apply(...))``.

    Images never become reals on the way: they are shifted by 128 where that is exact, else looked up in 256 entries.
    """
    if not isinstance(preprocess, ImagePreprocess):
        return quantise(apply(preprocess, samples), quantisation)
    pixels = _pixels(preprocess, samples)
    if quantisation == input_quantisation(preprocess):
        return (pixels ^ np.uint8(128)).view(np.int8)
    return _look_up(quantise(_pixel_table(preprocess), quantisation), pixels)


def _pixels(preprocess: ImagePreprocess, samples: Array) -> Array:
    if samples.dtype != np.uint8:
        raise DataError(f"images are uint8, not {samples.dtype}", hint="Give pixels of 0 to 255.")
    if samples.ndim != 4 or samples.shape[3] != preprocess.channels:
        raise DataError(
            f"images have shape (N, height, width, {preprocess.channels}), not {samples.shape}",
            hint="Channels come last.",
        )
    return resize(samples, size=preprocess.size, method=preprocess.resize)


def _pixel_table(preprocess: ImagePreprocess) -> Array:
    """Input value of each pixel value: float32 (1 or channels, 256)."""
    mean, std = np.broadcast_arrays(np.asarray(preprocess.mean), np.asarray(preprocess.std))
    table: Array = (np.arange(256) / 255.0 - mean[:, None]) / std[:, None]
    return table.astype(np.float32)


def _look_up(table: Array, pixels: Array) -> Array:
    if len(table) == 1:
        return np.asarray(table[0][pixels])
    return np.stack([row[pixels[..., channel]] for channel, row in enumerate(table)], axis=-1)


def _reals(samples: Array, shape: tuple[int, ...]) -> Array:
    """Samples as float32, refused unless of this shape, real and finite."""
    if samples.shape[1:] != shape:
        raise DataError(f"a sample has shape {samples.shape[1:]}, the model takes {shape}", hint="Channels come last.")
    if samples.dtype.kind not in "iuf":
        raise DataError(f"samples of dtype {samples.dtype} are not numbers")
    reals = samples.astype(np.float32)
    if samples.dtype.kind == "f" and not np.isfinite(reals).all():
        bad = int(np.argmin(np.isfinite(reals).reshape(len(reals), -1).all(axis=1)))
        raise DataError("NaN or infinite values", where=f"sample {bad} of the batch", hint="Remove or repair it.")
    return reals


def _log_mel(preprocess: AudioPreprocess, samples: Array) -> Array:
    reals = _reals(samples, (preprocess.samples,))
    sound = reals.astype(np.float64) / (32768.0 if samples.dtype == np.int16 else 1.0)
    high_hz = preprocess.rate_hz / 2 if preprocess.high_hz is None else preprocess.high_hz
    filters = mel_table(
        rate_hz=preprocess.rate_hz,
        fft_size=preprocess.fft_size,
        mels=preprocess.mels,
        low_hz=preprocess.low_hz,
        high_hz=high_hz,
    )
    window = window_table(preprocess.frame)
    frames = log_mel_frames(sound, window=window, filters=filters, hop=preprocess.hop, floor=preprocess.floor)
    return frames[..., np.newaxis]


def _normalised(preprocess: WindowPreprocess | AudioPreprocess, reals: Array) -> Array:
    if not preprocess.normalise:
        return reals
    if preprocess.mean in {None, ()} or preprocess.std in {None, ()}:
        raise UserError("the preprocessing has no statistics yet", hint="Fit it on the training samples first.")
    return (reals - np.asarray(preprocess.mean, np.float32)) / np.asarray(preprocess.std, np.float32)
