"""The contract's data: loaded, split, summed up, with the preprocessing fitted on the training part alone."""

from __future__ import annotations

import msgspec
import numpy as np

from marram._build.order import Order
from marram.core.graph import Array
from marram.data import DataSummary, load, split, summarise
from marram.data.dataset import Dataset
from marram.sense import Preprocess, apply, fit, preprocess_for

_BATCH = 256


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a build: three parts, the preprocessing, and what is to be told about them."""

    training: Dataset
    validation: Dataset
    test: Dataset
    preprocess: Preprocess
    labels: tuple[str, ...]
    summary: DataSummary
    digest: str
    calibration: Array


class _Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of reading the data."""

    preprocess: Preprocess
    summary: DataSummary


def gather(order: Order) -> Gathered:
    """Load and split the contract's data.

    Raises:
        DataError: it is not there, damaged, leaking, or not what the contract states.
    """
    contract, project = order.contract, order.project
    section = contract.data
    dataset = load(
        section.source,
        input_spec=contract.input,
        base=project.folder,
        split_by=section.split_by,
        label=section.label,
        pattern=section.pattern,
        classes=section.classes,
        cache=project.state / "decoded",
        progress=order.progress,
    )
    parts = split(
        dataset,
        test_fraction=section.test_fraction,
        validation_fraction=section.validation_fraction,
        by=section.split_by,
        seed=section.seed,
    )
    training = dataset.subset(parts.training)

    def make() -> _Fitted:
        fitted = fit(preprocess_for(contract.input), (samples for samples, _ in training.batches(_BATCH)))
        return _Fitted(preprocess=fitted, summary=summarise(dataset, parts))

    found = order.cache.stage("data", 1, (dataset.digest, section, contract.input), _Fitted, make)
    return Gathered(
        training=training,
        validation=dataset.subset(parts.validation),
        test=dataset.subset(parts.test),
        preprocess=found.preprocess,
        labels=dataset.labels,
        summary=found.summary,
        digest=dataset.digest,
        calibration=_calibration(training, found.preprocess, section.calibration_samples),
    )


def _calibration(training: Dataset, preprocess: Preprocess, count: int) -> Array:
    """Preprocessed samples spread evenly over the training part, the same ones each time: (count, ...) float32."""
    places = np.linspace(0, len(training) - 1, min(count, len(training)))
    chosen = training.subset(places.astype(np.int64))
    ((samples, _),) = chosen.batches(len(chosen))
    return apply(preprocess, samples)
