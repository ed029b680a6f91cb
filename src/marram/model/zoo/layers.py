"""Layers that several families share. Inside a network tensors are NCHW, as torch wants them; families permute at the door."""

from __future__ import annotations

from torch import Tensor, nn

from marram.core.errors import UserError

Pair = tuple[int, int]


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Symmetric padding that makes a convolution's output ``ceil(size / stride)`` long.

    Raises:
        UserError: no symmetric padding does that (an even kernel with stride 1).
    """
    wanted = -(-size // stride)
    for padding in range(kernel):
        if (size + 2 * padding - kernel) // stride + 1 == wanted and size + 2 * padding >= kernel:
            return padding
    raise UserError(f"no symmetric padding keeps size {size} with kernel {kernel} and stride {stride}", hint="Use odd kernels.")


def unpadded_size(size: int, kernel: int, stride: int) -> int:
    """The length of an unpadded convolution's output.

    Raises:
        UserError: the kernel is longer than what it reads.
    """
    if size < kernel:
        raise UserError(
            f"without padding, a layer whose kernel has {kernel} rows would read {size}",
            hint="Use longer windows or a shorter kernel, or leave pad_time as it is.",
        )
    return (size - kernel) // stride + 1


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, and ReLU or ReLU6 or nothing; the batch norm is folded later.

    Args:
        channels: input and output channels.
        size: height and width of the input, to find the padding; ``out_size`` has the output's.
        kernel: height and width of the kernel.
        stride: step down and across.
        groups: 1, or the channel count for a depthwise convolution.
        activation: the module put last, None for none.
        pads: whether height and width are padded; an axis that is not shrinks.
    """

    def __init__(
        self,
        channels: Pair,
        size: Pair,
        *,
        kernel: Pair = (3, 3),
        stride: Pair = (1, 1),
        groups: int = 1,
        activation: nn.Module | None = None,
        pads: tuple[bool, bool] = (True, True),
    ) -> None:
        axes = list(zip(size, kernel, stride, pads, strict=True))
        rows, columns = (same_padding(n, k, s) if padded else 0 for n, k, s, padded in axes)
        convolution = nn.Conv2d(*channels, kernel, stride=stride, padding=(rows, columns), groups=groups, bias=False)
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(channels[1])]
        super().__init__(*layers, *([activation] if activation is not None else []))
        height, width = (-(-n // s) if padded else unpadded_size(n, k, s) for n, k, s, padded in axes)
        self.out_size: Pair = (height, width)


class Separable(nn.Sequential):
    """Depthwise then pointwise convolution, batch norm and ReLU after each. Source: Howard et al., MobileNets, 2017."""

    def __init__(
        self,
        channels: Pair,
        size: Pair,
        *,
        kernel: Pair = (3, 3),
        stride: Pair = (1, 1),
        pads: tuple[bool, bool] = (True, True),
    ) -> None:
        same = (channels[0], channels[0])
        depthwise = ConvNorm(same, size, kernel=kernel, stride=stride, groups=same[0], activation=nn.ReLU(), pads=pads)
        super().__init__(depthwise, ConvNorm(channels, depthwise.out_size, kernel=(1, 1), activation=nn.ReLU()))
        self.out_size: Pair = depthwise.out_size


def channels_first(x: Tensor) -> Tensor:
    """``(N,H,W,C)`` to ``(N,C,H,W)``; the memory stays as it is, which is torch's channels-last format."""
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """``(N,C,H,W)`` to ``(N,H,W,C)``."""
    return x.permute(0, 2, 3, 1)
