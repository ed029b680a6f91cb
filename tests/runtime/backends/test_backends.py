"""Each runtime behind the one port: answers, refusals and damage, all in our own errors."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from msgspec.structs import replace
from tests.runtime.conftest import WEIGHTS, int8_graph, litert_program, onnx_program

from marram.core.errors import DeviceError, IntegrityError, MissingExtra, UserError
from marram.core.graph import Tensor
from marram.runtime import runner

# OpenVINO is an optional third: what is common to all is tested on it wherever it is installed.
PROGRAMS = {"onnxruntime": onnx_program, "litert": litert_program}
if importlib.util.find_spec("openvino"):
    PROGRAMS["openvino"] = lambda: onnx_program("openvino")
MODULES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert.interpreter", "openvino": "openvino"}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]()


@pytest.fixture
def session(program):
    session = runner(program.runtime).open(program)
    yield session
    session.close()


def zeros(program):
    return [np.zeros(tensor.shape, tensor.dtype) for tensor in program.inputs]


def test_answers_are_right():
    (y,) = runner("onnxruntime").open(onnx_program()).run([np.array([[1.0, 2.0]], np.float32)])
    np.testing.assert_allclose(y, [[0.6, 0.9, 1.2]], rtol=1e-6)
    x = np.array([[40, -30, 20, 10]], np.int8)
    (y,) = runner("litert").open(litert_program()).run([x])
    graph = int8_graph()
    reals = (x * graph.tensors["x"].quantisation.scale) @ (WEIGHTS.T * 0.5)
    np.testing.assert_allclose((y.astype(int) + 10) * 0.05, reals, atol=0.026)


def test_answers_stay_when_the_next_comes(program, session):
    rng = np.random.default_rng(0)
    inputs = [[rng.integers(-9, 9, tensor.shape).astype(tensor.dtype) for tensor in program.inputs] for _ in range(4)]
    first = [session.run(arrays) for arrays in inputs]
    kept = [[output.copy() for output in outputs] for outputs in first]
    for arrays in inputs[::-1]:
        session.run(arrays)
    for outputs, copies in zip(first, kept, strict=True):
        for output, copy in zip(outputs, copies, strict=True):
            np.testing.assert_array_equal(output, copy)
            assert output.shape == program.outputs[0].shape
            assert output.dtype == program.outputs[0].dtype


def test_wrong_inputs_are_named(program, session):
    (good,) = zeros(program)
    for bad, message in (
        ([], "0 were given"),
        ([good, good], "2 were given"),
        ([good[0]], r"input x: \w+\[\d\] was given where"),
        ([good.astype(np.float64)], "float64"),
        ([np.concatenate([good, good])], "was given where"),
        ([good.tolist()], "a list was given"),
    ):
        with pytest.raises(UserError, match=message):
            session.run(bad)


def test_a_closed_session_says_so(program, session):
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        session.run(zeros(program))


def test_an_array_that_is_not_contiguous(program, session):
    (good,) = zeros(program)
    spread = np.zeros((1, 2 * good.shape[1]), good.dtype)[:, ::2]
    spread[...] = np.arange(good.shape[1])
    np.testing.assert_array_equal(session.run([spread])[0], session.run([spread.copy()])[0])


def test_damaged_blobs_are_refused(program):
    for blob in (b"", b"abc", bytes(1000), program.blob[: len(program.blob) // 2], program.blob[::-1]):
        with pytest.raises(IntegrityError):
            runner(program.runtime).open(replace(program, blob=blob))


def test_a_name_that_is_no_text():
    program = onnx_program()
    blob = program.blob.replace(b"\n\x01x", b"\n\x01\xfd")
    assert blob != program.blob
    with pytest.raises(IntegrityError, match="refuses the model"):
        runner("onnxruntime").open(replace(program, blob=blob))


def test_a_program_that_misdescribes_its_blob(program):
    (x,), (y,) = program.inputs, program.outputs
    for wrong in (
        replace(program, inputs=(replace(x, name="other"),)),
        replace(program, inputs=(replace(x, dtype="int32"),)),
        replace(program, outputs=()),
        replace(program, outputs=(y, Tensor(name="more", shape=(1,)))),
    ):
        with pytest.raises(IntegrityError, match="the blob has"):
            runner(program.runtime).open(wrong)


def test_shapes_are_held_too():
    program = litert_program()
    with pytest.raises(IntegrityError, match="the blob has"):
        runner("litert").open(replace(program, outputs=(replace(program.outputs[0], shape=(1, 4)),)))


@pytest.mark.parametrize("runtime", MODULES)
def test_a_runtime_that_is_not_installed(runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[runtime], None)
    program = litert_program() if runtime == "litert" else onnx_program(runtime)
    with pytest.raises(MissingExtra, match="pip install") as caught:
        runner(runtime).open(program)
    assert caught.value.extra == runtime


def test_c_programs_do_not_run_here():
    with pytest.raises(UserError, match="do not run on this machine"):
        runner("c")
