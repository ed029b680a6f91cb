"""Recipes in files: what is written is read again, and what is wrong is named."""

from __future__ import annotations

import pytest

from marram.core.errors import UserError
from marram.core.recipe import CorrectBias, Distillation, Fold, Prune, Quantise, Recipe, TrainQuantised
from marram.core.recipe_file import Given, parse, read, read_given, written

RECIPE = Recipe(
    decisions=(
        Fold(),
        Prune(share=0.5, distillation=Distillation()),
        Quantise(calibration="percentile", percentile=99.9, keep_float=("a/b",), weight_bits={"fc": 4}),
        CorrectBias(),
        TrainQuantised(),
    )
)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(written(RECIPE))
    assert read(path) == RECIPE
    assert read_given(path).base is None
    path.write_text(written(RECIPE, base="sha256:00"))
    assert read_given(path) == Given(decisions=RECIPE.decisions, base="sha256:00")


def test_toml_says_the_same(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[[decisions]]\ndecision = "fold"\n[[decisions]]\ndecision = "quantise"\nweight_bits = {fc = 4}\n')
    assert read(path) == Recipe(decisions=(Fold(), Quantise(weight_bits={"fc": 4})))


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        ('{"decisions": [{"decision": "fold"}, {"decision": "quantize"}]}', ".json", "$.decisions[1]"),
        ('{"decisions": [{"decision": "quantise", "percentil": 3}]}', ".json", "percentil"),
        ('{"decisions": [{"decision": "prune", "share": 2.0}]}', ".json", "share"),
        ("{", ".json", "holds no recipe"),
        ("decisions = 3", ".toml", "$.decisions"),
        ("decisions = ", ".toml", "holds no recipe"),
    ],
)
def test_a_mistake_is_named(text, form, said):
    with pytest.raises(UserError) as caught:
        parse(text, form=form, where="recipe")
    assert said in str(caught.value)
    assert caught.value.where == "recipe"


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "recipe.json")
    with pytest.raises(UserError, match=r"\.json, \.toml"):
        read(tmp_path / "recipe.yaml")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "bytes.json")
