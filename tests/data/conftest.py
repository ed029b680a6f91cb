"""Fixtures: small sets of images and sounds."""

from __future__ import annotations

import numpy as np
import pytest
from tests.data.making import png, wav


@pytest.fixture
def image_files() -> dict[str, bytes]:
    """Twelve different 8 x 6 colour images of two classes."""
    rng = np.random.default_rng(0)
    return {
        f"{name}/{number:02d}.png": png(rng.integers(0, 256, (8, 6, 3), np.uint8))
        for name in ("cat", "dog")
        for number in range(6)
    }


@pytest.fixture
def sound_files() -> dict[str, bytes]:
    """Words of two classes by three speakers, 8 kHz."""
    rng = np.random.default_rng(1)
    return {
        f"recordings/{word}_{speaker}_{number}.wav": wav(rng.integers(-9000, 9000, 3000 + 500 * number))
        for word in ("no", "yes")
        for speaker in ("ann", "bob", "cy")
        for number in range(3)
    }
