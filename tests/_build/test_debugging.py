"""Debugging a quantisation: planted damage is named, its repair is tried, the worst samples are the right ones."""

from __future__ import annotations

import html
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.compress.conftest import Sketch, samples_of
from tests.compress.integers.test_next_steps import chain, headed

import marram
from marram.compress import quantise
from marram.compress.integers.grid import to_reals
from marram.core.errors import DataError, UserError
from marram.model import interpret, save


@pytest.fixture(scope="module")
def planted():
    """A graph in which one channel of its second layer reaches 1000 times as far as the others."""
    sketch = Sketch()
    graph = headed(sketch, chain(sketch, 4))
    first, second = graph.nodes[1], graph.nodes[2]
    constants = {name: values.copy() for name, values in graph.constants.items()}
    constants[first.inputs[1]][0] *= 1000
    constants[first.inputs[2]][0] *= 1000
    constants[second.inputs[1]][..., 0] /= 1000
    return msgspec.structs.replace(graph, constants=constants)


@pytest.fixture(scope="module")
def files(planted, tmp_path_factory):
    """The model as a file, and samples with the classes that it gives them."""
    folder = tmp_path_factory.mktemp("debugged")
    samples = samples_of(planted, 300)["x0"]
    targets = interpret(planted, samples)[0].argmax(axis=1)
    np.savez(folder / "samples.npz", x=samples, y=targets)
    np.savez(folder / "unlabelled.npz", x=samples)
    return save(planted, folder / "planted.onnx"), folder / "samples.npz", folder / "unlabelled.npz"


@pytest.fixture(scope="module")
def report(files, tmp_path_factory):
    model, data, _ = files
    return marram.debug_quantisation(model, data=data, out=tmp_path_factory.mktemp("pages") / "page.html")


def test_the_cause_is_named_and_its_repair_tried(report, planted):
    assert report.samples == 150
    assert report.symptom.accuracy_before == 1.0
    assert report.symptom.accuracy_after == 1.0 - report.symptom.flips < 0.99
    assert report.findings[0].rule == "unequal_channels"
    assert len(report.layers) == len(planted.nodes)
    (tried,) = (one for one in report.tried if one.rule == "unequal_channels")
    assert tried.changes == ("+ equalise(rounds=20)",)
    assert tried.symptom.closeness_db > report.symptom.closeness_db + 5
    assert tried.symptom.flips < report.symptom.flips


def test_the_worst_samples_are_those_that_flipped(report, files, planted):
    samples = np.load(files[1])["x"]
    integer = quantise(planted, samples[::2])
    (before,) = interpret(planted, samples[1::2])
    (raw,) = interpret(integer, _entered(integer, samples[1::2]))
    after = to_reals(raw, integer.output_tensors[0].quantisation)
    flipped = before.argmax(axis=1) != after.argmax(axis=1)
    assert report.symptom.flips == pytest.approx(flipped.mean())
    shown = [one for one in report.worst if one.flipped]
    assert {one.index for one in shown} <= set(np.flatnonzero(flipped).tolist())
    assert len(shown) == min(10, flipped.sum())
    for one in report.worst:
        assert one.origin == f"x[{2 * one.index + 1}]"
        assert (one.before, one.after) == (str(before[one.index].argmax()), str(after[one.index].argmax()))
        assert one.target == one.before
        assert one.moved == pytest.approx(np.abs(after[one.index] - before[one.index]).max(), rel=1e-4)
    moves = [one.moved for one in shown]
    assert moves == sorted(moves, reverse=True)


def _entered(integer, samples):
    quantisation = integer.input_tensors[0].quantisation
    return np.clip(np.round(samples / quantisation.scale) + quantisation.zero_point, -128, 127).astype(np.int8)


def test_the_page_holds_everything_itself(report, files):
    page = Path(report.page).read_text()
    assert "<svg" in page
    assert "<script" not in page
    assert set(re.findall(r"https?://[^/\"]*", page)) <= {"http://www.w3.org", "http://purl.org", "http://creativecommons.org"}
    for one in report.layers:
        assert one.node in page
    assert report.findings[0].step in html.unescape(page)
    again = marram.debug_quantisation(files[0], data=files[1], out=report.page)
    assert again == report
    assert Path(report.page).read_text() == page


def test_without_classes_and_without_tries(files, tmp_path):
    model, _, unlabelled = files
    found = marram.debug_quantisation(model, data=unlabelled, out=tmp_path / "page.html", try_steps=False)
    assert found.symptom.accuracy_before is None
    assert found.symptom.flips is not None
    assert {one.target for one in found.worst} == {None}
    assert {one.reason for one in found.tried} == {"not tried, as asked"}


def test_what_cannot_be_debugged(files, planted, tmp_path):
    model, data, _ = files
    with pytest.raises(UserError, match="needs samples"):
        marram.debug_quantisation(model)
    whole = save(quantise(planted, np.load(data)["x"]), tmp_path / "whole.tflite")
    with pytest.raises(UserError, match="holds integers already"):
        marram.debug_quantisation(whole, data=data)
    with pytest.raises(UserError, match="goes with a model file"):
        marram.debug_quantisation(tmp_path, data=data)
    with pytest.raises(UserError, match="there is no such file"):
        marram.debug_quantisation(model, data=tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"z": np.zeros((4, 8, 8, 3))}, "no array x"),
        ({"x": np.zeros((4, 8, 3))}, r"x has shape \(4, 8, 3\)"),
        ({"x": np.zeros((1, 8, 8, 3))}, "at least 2"),
        ({"x": np.full((4, 8, 8, 3), np.nan)}, "NaN"),
        ({"x": np.zeros((4, 8, 8, 3)), "y": np.array([0, 1, 2, 5])}, "0 to 4"),
        ({"x": np.zeros((4, 8, 8, 3)), "y": np.array([0, 1, 2])}, "4 class indices"),
    ],
)
def test_samples_that_do_not_fit(files, tmp_path, arrays, said):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=said):
        marram.debug_quantisation(files[0], data=tmp_path / "bad.npz", out=tmp_path / "page.html")
