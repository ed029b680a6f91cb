"""Programs for OpenVINO: the same ONNX files that ONNX Runtime takes; OpenVINO converts them when it loads them."""

from __future__ import annotations

from collections.abc import Sequence

from marram.compile.for_onnxruntime import made
from marram.compile.making import Maker, Precision
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Target


def make(
    model: Graph | OpaqueModel, target: Target, precision: Precision | None, calibration: Sequence[Array] | None
) -> Program:
    """A Program for OpenVINO; arguments and errors as ``programs.build``."""
    return made(model, target, precision, calibration, maker=MAKER)


MAKER = Maker(runtime="openvino", format="onnx", package="openvino", distribution="openvino", make=make)
