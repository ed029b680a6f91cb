"""Generated C on this machine: its shared library, called in this process; its harness, as a process of its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from marram.compile.c.generation import Generated
from marram.compile.toolchain.harness import model_digest
from marram.compile.toolchain.native import SANITISER_SETTINGS
from marram.core.errors import DeviceError, UserError
from marram.core.graph import Array, Tensor
from marram.measure.wire.device import Device
from marram.measure.wire.process import ProcessLink


class NativeSession:
    """A model's shared library with arenas of its own; ``run`` as in the port ``Session``. Not for two threads at once.

    Args:
        generated: the model.
        library: made by ``compile.toolchain.native.build_library``.
    """

    def __init__(self, generated: Generated, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(library.resolve()))
        except OSError as error:
            raise DeviceError(f"the library cannot be loaded: {error}", where=str(library)) from error
        name, graph = generated.name, generated.graph
        self._invoke = getattr(self._library, f"{name}_invoke")
        sizes = [memory.arena_bytes for memory in generated.plan.memories] or [generated.plan.arena_bytes]
        begins = [0, *accumulate(-(-size // _ALIGN) * _ALIGN for size in sizes)]
        self._kept = np.zeros(begins[-1] + _ALIGN, dtype=np.uint8)
        base = -self._kept.ctypes.data % _ALIGN
        self._arenas = self._kept[base : base + begins[-1]]
        self._address = self._arenas.ctypes.data
        given = [number for begin, size in zip(begins, sizes, strict=False) for number in (self._address + begin, size)]
        self._struct = (ctypes.c_size_t * len(given))(*given)  # a pointer and a size for each arena
        several = ctypes.cast(self._struct, ctypes.c_void_p)
        self._arguments = (several,) if generated.plan.memories else (ctypes.c_void_p(given[0]), ctypes.c_size_t(given[1]))
        self._inputs = [self._view(f"{name}_input", index, tensor) for index, tensor in enumerate(graph.input_tensors)]
        self._expected = [(view, view.shape, view.dtype) for view in self._inputs]
        self._outputs = [self._view(f"{name}_output", index, tensor) for index, tensor in enumerate(graph.output_tensors)]

    def _view(self, function: str, index: int, tensor: Tensor) -> Array:
        place = getattr(self._library, function)
        place.argtypes, place.restype = (ctypes.c_void_p, ctypes.c_int), ctypes.c_void_p
        offset = place(self._arguments[0], index) - self._address
        found: Array = self._arenas[offset : offset + tensor.size_bytes].view(tensor.dtype).reshape(tensor.shape)
        return found

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference: arrays of the model's input shapes and dtypes in, its outputs out.

        Raises:
            UserError: shapes or dtypes are not the model's.
            DeviceError: a status that is not ok.
        """
        expected = self._expected
        if len(inputs) != len(expected):
            raise UserError("the inputs are not as many as the model's", where="inputs")
        for (view, shape, dtype), array in zip(expected, inputs, strict=True):
            if array.shape != shape or array.dtype != dtype:
                raise UserError("the inputs have not the model's shapes and dtypes", where="inputs")
            view[...] = array
        status = self._invoke(*self._arguments)
        if status:
            raise DeviceError(f"the library answered status {status}", where="invoke")
        return tuple([view.copy() for view in self._outputs])

    def close(self) -> None:
        """Nothing is held but memory. Safe to call twice."""


_ALIGN = 64


def open_program(generated: Generated, program: Path, *, time_limit_s: float = 60.0) -> Device:
    """The harness as a process of this machine, greeted; close it when done.

    Raises:
        DeviceError: it does not answer, or stops, for instance because a sanitiser found something; its report is in the error.
    """
    name = f"{generated.name} in {program.name}"
    link = ProcessLink([str(program.resolve())], name=name, environment={**os.environ, **SANITISER_SETTINGS})
    graph = generated.graph
    device = Device(link, name=name, inputs=graph.input_tensors, outputs=graph.output_tensors, time_limit_s=time_limit_s)
    try:
        device.greet(model_digest(generated))
    except BaseException:
        device.close()
        raise
    return device
