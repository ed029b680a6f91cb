"""Log-mel frames: a tone lands in its filter, louder is larger, tables are what the formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import UserError
from marram.sense.log_mel import frame_count, log_mel_frames, mel_table, window_table

RATE, FRAME, HOP, FFT = 16000, 480, 320, 512


def frames_of(sound):
    filters = mel_table(rate_hz=RATE, fft_size=FFT, mels=40, low_hz=20.0, high_hz=8000.0)
    return log_mel_frames(sound[None], window=window_table(FRAME), filters=filters, hop=HOP, floor=1e-6)[0]


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 2500.0, 6000.0])
def test_a_tone_lands_in_the_filter_that_covers_it(hertz):
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    frames = frames_of(tone)
    assert frames.shape == (49, 40)
    mel = 2595 * np.log10(1 + np.array([20.0, 8000.0, hertz]) / 700)
    expected = (mel[2] - mel[0]) / (mel[1] - mel[0]) * 41 - 1
    assert (np.abs(frames.argmax(axis=1) - expected) <= 1.0).all()


def test_twice_the_amplitude_is_log_four_more():
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    np.testing.assert_allclose(frames_of(2 * noise) - frames_of(noise), np.log(4.0), atol=1e-4)


def test_silence_is_the_floor():
    np.testing.assert_allclose(frames_of(np.zeros(RATE)), np.log(1e-6), rtol=1e-6)


@pytest.mark.parametrize(("samples", "count"), [(479, 0), (480, 1), (799, 1), (800, 2), (16000, 49)])
def test_only_whole_frames_count(samples, count):
    assert frame_count(samples, frame=FRAME, hop=HOP) == count


def test_empty_filters_are_refused_with_a_remedy():
    with pytest.raises(UserError, match="fewer mels"):
        mel_table(rate_hz=16000, fft_size=64, mels=80, low_hz=20.0, high_hz=8000.0)
