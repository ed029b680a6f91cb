"""Separable one-dimensional convolutions for windows of an IMU, written as two-dimensional ones of height 1."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from marram.model.zoo.layers import ConvNorm, Separable, channels_first

_CHANNELS = (24, 32, 48, 64)


class Conv1dNet(nn.Module):
    """A strided stem, three separable blocks, mean over time, dropout, one dense layer. About 8 k parameters at width 1."""

    def __init__(
        self, input_shape: tuple[int, int], classes: int, *, width: float, kernel: int, dropout: float, pad_time: bool
    ) -> None:
        super().__init__()
        time, channels = input_shape
        widths = [max(4, round(width * count)) for count in _CHANNELS]
        pads = (True, pad_time)
        first = (channels, widths[0])
        self.stem = ConvNorm(first, (1, time), kernel=(1, kernel), stride=(1, 2), activation=nn.ReLU(), pads=pads)
        size = self.stem.out_size
        blocks = []
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = (1, 1 if index == 2 else 2)
            block = Separable((before, after), size, kernel=(1, kernel), stride=stride, pads=pads)
            blocks.append(block)
            size = block.out_size
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of windows ``(N, T, C)``."""
        features = self.blocks(self.stem(channels_first(x.unsqueeze(1))))
        logits: Tensor = self.classifier(self.dropout(features.mean(dim=(2, 3))))
        return logits


def build(
    input_shape: tuple[int, int],
    classes: int,
    *,
    width: float = 1.0,
    kernel: int = 7,
    dropout: float = 0.2,
    pad_time: bool = True,
) -> nn.Module:
    """The network for windows ``(T, C)``; ``width`` scales all channels, ``kernel`` is odd.

    With ``pad_time`` off no layer pads: run as a stream, only what is new is computed.
    """
    return Conv1dNet(input_shape, classes, width=width, kernel=kernel, dropout=dropout, pad_time=pad_time)
