"""Bounds: products counted by a net of ones, whose outputs are how many of them were not with padding."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch

from marram.compile import device
from marram.core import operators as ops
from marram.measure.prediction import lower_bounds
from marram.model import interpret
from marram.model.counts import counts

LAYERS = [
    (ops.Conv2D(padding=(1, 1, 1, 1)), (6, 3, 3, 4)),
    (ops.Conv2D(stride=(2, 1), padding=(1, 0, 2, 1)), (6, 3, 2, 4)),
    (ops.Conv2D(dilation=(2, 3), padding=(2, 2, 3, 0), groups=2), (6, 3, 2, 2)),
    (ops.DepthwiseConv2D(stride=(2, 2), padding=(2, 1, 1, 2)), (1, 5, 3, 8)),
    (ops.TransposeConv2D(stride=(2, 2)), (3, 2, 2, 4)),
    (ops.Dense(), (5, 4)),
]


@pytest.mark.parametrize(("op", "shape"), LAYERS, ids=lambda each: type(each).__name__)
def test_products_are_those_without_padding(op, shape):
    sketch = Sketch()
    graph = sketch.graph(sketch(op, sketch.input(1, 7, 8, 4), np.ones(shape, np.float32), ""))
    (y,) = interpret(graph, np.ones((1, 7, 8, 4), np.float32))
    products = lower_bounds(graph, device("cortex-m4")).products
    assert products == int(y.sum())
    assert products <= counts(graph).macs


def test_products_that_may_be_cropped_away_do_not_count():
    sketch = Sketch()
    op = ops.TransposeConv2D(stride=(2, 2), padding=(1, 1, 1, 1))
    graph = sketch.graph(sketch(op, sketch.input(1, 4, 4, 2), sketch.normal(3, 4, 4, 2), ""))
    assert lower_bounds(graph, device("cortex-m4")).products == 0
