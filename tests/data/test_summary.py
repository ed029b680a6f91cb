"""The summary against numpy on the whole, in one bounded pass."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core import codec
from marram.core.errors import DataError
from marram.data import DataSummary, in_memory, split, summarise
from marram.data.dataset import ArraySamples, Dataset
from marram.data.summary import QUANTILES


def cut_up(dataset, by="stratified"):
    return split(dataset, test_fraction=0.2, validation_fraction=0.1, by=by, seed=0)


def made(count=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal((0, 5), (1, 20), (count, 50, 2)).astype(np.float32)
    return x, in_memory(x, rng.integers(0, 3, count), groups=[f"p{n % 10}" for n in range(count)])


def test_figures_are_those_of_numpy():
    x, dataset = made()
    found = summarise(dataset, cut_up(dataset, "subject"))
    for channel, values in zip(found.channels, x.reshape(-1, 2).T.astype(np.float64), strict=True):
        assert (channel.low, channel.high) == (values.min(), values.max())
        assert channel.mean == pytest.approx(values.mean(), rel=1e-9)
        assert channel.std == pytest.approx(values.std(), rel=1e-9)
        assert channel.values == len(values)
        np.testing.assert_allclose(channel.quantiles, np.quantile(values, QUANTILES), rtol=1e-6)
        assert not channel.constant


def test_parts_and_classes_add_up():
    _, dataset = made()
    cuts = cut_up(dataset, "subject")
    found = summarise(dataset, cuts)
    assert [part.samples for part in found.parts] == [len(part) for part in cuts.parts]
    total = np.sum([part.per_class for part in found.parts], axis=0)
    np.testing.assert_array_equal(total, np.bincount(dataset.targets))
    assert found.balance == total.min() / total.max()
    assert found.parts[2].groups == found.held_out_groups == cuts.held_out_groups
    assert found.digest == dataset.digest
    assert codec.decode(codec.encode(found), DataSummary) == found


def test_quantiles_of_much_data_come_from_spread_values():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (100, 64, 64, 1), np.uint8)
    dataset = in_memory(x, rng.integers(0, 2, 100))
    (channel,) = summarise(dataset, cut_up(dataset)).channels
    assert 1 << 16 < channel.values <= 1 << 17
    np.testing.assert_allclose(channel.quantiles, np.quantile(x, QUANTILES), atol=2)


def test_duplicates_conflicts_and_still_samples_are_counted():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 5), np.uint8)
    x[10] = x[20]
    x[11] = x[21]
    x[12] = 7
    y = np.arange(60) % 2
    y[10] = 1 - y[20]
    found = summarise(in_memory(x, y), cut_up(in_memory(x, y)))
    assert (found.duplicates, found.conflicting, found.still) == (2, 1, 1)
    assert any("different class" in remark for remark in found.remarks)


def test_a_dead_channel_is_a_remark_and_dead_data_an_error():
    x, _ = made()
    x[..., 1] = 3.0
    dataset = in_memory(x, np.arange(200) % 2)
    found = summarise(dataset, cut_up(dataset))
    assert found.channels[1].constant
    assert "channel 1 is 3 throughout" in found.remarks
    cuts = cut_up(dataset)
    with pytest.raises(DataError, match="every value is 3"):
        summarise(in_memory(np.full_like(x, 3.0), np.arange(200) % 2), cuts)


def test_nan_is_refused_with_its_sample():
    x, _ = made()
    x[123, 4, 1] = np.nan
    dataset = Dataset(ArraySamples(x, source="walks.npy"), targets=np.arange(200) % 2, labels=("a", "b"))
    with pytest.raises(DataError, match=r"(?s)walks.npy, sample 123.*row 4, channel 1"):
        summarise(dataset, cut_up(dataset))
