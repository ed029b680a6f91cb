"""Depthwise convolution with the DSP extension: channel by channel through planes of int16 in scratch."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.kernels.dsp.packed import packed_taps
from marram.compile.c.kernels.dsp.planes import Planes, planes_of
from marram.compile.c.kernels.dsp.rounding import CommonShift, common_shift, separate_constants
from marram.compile.c.place import ConstantArray, CType, Place, Routine
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.graph import Array
from marram.core.operators import DepthwiseConv2D

_ANY, _3X3, _LINE = 0, 1, 2
_LINE_BYTES = 4096
_WIDEST_PITCH = 255
"""int16 of a plane's row that the 3x3 kernel's offsets reach."""


class _Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel needs: its kind, the records, the words of a kernel row and of a record, shift and rounding base.

    With weights of fewer bits ``records`` are packed, and ``record`` is still the words of one as the kernel reads it.
    """

    kind: int
    records: Array
    words: int
    record: int
    shift: int = 0
    base: int = 0


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution of multiplicity 1, any kernel, stride and dilation; 3x3 above all.

    Raises:
        UserError: multiplicity above 1, or channels whose accumulators need more than one high product.
    """
    site = place.site
    op = site.op(DepthwiseConv2D)
    weights = site.constant(1)
    if weights.shape[3] != site.input(0).shape[3] or site.output.dtype != "int8":
        raise site.error("depthwise convolutions of multiplicity 1 and int8 are served here")
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    taps = weights[0].reshape(sizes.kernel_height, sizes.kernel_width, -1).astype(np.int64)
    by = requantisation(site, op.activation, channel_axis=3)
    away = int(by.low < by.zero_point)
    packed, planes = _way(place, sizes, taps, by)
    name, definition = _definition(sizes, packed, planes, away, by, bits=place.weight_bits)
    expanded, more = "", 0
    if place.weight_bits != 8:
        expanded, more = f", (int32_t *)scratch + {-(-planes.scratch_bytes // 4)}", 4 * planes.group * packed.record + 4
    pair = (site.zero_point(site.input(0)) & 0xFFFF) * 0x10001
    return Routine(
        includes=("dsp/depthwise_conv2d.h",) if place.weight_bits == 8 else ("dsp/packed/depthwise_conv2d.h",),
        shared=(definition,),
        body=f"{name}(x0, y0, row_begin, row_end, @records@, {pair}u, {packed.base}, scratch{expanded});",
        constants=(ConstantArray(name="records", c_type=words_of(place), values=packed.records.ravel()),),
        scratch_bytes=planes.scratch_bytes + more,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="planes" if sizes.whole else "whole",
        instructions=_instructions(sizes, packed, planes),
        call_instructions=2.3 * max(sizes.rows.reach - sizes.stride_y, 0) * sizes.in_width * sizes.in_channels
        + (12.0 * packed.record * sizes.in_channels if more else 0.0),
    )


def words_of(place: Place) -> CType:
    """The type of records in flash."""
    return "int32_t" if place.weight_bits == 8 else "uint32_t"


def _way(place: Place, sizes: Geometry, taps: Array, by: Requantisation) -> tuple[_Packed, Planes]:
    """The kernel that serves best, and its planes."""
    packed = _packed_3x3(place, sizes, taps, by)
    if packed is not None:
        planes = planes_of(sizes, 2 * packed.words, lean=place.lean)
        if planes.pitch <= _WIDEST_PITCH:
            return packed, planes
    if sizes.in_width == sizes.out_width == sizes.kernel_width == 1 and sizes.pad_left == 0:
        turned = _turned(sizes)
        packed = _packed_any(place, turned, taps.swapaxes(0, 1), by)
        planes = planes_of(turned, 2 * packed.words + sizes.stride_y, lean=place.lean)
        if planes.scratch_bytes <= _LINE_BYTES:
            return msgspec.structs.replace(packed, kind=_LINE), planes
    packed = _packed_any(place, sizes, taps, by)
    return packed, planes_of(sizes, 2 * packed.words, lean=place.lean)


def _turned(sizes: Geometry) -> Geometry:
    """A sequence's rows as columns."""
    return msgspec.structs.replace(
        sizes,
        in_height=1,
        in_width=sizes.in_height,
        in_rows=1,
        out_height=1,
        out_width=sizes.out_height,
        out_rows=1,
        kernel_height=1,
        kernel_width=sizes.kernel_height,
        stride_y=1,
        stride_x=sizes.stride_y,
        dilation_y=1,
        dilation_x=sizes.dilation_y,
        pad_top=0,
        pad_left=sizes.pad_top,
    )


def _definition(
    sizes: Geometry, packed: _Packed, planes: Planes, away: int, by: Requantisation, *, bits: int
) -> tuple[str, str]:
    """A function of these sizes, and its name: layers of the same sizes share it."""
    fields = {
        "kind": packed.kind,
        "pitch": planes.pitch,
        "band": planes.band,
        "group": planes.group,
        "words": packed.words,
        "record": packed.record,
        "shift": packed.shift,
        "away": away,
        "low": by.low,
        "high": by.high,
    }
    how = "((marram_dsp_depthwise){" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "})"
    shape = f"{sizes.in_height}x{sizes.in_width}x{sizes.in_channels}"
    name = f"marram_dsp_depthwise_{shape}_{zlib.crc32((sizes.literal + how).encode()):08x}"
    if bits != 8:
        name = f"{name}_{bits}"
        return name, (
            f"#ifndef {name.upper()}\n#define {name.upper()}\n"
            f"MARRAM_NOINLINE static void {name}(const int8_t *x, int8_t *y, int row_begin, int row_end,\n"
            f"    const uint32_t *stream, uint32_t zeros, int32_t base, void *scratch, int32_t *records)\n{{\n"
            f"    marram_dsp_packed_depthwise_conv2d({sizes.literal},\n        {how},\n"
            f"        {bits}, {packed.records.shape[1]}, x, y, row_begin, row_end, stream, zeros, base, scratch, records);\n"
            "}\n#endif"
        )
    return name, (
        f"#ifndef {name.upper()}\n#define {name.upper()}\n"
        f"MARRAM_NOINLINE static void {name}(const int8_t *x, int8_t *y, int row_begin, int row_end, const int32_t *records,\n"
        f"    uint32_t zeros, int32_t base, void *scratch)\n{{\n"
        f"    marram_dsp_depthwise_conv2d({sizes.literal},\n        {how},\n"
        "        x, y, row_begin, row_end, records, zeros, base, scratch);\n}\n#endif"
    )


def _packed_3x3(place: Place, sizes: Geometry, taps: Array, by: Requantisation) -> _Packed | None:
    """Records of the 3x3 kernel, or None where another is needed."""
    across = sizes.stride_x in {1, 2} and (sizes.stride_x == 2 or sizes.stride_y == 1)
    dense = sizes.dilation_y == sizes.dilation_x == 1
    if taps.shape[:2] != (3, 3) or not across or not dense:
        return None
    found = common_shift(by, np.abs(taps).max(axis=(0, 1)))
    if found is None:
        return None
    if place.weight_bits != 8:
        return _halved_3x3(place, sizes, taps, found)
    scaled = np.where(found.living, taps << found.scale, 0)
    halves = [scaled[0, 0], scaled[0, 1], scaled[1, 0], scaled[1, 1], scaled[2, 0], scaled[2, 1]]
    halves += [scaled[0, 2], scaled[1, 2], found.rounding, scaled[2, 2]]
    pairs = _pairs(np.stack(halves, axis=-1))
    records = np.concatenate([pairs, found.bias[:, None], found.multiplier[:, None]], axis=1)
    return _Packed(kind=_3X3, records=records, words=1 + sizes.stride_x, record=7, shift=found.shift, base=found.base)


def _halved_3x3(place: Place, sizes: Geometry, taps: Array, found: CommonShift) -> _Packed | None:
    """Records of the 3x3 kernel with weights of fewer bits, or None where a rounding has no place in them."""
    wanted = np.where(found.rounding != 0, np.int64(1) << np.clip(found.scale - 2, 0, 14), 0)
    if (wanted != found.rounding).any() or (found.scale < 0).any():
        return None
    order = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (0, 2), (1, 2), (2, 2))
    living = np.where(found.living, taps, 0)
    words = packed_taps(place, np.stack([living[at] for at in order], axis=1), spare_bits=5)
    tail = found.scale.astype(np.uint64) | (found.rounding != 0).astype(np.uint64) << np.uint64(4)
    place_of = 9 * place.weight_bits
    words[:, place_of // 32] |= (tail << np.uint64(place_of % 32)).astype(np.uint32)
    records = np.concatenate([_unsigned_words(found.bias, found.multiplier), words], axis=1)
    return _Packed(kind=_3X3, records=records, words=1 + sizes.stride_x, record=7, shift=found.shift, base=found.base)


def _unsigned_words(*columns: Array) -> Array:
    """int64 values that fit int32, (O,) each, as uint32 (O, columns)."""
    return np.stack(columns, axis=1).astype(np.int64).astype(np.uint32)


def _packed_any(place: Place, sizes: Geometry, taps: Array, by: Requantisation) -> _Packed:
    """Records of the kernel for any window."""
    found = separate_constants(place, by)
    reach = (sizes.kernel_width - 1) * sizes.dilation_x + 1
    words = (reach + sizes.stride_x + 1) // 2
    rows, _, channels = taps.shape
    if place.weight_bits != 8:
        few = packed_taps(place, np.where(found.constant, 0, taps).reshape(-1, channels).T)
        heads = _unsigned_words(found.bias, found.multiplier, found.shift, found.addend)
        return _Packed(kind=_ANY, records=np.concatenate([heads, few], axis=1), words=words, record=4 + 2 * rows * words)
    wide = np.zeros((channels, rows, words * 2, 2), np.int64)
    living = np.where(found.constant, 0, taps)
    for column in range(sizes.kernel_width):
        at = column * sizes.dilation_x
        wide[:, :, at, 0] = living[:, column].T
        wide[:, :, at + sizes.stride_x, 1] = living[:, column].T
    pairs = _pairs(wide.reshape(channels, rows, words, 2, 2).swapaxes(-1, -2).reshape(channels, -1))
    heads = np.stack([found.bias, found.multiplier, found.shift, found.addend], axis=1)
    return _Packed(kind=_ANY, records=np.concatenate([heads, pairs], axis=1), words=words, record=4 + pairs.shape[1])


def _pairs(halves: Array) -> Array:
    """int16 values (N, 2 * K) as int32 words (N, K), the first of two in the low half."""
    return np.ascontiguousarray(halves.astype("<i2")).view("<i4").astype(np.int64)


def _instructions(sizes: Geometry, packed: _Packed, planes: Planes) -> float:
    """By the counts of a Cortex-M4."""
    outputs = sizes.out_height * sizes.out_width * sizes.out_channels
    moved = sizes.in_height * sizes.in_width * sizes.in_channels * (2.3 if planes.group == 4 else 3.2)
    if packed.kind == _3X3:
        return 13.0 * outputs + moved + 60.0 * sizes.out_channels
    return (8.0 + 2.5 * packed.words * sizes.kernel_height) * outputs + moved + 40.0 * sizes.out_channels
