"""The engine serves only what answers as it did where it was built, and says clearly what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from tests.runtime.conftest import IMAGE, int8_graph, litert_program, onnx_program, sealed_bundle

from marram.core.errors import DataError, DeviceError, IntegrityError, UserError
from marram.core.graph import Tensor
from marram.core.manifest import Golden
from marram.model.reference import interpret
from marram.runtime import Engine, preprocess_of, runner
from marram.sense import quantised


def flat(pixels):
    graph = int8_graph()
    return quantised(IMAGE, pixels, graph.tensors["x"].quantisation).reshape(len(pixels), 4)


def test_answers_are_the_runtime_s_and_within_a_step_of_the_reference(bundle, pixels):
    (expected,) = interpret(int8_graph(), flat(pixels))
    with Engine(bundle) as engine:
        answers = engine.predict_batch(pixels)
        for answer, row, sample, vector in zip(answers, expected, pixels, flat(pixels), strict=True):
            (output,) = engine.run([vector[np.newaxis]])
            np.testing.assert_allclose(answer.scores, (output[0].astype(float) + 10) * 0.05, rtol=1e-6)
            assert np.abs(output[0].astype(int) - row).max() <= 1
            assert answer.index == output.argmax()
            assert answer.label == "abc"[answer.index]
            assert answer.score == answer.scores.max()
            np.testing.assert_array_equal(engine.predict(sample).scores, answer.scores)


def test_a_float_bundle_without_labels(tmp_path):
    samples = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    bundle = sealed_bundle(tmp_path, onnx_program(), samples=samples, preprocess=None, golden_tolerance=1e-5)
    with Engine(bundle) as engine:
        answer = engine.predict(samples[0])
    assert answer.label is None
    assert answer.scores.shape == (3,)
    assert preprocess_of(bundle) is None


class Changed:
    """A runtime that gives another answer than the real one to one of the vectors."""

    def __init__(self, by):
        self.by, self.calls, self.closed = by, 0, False

    def open(self, program, *, threads=1):
        self.real = runner(program.runtime).open(program)
        return self

    def run(self, inputs):
        self.calls += 1
        (output,) = self.real.run(inputs)
        if self.calls == 3:
            output = output.copy()
            output.flat[1] += self.by
        return (output,)

    def close(self):
        self.closed = True


@pytest.mark.parametrize("by", [1, -1, 100])
def test_one_step_off_in_one_output_is_refused(bundle, by):
    changed = Changed(by)
    with pytest.raises(IntegrityError, match="golden vectors with output y off by"):
        Engine(bundle, runner=changed)
    assert changed.closed


def test_a_stated_tolerance_is_taken_and_no_more(tmp_path, pixels):
    bundle = sealed_bundle(tmp_path, litert_program(), samples=pixels, preprocess=IMAGE, golden_tolerance=1.0)
    Engine(bundle, runner=Changed(1)).close()
    with pytest.raises(IntegrityError, match="off by 2"):
        Engine(bundle, runner=Changed(2))


def test_an_engine_that_answers_nan_is_refused_and_never_believed(tmp_path):
    samples = np.ones((3, 2), np.float32)
    bundle = sealed_bundle(tmp_path, onnx_program(), samples=samples, preprocess=None, golden_tolerance=1e-5)
    with pytest.raises(IntegrityError, match="off by nan"):
        Engine(bundle, runner=Changed(np.float32("nan")))
    engine = Engine(bundle, runner=Late(np.float32("nan")))
    with pytest.raises(DeviceError, match="NaN"):
        engine.predict(samples[0])


class Late(Changed):
    """Goes wrong only after its golden vectors."""

    def run(self, inputs):
        self.calls += 1
        (output,) = self.real.run(inputs)
        return (output + self.by,) if self.calls > 3 else (output,)


def test_other_preprocessing_than_where_it_was_built_is_refused(tmp_path, pixels):
    brighter = replace(IMAGE, mean=(0.25,))
    bundle = sealed_bundle(tmp_path, litert_program(), samples=pixels, preprocess=IMAGE)
    manifest = replace(
        bundle.manifest, preprocess={"kind": "image", "size": [1, 4], "channels": 1, "mean": [0.25], "std": [0.25]}
    )
    assert preprocess_of(replace(bundle, manifest=manifest)) == brighter
    with pytest.raises(IntegrityError, match="preprocessing of golden samples"):
        Engine(replace(bundle, manifest=manifest))


def test_small_rounding_of_signals_is_no_fault(tmp_path):
    samples = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    bundle = sealed_bundle(tmp_path, onnx_program(), samples=samples, preprocess=None, golden_tolerance=1e-5)
    for by, good in ((1e-6, True), (1e-2, False)):
        golden = Golden(inputs=bundle.golden.inputs, outputs=bundle.golden.outputs, samples=samples + np.float32(by))
        changed = replace(bundle, golden=golden)
        if good:
            Engine(changed).close()
        else:
            with pytest.raises(IntegrityError, match="preprocessing"):
                Engine(changed)


@pytest.mark.parametrize("preprocess", [{"kind": "smell"}, {}, {"kind": "image", "size": [1, 4], "std": [0.0]}])
def test_a_preprocessing_of_another_version(bundle, preprocess):
    with pytest.raises(IntegrityError, match="none that this version knows"):
        Engine(replace(bundle, manifest=replace(bundle.manifest, preprocess=preprocess)))


def test_samples_that_the_model_does_not_take(bundle):
    with Engine(bundle) as engine:
        for bad, message in (
            (np.zeros((1, 4, 1), np.float32), "uint8"),
            (np.zeros((1, 4, 3), np.uint8), "images have shape"),
            (np.zeros((2, 2), np.uint8), "images have shape"),
            (np.uint8(3), "samples are an array"),
        ):
            with pytest.raises(DataError, match=message):
                engine.predict(bad)
        with pytest.raises(DataError, match="at least one"):
            engine.predict_batch(np.zeros((0, 1, 4, 1), np.uint8))
        with pytest.raises(UserError, match="was given where"):
            engine.run([np.zeros((1, 5), np.int8)])


def test_a_closed_engine(bundle, pixels):
    engine = Engine(bundle)
    engine.close()
    engine.close()
    with pytest.raises(UserError, match="closed"):
        engine.predict(pixels[0])


def test_a_model_of_two_inputs_is_run_not_asked(bundle, pixels):
    engine = Engine(bundle)
    two = replace(bundle.program, inputs=(*bundle.program.inputs, Tensor(name="z", shape=(1, 1))))
    engine.bundle = replace(bundle, program=two)
    with pytest.raises(UserError, match="2 inputs"):
        engine.predict(pixels[0])
