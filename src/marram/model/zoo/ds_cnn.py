"""DS-CNN for keywords. Source: Zhang et al., Hello Edge, 2017, in the size that MLPerf Tiny uses (4 blocks of 64 channels)."""

from __future__ import annotations

from torch import Tensor, nn

from marram.core.errors import UserError
from marram.model.zoo.layers import ConvNorm, Separable, channels_first


class DsCnn(nn.Module):
    """A (10, 4) convolution with stride 2, separable blocks, mean over time and bins, one dense layer."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        classes: int,
        *,
        channels: int,
        blocks: int,
        dropout: tuple[float, float],
        pad_time: bool,
    ) -> None:
        super().__init__()
        self.rank = len(input_shape)
        size = (input_shape[0], input_shape[1])
        pads = (pad_time, True)
        self.stem = ConvNorm((1, channels), size, kernel=(10, 4), stride=(2, 2), activation=nn.ReLU(), pads=pads)
        self.dropout_first = nn.Dropout(dropout[0])
        size, made = self.stem.out_size, []
        for _ in range(blocks):
            made.append(Separable((channels, channels), size, pads=pads))
            size = made[-1].out_size
        self.blocks = nn.Sequential(*made)
        self.dropout_last = nn.Dropout(dropout[1])
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of features ``(N, T, F)`` or ``(N, T, F, 1)``."""
        image = x.unsqueeze(3) if self.rank == 2 else x
        features = self.blocks(self.dropout_first(self.stem(channels_first(image))))
        logits: Tensor = self.classifier(self.dropout_last(features.mean(dim=(2, 3))))
        return logits


def build(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    channels: int = 64,
    blocks: int = 4,
    dropout: tuple[float, float] = (0.2, 0.4),
    pad_time: bool = True,
) -> nn.Module:
    """The network for log-mel or MFCC features.

    With ``pad_time`` off no layer pads frames, only bins: run as a stream, only what is new is computed.

    Raises:
        UserError: a third axis that is not 1, or fewer than 10 frames or 4 bins, or than unpadded layers read.
    """
    if len(input_shape) == 3 and input_shape[2] != 1:
        raise UserError(f"features have one channel, not {input_shape[2]}", where="zoo model ds_cnn")
    if input_shape[0] < 10 or input_shape[1] < 4:
        raise UserError(f"features of shape {input_shape} are smaller than the (10, 4) kernel", where="zoo model ds_cnn")
    return DsCnn(input_shape, classes, channels=channels, blocks=blocks, dropout=dropout, pad_time=pad_time)
