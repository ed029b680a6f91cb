"""ResNet-8 for small images, as MLPerf Tiny's image classification has it (He et al. 2015, three stacks of one block).

With more blocks in a stack it becomes ResNet-14, 20 ..., the larger nets that a search cuts its parts out of.
"""

from __future__ import annotations

from torch import Tensor, nn

from marram.model.zoo.layers import ConvNorm, Pair, channels_first


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels: Pair, size: Pair, *, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, size, stride=(stride, stride), activation=nn.ReLU())
        self.out_size = self.first.out_size
        self.second = ConvNorm((channels[1], channels[1]), self.out_size)
        same = stride == 1 and channels[0] == channels[1]
        self.shortcut = nn.Identity() if same else nn.Conv2d(*channels, 1, stride=stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N,C,H,W)`` to ``(N,C',H/stride,W/stride)``."""
        result: Tensor = self.relu(self.second(self.first(x)) + self.shortcut(x))
        return result


class ResNet8(nn.Module):
    """A stem, three stacks of residual blocks with 1, 2 and 4 times the channels, mean over the image, one dense layer."""

    def __init__(self, input_shape: tuple[int, int, int], classes: int, *, channels: int, blocks: int) -> None:
        super().__init__()
        height, width, depth = input_shape
        self.stem = ConvNorm((depth, channels), (height, width), activation=nn.ReLU())
        self.stack1 = ResidualBlock((channels, channels), (height, width), stride=1)
        self.more1 = _more(channels, self.stack1.out_size, blocks)
        self.stack2 = ResidualBlock((channels, 2 * channels), self.stack1.out_size, stride=2)
        self.more2 = _more(2 * channels, self.stack2.out_size, blocks)
        self.stack3 = ResidualBlock((2 * channels, 4 * channels), self.stack2.out_size, stride=2)
        self.more3 = _more(4 * channels, self.stack3.out_size, blocks)
        self.classifier = nn.Linear(4 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, H, W, C)``."""
        fine = self.more1(self.stack1(self.stem(channels_first(x))))
        features = self.more3(self.stack3(self.more2(self.stack2(fine))))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


def _more(channels: int, size: Pair, blocks: int) -> nn.Sequential:
    """The blocks of a stack after its first."""
    return nn.Sequential(*[ResidualBlock((channels, channels), size, stride=1) for _ in range(blocks - 1)])


def build(input_shape: tuple[int, int, int], classes: int, *, channels: int = 16, blocks: int = 1) -> nn.Module:
    """The network; ``channels`` is the first stack's width, 16 in MLPerf Tiny, ``blocks`` how many each stack has."""
    return ResNet8(input_shape, classes, channels=channels, blocks=blocks)
