"""Generated C for a microcontroller becomes figures: compiled, linked, run and counted on an emulated core.

Sizes are read from the linked image of the smallest application around the model, and held against the forecast that was
made before linking. Instructions are exact. Times and energy are estimates of a stated calibration and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from marram.compile.c.generation import Generated
from marram.compile.toolchain.cross import Compiled, Image, compile_for, link_application, link_harness
from marram.core.codec import digest
from marram.core.evidence import Evidence, Figure, LayerCost
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.program import Program
from marram.core.target import Target
from marram.data.dataset import Dataset
from marram.measure.accuracy import Accuracy, accuracy_figures, answers, graph_predictor
from marram.measure.certificate import certify, reference_answers
from marram.measure.emulator.emulation import EmulatedSession
from marram.measure.emulator.profile import Profile, profile, seeded_inputs
from marram.measure.estimation import estimates, moves
from marram.measure.extremes import golden_vectors
from marram.measure.measurement import Measurement
from marram.sense import Preprocess
from marram.sense.feeding import feed

# Cores without a model in the emulator, and the one that runs the same instructions for them.
_BY_REFERENCE = "answered by the integer reference, which the C equals byte for byte (see parity)"
_STAND_INS = {"cortex-m0plus": "cortex-m0", "cortex-m85": "cortex-m55"}


class CoreMeasurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one program costs on one core.

    ``flash_bytes`` and ``ram_bytes`` are of the linked image, ``ram_bytes`` without the stack; ``forecast_*`` are what was said
    before linking. ``stack_bytes`` was painted during one inference; ``stack_bound_bytes`` is what it cannot exceed.
    """

    core: str
    machine: str
    arena_bytes: int
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    forecast_flash_bytes: int
    forecast_ram_bytes: int
    stack_bound_bytes: int
    code_bytes: int
    instructions: int
    macs: int
    cycles: float
    by_class: dict[str, int]
    by_function: dict[str, int]
    layers: tuple[LayerCost, ...]


def take_core(
    generated: Generated,
    program: Program,
    target: Target,
    dataset: Dataset,
    folder: Path,
    *,
    preprocess: Preprocess | None = None,
    baseline: Accuracy | None = None,
    vectors: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Progress = lambda _what, _part: None,
) -> Measurement:
    """Measure a Program in C: cost and parity on the emulated core, accuracy on the reference that it equals (ADR 5).

    Args:
        generated: the sources, with the Graph that they compute.
        program: the Program that carries them.
        target: the device.
        dataset: the samples, all of which are answered by the reference.
        folder: for objects and images.
        preprocess: what turns samples into inputs; None when they are inputs already.
        baseline: the float model's answers to the same dataset.
        vectors: how many inputs are held against the reference in each place: samples of the dataset, and such that reach
            the extremes of the model's tensors.
        confidence: of all intervals.
        seed: of the draw.
        progress: told what is being done.

    Raises:
        ToolError, UserError, DeviceError: as ``on_core``.
    """
    graph = generated.graph
    found = None
    if dataset.labels:
        found = answers(dataset, graph_predictor(graph, preprocess), progress=progress)
    progress(f"parity on {target.name}", 0.0)
    drawn = _drawn(dataset, preprocess, graph, vectors, seed)
    parity = certify(generated, reference_answers(generated, drawn), cores=(emulated_core(target),), on_core=vectors)
    progress(f"instructions on {target.name}", 0.5)
    cost = on_core(generated, target, folder, inputs=[array[:1] for array in drawn])
    accuracy: tuple[Figure, ...] = ()
    if found is not None:
        accuracy = accuracy_figures(found, baseline=baseline, confidence=confidence)
        accuracy = tuple(msgspec.structs.replace(row, method=f"{row.method}; {_BY_REFERENCE}") for row in accuracy)
    evidence = Evidence(
        program_digest=digest(program),
        data_digest=dataset.digest,
        on=f"emulated {cost.core} ({cost.machine}); accuracy by the integer reference",
        figures=(*accuracy, *core_figures(cost, target)),
        parity=parity,
        confusion=None if found is None else tuple(map(tuple, found.confusion.tolist())),
        layers=cost.layers,
        marks=core_marks(target),
    )
    return Measurement(evidence=evidence, accuracy=found, latency=None)


def _drawn(dataset: Dataset, preprocess: Preprocess | None, graph: Graph, count: int, seed: int) -> tuple[Array, ...]:
    """Inputs of a Graph: samples of the dataset first, then those that reach extremes."""
    own = min(len(dataset), count // 2)
    places = np.sort(np.random.default_rng(seed).choice(len(dataset), own, replace=False))
    parts = [feed(preprocess, samples, graph.input_tensors[0]) for samples, _ in dataset.subset(places).batches(256)]
    extremes = golden_vectors(graph, count - own, seed=seed + 1)
    return (np.concatenate([*parts, extremes[0]]),)


def on_core(generated: Generated, target: Target, folder: Path, *, inputs: Sequence[Array] | None = None) -> CoreMeasurement:
    """Compile, link, run and count.

    Args:
        generated: the sources.
        target: the device; its core is emulated, or a core of the same instructions is.
        folder: for objects and images.
        inputs: of the inference that is counted; None takes seeded random ones.

    Raises:
        ToolError: compiler or emulator are missing or fail.
        UserError: the program fits on no emulated board of the core.
        DeviceError: the firmware does not answer.
    """
    compiled = compiled_for(generated, target, folder)
    application, harness = link_application(compiled), link_harness(compiled)
    given = seeded_inputs(generated.graph.input_tensors) if inputs is None else list(inputs)
    counted = profile(compiled, given, image=harness)
    with EmulatedSession(compiled, image=harness) as session:
        painted = session.device.stack_bytes(given)
    return _measurement(compiled, application, counted, painted)


def compiled_for(generated: Generated, target: Target, folder: Path) -> Compiled:
    """The program in object form for the core that stands for the target's; errors as ``on_core``."""
    return compile_for(generated, emulated_core(target), folder)


def emulated_core(target: Target) -> str:
    """The core that is emulated for a target."""
    return _STAND_INS.get(target.core, target.core)


def core_marks(target: Target) -> tuple[str, ...]:
    """What a reader must know of how a target's figures were taken."""
    core = emulated_core(target)
    marks = [f"instructions were counted on an emulated {core}; times and energy are estimates, no board was used"]
    if core != target.core:
        marks.append(f"the emulator has no {target.core}; {core} executes the same code in its place")
    return tuple(marks)


def core_figures(found: CoreMeasurement, target: Target) -> tuple[Figure, ...]:
    """The figures of a contract's budgets, and those beside them."""
    on = f"emulated {found.core} ({found.machine})"
    return (
        _count("instructions", "instructions", found.instructions, f"counted on {on}, one inference"),
        _count("instructions_per_mac", "instructions/MAC", found.instructions / max(found.macs, 1), f"counted on {on}"),
        Figure(name="flash_bytes", unit="B", value=found.flash_bytes, method="linked image, startup included", kind="measured"),
        Figure(
            name="ram_bytes",
            unit="B",
            value=found.ram_bytes + found.stack_bound_bytes,
            method="static sections of the linked image, arena included, and the bound of the stack",
            kind="measured",
        ),
        Figure(name="arena_bytes", unit="B", value=found.arena_bytes, method="memory plan", kind="computed"),
        Figure(
            name="stack_bytes",
            unit="B",
            value=found.stack_bytes,
            method=f"painted, one inference on {on}; bound {found.stack_bound_bytes} B from the call graph",
            kind="measured",
        ),
        *estimates(found.core, target, instructions=found.instructions, cycles=found.cycles, moved=moves(found.by_class)),
    )


def _count(name: str, unit: str, value: float, method: str) -> Figure:
    return Figure(name=name, unit=unit, value=value, method=method, kind="measured")


def _measurement(compiled: Compiled, application: Image, counted: Profile, painted: int) -> CoreMeasurement:
    generated = compiled.generated
    nodes = {record.name: record for record in generated.layers}
    layers = tuple(
        LayerCost(
            name=row.name,
            node=nodes[row.name].node + (f" and {row.layers - 1} more" if row.layers > 1 else "") if row.name in nodes else "",
            operator=nodes[row.name].operator if row.name in nodes else "",
            macs=row.macs,
            instructions=row.instructions,
            classes=row.by_class,
        )
        for row in counted.layers
    )
    return CoreMeasurement(
        core=compiled.board.core,
        machine=compiled.board.machine,
        arena_bytes=generated.plan.arena_bytes,
        flash_bytes=application.flash_bytes,
        ram_bytes=application.ram_bytes,
        stack_bytes=painted,
        forecast_flash_bytes=compiled.sizes.flash_bytes,
        forecast_ram_bytes=compiled.sizes.ram_bytes,
        stack_bound_bytes=compiled.stack.size_bytes,
        code_bytes=compiled.sizes.code_bytes,
        instructions=counted.instructions,
        macs=counted.macs,
        cycles=counted.cycles,
        by_class=counted.by_class,
        by_function=counted.by_function,
        layers=layers,
    )
