"""Fashion-MNIST: 60,000 and 10,000 grey images of clothes, 28 x 28, ten classes, as IDX files.

They come from Debian's package dataset-fashion-mnist (MIT licence, Zalando SE), installed or fetched.
Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv 1708.07747.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from marram.core.durable import write_atomically
from marram.core.errors import ToolError
from marram.data.readers.idx import LABELS_FILE
from marram.data.registry.fetching import run, verify

PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
LABELS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
LICENCE_FILE = "LICENCE.txt"
LICENCE = "Fashion-MNIST, MIT licence, copyright 2017 Zalando SE. From Debian's package dataset-fashion-mnist.\n"
_HINT = f"Install it (apt-get install {PACKAGE}), or put its four files into the folder yourself."


def fashion_images(folder: Path, *, cache: Path | None = None, installed: Path = INSTALLED) -> Path:
    """Put the four IDX files, their labels and licence into a folder; nothing is fetched when they are there.

    Args:
        folder: where they go; it is the source that ``data.load`` takes.
        cache: where the downloaded package is kept; None keeps none.
        installed: where Debian's package puts its files.

    Raises:
        ToolError: apt-get or dpkg-deb failed; the command, its output and what to do.
        IntegrityError: a file has another hash than the pinned one.
    """
    if not all((folder / name).is_file() for name in SHA256):
        if all((installed / name).is_file() for name in SHA256):
            _copy(installed, folder)
        elif cache is not None:
            _copy(_unpacked(cache), folder)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                _copy(_unpacked(Path(temporary)), folder)
    for name, expected in SHA256.items():
        verify((folder / name).read_bytes(), expected, where=str(folder / name))
    for name, text in ((LABELS_FILE, "\n".join(LABELS) + "\n"), (LICENCE_FILE, LICENCE)):
        if not (folder / name).is_file():
            write_atomically(folder / name, text.encode())
    return folder


def _copy(source: Path, folder: Path) -> None:
    for name, expected in SHA256.items():
        data = (source / name).read_bytes()
        verify(data, expected, where=str(source / name))
        write_atomically(folder / name, data)


def _unpacked(cache: Path) -> Path:
    """The package's folder of files, unpacked in the cache; it needs no root rights."""
    cache.mkdir(parents=True, exist_ok=True)
    what = "Fashion-MNIST could not be fetched"
    if not any(cache.glob(f"{PACKAGE}_*.deb")):
        run(["apt-get", "download", PACKAGE], folder=cache, what=what, hint=_HINT)
    package = next(cache.glob(f"{PACKAGE}_*.deb"), None)
    if package is None:
        raise ToolError(what, command=f"apt-get download {PACKAGE}", hint=_HINT)
    run(["dpkg-deb", "-x", package.name, "unpacked"], folder=cache, what=what, hint=_HINT)
    return cache / "unpacked" / INSTALLED.relative_to("/")
