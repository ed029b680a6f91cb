"""The room ``compress``: a Graph and a Recipe in, a smaller Graph out: fold, equalise, calibrate, quantise, correct."""

from marram.compress.integers.bias_correction import correct_bias
from marram.compress.integers.calibration import Range, calibrate
from marram.compress.integers.layer_damage import LayerDamage, damage
from marram.compress.integers.quantisation import quantise, quantise_by_ranges
from marram.compress.learning.fine_tuning import fine_tune
from marram.compress.learning.pairing import pairs_of
from marram.compress.learning.transfer import backbone_nodes, replace_head
from marram.compress.material import Material
from marram.compress.replay import Choice, Tried, applied, apply, best, candidates, closeness, describe, diff, stages
from marram.compress.rewrites.equalisation import equalise
from marram.compress.rewrites.factorisation import factorised, rank_for
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.compress.rewrites.separation import separated

__all__ = [
    "Choice",
    "LayerDamage",
    "Material",
    "Range",
    "Tried",
    "applied",
    "apply",
    "backbone_nodes",
    "best",
    "calibrate",
    "candidates",
    "closeness",
    "correct_bias",
    "damage",
    "describe",
    "diff",
    "equalise",
    "factorised",
    "fine_tune",
    "fold",
    "pairs_of",
    "quantise",
    "quantise_by_ranges",
    "rank_for",
    "replace_head",
    "separated",
    "stages",
    "unroll",
]
