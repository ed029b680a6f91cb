"""Which function translates which ATen operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marram.model.torch_import import convolution, elementwise, pooling, product, recurrent, reduction, shaping

Translator = Callable[..., Any]

_BY_FUNCTION: dict[Translator, tuple[str, ...]] = {
    convolution.conv: ("conv1d", "conv2d"),
    convolution.conv_transpose: ("conv_transpose1d", "conv_transpose2d"),
    pooling.max_pool: ("max_pool1d", "max_pool2d"),
    pooling.average_pool: ("avg_pool1d", "avg_pool2d"),
    pooling.adaptive_average_pool: ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
    pooling.adaptive_max_pool: ("adaptive_max_pool1d", "adaptive_max_pool2d"),
    pooling.resize_nearest: ("upsample_nearest1d", "upsample_nearest2d"),
    pooling.resize_nearest_exact: ("_upsample_nearest_exact1d", "_upsample_nearest_exact2d"),
    pooling.resize_bilinear: ("upsample_bilinear2d",),
    elementwise.add: ("add",),
    elementwise.sub: ("sub",),
    elementwise.rsub: ("rsub",),
    elementwise.mul: ("mul",),
    elementwise.div: ("div",),
    elementwise.neg: ("neg",),
    elementwise.power: ("pow",),
    elementwise.square: ("square",),
    elementwise.relu: ("relu",),
    elementwise.relu6: ("relu6",),
    elementwise.clamp: ("clamp",),
    elementwise.clamp_min: ("clamp_min",),
    elementwise.hardtanh: ("hardtanh",),
    elementwise.leaky_relu: ("leaky_relu",),
    elementwise.prelu: ("prelu", "_prelu_kernel"),
    elementwise.hardswish: ("hardswish",),
    elementwise.hardsigmoid: ("hardsigmoid",),
    elementwise.sigmoid: ("sigmoid",),
    elementwise.silu: ("silu",),
    elementwise.tanh: ("tanh",),
    elementwise.gelu: ("gelu",),
    elementwise.expand: ("expand",),
    shaping.view: (
        "view",
        "_unsafe_view",
        "reshape",
        "view_copy",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "_reshape_copy",
    ),
    shaping.permute: ("permute",),
    shaping.transpose: ("transpose", "swapaxes"),
    shaping.swap_last: ("t", "mT", "numpy_T"),
    shaping.concatenate: ("cat", "concat"),
    shaping.stack: ("stack",),
    shaping.split: ("split", "split_with_sizes"),
    shaping.chunk: ("chunk",),
    shaping.unbind: ("unbind",),
    shaping.select: ("select",),
    shaping.cut: ("slice",),
    shaping.narrow: ("narrow",),
    shaping.pad: ("pad", "constant_pad_nd"),
    shaping.repeat: ("repeat",),
    reduction.mean: ("mean",),
    reduction.total: ("sum",),
    reduction.softmax: ("softmax", "_softmax"),
    reduction.layer_norm: ("layer_norm",),
    reduction.batch_norm: ("batch_norm",),
    reduction.native_batch_norm: ("_native_batch_norm_legit_no_training",),
    reduction.native_layer_norm: ("native_layer_norm",),
    product.linear: ("linear",),
    product.matmul: ("matmul", "mm", "bmm"),
    product.addmm: ("addmm", "baddbmm"),
    product.attention: ("scaled_dot_product_attention",),
    recurrent.lstm: ("lstm",),
    recurrent.gru: ("gru",),
}

TRANSLATORS: dict[str, Translator] = {f"aten::{name}": function for function, names in _BY_FUNCTION.items() for name in names}
"""The translator of each ATen operator, by its schema's name."""

IDENTITIES = frozenset(
    f"aten::{name}"
    for name in (
        "alias",
        "clone",
        "contiguous",
        "detach",
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "lift_fresh_copy",
        "to",
        "_to_copy",
        "type_as",
    )
)
"""Operators that give their first input back, as far as a float32 Graph in evaluation mode is concerned."""

IGNORED = frozenset({"aten::_assert_tensor_metadata", "aten::_assert_async", "aten::_assert_scalar"})
"""Checks that give nothing."""
