"""The best of what was tried for a target, with its proof, in one signed file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import marram
from marram._build.accounting import account
from marram._build.gathering import Gathered
from marram._build.pricing import priced
from marram._build.project import Project
from marram._build.running import runner_here
from marram._build.shipment import Models, Shipping, Tried
from marram.bundle import FileSigner, new_key, seal
from marram.compile.c.lowering import lower
from marram.core.codec import digest
from marram.core.durable import write_atomically
from marram.core.evidence import Evidence, Parity
from marram.core.graph import Array, Graph
from marram.core.ledger import Ledger
from marram.core.manifest import Golden
from marram.core.program import Program
from marram.measure import compare, fastest, session_outputs
from marram.measure.extremes import golden_vectors
from marram.model import interpret
from marram.report.record import Attempt, TargetResult
from marram.sense.feeding import feed

_SEED = 0
_CURVE_POINTS = 201
_GOLDEN_VECTORS = (4, 16)  # least and most
_GOLDEN_BYTES = 32 << 10  # of raw samples, between these: a bundle travels over thin links
_NO_LICENCE = "The project states no licence for this model.\n"


def sealed(shipping: Shipping, name: str, tried: tuple[Tried, ...], chosen: Tried) -> TargetResult:
    """Write the bundle of the one that was chosen among what was tried for a target."""
    order, gathered = shipping.order, shipping.gathered
    models, program, evidence = chosen.models, chosen.program, chosen.measurement.evidence
    golden, tolerance = _golden(gathered, models, program, evidence)
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
        recipe=models.recipe if program.precision == "int8" else None,
        ledger=_ledger(shipping, name, models) if program.precision == "int8" else None,
        data_digest=gathered.digest,
        golden_tolerance=tolerance,
    )
    path = shipping.place or order.project.dist / f"{name}.mrm"
    if not path.is_file() or path.read_bytes() != data:
        order.cache.end_dry_run(f"bundle {name}")
        write_atomically(path, data)
    return TargetResult(
        name=name,
        device=order.contract.targets[name].device,
        bundle=str(path.relative_to(order.project.folder) if path.is_relative_to(order.project.folder) else path),
        bundle_digest=digest(data),
        bundle_bytes=len(data),
        runtime=program.runtime,
        precision=program.precision,
        evidence=evidence,
        verdicts=chosen.verdicts,
        attempts=tuple(_attempt(one, chosen=one is chosen) for one in tried),
    )


def _ledger(shipping: Shipping, name: str, models: Models) -> Ledger | None:
    """What each decision gained and cost; None where nothing was decided here, as with a file that holds integers."""
    if models.recipe is None or models.base is None:
        return None
    order, gathered = shipping.order, shipping.gathered
    return account(order, models.base, models.recipe, gathered, trials=models.trials, priced=priced(order, name))


def _golden(gathered: Gathered, models: Models, program: Program, evidence: Evidence) -> tuple[Golden, float]:
    """Vectors with the reference's answers; the tolerance is the largest difference seen, here and on the test part."""
    samples = _spread_samples(gathered)
    inputs = (feed(gathered.preprocess, samples, program.inputs[0]),)
    graph = models.graph_of(program)
    if graph is not None and program.format == "c":
        graph = lower(graph)  # the one that the C equals
    if program.format == "c" and graph is not None:
        inputs = (np.concatenate([inputs[0], _extremes(graph)[0]]),)
    session = runner_here(program).open(program, threads=1)
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


def _extremes(graph: Graph) -> tuple[Array, ...]:
    """Golden inputs that drive the model's tensors to their ends, as many as a thin link carries."""
    size = sum(tensor.size_bytes for tensor in graph.input_tensors)
    least, most = _GOLDEN_VECTORS
    return golden_vectors(graph, min(max(least, _GOLDEN_BYTES // max(size, 1)), most), seed=_SEED)


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


def choose(tried: tuple[Tried, ...]) -> Tried:
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
        size_bytes=_size_bytes(tried),
        accuracy=None if accuracy is None else accuracy.value,
        latency_us=None if latency is None else latency.quantile_us(0.5),
        calls_us=calls,
        kept=tried.kept,
        chosen=chosen,
        model=tried.models.title,
    )


def _size_bytes(tried: Tried) -> int:
    """What a program weighs on its device: its file, or for C the flash that its image takes."""
    flash = tried.measurement.evidence.figure("flash_bytes") if tried.program.format == "c" else None
    return tried.program.size_bytes if flash is None or flash.value is None else int(flash.value)


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
