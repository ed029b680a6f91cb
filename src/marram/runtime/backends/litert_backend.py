"""LiteRT: the blob is a TFLite file, run by the interpreter with its default kernels (XNNPACK where they apply)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from marram.core.errors import DeviceError, IntegrityError, MissingExtra
from marram.core.graph import Array
from marram.core.ports import Session
from marram.core.program import Program
from marram.runtime.interface import Found, check_blob, check_inputs, expected_inputs

_IDENTIFIER = b"TFL3"


class LiteRtRunner:
    """Runs Programs of runtime ``litert`` on this machine (port ``Runner``)."""

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Load a Program.

        Raises:
            MissingExtra: ai-edge-litert is not installed.
            IntegrityError: the blob is damaged or not what the Program says.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingExtra("ai-edge-litert", extra="litert") from error
        if program.blob[4:8] != _IDENTIFIER:
            raise IntegrityError("the blob is not a TFLite file", where=program.target)
        try:
            interpreter = Interpreter(model_content=program.blob, num_threads=threads)
            interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except (ValueError, RuntimeError, MemoryError) as error:
            raise IntegrityError(f"LiteRT refuses the model: {str(error).strip()[:500]}", where=program.target) from error
        check_blob(program, _found(inputs), _found(outputs))
        return _LiteRtSession(interpreter, program)


class _LiteRtSession:
    """A loaded TFLite model; one caller at a time."""

    def __init__(self, interpreter: Any, program: Program) -> None:
        self._interpreter = interpreter
        self._program = program
        self._expected = expected_inputs(program)
        self._inputs = [detail["index"] for detail in interpreter.get_input_details()]
        self._outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference."""
        if self._interpreter is None:
            raise DeviceError("the session is closed", where=self._program.target)
        check_inputs(self._program, self._expected, inputs)
        try:
            for index, array in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
            return tuple(self._interpreter.get_tensor(index) for index in self._outputs)
        except (ValueError, RuntimeError) as error:
            raise DeviceError(f"LiteRT failed: {str(error).strip()[:500]}", where=self._program.target) from error

    def close(self) -> None:
        """Give back the model's memory."""
        self._interpreter = None


def _found(details: Iterable[dict[str, Any]]) -> Iterator[Found]:
    for detail in details:
        signature = detail["shape_signature"]
        shape = None if len(signature) and min(signature) < 0 else tuple(map(int, detail["shape"]))
        yield detail["name"], shape, np.dtype(detail["dtype"]).name
