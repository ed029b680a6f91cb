"""Resampling: tones keep frequency and level, aliases go, constants stay."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import DataError
from marram.data.resampling import input_steps, resample

RATES = [(8000, 16000), (16000, 8000), (44100, 16000), (48000, 16000), (22050, 16000), (50, 20), (100.0, 62.5)]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_stays_the_same_tone(source, target):
    hertz = 0.31 * min(source, target)
    signal = np.sin(2 * np.pi * hertz * np.arange(6000) / source)
    out = resample(signal, source_hz=source, target_hz=target)
    assert len(out) == np.ceil(len(signal) * target / source)
    expected = np.sin(2 * np.pi * hertz * np.arange(len(out)) / target)
    np.testing.assert_allclose(out[200:-200], expected[200:-200], atol=1e-3)


def test_what_would_alias_is_gone():
    signal = np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000)
    out = resample(signal, source_hz=16000, target_hz=8000)
    assert np.abs(out[200:-200]).max() < 1e-3


@pytest.mark.parametrize(("source", "target"), RATES)
def test_constants_stay_and_channels_stay_apart(source, target):
    signal = np.stack([np.full(300, 2.5), np.full(300, -7.0)], axis=1)
    out = resample(signal, source_hz=source, target_hz=target)
    np.testing.assert_allclose(out, np.broadcast_to([2.5, -7.0], out.shape), rtol=1e-12)


def test_the_same_rate_changes_nothing():
    signal = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(resample(signal, source_hz=50, target_hz=50.0), signal)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_input_steps_are_all_that_the_first_outputs_need(source, target):
    signal = np.random.default_rng(0).normal(size=4000)
    count = 100
    steps = input_steps(count, source_hz=source, target_hz=target)
    assert steps < 4000
    np.testing.assert_allclose(
        resample(signal[:steps], source_hz=source, target_hz=target)[:count],
        resample(signal, source_hz=source, target_hz=target)[:count],
        atol=1e-12,
    )


@pytest.mark.parametrize(("source", "target"), [(44100, 16001), (0, 8000), (-1, 50)])
def test_rates_without_a_simple_ratio_are_refused(source, target):
    with pytest.raises(DataError):
        resample(np.zeros(10), source_hz=source, target_hz=target)
