"""How ai-edge-quantizer is called: a stand-in with the tool's interface, since the tool itself is an extra of benchmarks."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tests.compile.test_programs import int8_graph, opaque_tflite

from marram.compile import build, device
from marram.core.errors import ToolError, UserError
from marram.model.tflite import write

SAMPLES = np.arange(18, dtype=np.float32).reshape(3, 6)


class Tool:
    """What ``ai_edge_quantizer`` offers, as far as it is used: it prints, and answers with a model that was made before."""

    def __init__(self, *, signatures=("serving_default",), fault=None):
        self.signatures, self.fault, self.calibrated = signatures, fault, None

    def install(self, monkeypatch):
        package = SimpleNamespace(quantizer=SimpleNamespace(Quantizer=self), recipe=SimpleNamespace(static_wi8_ai8=list))
        interpreters = SimpleNamespace(create_tfl_interpreter=lambda blob: self)
        monkeypatch.setitem(sys.modules, "ai_edge_quantizer", package)
        utils = SimpleNamespace(tfl_interpreter_utils=interpreters)
        monkeypatch.setitem(sys.modules, "ai_edge_quantizer.utils", utils)

    def get_signature_list(self):
        return dict.fromkeys(self.signatures)

    def get_signature_runner(self, key):
        return SimpleNamespace(get_input_details=lambda: {"renamed": {"name": "x"}})

    def __call__(self, blob, recipe):
        assert isinstance(blob, bytearray)
        sys.stdout.write("Original model size\n")
        return self

    def calibrate(self, data):
        self.calibrated = data
        if self.fault:
            raise RuntimeError(self.fault)
        return "ranges"

    def quantize(self, ranges):
        assert ranges == "ranges"
        return SimpleNamespace(quantized_model=bytearray(write(int8_graph())))


def quantised():
    return build(opaque_tflite(quantised=False), device("host"), precision="int8", calibration=[SAMPLES])


def test_samples_go_in_by_the_signature_s_names_and_the_model_comes_out(monkeypatch, capsys):
    tool = Tool()
    tool.install(monkeypatch)
    program = quantised()
    assert program.precision == "int8"
    assert program.quantised_by.startswith("ai-edge-quantizer ")
    assert program.blob == write(int8_graph())
    (key,) = tool.calibrated
    assert key == "serving_default"
    np.testing.assert_array_equal(np.concatenate([sample["renamed"] for sample in tool.calibrated[key]]), SAMPLES)
    assert capsys.readouterr().out == ""


def test_its_faults_are_a_tool_s(monkeypatch):
    Tool(fault="no such operator").install(monkeypatch)
    with pytest.raises(ToolError, match="no such operator"):
        quantised()
    Tool(signatures=()).install(monkeypatch)
    with pytest.raises(UserError, match="has no signature"):
        quantised()
