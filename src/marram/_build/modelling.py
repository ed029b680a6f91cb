"""The contract's model: trained from the zoo or a factory, or read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from marram._build.gathering import Gathered
from marram._build.order import Order
from marram.core.codec import digest
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.graph import Graph, OpaqueModel
from marram.data.readers.function import REFERENCE, resolve
from marram.model.files import SUFFIXES, load, load_opaque
from marram.model.layout import channels_last_inputs
from marram.sense import apply, output_shape

if TYPE_CHECKING:
    from torch import nn

ZOO = "zoo:"


class Modelled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model before compression: a Graph, or a file with operators outside the Graph. ``history`` as in the report."""

    graph: Graph | None = None
    opaque: OpaqueModel | None = None
    history: tuple[tuple[float, float], ...] = ()


def obtain(order: Order, gathered: Gathered) -> Modelled:
    """The contract's model as a float Graph (or an integer one, if its file holds that), or opaque.

    Raises:
        UserError: the source is not there, cannot be built, or does not fit the data.
    """
    contract, project = order.contract, order.project
    source = contract.model.source
    if Path(source).suffix in SUFFIXES:
        return _from_file(order, project.folder / source, gathered)
    code = _code(source, project.folder)
    parts = (gathered.training.digest, gathered.validation.digest)
    inputs = (contract.model, contract.training, gathered.preprocess, parts, code)
    checkpoint = project.checkpoints / (digest(inputs).removeprefix("sha256:") + ".pt")

    def make() -> Modelled:
        return _trained(order, gathered, checkpoint)

    modelled = order.cache.stage("training", 1, inputs, Modelled, make)
    checkpoint.unlink(missing_ok=True)  # what it was for is in the cache now
    return modelled


def is_integer(graph: Graph) -> bool:
    """Whether a Graph's input is an integer image of reals already."""
    return any(tensor.quantisation is not None for tensor in graph.input_tensors)


def float_graph(graph: Graph | None, where: str) -> Graph:
    """The Graph of a float model.

    Raises:
        UserError: the model is opaque, or holds integers.
    """
    if graph is None:
        raise UserError("has operators outside the Graph, so its own runtime quantises it", where=where)
    if is_integer(graph):
        hint = "Give the float model that it was made of."
        raise UserError("holds integers already, so nothing tells what they lost", where=where, hint=hint)
    return graph


def _code(source: str, folder: Path) -> tuple[tuple[str, str], ...]:
    """Digests of the project's Python files where one of them makes the model: any may decide what it is."""
    if source.startswith(ZOO):
        return ()
    files = (path for path in sorted(folder.rglob("*.py")) if not path.relative_to(folder).parts[0].startswith("."))
    return tuple((str(path.relative_to(folder)), digest(path.read_bytes())) for path in files)


def _from_file(order: Order, path: Path, gathered: Gathered) -> Modelled:
    if not path.is_file():
        raise UserError("there is no such model file", where=str(path), hint="[model] source names it.")

    def make() -> Modelled:
        name = order.contract.model.name
        try:
            graph = channels_last_inputs(load(path, name=name))
        except UnsupportedOperator:
            return Modelled(opaque=load_opaque(path, name=name))
        return Modelled(graph=graph)

    modelled = order.cache.stage("import", 1, digest(path.read_bytes()), Modelled, make)
    _check_fit(modelled, gathered, path)
    return modelled


def _check_fit(modelled: Modelled, gathered: Gathered, path: Path) -> None:
    """The file's input must be what preprocessing gives, its output one score for each class."""
    model = modelled.graph or modelled.opaque
    assert model is not None
    inputs, outputs = _ends(model)
    wanted = output_shape(gathered.preprocess)
    if len(inputs) != 1 or np.prod(inputs[0][1:]) != np.prod(wanted):
        raise UserError(
            f"the model takes {' and '.join(map(str, inputs))}, the contract's [input] gives {(1, *wanted)}",
            where=str(path),
            hint="Correct [input], or export the model for this input.",
        )
    classes = len(gathered.labels)
    given = outputs[0] if outputs else ()
    if classes and given[-1:] != (classes,):
        raise UserError(
            f"the model gives {given}, but the data has {classes} classes: {', '.join(gathered.labels)}",
            where=str(path),
            hint="The output's last axis must have one score for each class, in the order of the sorted class names.",
        )


def _ends(model: Graph | OpaqueModel) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    inputs = model.inputs if isinstance(model, OpaqueModel) else model.input_tensors
    outputs = model.outputs if isinstance(model, OpaqueModel) else model.output_tensors
    return [tensor.shape for tensor in inputs], [tensor.shape for tensor in outputs]


def _trained(order: Order, gathered: Gathered, checkpoint: Path) -> Modelled:
    from marram.model.training import TrainingSettings, train

    wanted = order.contract.training
    settings = TrainingSettings(
        task=_task(order, gathered),
        epochs=wanted.epochs,
        batch_size=wanted.batch_size,
        learning_rate=wanted.learning_rate,
        weight_decay=wanted.weight_decay,
        label_smoothing=wanted.label_smoothing,
        patience=wanted.patience or 0,
        augmentation=wanted.augmentation,
        threads=wanted.threads,
        precision=wanted.precision,
        seed=wanted.seed,
    )
    module = _module(order, gathered)
    preprocess = gathered.preprocess
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    result = train(
        module,
        gathered.training,
        gathered.validation,
        settings,
        preprocess=lambda samples: apply(preprocess, samples),
        checkpoint=checkpoint,
        progress=order.progress,
    )
    example = np.zeros((1, *output_shape(preprocess)), np.float32)
    graph = load(module, example=example, name=order.contract.model.name)
    history = tuple(
        (record.training_loss, record.validation.metric if record.validation else float("nan")) for record in result.history
    )
    return Modelled(graph=graph, history=history)


def _task(order: Order, gathered: Gathered) -> Literal["classification", "reconstruction"]:
    """What the module is trained for: class scores, or its own input again."""
    from marram.model import zoo

    source = order.contract.model.source
    if source.startswith(ZOO) and zoo.task(source.removeprefix(ZOO)) == "reconstruction":
        if gathered.labels:
            raise UserError(
                f"{source} learns its own input, but the data has classes: {', '.join(gathered.labels)}",
                hint="Give data without classes, as an .npz with x alone. Scoring anomalies is not in this version.",
            )
        return "reconstruction"
    if not gathered.labels:
        raise UserError(f"{source} gives class scores, but the data has no classes", hint="Label it, or take an autoencoder.")
    return "classification"


def _module(order: Order, gathered: Gathered) -> nn.Module:
    from marram.model import zoo

    contract = order.contract
    source, options = contract.model.source, contract.model.options
    shape, classes = output_shape(gathered.preprocess), len(gathered.labels)
    if source.startswith(ZOO):
        return zoo.make(source.removeprefix(ZOO), input_shape=shape, classes=classes, seed=contract.training.seed, **options)
    if REFERENCE.fullmatch(source) is None:
        raise UserError(
            f"[model] source {source!r} is none of the known kinds",
            hint=f"Write zoo: and one of {', '.join(zoo.names())}; a {' or '.join(SUFFIXES)} file; or file.py:factory.",
        )
    return _from_factory(order, shape, classes)


def _from_factory(order: Order, shape: tuple[int, ...], classes: int) -> nn.Module:
    import torch

    contract = order.contract
    factory = resolve(contract.model.source, order.project.folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(contract.training.seed)
        module = factory(input_shape=shape, classes=classes, **contract.model.options)
    if not isinstance(module, torch.nn.Module):
        kind = type(module).__name__
        raise UserError(f"returned {kind}", where=contract.model.source, hint="The factory must return a torch.nn.Module.")
    return module
