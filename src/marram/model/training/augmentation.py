"""Augmentation of preprocessed training batches, in numpy, drawn from the generator that is given."""

from __future__ import annotations

from typing import get_args

import numpy as np

from marram.core.errors import UserError
from marram.core.graph import Array
from marram.core.recipe import Augmentation

AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)

_PAD_PIXELS = 4
_SHIFT_PART = 0.1
_SCALE_DEVIATION = 0.1
_NOISE_PART = 0.05
_ANGLE_DEVIATION_RAD = 0.3


def augment(name: Augmentation, batch: Array, generator: np.random.Generator) -> Array:
    """A changed copy of a batch; with "none" the batch itself.

    Args:
        name: "image_flip_crop" pads images ``(B,H,W,C)`` by 4, crops at random and mirrors left to right half of them;
            "window_jitter" shifts windows ``(B,T,C)`` around in time by up to a tenth, scales them (deviation 0.1) and adds
            noise of 0.05 of each channel's deviation; "window_rotation" also turns all axis triples together, as a
            sensor strapped on a little differently would (angle's deviation 0.3 rad).
        batch: float32.
        generator: decides everything random.

    Raises:
        UserError: the batch has not the rank that the augmentation is for.
    """
    if name == "none":
        return batch
    rank = 4 if name == "image_flip_crop" else 3
    if batch.ndim != rank:
        raise UserError(f"augmentation {name} takes batches of rank {rank}, not of shape {batch.shape}")
    if name == "image_flip_crop":
        return _flip_crop(batch, generator)
    if name == "window_rotation":
        batch = _rotated(batch, generator)
    return _jittered(batch, generator)


def _flip_crop(batch: Array, generator: np.random.Generator) -> Array:
    count, height, width, _ = batch.shape
    padded = np.pad(batch, ((0, 0), (_PAD_PIXELS, _PAD_PIXELS), (_PAD_PIXELS, _PAD_PIXELS), (0, 0)))
    tops, lefts = generator.integers(0, 2 * _PAD_PIXELS + 1, size=(2, count))
    mirrored = generator.random(count) < 0.5
    result = np.empty_like(batch)
    for index in range(count):
        crop = padded[index, tops[index] : tops[index] + height, lefts[index] : lefts[index] + width]
        result[index] = crop[:, ::-1] if mirrored[index] else crop
    return result


def _jittered(batch: Array, generator: np.random.Generator) -> Array:
    count, time, _ = batch.shape
    reach = int(time * _SHIFT_PART)
    shifts = generator.integers(-reach, reach + 1, size=count)
    positions = (np.arange(time)[None, :] - shifts[:, None]) % time
    shifted = np.take_along_axis(batch, positions[:, :, None], axis=1)
    scales = 1 + _SCALE_DEVIATION * generator.standard_normal((count, 1, 1), dtype=np.float32)
    noise = generator.standard_normal(batch.shape, dtype=np.float32)
    result: Array = shifted * scales + _NOISE_PART * batch.std(axis=1, keepdims=True) * noise
    return result.astype(np.float32, copy=False)


def _rotated(batch: Array, generator: np.random.Generator) -> Array:
    count, time, channels = batch.shape
    if channels % 3:
        raise UserError(f"augmentation window_rotation takes triples of axes, not {channels} channels")
    turns = _rotations(count, generator)
    triples = batch.reshape(count, time, channels // 3, 3)
    result: Array = np.einsum("bij,btkj->btki", turns, triples).reshape(batch.shape)
    return result


def _rotations(count: int, generator: np.random.Generator) -> Array:
    """Rotation matrices ``(count,3,3)`` about random axes by random angles. Source: Rodrigues' formula."""
    axes = generator.standard_normal((count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = _ANGLE_DEVIATION_RAD * generator.standard_normal((count, 1, 1))
    x, y, z = axes.T
    zero = np.zeros(count)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(count, 3, 3)
    return np.asarray(np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross), np.float32)
