"""The whole of it: a Program and a dataset in, Evidence out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from msgspec.structs import replace

from marram.core.codec import decode, digest, encode
from marram.core.evidence import Evidence
from marram.data.dataset import Dataset
from marram.measure import answers, graph_predictor, run, take
from marram.runtime.backends import runner

ORT = runner("onnxruntime")
PROBE = (sys.executable, "-m", "marram.runtime.probe")


def test_everything_is_measured(program, graph, dataset):
    baseline = answers(dataset, graph_predictor(graph, None))
    seen = set()
    evidence = run(
        program, ORT, dataset, graph=graph, baseline=baseline, probe=PROBE, calls=40, progress=lambda what, part: seen.add(what)
    )
    assert evidence.program_digest == digest(program)
    assert evidence.data_digest == dataset.digest
    names = {figure.name for figure in evidence.figures}
    assert names >= {"accuracy", "accuracy_drop", "flip_rate", "size_bytes", "latency_p90_us", "peak_memory_bytes"}
    assert all(figure.value is not None for figure in evidence.figures if figure.name != "calibration_error")
    assert evidence.figure("accuracy").value == pytest.approx(0.9)
    assert evidence.figure("size_bytes").value == len(program.blob)
    assert evidence.parity[0].vectors == 120
    assert np.array(evidence.confusion).sum() == 120
    assert evidence.marks == ()
    assert seen == {"accuracy", "latency"}
    assert decode(encode(evidence), Evidence) == evidence


def test_what_is_deterministic_comes_out_twice(program, graph, dataset):
    def lasting():
        evidence = run(program, ORT, dataset, graph=graph, calls=30, parity_vectors=50, seed=4)
        return [figure for figure in evidence.figures if figure.deterministic], evidence.parity

    assert lasting() == lasting()


def test_another_device_s_times_are_not_ours(program, dataset):
    measured = take(program, ORT, dataset, here=False, probe=PROBE)
    for name in ("latency_p50_us", "latency_p90_us", "peak_memory_bytes"):
        figure = measured.evidence.figure(name)
        assert figure.value is None
        assert "not this machine" in figure.reason
    assert measured.latency is None
    assert measured.evidence.figure("accuracy").value is not None
    assert any("not on the device" in mark for mark in measured.evidence.marks)


def test_marks_of_an_opaque_model(program, dataset):
    opaque = replace(program, graph_digest=None, quantised_by="onnxruntime")
    marks = run(opaque, ORT, dataset, calls=30).marks
    assert any("outside the Graph" in mark for mark in marks)
    assert any("quantised by onnxruntime" in mark for mark in marks)


def test_data_without_classes(program, graph, dataset):
    plain = Dataset(dataset.samples, targets=np.full(120, -1), labels=())
    evidence = run(program, ORT, plain, graph=graph, calls=30)
    assert evidence.figure("accuracy").value is None
    assert evidence.figure("accuracy").reason
    assert evidence.confusion is None
    assert evidence.parity[0].metric_change is None
