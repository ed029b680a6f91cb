"""``marram compile`` and ``marram export``: C source of one model for a microcontroller; no contract, no data."""

from __future__ import annotations

from pathlib import Path

import msgspec

from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compile import device
from marram.compile.c.archive import Sources, sources_of, unpack
from marram.compile.c.families import family_of
from marram.compile.c.generation import LayerRecord, generate
from marram.compile.export import exported
from marram.compile.memory import MemoryPlan
from marram.compile.memory.drawing import draw_plan
from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.target import Target
from marram.model import load


class CompileResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was written for a device. ``arena_bytes`` holds inputs, outputs, activations and scratch; weights are in flash."""

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


def compile_model(
    model: str | Path,
    *,
    device_name: str,
    out: str | Path,
    name: str | None = None,
    arena_kib: float | None = None,
) -> CompileResult:
    """Write C source of an integer model for a device.

    Args:
        model: an ``.onnx`` or ``.tflite`` file of an integer model.
        device_name: a profile with runtime ``c``.
        out: folder for ``<name>.h``, ``<name>.c`` and ``<name>_plan.svg``; made if it is not there.
        name: prefix of all names in the C; the file's name if not given.
        arena_kib: the most that the arena may hold, in KiB. If not given, the cheapest plan that is not larger than the
            largest set of tensors that live at once; a large number gives the fastest plan of all.

    Raises:
        UserError: no such file or device, floats inside, an operator without a kernel, or the arena cannot be so small.
    """
    path = Path(model)
    target = _c_target(device_name)
    sources = _sources_from_file(path, target, name=name, arena_kib=arena_kib)
    folder = Path(out)
    files = {**sources.files, f"{sources.name}_plan.svg": draw_plan(sources.plan, _task_names(sources))}
    _write(folder, files)
    return _result(sources, target, folder, files)


def export(
    source: str | Path,
    *,
    ecosystem: str,
    out: str | Path,
    device_name: str = "cortex-m4",
    name: str | None = None,
    trust: tuple[str | Path, ...] = (),
) -> CompileResult:
    """Write a folder that builds in an ecosystem: CMake, Arduino, PlatformIO or Zephyr.

    Args:
        source: a model file as for ``compile_model``, or a bundle (``.mrm``) for a device with runtime ``c``.
        ecosystem: ``cmake``, ``arduino``, ``platformio`` or ``zephyr``.
        out: the folder; it must be empty or not there.
        device_name: for a model file, the device; a bundle knows its own.
        name: prefix of all names in the C.
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
        target, sources = _c_target(bundle.program.target), unpack(bundle.program.blob)
    else:
        target = _c_target(device_name)
        sources = _sources_from_file(path, target, name=name, arena_kib=None)
    files = exported(sources, target, ecosystem)
    _write(folder, files)
    return _result(sources, target, folder, files)


def _c_target(name: str) -> Target:
    target = device(name)
    if "c" not in target.runtimes:
        hint = "Devices with runtime c: see marram devices."
        raise UserError(f"{target.name} takes no C: it has {', '.join(target.runtimes)}", where="device", hint=hint)
    return target


def _sources_from_file(path: Path, target: Target, *, name: str | None, arena_kib: float | None) -> Sources:
    graph = load(path)
    if not isinstance(graph, Graph):
        raise UserError("is not a model that C can be made from", where=str(path))
    limit = None if arena_kib is None else int(arena_kib * 1024)
    sources = sources_of(generate(graph, family_of(target), name=name or path.stem, arena_limit_bytes=limit))
    if limit is not None and sources.plan.arena_bytes > limit:
        raise UserError(
            f"the arena cannot be smaller than {sources.plan.arena_bytes} bytes, and {limit} were asked for",
            where=str(path),
            hint="\n  ".join(sources.plan.explanation) or None,
        )
    return sources


def _task_names(sources: Sources) -> tuple[str, ...]:
    return tuple(layer.name for layer in sources.layers)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())


def _result(sources: Sources, target: Target, folder: Path, files: dict[str, str]) -> CompileResult:
    plan: MemoryPlan = sources.plan
    return CompileResult(
        name=sources.name,
        device=target.name,
        family=sources.family,
        folder=str(folder),
        files=tuple(files),
        arena_bytes=plan.arena_bytes,
        largest_live_set_bytes=plan.lower_bound_bytes,
        weight_bytes=sum(layer.weight_bytes for layer in sources.layers),
        table_bytes=sum(layer.table_bytes for layer in sources.layers),
        macs=sum(layer.macs for layer in sources.layers),
        layers=sources.layers,
        explanation=plan.explanation,
    )
