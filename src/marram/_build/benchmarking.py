"""``marram bench``: any model file on every runtime of a device, interleaved in one run."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

from marram._build.core_benchmarking import CoreBenchResult, CoreLimits, bench_core
from marram._build.memories import check_limits, regions_of
from marram.compile import candidates, device
from marram.core.codec import digest
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.evidence import Parity
from marram.core.graph import Array, Graph, OpaqueModel, Tensor
from marram.core.ports import Progress
from marram.core.program import Program
from marram.core.target import Runtime
from marram.measure import Latency, Memory, Subject, against_reference, describe_machine, time_calls, weigh
from marram.model import load, load_opaque
from marram.model.counts import counts
from marram.runtime import runner

_PROBE = (sys.executable, "-m", "marram.runtime.probe")
_SEED = 0
_LATENCY_INPUTS = 16
_PARITY_VECTORS = 64


class BenchRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One program: single calls on one thread in microseconds, peak memory of its process, size, parity with the reference."""

    runtime: Runtime
    runtime_version: str
    precision: str
    p50_us: float
    p90_us: float
    p99_us: float
    memory_mib: float
    size_bytes: int
    parity: Parity | None


class BenchResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's rows, in the device's order of runtimes. ``macs`` and ``parameters`` are None for opaque models."""

    model: str
    digest: str
    on: str
    calls: int
    macs: int | None
    parameters: int | None
    rows: tuple[BenchRow, ...]
    remarks: tuple[str, ...]


def bench(
    model: str | Path,
    *,
    device_name: str = "host",
    calls: int = 1000,
    arena_kib: float | None = None,
    memories: tuple[str, ...] = (),
    flash_cost: float | None = None,
    stream_rows: int | None = None,
    progress: Progress = lambda _what, _part: None,
) -> BenchResult | CoreBenchResult:
    """Measure a model file. Inputs are random, seeded: figures of cost, not of accuracy.

    Args:
        model: an ``.onnx`` or ``.tflite`` file.
        device_name: a profile that is this machine, or a microcontroller, whose core is emulated.
        calls: calls of each runtime on this machine.
        arena_kib: for a microcontroller, the most that the arena may hold; the fastest plan if not given.
        memories: for a microcontroller, those that the model may use, as ``compile_model`` takes them.
        flash_cost: with ``memories``, cycles that a byte read from flash waits.
        stream_rows: for a microcontroller, so many new rows come at a time, and their cost is measured.
        progress: told what is being done.

    Returns:
        A ``CoreBenchResult`` for a microcontroller.

    Raises:
        UserError: no such file, or a device that is not this machine.
    """
    path = Path(model)
    target = device(device_name)
    check_limits(memories, arena_kib, flash_cost)
    if target.runtimes == ("c",):
        regions = regions_of(memories, target)
        limits = CoreLimits(arena_kib=arena_kib, memories=regions, flash_cost=flash_cost)
        return bench_core(_load(path), path, target, limits=limits, stream_rows=stream_rows, progress=progress)
    if memories:
        raise UserError("is for microcontrollers", where="--memory", hint="For instance --device cortex-m7.")
    if stream_rows is not None:
        raise UserError("is for microcontrollers", where="--stream-rows", hint="For instance --device cortex-m4.")
    if not target.here:
        raise UserError(f"{target.name} is not this machine, so nothing can be measured for it", hint="Use --device host.")
    loaded = _load(path)
    programs = candidates(loaded, target)
    weighed = [weigh(program, _PROBE) for program in programs]  # in processes of their own, which a hostile file may end
    latencies = _time(programs, calls, progress)
    graph = loaded if isinstance(loaded, Graph) else None
    found = None if graph is None else counts(graph)
    return BenchResult(
        model=str(path),
        digest=digest(path.read_bytes()),
        on=describe_machine(),
        calls=len(latencies[0].calls_ns),
        macs=None if found is None else found.macs,
        parameters=None if found is None else found.parameters,
        rows=tuple(_row(*measured, graph) for measured in zip(programs, weighed, latencies, strict=True)),
        remarks=_remarks(loaded),
    )


def _load(path: Path) -> Graph | OpaqueModel:
    if path.suffix == ".mrm":
        raise UserError("is a bundle", where=str(path), hint="marram verify measures a bundle against its own budget.")
    try:
        return load(path)
    except UnsupportedOperator:
        return load_opaque(path)


def _remarks(model: Graph | OpaqueModel) -> tuple[str, ...]:
    remarks = ["Inputs are random: these are figures of cost, not of accuracy."]
    if isinstance(model, OpaqueModel):
        names = ", ".join(model.unsupported)
        remarks.append(f"The file has operators outside the Graph ({names}): it runs as it came, with no reference to compare.")
    return tuple(remarks)


def _time(programs: tuple[Program, ...], calls: int, progress: Progress) -> tuple[Latency, ...]:
    sessions = [runner(program.runtime).open(program, threads=1) for program in programs]
    try:
        subjects = [
            Subject(session=session, inputs=_inputs(program, _LATENCY_INPUTS))
            for session, program in zip(sessions, programs, strict=True)
        ]
        return time_calls(subjects, seed=_SEED, calls=calls, progress=progress)
    finally:
        for session in sessions:
            session.close()


def _row(program: Program, memory: Memory, latency: Latency, graph: Graph | None) -> BenchRow:
    return BenchRow(
        runtime=program.runtime,
        runtime_version=program.runtime_version,
        precision=program.precision,
        p50_us=latency.quantile_us(0.5),
        p90_us=latency.quantile_us(0.9),
        p99_us=latency.quantile_us(0.99),
        memory_mib=memory.peak / 2**20,
        size_bytes=program.size_bytes,
        parity=None if graph is None else _parity(program, graph),
    )


def _parity(program: Program, graph: Graph) -> Parity:
    rng = np.random.default_rng(_SEED)
    vectors = [_values(tensor, _PARITY_VECTORS, rng) for tensor in graph.input_tensors]
    session = runner(program.runtime).open(program, threads=1)
    try:
        return against_reference(session, program, graph, vectors)
    finally:
        session.close()


def _inputs(program: Program, count: int) -> tuple[tuple[Array, ...], ...]:
    rng = np.random.default_rng(_SEED)
    return tuple(tuple(_values(tensor, 1, rng) for tensor in program.inputs) for _ in range(count))


def _values(tensor: Tensor, count: int, rng: np.random.Generator) -> Array:
    """Random values of a tensor, the leading axis ``count`` long: standard normal, or every integer alike."""
    shape = (count, *tensor.shape[1:])
    if tensor.dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    limits = np.iinfo(tensor.dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(tensor.dtype)
