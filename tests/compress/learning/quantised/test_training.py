"""Training: validation judges the deployed integers, what is no better is not taken, equal arguments give equal bytes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.compress.learning.tasks import dense_net, material, preprocess, student, windows

from marram.compress import Material, apply, fine_tune, fold, quantise, train_quantised
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Quantisation
from marram.core.recipe import Distillation, Fold, Quantise, Recipe, TrainQuantised, Tuning
from marram.model.reference import interpret
from marram.model.spec import verify
from marram.model.training import ArrayExamples
from marram.sense import quantise as entered

DECISION = TrainQuantised(tuning=Tuning(epochs=3, batch_size=16, learning_rate=2e-3))
HOPELESS = TrainQuantised(tuning=Tuning(epochs=1, learning_rate=1e-9))
LEARNT = Tuning(epochs=6, batch_size=16, learning_rate=1e-2)


def calibration():
    return preprocess(next(iter(windows(40, 5).batches(40)))[0])


def deployed_accuracy(integer, examples):
    samples, targets = next(iter(examples.batches(len(examples))))
    codes = entered(preprocess(samples), integer.input_tensors[0].quantisation)
    (scores,) = interpret(integer, codes)
    return float((scores.reshape(len(targets), -1).argmax(axis=1) == targets).mean())


def layers(graph):
    return [node for node in graph.nodes if isinstance(node.op, ops.Conv2D | ops.Dense)]


@pytest.fixture(scope="module")
def exact():
    graph = student()
    return fold(fine_tune(graph, original=graph, tuning=LEARNT, material=material()))


@pytest.fixture(scope="module")
def pair(exact):
    """A net that knows its task, and what two bits leave of it."""
    return exact, quantise(exact, calibration(), weight_bits={node.name: 2 for node in layers(exact)})


def test_training_reaches_what_the_deployed_graph_reaches(pair):
    told = []
    given = material(progress=lambda what, _part: told.append(what))
    trained = train_quantised(*pair, original=pair[0], decision=DECISION, material=given)
    verify(trained, "integer")
    assert [node.name for node in trained.nodes] == [node.name for node in pair[1].nodes]
    validation = windows(60, 2)
    reached = deployed_accuracy(trained, validation)
    assert reached > deployed_accuracy(pair[1], validation)
    assert reached > 0.8
    metrics = [float(what.rsplit("accuracy ", 1)[1].rstrip(")")) for what in told if "accuracy" in what]
    assert max(metrics) == pytest.approx(reached, abs=1e-4)
    again = train_quantised(*pair, original=pair[0], decision=DECISION, material=material())
    assert digest(again) == digest(trained)


def test_scales_stay_unless_they_are_learnt(pair):
    fixed = msgspec.structs.replace(DECISION, learn_scales=False)
    trained = train_quantised(*pair, original=pair[0], decision=fixed, material=material())
    learnt = train_quantised(*pair, original=pair[0], decision=DECISION, material=material())
    for name, tensor in pair[1].tensors.items():
        assert trained.tensors[name].quantisation == tensor.quantisation
    assert any(learnt.tensors[name].quantisation != tensor.quantisation for name, tensor in pair[1].tensors.items())
    assert digest(trained.constants) != digest(pair[1].constants)


def test_what_no_epoch_beats_is_returned_as_it_came(pair):
    tuned = train_quantised(*pair, original=pair[0], decision=DECISION, material=material())
    assert train_quantised(pair[0], tuned, original=pair[0], decision=HOPELESS, material=material()) is tuned
    unjudged = train_quantised(pair[0], tuned, original=pair[0], decision=DECISION, material=material(validation=None))
    assert digest(unjudged) != digest(tuned)


def test_a_given_input_quantisation_stays(exact):
    given = Quantisation(scales=(0.03125,), zero_points=(3,))
    integer = quantise(exact, calibration(), input_quantisation=given)
    for told in (given, {integer.inputs[0]: given}):
        kept = material(input_quantisation=told, validation=None)
        trained = train_quantised(exact, integer, original=exact, decision=DECISION, material=kept)
        assert trained.input_tensors[0].quantisation == given
    free = train_quantised(exact, integer, original=exact, decision=DECISION, material=material(validation=None))
    assert free.input_tensors[0].quantisation != given


def test_a_final_softmax_learns_from_its_logits(sketch):
    graph = dense_net(sketch, softmax=2.0)
    exact = fold(fine_tune(graph, original=graph, tuning=LEARNT, material=material()))
    integer = quantise(exact, calibration(), weight_bits={node.name: 2 for node in layers(exact)})
    trained = train_quantised(exact, integer, original=exact, decision=DECISION, material=material())
    assert trained.nodes[-1].op == integer.nodes[-1].op
    assert deployed_accuracy(trained, windows(60, 2)) > deployed_accuracy(integer, windows(60, 2))


def test_a_teacher_is_asked(pair):
    teacher = student(seed=3, width=0.5)
    told = Distillation(teacher="given", weight=0.9)
    taught = msgspec.structs.replace(DECISION, distillation=told)
    with pytest.raises(UserError, match="none is given"):
        train_quantised(*pair, original=pair[0], decision=taught, material=material())
    made = [
        train_quantised(
            *pair,
            original=pair[0],
            decision=msgspec.structs.replace(DECISION, distillation=asked),
            material=material(teacher=teacher, validation=None),
        )
        for asked in (None, told, msgspec.structs.replace(told, features=0.5))
    ]
    assert len({digest(graph) for graph in made}) == 3


def test_reconstruction_is_judged_by_its_error(sketch):
    x = sketch.input(1, 20)
    y = sketch(ops.Dense(), x, sketch.normal(4, 20) / 4, sketch.normal(4))
    exact = sketch.graph(sketch(ops.Dense(), y, sketch.normal(20, 4) / 2, sketch.normal(20)))
    random = np.random.default_rng(0)
    samples = (random.standard_normal((120, 3)) @ random.standard_normal((3, 20))).astype(np.float32)
    integer = quantise(exact, samples[:40])
    given = Material(
        calibration=samples[:40], training=ArrayExamples(samples[:80]), validation=ArrayExamples(samples[80:]), classes=False
    )
    decision = TrainQuantised(tuning=Tuning(epochs=4, batch_size=8, learning_rate=1e-2))
    trained = train_quantised(exact, integer, original=exact, decision=decision, material=given)

    def error(graph):
        source, target = graph.input_tensors[0].quantisation, graph.output_tensors[0].quantisation
        (codes,) = interpret(graph, entered(samples[80:], source))
        return float((((codes.astype(float) - target.zero_point) * target.scale - samples[80:]) ** 2).mean())

    assert error(trained) < error(integer)


def test_a_recipe_trains_through_the_roundings_of_few_bits(exact):
    few = {node.name: 4 for node in layers(exact)}
    recipe = Recipe(decisions=(Fold(), Quantise(weight_bits=few), DECISION))
    given = msgspec.structs.replace(material(validation=None), calibration=calibration())
    whole = apply(exact, recipe, given)
    assert digest(whole) != digest(apply(exact, Recipe(decisions=recipe.decisions[:2]), given))
    assert max(int(np.abs(whole.constants[node.inputs[1]]).max()) for node in layers(whole)) == 7
    with pytest.raises(UserError, match="no training examples"):
        apply(exact, recipe, Material(calibration=calibration()))
