"""The parity certificate of generated C: the reference, C on this machine plain and sanitised, C on emulated cores."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from marram.compile.c.generation import Generated
from marram.compile.toolchain.cross import compile_for
from marram.compile.toolchain.native import build_library, build_program
from marram.core.errors import DeviceError
from marram.core.evidence import Parity
from marram.core.graph import Array
from marram.measure.emulator.emulation import EmulatedSession, run_batch
from marram.measure.native import NativeSession, open_program
from marram.measure.parity import compare
from marram.measure.wire.device import Device


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs, one array (N, ...) for each of the model's, and what the reference answers to them."""

    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]

    def first(self, count: int) -> Vectors:
        """The first ``count`` of them."""
        return Vectors(inputs=tuple(a[:count] for a in self.inputs), expected=tuple(a[:count] for a in self.expected))


def reference_answers(generated: Generated, inputs: Sequence[Array]) -> Vectors:
    """Inputs with the answers of the integer reference."""
    from marram.model.reference import interpret

    return Vectors(inputs=tuple(inputs), expected=interpret(generated.graph, list(inputs)))


def certify(
    generated: Generated,
    vectors: Vectors,
    *,
    cores: Sequence[str] = (),
    folder: Path | None = None,
    compilers: Sequence[str] = ("gcc",),
    on_host: int | None = None,
    on_sanitised: int | None = None,
    on_core: int = 200,
    time_limit_s: float = 600.0,
    jobs: int = 2,
) -> tuple[Parity, ...]:
    """Hold generated C against the reference, byte by byte, in every place where it can run here.

    Args:
        generated: C of one family; the cores are to be such that run it.
        vectors: from ``reference_answers``.
        cores: emulated cores.
        folder: where images are made; None takes a temporary one.
        compilers: for this machine; each makes a library and a sanitised program.
        on_host: so many of the vectors on this machine, all when None.
        on_sanitised: so many of these under the sanitisers, all of these when None.
        on_core: so many of them on each core.
        time_limit_s: for each place.
        jobs: so many places at once.

    Returns:
        One Parity for each place: for each compiler plain and sanitised, then each core. A difference is in it, not raised.

    Raises:
        ToolError: a compiler or the emulator is missing or fails.
        DeviceError: the code crashed, hung, wrote beside its arena, or a sanitiser found something.
    """
    host = vectors if on_host is None else vectors.first(on_host)
    under_watch = host if on_sanitised is None else host.first(on_sanitised)
    few = vectors.first(on_core)
    places = _Places(generated, time_limit_s)
    with tempfile.TemporaryDirectory(prefix="marram-parity-") as work, ThreadPoolExecutor(max_workers=jobs) as pool:
        base = folder or Path(work)
        tasks: list[Future[Parity]] = []
        for compiler in compilers:
            tasks.append(pool.submit(places.library, host, base / f"host-{compiler}", compiler))
            tasks.append(pool.submit(places.sanitised, under_watch, base / f"sanitised-{compiler}", compiler))
        tasks += [pool.submit(places.core, few, base / core, core) for core in cores]
        try:
            return tuple(task.result() for task in tasks)
        except BaseException:  # a failure or Ctrl-C: nothing goes on behind our back
            for task in tasks:
                task.cancel()
            places.stop()
            raise


class _Places:
    """Where C of one model can run, and the devices that are at it."""

    def __init__(self, generated: Generated, time_limit_s: float) -> None:
        self._generated, self._limit_s = generated, time_limit_s
        self._open: list[Device] = []
        self._stopped = False

    def library(self, vectors: Vectors, folder: Path, compiler: str) -> Parity:
        """In this process."""
        session = NativeSession(self._generated, build_library(self._generated, folder, compiler=compiler))
        count = len(vectors.inputs[0])
        rows = [session.run([array[index][None] for array in vectors.inputs]) for index in range(count)]
        found = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
        return self._parity(vectors, found, f"on this machine, {compiler}")

    def sanitised(self, vectors: Vectors, folder: Path, compiler: str) -> Parity:
        """As a program with sanitisers."""
        device = open_program(self._generated, build_program(self._generated, folder, compiler=compiler))
        try:
            found = self._tested(device, vectors)
        finally:
            device.close()
        return self._parity(vectors, found, f"on this machine, {compiler} with ASan and UBSan")

    def core(self, vectors: Vectors, folder: Path, core: str) -> Parity:
        """On an emulated core."""
        compiled = compile_for(self._generated, core, folder)
        with EmulatedSession(compiled) as session:
            found = self._tested(session.device, vectors)
        return self._parity(vectors, found, f"on {core} (emulated {compiled.board.machine})")

    def stop(self) -> None:
        """End all devices, those that are only being built as well."""
        self._stopped = True
        for device in self._open:
            device.stop()

    def _tested(self, device: Device, vectors: Vectors) -> tuple[Array, ...]:
        self._open.append(device)
        if self._stopped:
            raise DeviceError("another place has failed", where="parity")
        device.self_test([array[0][None] for array in vectors.inputs], [array[0][None] for array in vectors.expected])
        return run_batch(device, self._generated.graph.input_tensors, vectors.inputs, time_limit_s=self._limit_s)

    def _parity(self, vectors: Vectors, found: tuple[Array, ...], place: str) -> Parity:
        name = f"c {self._generated.family} {place}"
        return compare(vectors.expected, found, vectors=vectors.inputs, runtime=name, reference_name="integer reference")
