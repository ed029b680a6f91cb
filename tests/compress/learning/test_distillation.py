"""Distillation: losses against numpy, teachers of any kind, and teachers that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.compress.learning.tasks import accuracy, dense_net, material, net, preprocess, student, windows
from torch import nn

from marram.compress import apply, fine_tune, pairs_of
from marram.compress.learning.distillation import Lesson, distilled_loss
from marram.compress.learning.features import attention_loss, feature_loss
from marram.compress.learning.fine_tuning import training_settings
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Distillation, FineTune, Recipe, Tuning
from marram.model.reference import interpret
from marram.model.torch_graph import TorchGraph
from marram.model.training import ArrayExamples

TUNING = Tuning(epochs=2, batch_size=16, learning_rate=5e-3)


def softmax(logits):
    values = np.exp(logits - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def divergence(teacher, given, temperature):
    p, q = softmax(teacher.astype(np.float64) / temperature), softmax(given.astype(np.float64) / temperature)
    return temperature**2 * float((p * (np.log(p) - np.log(q))).sum(axis=1).mean())


def cross_entropy(logits, targets, smoothing=0.0):
    logs = np.log(softmax(logits.astype(np.float64)))
    hit = logs[np.arange(len(targets)), targets]
    return float(-((1 - smoothing) * hit + smoothing * logs.mean(axis=1)).mean())


def loss_of(graph, teacher, distillation, *, classes=True, tuning=TUNING, batch=None):
    """The objective's loss of one batch with the student as it is, and the batch."""
    lesson = Lesson(graph, teacher, distillation, training_settings(tuning, classes=classes))
    model = lesson.student(TorchGraph(graph, after_node=lesson.after_node)).eval()
    ((samples, targets),) = windows(12, 7).batches(12)
    given = preprocess(samples) if batch is None else batch
    loss = lesson.objective(model, torch.from_numpy(given), torch.from_numpy(given), targets)
    return loss.detach(), model, given, targets


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_numpys(temperature):
    random = np.random.default_rng(0)
    given, teacher = (random.normal(size=(9, 5), scale=3).astype(np.float32) for _ in range(2))
    loss = distilled_loss(torch.from_numpy(given), torch.from_numpy(teacher), temperature=temperature)
    np.testing.assert_allclose(float(loss), divergence(teacher, given, temperature), rtol=1e-5)
    assert float(distilled_loss(torch.from_numpy(given), torch.from_numpy(given), temperature=temperature)) < 1e-5


@pytest.mark.parametrize("softmax_beta", [None, 0.5])
def test_the_objective_is_numpys(sketch, softmax_beta):
    graph, teacher = student(), dense_net(sketch, softmax=softmax_beta)
    asked = Distillation(weight=0.3, temperature=2.0)
    tuning = Tuning(label_smoothing=0.1)
    loss, _, batch, targets = loss_of(graph, teacher, asked, tuning=tuning)
    (given,) = interpret(graph, batch)
    (taught,) = interpret(teacher, batch)
    logits = taught if softmax_beta is None else np.log(taught)  # equal up to a shift, which a softmax takes away
    wanted = 0.7 * cross_entropy(given, targets, 0.1) + 0.3 * divergence(logits, given, 2.0)
    np.testing.assert_allclose(float(loss), wanted, rtol=1e-4)


def test_reconstruction_learns_the_teachers_output(sketch):
    x = sketch.input(1, 4)
    graph = sketch.graph(sketch(ops.Dense(), x, sketch.normal(4, 4), ""))
    other = type(sketch)(1)
    teacher = other.graph(other(ops.Dense(), other.input(1, 4), other.normal(4, 4), ""))
    batch = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    loss, *_ = loss_of(graph, teacher, Distillation(weight=0.4), classes=False, batch=batch)
    (given,), (taught,) = interpret(graph, batch), interpret(teacher, batch)
    wanted = 0.6 * ((given - batch) ** 2).mean() + 0.4 * ((given - taught) ** 2).mean()
    np.testing.assert_allclose(float(loss), wanted, rtol=1e-5)


def test_features_are_numpys():
    random = np.random.default_rng(0)
    mine, theirs = random.normal(size=(3, 4, 6, 5)), random.normal(size=(3, 2, 6, 5))
    pooled = mine.reshape(3, 2, 2, 6, 5).mean(axis=2)
    for a, b in ((mine, theirs), (theirs, mine)):
        loss = feature_loss(torch.from_numpy(a), torch.from_numpy(b))
        np.testing.assert_allclose(float(loss), ((pooled - theirs) ** 2).mean(), rtol=1e-6)
    vectors = [random.normal(size=(3, 5)) for _ in range(2)]
    np.testing.assert_allclose(
        float(feature_loss(*map(torch.from_numpy, vectors))), ((vectors[0] - vectors[1]) ** 2).mean(), rtol=1e-6
    )


def test_attention_is_numpys():
    random = np.random.default_rng(0)
    mine, theirs = random.normal(size=(3, 4, 6, 5)), random.normal(size=(3, 2, 3, 7))
    maps = [(mine**2).sum(axis=3).reshape(3, 2, 2, 3, 2).mean(axis=(2, 4)), (theirs**2).sum(axis=3)]
    flat = [one.reshape(3, 6) / np.linalg.norm(one.reshape(3, 6), axis=1, keepdims=True) for one in maps]
    wanted = ((flat[0] - flat[1]) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(float(attention_loss(torch.from_numpy(mine), torch.from_numpy(theirs))), wanted, rtol=1e-6)


@pytest.mark.parametrize("compare", ["features", "attention"])
def test_pairs_enter_the_loss(compare):
    """With one pair of tensors named; features of other widths go through the projection."""
    graph, teacher = student(), student(width=0.5, seed=1)
    (mine, theirs) = list(pairs_of(graph, teacher).items())[-1]
    asked = Distillation(weight=0.5, features=2.0, pairs={mine: theirs}, compare=compare)
    large = np.random.default_rng(0).normal(size=(12, 16, 3), scale=300).astype(np.float32)  # nets so fresh damp their inputs
    loss, model, batch, _ = loss_of(graph, teacher, asked, batch=large)
    bare, *_ = loss_of(graph, teacher, Distillation(weight=0.5), batch=large)
    values = [np.asarray(value_of(*pair, batch), np.float64) for pair in ((graph, mine), (teacher, theirs))]
    if compare == "features":
        (projection,) = model.projections.projections
        values[0] = values[0] @ projection.weight.detach().numpy().T.astype(np.float64)
        extra = ((values[0] - values[1]) ** 2).mean()
    else:
        maps = [(value**2).sum(axis=-1).reshape(len(batch), -1) for value in values]
        maps = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in maps]
        extra = ((maps[0] - maps[1]) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(float(loss - bare), 2.0 * extra, rtol=1e-3)


def value_of(graph, name, batch):
    """A computed tensor for a batch, by the reference."""
    import msgspec

    return interpret(msgspec.structs.replace(graph, outputs=(name,)), batch)[0]


def test_default_pairs_are_the_ends_of_stages():
    graph, teacher = student(), student(width=0.5)
    pairs = pairs_of(graph, teacher)
    assert pairs == {name: name for name in pairs}  # one importer names both alike
    sizes = [graph.tensors[name].shape[1:-1] for name in pairs]
    assert sizes == [(1, 8), (1, 4), (1, 2)]
    assert all(isinstance(node.op, ops.Relu) for node in graph.nodes if node.outputs[0] in pairs)


@pytest.mark.parametrize("compare", ["features", "attention"])
def test_a_student_learns_with_features_and_projections_are_thrown_away(compare):
    graph, teacher = student(), student(width=0.5, seed=1)
    asked = Distillation(teacher="given", features=0.5, compare=compare)
    given = material(teacher=teacher)
    tuned = fine_tune(graph, original=graph, tuning=TUNING, distillation=asked, material=given)
    assert list(tuned.constants) == list(graph.constants)
    assert digest(tuned) == digest(fine_tune(graph, original=graph, tuning=TUNING, distillation=asked, material=given))
    without = fine_tune(graph, original=graph, tuning=TUNING, distillation=Distillation(teacher="given"), material=given)
    assert digest(tuned) != digest(without)


def test_a_student_follows_its_teacher_where_targets_say_nothing():
    teacher = fine_tune(
        student(), original=student(), tuning=Tuning(epochs=15, batch_size=16, learning_rate=1e-2), material=material()
    )
    ((samples, _),) = windows(97, 1).batches(97)
    noise = ArrayExamples(samples, np.random.default_rng(0).integers(0, 3, 97))
    asked = Distillation(weight=1.0)
    graph = student(seed=1)
    tuning = Tuning(epochs=15, batch_size=16, learning_rate=1e-2)
    given = material(training=noise, validation=None)
    tuned = fine_tune(graph, original=teacher, tuning=tuning, distillation=asked, material=given)
    assert accuracy(tuned, windows(60, 3)) > 0.85
    assert accuracy(fine_tune(graph, original=graph, tuning=tuning, material=given), windows(60, 3)) < 0.7


def test_any_module_teaches_and_stays_as_it_was():
    graph, teacher = student(), net(seed=3, width=0.5)
    teacher.train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    asked = Distillation(teacher="given")
    decision = FineTune(tuning=TUNING, distillation=asked)
    tuned = apply(graph, Recipe(decisions=(decision,)), material(teacher=teacher))
    assert teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    from tests.compress.learning.tasks import graph_of

    as_graph = apply(graph, Recipe(decisions=(decision,)), material(teacher=graph_of(teacher)))
    shared = [np.abs(tuned.constants[name] - as_graph.constants[name]).max() for name in tuned.constants]
    assert max(shared) < 1e-3


def test_teachers_that_do_not_fit_are_refused_before_training(sketch):
    graph = student()
    started = []
    asked = Distillation(teacher="given")

    def refused(teacher, asked=asked):
        given = material(teacher=teacher, progress=lambda what, _part: started.append(what))
        with pytest.raises(UserError) as caught:
            fine_tune(graph, original=graph, tuning=TUNING, distillation=asked, material=given)
        return str(caught.value)

    for teacher in (student(classes=5), net(classes=5)):
        assert "teacher has 5 classes, the student 3" in refused(teacher)
    assert "teacher takes inputs of (20, 3), the student of (16, 3)" in refused(student(shape=(20, 3)))
    assert "does not take the student's input (1, 16, 3)" in refused(nn.Linear(7, 3))
    assert "gives a tuple" in refused(Twice())
    assert "none is given" in refused(None)
    with_features = Distillation(teacher="given", features=1.0)
    assert "the teacher is a torch module" in refused(net(), with_features)
    assert "no stage of one spatial size" in refused(dense_net(sketch), with_features)
    relu = next(node.outputs[0] for node in graph.nodes if isinstance(node.op, ops.Relu))
    named = Distillation(teacher="given", features=1.0, pairs={relu + "x": relu})
    assert f"Did you mean {relu}" in refused(student(), named)
    vector = Distillation(teacher="given", features=1.0, pairs={graph.outputs[0]: graph.outputs[0]})
    assert "no places to attend to" in refused(student(), vector)
    assert "temperature must be above 0" in refused(student(), Distillation(teacher="given", temperature=0.0))
    assert not started


class Twice(nn.Module):
    def forward(self, x):
        return x, x
