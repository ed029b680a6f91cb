"""Images in a folder or zip archive, by class: ``<class>/*.png``, ``train/<class>/*.jpg`` and so on, or by a pattern.

Every image becomes uint8 (height, width, channels) of one size by the integer resize of ``sense``; a photograph is turned
upright by its EXIF note first.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from marram.core.errors import DataError, MissingExtra
from marram.core.graph import Array
from marram.data.dataset import Dataset
from marram.data.file_samples import FileSamples
from marram.data.files import Files
from marram.data.readers.labelled import labelled_files
from marram.sense.resizing import resize

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".tif", ".tiff"})
PIXEL_LIMIT = 64 << 20
_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "La", "RGBa"})


def read(
    path: Path,
    *,
    size: tuple[int, int],
    channels: int,
    pattern: str | None = None,
    group: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The images under a folder or in a zip archive; nothing is decoded yet.

    Args:
        path: the folder or archive.
        size: (height, width) of the samples.
        channels: 1 for grey, 3 for RGB.
        pattern: of file names, as ``layout.by_pattern`` says; None reads classes from folders.
        group: the pattern's field that is the group.
        classes: declared class names, in order; None takes those found, sorted.

    Raises:
        DataError: no images, no classes, or names that fit neither.
    """

    def pictures(files: Files, names: tuple[str, ...]) -> FileSamples:
        return FileSamples(
            files,
            names,
            decode=partial(_decode_at, size=size, channels=channels),
            decoding=f"image {size[0]}x{size[1]}x{channels} area",
            shape=(*size, channels),
            dtype="uint8",
        )

    return labelled_files(path, pictures, suffixes=SUFFIXES, pattern=pattern, group=group, classes=classes)


def decode(data: bytes, *, size: tuple[int, int] | None, channels: int, where: str) -> Array:
    """One image: uint8 (height, width, channels), resized to ``size`` unless that is None.

    Raises:
        DataError: not an image, damaged, larger than ``PIXEL_LIMIT``, or of more than 8 bits a channel.
        MissingExtra: pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtra("pillow", extra="build") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged metadata beside sound pixels
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    raise DataError(f"{image.width} x {image.height} pixels are too many", where=where, hint="Shrink it first.")
                if image.mode not in _PLAIN_MODES:
                    raise DataError(
                        f"its pixels have mode {image.mode}, not 8 bits a channel", where=where, hint="Convert it to 8 bits."
                    )
                pixels = np.asarray(ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"not a readable image: {error}", where=where, hint="Repair or remove the file.") from error
    except (IndexError, KeyError, TypeError, OverflowError, MemoryError, AttributeError, RuntimeError) as error:
        # What pillow's decoders let through on damaged files.
        raise DataError(f"a damaged image: {error!r}", where=where, hint="Repair or remove the file.") from error
    stack = pixels.reshape(1, *pixels.shape[:2], channels)
    return np.asarray((stack if size is None else resize(stack, size=size))[0])


def _decode_at(data: bytes, where: str, *, size: tuple[int, int], channels: int) -> Array:
    return decode(data, size=size, channels=channels, where=where)
