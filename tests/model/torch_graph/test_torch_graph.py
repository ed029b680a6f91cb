"""TorchGraph: the same values as the reference, gradients that are slopes, and weights that find their way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.graphs import FLOAT_OPERATORS, float_graphs, samples

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Tensor, with_nodes
from marram.model import zoo
from marram.model.reference import interpret
from marram.model.torch_graph import TorchGraph, trained_graph
from marram.model.torch_graph.table import KERNELS
from marram.model.torch_import import read
from marram.model.training import ArrayExamples, TrainingSettings, evaluate, train


def outputs(module, *arrays):
    with torch.no_grad():
        result = module.eval()(*[torch.from_numpy(array) for array in arrays])
    return [value.numpy() for value in (result if isinstance(result, tuple) else (result,))]


def assert_as_the_reference(graph, arrays):
    for given_value, wanted in zip(outputs(TorchGraph(graph), *arrays), interpret(graph, arrays), strict=True):
        assert given_value.shape == wanted.shape
        np.testing.assert_allclose(given_value, wanted, atol=1e-5 * max(1.0, float(np.abs(wanted).max())), rtol=1e-5)


def one_node(op, *shapes, constants=(), outputs=1):
    """A graph of one operator: activations of these shapes, then constants."""
    rng = np.random.default_rng(3)
    names = [f"x{index}" for index in range(len(shapes))]
    arrays = {f"c{index}": rng.uniform(0.2, 1, shape).astype(np.float32) for index, shape in enumerate(constants)}
    results = tuple(f"y{index}" for index in range(outputs))
    node = Node(name="only", op=op, inputs=(*names, *arrays), outputs=results)
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in zip(names, shapes, strict=True)}
    tensors |= {name: Tensor(name=name, shape=value.shape) for name, value in arrays.items()}
    from marram.model.shapes import infer

    return infer(Graph(name="g", inputs=tuple(names), outputs=results, tensors=tensors, constants=arrays, nodes=(node,)))


def test_every_float_operator_has_a_kernel():
    assert set(FLOAT_OPERATORS) <= set(KERNELS)
    assert set(ops.Operator.__args__) - set(KERNELS) == {ops.Quantise, ops.Dequantise}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(graph=float_graphs(), count=st.integers(1, 3), seed=st.integers(0, 1000))
def test_random_graphs_agree_with_the_reference(graph, count, seed):
    assert_as_the_reference(graph, samples(graph, count, seed=seed))


@pytest.mark.parametrize("kind", sorted(FLOAT_OPERATORS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_each_operator_agrees_and_its_gradients_are_slopes(kind):
    @settings(max_examples=3, deadline=None, derandomize=True)
    @given(graph=float_graphs(operators={kind}, most_nodes=1), seed=st.integers(0, 1000))
    def check(graph, seed):
        arrays = samples(graph, 2, seed=seed)
        assert_as_the_reference(graph, arrays)
        module = TorchGraph(graph).double().eval()
        inputs = [torch.from_numpy(array).double().requires_grad_() for array in arrays]
        if sum(value.numel() for value in inputs) + sum(p.numel() for p in module.parameters()) > 150:
            return
        learnt = list(module.parameters())
        assert torch.autograd.gradcheck(lambda *values: module(*values[: len(inputs)]), (*inputs, *learnt), atol=1e-4)

    check()


SPECIAL = {
    "resize legacy bilinear": one_node(ops.Resize(size=(7, 5), method="bilinear"), (1, 4, 3, 2)),
    "resize aligned nearest": one_node(ops.Resize(size=(7, 5), method="nearest", align_corners=True), (1, 4, 3, 2)),
    "resize down": one_node(ops.Resize(size=(2, 3), method="bilinear", half_pixel_centers=True), (1, 7, 8, 2)),
    "transposed, cut unevenly": one_node(
        ops.TransposeConv2D(stride=(2, 3), padding=(0, 1, 2, 0), output_padding=(1, 2)),
        (1, 4, 3, 2),
        constants=[(3, 3, 4, 2), (3,)],
    ),
    "average, padded unevenly": one_node(ops.AveragePool2D(kernel=(3, 2), stride=(2, 1), padding=(1, 2, 0, 1)), (1, 6, 5, 2)),
    "maximum, padded unevenly": one_node(ops.MaxPool2D(kernel=(3, 3), stride=(2, 2), padding=(0, 2, 1, 0)), (1, 6, 5, 2)),
    "product of transposed": one_node(ops.MatMul(transpose_a=True, transpose_b=True), (1, 4, 3), (1, 5, 4)),
    "lstm backwards": one_node(ops.Lstm(hidden=3, reverse=True), (1, 5, 2), constants=[(12, 2), (12, 3), (12,)], outputs=3),
    "gru with one bias": one_node(ops.Gru(hidden=3), (1, 5, 2), constants=[(9, 2), (9, 3), (9,)], outputs=2),
    "gru backwards": one_node(ops.Gru(hidden=3, reverse=True), (1, 5, 2), constants=[(9, 2), (9, 3), (9,), (9,)], outputs=2),
    "samples mixed by a transpose": one_node(ops.Transpose(permutation=(1, 0, 2)), (1, 3, 2)),
    "samples mixed by a mean": one_node(ops.Mean(axes=(0, 1), keep_dims=True), (2, 3, 2)),
    "slice of the leading axis": one_node(ops.Slice(begin=(1, 0), end=(3, 4), strides=(1, 2)), (4, 4)),
}


@pytest.mark.parametrize("case", SPECIAL)
def test_special_cases_agree_with_the_reference(case):
    graph = SPECIAL[case]
    for count in (1, 3):
        assert_as_the_reference(graph, samples(graph, count, seed=2))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet8", (16, 16, 3)),
        ("ds_cnn", (49, 10)),
        ("conv_autoencoder", (16, 16, 3)),
        ("fc_autoencoder", (20,)),
        ("transformer", (40, 6)),
    ],
)
def test_zoo_agrees_with_the_module_it_came_from(name, shape):
    module = zoo.make(name, input_shape=shape, classes=5)
    batch = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    with torch.no_grad():
        module.train()(torch.from_numpy(batch))  # moves the running statistics off their start
    graph = read(module, (batch,))
    assert_as_the_reference(graph, (batch,))
    np.testing.assert_allclose(outputs(TorchGraph(graph), batch)[0], outputs(module, batch)[0], atol=1e-5)


def test_batch_norm_trains_as_torch_does():
    graph = one_node(ops.BatchNorm(epsilon=1e-3), (1, 5, 3), constants=[(3,)] * 4)
    ours, theirs = TorchGraph(graph).train(), torch.nn.BatchNorm1d(3, eps=1e-3).train()
    values = [graph.constants[name] for name in graph.nodes[0].inputs[1:]]
    with torch.no_grad():
        for target, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
            getattr(theirs, target).copy_(torch.from_numpy(value))
    batch = torch.from_numpy(samples(graph, 4, seed=0)[0])
    torch.testing.assert_close(ours(batch), theirs(batch.mT).mT)
    after = trained_graph(ours)
    np.testing.assert_allclose(after.constants[graph.nodes[0].inputs[3]], theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(after.constants[graph.nodes[0].inputs[4]], theirs.running_var.numpy(), rtol=1e-5)
    assert {name for name, value in ours.weights().items() if isinstance(value, torch.nn.Parameter)} == {"c0", "c1"}


def test_an_imported_net_trains_and_what_is_written_back_is_what_was_trained():
    generator = np.random.default_rng(0)
    targets = np.arange(64) % 2
    windows = (generator.standard_normal((64, 20, 3)) + targets[:, None, None]).astype(np.float32)
    graph = read(zoo.make("conv1d", input_shape=(20, 3), classes=2), (windows,))
    module, examples = TorchGraph(graph), ArrayExamples(windows, targets)
    training = TrainingSettings(epochs=10, batch_size=16, learning_rate=1e-2)
    before = evaluate(module, examples, training).loss
    train(module, examples, examples, training)
    after = trained_graph(module)
    assert evaluate(module, examples, training).loss < 0.8 * before
    np.testing.assert_allclose(interpret(after, windows)[0], outputs(module, windows)[0], atol=1e-5)
    assert after.nodes == graph.nodes
    assert set(after.constants) == set(graph.constants)
    assert not np.array_equal(after.constants["stem.0.weight"], graph.constants["stem.0.weight"])
    np.testing.assert_array_equal(outputs(TorchGraph(after), windows)[0], outputs(module, windows)[0])


def test_nothing_trained_gives_the_same_graph():
    graph = read(zoo.make("transformer", input_shape=(20, 3), classes=2), (np.zeros((1, 20, 3), np.float32),))
    back = trained_graph(TorchGraph(graph))
    assert back.nodes == graph.nodes
    assert back.tensors == graph.tensors
    assert all(np.array_equal(back.constants[name], value) for name, value in graph.constants.items())


def test_a_position_may_be_trained_as_well():
    graph = read(zoo.make("transformer", input_shape=(20, 3), classes=2), (np.zeros((1, 20, 3), np.float32),))
    assert not isinstance(TorchGraph(graph).weights()["position"], torch.nn.Parameter)
    module = TorchGraph(graph, trainable={"position"})
    module(torch.ones(2, 20, 3)).sum().backward()
    assert module.weights()["position"].grad.abs().sum() > 0


def test_after_node_sees_every_tensor_and_may_change_it():
    graph = read(zoo.make("resnet8", input_shape=(8, 8, 3), classes=2), (np.zeros((1, 8, 8, 3), np.float32),))
    seen = []

    def after_node(name, value):
        seen.append(name)
        return value * 0 if name == graph.outputs[0] else value

    result = TorchGraph(graph, after_node=after_node).eval()(torch.ones(2, 8, 8, 3))
    assert sorted(seen) == sorted(graph.tensors)
    assert not result.any()


def test_names_that_collide_are_kept_apart():
    graph = one_node(ops.Dense(), (1, 3), constants=[(2, 3), (2,)])
    names = {"c0": "a.b", "c1": "a/b", "x0": "forward"}
    renamed = with_nodes(
        graph,
        [Node(name="fc", op=ops.Dense(), inputs=("forward", "a.b", "a/b"), outputs=("y0",))],
        tensors={new: Tensor(name=new, shape=graph.tensors[old].shape) for old, new in names.items()},
        constants={new: graph.constants[old] for old, new in names.items() if old in graph.constants},
        inputs=("forward",),
    )
    assert_as_the_reference(renamed, samples(renamed, 2, seed=1))
    assert set(trained_graph(TorchGraph(renamed)).constants) == {"a.b", "a/b"}


def test_mistakes_are_told():
    graph = one_node(ops.Add(), (1, 3), (1, 3))
    with pytest.raises(UserError, match=r"inputs of shapes \[\(2, 4\)"):
        TorchGraph(graph)(torch.ones(2, 4), torch.ones(2, 3))
    with pytest.raises(UserError, match="do not fit"):
        TorchGraph(graph)(torch.ones(2, 3))
    with pytest.raises(UserError, match="do not fit"):
        TorchGraph(graph)(torch.ones(2, 3), torch.ones(1, 3))
    with pytest.raises(UserError, match="is no constant"):
        TorchGraph(graph, trainable={"x0"})
    with pytest.raises(UserError, match="not legal at the float stage"):
        TorchGraph(with_nodes(graph, graph.nodes, tensors={"y0": Tensor(name="y0", shape=(1, 4))}))


@pytest.mark.parametrize("channels", [1, 4, 8])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((3, 3), (1, 3), (1, 2), 0), ((3, 3), (2, 2), (1, 2), 0), ((3, 4), (2, 2), (1, 3), 0), ((7, 1), (3, 3), (1, 2), 1)],
)
def test_one_strided_column_of_one_channel(channels, size, kernel, stride, padding):
    # torch's own convolution sums wrongly here
    op = ops.Conv2D(stride=stride, padding=(0, 0, padding, padding))
    graph = one_node(op, (1, *size, 1), constants=((channels, *kernel, 1), (channels,)))
    assert graph.output_tensors[0].shape[2] == 1
    for seed in range(8):
        assert_as_the_reference(graph, samples(graph, 3, seed=seed))
