"""MobileNetV2 with a width multiplier. Source: Sandler et al., Inverted Residuals and Linear Bottlenecks, CVPR 2018."""

from __future__ import annotations

from torch import Tensor, nn

from marram.model.zoo.layers import ConvNorm, Pair, channels_first

# (expansion, output channels at width 1, blocks, stride of the first) of each stage
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _rounded(channels: float) -> int:
    """To a multiple of 8 and not below 90 % of the wanted width, as the paper's code does."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class InvertedResidual(nn.Module):
    """Widen by 1x1, depthwise 3x3, narrow by 1x1 without activation; the input is added where the shape stays."""

    def __init__(self, channels: Pair, size: Pair, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = channels[0] * expansion
        layers = [] if expansion == 1 else [ConvNorm((channels[0], inner), size, kernel=(1, 1), activation=nn.ReLU6())]
        depthwise = ConvNorm((inner, inner), size, stride=(stride, stride), groups=inner, activation=nn.ReLU6())
        self.out_size = depthwise.out_size
        self.layers = nn.Sequential(*layers, depthwise, ConvNorm((inner, channels[1]), self.out_size, kernel=(1, 1)))
        self.adds = stride == 1 and channels[0] == channels[1]

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N,C,H,W)`` to ``(N,C',H/stride,W/stride)``."""
        result: Tensor = self.layers(x)
        return x + result if self.adds else result


class MobileNetV2(nn.Module):
    """A stem, seventeen inverted residuals, a wide 1x1 head, mean over the image, dropout, one dense layer."""

    def __init__(
        self, input_shape: tuple[int, int, int], classes: int, *, width: float, stem_stride: int, dropout: float
    ) -> None:
        super().__init__()
        height, across, depth = input_shape
        channels = _rounded(32 * width)
        self.stem = ConvNorm((depth, channels), (height, across), stride=(stem_stride, stem_stride), activation=nn.ReLU6())
        size = self.stem.out_size
        blocks = []
        for expansion, count, repeats, first_stride in _STAGES:
            for index in range(repeats):
                after, stride = _rounded(count * width), first_stride if index == 0 else 1
                blocks.append(InvertedResidual((channels, after), size, expansion=expansion, stride=stride))
                channels, size = after, blocks[-1].out_size
        self.blocks = nn.Sequential(*blocks)
        last = _rounded(1280 * max(1.0, width))
        self.head = ConvNorm((channels, last), size, kernel=(1, 1), activation=nn.ReLU6())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, H, W, C)``."""
        features = self.head(self.blocks(self.stem(channels_first(x))))
        logits: Tensor = self.classifier(self.dropout(features.mean(dim=(2, 3))))
        return logits


def build(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: float = 0.35,
    stem_stride: int | None = None,
    dropout: float = 0.2,
) -> nn.Module:
    """The network; the stem's stride is 2, but 1 for images under 64 pixels, which would shrink to nothing."""
    stride = stem_stride or (2 if min(input_shape[:2]) >= 64 else 1)
    return MobileNetV2(input_shape, classes, width=width, stem_stride=stride, dropout=dropout)
