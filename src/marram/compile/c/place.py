"""Where a kernel works, and what a kernel family answers: the two types between the planner, the families and the emitter.

A *place* is one node of an integer Graph with everything known at build time. A *routine* is the C of that node: a body
that works on rows ``[row_begin, row_end)`` of its output, the constants that it reads, and what the memory planner must
know of it. Families answer ``routine(place)``; nothing else passes between them and the rest of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from marram.core.graph import Array
from marram.model.reference.site import Site

CType = Literal["int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t"]
Traversal = Literal["whole", "elements", "pixels", "planes"]


class ConstantArray(msgspec.Struct, frozen=True, kw_only=True):
    """A constant in flash.

    ``name`` is local to the routine; in C it is ``<model>_<layer>_<name>``. ``values`` is one-dimensional. ``role`` tells
    weights (parameters of the model, however packed, biases and multipliers included) from tables (of an activation function).
    """

    name: str
    c_type: CType
    values: Array
    align_bytes: int = 4
    role: Literal["weights", "table"] = "weights"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which input rows an output row needs: ``kernel`` rows, ``dilation`` apart, from ``(row * stride - pad) // rate`` on.

    Rows are what a tensor ``(1, H, W, C)`` has H of; ``Routine.columns`` says the same of columns, in pixels. ``rate`` is more
    than 1 where the image grows. An operator may need fewer rows than its window has.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0
    rate: int = 1

    @property
    def reach(self) -> int:
        """From the first to one past the last row of one window."""
        return (self.kernel - 1) * self.dilation + 1

    def first(self, row: int) -> int:
        """The first input row of an output row; negative in the padding before the image."""
        return (row * self.stride - self.pad) // self.rate

    def needed(self, begin: int, end: int, height: int) -> tuple[int, int]:
        """Input rows ``[first, past)`` that output rows ``[begin, end)`` read, of ``height`` rows."""
        first = max(self.first(begin), 0)
        past = min(self.first(end - 1) + self.reach, height)
        return min(first, past), past


POINTWISE = Window()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A node to be turned into C.

    Args:
        name: C identifier of the layer, for instance ``l03_conv2d``; unique in the model.
        site: the node with tensors and constants, as the reference has it.
        in_rows: for each activation input (constants are not counted), how many rows its buffer holds: the tensor's
            height, or fewer when the buffer is a ring in which row y stands at ``y % in_rows``.
        out_rows: the same of the output.
        lean: rather less scratch than fewer instructions.
        weight_bits: how many bits of flash a weight shall take, 8, 4 or 2; the weights fit.
        at_column: of a Concat along columns that is made input by input, each when it is there: the output's column at
            which the one input stands. The rest of the output is left as it is.
    """

    name: str
    site: Site
    in_rows: tuple[int, ...]
    out_rows: int
    lean: bool = False
    weight_bits: int = 8
    at_column: int | None = None


class Routine(msgspec.Struct, frozen=True, kw_only=True):
    """The C of one place.

    ``body`` is statements. They may use: ``x0``, ``x1`` ... (``const T *``, activation inputs in the node's order), ``y0`` ...
    (``T *``, outputs), ``row_begin`` and ``row_end`` (int, rows of y0 to make, only where ``windows`` is not None), ``scratch``
    (``void *``, aligned to 8 bytes, 16 in family mve) and the constants by ``@name@``. Values are not kept between calls.

    ``features``: macros that the kernels' headers ask for with ``#ifdef``; defined once, before all headers.

    ``shared``: definitions at file scope that ``body`` uses; routines that give the same text share one copy of it.

    ``windows``: for each activation input its row window, where the routine can make any range of rows in order; None where
    it makes all of its output in one call. ``traversal`` is the order in which it reads and writes, on which its output may
    overlap its input:

    - ``whole``: no overlap.
    - ``elements``: element i of the output is written after element i of each input of the same size is read, in order.
    - ``pixels``: outputs are written in blocks of ``block`` pixels in row order; all that a block needs is read before the
      block is written. ``block`` 0: pixel by pixel, and a pixel's inputs are read again until its last byte is written.
    - ``planes``: in place at the same address only, and only when called for all rows at once with whole buffers.

    ``instructions`` estimates one call for all rows. ``call_instructions`` are those of them that a call pays however few rows
    it makes (rows of a halo that are copied again, a table that is set up): more, smaller calls pay them each.
    """

    includes: tuple[str, ...]
    body: str
    constants: tuple[ConstantArray, ...] = ()
    features: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    scratch_bytes: int = 0
    windows: tuple[Window, ...] | None = None
    columns: tuple[Window, ...] | None = None
    traversal: Traversal = "whole"
    block: int = 1
    instructions: float = 0.0
    call_instructions: float = 0.0


Maker = Callable[[Place], Routine]
"""Raises UserError where the family has no routine for the place; the next family in line is then asked."""
