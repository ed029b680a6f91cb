"""The promise: a module's integers are those of the reference, for every operator, at any parameters."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.conftest import samples_of
from tests.compress.learning.quantised.parity import differing, disturb
from tests.compress.random_graphs import random_graph
from tests.model.graphs import INTEGER_OPERATORS, integer_graphs, samples

from marram.compress import fold, quantise, unroll
from marram.compress.learning.quantised.module import QuantisedGraph
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.model import zoo
from marram.model.spec import verify
from marram.model.torch_graph import TorchGraph
from marram.model.torch_import import read


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=integer_graphs(operators=INTEGER_OPERATORS), count=st.integers(1, 3), seed=st.integers(0, 1000))
def test_random_integer_graphs_agree_and_come_back_unchanged(graph, count, seed):
    module = QuantisedGraph(graph)
    assert digest(module.graph()) == digest(graph)
    assert differing(module, samples(graph, count, seed=seed))[0] == 0


@pytest.mark.parametrize("kind", sorted(INTEGER_OPERATORS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_each_operator_agrees_while_it_learns(kind):
    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(graph=integer_graphs(operators={kind}, most_nodes=2), seed=st.integers(0, 1000))
    def check(graph, seed):
        module = QuantisedGraph(graph)
        for _ in range(2):
            assert differing(disturb(module.train(), seed), samples(graph, 2, seed=seed))[0] == 0

    check()


def quantised_random(seed, **options):
    graph = unroll(fold(random_graph(seed)))
    inputs = samples_of(graph, 8, seed=seed)
    return graph, quantise(graph, [inputs], **options)


@pytest.mark.parametrize("seed", range(12))
def test_quantised_random_graphs_agree_after_changes_and_stay_legal(seed):
    exact, integer = quantised_random(seed)
    module = QuantisedGraph(integer, exact)
    assert digest(module.graph()) == digest(integer)
    disturb(module, seed)
    changed = module.graph()
    verify(changed, "integer")
    assert digest(changed) != digest(integer) or not list(module.parameters())
    codes = [np.random.default_rng(seed).integers(-128, 128, (3, *t.shape[1:])).astype(np.int8) for t in integer.input_tensors]
    assert differing(module, codes)[0] == 0


ZOO = {
    "conv1d": (50, 6),
    "ds_cnn": (25, 10),
    "resnet8": (16, 16, 3),
    "mobilenet_v1": (32, 32, 3),
    "mobilenet_v2": (32, 32, 3),
    "transformer": (20, 6),
    "conv_autoencoder": (16, 16, 3),
    "fc_autoencoder": (20,),
}


def zoo_graph(name):
    rng = np.random.default_rng(1)
    options = {"width": 0.25} if name.startswith("mobilenet") else {}
    model = zoo.make(name, input_shape=ZOO[name], classes=5, **options)
    batch = rng.standard_normal((16, *ZOO[name])).astype(np.float32)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # of dropout
        for _ in range(20):  # the norms' running statistics come near those of the batch, so that signals keep their size
            model.train()(torch.from_numpy(batch))
    return unroll(fold(read(model.eval(), (batch[:1],)))), batch


def codes_for(integer, count=4):
    rng = np.random.default_rng(2)
    return [rng.integers(-128, 128, (count, *t.shape[1:])).astype(np.int8) for t in integer.input_tensors]


def test_the_zoo_is_complete():
    assert set(ZOO) == set(zoo.names())


@pytest.mark.parametrize("name", ZOO)
def test_zoo_models_agree_before_and_after_a_step(name):
    exact, batch = zoo_graph(name)
    integer = quantise(exact, batch)
    module = QuantisedGraph(integer, exact).train()
    assert digest(module.graph()) == digest(integer)
    assert differing(module, codes_for(integer))[0] == 0
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01)
    module(torch.from_numpy(batch)).square().mean().backward()
    optimiser.step()
    assert differing(module, codes_for(integer)) == (0, differing(module.eval(), codes_for(integer))[1])
    assert digest(module.graph()) != digest(integer)


@pytest.mark.parametrize("name", ["resnet8", "conv1d"])
def test_the_gradient_is_that_of_the_float_net(name):
    """Against torch's gradient of the float Graph: all weights point the same way, to what eight bits leave of them."""
    exact, batch = zoo_graph(name)
    integer, targets = quantise(exact, batch), torch.arange(len(batch)) % 5
    modules = QuantisedGraph(integer, exact, learn_scales=False), TorchGraph(exact)
    for module in modules:
        torch.nn.functional.cross_entropy(module(torch.from_numpy(batch)), targets).backward()
    theirs = modules[1].weights()
    for node in integer.nodes:
        if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense):
            mine, wanted = modules[0].parts.of_weights(node.inputs[1]).reals.grad, theirs[node.inputs[1]].grad
            assert torch.nn.functional.cosine_similarity(mine.flatten(), wanted.flatten(), dim=0) > 0.93, node.name
            assert float(mine.norm() / wanted.norm()) == pytest.approx(1, abs=0.1), node.name


def test_float_islands_agree_and_learn():
    exact, batch = zoo_graph("transformer")
    kept = tuple(node.name for node in exact.nodes if isinstance(node.op, ops.Softmax | ops.Gelu))
    integer = quantise(exact, batch, keep_float=kept)
    module = QuantisedGraph(integer, exact)
    assert differing(disturb(module, 1, size=0.05), codes_for(integer))[0] == 0
    module(torch.from_numpy(batch)).square().sum().backward()
    norms = [node for node in integer.nodes if isinstance(node.op, ops.LayerNorm)]
    assert norms
    assert all(module.parts.of_floats(name).grad.abs().sum() > 0 for node in norms for name in node.inputs[1:])


@pytest.mark.parametrize("kind", [ops.Lstm, ops.Gru])
def test_unrolled_steps_keep_their_ties(sketch, kind):
    gates = 4 if kind is ops.Lstm else 3
    x, size = sketch.input(1, 5, 3), 4
    parameters = [sketch.normal(gates * size, 3), sketch.normal(gates * size, size), sketch.normal(gates * size)]
    y = sketch.many(kind(hidden=size), x, *parameters)[0]
    exact = unroll(sketch.graph(y))
    integer = quantise(exact, sketch.normal(16, 5, 3))
    module = disturb(QuantisedGraph(integer, exact), 3)
    assert differing(module, codes_for(integer))[0] == 0
    changed = module.graph()
    assert len({changed.tensors[n.outputs[0]].quantisation for n in changed.nodes if "/recurrent@" in n.name}) == 1


def test_weights_of_few_bits_keep_to_them():
    exact, batch = zoo_graph("ds_cnn")
    layers = [node for node in exact.nodes if isinstance(node.op, ops.Conv2D | ops.Dense)]
    integer = quantise(exact, batch, weight_bits={node.name: 4 for node in layers[:-1]} | {layers[-1].name: 2})
    for bits in (None, {node.name: 4 for node in layers[:-1]} | {layers[-1].name: 2}):
        module = disturb(QuantisedGraph(integer, exact, weight_bits=bits), 5)
        assert differing(module, codes_for(integer))[0] == 0
        changed = module.graph()
        peaks = [int(np.abs(changed.constants[node.inputs[1]]).max()) for node in layers]
        assert peaks == [7] * (len(layers) - 1) + [1]
    with pytest.raises(UserError, match="2 bits do not hold"):
        QuantisedGraph(integer, exact, weight_bits={layers[0].name: 2})


def test_int16_activations_agree():
    exact, batch = zoo_graph("ds_cnn")
    layers = [node.name for node in exact.nodes if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D)]
    integer = quantise(exact, batch, activation_bits={layers[1]: 16, layers[2]: 16})
    assert "int16" in {tensor.dtype for tensor in integer.tensors.values()}
    module = QuantisedGraph(integer, exact)
    assert digest(module.graph()) == digest(integer)
    assert differing(disturb(module, 7, size=0.1), codes_for(integer))[0] == 0


def test_samples_that_an_operator_mixes_run_one_by_one(sketch):
    y = sketch(ops.Transpose(permutation=(1, 0, 2)), sketch.input(1, 3, 4))
    exact = sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 4), sketch.normal(2)))
    module = QuantisedGraph(quantise(exact, [sketch.normal(1, 3, 4) for _ in range(8)]), exact)
    assert differing(module, codes_for(module.graph(), 3))[0] == 0
    assert module(torch.randn(5, 3, 4)).shape == (15, 1, 2)


def test_a_strided_column_of_one_channel(sketch):
    """Torch 2.13's float32 convolution misreads such an image."""
    x = sketch.input(1, 8, 4, 1)
    exact = sketch.graph(sketch(ops.Conv2D(stride=(1, 3)), x, sketch.normal(2, 1, 4, 1), sketch.normal(2)))
    module = QuantisedGraph(quantise(exact, sketch.normal(16, 8, 4, 1)), exact)
    assert differing(module, codes_for(module.graph(), 3)) == (0, 3 * 8 * 2)


def test_what_cannot_be_trained_is_refused():
    exact, batch = zoo_graph("fc_autoencoder")
    integer = quantise(exact, batch)
    with pytest.raises(UserError, match="do not fit"):
        QuantisedGraph(integer, exact)(torch.zeros(2, 3))
    other = zoo_graph("conv1d")[0]
    node = next(node for node in integer.nodes if isinstance(node.op, ops.Dense))
    stranger = next(each for each in other.nodes if isinstance(each.op, ops.Conv2D))
    wrong = msgspec.structs.replace(other, nodes=(msgspec.structs.replace(stranger, name=node.name),))
    with pytest.raises(UserError, match="weights of shape"):
        QuantisedGraph(integer, wrong)
