"""Folding: a float Graph in, the same function with fewer nodes out.

Two rounds run to their fixpoints. The first folds batch norms, constants, paddings and activations into the layers beside them;
the second turns what is left of channel-wise affine steps on images into depthwise convolutions, and the first runs again.
Every rule is exact in real arithmetic; in float32 the results agree within rounding.
"""

from __future__ import annotations

from typing import get_args

from marram.compress.rewrites.activations import (
    degenerate_leaky_relu,
    fuse_activation,
    recognise_hard_swish,
    repeated_relu,
)
from marram.compress.rewrites.arithmetic import (
    affine_to_depthwise,
    grouped_to_depthwise,
    product_to_dense,
    scale_layer_after,
    scale_layer_before,
    scale_softmax_after,
    shift_layer_after,
    shift_layer_before,
    split_batch_norm,
    subtraction_to_addition,
)
from marram.compress.rewrites.identities import compute_constant, remove_dead, remove_identity, remove_neutral_constant
from marram.compress.rewrites.layout import (
    lift_both_over_movement,
    lift_over_movement,
    merge_reshapes,
    merge_transposes,
    slice_of_concat,
    transpose_to_reshape,
)
from marram.compress.rewrites.padding import pad_into_convolution, pad_into_max_pool
from marram.compress.rewrites.rewriting import Rule, Rules, run
from marram.core import operators as ops
from marram.core.graph import Graph
from marram.core.operators import Operator
from marram.model.spec import verify

_ANY: tuple[Rule, ...] = (remove_dead, compute_constant, remove_identity)
_BY_OPERATOR: dict[type, tuple[Rule, ...]] = {
    ops.BatchNorm: (lift_over_movement, split_batch_norm),
    ops.Conv2D: (grouped_to_depthwise, pad_into_convolution),
    ops.DepthwiseConv2D: (pad_into_convolution,),
    ops.MatMul: (product_to_dense,),
    ops.Mul: (
        recognise_hard_swish,
        remove_neutral_constant,
        scale_layer_before,
        lift_over_movement,
        lift_both_over_movement,
        scale_layer_after,
        scale_softmax_after,
    ),
    ops.Add: (remove_neutral_constant, shift_layer_before, lift_over_movement, lift_both_over_movement, shift_layer_after),
    ops.Sub: (subtraction_to_addition, lift_both_over_movement),
    ops.MaxPool2D: (pad_into_max_pool,),
    ops.Reshape: (merge_reshapes,),
    ops.Slice: (slice_of_concat,),
    ops.Transpose: (merge_transposes, transpose_to_reshape),
    ops.Relu: (fuse_activation, repeated_relu, lift_over_movement),
    ops.Relu6: (fuse_activation, lift_over_movement),
    ops.LeakyRelu: (degenerate_leaky_relu, lift_over_movement),
    ops.HardSwish: (lift_over_movement,),
    ops.Sigmoid: (lift_over_movement,),
    ops.Tanh: (lift_over_movement,),
    ops.Gelu: (lift_over_movement,),
}
FIRST: Rules = {kind: (*_ANY, *_BY_OPERATOR.get(kind, ())) for kind in get_args(Operator)}
SECOND: Rules = {ops.Add: (affine_to_depthwise,)}


def fold(graph: Graph) -> Graph:
    """Fold a float Graph until nothing more folds. Folding a folded Graph changes nothing.

    Args:
        graph: a Graph of the float stage.

    Returns:
        A Graph with the same inputs and outputs, by name, that computes the same function up to float32 rounding.

    Raises:
        UserError: the Graph is not a legal float Graph, for instance an integer one.
    """
    verify(graph, "float")
    return run(run(run(graph, FIRST), SECOND), FIRST)
