"""The room ``compress``: a Graph and a Recipe in, a smaller Graph out: fold, equalise, calibrate, quantise, correct."""

from marram.compress.bias_correction import correct_bias
from marram.compress.calibration import Range, calibrate
from marram.compress.equalisation import equalise
from marram.compress.folding import fold
from marram.compress.layer_damage import LayerDamage, damage
from marram.compress.quantisation import quantise, quantise_by_ranges
from marram.compress.recurrence import unroll
from marram.compress.replay import Choice, Tried, apply, best, candidates, closeness, diff

__all__ = [
    "Choice",
    "LayerDamage",
    "Range",
    "Tried",
    "apply",
    "best",
    "calibrate",
    "candidates",
    "closeness",
    "correct_bias",
    "damage",
    "diff",
    "equalise",
    "fold",
    "quantise",
    "quantise_by_ranges",
    "unroll",
]
