"""TFLite's padding schemes SAME and VALID against the Graph's explicit padding."""

from __future__ import annotations

from marram.core.operators import Padding, Pair
from marram.model.shapes import convolved_size
from marram.model.tflite.schema import SAME, VALID


def explicit(scheme: int, size: Pair, kernel: Pair, *, stride: Pair, dilation: Pair = (1, 1)) -> Padding:
    """The padding (top, bottom, left, right) that a scheme means for an image of that size."""
    if scheme == VALID:
        return (0, 0, 0, 0)
    top, bottom = _same(size[0], kernel[0], stride[0], dilation[0])
    left, right = _same(size[1], kernel[1], stride[1], dilation[1])
    return (top, bottom, left, right)


def scheme(padding: Padding, size: Pair, kernel: Pair, *, stride: Pair, dilation: Pair = (1, 1)) -> int | None:
    """The scheme that puts every window where ``padding`` does, VALID if both do; None if neither does.

    Padding behind the last window is not looked at, so ``padding`` and the scheme's own may differ there.
    """
    possible = {VALID, SAME}
    for axis in (0, 1):
        n, window, step, spread = size[axis], kernel[axis], stride[axis], dilation[axis]
        before, after = padding[2 * axis : 2 * axis + 2]
        inside = convolved_size(n, window, stride=step, dilation=spread, before=0, after=0)
        places = convolved_size(n, window, stride=step, dilation=spread, before=before, after=after)
        if (before, places) != (0, inside):
            possible.discard(VALID)
        if (before, places) != (_same(n, window, step, spread)[0], -(-n // step)):
            possible.discard(SAME)
    return max(possible, default=None)  # VALID is the larger code


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """SAME along one axis: ``ceil(size / stride)`` windows, the odd place of padding behind."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2
