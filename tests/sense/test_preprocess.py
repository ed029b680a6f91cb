"""Preprocessing: shapes, the exactness of the int8 image path, fitted statistics, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram import sense
from marram.core import codec
from marram.core.contract import AudioInput, ImageInput, ImuInput, TensorInput
from marram.core.errors import DataError, UserError
from marram.core.graph import Quantisation

IMAGE = sense.ImagePreprocess(size=(8, 6), channels=3, mean=(0.2,), std=(0.25,))
WINDOW = sense.WindowPreprocess(steps=20, channels=2)
AUDIO = sense.AudioPreprocess(rate_hz=8000, samples=4000, frame=240, hop=160, mels=20, fft_size=256)
TENSOR = sense.TensorPreprocess(shape=(5,), offset=2.0, scale=4.0)
RAMP = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)

unit = st.floats(0.0, 1.0, allow_subnormal=False)
deviation = st.floats(0.01, 2.0)


@st.composite
def image_preprocess(draw):
    channels = draw(st.sampled_from([1, 3]))
    count = draw(st.sampled_from([1, channels]))
    mean = st.one_of(unit, st.integers(0, 255).map(lambda n: n / 255))
    return sense.ImagePreprocess(
        size=(4, 5),
        channels=channels,
        mean=tuple(draw(st.lists(mean, min_size=count, max_size=count))),
        std=tuple(draw(st.lists(deviation, min_size=count, max_size=count))),
    )


@given(image_preprocess(), st.integers(0, 2**32 - 1), st.floats(1e-4, 1.0), st.integers(-128, 127))
@settings(derandomize=True, deadline=None, max_examples=150)
def test_law_quantised_equals_quantise_of_apply(preprocess, seed, scale, zero_point):
    images = np.random.default_rng(seed).integers(0, 256, (3, 7, 5, preprocess.channels), np.uint8)
    exact = sense.input_quantisation(preprocess)
    other = Quantisation(scales=(float(np.float32(scale)),), zero_points=(zero_point,))
    for quantisation in filter(None, (exact, other)):
        found = sense.quantised(preprocess, images, quantisation)
        assert found.dtype == np.int8
        np.testing.assert_array_equal(found, sense.quantise(sense.apply(preprocess, images), quantisation))


@given(st.integers(0, 255), deviation)
@settings(derandomize=True, deadline=None)
def test_exact_quantisation_is_the_pixel_less_128(whole, std):
    preprocess = sense.ImagePreprocess(size=(16, 16), channels=1, mean=(whole / 255,), std=(std,))
    quantisation = sense.input_quantisation(preprocess)
    assert quantisation is not None
    assert quantisation.zero_point == whole - 128
    assert quantisation.scale == pytest.approx(1 / (255 * std), rel=1e-6)
    expected = RAMP.astype(int) - 128
    np.testing.assert_array_equal(sense.quantised(preprocess, RAMP, quantisation), expected)
    np.testing.assert_array_equal(sense.quantise(sense.apply(preprocess, RAMP), quantisation), expected)


@pytest.mark.parametrize(
    "preprocess",
    [
        sense.ImagePreprocess(size=(16, 16), channels=1, mean=(0.5,)),  # 127.5 is no zero point
        sense.ImagePreprocess(size=(16, 16), channels=3, mean=(0.2, 0.4, 0.6)),
        sense.ImagePreprocess(size=(16, 16), channels=1, mean=(1.2,)),  # outside int8
        WINDOW,
        AUDIO,
        TENSOR,
    ],
)
def test_ranges_are_calibrated_where_no_exact_quantisation_is(preprocess):
    assert sense.input_quantisation(preprocess) is None


def test_pixels_as_they_are_have_scale_one():
    preprocess = sense.ImagePreprocess(size=(16, 16), channels=1, std=(1 / 255,))
    np.testing.assert_array_equal(sense.apply(preprocess, RAMP), RAMP.astype(np.float32))
    assert sense.input_quantisation(preprocess) == Quantisation(scales=(1.0,), zero_points=(-128,))


def test_quantise_rounds_half_away_from_zero_and_saturates():
    unit_scale = Quantisation(scales=(1.0,), zero_points=(0,))
    reals = np.array([0.5, -0.5, 1.5, -1.5, 0.49999997, 1e30, -1e30], np.float32)
    assert sense.quantise(reals, unit_scale).tolist() == [1, -1, 2, -2, 0, 127, -128]


def test_images_are_normalised_by_channel():
    preprocess = sense.ImagePreprocess(size=(1, 1), channels=3, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    out = sense.apply(preprocess, np.full((1, 1, 1, 3), 255, np.uint8))
    np.testing.assert_allclose(out.ravel(), [1.0, 1.0, 0.0], atol=1e-7)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None)
def test_fit_streams_to_the_same_statistics(sizes, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.normal((3.0, -100.0), (0.1, 50.0), (size, 20, 2)).astype(np.float32) for size in sizes]
    fitted = sense.fit(WINDOW, iter(batches))
    whole = np.concatenate(batches).astype(np.float64)
    assert isinstance(fitted, sense.WindowPreprocess)
    np.testing.assert_allclose(fitted.mean, whole.mean(axis=(0, 1)), rtol=1e-9)
    np.testing.assert_allclose(fitted.std, whole.std(axis=(0, 1)), rtol=1e-9)
    out = np.concatenate([sense.apply(fitted, batch) for batch in batches])
    np.testing.assert_allclose(out.mean(axis=(0, 1)), 0.0, atol=1e-3)
    np.testing.assert_allclose(out.std(axis=(0, 1)), 1.0, atol=1e-3)


def test_fit_refuses_a_constant_channel_and_no_samples():
    still = np.random.default_rng(0).normal(size=(4, 20, 2)).astype(np.float32)
    still[..., 1] = 7.5
    with pytest.raises(DataError, match=r"channel 1 is 7\.5"):
        sense.fit(WINDOW, still)
    with pytest.raises(DataError, match="no samples"):
        sense.fit(WINDOW, iter([]))


def test_fit_leaves_alone_what_has_no_statistics():
    assert sense.fit(IMAGE, np.zeros((1, 2, 2, 3), np.uint8)) is IMAGE
    assert sense.fit(TENSOR, np.zeros((1, 5), np.float32)) is TENSOR


def test_audio_takes_pcm_and_floats_alike():
    pcm = np.random.default_rng(0).integers(-8000, 8000, (3, 4000)).astype(np.int16)
    fitted = sense.fit(AUDIO, pcm)
    out = sense.apply(fitted, pcm)
    assert out.dtype == np.float32
    assert out.shape == (3, *sense.output_shape(AUDIO))
    np.testing.assert_allclose(out, sense.apply(fitted, (pcm / 32768.0).astype(np.float32)), atol=1e-5)
    assert abs(float(out.mean())) < 1e-4


def test_a_fitted_mean_of_zero_counts_as_fitted():
    plain = sense.AudioPreprocess(rate_hz=8000, samples=4000, frame=240, hop=160, fft_size=256, mels=20, mean=0.0, std=2.0)
    assert np.isfinite(sense.apply(plain, np.ones((1, 4000), np.int16))).all()


def test_statistics_must_be_fitted_first():
    for preprocess, shape in ((WINDOW, (1, 20, 2)), (AUDIO, (1, 4000))):
        with pytest.raises(UserError, match="Fit it"):
            sense.apply(preprocess, np.ones(shape, np.float32))


def test_tensors_are_shifted_then_scaled():
    assert sense.apply(TENSOR, np.full((1, 5), 10.0, np.float32)).tolist() == [[2.0] * 5]


@pytest.mark.parametrize("preprocess", [IMAGE, WINDOW, AUDIO, TENSOR])
def test_values_survive_the_codec(preprocess):
    assert codec.decode(codec.encode(preprocess), sense.Preprocess) == preprocess


@pytest.mark.parametrize(
    ("section", "shape"),
    [
        (ImageInput(size_px=(32, 24), channels=1), (32, 24, 1)),
        (ImuInput(channels=("a", "b"), rate_hz=50.0, window_s=4.0), (200, 2)),
        (AudioInput(), (49, 40, 1)),
        (AudioInput(rate_hz=8000), (49, 40, 1)),
        (TensorInput(shape=(640,)), (640,)),
    ],
)
def test_every_input_section_has_a_preprocessing(section, shape):
    assert sense.output_shape(sense.preprocess_for(section)) == shape


@pytest.mark.parametrize(
    ("preprocess", "samples"),
    [
        (IMAGE, np.zeros((1, 8, 6, 3), np.float32)),
        (IMAGE, np.zeros((1, 3, 8, 6), np.uint8)),
        (IMAGE, np.zeros((8, 6, 3), np.uint8)),
        (WINDOW, np.zeros((1, 2, 20), np.float32)),
        (WINDOW, np.full((1, 20, 2), np.nan, np.float32)),
        (WINDOW, np.full((1, 20, 2), np.inf, np.float32)),
        (WINDOW, np.zeros((1, 20, 2), np.complex64)),
        (TENSOR, np.zeros((1, 6), np.float32)),
        (AUDIO, np.zeros((1, 3999), np.int16)),
    ],
)
def test_samples_that_do_not_fit_are_refused(preprocess, samples):
    with pytest.raises(DataError):
        sense.apply(preprocess, samples)


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.1, 0.2)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
    ],
)
def test_statistics_that_cannot_be_are_refused(options):
    with pytest.raises(UserError):
        sense.ImagePreprocess(size=(8, 8), channels=3, **options)


@pytest.mark.parametrize("options", [{"samples": 100}, {"fft_size": 128}, {"hop": 0}, {"high_hz": 9000.0}])
def test_audio_parameters_that_cannot_be_are_refused(options):
    values = {"rate_hz": 8000, "samples": 4000, "frame": 240, "hop": 160, "fft_size": 256, **options}
    with pytest.raises(UserError):
        sense.AudioPreprocess(**values)
