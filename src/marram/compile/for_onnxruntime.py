"""Programs for ONNX Runtime: ONNX files. Asked for int8, an opaque float model goes through ONNX Runtime's own quantiser."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from marram.compile.making import Maker, Precision, checked_calibration, from_graph, from_opaque, installed_version
from marram.core.errors import MissingExtra, ToolError
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Target

_TOOL = "onnxruntime quantize_static"


def make(
    model: Graph | OpaqueModel, target: Target, precision: Precision | None, calibration: Sequence[Array] | None
) -> Program:
    """A Program for ONNX Runtime; arguments and errors as ``programs.build``."""
    return made(model, target, precision, calibration, maker=MAKER)


def made(
    model: Graph | OpaqueModel,
    target: Target,
    precision: Precision | None,
    calibration: Sequence[Array] | None,
    *,
    maker: Maker,
) -> Program:
    """A Program for any runtime that takes ONNX files."""
    from marram.model.onnx import read_opaque

    if isinstance(model, Graph):
        from marram.model.onnx import write

        return from_graph(model, target, maker=maker, written=read_opaque(write(model), name=model.name))
    program = from_opaque(model, target, maker=maker)
    if precision in {None, program.precision}:
        return program
    quantised = read_opaque(_quantised(model, checked_calibration(model, calibration)), name=model.name)
    return from_opaque(quantised, target, maker=maker, quantised_by=f"{_TOOL} {installed_version('onnxruntime')}")


def _quantised(model: OpaqueModel, samples: list[dict[str, Array]]) -> bytes:
    """The model with int8 weights by channel and uint8 activations, the form that x86 runs fastest."""
    try:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtra("onnxruntime and onnx", extra="build") from error
    with tempfile.TemporaryDirectory(prefix="marram-") as folder:
        source, prepared, goal = (Path(folder, name) for name in ("source.onnx", "prepared.onnx", "goal.onnx"))
        source.write_bytes(model.blob)
        try:
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                goal,
                _Reader(samples),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the tool's errors have no other root
            raise ToolError("the model could not be quantised", command=f"{_TOOL} {model.name}", output=str(error)) from error
        return goal.read_bytes()


class _Reader:
    """Hands the tool one sample after the other, then None, and again from the start when it is rewound."""

    def __init__(self, samples: list[dict[str, Array]]) -> None:
        self._samples = samples
        self._next = 0

    def get_next(self) -> dict[str, Array] | None:
        """The next sample by input name."""
        self._next += 1
        return self._samples[self._next - 1] if self._next <= len(self._samples) else None

    def rewind(self) -> None:
        """Start again."""
        self._next = 0


MAKER = Maker(runtime="onnxruntime", format="onnx", package="onnxruntime", distribution="onnxruntime", make=make)
