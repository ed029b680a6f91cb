"""Fashion-MNIST: installed files are copied, others fetched, hashes held; the true ones in soak."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from tests.data.making import write
from tests.data.readers.test_idx import files

from marram.core.contract import ImageInput
from marram.core.errors import IntegrityError, ToolError
from marram.data import load
from marram.data.registry import fashion

SECTION = ImageInput(size_px=(28, 28), channels=1)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder as the package installs it, of generated images, their hashes pinned instead of the true ones."""
    made = files(gzip.compress, ".gz")
    monkeypatch.setattr(fashion, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in made.items()})
    return write(tmp_path / "installed", made)


def test_installed_files_are_copied_with_labels_and_licence(tmp_path, installed):
    folder = fashion.fashion_images(tmp_path / "project", installed=installed)
    dataset = load(folder, input_spec=SECTION, split_by="given", classes=("a", "b", "c"))
    assert len(dataset) == 26
    assert "MIT" in (folder / fashion.LICENCE_FILE).read_text()
    assert (folder / "labels.txt").read_text().split() == list(fashion.LABELS)
    fashion.fashion_images(folder, installed=tmp_path / "nowhere")  # all is there: nothing is fetched


def test_another_file_is_refused(tmp_path, installed):
    name = next(iter(fashion.SHA256))
    (installed / name).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="SHA-256"):
        fashion.fashion_images(tmp_path / "project", installed=installed)
    assert not (tmp_path / "project" / name).exists()


def test_a_damaged_copy_is_refused(tmp_path, installed):
    folder = fashion.fashion_images(tmp_path / "project", installed=installed)
    (folder / next(iter(fashion.SHA256))).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="SHA-256"):
        fashion.fashion_images(folder, installed=installed)


def test_failed_fetching_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="not on this machine") as caught:
        fashion.fashion_images(tmp_path / "project", installed=tmp_path / "nowhere")
    assert "apt-get install" in str(caught.value.hint)


@pytest.mark.soak
def test_the_true_images(tmp_path):
    dataset = load(fashion.fashion_images(tmp_path), input_spec=SECTION, split_by="given")
    assert len(dataset) == 70000
    assert dataset.labels == fashion.LABELS
