"""Whose quantisation is debugged: a project's, a bundle's, or that of a model file with an array of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from marram._build.accounting import validation_samples
from marram._build.bundle_origin import began_for, gathered_for, order_for, project_for
from marram._build.cache import Cache
from marram._build.explaining import recipe_of
from marram._build.gathering import Gathered, gather
from marram._build.modelling import float_graph, obtain
from marram._build.order import Order
from marram._build.project import find_project
from marram._build.replaying import standings
from marram._build.sample_file import samples_for
from marram._build.shrinking import shrink
from marram._build.trusting import trusted_keys
from marram.bundle import open as open_bundle
from marram.compress import Material, applied
from marram.compress.material import Standing
from marram.core.contract_file import parse
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.core.ports import Progress
from marram.core.recipe import CalibrationMethod, Fold, Quantise, Recipe
from marram.model.files import SUFFIXES, load


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is debugged: the recipe, what replays one from the same float Graph, and samples that the calibration did not see.

    ``samples`` are float32 inputs, ``targets`` class indices or None, ``origins`` where each sample comes from; ``labels`` is
    empty without classes. ``page`` is where the page goes unless another place is named.
    """

    name: str
    recipe: Recipe
    replay: Callable[[Recipe], Standing]
    samples: Array
    targets: Array | None
    origins: tuple[str, ...]
    labels: tuple[str, ...]
    classes: bool
    data: str
    page: Path


def subject_of(
    place: Path,
    *,
    data: Path | None,
    calibration: CalibrationMethod,
    trust: Sequence[str | Path],
    project: str | Path | None,
    progress: Progress,
) -> Subject:
    """The subject of a path: a project's folder or contract, a bundle, or a model file.

    Raises:
        UserError: it is none of these, holds integers already, or lacks what it needs.
        DataError: samples that the model cannot take.
    """
    if place.suffix in SUFFIXES:
        if data is None:
            hint = "Give an .npz with x, samples as the model takes them, and y, class indices, if there are any."
            raise UserError("a model file needs samples", where="--data", hint=hint)
        return _of_file(place, data, calibration)
    if data is not None:
        raise UserError("goes with a model file; a project and a bundle have their own data", where="--data")
    if place.suffix == ".mrm":
        return _of_bundle(place, trust, project, progress)
    return _of_project(place, progress)


def _of_project(place: Path, progress: Progress) -> Subject:
    project = find_project(place)
    text = project.contract_path.read_text(encoding="utf-8")
    contract = parse(text, where=str(project.contract_path))
    cache = Cache(project.cache, announce=lambda stage: progress(f"{stage}: started", 0.0))
    order = Order(contract=contract, text=text, project=project, cache=cache, progress=progress)
    gathered = gather(order)
    graph = float_graph(obtain(order, gathered).graph, contract.model.source)
    shrunk = shrink(order, graph, gathered)
    return _of_parts(order, gathered, shrunk.began_with(graph), shrunk.recipe, contract.model.name)


def _of_bundle(place: Path, trust: Sequence[str | Path], project: str | Path | None, progress: Progress) -> Subject:
    opened = open_bundle(place, trusted_keys(place, trust))
    recipe = recipe_of(opened, place)
    order, _ = order_for(project_for(place, project), opened, place, progress)
    gathered = gathered_for(order, opened)
    return _of_parts(order, gathered, began_for(order, gathered, opened).graph, recipe, opened.manifest.name)


def _of_parts(order: Order, gathered: Gathered, graph: Graph, recipe: Recipe, name: str) -> Subject:
    samples, targets = validation_samples(gathered)
    part = gathered.validation
    places = np.linspace(0, len(part) - 1, len(samples)).astype(np.int64)
    return Subject(
        name=name,
        recipe=recipe,
        replay=lambda wanted: standings(order, graph, wanted, gathered)[-1],
        samples=samples,
        targets=targets if gathered.labels else None,
        origins=tuple(_inside(order, part.samples.name(int(part.indices[index]))) for index in places),
        labels=gathered.labels,
        classes=bool(gathered.labels),
        data=f"{len(samples)} samples spread over the validation part",
        page=order.project.dist / "quantisation.html",
    )


def _inside(order: Order, origin: str) -> str:
    """Where a sample comes from, as seen from the project's folder."""
    return origin.replace(f"{order.project.folder}/", "")


def _of_file(place: Path, data: Path, calibration: CalibrationMethod) -> Subject:
    """Even samples calibrate, odd ones are looked at."""
    graph = float_graph(load(place), str(place))
    samples, targets = samples_for(graph, data, least=2)
    material = Material(calibration=samples[::2])
    looked_at = samples[1::2]
    return Subject(
        name=graph.name,
        recipe=Recipe(decisions=(Fold(), Quantise(calibration=calibration))),
        replay=lambda wanted: applied(graph, wanted, material),
        samples=looked_at,
        targets=None if targets is None else targets[1::2],
        origins=tuple(f"x[{index}]" for index in range(1, len(samples), 2)),
        labels=(),
        classes=targets is not None or _gives_classes(graph),
        data=f"every other sample of {data.name}, {len(looked_at)} in all; the others calibrated",
        page=Path(f"{place.stem}.quantisation.html"),
    )


def _gives_classes(graph: Graph) -> bool:
    """Whether outputs look like scores of classes: one row of several, and not the input's shape."""
    shape = graph.output_tensors[0].shape
    return len(shape) == 2 and shape[1] > 1 and shape != graph.input_tensors[0].shape
