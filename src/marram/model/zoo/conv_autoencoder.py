"""Convolutional autoencoder for anomalies in images or windows: strided convolutions down, transposed ones up."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from marram.core.errors import UserError
from marram.model.zoo.layers import ConvNorm, Pair, channels_first, channels_last


class ConvAutoencoder(nn.Module):
    """Each of ``depth`` levels halves the size (a window's time alone) and doubles the channels, then back."""

    def __init__(self, input_shape: tuple[int, ...], *, channels: int, depth: int, bottleneck: int) -> None:
        super().__init__()
        self.rank = len(input_shape)
        size: Pair = (input_shape[0], input_shape[1]) if self.rank == 3 else (1, input_shape[0])
        rows = self.rank == 3
        stride, kernel = ((2, 2), (3, 3)) if rows else ((1, 2), (1, 3))
        widths = [input_shape[-1], *[channels * 2**level for level in range(depth)]]
        down: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            level = ConvNorm((before, after), size, kernel=kernel, stride=stride, activation=nn.ReLU())
            down.append(level)
            size = level.out_size
        self.encoder = nn.Sequential(*down, ConvNorm((widths[-1], bottleneck), size, kernel=(1, 1), activation=nn.ReLU()))
        upward = [bottleneck, *widths[-2:0:-1], channels]
        # kernel 4 with stride 2 doubles the size exactly and lays every output under two taps: no checkerboard
        up_kernel, up_padding = ((4, 4), (1, 1)) if rows else ((1, 4), (0, 1))
        self.decoder = nn.Sequential(
            *[
                nn.Sequential(
                    nn.ConvTranspose2d(before, after, up_kernel, stride=stride, padding=up_padding, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                )
                for before, after in itertools.pairwise(upward)
            ]
        )
        self.output = nn.Conv2d(channels, input_shape[-1], kernel, padding=(1, 1) if rows else (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The input ``(N, *input_shape)`` as the bottleneck remembers it."""
        image = x if self.rank == 3 else x.unsqueeze(1)
        result = channels_last(self.output(self.decoder(self.encoder(channels_first(image)))))
        return result if self.rank == 3 else result.squeeze(1)


def build(input_shape: tuple[int, ...], _classes: int, *, channels: int = 16, depth: int = 2, bottleneck: int = 8) -> nn.Module:
    """The network.

    Raises:
        UserError: the height and width, or the time, cannot be halved ``depth`` times.
    """
    halved = input_shape[:-1]
    if depth < 1 or any(size % 2**depth for size in halved):
        raise UserError(
            f"{'x'.join(map(str, halved))} cannot be halved {depth} times",
            where="zoo model conv_autoencoder",
            hint="Choose another size or the option depth.",
        )
    return ConvAutoencoder(input_shape, channels=channels, depth=depth, bottleneck=bottleneck)
