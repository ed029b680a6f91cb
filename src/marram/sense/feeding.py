"""Between samples and a Program: what enters in the input's own dtype, and what the outputs mean as reals."""

from __future__ import annotations

from math import prod

import msgspec
import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array, Quantisation, Tensor
from marram.sense.preprocess import Preprocess, apply, quantise, quantised


def feed(preprocess: Preprocess | None, samples: Array, tensor: Tensor) -> Array:
    """The input batch of a model: (N, *tensor.shape[1:]) in the tensor's dtype, integers by the integer path.

    A file that is carried as it came may take channels first, have axes of size one more or less, or take an image of one
    channel as a row: then axes are moved.

    Args:
        preprocess: what turns samples into inputs; None when samples are inputs already, as reals or in the tensor's dtype.
        samples: (N, ...), at least one.
        tensor: the model's input.

    Raises:
        DataError: samples that the preprocessing or the model cannot take.
    """
    batch = _as_they_are(samples, tensor) if preprocess is None else _prepared(preprocess, samples, tensor)
    return batch if batch.shape[1:] == tensor.shape[1:] else _in_shape(batch, tensor)


def reals(values: Array, tensor: Tensor) -> Array:
    """Float32 meaning of values of a tensor: ``scale * (integer - zero_point)``, or the values themselves without one."""
    if tensor.quantisation is None:
        return values.astype(np.float32)
    steps = values.astype(np.int64) - tensor.quantisation.zero_point
    return steps.astype(np.float32) * np.float32(tensor.quantisation.scale)


def _prepared(preprocess: Preprocess, samples: Array, tensor: Tensor) -> Array:
    if tensor.dtype == "float32":
        return apply(preprocess, samples)
    if tensor.quantisation is None or tensor.dtype not in {"int8", "uint8"}:
        raise DataError(f"the preprocessing cannot make {tensor.dtype}", where=f"input {tensor.name}")
    if tensor.dtype == "int8":
        return quantised(preprocess, samples, tensor.quantisation)
    return _unsigned(quantised(preprocess, samples, _shifted(tensor.quantisation)))


def _as_they_are(samples: Array, tensor: Tensor) -> Array:
    if samples.dtype == tensor.dtype:
        return samples
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise DataError("NaN or infinite values", where=f"input {tensor.name}", hint="Remove or repair them.")
    if samples.dtype.kind == "f" and tensor.dtype == "float32":
        return samples.astype(np.float32)
    if samples.dtype.kind == "f" and tensor.quantisation is not None and tensor.dtype in {"int8", "uint8"}:
        if tensor.dtype == "int8":
            return quantise(samples, tensor.quantisation)
        return _unsigned(quantise(samples, _shifted(tensor.quantisation)))
    raise DataError(
        f"samples of dtype {samples.dtype} are no {tensor.dtype}", where=f"input {tensor.name}", hint="Convert them first."
    )


def _in_shape(batch: Array, tensor: Tensor) -> Array:
    """The batch in the tensor's shape, if only axes of size one or the channels' place differ, or one channel is flattened."""
    wanted = tensor.shape[1:]
    flattened = len(_longer_axes(wanted)) == 1 and batch.shape[-1] == 1 and batch[0].size == prod(wanted)
    if flattened or _longer_axes(batch.shape[1:]) == _longer_axes(wanted):
        return batch.reshape(len(batch), *wanted)
    if batch.ndim > 2:
        channels_first = np.moveaxis(batch, -1, 1)
        if _longer_axes(channels_first.shape[1:]) == _longer_axes(wanted):
            return np.ascontiguousarray(channels_first).reshape(len(batch), *wanted)
    raise DataError(f"a sample becomes shape {batch.shape[1:]} and the model takes {wanted}", where=f"input {tensor.name}")


def _longer_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _shifted(quantisation: Quantisation) -> Quantisation:
    """The quantisation of the int8 image of a uint8 tensor."""
    return msgspec.structs.replace(quantisation, zero_points=(quantisation.zero_point - 128,))


def _unsigned(values: Array) -> Array:
    return np.asarray(values.view(np.uint8) ^ np.uint8(128))
