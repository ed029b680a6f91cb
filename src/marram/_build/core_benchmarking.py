"""``marram bench`` for a microcontroller: a model as C on an emulated core, counted, weighed and held against the reference."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from marram._build.memories import Spread, spread_of
from marram._build.streams import StreamRecord, need_one_arena, stream_record
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.c.streams.generation import GeneratedStream, generate_stream
from marram.compile.memory import Region
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.evidence import Figure, LayerCost, Parity
from marram.core.graph import Graph, OpaqueModel
from marram.core.ports import Progress
from marram.core.target import Target
from marram.measure.certificate import certify, reference_answers
from marram.measure.extremes import golden_vectors
from marram.measure.microcontroller import CoreMeasurement, core_figures, core_marks, emulated_core, on_core
from marram.measure.streams import certify_stream, flowing

_SEED = 0


class Sized(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes as forecast before linking (for the stack: its bound), and as measured from the image or by painting."""

    predicted: int
    measured: int


class CoreLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a model: the most that its arena may hold, or several memories and the cycles that a byte of flash waits.

    All left out asks for the default plan.
    """

    arena_kib: float | None = None
    memories: tuple[Region, ...] = ()
    flash_cost: float | None = None


class StreamBench(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What feeding a model as data comes saves: ``window_instructions`` are those of the model on one whole window."""

    record: StreamRecord
    window_instructions: int
    window_arena_bytes: int


class CoreBenchResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's cost on one core, for one inference.

    ``ram_bytes`` are static, arena included, without the stack; ``arena_bytes`` is the part that holds inputs, outputs,
    activations and scratch; ``spread`` says where it stands if several memories were named. ``figures`` has the estimates of
    time and energy with their intervals. With ``stream`` all figures are of one push; RAM and arena hold the state and what is
    exchanged as well.
    """

    model: str
    digest: str
    device: str
    core: str
    machine: str
    family: str
    instructions: int
    instructions_per_mac: float
    macs: int
    arena_bytes: int
    ram_bytes: Sized
    flash_bytes: Sized
    stack_bytes: Sized
    weight_bytes: int
    layers: tuple[LayerCost, ...]
    by_class: dict[str, int]
    figures: tuple[Figure, ...]
    parity: tuple[Parity, ...]
    remarks: tuple[str, ...]
    spread: Spread | None = None
    stream: StreamBench | None = None


def bench_core(
    model: Graph | OpaqueModel,
    path: Path,
    target: Target,
    *,
    vectors: int = 32,
    limits: CoreLimits | None = None,
    stream_rows: int | None = None,
    progress: Progress = lambda _what, _part: None,
) -> CoreBenchResult:
    """Measure a model on the emulated core of a target.

    Args:
        model: an integer Graph.
        path: its file.
        target: a profile with runtime ``c``.
        vectors: inputs that are held against the reference, on this machine plain and sanitised and on the core.
        limits: of its memory.
        stream_rows: the model is fed as data comes, so many new rows at a time; ``vectors`` answers are held against those to
            whole windows.
        progress: told what is being done.

    Raises:
        UserError: not an integer Graph, or C cannot be made for the target.
        ToolError: the cross compiler or the emulator is missing or fails.
        DeviceError: the firmware does not answer.
    """
    if isinstance(model, OpaqueModel):
        names = ", ".join(model.unsupported)
        raise UserError(f"has operators outside the Graph ({names}), and C is made from a Graph", where=str(path))
    progress("C", 0.0)
    asked, core = limits or CoreLimits(), emulated_core(target)
    limit = None if asked.arena_kib is None else int(asked.arena_kib * 1024)
    generated = generate(
        model,
        family_of(target),
        name=path.stem,
        arena_limit_bytes=limit,
        memories=asked.memories,
        flash_cost=asked.flash_cost,
    )
    stream: GeneratedStream | None = None
    if stream_rows is not None:
        need_one_arena(asked.memories)
        stream = generate_stream(model, family_of(target), hop_rows=stream_rows, name=path.stem, arena_limit_bytes=limit)
    with tempfile.TemporaryDirectory(prefix="marram-bench-") as folder:
        progress(f"instructions on emulated {core}", 0.2)
        found = on_core(generated, target, Path(folder) / "window")
        if stream is not None:
            saved = StreamBench(
                record=stream_record(stream),
                window_instructions=found.instructions,
                window_arena_bytes=generated.plan.arena_bytes,
            )
            found = on_core(stream.driven, target, Path(folder) / "push", inputs=flowing(stream.streaming))
    progress("parity", 0.4)
    if stream is not None:
        parity = certify_stream(stream, cores=(core,), pushes=vectors, seed=_SEED)
        return msgspec.structs.replace(_result(path, target, stream.driven, found, parity), stream=saved)
    inputs = golden_vectors(generated.graph, vectors, seed=_SEED)
    parity = certify(generated, reference_answers(generated, inputs), cores=(core,), on_core=vectors)
    return _result(path, target, generated, found, parity)


def _result(
    path: Path, target: Target, generated: Generated, found: CoreMeasurement, parity: tuple[Parity, ...]
) -> CoreBenchResult:
    return CoreBenchResult(
        model=str(path),
        digest=digest(path.read_bytes()),
        device=target.name,
        core=found.core,
        machine=found.machine,
        family=generated.family,
        instructions=found.instructions,
        instructions_per_mac=found.instructions / max(found.macs, 1),
        macs=found.macs,
        arena_bytes=found.arena_bytes,
        ram_bytes=Sized(predicted=found.forecast_ram_bytes, measured=found.ram_bytes),
        flash_bytes=Sized(predicted=found.forecast_flash_bytes, measured=found.flash_bytes),
        stack_bytes=Sized(predicted=found.stack_bound_bytes, measured=found.stack_bytes),
        weight_bytes=sum(layer.weight_bytes for layer in generated.layers),
        layers=found.layers,
        by_class=found.by_class,
        figures=core_figures(found, target),
        parity=parity,
        remarks=("Inputs are random or extreme: these are figures of cost, not of accuracy.", *core_marks(target)),
        spread=spread_of(generated.plan),
    )
