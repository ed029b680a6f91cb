"""What is learnt of an integer Graph: real weights and biases behind the integers, and step sizes. Importing it imports torch.

A step size is its start times ``exp`` of a parameter that begins at 0: so a learning rate means the same to all of them, none
becomes negative, and the start is kept bit for bit. The gradient is that of Esser et al. (Learned Step Size Quantization, ICLR
2020) by the chain rule; Jain et al. (Trained Quantization Thresholds, 2020) learn logarithms for the same reasons.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from marram.compress.learning.quantised.straight import gradient_scale, rounded, scaled_gradient, straight
from marram.core.errors import UserError
from marram.core.graph import Array, Quantisation

_MOST_BIAS = {"int32": 2.0**30, "int64": 2.0**46}
_LIMITS = (1, 7, 127)


class StepSizes(nn.Module):
    """Scales, float32 ``(n,)``: those that are learnt move with the parameter, the others stay.

    Args:
        scales: where they start, ``(n,)``.
        tame: what each one's gradient is multiplied by, ``(n,)``.
        learnt: which are learnt, ``(n,)`` bool.
    """

    start: Tensor
    tame: Tensor
    learnt: Tensor

    def __init__(self, scales: Array, tame: Array, learnt: Array) -> None:
        super().__init__()
        self.register_buffer("start", torch.from_numpy(scales.astype(np.float32)))
        self.register_buffer("tame", torch.from_numpy(tame.astype(np.float32)))
        self.register_buffer("learnt", torch.from_numpy(learnt))
        self.logarithms = nn.Parameter(torch.zeros(len(scales)), requires_grad=bool(learnt.any()))

    def forward(self) -> Tensor:
        """The scales as they are now."""
        if not self.logarithms.requires_grad:
            return self.start
        return self.start * torch.exp(scaled_gradient(self.logarithms, self.tame) * self.learnt)

    def move(self, scales: Array) -> None:
        """Set those that are learnt to other values."""
        ratios = torch.from_numpy(np.log(scales / self.start.numpy().astype(np.float64)))
        with torch.no_grad():
            self.logarithms.copy_(torch.where(self.learnt, ratios.float(), self.logarithms))


class Weights(nn.Module):
    """One tensor of weights: float32 reals of its shape, a step size for each channel or one for all, the greatest integers.

    Args:
        codes: the integers it starts from, int8.
        quantisation: theirs.
        exact: the reals that they were rounded from; where these round otherwise, the integers' own reals are the start.
        bits: of the weights; None: each channel keeps to the fewest of 8, 4 and 2 bits that hold what it starts from.
        learn: whether step sizes are learnt.
    """

    most: Tensor

    def __init__(self, codes: Array, quantisation: Quantisation, exact: Array | None, *, bits: int | None, learn: bool) -> None:
        super().__init__()
        self.axis = quantisation.axis
        scales = np.array(quantisation.scales, np.float32)
        most = _greatest(codes, self.axis, bits)
        tame = np.array([gradient_scale(codes.size // scales.size, float(value)) for value in most])
        self.steps = StepSizes(scales, tame, np.full(scales.size, learn))
        self.register_buffer("most", self._shaped(torch.from_numpy(most), codes.ndim))
        wanted = torch.from_numpy(codes.astype(np.float32))
        own = wanted * self._shaped(torch.from_numpy(scales), codes.ndim)
        reals = own if exact is None else torch.from_numpy(exact.astype(np.float32))
        self.reals = nn.Parameter(reals.clone())
        with torch.no_grad():
            self.reals.copy_(torch.where(self(self.steps()) == wanted, reals, own))

    def forward(self, scales: Tensor) -> Tensor:
        """The integers for these scales ``(channels,)`` or ``(1,)``, float32 in the weights' shape."""
        return rounded(self.reals / self._shaped(scales, self.reals.dim()), -self.most, self.most)

    def _shaped(self, values: Tensor, rank: int) -> Tensor:
        """One number for each channel, shaped to broadcast against the weights."""
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = -1
        return values.reshape(shape)


def _greatest(codes: Array, axis: int | None, bits: int | None) -> Array:
    """The greatest magnitude of each channel's integers, float32 (channels,) or (1,)."""
    others = tuple(other for other in range(codes.ndim) if other != axis)
    peaks = np.atleast_1d(np.abs(codes.astype(np.int64)).max(axis=others if axis is not None else None))
    limit = (1 << ((bits or 8) - 1)) - 1
    if peaks.max(initial=0) > limit:
        raise UserError(f"weights reach {peaks.max()}, which {bits or 8} bits do not hold", where="quantisation-aware training")
    if bits is None:
        return np.array([next(limit for limit in _LIMITS if peak <= limit) for peak in peaks], np.float32)
    return np.full(len(peaks), limit, np.float32)


class Bias(nn.Module):
    """A bias as the reals it starts from (float64, so that every integer is kept) and a learnt change.

    Args:
        codes: the integers it starts from, int32 or int64 ``(C,)``.
        scale: input scale * weight scales, float64 ``(C,)`` or ``(1,)``.
    """

    start: Tensor

    def __init__(self, codes: Array, scale: Tensor) -> None:
        super().__init__()
        whole = torch.from_numpy(codes.astype(np.float64))
        self.register_buffer("start", whole * scale)
        self.greatest = max(_MOST_BIAS[codes.dtype.name], float(whole.abs().max()) if codes.size else 0.0)
        self.change = nn.Parameter(torch.zeros(codes.shape, dtype=torch.float32))

    def forward(self, scale: Tensor) -> Tensor:
        """The integers for a scale ``(C,)`` or ``(1,)``, float64."""
        return rounded((self.start + self.change) / scale, -self.greatest, self.greatest)


class Constant(nn.Module):
    """Integers that stand among activations: their reals stay, and so do the integers unless the scale is learnt."""

    start: Tensor
    scale: Tensor

    def __init__(self, codes: Array, quantisation: Quantisation) -> None:
        super().__init__()
        limits = np.iinfo(codes.dtype)
        self.low, self.high = (float(limit - quantisation.zero_point) for limit in (limits.min, limits.max))
        centred = torch.from_numpy(codes.astype(np.float32) - quantisation.zero_point)
        self.register_buffer("start", centred)
        self.register_buffer("scale", torch.tensor(quantisation.scale))

    def forward(self, scale: Tensor) -> Tensor:
        """The integers less the zero point for a scale, float32."""
        if not scale.requires_grad and bool(scale == self.scale):
            return self.start
        smooth = torch.clamp(self.start * self.scale / scale, self.low, self.high)
        return straight(smooth, torch.round(smooth.detach()))
