"""The parity certificate of generated C: the reference, C on this machine plain and sanitised, C on emulated cores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from marram.compile.c.generation import Generated
from marram.compile.toolchain.cross import compile_for
from marram.compile.toolchain.native import build_library, build_program
from marram.core.evidence import Parity
from marram.core.graph import Array
from marram.measure.emulator.emulation import EmulatedSession, run_batch
from marram.measure.native import NativeSession, open_program
from marram.measure.parity import compare


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
    with tempfile.TemporaryDirectory(prefix="marram-parity-") as work, ThreadPoolExecutor(max_workers=jobs) as pool:
        base = folder or Path(work)
        few = vectors.first(on_core)
        tasks: list[Callable[[], Parity]] = []
        for compiler in compilers:
            tasks.append(partial(_library, generated, host, base / f"host-{compiler}", compiler))
            tasks.append(partial(_sanitised, generated, host, base / f"sanitised-{compiler}", compiler, time_limit_s))
        tasks += [partial(_core, generated, few, base / core, core, time_limit_s) for core in cores]
        return tuple(pool.map(lambda task: task(), tasks))


def _library(generated: Generated, vectors: Vectors, folder: Path, compiler: str) -> Parity:
    session = NativeSession(generated, build_library(generated, folder, compiler=compiler))
    count = len(vectors.inputs[0])
    rows = [session.run([array[index][None] for array in vectors.inputs]) for index in range(count)]
    found = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
    return _parity(vectors, found, f"c {generated.family} on this machine, {compiler}")


def _sanitised(generated: Generated, vectors: Vectors, folder: Path, compiler: str, time_limit_s: float) -> Parity:
    device = open_program(generated, build_program(generated, folder, compiler=compiler))
    try:
        device.self_test([array[0][None] for array in vectors.inputs], [array[0][None] for array in vectors.expected])
        found = run_batch(device, generated.graph.input_tensors, vectors.inputs, time_limit_s=time_limit_s)
    finally:
        device.close()
    return _parity(vectors, found, f"c {generated.family} on this machine, {compiler} with ASan and UBSan")


def _core(generated: Generated, vectors: Vectors, folder: Path, core: str, time_limit_s: float) -> Parity:
    compiled = compile_for(generated, core, folder)
    with EmulatedSession(compiled) as session:
        session.device.self_test([array[0][None] for array in vectors.inputs], [array[0][None] for array in vectors.expected])
        found = session.run_many(vectors.inputs, time_limit_s=time_limit_s)
    return _parity(vectors, found, f"c {generated.family} on {core} (emulated {compiled.board.machine})")


def _parity(vectors: Vectors, found: tuple[Array, ...], place: str) -> Parity:
    return compare(vectors.expected, found, vectors=vectors.inputs, runtime=place, reference_name="integer reference")
