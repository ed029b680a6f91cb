"""What file names tell of class, group and part, and the errors when they do not."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.errors import DataError
from marram.data.layout import by_class, by_pattern, encode

PNG = frozenset({".png"})


def classes(*names):
    return by_class(names, suffixes=PNG, source="pets").classes


def test_folders_name_classes():
    layout = by_class(["cat/1.png", "cat/deep/2.PNG", "dog/1.png", "readme.txt"], suffixes=PNG, source="pets")
    assert layout.names == ("cat/1.png", "cat/deep/2.PNG", "dog/1.png")
    assert layout.classes == ("cat", "cat", "dog")
    assert layout.parts is None


def test_leading_folders_are_passed_over():
    assert classes("set/v1/cat/1.png", "set/v1/dog/1.png") == ("cat", "dog")
    assert classes("set/cat/1.png", "set/cat/2.png") == ("cat", "cat")


@pytest.mark.parametrize("prefix", ["", "set/"])
def test_parts_are_folders_above_the_classes(prefix):
    names = [f"{prefix}{part}/{pet}/1.png" for part in ("Test", "train", "val") for pet in ("cat", "dog")]
    layout = by_class(names, suffixes=PNG, source="pets")
    assert layout.parts == (2, 2, 0, 0, 1, 1)
    assert layout.classes == ("cat", "dog") * 3
    assert by_class(names[2:4], suffixes=PNG, source="pets").parts == (0, 0)


@pytest.mark.parametrize("names", [["1.png", "cat/2.png"], ["1.png"], ["train/1.png", "test/cat/2.png"]])
def test_files_outside_any_class_are_named(names):
    with pytest.raises(DataError, match=r"1\.png: stands in no class folder"):
        by_class(names, suffixes=PNG, source="pets")


def test_no_file_of_the_kind_tells_what_is_there():
    with pytest.raises(DataError, match=r"2 \.txt"):
        by_class(["a/1.txt", "a/2.txt"], suffixes=PNG, source="pets")
    with pytest.raises(DataError, match="nothing"):
        by_class([], suffixes=PNG, source="pets")


def pattern(text, *names, group=None):
    return by_pattern(names, text, suffixes=PNG, group=group, source="pets")


def test_patterns_read_label_group_and_part():
    layout = pattern("{label}_{group}_{index}.png", "x/7_ann_0.png", "x/8_bob-k_12.png")
    assert (layout.classes, layout.groups) == (("7", "8"), ("ann", "bob-k"))
    layout = pattern("{part}/{label}/{camera}-{index}.png", "test/cat/a-1.png", "train/dog/b-2.png", group="camera")
    assert (layout.classes, layout.groups, layout.parts) == (("cat", "dog"), ("a", "b"), (2, 0))


@pytest.mark.parametrize("text", ["", "label.png", "{label}_{label}.png", "{label", "{}.png"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(DataError, match="no pattern"):
        pattern(text, "a.png")


def test_names_that_do_not_match_are_named():
    with pytest.raises(DataError, match=r"dog\.png: does not match"):
        pattern("{label}_{group}.png", "cat_1.png", "dog.png")
    with pytest.raises(DataError, match="no part"):
        pattern("{part}/{label}.png", "later/dog.png")


def test_labels_are_sorted_or_as_declared():
    targets, labels = encode(["b", "a", "b"], 3, declared=None, source="s")
    assert labels == ("a", "b")
    np.testing.assert_array_equal(targets, [1, 0, 1])
    targets, labels = encode(["b", "a", "b"], 3, declared=["b", "a"], source="s")
    assert labels == ("b", "a")
    np.testing.assert_array_equal(targets, [0, 1, 0])
    assert encode(None, 2, declared=None, source="s")[0].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("names", "declared", "message"),
    [
        (["cat", "dgo"], ["cat", "dog"], "Did you mean dog"),
        (["cat"], ["cat", "dog"], "class 'dog' has no sample"),
        (None, ["cat"], "no labels"),
    ],
)
def test_labels_outside_the_declared_and_empty_classes(names, declared, message):
    with pytest.raises(DataError, match=message):
        encode(names, 2, declared=declared, source="s")
