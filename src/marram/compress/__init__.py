"""The room ``compress``: a Graph and a Recipe in, a smaller Graph out: fold, equalise, calibrate, quantise, correct."""

from marram.compress.integers.assignment import Assignment, assign_bits
from marram.compress.integers.bias_correction import correct_bias
from marram.compress.integers.calibration import Range, calibrate
from marram.compress.integers.layer_damage import LayerDamage, damage
from marram.compress.integers.precision import Sensitivity, sensitivities
from marram.compress.integers.quantisation import quantise, quantise_by_ranges
from marram.compress.integers.rounding import round_adaptively
from marram.compress.integers.weight_bytes import weight_bytes
from marram.compress.learning.fine_tuning import fine_tune
from marram.compress.learning.pairing import pairs_of
from marram.compress.learning.quantised.training import train_quantised
from marram.compress.learning.transfer import backbone_nodes, replace_head
from marram.compress.material import Material
from marram.compress.replay import Choice, Tried, applied, apply, best, candidates, stages
from marram.compress.rewrites.equalisation import equalise
from marram.compress.rewrites.factorisation import factorised, rank_for
from marram.compress.rewrites.folding import fold
from marram.compress.rewrites.recurrence import unroll
from marram.compress.rewrites.separation import separated
from marram.compress.scoring import closeness
from marram.compress.structure.cutting import narrowed, slices
from marram.compress.structure.downsampling import downsampled
from marram.compress.structure.groups import Group, groups
from marram.compress.structure.importance import importance
from marram.compress.structure.kernels import croppable, cropped, kernel_slices
from marram.compress.structure.pruning import prune
from marram.compress.structure.skipping import Span, skipped, spans
from marram.compress.telling import describe, diff

__all__ = [
    "Assignment",
    "Choice",
    "Group",
    "LayerDamage",
    "Material",
    "Range",
    "Sensitivity",
    "Span",
    "Tried",
    "applied",
    "apply",
    "assign_bits",
    "backbone_nodes",
    "best",
    "calibrate",
    "candidates",
    "closeness",
    "correct_bias",
    "croppable",
    "cropped",
    "damage",
    "describe",
    "diff",
    "downsampled",
    "equalise",
    "factorised",
    "fine_tune",
    "fold",
    "groups",
    "importance",
    "kernel_slices",
    "narrowed",
    "pairs_of",
    "prune",
    "quantise",
    "quantise_by_ranges",
    "rank_for",
    "replace_head",
    "round_adaptively",
    "sensitivities",
    "separated",
    "skipped",
    "slices",
    "spans",
    "stages",
    "train_quantised",
    "unroll",
    "weight_bytes",
]
