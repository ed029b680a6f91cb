"""What kernels' loops are counted from: the rows of each call, the windows that lie inside of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Loops = dict[str, float]
"""How often each part of the kernels runs, by its name."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's work: the statements of its function, the definitions that these use, and the rows of each call.

    ``begins`` and ``ends`` have an entry for each call; a function that makes all in one call has (0, 1). ``in_place`` says
    that the output stands where the first input stands.
    """

    text: str
    shared: str
    begins: Integers
    ends: Integers
    in_place: bool = False

    @property
    def calls(self) -> int:
        """How often the function is called."""
        return len(self.begins)

    @property
    def rows(self) -> int:
        """Rows made in all calls."""
        return int((self.ends - self.begins).sum())

    def each_row(self) -> Integers:
        """Every row of every call."""
        counts = self.ends - self.begins
        starts = np.cumsum(counts) - counts
        found: Integers = np.repeat(self.begins - starts, counts) + np.arange(counts.sum())
        return found


Counter = Callable[[Work], Loops]


class Window:
    """The sizes of ``marram_window``, and what follows from them."""

    def __init__(self, fields: dict[str, int]) -> None:
        self.in_height, self.in_width = fields["in_height"], fields["in_width"]
        self.in_channels, self.out_channels = fields["in_channels"], fields["out_channels"]
        self.out_height, self.out_width = fields["out_height"], fields["out_width"]
        self.in_rows, self.out_rows = fields["in_rows"], fields["out_rows"]
        self.kernel_height, self.kernel_width = fields["kernel_height"], fields["kernel_width"]
        self.stride_y, self.stride_x = fields["stride_y"], fields["stride_x"]
        self.dilation_y, self.dilation_x = fields["dilation_y"], fields["dilation_x"]
        self.pad_top, self.pad_left = fields["pad_top"], fields["pad_left"]

    @property
    def ring(self) -> bool:
        """Whether the input's buffer holds fewer rows than the image has."""
        return self.in_rows != self.in_height

    @property
    def out_ring(self) -> bool:
        """The same of the output's."""
        return self.out_rows != self.out_height

    @property
    def taps(self) -> int:
        """Pixels of a window."""
        return self.kernel_height * self.kernel_width

    def rows_inside(self, rows: Integers) -> Integers:
        """For each output row, how many of the kernel's rows lie in the image."""
        return _inside(rows * self.stride_y - self.pad_top, self.kernel_height, self.dilation_y, self.in_height)

    def columns_inside(self, columns: Integers) -> Integers:
        """The same for columns."""
        return _inside(columns * self.stride_x - self.pad_left, self.kernel_width, self.dilation_x, self.in_width)

    @property
    def clipped(self) -> str:
        """A suffix where some window reaches beyond the image: where none does, compilers see how large all of them are."""
        rows, columns = self.rows_inside(np.arange(self.out_height)), self.columns_inside(self.all_columns())
        whole = (rows == self.kernel_height).all() and (columns == self.kernel_width).all()
        return "" if whole else "_clipped"

    def all_columns(self) -> Integers:
        """The output's columns."""
        return np.arange(self.out_width)


def _inside(first: Integers, kernel: int, dilation: int, size: int) -> Integers:
    places = first[:, None] + dilation * np.arange(kernel)[None, :]
    found: Integers = ((places >= 0) & (places < size)).sum(axis=1)
    return found


def chunks(work: Work, width: int, size: int) -> tuple[Integers, Integers]:
    """Pixels of each call taken ``size`` at a time: the first and the last pixel of every chunk, as row * width + column."""
    counts = (work.ends - work.begins) * width
    parts = -(-counts // size)
    index = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    first = np.repeat(work.begins * width, parts) + size * index
    last = np.minimum(first + size, np.repeat(work.ends * width, parts)) - 1
    return first, last


def ceiling(value: Any, by: int) -> Any:
    """The quotient, rounded up."""
    return -(-value // by)


def add(loops: Loops, name: str, count: float) -> None:
    """Adds to a part's count; nothing where that is 0."""
    if count:
        loops[name] = loops.get(name, 0.0) + float(count)


def copied(loops: Loops, times: float, size: int) -> None:
    """``times`` copies of a constant number of bytes, which the compiler writes out where they are few."""
    if size <= 64:
        add(loops, "copy.short", times)
        add(loops, "copy.short_words", times * (size // 4))
        add(loops, "copy.short_rest", times * (size % 4))
    else:
        called_copy(loops, times, size)


def called_copy(loops: Loops, times: float, size: int) -> None:
    """``times`` calls of memcpy; where words stand alike they go four at a time, which no one knows beforehand."""
    alike = size % 4 == 0
    kind = "alike" if alike else "apart"
    add(loops, f"copy.calls_{kind}", times)
    add(loops, f"copy.words_{kind}", times * (size // 4))
    add(loops, f"copy.rest_{kind}", times * (size % 4))


def filled(loops: Loops, times: float, size: int) -> None:
    """``times`` fillings of a constant number of bytes."""
    short = "short" if size <= 16 else "calls"
    add(loops, f"fill.{short}", times)
    add(loops, f"fill.{short}_words", times * (size // 4))
    add(loops, f"fill.{short}_rest", times * (size % 4))
