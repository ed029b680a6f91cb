"""Resize and Upsample of images: the sampling that TFLite's flags give must be ONNX's, place for place."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Array
from marram.model.onnx.importing import Site
from marram.model.shapes import LARGEST_TENSOR


class Sampling(NamedTuple):
    """TFLite's flags."""

    align_corners: bool
    half_pixel_centers: bool


PLAIN, CORNERS, CENTRES = Sampling(False, False), Sampling(True, False), Sampling(False, True)
_LINEAR = {"asymmetric": PLAIN, "align_corners": CORNERS, "half_pixel": CENTRES, "pytorch_half_pixel": CENTRES}


def resize(site: Site) -> None:
    """Resize of the last one or two axes, nearest or linear."""
    old = site.node.operator == "Upsample" or site.opset < 11
    shape = site.shape(0)
    site.need(len(shape) in {3, 4}, f"on {len(shape)} axes")
    site.need(not site.attribute("antialias", 0) and "axes" not in site.node.attributes, "with antialias or axes")
    size = _size(site, shape, old=old)
    mode = site.attribute("mode", "nearest")
    transformation = "asymmetric" if old else site.attribute("coordinate_transformation_mode", "half_pixel")
    image = site.to_last(site.tensor(0))
    _, h, w, _ = site.shape_of(image)
    target = size if len(size) == 2 else (1, size[0])
    if mode == "nearest":
        rounding = "floor" if old else site.attribute("nearest_mode", "round_prefer_floor")
        sampling = _nearest_sampling(site, (h, w), target, transformation, rounding)
        method = "nearest"
    else:
        site.need(mode in {"linear", "bilinear"} and transformation in _LINEAR, f"in mode {mode}, {transformation}")
        site.need(transformation != "pytorch_half_pixel" or min(target) > 1 or target == (h, w), "to one pixel")
        sampling, method = _LINEAR[transformation], "bilinear"
    op = ops.Resize(
        size=target,
        method="nearest" if method == "nearest" else "bilinear",
        align_corners=sampling.align_corners,
        half_pixel_centers=sampling.half_pixel_centers,
    )
    site.from_last(site.step(op, image), rank=len(shape))


def _size(site: Site, shape: tuple[int, ...], *, old: bool) -> tuple[int, ...]:
    """The new sizes of the spatial axes, from sizes or from factors that divide evenly."""
    if not old and site.has(3):
        site.need(site.attribute("keep_aspect_ratio_policy", "stretch") == "stretch", "that keeps the aspect ratio")
        sizes = site.sizes(3)
    else:
        factors = site.array(1 if old else 2) if site.has(1 if old else 2) else np.array(site.attribute("scales", ()))
        if factors.size != len(shape) or not np.isfinite(factors).all() or np.min(factors) <= 0 or np.max(factors) > 2**20:
            site.damaged(f"has {factors.size} factors for {len(shape)} axes")
        exact = [n * float(factor) for n, factor in zip(shape, factors.reshape(-1), strict=True)]
        sizes = tuple(int(np.floor(n + 1e-4)) for n in exact)
        site.need(all(abs(n - whole) < 1e-3 for n, whole in zip(exact, sizes, strict=True)), "by factors that leave a rest")
    if len(sizes) != len(shape) or min(sizes) < 1 or max(sizes) > LARGEST_TENSOR:
        site.damaged(f"sizes {sizes} for {shape}")
    site.need(sizes[:2] == shape[:2], "of the batch or the channels")
    return sizes[2:]


def _nearest_sampling(
    site: Site, source: tuple[int, int], target: tuple[int, int], transformation: str, rounding: str
) -> Sampling:
    """The flags that pick the very pixels that ONNX picks on both axes."""
    site.state.spend(64 * sum(target))
    wanted = [_onnx_places(site, n, m, transformation, rounding) for n, m in zip(source, target, strict=True)]
    fitting = [
        sampling
        for sampling in (PLAIN, CENTRES, CORNERS)
        if all(
            np.array_equal(places, _flag_places(n, m, sampling)) for places, n, m in zip(wanted, source, target, strict=True)
        )
    ]
    site.need(bool(fitting), f"in mode nearest, {transformation}, {rounding} from {source} to {target}")
    return fitting[0]


def _onnx_places(site: Site, size_in: int, size_out: int, transformation: str, rounding: str) -> Array:
    out = np.arange(size_out, dtype=np.float64)
    scale = size_out / size_in
    places = {
        "asymmetric": out / scale,
        "half_pixel": (out + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (out + 0.5) / scale - 0.5 if size_out > 1 else np.zeros(1),
        "align_corners": out * (size_in - 1) / (size_out - 1) if size_out > 1 else np.zeros(1),
    }.get(transformation)
    if places is None:
        site.refuse(f"with coordinates {transformation}")
    rounded = {
        "floor": np.floor(places + 1e-9),
        "ceil": np.ceil(places - 1e-9),
        "round_prefer_floor": np.ceil(places - 0.5 - 1e-9),
        "round_prefer_ceil": np.floor(places + 0.5 + 1e-9),
    }.get(rounding)
    if rounded is None:
        site.refuse(f"with rounding {rounding}")
    return np.asarray(np.clip(rounded, 0, size_in - 1), np.int64)


def _flag_places(size_in: int, size_out: int, sampling: Sampling) -> Array:
    """Source: TFLite's GetNearestNeighbor."""
    corners = sampling.align_corners and size_out > 1
    scale = (size_in - 1) / (size_out - 1) if corners else size_in / size_out
    places = (np.arange(size_out) + (0.5 if sampling.half_pixel_centers else 0.0)) * scale + 1e-9
    rounded = np.floor(places + 0.5) if sampling.align_corners else np.floor(places)
    return np.asarray(np.clip(rounded, 0, size_in - 1), np.int64)


READERS: dict[str, Callable[[Site], None]] = {"Resize": resize, "Upsample": resize}
