"""A small pre-norm transformer encoder over windows or images.

Sources: Vaswani et al. 2017; Dosovitskiy et al., ViT, 2021 (patches by a strided convolution); Xiong et al. 2020 (pre-norm).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from marram.core.errors import UserError
from marram.model.zoo.layers import Pair, channels_first, channels_last


class Attention(nn.Module):
    """Multi-head self-attention as four-dimensional matrix products, so that samples never meet."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N,T,D)`` to ``(N,T,D)``."""
        queries, keys, values = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(queries, keys.transpose(2, 3)) * (1 / math.sqrt(queries.shape[-1]))
        mixed = torch.matmul(torch.softmax(scores, dim=-1), values).transpose(1, 2)
        result: Tensor = self.output(mixed.flatten(2))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """``(N,T,D)`` to ``(N,heads,T,D/heads)``."""
        return x.reshape(-1, x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class Block(nn.Module):
    """Attention, then two dense layers with GELU, each on the normalised input and added to it."""

    def __init__(self, width: int, heads: int, *, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.gelu = nn.GELU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N,T,D)`` to ``(N,T,D)``."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        result: Tensor = x + self.dropout(self.narrow(self.gelu(self.wide(self.norm2(x)))))
        return result


class Transformer(nn.Module):
    """Patches by a strided convolution, a learnt position for each, blocks, mean over the patches, one dense layer."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        classes: int,
        *,
        patch: Pair,
        width: int,
        heads: int,
        depth: int,
        expansion: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.rank = len(input_shape)
        size = (input_shape[0], input_shape[1]) if self.rank == 3 else (1, input_shape[0])
        tokens = (size[0] // patch[0]) * (size[1] // patch[1])
        self.embedding = nn.Conv2d(input_shape[-1], width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.Sequential(*[Block(width, heads, expansion=expansion, dropout=dropout) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of windows ``(N, T, C)`` or images ``(N, H, W, C)``."""
        image = x if self.rank == 3 else x.unsqueeze(1)
        tokens = channels_last(self.embedding(channels_first(image))).flatten(1, 2) + self.position
        logits: Tensor = self.classifier(self.norm(self.blocks(tokens)).mean(dim=1))
        return logits


def build(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    patch: int | None = None,
    width: int = 48,
    heads: int = 4,
    depth: int = 2,
    expansion: int = 2,
    dropout: float = 0.1,
) -> nn.Module:
    """The network; without ``patch`` the smallest one is taken that leaves at most 64 patches.

    Raises:
        UserError: the size is not a multiple of the patch, or the width not of the heads.
    """
    sides = input_shape[:-1]
    chosen = patch or _smallest_patch(sides)
    if any(side % chosen for side in sides):
        raise UserError(
            f"{'x'.join(map(str, sides))} is not a multiple of the patch {chosen}",
            where="zoo model transformer",
            hint="Choose the option patch so that it divides the size.",
        )
    if width % heads:
        raise UserError(f"width {width} is not a multiple of {heads} heads", where="zoo model transformer")
    pair = (chosen, chosen) if len(sides) == 2 else (1, chosen)
    return Transformer(
        input_shape, classes, patch=pair, width=width, heads=heads, depth=depth, expansion=expansion, dropout=dropout
    )


def _smallest_patch(sides: tuple[int, ...]) -> int:
    """The smallest common divisor of the sides that leaves at most 64 patches; the greatest common divisor if none does."""
    common = math.gcd(*sides)
    fitting = [n for n in range(1, common + 1) if common % n == 0 and math.prod(side // n for side in sides) <= 64]
    return fitting[0] if fitting else common
