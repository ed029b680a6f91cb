"""Fine-tuning: it learns, is a function of its arguments, keeps what is frozen byte for byte, and tells mistakes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.compress.learning.tasks import accuracy, dense_net, material, student, windows

from marram.compress import apply, fine_tune, fold
from marram.compress.learning.fine_tuning import training_settings
from marram.compress.learning.logits import training_form
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import DataError, UserError
from marram.core.recipe import FineTune, Recipe, Tuning
from marram.model.reference import interpret
from marram.model.training import ArrayExamples, TrainingSettings

TUNING = Tuning(epochs=15, batch_size=16, learning_rate=1e-2)
SHORT = Tuning(epochs=2, batch_size=16, learning_rate=5e-3, augmentation="window_jitter")


def tune(graph, tuning=TUNING, **options):
    given = {"material": material()} | options
    return fine_tune(graph, original=graph, tuning=tuning, **given)


def same_constants(a, b):
    return {name for name in a.constants if np.array_equal(a.constants[name], b.constants[name])}


def constants_of(graph, *nodes):
    read = {name for node in graph.nodes if node.name in nodes for name in node.inputs}
    return read & set(graph.constants)


@pytest.mark.parametrize("folded", [False, True])
def test_it_learns(folded):
    graph = fold(student()) if folded else student()
    tuned = tune(graph)
    assert accuracy(tuned, windows(60, 3)) > accuracy(graph, windows(60, 3)) + 0.3
    assert accuracy(tuned, windows(60, 3)) > 0.85
    assert (tuned.nodes, tuned.inputs, tuned.outputs, list(tuned.constants)) == (
        graph.nodes,
        graph.inputs,
        graph.outputs,
        list(graph.constants),
    )


def test_equal_arguments_give_equal_graphs_and_the_given_one_stays(sketch):
    graph = dense_net(sketch)
    before = digest(graph)
    assert digest(tune(graph, SHORT)) == digest(tune(graph, SHORT))
    assert digest(graph) == before
    assert digest(tune(graph, msgspec.structs.replace(SHORT, seed=1))) != digest(tune(graph, SHORT))


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_the_loss_gets_logits_and_the_softmax_stays(sketch, samples_of, beta):
    """With a beta of 1 weights are trained as in the net without a softmax; the form scores beta times the logits."""
    graph = dense_net(sketch, softmax=beta)
    form = training_form(graph, classes=True)
    samples = samples_of(graph)
    (scores,), (logits,) = interpret(graph, samples), interpret(form, samples)
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponential / exponential.sum(axis=1, keepdims=True), scores, atol=1e-6)
    tuned = tune(graph)
    assert tuned.nodes == graph.nodes
    np.testing.assert_allclose(interpret(tuned, samples)[0].sum(axis=1), 1, rtol=1e-5)
    assert accuracy(tuned, windows(60, 3)) > 0.85
    if beta == 1.0:
        bare = tune(dense_net(type(sketch)()))
        assert len(same_constants(bare, tuned)) == len(bare.constants)


def test_scores_over_single_places_are_logits_too(sketch, samples_of):
    x = sketch.input(1, 1, 1, 4)
    graph = sketch.graph(sketch(ops.Conv2D(), x, sketch.normal(3, 1, 1, 4), ""))
    form = training_form(graph, classes=True)
    assert form.output_tensors[0].shape == (1, 3)
    assert np.array_equal(interpret(form, samples_of(graph))[0], interpret(graph, samples_of(graph))[0].reshape(-1, 3))
    wide = sketch.graph(sketch(ops.Relu(), x))
    assert training_form(wide, classes=False) == wide
    with pytest.raises(UserError, match="not one vector of class scores"):
        training_form(student_of_places(type(sketch)()), classes=True)


def student_of_places(sketch):
    x = sketch.input(1, 4, 4, 2)
    return sketch.graph(sketch(ops.Softmax(), x))


def test_frozen_nodes_keep_their_bytes(sketch):
    graph = dense_net(sketch)
    dense, norm, last = (node.name for node in graph.nodes if isinstance(node.op, ops.Dense | ops.BatchNorm))
    tuned = tune(graph, frozen=(dense, norm))
    assert same_constants(graph, tuned) == constants_of(graph, dense, norm)
    assert not same_constants(graph, tune(graph, SHORT)) & constants_of(graph, norm)  # statistics too, where it is not frozen
    only_dense = tune(graph, SHORT, frozen=(dense,))
    assert same_constants(graph, only_dense) == constants_of(graph, dense)
    assert same_constants(graph, tune(graph, SHORT, frozen=(last,))) == constants_of(graph, last)


def test_a_frozen_norm_uses_its_statistics(sketch):
    """What is trained behind a frozen norm sees the same values as outside training: the rate 0 changes nothing but norms."""
    graph = dense_net(sketch)
    dense, norm = (node.name for node in graph.nodes[1:3])
    still = Tuning(epochs=1, batch_size=97, learning_rate=1e-12, weight_decay=0.0)
    told = []
    tune(graph, still, frozen=(dense, norm), material=material(progress=lambda what, _part: told.append(what)))
    ((samples, targets),) = windows(97, 1).batches(97)
    (logits,) = interpret(graph, samples.astype(np.float32) / 1000)
    exact = -np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(97), targets].mean()
    assert f"loss {exact:.4f}" in told[-1]
    tune(graph, still, frozen=(dense,), material=material(progress=lambda what, _part: told.append(what)))
    assert f"loss {exact:.4f}" not in told[-1]


def test_frozen_nodes_thaw(sketch):
    graph = dense_net(sketch)
    dense, norm = (node.name for node in graph.nodes[1:3])
    parts = []
    told = material(validation=None, progress=lambda what, part: parts.append(part))
    thawed = tune(graph, TUNING, frozen=(dense, norm), thaw_epoch=3, material=told)
    assert not same_constants(graph, thawed)
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert digest(thawed) == digest(tune(graph, TUNING, frozen=(dense, norm), thaw_epoch=3, material=told))
    whole = tune(graph, TUNING, frozen=(dense, norm), material=told)
    assert digest(tune(graph, TUNING, frozen=(dense, norm), thaw_epoch=15, material=told)) == digest(whole)
    free = tune(graph, TUNING, material=told)
    assert digest(tune(graph, TUNING, frozen=(dense, norm), thaw_epoch=0, material=told)) == digest(free)


def test_the_best_epoch_of_both_trainings_is_kept(sketch):
    """The second training cannot spoil what the first has reached."""
    graph = dense_net(sketch)
    wild = Tuning(epochs=8, batch_size=16, learning_rate=5e-3)
    held = tune(graph, msgspec.structs.replace(wild, epochs=6), frozen=(graph.nodes[1].name,))
    both = tune(graph, wild, frozen=(graph.nodes[1].name,), thaw_epoch=6)
    assert accuracy(both, windows(60, 2)) >= accuracy(held, windows(60, 2))


def test_reconstruction(sketch):
    random = np.random.default_rng(0)
    samples = (random.standard_normal((64, 3)) @ random.standard_normal((3, 12))).astype(np.float32)
    x = sketch.input(1, 12)
    y = sketch(ops.Dense(), x, sketch.normal(4, 12) / 4, np.zeros(4))
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(12, 4) / 4, np.zeros(12)))
    examples = ArrayExamples(samples)
    given = material(training=examples, validation=examples, preprocess=None, classes=False)
    tuned = tune(graph, Tuning(epochs=60, batch_size=16, learning_rate=1e-2), material=given)
    errors = [float(((interpret(one, samples)[0] - samples) ** 2).mean()) for one in (graph, tuned)]
    assert errors[1] < 0.1 * errors[0]


def test_settings_are_the_tunings():
    settings = training_settings(SHORT, classes=False)
    assert settings == TrainingSettings(
        task="reconstruction",
        epochs=2,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-4,
        augmentation="window_jitter",
    )


def test_a_recipe_replays_it(sketch):
    graph = dense_net(sketch)
    decision = FineTune(tuning=SHORT, frozen=(graph.nodes[1].name,), thaw_epoch=1)
    made = apply(graph, Recipe(decisions=(decision,)), material())
    assert digest(made) == digest(tune(graph, SHORT, frozen=(graph.nodes[1].name,), thaw_epoch=1))


def test_mistakes_are_told(sketch):
    graph = dense_net(sketch)
    names = [node.name for node in graph.nodes]
    with pytest.raises(UserError, match=f"'batch_norn2' to freeze\n.*{names[2]}"):
        tune(graph, frozen=("batch_norn2",))
    with pytest.raises(UserError, match="no weights to train"):
        tune(graph, frozen=tuple(names))
    with pytest.raises(UserError, match="thaw_epoch is -1"):
        tune(graph, frozen=(names[1],), thaw_epoch=-1)
    with pytest.raises(UserError, match="no training examples"):
        tune(graph, material=material(training=None))
    with pytest.raises(DataError, match="the model has 3 classes"):
        tune(graph, material=material(training=windows(40, 1, speeds=(0.1, 0.3, 0.8, 1.5))))
    with pytest.raises(UserError, match="2 outputs"):
        tune(msgspec.structs.replace(graph, outputs=(*graph.outputs, graph.nodes[1].outputs[0])))
