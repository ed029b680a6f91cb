"""Each target's programs made, measured against each other and judged."""

from __future__ import annotations

import sys

import msgspec

from marram._build.firmware import memory_drawing, takes_c, tried_c
from marram._build.profiles import profile_of
from marram._build.sealing import choose, sealed
from marram._build.shipment import Shipping, Tried
from marram.compile import build as build_program
from marram.compile import candidates
from marram.compile.programs import Precision
from marram.core.codec import digest
from marram.core.contract import TargetSection
from marram.core.errors import MissingExtra
from marram.core.graph import Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Target
from marram.measure import (
    Accuracy,
    Latency,
    Measurement,
    Subject,
    budget_limits,
    describe_machine,
    judge,
    latency_inputs,
    promise_limits,
    take,
    time_calls,
    weigh,
)
from marram.report.record import TargetResult
from marram.runtime.backends import runner

_SEED = 0
_CALLS = 1000
_PROBE = (sys.executable, "-m", "marram.runtime.probe")


class _Programs(msgspec.Struct, frozen=True, kw_only=True):
    programs: tuple[Program, ...]


class _Latencies(msgspec.Struct, frozen=True, kw_only=True):
    latencies: tuple[Latency, ...]


def ship(shipping: Shipping, name: str, baseline: Measurement | None) -> TargetResult:
    """Make, measure, judge and seal for one target.

    Args:
        shipping: what all targets share.
        name: the target's, in the contract.
        baseline: the float model's answers, which drops and flips are counted from.

    Raises:
        UserError: the device cannot take the model.
    """
    tried = tried_for(shipping, name, baseline)
    return shipped(shipping, name, tried, choose(tried))


def shipped(shipping: Shipping, name: str, tried: tuple[Tried, ...], chosen: Tried) -> TargetResult:
    """Seal the chosen one, and say of a program in C where its arena goes."""
    result = sealed(shipping, name, tried, chosen)
    if chosen.program.format != "c":
        return result
    return msgspec.structs.replace(result, memory_plan=memory_drawing(chosen.program), memory_notes=chosen.notes)


def tried_for(shipping: Shipping, name: str, baseline: Measurement | None) -> tuple[Tried, ...]:
    """Every program that the contract lets a target have of the models, measured and judged; errors as ``ship``."""
    contract = shipping.order.contract
    section = contract.targets[name]
    target = profile(shipping, section)
    answers = None if baseline is None else baseline.accuracy
    if takes_c(section, target):
        return (tried_c(shipping, name, target, answers),)
    programs = programs_for(shipping, section, target)
    latencies = _latencies(shipping, name, target, programs)
    limits = (*promise_limits(contract.promises), *budget_limits(section))
    tried = []
    for program, latency in zip(programs, latencies, strict=True):
        measurement = measured(shipping, program, target, latency=latency, baseline=answers)
        verdicts = judge(limits, measurement.evidence, subject=name)
        tried.append(Tried(models=shipping.models, program=program, measurement=measurement, verdicts=verdicts))
    return tuple(tried)


def profile(shipping: Shipping, section: TargetSection) -> Target:
    """The device profile that a target names."""
    return profile_of(shipping.order.project.folder, section)


def programs_for(shipping: Shipping, section: TargetSection, target: Target) -> tuple[Program, ...]:
    """Every program that the contract lets a target have, the smallest first."""
    precisions: tuple[Precision, ...] = ("int8", "float32") if section.precision is None else (section.precision,)
    made: list[Program] = []
    for precision in precisions:
        model = shipping.models.of(precision)
        if model is None:
            continue
        try:
            made += _programs_of(shipping, model, section, target, precision)
        except MissingExtra:
            # a file that is carried as it came needs its runtime's own quantiser; without it the float program remains
            if section.precision is not None or not isinstance(model, OpaqueModel):
                raise
    distinct = {digest(program): program for program in made}
    return tuple(sorted(distinct.values(), key=lambda program: program.size_bytes))


def measured(
    shipping: Shipping, program: Program, target: Target, *, latency: Latency | None, baseline: Accuracy | None
) -> Measurement:
    """The evidence of a program on the whole test part."""
    gathered, order = shipping.gathered, shipping.order
    answers = (gathered.test.digest, gathered.preprocess, digest(baseline), shipping.interval_confidence)
    inputs = (digest(program), answers, digest(latency), target.here)

    def make() -> Measurement:
        return take(
            program,
            runner(program.runtime),
            gathered.test,
            preprocess=gathered.preprocess,
            graph=shipping.models.graph_of(program),
            baseline=baseline,
            here=target.here,
            probe=_PROBE if target.here else None,
            latency=latency,
            confidence=shipping.interval_confidence,
            seed=_SEED,
            progress=order.progress,
        )

    return order.cache.stage(f"evidence of {program.runtime}, {program.precision}", 1, inputs, Measurement, make)


def _programs_of(
    shipping: Shipping, model: Graph | OpaqueModel, section: TargetSection, target: Target, precision: Precision
) -> tuple[Program, ...]:
    """The programs of one precision, from the cache if the model and the installed runtimes are the same."""
    gathered = shipping.gathered
    opaque = isinstance(model, OpaqueModel)
    inputs = (
        digest(model),
        (section.device, section.runtime, precision),
        _versions(target),
        digest(gathered.calibration) if opaque else None,
    )

    def make() -> _Programs:
        wanted: Precision | None = "int8" if precision == "int8" else None
        calibration = [gathered.calibration] if opaque and wanted else None
        if section.runtime is None:
            programs = candidates(model, target, precision=wanted, calibration=calibration)
        else:
            only = build_program(model, target, runtime=section.runtime, precision=wanted, calibration=calibration)
            programs = (only,)
        if opaque:
            for program in programs:  # a file that nobody here has read can end a runtime's process: not this one
                weigh(program, _PROBE)
        return _Programs(programs=programs)

    return shipping.order.cache.stage(f"programs for {section.device}, {precision}", 1, inputs, _Programs, make).programs


def _latencies(shipping: Shipping, name: str, target: Target, programs: tuple[Program, ...]) -> tuple[Latency | None, ...]:
    """Interleaved calls of all programs; None for each where the device is another machine."""
    if not target.here:
        return (None,) * len(programs)
    gathered, order = shipping.gathered, shipping.order
    inputs = ([digest(program) for program in programs], gathered.test.digest, describe_machine())

    def make() -> _Latencies:
        sessions = [runner(program.runtime).open(program, threads=1) for program in programs]
        try:
            subjects = [
                Subject(session=session, inputs=latency_inputs(program, gathered.test, gathered.preprocess))
                for session, program in zip(sessions, programs, strict=True)
            ]
            return _Latencies(latencies=time_calls(subjects, seed=_SEED, calls=_CALLS, progress=order.progress))
        finally:
            for session in sessions:
                session.close()

    return order.cache.stage(f"latency on {name}", 1, inputs, _Latencies, make).latencies


def _versions(target: Target) -> list[tuple[str, str | None]]:
    from marram._build.diagnosis import installed_version

    names = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime", "openvino": "openvino"}
    return [(runtime, installed_version(names[runtime])) for runtime in target.runtimes if runtime in names]
