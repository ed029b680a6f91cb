"""Fully connected layers with the DSP extension: several vectors as pixels of a convolution, one vector by four channels."""

from __future__ import annotations

from marram.compile.c.kernels.dsp import packed
from marram.compile.c.kernels.dsp.packing import Ending, ending_of, packed_pairs, packed_quads, selected, settled
from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.graph import Array
from marram.core.operators import Dense

FEW_MACS, FEW_OUTPUTS = 1024, 16
"""A layer with fewer of both, the last one of a small classifier, is not worth the code of a kernel by four channels."""


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis.

    Raises:
        UserError: other dtypes, or an accumulator that can leave int32.
    """
    site = place.site
    if site.input(0).dtype != "int8":
        raise site.error(f"its input is {site.input(0).dtype}")
    weights = site.constant(1)
    by = requantisation(site, site.op(Dense).activation, channel_axis=0)
    rows = site.input(0).size // weights.shape[1]
    weights, by = settled(weights, by)
    if place.weight_bits != 8:
        return packed.dense(place, weights, by, rows)
    if rows > 1 and weights.shape[1] % 4 == 0:
        return _rows(weights, by, rows)
    return _vector(weights, by, rows, lean=place.lean)


def _rows(weights: Array, by: Requantisation, rows: int) -> Routine:
    """Three vectors at a time, as pixels."""
    stream = packed_pairs(weights, by)
    outputs = len(weights)
    return Routine(
        features=("MARRAM_DSP_ODD_CHANNELS",) if outputs % 2 else (),
        includes=("dsp/pointwise.h", *(("dsp/tile_exact.h",) if stream.ending == "exact" else ())),
        body=f"marram_dsp_pointwise(x0, y0, {rows}, {stream.groups}, {outputs}, @stream@, "
        f"marram_dsp_tile_{stream.ending}, {2 * by.zero_point + 1}, scratch);",
        constants=(ConstantArray(name="stream", c_type="uint32_t", values=stream.stream),),
        scratch_bytes=24 + 24 * stream.groups,
        instructions=-(-rows // 3) * ((17.5 * stream.groups + 42) * -(-outputs // 2) + 17.5 * stream.groups + 70),
    )


def _vector(weights: Array, by: Requantisation, rows: int, *, lean: bool) -> Routine:
    """Vector by vector: four channels at a time as far as they go, the others singly."""
    outputs, depth = weights.shape
    ending = ending_of(by)
    few = weights.size < FEW_MACS and outputs < FEW_OUTPUTS
    by_four = 0 if ending == "exact" or few else outputs // 4 * 4
    raw = lean and depth % 4 == 0
    groups = -(-depth // 4)
    parts, constants, includes = [], [], []
    if by_four:
        stream = packed_quads(weights[:by_four], selected(by, slice(0, by_four))).stream
        constants.append(ConstantArray(name="stream", c_type="uint32_t", values=stream))
        includes.append("dsp/dense.h")
        parts.append(_quads(ending, by, depth, by_four, raw=raw))
    if by_four < outputs:
        rest = slice(by_four, outputs)
        constants.append(ConstantArray(name="weights", c_type="int8_t", values=weights[rest].ravel()))
        constants.append(ConstantArray(name="channels", c_type="int32_t", values=channel_records(selected(by, rest))))
        includes.append("dsp/dense_single.h")
        parts.append(
            f"marram_dsp_dense_single(x, y + {by_four}, {depth}, {outputs - by_four}, @weights@, @channels@, "
            f"{by.zero_point}, {by.low}, {by.high});"
        )
    loop = f"for (int row = 0; row < {rows}; row++) {{\nconst int8_t *const x = x0 + row * {depth};\n"
    body = loop + f"int8_t *const y = y0 + row * {outputs};\n" + "\n".join(parts) + "\n}"
    per_four = (17.5 if raw else 14.5) * groups + 45
    return Routine(
        includes=tuple(includes),
        body=body,
        constants=tuple(constants),
        scratch_bytes=8 * groups if by_four and not raw else 0,
        instructions=rows * (per_four * by_four / 4 + (outputs - by_four) * (10 * groups + 30) + (4 if raw else 9) * groups),
    )


def _quads(ending: Ending, by: Requantisation, depth: int, channels: int, *, raw: bool) -> str:
    arguments = f"{-(-depth // 4)}, {channels}, beginning, {2 * by.zero_point + 1}"
    if raw:
        begin = f"const int32_t beginning = marram_dsp_beginning(x, {depth // 4});\n"
        return begin + f"marram_dsp_quads_raw_{ending}(x, @stream@, y, {arguments});"
    begin = f"const int32_t beginning = marram_dsp_expand(x, {depth}, scratch);\n"
    return begin + f"marram_dsp_quads_expanded_{ending}(scratch, @stream@, y, {arguments});"
