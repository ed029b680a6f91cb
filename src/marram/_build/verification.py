"""``marram verify``: a bundle proven again, here and now."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from marram._build.bundle_targets import target_of
from marram._build.cache import Cache
from marram._build.gathering import gather
from marram._build.order import Order
from marram._build.running import runner_here
from marram._build.trusting import project_of, trusted_keys
from marram.bundle import open as open_bundle
from marram.compile import device, devices
from marram.compile.c.archive import generated_of
from marram.core.contract_file import parse
from marram.core.evidence import Figure, Verdict
from marram.core.manifest import Bundle
from marram.core.ports import Progress, Runner
from marram.data.dataset import Dataset
from marram.measure import (
    Subject,
    accuracy_figures,
    answers,
    budget_limits,
    compare,
    judge,
    latency_figures,
    memory_figures,
    promise_limits,
    session_predictor,
    time_calls,
    weigh,
)
from marram.measure.c_runners import EmulatedRunner
from marram.measure.microcontroller import core_figures, emulated_core, on_core
from marram.runtime import Engine, golden_outputs, preprocess_of, runner

_PROBE = (sys.executable, "-m", "marram.runtime.probe")
_SEED = 0


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that was proven, and what came of it."""

    name: str
    result: str


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle proven again: what was checked, and every promise and budget judged by today's figures."""

    bundle: str
    digest: str
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise and budget holds."""
        return all(verdict.kept is True for verdict in self.verdicts)


def verify(bundle: str | Path, *, trust: Sequence[str | Path] = (), progress: Progress = lambda _what, _part: None) -> Proof:
    """Prove a bundle again.

    Signature, contents and golden vectors first; then times and memory are measured on this machine if it is the
    bundle's device, and accuracy on the project's test part if the bundle lies in its project and the data is the same.
    What cannot be measured again is judged by the sealed evidence.

    Args:
        bundle: the ``.mrm`` file.
        trust: public key files; those of the bundle's own project if none are given.
        progress: told what is being done.

    Raises:
        IntegrityError: the bundle cannot be trusted, or does not answer its golden vectors here.
    """
    path = Path(bundle)
    opened = open_bundle(path, trusted_keys(path, trust))
    checks = [
        Check(name="signature", result=f"by {', '.join(opened.signers)}"),
        Check(name="contents", result=f"{len(opened.manifest.members)} members as signed"),
    ]
    with Engine(opened, runner=runner_here(opened.program)):
        checks.append(Check(name="golden vectors", result=_golden(opened, runner_here(opened.program))))
    contract = parse(opened.contract, where=f"contract in {path}")
    section = contract.targets[target_of(contract, opened, path)]
    fresh: tuple[Figure, ...] = ()
    if opened.program.format == "c":
        fresh += _on_core(opened, checks, progress)
    if _is_here(opened):
        progress("times and memory", 0.0)
        fresh += _cost(opened, progress)
        checks.append(Check(name="times and memory", result="measured here, now"))
    data = _test_part(opened, path, progress)
    checks.append(
        Check(name="accuracy", result="sealed evidence" if data is None else "measured on the project's test part, now")
    )
    if data is not None:
        fresh += _accuracy(opened, data, progress)
    evidence = msgspec.structs.replace(opened.evidence, figures=_merged(opened.evidence.figures, fresh))
    limits = (*promise_limits(contract.promises), *budget_limits(section))
    verdicts = judge(limits, evidence, subject=path.stem)
    return Proof(bundle=str(path), digest=opened.digest, checks=tuple(checks), verdicts=verdicts)


def _on_core(bundle: Bundle, checks: list[Check], progress: Progress) -> tuple[Figure, ...]:
    """Golden vectors and cost of a program in C on the core that is emulated for its device; a check is added."""
    target = device(bundle.program.target)
    core = emulated_core(target)
    progress(f"emulated {core}", 0.0)
    checks.append(Check(name=f"golden vectors on {core}", result=_golden(bundle, EmulatedRunner(core))))
    with tempfile.TemporaryDirectory(prefix="marram-verify-") as folder:
        found = on_core(
            generated_of(bundle.program), target, Path(folder), inputs=[array[:1] for array in bundle.golden.inputs]
        )
    checks.append(Check(name="instructions, RAM and flash", result=f"measured on emulated {core}, now"))
    return core_figures(found, target)


def _golden(bundle: Bundle, runner: Runner) -> str:
    """How many golden outputs differ from the reference there; the engine has held them against the sealed tolerance."""
    session = runner.open(bundle.program, threads=1)
    try:
        found = golden_outputs(session, bundle.program, bundle.golden)
    finally:
        session.close()
    row = compare(bundle.golden.outputs, found, vectors=bundle.golden.inputs, runtime="here", reference_name="golden")
    return (
        f"{row.vectors} vectors, {row.differing} of {row.elements} outputs differ from the reference, "
        f"by at most {row.largest:g}; sealed tolerance {bundle.manifest.golden_tolerance:g}"
    )


def _is_here(bundle: Bundle) -> bool:
    return any(target.here and target.name == bundle.program.target for target in devices())


def _cost(bundle: Bundle, progress: Progress) -> tuple[Figure, ...]:
    """Latency on the golden inputs and memory of a fresh process."""
    session = runner(bundle.program.runtime).open(bundle.program, threads=1)
    try:
        count = len(bundle.golden.inputs[0])
        inputs = tuple(tuple(array[index : index + 1] for array in bundle.golden.inputs) for index in range(count))
        (latency,) = time_calls([Subject(session=session, inputs=inputs)], seed=_SEED, progress=progress)
    finally:
        session.close()
    return (*latency_figures(latency, seed=_SEED), *memory_figures(weigh(bundle.program, _PROBE)))


def _test_part(bundle: Bundle, path: Path, progress: Progress) -> Dataset | None:
    """The project's test part, if the bundle lies in its project and was made of this very data."""
    project = project_of(path)
    if project is None:
        return None
    text = project.contract_path.read_text(encoding="utf-8")
    contract = parse(text, where=str(project.contract_path))
    order = Order(contract=contract, text=text, project=project, cache=Cache(project.cache), progress=progress)
    gathered = gather(order)
    same = gathered.digest == bundle.manifest.lineage.data and gathered.test.digest == bundle.evidence.data_digest
    return gathered.test if same else None


def _accuracy(bundle: Bundle, test: Dataset, progress: Progress) -> tuple[Figure, ...]:
    session = runner_here(bundle.program).open(bundle.program, threads=1)
    try:
        predict = session_predictor(session, bundle.program, preprocess_of(bundle))
        return accuracy_figures(answers(test, predict, progress=progress))
    finally:
        session.close()


def _merged(sealed: tuple[Figure, ...], fresh: tuple[Figure, ...]) -> tuple[Figure, ...]:
    """Sealed figures, those that were taken again replaced."""
    by_name = {figure.name: figure for figure in sealed}
    return tuple((by_name | {figure.name: figure for figure in fresh if figure.value is not None}).values())
