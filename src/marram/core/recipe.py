"""The Recipe noun: the compression decisions, in order, as data. ``compress.apply`` replays one.

A decision is complete: with the Graph before it, the data and the seed that it names, it gives the same Graph each time. The
ledger of a build (``core.ledger``) says what each gained and cost.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CalibrationMethod = Literal["min_max", "percentile", "mse", "entropy"]
Augmentation = Literal["none", "image_flip_crop", "window_jitter", "window_rotation"]
WeightBits = Literal[8, 4, 2]
ActivationBits = Literal[8, 16]
Importance = Literal["taylor", "batch_norm", "l2", "first"]
Part = Annotated[float, Meta(gt=0.0, le=1.0)]


class _Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="decision", tag=str.lower):
    """Root of the decisions; the tag in the encoding is the class's name in lower case."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How weights are trained on inside a decision. The fields are those of ``model.training.TrainingSettings``."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    patience: int = 0
    augmentation: Augmentation = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = 1
    seed: int = 0


class Distillation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a student learns from a teacher beside its targets.

    ``teacher``: ``original`` is the Graph that the recipe began with, ``given`` the one handed in. ``weight`` is the teacher's
    share of the loss on logits, at ``temperature``; ``features`` the share of a loss between tensors of both, by their names
    in the student (``pairs``: student's tensor to teacher's), compared as they are or as attention maps.
    Sources: Hinton et al. 2015 (logits); Romero et al., FitNets, 2015 (features); Zagoruyko and Komodakis 2017 (attention).
    """

    teacher: Literal["original", "given"] = "original"
    weight: float = 0.7
    temperature: float = 4.0
    features: float = 0.0
    pairs: dict[str, str] = {}
    compare: Literal["features", "attention"] = "attention"


class Narrow(_Decision, frozen=True, kw_only=True):
    """Keep so many channels of each named dependency group, the most important ones. ``keep`` is by the group's name."""

    keep: dict[str, int]
    importance: Importance = "first"


class Skip(_Decision, frozen=True, kw_only=True):
    """Leave out spans of layers whose input and output have one shape; a span is named by the tensor that it makes."""

    spans: tuple[str, ...]


class Crop(_Decision, frozen=True, kw_only=True):
    """Kernels of named nodes cut to their middle: height and width, odd."""

    kernels: dict[str, tuple[int, int]]


class Downsample(_Decision, frozen=True, kw_only=True):
    """Average windows of the input before everything else: (height, width), or (1, time) for windows of a sensor."""

    factor: tuple[int, int]


class Prune(_Decision, frozen=True, kw_only=True):
    """Structured pruning: channels and heads by dependency groups until ``share`` of a resource of the target is left.

    ``resource`` is what the cost port of the target counts; ``steps`` cuts, each followed by a fine-tuning.
    """

    resource: Literal["instructions", "ram_bytes", "flash_bytes", "macs"] = "macs"
    share: Part
    importance: Importance = "taylor"
    steps: int = 4
    tuning: Tuning = Tuning()
    distillation: Distillation | None = None


class Factorise(_Decision, frozen=True, kw_only=True):
    """Low rank: a dense layer or a convolution becomes two of so many middle channels, by singular values."""

    ranks: dict[str, int]


class Separate(_Decision, frozen=True, kw_only=True):
    """Convolutions become a depthwise and a pointwise one, nearest in weights; a fine-tuning should follow."""

    nodes: tuple[str, ...]


class FineTune(_Decision, frozen=True, kw_only=True):
    """Train the float Graph's weights on, from a teacher too where ``distillation`` says so.

    ``frozen`` names nodes whose weights stay; ``thaw_epoch`` is when they are trained as well, None never.
    """

    tuning: Tuning = Tuning()
    distillation: Distillation | None = None
    frozen: tuple[str, ...] = ()
    thaw_epoch: int | None = None


class Fold(_Decision, frozen=True, kw_only=True):
    """Fold batch norm into the layer before it, constants into constants, and tidy the graph. Exact up to float rounding."""


class Equalise(_Decision, frozen=True, kw_only=True):
    """Cross-layer equalisation of weight ranges. Source: Nagel et al., Data-Free Quantization, ICCV 2019."""

    rounds: int = 20


class Quantise(_Decision, frozen=True, kw_only=True):
    """Post-training integers: weights symmetric per output channel, activations affine per tensor.

    ``calibration`` finds activation ranges; ``percentile`` is used by that method alone. Nodes in ``keep_float`` stay float.
    ``weight_bits`` and ``activation_bits`` are by node, 8 where not named; ``channel_bits`` gives single channels of a
    node's weights fewer bits than ``weight_bits`` does, as one number of bits for each channel.
    """

    calibration: CalibrationMethod = "min_max"
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()
    weight_bits: dict[str, WeightBits] = {}
    channel_bits: dict[str, tuple[WeightBits, ...]] = {}
    activation_bits: dict[str, ActivationBits] = {}


class CorrectBias(_Decision, frozen=True, kw_only=True):
    """Shift each bias by the mean error that weight rounding makes on the calibration data. Source: as Equalise."""


class Round(_Decision, frozen=True, kw_only=True):
    """Weights rounded up or down, whichever keeps each layer's output nearest; layer by layer on the calibration data.

    ``nodes`` empty means all whose weights lie within 4 bits. Source: Nagel et al., Up or Down? Adaptive Rounding, ICML 2020.
    """

    nodes: tuple[str, ...] = ()
    iterations: int = 1000
    learning_rate: float = 1e-2


class TrainQuantised(_Decision, frozen=True, kw_only=True):
    """Train through the integer graph's roundings, beginning from its scales; export needs no calibration.

    ``learn_scales``: step sizes are learnt as well. ``distillation`` as for FineTune. Sources: Jacob et al., CVPR 2018; Esser
    et al., Learned Step Size Quantization, ICLR 2020.
    """

    tuning: Tuning = Tuning(epochs=5, learning_rate=2e-4)
    learn_scales: bool = True
    distillation: Distillation | None = None


Decision = (
    Narrow
    | Skip
    | Crop
    | Downsample
    | Prune
    | Factorise
    | Separate
    | FineTune
    | Fold
    | Equalise
    | Quantise
    | CorrectBias
    | Round
    | TrainQuantised
)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decisions in the order in which they are applied. Two recipes are equal when their decisions are."""

    decisions: tuple[Decision, ...]

    def without(self, index: int) -> Recipe:
        """The recipe with one decision reverted.

        Raises:
            IndexError: there is no decision of that index.
        """
        if not 0 <= index < len(self.decisions):
            raise IndexError(f"the recipe has decisions 0 to {len(self.decisions) - 1}, not {index}")
        return Recipe(decisions=self.decisions[:index] + self.decisions[index + 1 :])
