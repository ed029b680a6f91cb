"""ONNX Runtime: the blob is an ONNX file, run on the CPU provider, with inputs and outputs bound to fixed buffers.

Thread pools do not spin: a spinning pool takes a core from whatever else the device does, and gains nothing on one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from marram.core.errors import DeviceError, IntegrityError, MissingExtra
from marram.core.graph import Array
from marram.core.ports import Session
from marram.core.program import Program
from marram.runtime.interface import Found, check_blob, check_inputs, expected_inputs

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxRuntimeRunner:
    """Runs Programs of runtime ``onnxruntime`` on this machine (port ``Runner``)."""

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Load a Program.

        Raises:
            MissingExtra: onnxruntime is not installed.
            IntegrityError: the blob is damaged or not what the Program says.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("onnxruntime", extra="onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if not program.blob:
            raise IntegrityError("the blob is empty", where=program.target)
        try:
            # without its fallback, which prints to standard output and tries the same provider again
            session = onnxruntime.InferenceSession(program.blob, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            found = tuple(_found(session.get_inputs())), tuple(_found(session.get_outputs()))  # names may be no text
        except Exception as error:  # the library's errors have no other root
            raise IntegrityError(f"ONNX Runtime refuses the model: {_first_part(error)}", where=program.target) from error
        check_blob(program, *found)
        return _OnnxRuntimeSession(session, program)


class _OnnxRuntimeSession:
    """A loaded ONNX model; one caller at a time, since its buffers are its own."""

    def __init__(self, session: Any, program: Program) -> None:
        self._session = session
        self._program = program
        self._expected = expected_inputs(program)
        self._inputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in program.inputs]
        self._outputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in program.outputs]
        self._binding = self._bound() if _shapes_known(session) else None

    def _bound(self) -> Any:
        """Inputs and outputs at fixed addresses; this saves several microseconds a call."""
        binding = self._session.io_binding()
        for tensor, buffer in zip(self._program.inputs, self._inputs, strict=True):
            binding.bind_cpu_input(tensor.name, buffer)
        for tensor, buffer in zip(self._program.outputs, self._outputs, strict=True):
            binding.bind_output(tensor.name, "cpu", 0, buffer.dtype.type, tensor.shape, buffer.ctypes.data)
        return binding

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference."""
        if self._session is None:
            raise DeviceError("the session is closed", where=self._program.target)
        check_inputs(self._program, self._expected, inputs)
        try:
            return self._run_unbound(inputs) if self._binding is None else self._run_bound(inputs)
        except Exception as error:  # the library's errors have no other root
            raise DeviceError(f"ONNX Runtime failed: {_first_part(error)}", where=self._program.target) from error

    def _run_bound(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        for buffer, array in zip(self._inputs, inputs, strict=True):
            np.copyto(buffer, array)
        self._session.run_with_iobinding(self._binding)
        return tuple(buffer.copy() for buffer in self._outputs)

    def _run_unbound(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        named = {tensor.name: array for tensor, array in zip(self._program.inputs, inputs, strict=True)}
        return tuple(self._session.run([tensor.name for tensor in self._program.outputs], named))

    def close(self) -> None:
        """Give back the model's memory."""
        self._binding = None
        self._session = None


def _found(arguments: Iterable[Any]) -> Iterator[Found]:
    for argument in arguments:
        shape = tuple(argument.shape) if _known(argument) else None
        yield argument.name, shape, _DTYPES.get(argument.type, argument.type)


def _known(argument: Any) -> bool:
    return all(isinstance(size, int) for size in argument.shape)


def _shapes_known(session: Any) -> bool:
    return all(_known(argument) for argument in (*session.get_inputs(), *session.get_outputs()))


def _first_part(error: Exception) -> str:
    return str(error).strip()[:500]
