"""Dense autoencoder for anomalies, as MLPerf Tiny's machine sounds have it: 128 x 4, 8, 128 x 4."""

from __future__ import annotations

import itertools
from math import prod

from torch import Tensor, nn


class FcAutoencoder(nn.Module):
    """Dense layers with batch norm and ReLU down to a bottleneck and up again; the last layer is plain."""

    def __init__(self, input_shape: tuple[int, ...], *, hidden: int, depth: int, bottleneck: int) -> None:
        super().__init__()
        self.input_shape = input_shape
        features = prod(input_shape)
        widths = [features, *[hidden] * depth, bottleneck, *[hidden] * depth]
        self.hidden = nn.Sequential(
            *[
                nn.Sequential(nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU())
                for before, after in itertools.pairwise(widths)
            ]
        )
        self.output = nn.Linear(widths[-1], features)

    def forward(self, x: Tensor) -> Tensor:
        """The input ``(N, *input_shape)`` as the bottleneck remembers it."""
        flat = x if x.dim() == 2 else x.flatten(1)
        result: Tensor = self.output(self.hidden(flat))
        return result if len(self.input_shape) == 1 else result.reshape(-1, *self.input_shape)


def build(input_shape: tuple[int, ...], _classes: int, *, hidden: int = 128, depth: int = 4, bottleneck: int = 8) -> nn.Module:
    """The network for vectors ``(I,)`` or windows ``(T, C)``, which are flattened inside."""
    return FcAutoencoder(input_shape, hidden=hidden, depth=depth, bottleneck=bottleneck)
