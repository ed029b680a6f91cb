"""``marram compile`` and ``marram export``: C source of one model for a microcontroller; no contract, no data."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec

from marram._build.memories import Spread, check_limits, regions_of, spread_of
from marram._build.streams import StreamRecord, golden_stream, need_one_arena, stream_record
from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compile import device
from marram.compile.c.archive import generated_of, sources_of
from marram.compile.c.families import Family, family_of
from marram.compile.c.generation import Generated, LayerRecord, generate
from marram.compile.c.self_test import self_test_files
from marram.compile.c.streams.generation import GeneratedStream, generate_stream
from marram.compile.export import exported
from marram.compile.memory.drawing import draw_plan
from marram.compile.toolchain.boards import boards, boards_of
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.cross import COMPILER
from marram.compile.toolchain.cross import compile_model as compile_model_for
from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.target import Target
from marram.measure.extremes import golden_vectors
from marram.measure.microcontroller import emulated_core
from marram.model import interpret, load


class Forecast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the smallest application around the model will take: flash, static RAM with the arena, and the stack's bound."""

    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    compiler: str


class CompileResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was written for a device. ``arena_bytes`` holds inputs, outputs, activations and scratch; weights are in flash.

    ``spread`` says what stands where if several memories were named. ``forecast`` is None where the cross compiler is not
    installed or the device has no core that it compiles for. ``stream`` is there where the C is of a stream: sizes and layers
    are then those of one push.
    """

    name: str
    device: str
    family: str
    folder: str
    files: tuple[str, ...]
    arena_bytes: int
    largest_live_set_bytes: int
    weight_bytes: int
    table_bytes: int
    macs: int
    layers: tuple[LayerRecord, ...]
    explanation: tuple[str, ...]
    forecast: Forecast | None
    spread: Spread | None = None
    stream: StreamRecord | None = None


def compile_model(
    model: str | Path,
    *,
    device_name: str,
    out: str | Path,
    name: str | None = None,
    arena_kib: float | None = None,
    self_test_vectors: int = 2,
    pack: bool = False,
    memories: tuple[str, ...] = (),
    flash_cost: float | None = None,
    stream_rows: int | None = None,
) -> CompileResult:
    """Write C source of an integer model for a device.

    Args:
        model: an ``.onnx`` or ``.tflite`` file of an integer model.
        device_name: a profile; for one with an operating system the C is a native library.
        out: folder for ``<name>.h``, ``<name>.c``, the self-test and ``<name>_plan.svg``; made if it is not there.
        name: prefix of all names in the C; the file's name if not given.
        arena_kib: the most that the arena may hold, in KiB. If not given, the cheapest plan that is not larger than the
            largest set of tensors that live at once; a large number gives the fastest plan of all.
        self_test_vectors: how many golden vectors the self-test has.
        pack: layers whose weights fit four or two bits have them so in flash: less of it, more instructions.
        memories: ``NAME[=SIZE][:COST]`` of each memory that the model may use, as ``_build.memories.regions_of`` has it.
        flash_cost: with ``memories``, cycles that a byte read from flash waits: constants are copied where they wait less.
        stream_rows: the model is fed as data comes, so many new rows of its window at a time.

    Raises:
        UserError: no such file or device, floats inside, an operator without a kernel, the arena cannot be so small, or the
            model makes no stream.
    """
    target, path = device(device_name), Path(model)
    check_limits(memories, arena_kib, flash_cost)
    graph, family = load(path), family_of(target)
    stream = None
    if stream_rows is not None:
        need_one_arena(memories)
        stream = _stream_within(graph, family, path, name=name, arena_kib=arena_kib, pack=pack, rows=stream_rows)
        generated = stream.generated
    elif memories:
        regions = regions_of(memories, target)
        generated = generate(graph, family, name=name or path.stem, pack_weights=pack, memories=regions, flash_cost=flash_cost)
    else:
        generated = _within(graph, family, path, name=name, arena_kib=arena_kib, pack=pack)
    self_test = _self_test(generated, self_test_vectors) if stream is None else golden_stream(stream, self_test_vectors)
    sources, folder = sources_of(generated), Path(out)
    drawing = draw_plan(sources.plan, [layer.name for layer in sources.layers])
    files = {**sources.files, **self_test, f"{sources.name}_plan.svg": drawing}
    _write(folder, files)
    return _result(generated, target, folder, files, stream)


def export(
    source: str | Path,
    *,
    ecosystem: str,
    out: str | Path,
    device_name: str = "cortex-m4",
    name: str | None = None,
    arena_kib: float | None = None,
    self_test_vectors: int = 2,
    trust: tuple[str | Path, ...] = (),
) -> CompileResult:
    """Write a folder that builds in an ecosystem: CMake, Arduino, PlatformIO or Zephyr.

    Args:
        source: a model file as for ``compile_model``, or a bundle (``.mrm``) for a device with runtime ``c``.
        ecosystem: ``cmake``, ``arduino``, ``platformio`` or ``zephyr``.
        out: the folder; it must be empty or not there.
        device_name: for a model file, the device; a bundle knows its own.
        name: prefix of all names in the C.
        arena_kib: for a model file, as ``compile_model`` has it.
        self_test_vectors: for a model file, as ``compile_model`` has it; a bundle brings its own.
        trust: public keys for a bundle; its project's own if none are given.

    Raises:
        UserError: as ``compile_model``; the folder is not empty; or the bundle holds no C.
        IntegrityError: the bundle cannot be trusted.
    """
    path, folder = Path(source), Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise UserError("is not empty, and nothing in it is overwritten", where=str(folder), hint="Give a new folder.")
    if path.suffix == ".mrm":
        bundle = open_bundle(path, trusted_keys(path, trust))
        if bundle.program.format != "c":
            raise UserError(f"holds a program for {bundle.program.runtime}, not C", where=str(path))
        target, generated = device(bundle.program.target), generated_of(bundle.program)
        self_test = self_test_files(generated.name, bundle.golden.inputs, bundle.golden.outputs)
    else:
        target = device(device_name)
        generated = _within(load(path), family_of(target), path, name=name, arena_kib=arena_kib, pack=False)
        self_test = _self_test(generated, self_test_vectors)
    files = exported(sources_of(generated), target, ecosystem, self_test=self_test)
    result = _result(generated, target, folder, files)
    if result.forecast is not None:
        files["README.md"] += _sizes_text(result.forecast)
    _write(folder, files)
    return result


def _within(graph: Graph, family: Family, path: Path, *, name: str | None, arena_kib: float | None, pack: bool) -> Generated:
    """Generated C of a model file's Graph, in one arena."""
    limit = _limit(arena_kib)
    generated = generate(graph, family, name=name or path.stem, arena_limit_bytes=limit, pack_weights=pack)
    _need_arena(generated, limit, path)
    return generated


def _stream_within(
    graph: Graph, family: Family, path: Path, *, name: str | None, arena_kib: float | None, pack: bool, rows: int
) -> GeneratedStream:
    """Generated C of the streaming form of a model file's Graph."""
    limit = _limit(arena_kib)
    stream = generate_stream(graph, family, hop_rows=rows, name=name or path.stem, arena_limit_bytes=limit, pack_weights=pack)
    _need_arena(stream.generated, limit, path)
    return stream


def _limit(arena_kib: float | None) -> int | None:
    return None if arena_kib is None else int(arena_kib * 1024)


def _need_arena(generated: Generated, limit: int | None, path: Path) -> None:
    if limit is not None and generated.plan.arena_bytes > limit:
        raise UserError(
            f"the arena cannot be smaller than {generated.plan.arena_bytes} bytes, and {limit} were asked for",
            where=str(path),
            hint="\n  ".join(generated.plan.explanation) or None,
        )


def _self_test(generated: Generated, vectors: int) -> dict[str, str]:
    """Golden vectors as C."""
    inputs = golden_vectors(generated.graph, vectors)
    plan = generated.plan if generated.plan.memories else None
    return self_test_files(generated.name, inputs, interpret(generated.graph, list(inputs)), plan=plan)


def _forecast(generated: Generated, target: Target) -> Forecast | None:
    """Sizes before linking, where the cross compiler is there and knows the core."""
    core = emulated_core(target)
    if shutil.which(COMPILER) is None or core not in {board.core for board in boards()}:
        return None
    with tempfile.TemporaryDirectory(prefix="marram-compile-") as folder:
        compiled = compile_model_for(generated, boards_of(core)[-1], Path(folder))
        said = call([COMPILER, "--version"], folder=Path(folder)).splitlines()[0]
    return Forecast(
        flash_bytes=compiled.sizes.flash_bytes,
        ram_bytes=compiled.sizes.ram_bytes,
        stack_bytes=compiled.stack.size_bytes,
        compiler=said,
    )


def _sizes_text(forecast: Forecast) -> str:
    return f"""
## Sizes

The smallest application around the model, startup included, as {forecast.compiler} builds it with `-O2`:

- flash {forecast.flash_bytes:,} bytes, weights included
- static RAM {forecast.ram_bytes:,} bytes, arena included
- stack of one run at most {forecast.stack_bytes:,} bytes, interrupts not counted
"""


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())


def _result(
    generated: Generated, target: Target, folder: Path, files: dict[str, str], stream: GeneratedStream | None = None
) -> CompileResult:
    plan, layers = generated.plan, generated.layers
    return CompileResult(
        name=generated.name,
        device=target.name,
        family=generated.family,
        folder=str(folder),
        files=tuple(files),
        arena_bytes=plan.arena_bytes,
        largest_live_set_bytes=plan.lower_bound_bytes,
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        table_bytes=sum(layer.table_bytes for layer in layers),
        macs=sum(layer.macs for layer in layers),
        layers=layers,
        explanation=plan.explanation,
        forecast=_forecast(generated if stream is None else stream.driven, target),
        spread=spread_of(plan),
        stream=None if stream is None else stream_record(stream),
    )
