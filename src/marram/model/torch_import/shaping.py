"""What moves elements and computes nothing: views, permutations, cuts, joins, padding."""
# ruff: noqa: PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marram.core.operators import Concat, Pad, Slice, Split
from marram.model.torch_import.page import Activation, Page, Value


class Stacked:
    """Tensors along a new first axis that nothing has asked for as a whole yet, such as the last states of LSTM layers."""

    def __init__(self, parts: Sequence[Value]) -> None:
        self.parts = tuple(parts)


def view(page: Page, x: Activation, *_arguments: Any, **_more: Any) -> Value:
    """Every ATen operator that only renames places: view, reshape, flatten, unflatten, squeeze, unsqueeze."""
    return page.reshaped(whole(page, x), page.shape, suffix="")


def permute(page: Page, x: Activation, dims: Sequence[int]) -> Value:
    """``aten::permute``."""
    x = whole(page, x)
    return page.transposed(x, [axis % len(x.shape) for axis in dims], suffix="")


def transpose(page: Page, x: Activation, first: int, second: int) -> Value:
    """``aten::transpose``: two axes swapped."""
    x = whole(page, x)
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return page.transposed(x, order, suffix="")


def swap_last(page: Page, x: Activation) -> Value:
    """``aten::t``, ``mT`` and ``numpy_T`` of a matrix: the last two axes swapped."""
    return transpose(page, x, -2, -1) if len(x.shape) > 1 else x


def concatenate(page: Page, tensors: Sequence[Value], dim: int = 0) -> Value:
    """``aten::cat``."""
    if len(tensors) == 1:
        return tensors[0]
    return page.add(Concat(axis=dim % len(page.shape)), *tensors)


def stack(page: Page, tensors: Sequence[Value], dim: int = 0) -> Value:
    """``aten::stack``: a new axis, then joined along it."""
    axis = dim % len(page.shape)
    lone = (*page.shape[:axis], 1, *page.shape[axis + 1 :])
    return concatenate(page, [page.reshaped(part, lone) for part in tensors], axis)


def split(page: Page, x: Activation, sizes: int | Sequence[int], dim: int = 0) -> tuple[Value, ...]:
    """``aten::split`` and ``split_with_sizes``."""
    axis = dim % len(x.shape)
    total = x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    if len(sizes) == 1:
        return (x,)
    return page.add_many(Split(axis=axis, sizes=tuple(sizes)), x)


def chunk(page: Page, x: Activation, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    """``aten::chunk``."""
    return split(page, x, -(-x.shape[dim] // chunks), dim)


def unbind(page: Page, x: Activation | Stacked, dim: int = 0) -> tuple[Value, ...]:
    """``aten::unbind``: each place of an axis."""
    if isinstance(x, Stacked) and dim == 0:
        return x.parts
    tensor = whole(page, x)
    axis = dim % len(tensor.shape)
    shape = (*tensor.shape[:axis], *tensor.shape[axis + 1 :])
    return tuple(page.reshaped(part, shape, suffix="part") for part in split(page, tensor, 1, axis))


def select(page: Page, x: Activation | Stacked, dim: int, index: int) -> Value:
    """``aten::select``: one place of an axis, which goes."""
    if isinstance(x, Stacked) and dim == 0:
        return x.parts[index]
    tensor = whole(page, x)
    at = index % tensor.shape[dim]
    return page.reshaped(_cut(page, tensor, dim, at, at + 1, suffix="kept"), page.shape, suffix="")


def cut(
    page: Page, x: Activation | Stacked, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    """``aten::slice``."""
    tensor = whole(page, x)
    begin, stop, _ = slice(start, end).indices(tensor.shape[dim])
    return _cut(page, tensor, dim, begin, stop, step)


def narrow(page: Page, x: Activation, dim: int, start: int, length: int) -> Value:
    """``aten::narrow``."""
    return cut(page, x, dim, start, start % x.shape[dim] + length)


def pad(page: Page, x: Activation, amounts: Sequence[int], mode: Any = "constant", value: float | None = None) -> Value:
    """``aten::pad`` in constant mode and ``constant_pad_nd``, whose third argument is the value."""
    if not isinstance(mode, str):
        mode, value = "constant", mode
    if mode != "constant" or min(amounts) < 0:
        page.refuse(f"in mode {mode}" if mode != "constant" else "by less than nothing")
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)][::-1]
    paddings = ((0, 0),) * (len(x.shape) - len(pairs)) + tuple(pairs)
    if not any(map(any, paddings)):
        return x
    return page.add(Pad(paddings=paddings, value=float(value or 0)), x)


def repeat(page: Page, x: Activation, repeats: Sequence[int]) -> Value:
    """``aten::repeat``: joined with itself along each axis."""
    result: Value = page.reshaped(x, (1,) * (len(repeats) - len(x.shape)) + x.shape)
    for axis, count in enumerate(repeats):
        if count > 1:
            result = page.add(Concat(axis=axis), *[result] * count)
    return result


def whole(page: Page, x: Any) -> Any:
    """``x`` as one tensor."""
    if not isinstance(x, Stacked):
        return x
    lone = [page.reshaped(part, (1, *part.shape), suffix="layer") for part in x.parts]
    return lone[0] if len(lone) == 1 else page.add(Concat(axis=0), *lone, suffix="layers")


def _cut(page: Page, x: Value, dim: int, begin: int, end: int, step: int = 1, *, suffix: str = "") -> Value:
    axis = dim % len(x.shape)
    if (begin, step) == (0, 1) and end >= x.shape[axis]:
        return x
    begins, ends, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    begins[axis], ends[axis], steps[axis] = begin, min(end, x.shape[axis]), step
    return page.add(Slice(begin=tuple(begins), end=tuple(ends), strides=tuple(steps)), x, suffix=suffix)
