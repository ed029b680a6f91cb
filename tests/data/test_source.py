"""``load``: every kind of source finds its reader, and what is not there is told with the nearest names."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from tests.data.making import pack, write
from tests.data.readers.test_idx import files as idx_files
from tests.data.readers.test_tables import TABLE, csv, parquet

from marram.core.contract import AudioInput, ImageInput, ImuInput, TensorInput
from marram.core.errors import DataError
from marram.data import load, split, summarise

IMAGE = ImageInput(size_px=(8, 6))
AUDIO = AudioInput(rate_hz=8000, duration_s=0.5)
IMU = ImuInput(channels=("ax", "ay"), rate_hz=10.0, window_s=1.0)


@pytest.fixture
def base(tmp_path, image_files, sound_files):
    write(tmp_path / "pets", image_files)
    pack(tmp_path / "pets.zip", image_files)
    write(tmp_path / "words", sound_files)
    pack(tmp_path / "words.zip", sound_files)
    write(tmp_path, {"walks.csv": csv(TABLE), "walks.parquet": parquet(TABLE), "notes.txt": b"hello"})
    write(tmp_path / "idx", idx_files(gzip.compress, ".gz"))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(9, 4)), y=list("abcabcabc"))
    np.savez(tmp_path / "windows.npz", x=rng.normal(size=(9, 10, 2)), y=list("abcabcabc"))
    (tmp_path / "mine.py").write_text("import numpy as np\ndef arrays(): return {'x': np.eye(4), 'y': list('abab')}\n")
    return tmp_path


WORDS = {"pattern": "{label}_{speaker}_{n}.wav", "split_by": "speaker"}
SOURCES = [
    ("pets", IMAGE, {}, 12),
    ("pets.zip", IMAGE, {}, 12),
    ("pets", TensorInput(shape=(4, 4, 1)), {}, 12),
    ("words", AUDIO, WORDS, 18),
    ("words.zip", AUDIO, WORDS, 18),
    ("walks.csv", IMU, {"split_by": "person"}, 13),
    ("walks.parquet", IMU, {}, 13),
    ("idx", ImageInput(size_px=(5, 4), channels=1), {"split_by": "given"}, 26),
    ("x.npz", TensorInput(shape=(4,)), {}, 9),
    ("windows.npz", IMU, {}, 9),
    ("mine.py:arrays", TensorInput(shape=(4,)), {}, 4),
]


@pytest.mark.parametrize(("source", "section", "options", "count"), SOURCES)
def test_every_kind_of_source_is_read(base, source, section, options, count):
    dataset = load(source, input_spec=section, base=base, **options)
    assert len(dataset) == count
    assert sum(len(x) for x, _ in dataset.batches(5)) == count
    again = load(source, input_spec=section, base=base, cache=base / "cache", **options)
    assert again.digest == dataset.digest
    for (a, _), (b, _) in zip(dataset.batches(4), again.batches(4), strict=True):
        np.testing.assert_array_equal(a, b)


def test_words_go_all_the_way_to_a_summary(base):
    dataset = load("words", input_spec=AUDIO, base=base, **WORDS)
    cuts = split(dataset, test_fraction=0.3, validation_fraction=0.3, by="speaker", seed=3)
    summary = summarise(dataset, cuts)
    assert len(summary.held_out_groups) == 1
    assert [part.samples for part in summary.parts] == [6, 6, 6]


def test_digests_do_not_know_where_the_data_stands(base):
    digests = {load(name, input_spec=IMAGE, base=base).digest for name in ("pets", "pets.zip")}
    digests.add(load(base / "pets", input_spec=IMAGE).digest)
    (base / "pets").rename(base / "animals")
    digests.add(load("animals", input_spec=IMAGE, base=base).digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("source", "section", "options", "message"),
    [
        ("pet", IMAGE, {}, "Did you mean pets"),
        ("deep/er/pets", IMAGE, {}, "holds: cache|holds: idx"),
        ("notes.txt", IMAGE, {}, "is no source of data"),
        ("idx/none.zip", IMAGE, {}, "no such file"),
        ("words", IMAGE, {}, "holds no file of type"),
        ("pets", AUDIO, {}, "holds no file of type"),
        ("words", AUDIO, {"pattern": "{label}.flac"}, "does not match"),
        ("pets", IMAGE, {"classes": ("cat", "cow")}, "'dog', which is not among"),
        ("pets", IMAGE, {"classes": ("cat", "dog", "cow")}, "class 'cow' has no sample"),
        ("windows.npz", ImuInput(channels=("a", "b"), rate_hz=20.0, window_s=1.0), {}, r"windows \(20, 2\)"),
        ("windows.npz", ImuInput(channels=tuple("abcdefghij"), rate_hz=2.0, window_s=1.0), {}, "transpose"),
        ("x.npz", TensorInput(shape=(5,)), {}, r"arrays \(5,\)"),
        ("idx", IMAGE, {}, "uint8 images"),
        ("pets", TensorInput(shape=(5,)), {}, "cannot be read"),
        ("mine.py:array", TensorInput(shape=(4,)), {}, "Did you mean arrays"),
    ],
)
def test_what_does_not_fit_is_refused(base, source, section, options, message):
    with pytest.raises(DataError, match=message):
        load(source, input_spec=section, base=base, **options)


def test_a_folder_without_classes_says_what_to_do(base, image_files):
    write(base / "flat", {name.replace("/", "_"): data for name, data in image_files.items()})
    with pytest.raises(DataError, match="Put each file in a folder named as its class"):
        load("flat", input_spec=IMAGE, base=base)
    assert load("flat", input_spec=IMAGE, base=base, pattern="{label}_{n}.png").labels == ("cat", "dog")


def test_shared_data_is_read_if_there_is_any(shared_data):
    """On top of the generated sources: the benchmark archives, listed and sampled."""
    sources = [
        ("cifar10.zip", ImageInput(size_px=(32, 32)), {"split_by": "given"}, 60000, 10),
        ("fsdd.zip", AUDIO, WORDS, 3000, 10),
    ]
    for name, section, options, count, classes in sources:
        if shared_data is not None and (shared_data / name).is_file():
            dataset = load(shared_data / name, input_spec=section, **options)
            assert (len(dataset), len(dataset.labels)) == (count, classes)
            x, _ = next(dataset.subset(np.arange(0, count, count // 20)).batches(20))
            assert x.std() > 0
