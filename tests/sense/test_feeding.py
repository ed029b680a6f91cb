"""What enters a Program, in each dtype that a Program may have, and what its outputs mean."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import DataError
from marram.core.graph import Quantisation, Tensor
from marram.sense import ImagePreprocess, WindowPreprocess, apply, quantised
from marram.sense.feeding import feed, reals

IMAGE = ImagePreprocess(size=(2, 2), channels=1, mean=(0.5,), std=(0.25,))
PIXELS = np.arange(256, dtype=np.uint8).reshape(64, 2, 2, 1)
STEP = Quantisation(scales=(0.02,), zero_points=(5,))


def tensor(dtype, quantisation=None, shape=(1, 2, 2, 1)):
    return Tensor(name="x", shape=shape, dtype=dtype, quantisation=quantisation)


def test_each_dtype_carries_the_same_reals():
    real = feed(IMAGE, PIXELS, tensor("float32"))
    np.testing.assert_array_equal(real, apply(IMAGE, PIXELS))
    signed = tensor("int8", STEP)
    np.testing.assert_array_equal(feed(IMAGE, PIXELS, signed), quantised(IMAGE, PIXELS, STEP))
    unsigned = tensor("uint8", Quantisation(scales=(0.02,), zero_points=(133,)))
    batch = feed(IMAGE, PIXELS, unsigned)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(reals(batch, unsigned), reals(feed(IMAGE, PIXELS, signed), signed))
    inside = np.abs(real) < 2.4
    assert np.abs(reals(batch, unsigned) - real)[inside].max() <= 0.01 + 1e-6


def test_samples_that_are_inputs_already():
    values = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    signed = tensor("int8", STEP, (1, 2))
    unsigned = tensor("uint8", Quantisation(scales=(0.02,), zero_points=(133,)), (1, 2))
    np.testing.assert_array_equal(feed(None, values, tensor("float32", None, (1, 2))), values)
    np.testing.assert_array_equal(feed(None, values.astype(np.float64), tensor("float32", None, (1, 2))), values)
    integers = feed(None, values, signed)
    np.testing.assert_array_equal(feed(None, integers, signed), integers)
    np.testing.assert_array_equal(feed(None, values, unsigned).astype(int) - 128, integers)
    assert np.abs(reals(integers, signed) - values).max() <= 0.01 + 1e-6


def test_axes_of_a_file_that_was_carried_as_it_came():
    samples = np.arange(48, dtype=np.float32).reshape(2, 2, 4, 3)
    channels_first = feed(None, samples, tensor("float32", None, (1, 3, 2, 4)))
    np.testing.assert_array_equal(channels_first, samples.transpose(0, 3, 1, 2))
    assert channels_first.flags.c_contiguous
    np.testing.assert_array_equal(feed(None, samples, tensor("float32", None, (1, 2, 1, 4, 3))), samples[:, :, np.newaxis])
    np.testing.assert_array_equal(
        feed(IMAGE, PIXELS, tensor("float32", None, (1, 1, 2, 2)))[:, 0], apply(IMAGE, PIXELS)[..., 0]
    )


@pytest.mark.parametrize(
    ("preprocess", "samples", "wanted", "message"),
    [
        (None, np.array([[np.nan, 0]], np.float32), tensor("int8", STEP, (1, 2)), "NaN"),
        (None, np.zeros((1, 2), np.uint8), tensor("int8", STEP, (1, 2)), "no int8"),
        (None, np.zeros((1, 2), np.int32), tensor("float32", None, (1, 2)), "no float32"),
        (None, np.zeros((1, 2), np.float32), tensor("int8", None, (1, 2)), "no int8"),
        (None, np.zeros((1, 3), np.float32), tensor("float32", None, (1, 2)), "model takes"),
        (IMAGE, PIXELS, tensor("int32", STEP), "cannot make int32"),
        (IMAGE, PIXELS, tensor("float32", None, (1, 3, 3, 1)), r"model takes \(3, 3, 1\)"),
        (WindowPreprocess(steps=2, channels=1, normalise=False), np.zeros((1, 3, 1)), tensor("float32"), "shape"),
    ],
)
def test_what_cannot_be_fed(preprocess, samples, wanted, message):
    with pytest.raises(DataError, match=message):
        feed(preprocess, samples, wanted)
