"""Sparsity: which weights become zero, and that integer graphs keep their zeros."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.structure.conftest import zoo_graph

from marram.compress import fold, quantise
from marram.compress.structure.sparsity import masks_of, sparsify, sparsify_blocks, with_masks, zero_share
from marram.core.errors import UserError
from marram.model.spec import verify


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75])
def test_the_smallest_weights_of_each_layer_go(share):
    graph = zoo_graph("resnet8")
    sparse = sparsify(graph, share)
    for name, value in masks_of(graph).items():
        before, after = graph.constants[name], sparse.constants[name]
        assert (after == 0).sum() == int(share * value.size)
        np.testing.assert_array_equal(after[after != 0], before[after != 0])
        if share:
            assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()
    assert zero_share(sparse) == pytest.approx(share, abs=1e-3)
    assert {name for name in graph.constants if (graph.constants[name] != sparse.constants[name]).any()} <= set(masks_of(graph))


def test_two_of_four_along_the_input_channels():
    graph = zoo_graph("ds_cnn")
    sparse = sparsify_blocks(graph)
    for name, mask in masks_of(sparse).items():
        if mask.shape[-1] % 4 == 0:
            assert (mask.reshape(-1, 4).sum(axis=1) == 2).all()
            blocks = np.abs(graph.constants[name].reshape(-1, 4))
            assert (np.sort(blocks, axis=1)[:, 2] <= np.where(mask.reshape(-1, 4), blocks, np.inf).min(axis=1)).all()
        else:
            assert mask.all()
    again = with_masks(graph, masks_of(sparse))
    assert all(again.constants[name].tobytes() == value.tobytes() for name, value in sparse.constants.items())


def test_zeros_stay_zeros_in_integers():
    graph = fold(zoo_graph("resnet8"))
    samples = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    whole = quantise(sparsify(graph, 0.5), samples)
    assert zero_share(whole) >= 0.5 - 1e-3
    later = sparsify(quantise(graph, samples), 0.9)
    verify(later, "integer")
    assert zero_share(later) >= 0.9 - 1e-2


def test_shares_and_blocks_that_make_no_sense_are_refused():
    graph = zoo_graph("conv1d")
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match="from 0 to below 1"):
            sparsify(graph, share)
    with pytest.raises(UserError, match="keep 3 of every 2"):
        sparsify_blocks(graph, kept=3, of=2)
