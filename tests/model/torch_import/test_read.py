"""Torch import: what the Graph computes is what the module computes; what cannot be imported is told by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from marram.core import operators as ops
from marram.core.errors import UnsupportedOperator, UserError
from marram.model import zoo
from marram.model.batching import keeps_samples_apart
from marram.model.reference import interpret
from marram.model.spec import verify
from marram.model.torch_import import read

ZOO = [
    ("conv1d", (50, 6)),
    ("conv_autoencoder", (16, 12, 3)),
    ("conv_autoencoder", (32, 6)),
    ("ds_cnn", (49, 10)),
    ("fc_autoencoder", (10, 4)),
    ("mobilenet_v1", (24, 24, 3)),
    ("mobilenet_v2", (16, 16, 3)),
    ("resnet8", (16, 16, 3)),
    ("transformer", (40, 6)),
    ("transformer", (8, 8, 3)),
]


def restless(module: nn.Module) -> nn.Module:
    """The module with weights and statistics that let no layer pass for another, so that outputs are far from 0."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.uniform_(0.2, 1.0, generator=generator)
            elif value.dim() <= 1:
                value.normal_(0.3, 0.5, generator=generator)
            else:
                value.mul_(1.5)
    return module.eval()


def samples(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def torch_outputs(module, *arrays):
    with torch.no_grad():
        result = module(*[torch.from_numpy(array) for array in arrays])
    return [value.numpy() for value in (result if isinstance(result, tuple | list) else (result,))]


def assert_close(graph, module, *arrays):
    verify(graph, "float")
    expected = torch_outputs(module, *arrays)
    for given, wanted in zip(interpret(graph, arrays), expected, strict=True):
        assert given.shape == wanted.shape
        assert np.abs(wanted).max() > 0.01
        np.testing.assert_allclose(given, wanted, atol=1e-4 * max(1.0, float(np.abs(wanted).max())), rtol=1e-4)


@pytest.mark.parametrize(("name", "shape"), ZOO)
def test_zoo(name, shape):
    module = restless(zoo.make(name, input_shape=shape, classes=5))
    batch = samples(3, *shape)
    graph = read(module, (batch,))
    assert_close(graph, module, batch)
    assert graph.input_tensors[0].shape == (1, *shape)
    if name != "transformer":
        assert not any(isinstance(node.op, ops.Transpose) for node in graph.nodes)


class Calling(nn.Module):
    """A function as a module, with parts that it may call."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for key, part in parts.items():
            setattr(self, key, nn.Parameter(part) if isinstance(part, torch.Tensor) else part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def with_last_states(outputs, states):
    return outputs, states[0][-1], states[1][0]


IMAGE, SEQUENCE, VECTOR = (2, 4, 9, 8), (2, 4, 15), (2, 6)


def of(shape, function, **parts):
    return Calling(function, **parts), shape


CASES = {
    "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), IMAGE),
    "conv2d grouped": (nn.Conv2d(4, 6, 3, groups=2), IMAGE),
    "conv2d depthwise": (nn.Conv2d(4, 8, 3, groups=4, padding="same", dilation=2), IMAGE),
    "conv2d valid": (nn.Conv2d(4, 3, 2, padding="valid", bias=False), IMAGE),
    "conv1d": (nn.Conv1d(4, 6, 5, stride=2, padding=2), SEQUENCE),
    "conv1d depthwise": (nn.Conv1d(4, 4, 4, groups=4, padding="same"), SEQUENCE),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 3, (3, 4), stride=2, padding=(1, 0), output_padding=1), IMAGE),
    "conv_transpose1d": (nn.ConvTranspose1d(4, 3, 4, stride=3, padding=1), SEQUENCE),
    "max pool": (nn.MaxPool2d(3, stride=2, padding=1), IMAGE),
    "max pool ceil": (nn.MaxPool2d(2, ceil_mode=True), IMAGE),
    "max pool 1d": (nn.MaxPool1d(3), SEQUENCE),
    "average pool": (nn.AvgPool2d((3, 2), stride=(2, 1)), IMAGE),
    "average pool counting padding": (nn.AvgPool2d(3, stride=2, padding=1), IMAGE),
    "average pool without padding": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), IMAGE),
    "average pool ceil": (nn.AvgPool2d(2, ceil_mode=True), IMAGE),
    "average pool 1d": (nn.AvgPool1d(4, padding=1), SEQUENCE),
    "adaptive to one": (nn.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive to part": (nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive 1d": (nn.AdaptiveAvgPool1d(5), SEQUENCE),
    "adaptive max": (nn.AdaptiveMaxPool2d((3, 2)), IMAGE),
    "batch norm 2d": (nn.BatchNorm2d(4), IMAGE),
    "batch norm 1d": (nn.BatchNorm1d(4), SEQUENCE),
    "batch norm of vectors": (nn.BatchNorm1d(6, affine=False), VECTOR),
    "layer norm": (nn.LayerNorm(15), SEQUENCE),
    "layer norm of two axes": (nn.LayerNorm((4, 15)), SEQUENCE),
    "linear": (nn.Linear(15, 3), SEQUENCE),
    "linear without bias": (nn.Linear(6, 3, bias=False), VECTOR),
    "relu in place": (nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True)), VECTOR),
    "relu6": (nn.ReLU6(), VECTOR),
    "leaky relu": (nn.LeakyReLU(0.2), VECTOR),
    "prelu": (nn.PReLU(), VECTOR),
    "hardtanh": (nn.Hardtanh(), VECTOR),
    "hardswish": (nn.Hardswish(), VECTOR),
    "hardsigmoid": (nn.Hardsigmoid(), VECTOR),
    "sigmoid": (nn.Sigmoid(), VECTOR),
    "silu": (nn.SiLU(), VECTOR),
    "tanh": (nn.Tanh(), VECTOR),
    "gelu": (nn.GELU(), VECTOR),
    "gelu tanh": (nn.GELU(approximate="tanh"), VECTOR),
    "clamp": of(VECTOR, lambda _, x: x.clamp(0, 6) + torch.clamp_min(x, 0)),
    "softmax over channels": (nn.Softmax(dim=1), IMAGE),
    "arithmetic": of(VECTOR, lambda _, x: 3 - (x * 2 + 1) / 4 - torch.sub(x, x + 1, alpha=0.5) + x**2 - (-x)),
    "in-place sum": of(VECTOR, lambda _, x: (x * 1).add_(2).mul_(3)),
    "broadcast": of(IMAGE, lambda m, x: x * m.scale + m.scale * x.mean((2, 3), keepdim=True), scale=torch.rand(4, 1, 1)),
    "mean and sum": of(IMAGE, lambda _, x: x.mean(-1).sum(1, keepdim=True)),
    "views": of(IMAGE, lambda _, x: x.flatten(2).unflatten(2, (8, 9)).unsqueeze(1).squeeze(1).reshape(x.shape[0], -1)),
    "permutations": of(IMAGE, lambda _, x: x.permute(0, 2, 3, 1).transpose(1, 2).mT.swapaxes(1, 3)),
    "cuts": of(IMAGE, lambda _, x: x[:, 1:3, ::2, -5:-1] + x.narrow(1, 0, 2)[:, :, ::2, 4:] + x[:, 3:, 1:6, :4]),
    "select": of(SEQUENCE, lambda _, x: x[:, -1] + x[:, :, 3:4].squeeze(2).sum(1, keepdim=True)),
    "joins": of(SEQUENCE, lambda _, x: torch.stack([torch.cat([x, x * 2], -1), torch.cat([x + 1, x], 2)], dim=1)),
    "splits": of(SEQUENCE, lambda _, x: sum(x.split(5, -1)) + x.chunk(3, 2)[1] + x.split([5, 10], 2)[0]),
    "unbind": of(SEQUENCE, lambda _, x: x.unbind(1)[2] - x.unbind(1)[0]),
    "padding": of(SEQUENCE, lambda _, x: functional.pad(x, (1, 2, 0, 3), value=0.5)),
    "expand and repeat": of(VECTOR, lambda _, x: x.unsqueeze(1).expand(-1, 3, -1) + x.repeat(1, 3).reshape(-1, 3, 6)),
    "class token": of(SEQUENCE, lambda m, x: torch.cat([m.token.expand(x.shape[0], -1, -1), x], 1), token=torch.rand(1, 1, 15)),
    "constants are computed": of(VECTOR, lambda m, x: x @ (m.w * 2).t() + torch.arange(3) / 7, w=torch.rand(3, 6)),
    "matmul": of(SEQUENCE, lambda _, x: x @ x.transpose(1, 2)),
    "bmm": of(SEQUENCE, lambda _, x: torch.bmm(x.transpose(1, 2), x)),
    "addmm": of(VECTOR, lambda m, x: torch.addmm(m.b, x, m.w), b=torch.rand(3), w=torch.rand(6, 3)),
    "einsum": of(SEQUENCE, lambda _, x: torch.einsum("bct,bdt->bcd", x, x)),
    "attention": of(SEQUENCE, lambda _, x: functional.scaled_dot_product_attention(x, x * 2, x + 1)),
    "causal attention": of(SEQUENCE, lambda _, x: functional.scaled_dot_product_attention(x, x, x, is_causal=True)),
    "encoder layer": (nn.TransformerEncoderLayer(15, 3, 20, batch_first=True, norm_first=True), (1, 4, 15)),
    "nearest": (nn.Upsample(scale_factor=2), IMAGE),
    "nearest exact": (nn.Upsample(size=(18, 24), mode="nearest-exact"), IMAGE),
    "bilinear": (nn.Upsample(scale_factor=3, mode="bilinear"), IMAGE),
    "bilinear aligned": (nn.Upsample(size=(11, 20), mode="bilinear", align_corners=True), IMAGE),
    "pixel shuffle": (nn.PixelShuffle(2), IMAGE),
    "lstm": of(SEQUENCE, lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(15, 5, batch_first=True)),
    "lstm of two layers and directions": of(
        SEQUENCE,
        lambda m, x: with_last_states(*m.lstm(x)),
        lstm=nn.LSTM(15, 5, 2, batch_first=True, bidirectional=True, dropout=0.5),
    ),
    "gru time first": of((1, 7, 6), lambda m, x: m.gru(x.transpose(0, 1))[0][-1], gru=nn.GRU(6, 4)),
    "gru without bias": of(SEQUENCE, lambda m, x: m.gru(x)[1][0], gru=nn.GRU(15, 4, bias=False, batch_first=True)),
    "lstm cell unrolled": of(
        (2, 3, 6),
        lambda m, x: m.cell(x[:, 1], m.cell(x[:, 0], (x.new_zeros(1, 4).expand(x.shape[0], -1),) * 2))[0],
        cell=nn.LSTMCell(6, 4),
    ),
    "dropout": (nn.Sequential(nn.Dropout(), nn.Linear(6, 2), nn.Dropout1d()), VECTOR),
    "two outputs": of(VECTOR, lambda _, x: (x * 2, x + 1)),
    "one module twice": of(VECTOR, lambda m, x: m.fc(torch.relu(m.fc(x))), fc=nn.Linear(6, 6)),
}


@pytest.mark.parametrize("case", CASES)
def test_operators(case):
    module, shape = CASES[case]
    restless(module)
    batch = samples(*shape)
    graph = read(module, (batch,), layout="as_given")
    assert_close(graph, module, batch)


def test_images_are_taken_channels_last():
    module = restless(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)))
    batch = samples(2, 3, 8, 7)
    graph = read(module, (batch,))
    assert graph.input_tensors[0].shape == (1, 8, 7, 3)
    assert not any(isinstance(node.op, ops.Transpose) for node in graph.nodes)
    (given,) = interpret(graph, batch.transpose(0, 2, 3, 1))
    (wanted,) = torch_outputs(module, batch)
    np.testing.assert_allclose(given, wanted.transpose(0, 2, 3, 1), atol=1e-4)
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(120, 5))
    graph = read(flat, (batch,))
    assert not any(isinstance(node.op, ops.Transpose) for node in graph.nodes)
    (given,) = interpret(graph, batch.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(given, torch_outputs(flat, batch)[0], atol=1e-4)


ATTENTION = {
    "encoder": (nn.TransformerEncoderLayer(12, 3, 20, batch_first=True), lambda layer, x: layer(x)),
    "weights": (nn.MultiheadAttention(12, 2, batch_first=True), lambda layer, x: layer(x, x * 2, x + 1)),
    "no bias": (nn.MultiheadAttention(12, 2, bias=False, batch_first=True), lambda layer, x: layer(x, x, x)[0]),
    "causal": (
        nn.MultiheadAttention(12, 4, batch_first=True),
        lambda layer, x: layer(x, x, x, attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1), need_weights=False)[0],
    ),
    "added mask": (
        nn.MultiheadAttention(12, 4, batch_first=True),
        lambda layer, x: layer(x, x, x, attn_mask=torch.eye(5), average_attn_weights=False),
    ),
}


@pytest.mark.parametrize("case", ATTENTION)
def test_attention_keeps_samples_apart(case):
    layer, function = ATTENTION[case]
    module = restless(Calling(lambda m, x: function(m.layer, x), layer=layer))
    batch = samples(3, 5, 12)
    graph = read(module, (batch,), layout="as_given")
    assert_close(graph, module, batch)
    assert keeps_samples_apart(graph)
    assert "forward" not in vars(layer)


def test_time_first_attention_is_taken_as_it_is():
    module = restless(Calling(lambda m, x: m.layer(x, x, x)[0], layer=nn.MultiheadAttention(12, 3)))
    batch = samples(1, 5, 12)
    assert_close(read(module, (batch,), layout="as_given"), module, batch)


def test_several_inputs():
    module = Calling(lambda m, image, vector: m.fc(image.mean((2, 3))) + vector, fc=nn.Linear(4, 6))
    image, vector = samples(*IMAGE), samples(*VECTOR)
    graph = read(module, (image, vector), layout="as_given")
    assert_close(graph, module, image, vector)


def test_names_are_those_of_the_modules():
    graph = read(zoo.make("resnet8", input_shape=(16, 16, 3), classes=4), (samples(1, 16, 16, 3),), name="tiny")
    assert graph.name == "tiny"
    assert graph.inputs == ("x",)
    assert [node.name for node in graph.nodes][:4] == ["stem.0", "stem.1", "stem.2", "stack1.first.0"]
    assert {"stem.0.weight", "stem.1.running_mean", "stack2.shortcut.bias", "classifier.weight"} <= set(graph.constants)


def test_the_module_stays_as_it_was_and_shares_nothing():
    module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    module.train()
    module[1].eval()
    graph = read(module, (samples(*VECTOR),))
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
    kept = graph.constants["0.weight"].copy()
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(graph.constants["0.weight"], kept)


REFUSED = {
    "erf": (Calling(lambda _, x: torch.erf(x)), VECTOR, "aten.erf"),
    "mode of padding": (nn.ReflectionPad1d(2), SEQUENCE, "aten.pad in mode reflect|aten.reflection_pad1d|aten.index"),
    "integers": (Calling(lambda _, x: x.long()), VECTOR, "int64"),
    "grouped transposed": (nn.ConvTranspose2d(4, 4, 3, groups=2), IMAGE, "conv_transpose2d with groups"),
    "division": (Calling(lambda _, x: 1 / (x * x + 1)), VECTOR, "aten.(div|reciprocal)"),
    "initial state": (
        Calling(lambda m, x: m.lstm(x, (x[:, :, :5].mean(1).unsqueeze(0),) * 2)[0], lstm=nn.LSTM(15, 5, batch_first=True)),
        SEQUENCE,
        "initial state",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_operators_are_named(case):
    module, shape, sentence = REFUSED[case]
    with pytest.raises(UnsupportedOperator, match=sentence) as caught:
        read(nn.Sequential(nn.Identity(), module), (samples(*shape),))
    assert caught.value.node.startswith("1.") or caught.value.node == "1"
    assert "conv2d" in caught.value.supported


def test_control_flow_on_data_is_refused():
    with pytest.raises(UnsupportedOperator, match="control flow"):
        read(Calling(lambda _, x: x if x.sum() > 0 else -x), (samples(*VECTOR),))


def test_bad_examples_are_told():
    module = nn.Linear(6, 2)
    with pytest.raises(UserError, match=r"cannot be exported with inputs of shape \(1, 7\)"):
        read(module, (samples(2, 7),))
    with pytest.raises(UserError, match="float64"):
        read(module, (np.zeros((1, 6)),))
    with pytest.raises(UserError, match="something else than tensors"):
        read(Calling(lambda _, x: (x, 3)), (samples(*VECTOR),))
