"""Streaming moments against numpy on the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.sense.statistics import Moments


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None)
def test_any_cut_into_batches_gives_the_same(sizes, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.normal(1e4, 1.0, (size, 3)) for size in sizes]
    before = [batch.copy() for batch in batches]
    moments = Moments(3)
    for batch in batches:
        moments.add(batch)
    whole = np.concatenate(batches)
    np.testing.assert_array_equal(np.concatenate(before), whole)  # nothing of the caller's is changed
    assert moments.count == len(whole)
    if len(whole):
        np.testing.assert_allclose(moments.mean, whole.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.std, whole.std(axis=0), rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(moments.low, whole.min(axis=0))
        np.testing.assert_array_equal(moments.high, whole.max(axis=0))
