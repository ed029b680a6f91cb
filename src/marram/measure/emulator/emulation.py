"""A harness image on the emulator: started, greeted, asked, ended. Sessions and batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from marram.compile.toolchain.commands import tool
from marram.compile.toolchain.cross import Compiled, Image, link_harness
from marram.compile.toolchain.harness import model_digest
from marram.core.errors import DeviceError, UserError
from marram.core.graph import Array
from marram.measure.wire.device import Device
from marram.measure.wire.process import ProcessLink

EMULATOR = "qemu-system-arm"


def emulator_command(image: Image, *, more: Sequence[str] = ()) -> list[str]:
    """How the emulator is started with an image: nothing but the core, its memories and semihosting.

    Raises:
        ToolError: QEMU is not installed.
    """
    return [
        *(tool(EMULATOR), "-machine", image.board.machine, "-display", "none", "-monitor", "none", "-serial", "none"),
        *("-semihosting-config", "enable=on,target=native", *more, "-kernel", str(image.path)),
    ]


class EmulatedSession:
    """A model on an emulated core, ready. A context manager; the emulator dies with it.

    Args:
        compiled: the model, compiled for a board.
        image: its harness; None links it.
        time_limit_s: for one inference.
        more: more arguments of the emulator.
    """

    def __init__(
        self, compiled: Compiled, *, image: Image | None = None, time_limit_s: float = 60.0, more: Sequence[str] = ()
    ) -> None:
        image = image or link_harness(compiled)
        graph = compiled.generated.graph
        name = f"{compiled.generated.name} on {compiled.board.name}"
        self._inputs = graph.input_tensors
        self._link = ProcessLink(emulator_command(image, more=more), name=name, folder=compiled.folder)
        self.device = Device(
            self._link, name=name, inputs=graph.input_tensors, outputs=graph.output_tensors, time_limit_s=time_limit_s
        )
        try:
            self.greeting = self.device.greet(model_digest(compiled.generated))
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference: arrays of the model's input shapes and dtypes in, its outputs out."""
        return self.device.run(inputs)

    def run_many(self, vectors: Sequence[Array], *, time_limit_s: float = 600.0) -> tuple[Array, ...]:
        """Inferences of a batch, in order.

        Args:
            vectors: for each input an array (N, ...) of its dtype, the shape of one inference without its leading 1 behind.
            time_limit_s: for all of them.

        Returns:
            For each output an array (N, ...).

        Raises:
            UserError: the batch is empty or of other shapes.
            DeviceError: the device does not answer, or not in time.
        """
        return run_batch(self.device, self._inputs, vectors, time_limit_s=time_limit_s)

    def end(self) -> None:
        """Let the firmware stop, so that the emulator exits of its own accord and its plugins write what they have."""
        self.device.end()
        status = self._link.finish()
        if status:
            raise DeviceError(
                f"the emulator ended with status {status}", where=EMULATOR, hint=self._link.said().strip() or None
            )

    def close(self) -> None:
        """End the emulator. Safe to call twice."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def run_batch(device: Device, inputs: Sequence[object], vectors: Sequence[Array], *, time_limit_s: float) -> tuple[Array, ...]:
    """Inferences of a batch on any device; arguments and errors as ``EmulatedSession.run_many`` has them."""
    if len(vectors) != len(inputs) or not len(vectors[0]) or len({len(array) for array in vectors}) != 1:
        raise UserError(f"a batch has {len(inputs)} arrays of one length that is not 0", where="vectors")
    deadline_s = time.monotonic() + time_limit_s
    rows: list[tuple[Array, ...]] = []
    for index in range(len(vectors[0])):
        if time.monotonic() > deadline_s:
            raise DeviceError(f"{index} of {len(vectors[0])} vectors in {time_limit_s:g} s", where="batch")
        rows.append(device.run([array[index][None] for array in vectors]))
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))
