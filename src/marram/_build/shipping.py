"""Each target's programs made, measured against each other, judged, and the best one sealed."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

import marram
from marram._build.gathering import Gathered
from marram._build.order import Order
from marram._build.project import Project
from marram.bundle import FileSigner, new_key, seal
from marram.compile import build as build_program
from marram.compile import candidates, device
from marram.compile.programs import Precision
from marram.core.codec import digest
from marram.core.contract import TargetSection
from marram.core.durable import write_atomically
from marram.core.errors import MissingExtra
from marram.core.evidence import Evidence, Parity, Verdict
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.manifest import Golden
from marram.core.program import Program
from marram.core.recipe import Recipe
from marram.core.target import Target
from marram.measure import (
    Accuracy,
    Latency,
    Measurement,
    Subject,
    budget_limits,
    compare,
    describe_machine,
    fastest,
    judge,
    latency_inputs,
    promise_limits,
    session_outputs,
    take,
    time_calls,
    weigh,
)
from marram.model import interpret
from marram.report.record import Attempt, TargetResult
from marram.runtime.backends import runner
from marram.sense.feeding import feed

_SEED = 0
_CALLS = 1000
_CURVE_POINTS = 201
_GOLDEN_VECTORS = (4, 16)  # least and most
_GOLDEN_BYTES = 32 << 10  # of raw samples, between these: a bundle travels over thin links
_PROBE = (sys.executable, "-m", "marram.runtime.probe")
_NO_LICENCE = "The project states no licence for this model.\n"


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """What programs are made of: the float and the integer Graph, or a file that is carried as it came."""

    exact: Graph | None
    integer: Graph | None
    opaque: OpaqueModel | None
    recipe: Recipe | None

    def of(self, precision: Precision) -> Graph | OpaqueModel | None:
        """The model of a precision, None if there is none."""
        return self.opaque or (self.integer if precision == "int8" else self.exact)

    def graph_of(self, program: Program) -> Graph | None:
        """The Graph that a program was made from; None for an opaque model."""
        return None if self.opaque else self.integer if program.precision == "int8" else self.exact


class _Programs(msgspec.Struct, frozen=True, kw_only=True):
    programs: tuple[Program, ...]


class _Latencies(msgspec.Struct, frozen=True, kw_only=True):
    latencies: tuple[Latency, ...]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A program with what was measured of it and how it was judged."""

    program: Program
    measurement: Measurement
    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise and budget was measured and holds."""
        return all(verdict.kept is True for verdict in self.verdicts)


class Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """What all targets of a build share when their programs are made: the order, the data, the models."""

    order: Order
    gathered: Gathered
    models: Models


def ship(shipping: Shipping, name: str, baseline: Measurement | None) -> TargetResult:
    """Make, measure, judge and seal for one target.

    Args:
        shipping: what all targets share.
        name: the target's, in the contract.
        baseline: the float model's answers, which drops and flips are counted from.

    Raises:
        UserError: the device cannot take the model.
    """
    contract = shipping.order.contract
    section = contract.targets[name]
    target = profile(shipping, section)
    programs = programs_for(shipping, section, target)
    latencies = _latencies(shipping, name, target, programs)
    limits = (*promise_limits(contract.promises), *budget_limits(section))
    answers = None if baseline is None else baseline.accuracy
    tried = []
    for program, latency in zip(programs, latencies, strict=True):
        measurement = measured(shipping, program, target, latency=latency, baseline=answers)
        verdicts = judge(limits, measurement.evidence, subject=name)
        tried.append(Tried(program=program, measurement=measurement, verdicts=verdicts))
    return _sealed(shipping, name, tuple(tried))


def profile(shipping: Shipping, section: TargetSection) -> Target:
    """The device profile that a target names; a path is taken from the project's folder."""
    path = shipping.order.project.folder / section.device
    return device(path if section.device.endswith(".toml") else section.device)


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
    inputs = (digest(program), gathered.test.digest, gathered.preprocess, digest(baseline), digest(latency), target.here)

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
            confidence=order.contract.promises.confidence,
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


def _sealed(shipping: Shipping, name: str, tried: tuple[Tried, ...]) -> TargetResult:
    order, gathered = shipping.order, shipping.gathered
    chosen = _choose(tried)
    program, evidence = chosen.program, chosen.measurement.evidence
    golden, tolerance = _golden(shipping, program, evidence)
    data = seal(
        program,
        name=order.contract.model.name,
        version=order.contract.model.version,
        golden=golden,
        evidence=evidence,
        contract=order.text,
        licence=_licence(order.project.folder),
        created_by=f"marram {marram.__version__}",
        signers=(_signer(order.project),),
        labels=gathered.labels,
        preprocess=gathered.preprocess,
        recipe=shipping.models.recipe if program.precision == "int8" else None,
        data_digest=gathered.digest,
        golden_tolerance=tolerance,
    )
    path = order.project.dist / f"{name}.mrm"
    write_atomically(path, data)
    return TargetResult(
        name=name,
        device=order.contract.targets[name].device,
        bundle=str(path.relative_to(order.project.folder)),
        bundle_digest=digest(data),
        bundle_bytes=len(data),
        runtime=program.runtime,
        precision=program.precision,
        evidence=evidence,
        verdicts=chosen.verdicts,
        attempts=tuple(_attempt(one, chosen=one is chosen) for one in tried),
    )


def _golden(shipping: Shipping, program: Program, evidence: Evidence) -> tuple[Golden, float]:
    """Vectors with the reference's answers; the tolerance is the largest difference seen, here and on the test part."""
    samples = _spread_samples(shipping.gathered)
    inputs = (feed(shipping.gathered.preprocess, samples, program.inputs[0]),)
    graph = shipping.models.graph_of(program)
    session = runner(program.runtime).open(program, threads=1)
    try:
        if graph is None:
            rows = [session.run([inputs[0][index : index + 1]]) for index in range(len(samples))]
            outputs = found = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
        else:
            outputs, found = interpret(graph, inputs), session_outputs(session, program, graph, inputs)
    finally:
        session.close()
    seen = compare(outputs, found, vectors=inputs, runtime=program.runtime, reference_name="reference")
    return Golden(inputs=inputs, outputs=outputs, samples=samples), _tolerance((seen, *evidence.parity), outputs, program)


def _signer(project: Project) -> FileSigner:
    """The project's own key, made when it is first needed; its public half goes beside the bundles."""
    if not project.signing_key.exists():
        _make_key(project)
    signer = FileSigner(project.signing_key)
    for path in (project.public_key, project.dist / "signing.pub"):
        write_atomically(path, signer.public_key.encode() + b"\n")
    return signer


def _make_key(project: Project) -> None:
    """Make the key under another name first, so that a build killed meanwhile leaves no half of one."""
    draft = project.signing_key.with_suffix(".draft")
    for path in (draft, draft.with_name(draft.name + ".pub")):
        path.unlink(missing_ok=True)
    new_key(draft)
    draft.with_name(draft.name + ".pub").replace(project.public_key)
    draft.replace(project.signing_key)


def _choose(tried: tuple[Tried, ...]) -> Tried:
    """The one to seal: among those that keep everything (all, if none does) int8 before float32, then the fastest.

    Equally fast ones are not told apart by noise: then the smallest is taken.
    """
    fit = [one for one in tried if one.kept] or list(tried)
    fit = [one for one in fit if one.program.precision == "int8"] or fit
    latencies = [one.measurement.latency for one in fit if one.measurement.latency is not None]
    return fit[fastest(latencies, seed=_SEED)] if len(latencies) == len(fit) else fit[0]


def _attempt(tried: Tried, *, chosen: bool) -> Attempt:
    latency, accuracy = tried.measurement.latency, tried.measurement.accuracy
    calls: tuple[float, ...] = ()
    if latency is not None:
        calls = tuple(latency.quantile_us(share) for share in np.linspace(0, 1, _CURVE_POINTS).tolist())
    return Attempt(
        runtime=tried.program.runtime,
        precision=tried.program.precision,
        size_bytes=tried.program.size_bytes,
        accuracy=None if accuracy is None else accuracy.value,
        latency_us=None if latency is None else latency.quantile_us(0.5),
        calls_us=calls,
        kept=tried.kept,
        chosen=chosen,
    )


def _tolerance(parity: tuple[Parity, ...], outputs: tuple[Array, ...], program: Program) -> float:
    seen = max(row.largest for row in parity)
    if all(tensor.dtype != "float32" for tensor in program.outputs):
        return float(seen)
    largest = max(float(np.abs(array).max()) for array in outputs)
    return max(4.0 * float(seen), 1e-4 * max(largest, 1.0))


def _spread_samples(gathered: Gathered) -> Array:
    """Raw samples spread over the test part."""
    ((first, _),) = gathered.test.subset(np.arange(1)).batches(1)
    least, most = _GOLDEN_VECTORS
    count = min(max(least, min(most, _GOLDEN_BYTES // first.nbytes)), len(gathered.test))
    places = np.linspace(0, len(gathered.test) - 1, count).astype(np.int64)
    ((samples, _),) = gathered.test.subset(places).batches(count)
    return samples


def _licence(folder: Path) -> str:
    path = folder / "LICENSE"
    return path.read_text(encoding="utf-8") if path.is_file() else _NO_LICENCE


def _versions(target: Target) -> list[tuple[str, str | None]]:
    from marram._build.diagnosis import installed_version

    names = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime", "openvino": "openvino"}
    return [(runtime, installed_version(names[runtime])) for runtime in target.runtimes if runtime in names]
