"""Images: lazily decoded, exactly, from folders and archives; damaged and hostile ones named."""

from __future__ import annotations

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.making import open_handles, pack, png, write

from marram.core.errors import DataError
from marram.data.readers import images


def read(path, size=(8, 6), **options):
    return images.read(path, size=size, channels=options.pop("channels", 3), **options)


def test_folder_and_archive_give_the_same_dataset(tmp_path, image_files):
    folder = read(write(tmp_path / "pets", image_files))
    archive = read(pack(tmp_path / "pets.zip", dict(reversed(image_files.items()))))
    assert folder.digest == archive.digest
    assert folder.labels == ("cat", "dog")
    for (a, y), (b, _) in zip(folder.batches(5), archive.batches(5), strict=True):
        np.testing.assert_array_equal(a, b)
        assert set(y) <= {0, 1}


def test_png_pixels_are_exact(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (8, 6, 3), np.uint8)
    dataset = read(write(tmp_path, {"a/1.png": png(pixels), "b/1.png": png(pixels // 2)}))
    ((x, _),) = dataset.batches(2)
    np.testing.assert_array_equal(x[0], pixels)


def test_grey_palette_and_alpha_become_what_is_asked(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(8, 6)
    stream = io.BytesIO()
    Image.fromarray(grey).convert("P").save(stream, "PNG")
    files = {"a/grey.png": png(grey), "a/palette.png": stream.getvalue(), "b/alpha.png": png(np.full((8, 6, 4), 9, np.uint8))}
    ((x, _),) = read(write(tmp_path, files)).batches(3)
    np.testing.assert_array_equal(x[0], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(x[1], x[0])
    ((x, _),) = read(tmp_path, channels=1).batches(3)
    assert x.shape == (3, 8, 6, 1)
    np.testing.assert_array_equal(x[0, ..., 0], grey)


def test_photographs_are_turned_upright():
    pixels = np.zeros((8, 6, 3), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    turned = images.decode(stream.getvalue(), size=None, channels=3, where="x")
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_parts_that_the_folder_declares_are_kept(tmp_path, image_files):
    files = {f"{part}/{name}": data for part in ("train", "test") for name, data in image_files.items()}
    dataset = read(write(tmp_path, files))
    assert dataset.parts.tolist() == [2] * 12 + [0] * 12


def test_thousands_of_files_need_one_handle_and_little_memory(tmp_path):
    rng = np.random.default_rng(0)
    base = png(rng.integers(0, 256, (4, 4, 3), np.uint8))
    write(tmp_path, {f"{'ab'[number % 2]}/{number}.png": base for number in range(3000)})
    used = open_handles()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        dataset = read(tmp_path, size=(4, 4))
        count = sum(len(x) for x, _ in dataset.batches(64))
        assert len(dataset.digest) == 71
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert count == 3000
    assert open_handles() == used


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(DataError, match=r"bomb\.png"):
        images.decode(bomb, size=(8, 8), channels=3, where="bomb.png")
    head = struct.pack(">IIBBBBB", 8300, 8300, 8, 2, 0, 0, 0)
    large = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(DataError, match="too many"):
        images.decode(large, size=(8, 8), channels=3, where="large.png")


@pytest.mark.parametrize("data", [b"", b"no image", png(np.zeros((8, 6), np.uint8))[:40]])
def test_unreadable_images_are_named(tmp_path, data):
    dataset = read(write(tmp_path, {"a/1.png": png(np.zeros((8, 6, 3), np.uint8)), "b/broken.png": data}))
    with pytest.raises(DataError, match=r"b/broken\.png"):
        list(dataset.batches(4))


def test_sixteen_bits_are_refused():
    with pytest.raises(DataError, match="8 bits"):
        images.decode(png(np.zeros((4, 4), np.uint16)), size=(4, 4), channels=1, where="x.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_flipped_bits_give_an_image_or_an_error(kind, data):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)).save(stream, kind)
    raw = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    try:
        image = images.decode(bytes(raw[:cut]), size=(5, 5), channels=3, where="x")
    except DataError:
        return
    assert image.shape == (5, 5, 3)
