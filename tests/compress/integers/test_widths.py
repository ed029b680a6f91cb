"""Weights of 4 and 2 bits, channels of fewer bits, activations of 16 bits: legal, near, and packed as C packs them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.compress.conftest import samples_of
from tests.compress.integers.test_quantisation import CONV, image_net, noise_db
from tests.compress.random_graphs import random_graph

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compress import Material, apply, correct_bias, fold, quantise
from marram.compress.integers.weight_scales import least_squares
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Fold, Quantise, Recipe
from marram.model.reference import interpret
from marram.model.spec import RULES, verify

LAYERS = ("conv2d0", "depthwise_conv2d1", "dense6")


@pytest.fixture
def graph(sketch):
    return fold(sketch.graph(image_net(sketch)))


def weights_of(whole, name):
    node = next(node for node in whole.nodes if node.name == name)
    return whole.constants[node.inputs[1]]


@pytest.mark.parametrize(("bits", "limit"), [(8, 127), (4, 7), (2, 1)])
def test_weights_lie_within_their_bits_and_c_packs_them(graph, bits, limit):
    samples = samples_of(graph, 50)["x0"]
    whole = quantise(graph, samples, weight_bits=dict.fromkeys(LAYERS, bits))
    verify(whole, "integer")
    for name in LAYERS:
        weights = weights_of(whole, name)
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() == limit
    if bits == 8:
        return
    made = generate(whole, FAMILIES["portable"], pack_weights=True)
    bytes_of = {row.node: row.weight_bytes for row in made.layers if row.node in LAYERS}
    counts = {name: weights_of(whole, name).size for name in LAYERS}
    channels = {"conv2d0": 8, "depthwise_conv2d1": 8, "dense6": 5}
    assert bytes_of == {name: -(-counts[name] * bits // 8) + 9 * channels[name] for name in LAYERS}


def test_fewer_bits_are_farther_away_in_order(graph):
    samples = samples_of(graph, 50)["x0"]
    near = [noise_db(graph, quantise(graph, samples, weight_bits=dict.fromkeys(LAYERS, bits)), samples) for bits in (8, 4, 2)]
    assert near[0] > near[1] + 6 > near[2] + 9
    assert near[1] > 10


@pytest.mark.parametrize("limit", [7, 1])
def test_scales_have_the_least_squared_error_of_a_fine_search(limit):
    rows = np.random.default_rng(0).normal(size=(6, 40)) ** 3
    found = least_squares(rows, axis=0, limit=np.array(limit))
    peaks = np.abs(rows).max(axis=1)
    for row, scale, peak in zip(rows, found, peaks, strict=True):

        def error(s, row=row):
            return float(((row - np.clip(np.round(row / s), -limit, limit) * s) ** 2).sum())

        assert error(scale) <= 1.02 * min(error(s) for s in np.linspace(0.02, 1.2, 3000) * peak)


def test_three_levels_are_found_by_brute_force():
    row = np.array([[0.9, -0.8, 0.1, 0.05, -1.4]])
    best = np.inf
    for whole in itertools.product((-1, 0, 1), repeat=5):
        q = np.array(whole, float)
        if q.any():
            scale = float(row[0] @ q / (q @ q))
            best = min(best, float(((row[0] - scale * q) ** 2).sum()))
    (scale,) = least_squares(row, axis=0, limit=np.array(1))
    assert ((row - np.clip(np.round(row / scale), -1, 1) * scale) ** 2).sum() == pytest.approx(best)


def test_single_channels_may_have_fewer_bits(graph):
    samples = samples_of(graph, 50)["x0"]
    bits = (4, 8, 8, 2, 8, 8, 8, 4)
    for name, axis in (("conv2d0", 0), ("depthwise_conv2d1", 3)):
        whole = quantise(graph, samples, channel_bits={name: bits})
        rows = np.moveaxis(weights_of(whole, name), axis, 0).reshape(8, -1).astype(int)
        assert np.abs(rows).max(axis=1).tolist() == [{8: 127, 4: 7, 2: 1}[one] for one in bits]
        plain = quantise(graph, samples)
        before = np.moveaxis(weights_of(plain, name), axis, 0).reshape(8, -1)
        assert (rows[1] == before[1]).all()


@pytest.mark.parametrize("nodes", [["conv2d0"], ["depthwise_conv2d1", "add2"], ["conv2d0", "depthwise_conv2d1", "add2"]])
def test_nodes_may_work_on_int16(graph, nodes):
    samples = samples_of(graph, 50)["x0"]
    names = {node.name for node in graph.nodes}
    nodes = [name for name in nodes if name in names]
    whole = quantise(graph, samples, activation_bits=dict.fromkeys(nodes, 16))
    verify(whole, "integer")
    made = {node.name: whole.tensors[node.outputs[0]] for node in whole.nodes}
    assert {made[name].dtype for name in nodes} == {"int16"}
    assert {made[name].dtype for name in names - set(nodes)} == {"int8"}
    biases = {whole.tensors[n.inputs[2]].dtype for n in whole.nodes if n.name in nodes and RULES[type(n.op)].bias}
    assert biases <= {"int64"}
    assert any(isinstance(node.op, ops.Quantise) for node in whole.nodes)
    assert noise_db(graph, whole, samples) > 30


def test_int16_all_through_is_much_nearer(sketch):
    x = sketch.input(1, 8, 8, 3)
    y = sketch(CONV, x, sketch.normal(8, 3, 3, 3), sketch.normal(8))
    y = sketch(ops.MaxPool2D(kernel=(2, 2), stride=(2, 2)), y)
    y = sketch(ops.Reshape(shape=(1, 128)), y)
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(5, 128), sketch.normal(5)))
    samples = samples_of(graph, 50)["x0"]
    sixteen = {node.name: 16 for node in graph.nodes}
    near, nearer = (noise_db(graph, quantise(graph, samples, activation_bits=bits), samples) for bits in ({}, sixteen))
    whole = quantise(graph, samples, activation_bits=sixteen)
    assert whole.output_tensors[0].dtype == "int16"
    assert nearer > near + 1
    assert noise_db(graph, correct_bias(graph, whole, samples), samples) > near
    generate(whole, FAMILIES["portable"])


def test_random_graphs_in_random_precisions(tmp_path):
    random = np.random.default_rng(3)
    for seed in range(20):
        graph = fold(random_graph(seed))
        packable = {n.name: n.inputs[1] for n in graph.nodes if isinstance(n.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense)}
        wide = {n.name: 16 for n in graph.nodes if RULES[type(n.op)].int16 and random.random() < 0.4}
        bits = {name: int(random.choice([4, 2])) for name in packable if name not in wide and random.random() < 0.5}
        samples = samples_of(graph, 20)
        whole = quantise(graph, [samples], weight_bits=bits, activation_bits=wide)
        verify(whole, "integer")
        for name, width in bits.items():
            assert np.abs(weights_of(whole, name).astype(int)).max() <= {4: 7, 2: 1}[width]
        interpret(whole, {t.name: np.zeros(t.shape, t.dtype) for t in whole.input_tensors})


def test_a_recipe_says_the_bits(graph):
    samples = samples_of(graph, 20)["x0"]
    bits = {"weight_bits": {"conv2d0": 4}, "channel_bits": {"dense6": (8, 4, 8, 8, 2)}, "activation_bits": {"conv2d0": 8}}
    made = apply(graph, Recipe(decisions=(Fold(), Quantise(**bits))), Material(calibration=samples))
    assert digest(made) == digest(quantise(graph, samples, **bits))
    assert digest(made) != digest(quantise(graph, samples))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"weight_bits": {"conv2d9": 4}}, "conv2d9"),
        ({"activation_bits": {"conv": 16}}, "conv"),
        ({"weight_bits": {"add2": 4}}, "no kernel"),
        ({"channel_bits": {"add2": (4,)}}, "no weights"),
        ({"channel_bits": {"conv2d0": (4, 4)}}, "2 numbers of bits for 8 channels"),
        ({"weight_bits": {"conv2d0": 4}, "channel_bits": {"conv2d0": (8,) * 8}}, "a channel of 8 bits"),
        ({"weight_bits": {"conv2d0": 4}, "keep_float": ["conv2d0"]}, "stays float"),
        ({"activation_bits": {"conv2d0": 16}, "keep_float": ["conv2d0"]}, "stays float"),
        ({"weight_bits": {"conv2d0": 4}, "activation_bits": {"conv2d0": 16}}, "int16"),
        ({"activation_bits": {"mean5": 16}}, "no form on int16"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(graph, asked, said):
    with pytest.raises(UserError, match=said):
        quantise(graph, samples_of(graph, 5)["x0"], **asked)


def test_shared_weights_have_one_width(sketch):
    weights = sketch.normal(4, 4)
    a = sketch(ops.Dense(), sketch.input(1, 4), weights, "")
    b = sketch(ops.Dense(), a, sketch.nodes[0].inputs[1], "")
    graph = sketch.graph(b)
    samples = samples_of(graph, 20)["x0"]
    with pytest.raises(UserError, match="shares its weights"):
        quantise(graph, samples, weight_bits={"dense1": 4})
    whole = quantise(graph, samples, weight_bits={"dense0": 4, "dense1": 4})
    assert all(np.abs(value).max() == 7 for value in whole.constants.values())
