"""MobileNetV1 with a width multiplier. Source: Howard et al., 2017; width 0.25 is MLPerf Tiny's visual wake words."""

from __future__ import annotations

from torch import Tensor, nn

from marram.model.zoo.layers import ConvNorm, Separable, channels_first

# (output channels at width 1, stride) of each separable block
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


class MobileNetV1(nn.Module):
    """A strided stem, thirteen separable blocks, mean over the image, dropout, one dense layer."""

    def __init__(self, input_shape: tuple[int, int, int], classes: int, *, width: float, stem_stride: int) -> None:
        super().__init__()
        height, across, depth = input_shape
        channels = max(4, int(32 * width))
        self.stem = ConvNorm((depth, channels), (height, across), stride=(stem_stride, stem_stride), activation=nn.ReLU())
        size = self.stem.out_size
        blocks = []
        for count, stride in _BLOCKS:
            after = max(4, int(count * width))
            blocks.append(Separable((channels, after), size, stride=(stride, stride)))
            channels, size = after, blocks[-1].out_size
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, H, W, C)``."""
        logits: Tensor = self.classifier(self.blocks(self.stem(channels_first(x))).mean(dim=(2, 3)))
        return logits


def build(input_shape: tuple[int, int, int], classes: int, *, width: float = 0.25, stem_stride: int | None = None) -> nn.Module:
    """The network; the stem's stride is 2, but 1 for images under 64 pixels, which would shrink to nothing."""
    stride = stem_stride or (2 if min(input_shape[:2]) >= 64 else 1)
    return MobileNetV1(input_shape, classes, width=width, stem_stride=stride)
