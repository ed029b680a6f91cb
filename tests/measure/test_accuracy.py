"""Answers to a whole dataset, and the figures drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import DataError, UserError
from marram.core.graph import Tensor
from marram.data.dataset import ArraySamples, Dataset
from marram.measure.accuracy import Accuracy, accuracy_figures, answers, graph_predictor, session_predictor
from marram.runtime.backends import runner


def accuracy(targets, predictions, labels=("a", "b", "c"), samples="sha256:00"):
    targets, predictions = np.asarray(targets, np.int64), np.asarray(predictions, np.int64)
    confidences = np.full(len(targets), 0.9, np.float32)
    return Accuracy(labels=labels, samples_digest=samples, targets=targets, predictions=predictions, confidences=confidences)


def by_name(figures):
    return {figure.name: figure for figure in figures}


def test_session_and_reference_give_the_same_answers(program, graph, dataset):
    session = runner("onnxruntime").open(program)
    seen = []
    by_session = answers(dataset, session_predictor(session, program, None), progress=lambda what, part: seen.append(part))
    by_graph = answers(dataset, graph_predictor(graph, None))
    np.testing.assert_array_equal(by_session.predictions, by_graph.predictions)
    assert by_session.samples_digest == by_graph.samples_digest
    assert by_session.value == pytest.approx(0.9)
    assert seen[-1] == 1.0
    confusion = np.zeros((3, 3), int)
    for target, answer in zip(by_session.targets, by_session.predictions, strict=True):
        confusion[target, answer] += 1
    np.testing.assert_array_equal(by_session.confusion, confusion)


def test_samples_without_a_label_are_not_counted(graph, dataset):
    targets = dataset.targets.copy()
    targets[:30] = -1
    partly = Dataset(dataset.samples, targets=targets, labels=dataset.labels)
    assert len(answers(partly, graph_predictor(graph, None)).targets) == 90
    unlabelled = Dataset(dataset.samples, targets=np.full(120, -1), labels=dataset.labels)
    with pytest.raises(DataError, match="no sample has a label"):
        answers(unlabelled, graph_predictor(graph, None))
    with pytest.raises(DataError, match="no classes"):
        answers(Dataset(dataset.samples, targets=np.full(120, -1), labels=()), graph_predictor(graph, None))


def test_a_model_that_does_not_fit_the_classes(graph, dataset):
    more = Dataset(dataset.samples, targets=dataset.targets, labels=("a", "b", "c", "d"))
    with pytest.raises(UserError, match="4 classes"):
        answers(more, graph_predictor(graph, None))
    with pytest.raises(UserError, match="NaN"):
        answers(dataset, lambda samples: np.full((len(samples), 3), np.nan, np.float32))


def test_a_model_of_two_inputs_is_not_fed_by_a_dataset(program, graph):
    from msgspec.structs import replace

    two = replace(program, inputs=(Tensor(name="a", shape=(1, 2)), Tensor(name="b", shape=(1, 2))))
    with pytest.raises(UserError, match="2 inputs"):
        session_predictor(None, two, None)
    with pytest.raises(UserError, match="2 inputs"):
        graph_predictor(replace(graph, inputs=("x", "w")), None)


def test_figures_by_hand():
    base = accuracy([0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1, 1, 2, 2, 0])
    ours = accuracy([0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 2, 1, 2, 1])
    found = by_name(accuracy_figures(ours, baseline=base))
    assert found["accuracy"].value == 0.7
    assert found["accuracy"].low < 0.7 < found["accuracy"].high
    assert found["worst_class_accuracy"].value == 0.5
    assert "c" in found["worst_class_accuracy"].method
    assert found["accuracy_drop"].value == pytest.approx(0.1)
    assert found["accuracy_drop"].low < 0.1 < found["accuracy_drop"].high
    assert found["flip_rate"].value == 0.4
    assert found["worst_class_drop"].value == 0.25
    assert found["mcnemar_p"].value == 1.0  # two against one of three pairs
    assert found["mcnemar_p"].samples == 3
    assert found["calibration_error"].value == pytest.approx(0.2)
    assert all(figure.deterministic for figure in found.values())


def test_an_equal_model_has_no_drop_and_still_some_doubt():
    base = accuracy([0, 1, 2] * 100, [0, 1, 2] * 100)
    found = by_name(accuracy_figures(base, baseline=base))
    assert found["accuracy_drop"].value == found["flip_rate"].value == found["flip_rate"].low == 0.0
    assert 0.005 < found["accuracy_drop"].high < 0.01
    assert found["accuracy"].high == 1.0


def test_a_class_without_samples_is_not_the_worst():
    found = by_name(accuracy_figures(accuracy([0, 0, 1, 1], [0, 0, 1, 0])))
    assert found["worst_class_accuracy"].value == 0.5
    assert "b" in found["worst_class_accuracy"].method


def test_scores_that_are_no_probabilities_have_no_calibration():
    from msgspec.structs import replace

    logits = replace(accuracy([0, 1], [0, 1]), confidences=np.array([7.0, 3.0], np.float32))
    figure = by_name(accuracy_figures(logits))["calibration_error"]
    assert figure.value is None
    assert figure.reason


def test_answers_to_other_samples_are_not_paired(dataset, graph):
    base = answers(dataset, graph_predictor(graph, None))
    reordered = answers(dataset.subset(np.arange(120)[::-1]), graph_predictor(graph, None))
    with pytest.raises(UserError, match="other samples"):
        accuracy_figures(reordered, baseline=base)
    other = Dataset(ArraySamples(np.ones((120, 4), np.float32)), targets=dataset.targets, labels=dataset.labels)
    with pytest.raises(UserError, match="other samples"):
        accuracy_figures(answers(other, graph_predictor(graph, None)), baseline=base)
