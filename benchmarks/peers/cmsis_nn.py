"""CMSIS-NN 4.0.0 as a kernel family of marram's generator, so that both are called, built and counted alike.

The sources come from the PyPI wheel of bakenn 1.0.0 (Apache-2.0, a subset of CMSIS-NN 4.0.0: convolutions, fully
connected, average pooling), downloaded by the benchmark and never kept in the project. Elementwise sums and softmax are not
in the wheel: they run on marram's portable kernels, a few per cent of these nets.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from marram.compile.c.families import Family
from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.place import ConstantArray, Maker, Place, Routine
from marram.core import operators as ops
from marram.core.graph import Array
from marram.model.reference.arithmetic import activation_range
from marram.model.reference.linear import channel_multiplier, integer_bias
from marram.model.reference.site import Site

_WHEEL = "bakenn==1.0.0"


def fetched(folder: Path) -> tuple[list[Path], list[Path]]:
    """Source files and include folders of CMSIS-NN; downloaded into ``folder`` when they are not there."""
    folder = folder.resolve()  # the compiler runs elsewhere
    root = folder / "bakenn" / "backend" / "cmsis_nn" / "vendor"
    if not root.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _WHEEL]
        subprocess.run(pip, check=True)
        (wheel,) = folder.glob("bakenn-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return sorted((root / "cmsis_nn" / "Source").rglob("*.c")), [root / "cmsis_nn" / "Include", root / "cmsis_core" / "Include"]


def _dims(n: int, h: int, w: int, c: int) -> str:
    return f"&(cmsis_nn_dims){{{n}, {h}, {w}, {c}}}"


def _sizes(g: Geometry, filter_channels: int) -> tuple[str, str, str, str]:
    return (
        _dims(1, g.in_height, g.in_width, g.in_channels),
        _dims(g.out_channels, g.kernel_height, g.kernel_width, filter_channels),
        _dims(1, 1, 1, g.out_channels),
        _dims(1, g.out_height, g.out_width, g.out_channels),
    )


def _constants(site: Site, weights: Array) -> tuple[ConstantArray, ...]:
    channels = weights.shape[-1] if isinstance(site.node.op, ops.DepthwiseConv2D) else weights.shape[0]
    by = channel_multiplier(site, channels)
    bias = integer_bias(site)
    return (
        ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
        ConstantArray(name="bias", c_type="int32_t", values=np.zeros(channels, np.int32) if bias is None else bias),
        ConstantArray(name="multiplier", c_type="int32_t", values=by.values),
        ConstantArray(name="shift", c_type="int32_t", values=by.shifts),
    )


def _window(place: Place, op: ops.Conv2D | ops.DepthwiseConv2D, multiplicity: int | None) -> Routine:
    site = place.site
    weights = site.constant(1)
    g = geometry(place, op, (weights.shape[1], weights.shape[2]))
    if getattr(op, "groups", 1) != 1:
        raise site.error("no groups")
    low, high = activation_range(site, op.activation)
    kind = "conv" if multiplicity is None else "dw_conv"
    name = "arm_convolve" if multiplicity is None else "arm_depthwise_conv"
    factor = "" if multiplicity is None else f".ch_mult = {multiplicity}, "
    x, w, b, y = _sizes(g, g.in_channels if multiplicity is None else g.out_channels)
    scratch = 16 * g.in_channels * g.kernel_height * g.kernel_width + 64 + 8 * 124 * g.kernel_height * g.kernel_width
    body = f"""const cmsis_nn_{kind}_params params = {{.input_offset = {-site.zero_point(site.input(0))}, {factor}
    .output_offset = {site.zero_point(site.output)}, .stride = {{{g.stride_x}, {g.stride_y}}},
    .padding = {{{g.pad_left}, {g.pad_top}}}, .dilation = {{{g.dilation_x}, {g.dilation_y}}}, .activation = {{{low}, {high}}}}};
const cmsis_nn_per_channel_quant_params quant = {{(int32_t *)(uintptr_t)@multiplier@, (int32_t *)(uintptr_t)@shift@}};
const cmsis_nn_context context = {{scratch, {scratch}}};
{name}_wrapper_s8(&context, &params, &quant, {x}, x0, {w}, @weights@, {b}, @bias@, {y}, y0);"""
    return Routine(includes=("<arm_nnfunctions.h>",), body=body, constants=_constants(site, weights), scratch_bytes=scratch)


def _conv2d(place: Place) -> Routine:
    return _window(place, place.site.op(ops.Conv2D), None)


def _depthwise(place: Place) -> Routine:
    op = place.site.op(ops.DepthwiseConv2D)
    return _window(place, op, place.site.output.shape[3] // place.site.input(0).shape[3])


def _dense(place: Place) -> Routine:
    site = place.site
    weights = site.constant(1)
    outputs, depth = weights.shape
    by = channel_multiplier(site, outputs)
    if len(set(by.values.tolist())) != 1:
        raise site.error("fully connected layers have one scale")
    low, high = activation_range(site, site.op(ops.Dense).activation)
    rows = site.input(0).size // depth
    offsets = f"{-site.zero_point(site.input(0))}, 0, {site.zero_point(site.output)}"
    body = f"""const cmsis_nn_fc_params params = {{{offsets}, {{{low}, {high}}}}};
const cmsis_nn_per_tensor_quant_params quant = {{{int(by.values[0])}, {int(by.shifts[0])}}};
const cmsis_nn_context context = {{NULL, 0}};
arm_fully_connected_s8(&context, &params, &quant, {_dims(rows, 1, 1, depth)}, x0, {_dims(depth, 1, 1, outputs)}, @weights@,
    {_dims(1, 1, 1, outputs)}, @bias@, {_dims(rows, 1, 1, outputs)}, y0);"""
    return Routine(includes=("<arm_nnfunctions.h>",), body=body, constants=_constants(site, weights)[:2])


def _average_pool(place: Place) -> Routine:
    site = place.site
    op = site.op(ops.AveragePool2D)
    g = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    scratch = 4 * g.in_channels
    x, _, _, y = _sizes(g, 1)
    window = _dims(1, g.kernel_height, g.kernel_width, 1)
    places = f"{{{g.stride_x}, {g.stride_y}}}, {{{g.pad_left}, {g.pad_top}}}"
    body = f"""const cmsis_nn_pool_params params = {{{places}, {{{low}, {high}}}}};
const cmsis_nn_context context = {{scratch, {scratch}}};
arm_avgpool_s8(&context, &params, {x}, x0, {window}, {y}, y0);"""
    return Routine(includes=("<arm_nnfunctions.h>",), body=body, scratch_bytes=scratch)


MAKERS: dict[type, Maker] = {
    ops.Conv2D: _conv2d,
    ops.DepthwiseConv2D: _depthwise,
    ops.Dense: _dense,
    ops.AveragePool2D: _average_pool,
}

CMSIS_NN = Family(name="cmsis_nn", line=("peers.cmsis_nn", "portable"), align_bytes=16)
