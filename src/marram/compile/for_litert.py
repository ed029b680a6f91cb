"""Programs for LiteRT: TFLite files. An opaque float model is quantised by ai-edge-quantizer when int8 is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

from marram.compile.making import Maker, Precision, checked_calibration, from_graph, from_opaque, installed_version
from marram.core.errors import MissingExtra, ToolError, UserError
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Target

_TOOL = "ai-edge-quantizer"


def make(
    model: Graph | OpaqueModel, target: Target, precision: Precision | None, calibration: Sequence[Array] | None
) -> Program:
    """A Program for LiteRT; arguments and errors as ``programs.build``."""
    from marram.model.tflite import read_opaque

    if isinstance(model, Graph):
        from marram.model.tflite import write

        return from_graph(model, target, maker=MAKER, written=read_opaque(write(model), name=model.name))
    program = from_opaque(model, target, maker=MAKER)
    if precision in {None, program.precision}:
        return program
    quantised = read_opaque(_quantised(model, checked_calibration(model, calibration)), name=model.name)
    return from_opaque(quantised, target, maker=MAKER, quantised_by=f"{_TOOL} {installed_version(_TOOL)}")


def _quantised(model: OpaqueModel, samples: list[dict[str, Array]]) -> bytes:
    """The model with 8-bit weights and activations, ranges by minimum and maximum over the samples."""
    try:
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.utils import tfl_interpreter_utils
    except ImportError as error:
        raise MissingExtra(_TOOL, extra="bench") from error
    try:
        # a signature may rename its tensors
        interpreter = tfl_interpreter_utils.create_tfl_interpreter(model.blob)
        key = next(iter(interpreter.get_signature_list()))
        details = interpreter.get_signature_runner(key).get_input_details()
        names = {detail["name"]: name for name, detail in details.items()}
        named = [{names[name]: array for name, array in sample.items()} for sample in samples]
        with redirect_stdout(StringIO()):  # the tool prints its sizes, and standard output is the caller's
            tool = quantizer.Quantizer(bytearray(model.blob), recipe.static_wi8_ai8())
            return bytes(tool.quantize(tool.calibrate({key: named})).quantized_model)
    except StopIteration as error:
        hint = "Export the model anew with a signature, or quantise it before."
        raise UserError(f"the file has no signature, and {_TOOL} needs one", where=model.name, hint=hint) from error
    except Exception as error:  # the tool's errors have no other root
        raise ToolError(f"{_TOOL} could not quantise the model", command=f"{_TOOL} {model.name}", output=str(error)) from error


MAKER = Maker(runtime="litert", format="tflite", package="ai_edge_litert", distribution="ai-edge-litert", make=make)
