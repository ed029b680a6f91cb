"""The Contract noun: what was promised, before anything is trained. Read from ``marram.toml`` by ``contract_file.read``.

Field names are the keys of the file; units stand in the names. A limit that is None was not promised.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from marram.core.recipe import Augmentation, CalibrationMethod, WeightBits
from marram.core.target import Runtime

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0)]
Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="up to 64 letters, digits, '.', '_' or '-', no spaces")
]
Version = Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$", description='a version of three numbers, as in "1.0.0"')]
Text = Annotated[str, Meta(min_length=1)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of the contract's sections."""


class ModelSection(_Section, frozen=True, kw_only=True):
    """``[model]``. ``source``: ``zoo:NAME``, an ``.onnx`` or ``.tflite`` file, ``file.py:factory``, ``package.module:factory``.

    ``options`` are handed to the zoo's or the user's factory. A file has its weights; a factory's module is trained.
    """

    name: Name
    version: Version
    source: Text
    options: dict[str, int | float | str | bool] = {}


class DataSection(_Section, frozen=True, kw_only=True):
    """``[data]``. ``source``: a folder, a zip, a table or array file, or ``file.py:function``.

    ``split_by``: ``stratified`` (classes keep their shares), ``given`` (the source has its own test part) or what a group
    is (``subject``, ``speaker``, a column's name): then no group of the test part is in the training part.
    ``pattern`` reads label and group from file names, as in ``{label}_{group}_{index}.wav``.
    """

    source: Text
    split_by: Text = "stratified"
    label: Text = "label"
    pattern: str | None = None
    test_fraction: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.2
    validation_fraction: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    calibration_samples: Count = 512
    classes: tuple[str, ...] | None = None
    seed: Seed = 0


class ImageInput(_Section, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """``kind = "image"``: resized to ``size_px`` (height, width); then ``(pixel / 255 - mean) / std``."""

    size_px: tuple[Count, Count]
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Positive, ...] = (1.0,)


class ImuInput(_Section, frozen=True, kw_only=True, tag_field="kind", tag="imu"):
    """``kind = "imu"``: windows of several channels at one rate. Recordings are cut into windows ``stride_s`` apart."""

    channels: tuple[Text, ...]
    rate_hz: Positive
    window_s: Positive
    stride_s: Positive | None = None
    normalise: bool = True


class AudioInput(_Section, frozen=True, kw_only=True, tag_field="kind", tag="audio"):
    """``kind = "audio"``: mono clips of one length, turned into log-mel frames."""

    rate_hz: Count = 16000
    duration_s: Positive = 1.0
    mels: Count = 40
    frame_ms: Positive = 30.0
    hop_ms: Positive = 20.0


class TensorInput(_Section, frozen=True, kw_only=True, tag_field="kind", tag="tensor"):
    """``kind = "tensor"``: arrays of one shape, taken as they are: ``(value - offset) / scale``."""

    shape: tuple[Count, ...]
    offset: float = 0.0
    scale: Positive = 1.0


InputSection = ImageInput | ImuInput | AudioInput | TensorInput


class PromiseSection(_Section, frozen=True, kw_only=True):
    """``[promises]``. Accuracies are shares of the test samples, 0 to 1.

    ``accuracy_drop_max`` is held against the upper bound of the drop from the float model, one-sided, at ``confidence``.
    """

    accuracy_min: Share | None = None
    accuracy_drop_max: Share | None = None
    worst_class_accuracy_min: Share | None = None
    flip_rate_max: Share | None = None
    confidence: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95


class TrainingSection(_Section, frozen=True, kw_only=True):
    """``[training]``: how a factory's module is trained. Files with weights are not trained."""

    epochs: Count = 30
    batch_size: Count = 64
    learning_rate: Positive = 0.003
    weight_decay: Annotated[float, Meta(ge=0.0)] = 0.01
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    patience: Count | None = None
    augmentation: Augmentation = "none"
    threads: Count = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: Seed = 0


class CompressSection(_Section, frozen=True, kw_only=True):
    """``[compress]``: which decisions a build may try. The best on the validation part is kept.

    ``recipe`` is a file with a Recipe, JSON or TOML: a build then takes exactly its decisions and tries no others.
    """

    calibration: tuple[CalibrationMethod, ...] = ("min_max", "percentile", "mse", "entropy")
    equalise: bool = True
    correct_bias: bool = True
    weight_bits: tuple[WeightBits, ...] = (8,)
    keep_float: tuple[str, ...] = ()
    recipe: Text | None = None


class SearchSection(_Section, frozen=True, kw_only=True):
    """``[search]``: look for the cheapest model that keeps all promises, on each target, instead of taking the model as it is.

    ``families`` are zoo models whose parts are searched, each at its largest, which ``options`` gives by family (the model's
    own options where they are left out); empty means the contract's model. A supernet of each is trained for ``epochs``;
    ``trials`` of its parts are estimated, in generations of ``population``; ``finalists`` for each target are trained on for
    ``finish_epochs``, made integer, measured and judged. All counts, no clock: the same contract gives the same bytes.
    """

    families: tuple[Text, ...] = ()
    options: dict[str, dict[str, int | float | str | bool]] = {}
    epochs: Count = 60
    learning_rate: Positive | None = None
    trials: Count = 240
    population: Annotated[int, Meta(ge=4)] = 24
    finalists: Count = 5
    finish_epochs: Count = 20
    widths: tuple[Annotated[float, Meta(gt=0.0, le=1.0)], ...] = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
    skips: bool = True
    kernels: bool = True
    downsampling: tuple[tuple[Count, Count], ...] = ((1, 1),)
    seed: Seed = 0


class TargetSection(_Section, frozen=True, kw_only=True):
    """``[targets.NAME]``: one device and what the model may cost on it.

    ``latency_ms`` holds the 90th percentile of one inference on one thread; ``memory_mib`` the peak of the serving process;
    ``size_kib`` the program's file; ``ram_kib`` and ``flash_kib`` are a microcontroller's.
    """

    device: Text
    runtime: Runtime | None = None
    precision: Literal["int8", "float32"] | None = None
    latency_ms: Positive | None = None
    memory_mib: Positive | None = None
    size_kib: Positive | None = None
    ram_kib: Positive | None = None
    flash_kib: Positive | None = None
    energy_uj: Positive | None = None


class Contract(_Section, frozen=True, kw_only=True):
    """What a model must do and what it may cost on each device."""

    model: ModelSection
    data: DataSection
    input: InputSection
    promises: PromiseSection = PromiseSection()
    training: TrainingSection = TrainingSection()
    compress: CompressSection = CompressSection()
    search: SearchSection | None = None
    targets: dict[str, TargetSection]
