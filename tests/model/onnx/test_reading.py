"""Files of other makers: torch's exporter and ONNX Runtime's quantiser, held against ONNX Runtime on the same inputs."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from marram.core import operators as ops
from marram.core.errors import UnsupportedOperator
from marram.model.onnx import read
from marram.model.reference import interpret
from marram.model.spec import verify


def exported(module, x, *, opset=17):
    torch.manual_seed(0)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), stream, dynamo=False, opset_version=opset, input_names=["x"], output_names=["y"])
    return stream.getvalue()


def run(data, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options).run(None, {"x": x})[0]


def same(data, x, *, tolerance=1e-5):
    """The Graph computes what ONNX Runtime computes; the interface may have turned channels last."""
    want = run(data, x)
    graph = read(data)
    verify(graph, "float")
    turned = graph.input_tensors[0].shape != x.shape
    (got,) = interpret(graph, np.moveaxis(x, 1, -1) if turned else x)
    if got.shape != want.shape:
        want = np.moveaxis(want, 1, -1)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, np.abs(want).max()))
    return graph


def transposes(graph):
    return sum(isinstance(node.op, ops.Transpose) for node in graph.nodes)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.deep, self.point = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.grouped, self.pool = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.MaxPool2d(2, ceil_mode=True)
        self.head = nn.Linear(8 * 6 * 6, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = self.pool(x + self.grouped(self.point(nn.functional.hardswish(self.deep(x)))))
        x = torch.cat([x[:, :4], x[:, 4:] * 2], 1)
        return torch.softmax(self.head(x.flatten(1)), -1)


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8)
        self.b, self.head, self.pool = nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Linear(8, 4), nn.MaxPool1d(2)

    def forward(self, x):
        x = self.pool(torch.relu(self.n(self.a(x))))
        return self.head(nn.functional.gelu(self.b(x)).mean(-1))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.l, self.d = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Linear(64, 6), nn.Linear(6, 64)
        self.t, self.o = nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.d(self.l(torch.relu(self.e(x)).flatten(1)))).view(-1, 4, 4, 4)
        return self.o(nn.functional.interpolate(torch.sigmoid(self.t(x)), scale_factor=2))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.p, self.f = nn.Linear(6, 16), nn.Linear(16, 3)
        self.e = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", dropout=0.0)

    def forward(self, x):
        return self.f(self.e(self.p(x)).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind, both):
        super().__init__()
        self.r, self.f = kind(5, 7, batch_first=True, bidirectional=both), nn.Linear(14 if both else 7, 3)

    def forward(self, x):
        return self.f(self.r(x)[0][:, -1])


class Mixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.n, self.p = nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.LayerNorm(4), nn.PReLU(4)

    def forward(self, x):
        x = self.p(self.c(x))
        x = torch.clamp(x, -0.5, 0.7) / 3 + nn.functional.leaky_relu(x, 0.2) + torch.clamp(x, min=0.1) - nn.functional.relu6(x)
        x = nn.functional.avg_pool2d(nn.functional.pad(x, (1, 2, 0, 1), value=0.3), 3, 2, 1)
        a, b = x.chunk(2, 1)
        x = torch.cat([b, a * torch.sigmoid(a), nn.functional.hardsigmoid(a), -b.tanh()], 1)[:, ::2]
        x = self.n(x.flatten(2).transpose(1, 2))
        return torch.softmax((x @ x.transpose(1, 2)) / 2, -1).sum(1)


class Resized(nn.Module):
    def __init__(self, **how):
        super().__init__()
        self.c, self.how = nn.Conv2d(3, 3, 1), how

    def forward(self, x):
        return nn.functional.interpolate(self.c(x), **self.how)


RESIZES = [
    {"scale_factor": 3},
    {"size": (5, 9)},
    {"size": (2, 3)},
    {"scale_factor": 2, "mode": "bilinear"},
    {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
    {"size": (7, 3), "mode": "bilinear"},
]

MODELS = [
    pytest.param(Residual, (1, 3, 11, 11), 17, 0, id="residual"),
    pytest.param(Residual, (1, 3, 11, 11), 11, 0, id="residual-11"),
    pytest.param(Sequence, (1, 3, 40), 17, 0, id="sequence"),
    pytest.param(Autoencoder, (1, 2, 8, 8), 17, 0, id="autoencoder"),
    pytest.param(Encoder, (1, 10, 6), 14, 5, id="encoder-14"),
    pytest.param(Encoder, (1, 10, 6), 17, 5, id="encoder-17"),
    pytest.param(Mixture, (1, 4, 7, 8), 13, 1, id="mixture-13"),
    pytest.param(Mixture, (1, 4, 7, 8), 18, 1, id="mixture-18"),
    *[
        pytest.param(lambda k=k, both=both: Recurrent(k, both), (1, 9, 5), 17, 0, id=f"{k.__name__}-{both}")
        for k in (nn.LSTM, nn.GRU)
        for both in (False, True)
    ],
    *[pytest.param(lambda how=how: Resized(**how), (1, 3, 4, 6), 17, 0, id=f"resize-{i}") for i, how in enumerate(RESIZES)],
]


@pytest.mark.parametrize(("make", "shape", "opset", "turns"), MODELS)
def test_what_torch_exports(make, shape, opset, turns):
    torch.manual_seed(1)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    graph = same(exported(make(), torch.from_numpy(x), opset=opset), x)
    assert transposes(graph) <= turns


def test_patterns_become_one_operator():
    x = np.zeros((1, 10, 6), np.float32)
    graph = read(exported(Encoder(), torch.from_numpy(x), opset=14))
    kinds = [type(node.op) for node in graph.nodes]
    assert (kinds.count(ops.Gelu), kinds.count(ops.LayerNorm), kinds.count(ops.Softmax)) == (1, 2, 1)


def test_a_pattern_whose_inside_is_read_elsewhere_stays():
    half, root, one = (("half", np.float32(0.5)), ("root", np.float32(np.sqrt(2))), ("one", np.float32(1)))
    steps = [
        ("Div", ("x", "root"), ("a",)), ("Erf", ("a",), ("b",)), ("Add", ("b", "one"), ("c",)), ("Mul", ("x", "c"), ("d",)),
    ]  # fmt: skip
    extra = [(name, np.array(value)) for name, value in (half, root, one)]
    graph = read(quantised([*steps, ("Mul", ("d", "half"), ("y",))], extra=extra))
    assert [type(node.op) for node in graph.nodes] == [ops.Gelu]
    with pytest.raises(UnsupportedOperator, match="Erf"):
        read(quantised([*steps, ("Mul", ("d", "half"), ("e",)), ("Add", ("e", "c"), ("y",))], extra=extra))


def test_an_image_model_takes_images_channels_last():
    graph = read(exported(Residual(), torch.zeros(1, 3, 11, 11)))
    assert graph.input_tensors[0].shape == (1, 11, 11, 3)
    assert read(exported(Sequence(), torch.zeros(1, 3, 40))).input_tensors[0].shape == (1, 40, 3)
    assert read(exported(Autoencoder(), torch.zeros(1, 2, 8, 8))).output_tensors[0].shape == (1, 16, 16, 2)
    assert read(exported(Encoder(), torch.zeros(1, 10, 6), opset=17)).input_tensors[0].shape == (1, 10, 6)


class Calibration:
    def __init__(self, shape):
        rng = np.random.default_rng(5)
        self.batches = iter([{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(8)])

    def get_next(self):
        return next(self.batches, None)


@pytest.mark.parametrize("unsigned", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_what_onnx_runtime_quantises_becomes_integer(tmp_path, unsigned, per_channel):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip
    shape = (1, 3, 10, 10)
    (tmp_path / "float.onnx").write_bytes(exported(net, torch.zeros(shape)))
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "q.onnx", Calibration(shape), quant_format=QuantFormat.QDQ, per_channel=per_channel,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    data = (tmp_path / "q.onnx").read_bytes()
    graph = read(data)
    verify(graph, "integer")
    arithmetic = [n for n in graph.nodes if isinstance(n.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense | ops.Mean)]
    assert len(arithmetic) == 5
    assert all(graph.tensors[node.outputs[0]].dtype == "int8" for node in arithmetic)
    assert transposes(graph) == 0
    step = next(graph.tensors[n.inputs[0]].quantisation.scale for n in graph.nodes[::-1] if isinstance(n.op, ops.Dequantise))
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        (got,) = interpret(graph, np.moveaxis(x, 1, -1))
        assert np.abs(got - run(data, x)).max() <= 2.01 * step


def quantised(nodes, *, dtype=np.uint8, zero=128, extra=(), kind=TensorProto.FLOAT):
    constants = [("s", np.array(0.5, np.float32)), ("z", np.array(zero, dtype)), *extra]
    graph = helper.make_graph(
        [helper.make_node(op, list(i), list(o)) for op, i, o in nodes],
        "g",
        [helper.make_tensor_value_info("x", kind, (1, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


Q = ("QuantizeLinear", ("x", "s", "z"), ("q",))


def test_what_is_not_complete_stays_a_float_island():
    graph = read(
        quantised([Q, ("DequantizeLinear", ("q", "s", "z"), ("d",)), ("Relu", ("d",), ("r",)), ("Tanh", ("r",), ("y",))])
    )
    verify(graph, "integer")
    assert [type(n.op) for n in graph.nodes] == [ops.Quantise, ops.Dequantise, ops.Relu, ops.Tanh]
    assert graph.tensors["q"].quantisation.zero_point == 0


def test_a_uint8_input_keeps_its_dtype():
    data = quantised([("DequantizeLinear", ("x", "s", "z"), ("d",)), ("Relu", ("d",), ("y",))], kind=TensorProto.UINT8)
    graph = read(data)
    assert (graph.input_tensors[0].dtype, graph.input_tensors[0].quantisation.zero_point) == ("uint8", 128)
    x = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(interpret(graph, x)[0], [[0, 0, 0, 63.5]])


def test_activations_by_channel_are_refused():
    wide = [("s", np.full(4, 0.5, np.float32)), ("z", np.zeros(4, np.uint8))]
    data = quantised([Q, ("DequantizeLinear", ("q", "s", "z"), ("y",))])
    found = onnx.load_from_string(data)
    found.graph.ClearField("initializer")
    found.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in wide)
    with pytest.raises(UnsupportedOperator, match="by channel"):
        read(found.SerializeToString())


def test_an_open_batch_is_one():
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Residual().eval(), (torch.zeros(2, 3, 11, 11),), stream, dynamo=False, opset_version=17, input_names=["x"],
            output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )  # fmt: skip
    data = stream.getvalue()
    x = np.random.default_rng(0).normal(size=(1, 3, 11, 11)).astype(np.float32)
    assert same(data, x).input_tensors[0].shape[0] == 1
