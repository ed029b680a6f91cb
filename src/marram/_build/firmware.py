"""Targets that take C: the program generated within the RAM of the contract, proven and counted on an emulated core."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from marram._build.shipment import Shipping, Tried
from marram.compile.c.archive import unpack
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.c.text.sources import identifier, kernels_digest
from marram.compile.for_c import program_of
from marram.compile.memory.drawing import draw_plan
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.cross import COMPILER, Compiled
from marram.core.codec import digest
from marram.core.contract import TargetSection
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.graph import Graph
from marram.core.program import Program
from marram.core.target import Target
from marram.measure import Accuracy, Measurement, budget_limits, judge, promise_limits
from marram.measure.microcontroller import compiled_for, take_core

_ATTEMPTS = 4
_SEED = 0
_CORE_VECTORS = 64  # on each place of a build; campaigns run more


def takes_c(section: TargetSection, target: Target) -> bool:
    """Whether a target's program is generated C."""
    return target.runtimes == ("c",) and section.runtime in {None, "c"}


def tried_c(shipping: Shipping, name: str, target: Target, baseline: Accuracy | None) -> Tried:
    """One program in C: made to fit, proven and counted on an emulated core, judged."""
    order, gathered = shipping.order, shipping.gathered
    section = order.contract.targets[name]
    graph = _integer_graph(shipping, name, section)
    name_in_c = identifier(order.contract.model.name)
    made_by = (kernels_digest(), call([COMPILER, "--version"], folder=order.project.folder).splitlines()[0])
    fit = order.cache.stage(
        f"program for {section.device}, c",
        1,
        (digest(graph), target, section, name_in_c, made_by, shipping.models.packed),
        Fitted,
        lambda: fitted(graph, target, section, name=name_in_c, pack=shipping.models.packed),
    )
    program = fit.program

    def measure() -> Measurement:
        with tempfile.TemporaryDirectory(prefix="marram-core-") as folder:
            return take_core(
                again(graph, program, target, pack=shipping.models.packed),
                program,
                target,
                gathered.test,
                Path(folder),
                preprocess=gathered.preprocess,
                baseline=baseline,
                vectors=_CORE_VECTORS,
                confidence=shipping.interval_confidence,
                seed=_SEED,
                progress=order.progress,
            )

    answers = (gathered.test.digest, gathered.preprocess, digest(baseline), shipping.interval_confidence)
    inputs = (digest(program), answers, target, made_by)
    measurement = order.cache.stage(f"evidence on {section.device}", 1, inputs, Measurement, measure)
    limits = (*promise_limits(order.contract.promises), *budget_limits(section))
    verdicts = judge(limits, measurement.evidence, subject=name)
    notes = (*fit.notes, *memory_notes(program))
    return Tried(models=shipping.models, program=program, measurement=measurement, verdicts=verdicts, notes=notes)


def _integer_graph(shipping: Shipping, name: str, section: TargetSection) -> Graph:
    models = shipping.models
    if models.opaque is not None:
        raise UnsupportedOperator(models.opaque.unsupported[0], node=f"(of {models.opaque.name}, for {section.device})")
    if section.precision == "float32" or models.integer is None:
        raise UserError(
            f"{section.device} takes integers only", where=f"targets.{name}.precision", hint='Leave it out, or "int8".'
        )
    return models.integer


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A Program in C, and what is to be said of how it came to fit, or why it does not."""

    program: Program
    notes: tuple[str, ...]


def fitted(graph: Graph, target: Target, section: TargetSection, *, name: str, pack: bool = False) -> Fitted:
    """C for a target whose RAM, stack included, stays within the contract's, if that can be had.

    The fastest plan within the whole budget is tried first. Where the rest of the image needs too much, the arena is given
    what is left; the smallest plan that there is stands in for one that fits, and a note says what would have been enough.

    Args:
        graph: integer.
        target: the device.
        section: its budget, of which ``ram_kib`` counts here.
        name: prefix of all names in the C.
        pack: weights of fewer bits than 8 stand packed in flash.

    Raises:
        UserError: the graph cannot become C for this target.
        ToolError: the cross compiler is missing or fails.
    """
    limit = None if section.ram_kib is None else int(section.ram_kib * 1024)
    generated = generate(graph, family_of(target), name=name, arena_limit_bytes=limit, pack_weights=pack)
    notes: list[str] = []
    if limit is not None:
        generated, notes = _within(graph, target, generated, limit, pack=pack)
    return Fitted(program=program_of(generated, graph, target), notes=tuple(notes))


def again(graph: Graph, program: Program, target: Target, *, pack: bool = False) -> Generated:
    """The generated C of a Program with the Graph that it computes, which the Program does not carry."""
    sources = unpack(program.blob)
    arena = sources.plan.arena_bytes
    generated = generate(graph, family_of(target), name=sources.name, arena_limit_bytes=arena, pack_weights=pack)
    assert generated.files == sources.files, "generation is not deterministic"
    return generated


def memory_drawing(program: Program) -> str:
    """The arena of a Program in C as SVG."""
    sources = unpack(program.blob)
    return draw_plan(sources.plan, [layer.name for layer in sources.layers])


def memory_notes(program: Program) -> tuple[str, ...]:
    """What the planner says of a Program's arena."""
    return unpack(program.blob).plan.explanation


def _within(graph: Graph, target: Target, generated: Generated, limit_bytes: int, *, pack: bool) -> tuple[Generated, list[str]]:
    needed = _needed(generated, target)
    for _ in range(_ATTEMPTS):
        if needed <= limit_bytes:
            return generated, []
        arena = max(generated.plan.arena_bytes - (needed - limit_bytes), 0)
        smaller = generate(graph, family_of(target), name=generated.name, arena_limit_bytes=arena, pack_weights=pack)
        if smaller.plan.arena_bytes >= generated.plan.arena_bytes:
            break
        generated, needed = smaller, _needed(smaller, target)
    if needed <= limit_bytes:
        return generated, []
    kib = -(-needed * 10 // 1024) / 10
    what = f"{limit_bytes} B of RAM cannot be met: the smallest plan needs {needed} B"
    return generated, [f"{what}. The nearest budget that can be: ram_kib = {kib}"]


def _needed(generated: Generated, target: Target) -> int:
    """RAM of the smallest application, stack included, as forecast before linking."""
    with tempfile.TemporaryDirectory(prefix="marram-fit-") as folder:
        compiled: Compiled = compiled_for(generated, target, Path(folder))
        return compiled.sizes.ram_bytes + compiled.stack.size_bytes
