"""Kernels: a cropped kernel computes what the whole one does with its outer taps at zero."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch, assert_same_function
from tests.compress.structure.conftest import zoo_graph

from marram.compress.structure.kernels import croppable, cropped, kernel_slices
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import with_nodes


def zeroed(graph, node, kernel):
    """The graph with the node's taps outside of the middle at zero: of an even length one more goes at the end."""
    name = next(n for n in graph.nodes if n.name == node).inputs[1]
    value, mask = graph.constants[name], np.zeros(graph.constants[name].shape, np.float32)
    starts = [(have - want) // 2 for have, want in zip(value.shape[1:3], kernel, strict=True)]
    mask[:, starts[0] : starts[0] + kernel[0], starts[1] : starts[1] + kernel[1]] = 1
    return with_nodes(graph, graph.nodes, constants={name: value * mask})


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("kernel", "padding", "stride", "dilation", "count"),
    [
        ((3, 3), (1, 1, 1, 1), (1, 1), (1, 1), 3),
        ((5, 7), (2, 2, 3, 3), (2, 1), (1, 1), 11),
        ((4, 3), (1, 2, 1, 1), (1, 2), (1, 1), 4),
        ((3, 5), (2, 2, 4, 4), (1, 1), (2, 2), 5),
        ((3, 3), (0, 1, 1, 1), (2, 2), (1, 1), 1),
        ((5, 1), (1, 1, 0, 0), (1, 1), (1, 1), 1),
        ((3, 3), (0, 0, 0, 0), (1, 1), (1, 1), 0),
    ],
)
def test_cropped_kernels_keep_shape_and_meaning(depthwise, kernel, padding, stride, dilation, count):
    sketch = Sketch()
    kind = ops.DepthwiseConv2D if depthwise else ops.Conv2D
    weights = sketch.normal(1 if depthwise else 4, *kernel, 3)
    op = kind(stride=stride, dilation=dilation, padding=padding)
    graph = sketch.graph(sketch(op, sketch.input(1, 9, 8, 3), weights, ""))
    (node,) = graph.nodes
    sizes = croppable(graph).get(node.name, ())
    assert len(sizes) == count
    for size in sizes:
        less = cropped(graph, {node.name: size})
        assert less.constants[node.inputs[1]].shape[1:3] == size
        assert_same_function(zeroed(graph, node.name, size), less)
        value = graph.constants[node.inputs[1]]
        for axis, indices in kernel_slices(graph, {node.name: size})[node.inputs[1]]:
            value = np.take(value, indices, axis)
        np.testing.assert_array_equal(value, less.constants[node.inputs[1]])


def test_several_kernels_at_once_in_a_zoo_model():
    graph = zoo_graph("conv1d")
    kernels = {name: sizes[-1] for name, sizes in croppable(graph).items()}
    assert set(kernels.values()) == {(1, 1)}
    masked = graph
    for name, kernel in kernels.items():
        masked = zeroed(masked, name, kernel)
    assert_same_function(masked, cropped(graph, kernels))


def test_kernels_that_cannot_be_cropped_are_refused():
    graph = zoo_graph("resnet8")
    assert cropped(graph, {"stem.0": (3, 3)}).nodes == graph.nodes
    with pytest.raises(UserError, match=r"cannot be cropped to \(2, 3\)") as told:
        cropped(graph, {"stem.0": (2, 3)})
    assert told.value.hint == "It can be to (3, 1), (1, 3), (1, 1)."
    with pytest.raises(UserError, match=r"cannot be cropped to \(5, 5\)"):
        kernel_slices(graph, {"stem.0": (5, 5)})
    with pytest.raises(UserError, match="no convolution 'classifier'"):
        cropped(graph, {"classifier": (1, 1)})


def test_weights_of_two_readers_stay():
    sketch = Sketch()
    op = ops.Conv2D(padding=(1, 1, 1, 1))
    y = sketch(op, sketch.input(1, 4, 4, 3), sketch.normal(3, 3, 3, 3), "")
    graph = sketch.graph(sketch(op, y, sketch.nodes[0].inputs[1], ""))
    assert croppable(graph) == {}
