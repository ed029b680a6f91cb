"""The main job: a contract in, a proven bundle for each target out. ``build`` reads top to bottom."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

import marram
from marram._build.accepting import record, ship_found
from marram._build.cache import Cache, Plan, StageRecord
from marram._build.fingerprint import fingerprint
from marram._build.firmware import takes_c
from marram._build.gathering import Gathered, gather
from marram._build.modelling import Modelled, is_integer, obtain
from marram._build.order import Order
from marram._build.profiles import profile_of
from marram._build.project import Project, exclusive, find_project
from marram._build.searching import check, search, search_of
from marram._build.shipment import Models, Shipping
from marram._build.shipping import measured, profile, programs_for, ship
from marram._build.shrinking import Shrunk, shrink
from marram.compress import fold
from marram.core.codec import decode, digest, encode
from marram.core.contract import Contract, TargetSection
from marram.core.contract_file import parse
from marram.core.durable import remove_parts, write_atomically
from marram.core.errors import ContractError, IntegrityError, UserError
from marram.core.ports import Progress
from marram.measure import Measurement
from marram.model import describe, draw
from marram.model.counts import counts
from marram.report.page import page
from marram.report.record import BuildResult, ModelSummary, Stage, TargetResult
from marram.search.acceptance import contradictions, too_few_samples
from marram.search.engines import Engine, processes, serial

REPORT_NAME = "report.html"


class _Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last result, what the project looked like then, and the report's digest."""

    fingerprint: str
    report_digest: str
    result: BuildResult


def build(
    place: str | Path = ".", *, engine: Engine | None = None, progress: Progress = lambda _what, _part: None
) -> BuildResult:
    """Build every target of a contract and prove it.

    Nothing is done when nothing has changed; what was finished before an interruption is not done again.

    Args:
        place: a project folder, or its ``marram.toml``.
        engine: what runs the trials of a search; it changes how long they take, nothing else. None: as many processes as
            this machine has processors.
        progress: told what is being done.

    Returns:
        What was made and which promises hold; ``kept`` sums that up.

    Raises:
        ContractError: mistakes in the contract, all of them.
        UserError: data, model or device that cannot be used.
    """
    project = find_project(Path(place))
    with exclusive(project):
        text, contract = _contract(project)
        stamp = _fingerprint(project, contract)
        saved = _saved(project)
        if saved is not None and saved.fingerprint == stamp and _intact(project, saved):
            return msgspec.structs.replace(saved.result, up_to_date=True)
        for folder in (project.state, project.dist):
            remove_parts(folder)
        cache = Cache(project.cache, announce=lambda name: progress(f"{name}: started", 0.0))
        with _engine(contract, engine) as trials:
            order = Order(contract=contract, text=text, project=project, cache=cache, engine=trials, progress=progress)
            result = _run(order)
        report = page(result).encode()
        write_atomically(project.dist / REPORT_NAME, report)
        write_atomically(project.result, encode(_Saved(fingerprint=stamp, report_digest=digest(report), result=result)))
        return result


def plan(place: str | Path = ".") -> tuple[Stage, ...]:
    """What a build would do: the stages whose values are there, then the first that would run; the others follow from it."""
    project = find_project(Path(place))
    text, contract = _contract(project)
    saved = _saved(project)
    if saved is not None and saved.fingerprint == _fingerprint(project, contract) and _intact(project, saved):
        return tuple(msgspec.structs.replace(stage, cached=True, seconds=0.0) for stage in saved.result.stages)
    cache = Cache(project.cache, dry=True)
    try:
        _run(Order(contract=contract, text=text, project=project, cache=cache, progress=lambda _what, _part: None))
    except Plan:
        done = _stages(cache.records)
        return (*done, Stage(name="all stages that follow from it", cached=False, seconds=0.0))
    return _stages(cache.records)


def last_result(place: str | Path = ".") -> BuildResult:
    """The result of the last build of a project.

    Raises:
        UserError: there was none.
    """
    project = find_project(Path(place))
    saved = _saved(project)
    if saved is None:
        raise UserError("there is no build here yet", where=str(project.folder), hint="Run: marram build")
    return saved.result


def _run(order: Order) -> BuildResult:
    gathered, section = gather(order), search_of(order.contract)
    if section is not None:
        check(order, gathered, section)
    modelled = obtain(order, gathered)
    shrunk = _shrunk(order, modelled, gathered)
    shipping = Shipping(order=order, gathered=gathered, models=_models(modelled, shrunk))
    baseline = baseline_of(shipping)
    searched = None
    if section is None:
        targets = tuple(ship(shipping, name, baseline) for name in order.contract.targets)
    else:
        found = search(order, modelled, gathered, section, None if baseline is None else baseline.evidence)
        shipped = {name: ship_found(shipping, name, baseline, found) for name in order.contract.targets}
        targets = tuple(one.result for one in shipped.values())
        searched = record(shipping, found, shipped)
    contract = order.contract
    return BuildResult(
        name=contract.model.name,
        version=contract.model.version,
        folder=str(order.project.folder),
        report=f"{order.project.dist.name}/{REPORT_NAME}",
        up_to_date=False,
        stages=_stages(order.cache.records),
        data=gathered.summary,
        labels=gathered.labels,
        model=_summary(contract.model.source, modelled),
        baseline=None if baseline is None else baseline.evidence,
        recipe=None if shrunk is None else shrunk.recipe,
        trials=() if shrunk is None else shrunk.trials,
        damage=() if shrunk is None else shrunk.damage,
        targets=targets,
        lineage=_lineage(contract, gathered, modelled, shrunk, targets),
        marks=(*_marks(modelled, targets), *_too_small(contract, gathered)),
        search=searched,
    )


def _engine(contract: Contract, given: Engine | None) -> AbstractContextManager[Engine]:
    """What runs trials: the engine that was given, which stays open, or one of our own."""
    if given is not None:
        return nullcontext(given)
    return serial() if search_of(contract) is None else processes(os.cpu_count() or 1)


def _shrunk(order: Order, modelled: Modelled, gathered: Gathered) -> Shrunk | None:
    """The quantised model, unless the file is opaque, holds integers already, or every target wants float."""
    wanted = any(target.precision != "float32" for target in order.contract.targets.values())
    if modelled.graph is None or is_integer(modelled.graph) or not wanted:
        return None
    return shrink(order, modelled.graph, gathered)


def _models(modelled: Modelled, shrunk: Shrunk | None) -> Models:
    graph = modelled.graph
    if shrunk is not None:
        return Models(
            exact=shrunk.folded,
            integer=shrunk.integer,
            opaque=None,
            recipe=shrunk.recipe,
            base=None if graph is None else shrunk.began_with(graph),
            trials=shrunk.ledger_trials(),
        )
    if graph is not None and is_integer(graph):
        return Models(exact=None, integer=graph, opaque=None, recipe=None)
    exact = None if graph is None else fold(graph)  # float programs take no batch norms
    return Models(exact=exact, integer=None, opaque=modelled.opaque, recipe=None)


def baseline_of(shipping: Shipping) -> Measurement | None:
    """The float model's answers to the test part, which drops and flips are counted from; None for an integer file."""
    if shipping.models.of("float32") is None:
        return None
    section = _float_section(shipping)
    if section is None:
        return None
    target = profile(shipping, section)
    program = programs_for(shipping, msgspec.structs.replace(section, precision="float32"), target)[0]
    elsewhere = msgspec.structs.replace(target, here=False)  # its time and memory are taken where it is a candidate
    return measured(shipping, program, elsewhere, latency=None, baseline=None)


def _float_section(shipping: Shipping) -> TargetSection | None:
    """The first target that can run floats; this machine where none can, unless the model is a file that none takes."""
    for section in shipping.order.contract.targets.values():
        if not takes_c(section, profile(shipping, section)):
            return section
    return TargetSection(device="host") if shipping.models.opaque is None else None


def _summary(source: str, modelled: Modelled) -> ModelSummary:
    graph = modelled.graph
    if graph is None:
        return ModelSummary(source=source, parameters=None, macs=None, peak_live_bytes=None, description="", drawing="")
    found = counts(graph)
    return ModelSummary(
        source=source,
        parameters=found.parameters,
        macs=found.macs,
        peak_live_bytes=found.peak_live_bytes,
        description=describe(graph),
        drawing=draw(graph),
        history=modelled.history,
    )


def _marks(modelled: Modelled, targets: tuple[TargetResult, ...]) -> tuple[str, ...]:
    """What a reader must know before any figure."""
    if modelled.graph is not None:
        whole = "The model file holds integers already: nothing was quantised, and there is no float model to compare with."
        return (whole,) if is_integer(modelled.graph) else ()
    assert modelled.opaque is not None
    names = ", ".join(modelled.opaque.unsupported)
    marks = [f"The model file has operators outside the Graph ({names}): it was carried as it came, without a reference."]
    if all(attempt.precision == "float32" for target in targets for attempt in target.attempts):
        marks.append("It was not tried in int8: that takes its runtime's own quantiser, which is not installed or not wanted.")
    return tuple(marks)


def _too_small(contract: Contract, gathered: Gathered) -> tuple[str, ...]:
    """A promise that a test part of this size cannot show, and how large it would have to be."""
    reason = too_few_samples(contract.promises, len(gathered.test))
    return () if reason is None else (f"The test part is too small for what is promised: {reason}.",)


def _lineage(
    contract: Contract, gathered: Gathered, modelled: Modelled, shrunk: Shrunk | None, targets: tuple[TargetResult, ...]
) -> dict[str, str]:
    found = {
        "marram": marram.__version__,
        "contract": digest(contract),
        "data": gathered.digest,
        "model": digest(modelled.graph or modelled.opaque),
    }
    if shrunk is not None:
        found |= {"integer graph": digest(shrunk.integer), "recipe": digest(shrunk.recipe)}
    return found | {f"bundle {target.name}": target.bundle_digest for target in targets}


def _stages(records: list[StageRecord]) -> tuple[Stage, ...]:
    return tuple(Stage(name=record.name, cached=record.cached, seconds=record.seconds) for record in records)


def _contract(project: Project) -> tuple[str, Contract]:
    """The contract and its text. Raises ContractError where no model at all can keep it."""
    text = project.contract_path.read_text(encoding="utf-8")
    contract = parse(text, where=str(project.contract_path))
    targets = {name: profile_of(project.folder, section) for name, section in contract.targets.items()}
    impossible = contradictions(contract, targets)
    if impossible:
        raise ContractError(impossible, where=str(project.contract_path))
    return text, contract


def _fingerprint(project: Project, contract: Contract) -> str:
    """What the project looks like from outside; the code's own files count, so that a change of marram builds anew."""
    code = fingerprint(Path(marram.__file__).parent, (), code=marram.__version__)
    devices = (target.device for target in contract.targets.values())
    named = (contract.data.source, contract.model.source, *filter(None, (contract.compress.recipe,)), *devices)
    outside = tuple(path for path in (project.folder / name for name in named) if path.exists())
    return fingerprint(project.folder, outside, code=code)


def _saved(project: Project) -> _Saved | None:
    """The last result; a file of another version or a damaged one counts as none."""
    try:
        return decode(project.result.read_bytes(), _Saved)
    except FileNotFoundError:
        return None
    except IntegrityError:  # our own cache, written by another version: made again
        return None


def _intact(project: Project, saved: _Saved) -> bool:
    """Whether everything that the last build handed over is still there, byte for byte."""
    wanted = {target.bundle: target.bundle_digest for target in saved.result.targets}
    wanted[saved.result.report] = saved.report_digest
    files = {name: project.folder / name for name in wanted}
    return all(path.is_file() and digest(path.read_bytes()) == wanted[name] for name, path in files.items())
