from __future__ import annotations

import numpy as np
import pytest
from tests.search.nets import net, samples

from marram import Wishes, squeeze
from marram._build.squeezing import recipe_for
from marram.core.errors import DataError, UserError
from marram.core.recipe import Fold, Prune, Quantise, Round, TrainQuantised
from marram.model import interpret, load, save


@pytest.fixture
def files(tmp_path):
    save(net(), tmp_path / "net.onnx")
    x, y = samples(96)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path


def test_wishes_become_decisions_in_their_order():
    wishes = Wishes(prune=0.5, distil=True, weight_bits=4, round_adaptively=True, train_quantised=True)
    recipe = recipe_for(net(), wishes)
    assert [type(decision) for decision in recipe.decisions] == [Prune, Fold, Quantise, Round, TrainQuantised]
    (quantise,) = (decision for decision in recipe.decisions if isinstance(decision, Quantise))
    assert set(quantise.weight_bits.values()) == {4}
    assert "stem.0" not in quantise.weight_bits
    assert "classifier" not in quantise.weight_bits


def test_a_model_file_becomes_a_smaller_one(files):
    result = squeeze(
        files / "net.onnx", files / "small.tflite", data=files / "data.npz", wishes=Wishes(prune=0.6, epochs=2, distil=True)
    )
    made = load(files / "small.tflite")
    first, *_, last = result.stages
    assert last.macs <= 0.6 * first.macs
    assert made.input_tensors[0].quantisation is not None
    (scores,) = interpret(made, np.zeros((1, 24, 3), np.int8))
    assert scores.shape == (1, 3)


def test_what_cannot_be_is_said(files):
    with pytest.raises(UserError, match="trains between"):
        squeeze(files / "net.onnx", files / "o.onnx", data=files / "data.npz", wishes=Wishes(prune=0.5, epochs=0))
    np.savez(files / "other.npz", x=np.zeros((9, 5), np.float32))
    with pytest.raises(DataError, match=r"\(N, 24, 3\)"):
        squeeze(files / "net.onnx", files / "o.onnx", data=files / "other.npz")
    np.savez(files / "classes.npz", x=np.zeros((9, 24, 3), np.float32), y=np.full(9, 3))
    with pytest.raises(DataError, match="from 0 to 2"):
        squeeze(files / "net.onnx", files / "o.onnx", data=files / "classes.npz")
    assert not (files / "o.onnx").exists()


def test_integers_are_not_made_smaller(files):
    squeeze(files / "net.onnx", files / "whole.tflite", data=files / "data.npz")
    with pytest.raises(UserError, match="holds integers already"):
        squeeze(files / "whole.tflite", files / "o.onnx", data=files / "data.npz")
