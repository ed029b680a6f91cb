"""Log-mel frames of sound: Hann window, power spectrum, triangular mel filters, natural logarithm.

The tables follow from the parameters alone and are made once. The arithmetic is float64 inside and float32 at the border;
an integer twin may take its place behind ``frames`` without a change for the caller.

Mel scale: O'Shaughnessy, Speech Communication, 1987: ``2595 * log10(1 + f / 700)``.
"""

from __future__ import annotations

import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array


def frame_count(samples: int, *, frame: int, hop: int) -> int:
    """How many whole frames fit in ``samples``; 0 when not even one does."""
    return 0 if samples < frame else 1 + (samples - frame) // hop


def window_table(frame: int) -> Array:
    """Periodic Hann window: float64 (frame,)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(frame) / frame)


def mel_table(*, rate_hz: int, fft_size: int, mels: int, low_hz: float, high_hz: float) -> Array:
    """Triangular filters of peak 1, evenly spaced in mel: float64 (fft_size // 2 + 1, mels).

    Raises:
        UserError: a filter would be empty, as the FFT cannot tell so narrow bands apart.
    """
    edges = _hz(np.linspace(_mel(low_hz), _mel(high_hz), mels + 2))
    frequencies = np.arange(fft_size // 2 + 1) * rate_hz / fft_size
    rising = (frequencies[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    table: Array = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(table.sum(axis=0) == 0.0)
    if empty.size:
        raise UserError(
            f"mel filter {empty[0]} of {mels} covers no frequency of an FFT of {fft_size} points at {rate_hz} Hz",
            hint="Ask for fewer mels or for longer frames.",
        )
    return table


def log_mel_frames(sound: Array, *, window: Array, filters: Array, hop: int, floor: float) -> Array:
    """Natural logarithm of mel power: sound (N, samples) in -1 .. 1 -> float32 (N, frames, mels).

    The FFT size follows from ``filters``; power below ``floor`` counts as ``floor``.
    """
    fft_size = 2 * (len(filters) - 1)
    frames = np.lib.stride_tricks.sliding_window_view(sound, len(window), axis=1)[:, ::hop]
    spectrum = np.fft.rfft(frames * window, n=fft_size, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(np.maximum(power @ filters, floor)).astype(np.float32)


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


def _hz(mel: Array) -> Array:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
