"""One Program on this machine becomes Evidence: accuracy, parity with the reference, latency, memory, size."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TypedDict, Unpack

import msgspec
import numpy as np

from marram.core.codec import digest
from marram.core.evidence import Evidence, Figure, Parity
from marram.core.graph import Array, Graph, Tensor
from marram.core.ports import Progress, Runner
from marram.core.program import Program
from marram.data.dataset import Dataset
from marram.measure.accuracy import Accuracy, accuracy_figures, answers, session_predictor
from marram.measure.latency import Latency, Subject, latency_figures, time_calls
from marram.measure.machine import describe_machine
from marram.measure.memory import memory_figures, weigh
from marram.measure.parity import against_reference
from marram.sense import Preprocess
from marram.sense.feeding import feed

_LATENCY_INPUTS = 16
_LATENCY_NAMES = ("latency_p50_us", "latency_p90_us", "latency_p99_us", "latency_min_us")
_MEMORY_NAMES = ("peak_memory_bytes", "model_memory_bytes")


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence, and the raw measurements that it was drawn from: answers to pair others with, calls to plot."""

    evidence: Evidence
    accuracy: Accuracy | None
    latency: Latency | None


class Options(TypedDict, total=False):
    """The options of ``run``, which are those of ``take``."""

    preprocess: Preprocess | None
    graph: Graph | None
    baseline: Accuracy | None
    here: bool
    probe: Sequence[str] | None
    latency: Latency | None
    calls: int
    parity_vectors: int
    confidence: float
    seed: int
    on: str | None
    progress: Progress


def run(program: Program, runner: Runner, dataset: Dataset, **options: Unpack[Options]) -> Evidence:
    """The Evidence of a Program on a dataset; options and errors as of ``take``, which also gives the raw measurements."""
    return take(program, runner, dataset, **options).evidence


def take(
    program: Program,
    runner: Runner,
    dataset: Dataset,
    *,
    preprocess: Preprocess | None = None,
    graph: Graph | None = None,
    baseline: Accuracy | None = None,
    here: bool = True,
    probe: Sequence[str] | None = None,
    latency: Latency | None = None,
    calls: int = 1000,
    parity_vectors: int = 256,
    confidence: float = 0.95,
    seed: int = 0,
    on: str | None = None,
    progress: Progress = lambda _what, _part: None,
) -> Measurement:
    """Measure a Program.

    Args:
        program: what to measure.
        runner: what runs it.
        dataset: the samples, all of which are answered.
        preprocess: what turns samples into inputs; None when they are inputs already.
        graph: what the Program was made from, for parity; None for an opaque model.
        baseline: the float model's answers to the same dataset.
        here: whether this machine is the device. If not, times and memory are left open, since they would be another device's.
        probe: command that weighs a Program's file, for instance ``(python, "-m", "marram.runtime.probe")``; None leaves
            memory open.
        latency: calls already measured, when several Programs were interleaved; None measures this one alone.
        calls: how many calls to time.
        parity_vectors: how many samples are held against the reference, drawn with the seed.
        confidence: of all intervals.
        seed: of the draw, the order of calls and the bootstrap.
        on: the machine's description; None describes this one.
        progress: told what is being done.

    Raises:
        DeviceError: the runtime failed on this Program.
        IntegrityError: the runtime refuses the Program's blob.
        MissingExtra: the runtime is not installed.
        UserError: the Program does not fit the dataset, the graph or the baseline.
    """
    memory = _memory(program, probe if here else None, here=here)
    with closing(runner.open(program, threads=1)) as session:
        found = answers(dataset, session_predictor(session, program, preprocess), progress=progress) if dataset.labels else None
        parity: tuple[Parity, ...] = ()
        if graph is not None:
            vectors, targets = _vectors(dataset, preprocess, graph.input_tensors[0], parity_vectors, seed)
            parity = (against_reference(session, program, graph, [vectors], targets=targets),)
        if latency is None and here:
            inputs = latency_inputs(program, dataset, preprocess)
            (latency,) = time_calls([Subject(session=session, inputs=inputs)], seed=seed, calls=calls, progress=progress)
    figures = (
        *_accuracy(found, baseline, confidence),
        _size(program),
        *_latency(latency if here else None, seed, confidence),
        *memory,
    )
    evidence = Evidence(
        program_digest=digest(program),
        data_digest=dataset.digest,
        on=describe_machine() if on is None else on,
        figures=figures,
        parity=parity,
        confusion=None if found is None else tuple(map(tuple, found.confusion.tolist())),
        marks=_marks(program, graph, here=here),
    )
    return Measurement(evidence=evidence, accuracy=found, latency=latency if here else None)


def latency_inputs(program: Program, dataset: Dataset, preprocess: Preprocess | None) -> tuple[tuple[Array, ...], ...]:
    """Inputs of single calls from a dataset's first samples, for ``Subject``."""
    samples, _ = next(iter(dataset.batches(_LATENCY_INPUTS)))
    batch = feed(preprocess, samples, program.inputs[0])
    return tuple((batch[index : index + 1],) for index in range(len(batch)))


def _vectors(dataset: Dataset, preprocess: Preprocess | None, tensor: Tensor, count: int, seed: int) -> tuple[Array, Array]:
    """Inputs of a Graph from samples that are drawn, in the dataset's order, and their targets."""
    drawn = np.random.default_rng(seed).choice(len(dataset), min(count, len(dataset)), replace=False)
    parts = list(dataset.subset(np.sort(drawn)).batches(256))
    vectors = [feed(preprocess, samples, tensor) for samples, _ in parts]
    return np.concatenate(vectors), np.concatenate([wanted for _, wanted in parts])


def _accuracy(found: Accuracy | None, baseline: Accuracy | None, confidence: float) -> tuple[Figure, ...]:
    if found is not None:
        return accuracy_figures(found, baseline=baseline, confidence=confidence)
    return (Figure(name="accuracy", unit="share", value=None, method="top-1", reason="the data has no classes"),)


def _size(program: Program) -> Figure:
    method = "bytes of the program's file"
    return Figure(name="size_bytes", unit="B", value=program.size_bytes, kind="computed", method=method)


def _latency(latency: Latency | None, seed: int, confidence: float) -> tuple[Figure, ...]:
    if latency is not None:
        return latency_figures(latency, seed=seed, confidence=confidence)
    return tuple(_open(name, "us", "the device is not this machine") for name in _LATENCY_NAMES)


def _memory(program: Program, probe: Sequence[str] | None, *, here: bool) -> tuple[Figure, ...]:
    if probe is not None:
        return memory_figures(weigh(program, probe))
    reason = "it was not asked for" if here else "the device is not this machine"
    return tuple(_open(name, "B", reason) for name in _MEMORY_NAMES)


def _open(name: str, unit: str, reason: str) -> Figure:
    return Figure(name=name, unit=unit, value=None, method="none", deterministic=False, reason=reason)


def _marks(program: Program, graph: Graph | None, *, here: bool) -> tuple[str, ...]:
    marks = []
    if program.graph_digest is None:
        marks.append(
            "the model has operators outside the Graph and was carried as it came: there is no reference to hold it against"
        )
    elif graph is None:
        marks.append("parity with the reference was not taken")
    if program.quantised_by not in {None, "marram"}:
        marks.append(f"quantised by {program.quantised_by}, not by marram")
    if not here:
        marks.append("accuracy and parity were measured on this machine with the device's runtime, not on the device")
    return tuple(marks)
