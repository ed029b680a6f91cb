"""OpenVINO: the blob is an ONNX file, compiled for the CPU for low latency, in float32 where it is float."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from marram.core.errors import DeviceError, IntegrityError, MissingExtra
from marram.core.graph import Array
from marram.core.ports import Session
from marram.core.program import Program
from marram.runtime.interface import Found, check_blob, check_inputs, expected_inputs


class OpenVinoRunner:
    """Runs Programs of runtime ``openvino`` on this machine (port ``Runner``)."""

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Load a Program.

        Raises:
            MissingExtra: openvino is not installed.
            IntegrityError: the blob is damaged or not what the Program says.
        """
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra("openvino", extra="openvino") from error
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            model = openvino.Core().compile_model(openvino.Core().read_model(program.blob), "CPU", settings)
            found = tuple(_found(program.inputs, model.inputs)), tuple(_found(program.outputs, model.outputs))
        except (RuntimeError, ValueError, TypeError) as error:
            raise IntegrityError(f"OpenVINO refuses the model: {str(error).strip()[:500]}", where=program.target) from error
        check_blob(program, *found)
        return _OpenVinoSession(model, program)


class _OpenVinoSession:
    """A compiled model and its one request; one caller at a time."""

    def __init__(self, model: Any, program: Program) -> None:
        self._model = model
        self._request = model.create_infer_request()
        self._program = program
        self._expected = expected_inputs(program)

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference."""
        if self._request is None:
            raise DeviceError("the session is closed", where=self._program.target)
        check_inputs(self._program, self._expected, inputs)
        try:
            self._request.infer(dict(enumerate(inputs)), share_inputs=True, share_outputs=True)
            # the data of an output is a view that the next call overwrites
            return tuple(np.array(self._request.get_output_tensor(index).data) for index in range(len(self._program.outputs)))
        except RuntimeError as error:
            raise DeviceError(f"OpenVINO failed: {str(error).strip()[:500]}", where=self._program.target) from error

    def close(self) -> None:
        """Give back the model's memory."""
        self._request = None
        self._model = None


def _found(tensors: Iterable[Any], ports: Sequence[Any]) -> Iterator[Found]:
    """What the model has; a port may carry several names, of which the Program's is one."""
    wanted = [tensor.name for tensor in tensors]
    for index, port in enumerate(ports):
        names = port.get_names()
        name = wanted[index] if index < len(wanted) and wanted[index] in names else ", ".join(sorted(names))
        shape = port.get_partial_shape()
        yield name, None if shape.is_dynamic else tuple(shape.to_shape()), np.dtype(port.get_element_type().to_dtype()).name
