"""Counts against the published figures of MLPerf Tiny (research notes: MACs and largest live sets), and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor
from marram.model.counts import counts
from marram.model.shapes import infer
from marram.model.spec import verify


class Net:
    """A chain of int8-sized layers with zero weights; only the shapes matter here."""

    def __init__(self, name, *shape):
        self.name, self.shape = name, shape
        self.tensors = {"x": Tensor(name="x", shape=shape)}
        self.constants, self.nodes = {}, []

    def add(self, op, *inputs, weights=None):
        names = list(inputs)
        if weights:
            names.append(f"w{len(self.nodes)}")
            self.constants[names[-1]] = np.zeros(weights, np.float32)
        out = f"t{len(self.nodes)}"
        self.nodes.append(Node(name=f"n{len(self.nodes)}", op=op, inputs=tuple(names), outputs=(out,)))
        return out

    def graph(self, output):
        return infer(
            Graph(
                name=self.name,
                inputs=("x",),
                outputs=(output,),
                tensors=self.tensors,
                constants=self.constants,
                nodes=tuple(self.nodes),
            )
        )


def autoencoder():
    net, x, sizes = Net("ad", 1, 640), "x", [640, *[128] * 4, 8, *[128] * 4, 640]
    for before, after in pairwise(sizes):
        x = net.add(ops.Dense(), x, weights=(after, before))
    return net.graph(x)


def keywords():
    net = Net("kws", 1, 49, 10, 1)
    x = net.add(ops.Conv2D(stride=(2, 2), padding=(4, 5, 1, 1)), "x", weights=(64, 10, 4, 1))
    for _ in range(4):
        x = net.add(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), x, weights=(1, 3, 3, 64))
        x = net.add(ops.Conv2D(), x, weights=(64, 1, 1, 64))
    x = net.add(ops.AveragePool2D(kernel=(25, 5), stride=(25, 5)), x)
    x = net.add(ops.Dense(), net.add(ops.Reshape(shape=(1, 64)), x), weights=(12, 64))
    return net.graph(net.add(ops.Softmax(), x))


def wake_words():
    net = Net("vww", 1, 96, 96, 3)
    x, channels = net.add(ops.Conv2D(stride=(2, 2), padding=(0, 1, 0, 1)), "x", weights=(8, 3, 3, 3)), 8
    for wide, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]:
        padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
        depthwise = ops.DepthwiseConv2D(stride=(stride, stride), padding=padding)
        x = net.add(depthwise, x, weights=(1, 3, 3, channels))
        x, channels = net.add(ops.Conv2D(), x, weights=(wide, 1, 1, channels)), wide
    x = net.add(ops.AveragePool2D(kernel=(3, 3), stride=(3, 3)), x)
    x = net.add(ops.Dense(), net.add(ops.Reshape(shape=(1, 256)), x), weights=(2, 256))
    return net.graph(net.add(ops.Softmax(), x))


def images():
    net = Net("ic", 1, 32, 32, 3)
    x, channels = net.add(ops.Conv2D(padding=(1, 1, 1, 1)), "x", weights=(16, 3, 3, 3)), 16
    for wide in (16, 32, 64):
        stride = 1 if wide == 16 else 2
        padding = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
        y = net.add(ops.Conv2D(stride=(stride, stride), padding=padding), x, weights=(wide, 3, 3, channels))
        y = net.add(ops.Conv2D(padding=(1, 1, 1, 1)), y, weights=(wide, 3, 3, wide))
        if stride == 2:
            x = net.add(ops.Conv2D(stride=(2, 2)), x, weights=(wide, 1, 1, channels))
        x, channels = net.add(ops.Add(), x, y), wide
    x = net.add(ops.AveragePool2D(kernel=(8, 8), stride=(8, 8)), x)
    x = net.add(ops.Dense(), net.add(ops.Reshape(shape=(1, 64)), x), weights=(10, 64))
    return net.graph(net.add(ops.Softmax(), x))


PUBLISHED = [
    (autoencoder, "ad01_int8.tflite", 264_192, 768),
    (keywords, "kws_ref_model.tflite", 2_656_768, 16_000),
    (wake_words, "vww_96_int8.tflite", 7_489_664, 55_296),
    (images, "pretrainedResnet_quant.tflite", 12_501_632, 49_152),
]


@pytest.mark.parametrize(("make", "file", "macs", "live"), PUBLISHED)
def test_mlperf_tiny_figures(make, file, macs, live, shared_data):
    graph = make()
    verify(graph, "float")
    found = counts(graph)
    assert (found.macs, found.peak_live_bytes) == (macs, 4 * live)
    path = shared_data and shared_data / "mlperf_tiny" / file
    if path and path.is_file():
        from marram.model.tflite import read

        published = counts(read(path))
        assert (published.macs, published.peak_live_bytes) == (macs, live)


@pytest.mark.parametrize(
    ("op", "inputs", "macs"),
    [
        (ops.Conv2D(groups=2), [(1, 5, 5, 4), (6, 3, 3, 2)], 3 * 3 * 6 * 3 * 3 * 2),
        (ops.DepthwiseConv2D(), [(1, 5, 5, 2), (1, 3, 3, 6)], 3 * 3 * 6 * 9),
        (ops.TransposeConv2D(stride=(2, 2)), [(1, 4, 4, 3), (5, 2, 2, 3)], 16 * 3 * 5 * 4),
        (ops.MatMul(transpose_a=True), [(2, 7, 3), (2, 7, 4)], 2 * 3 * 4 * 7),
        (ops.Lstm(hidden=3), [(1, 5, 2), (12, 2), (12, 3)], 5 * 12 * 5),
        (ops.Gru(hidden=3), [(1, 5, 2), (9, 2), (9, 3)], 5 * 9 * 5),
        (ops.Relu(), [(1, 5)], 0),
    ],
)
def test_macs_by_hand(op, inputs, macs):
    tensors = {f"i{n}": Tensor(name=f"i{n}", shape=shape) for n, shape in enumerate(inputs)}
    node = Node(name="n", op=op, inputs=tuple(tensors), outputs=("y",))
    graph = infer(Graph(name="g", inputs=tuple(tensors), outputs=("y",), tensors=tensors, constants={}, nodes=(node,)))
    assert counts(graph).macs == macs


def test_live_sets_follow_last_uses_and_reshapes_share():
    net = Net("live", 1, 10)
    a = net.add(ops.Relu(), "x")
    b = net.add(ops.Reshape(shape=(10, 1)), a)
    c = net.add(ops.Relu(), b)
    d = net.add(ops.Concat(axis=0), c, b)
    found = counts(net.graph(d))
    assert [row.live_bytes for row in found.per_node] == [80, 40, 80, 160]
    assert found.peak_live_bytes == 160
    assert found.parameters == found.weight_bytes == 0


def test_shared_constants_count_once():
    net = Net("shared", 1, 4)
    a = net.add(ops.Dense(), "x", weights=(4, 4))
    net.nodes.append(Node(name="again", op=ops.Dense(), inputs=(a, "w0"), outputs=("y",)))
    found = counts(net.graph("y"))
    assert (found.parameters, found.weight_bytes) == (16, 64)
    assert [row.parameters for row in found.per_node] == [16, 16]
