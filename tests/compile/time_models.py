"""Random int8 models of windows in time: stacks of convolutions, pools and sums over sequences or spectrograms, then a head."""

from __future__ import annotations

import math

from hypothesis import strategies as st
from tests.model.graphs import Draft

from marram.core import operators as ops
from marram.core.graph import Graph, Tensor

LAYERS = ("conv", "conv", "conv", "depthwise", "depthwise", "pool", "residual", "point", "gate", "crop", "turn", "branch")
HEADS = ("mean", "flat", "pool", "none", "both")


class TimeDraft:
    """Time is axis 1 (H) or 2 (W of images of one row); ``pads`` says whether layers may pad along it."""

    def __init__(self, draw: st.DrawFn, *, pads: bool) -> None:
        self.d = Draft(draw, integer=True)
        self.pads = pads
        self.stride = 1
        self.axis = self.d.choice([1, 2, 2])
        self.across = 1 if self.axis == 2 else self.d.number(1, 4)
        rows, channels = self.d.number(12, 40), self.d.number(1, 5)
        if self.axis == 2 and self.d.number(0, 1):
            self.x = self.d.add_input((1, rows, channels))
            self.x = self.reshaped((1, 1, rows, channels))
        else:
            self.x = self.d.add_input(self.shape(rows, channels))

    def shape(self, rows: int, channels: int) -> tuple[int, ...]:
        return (1, rows, self.across, channels) if self.axis == 1 else (1, 1, rows, channels)

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        (found,) = self.d.apply(ops.Reshape(shape=shape), [self.x], [self.x.quantisation])
        return found

    @property
    def rows(self) -> int:
        return self.x.shape[self.axis]

    def pair(self, along: int, other: int) -> tuple[int, int]:
        return (along, other) if self.axis == 1 else (other, along)

    def window(self, *, dilated: bool) -> dict[str, tuple[int, ...]] | None:
        """Kernel, stride, dilation and padding, with two rows or more of output."""
        d = self.d
        reach, stride = d.number(1, 5), d.choice([1, 1, 1, 2, 3])
        dilation = d.choice([1, 1, 2]) if dilated and stride == 1 else 1
        extent = (reach - 1) * dilation + 1
        pads = (0, 0)
        if self.pads:
            pads = d.choice([(0, 0), (extent // 2, (extent - 1) // 2), (extent - 1, 0), (d.number(0, 2), d.number(0, 2))])
        if self.rows + sum(pads) < extent + stride:
            return None
        beside = d.number(1, min(3, self.x.shape[3 - self.axis]))
        around = (beside // 2, (beside - 1) // 2)
        return {
            "kernel": self.pair(reach, beside),
            "stride": self.pair(stride, 1),
            "dilation": self.pair(dilation, 1),
            "padding": (*pads, *around) if self.axis == 1 else (*around, *pads),
        }

    def conv(self) -> None:
        window = self.window(dilated=True)
        if window:
            kernel = window.pop("kernel")
            op = ops.Conv2D(**window, activation=self.d.activation())
            weights = (self.d.number(1, 8), *kernel, self.x.shape[3])
            (self.x,) = self.d.layer(op, self.x, weights, 0, math.prod(kernel) * self.x.shape[3])
            self.stride *= op.stride[self.axis - 1]

    def depthwise(self) -> None:
        window = self.window(dilated=True)
        if window:
            kernel = window.pop("kernel")
            op = ops.DepthwiseConv2D(**window, activation=self.d.activation())
            weights = (1, *kernel, self.x.shape[3] * self.d.choice([1, 1, 2]))
            (self.x,) = self.d.layer(op, self.x, weights, 3, math.prod(kernel))
            self.stride *= op.stride[self.axis - 1]

    def pool(self) -> None:
        window = self.window(dilated=False)
        if window:
            del window["dilation"]
            kind = self.d.choice([ops.MaxPool2D, ops.AveragePool2D])
            pads = window["padding"]
            if max(pads[:2]) < window["kernel"][0] and max(pads[2:]) < window["kernel"][1]:
                (self.x,) = self.d.apply(kind(**window), [self.x], [self.x.quantisation])
                self.stride *= window["stride"][self.axis - 1]

    def residual(self) -> None:
        """A convolution beside what it reads, which is cut to the same rows."""
        before = self.x
        self.conv()
        shape = (*self.x.shape[:3], before.shape[3])
        if any(now > old for now, old in zip(shape, before.shape, strict=True)) or self.x.shape[3] != before.shape[3]:
            return
        if shape != before.shape:
            begin = [self.d.number(0, old - now) for now, old in zip(shape, before.shape, strict=True)]
            end = [at + size for at, size in zip(begin, shape, strict=True)]
            op = ops.Slice(begin=tuple(begin), end=tuple(end), strides=(1, 1, 1, 1))
            (before,) = self.d.apply(op, [before], [before.quantisation])
        pair = [before, self.x] if self.d.number(0, 1) else [self.x, before]
        (self.x,) = self.d.apply(ops.Add(activation=self.d.activation()), pair, [self.d.quantisation()])

    def point(self) -> None:
        kind = self.d.choice([ops.Relu, ops.HardSwish, ops.Quantise])
        (self.x,) = self.d.apply(kind(), [self.x], [self.d.quantisation(self.x.quantisation.scale, spans=(2,))])

    def gate(self) -> None:
        """A product with a table of itself, and the sum of both: two readers of one tensor."""
        (other,) = self.d.apply(ops.Relu(), [self.x], [self.d.quantisation(self.x.quantisation.scale)])
        scale = self.x.quantisation.scale * other.quantisation.scale * 100
        (self.x,) = self.d.apply(ops.Mul(), [self.x, other], [self.d.quantisation(scale)])

    def crop(self) -> None:
        begin = [0, 0, 0, 0]
        begin[self.axis] = self.d.number(0, min(2, self.rows - 2))
        end = list(self.x.shape)
        end[self.axis] -= self.d.number(0, min(2, end[self.axis] - begin[self.axis] - 2))
        op = ops.Slice(begin=tuple(begin), end=tuple(end), strides=(1, 1, 1, 1))
        (self.x,) = self.d.apply(op, [self.x], [self.x.quantisation])

    def turn(self) -> None:
        """The other kind of image with the same bytes, where there is one."""
        if self.across == 1:
            self.axis = 3 - self.axis
            self.x = self.reshaped(self.shape(self.x.shape[3 - self.axis], self.x.shape[3]))

    def branch(self) -> None:
        """Halves of the channels; one goes through a table, then both are joined."""
        channels = self.x.shape[3]
        if channels % 2 == 0:
            halves = self.d.apply(
                ops.Split(axis=3, sizes=(channels // 2,) * 2), [self.x], [self.x.quantisation, self.x.quantisation]
            )
            (done,) = self.d.apply(ops.Relu(), [halves[0]], [self.x.quantisation])
            (self.x,) = self.d.apply(ops.Concat(axis=3), [done, halves[1]], [self.x.quantisation])

    def head(self, kind: str) -> None:
        if kind == "pool":
            kernel = self.x.shape[1:3]
            (self.x,) = self.d.apply(ops.AveragePool2D(kernel=kernel, stride=kernel), [self.x], [self.x.quantisation])
        elif kind == "mean":
            (self.x,) = self.d.apply(ops.Mean(axes=(1, 2)), [self.x], [self.d.quantisation(self.x.quantisation.scale)])
        elif kind in {"flat", "both"}:
            flat = self.reshaped((1, self.x.size))
            (out,) = self.d.layer(ops.Dense(), flat, (self.d.number(1, 4), flat.size), 0, flat.size)
            if kind == "both":  # an answer for each row as well
                self.d.apply(ops.Relu(), [self.x], [self.d.quantisation(self.x.quantisation.scale)])
            self.x = out

    def graph(self) -> Graph:
        return self.d.graph()


@st.composite
def time_models(draw: st.DrawFn, *, pads: bool = True, most_layers: int = 5) -> tuple[Graph, int]:
    """A model of windows, and a number of rows to push."""
    made = TimeDraft(draw, pads=pads)
    rows = made.rows
    getattr(made, made.d.choice(["conv", "depthwise", "pool"]))()
    for _ in range(made.d.number(0, most_layers - 1)):
        getattr(made, made.d.choice(LAYERS))()
    made.head(made.d.choice(HEADS))
    if not made.d.nodes:
        made.point()
    step = made.d.choice([made.stride, made.stride, made.stride, 1])
    return made.graph(), step * made.d.number(1, max(rows // (3 * step), 1))
