"""Training: it learns, is a function of its arguments, resumes to the same bits, and tells mistakes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from marram.core.errors import DataError, UserError
from marram.model import zoo
from marram.model.training import ArrayExamples, TrainingSettings, evaluate, predict, train

SETTINGS = TrainingSettings(epochs=4, batch_size=16, learning_rate=5e-3, augmentation="window_jitter")


def windows(count: int, seed: int) -> ArrayExamples:
    """Two classes of int16 windows (40, 3): a slow wave or a fast one, in noise."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    time = np.arange(40)[None, :, None] + generator.uniform(0, 40, (count, 1, 3))
    waves = np.sin(time * np.where(targets, 0.9, 0.3)[:, None, None]) + 0.3 * generator.standard_normal((count, 40, 3))
    return ArrayExamples(np.int16(1000 * waves), targets)


def preprocess(samples):
    return samples.astype(np.float32) / 1000


def net(seed=0):
    return zoo.make("conv1d", input_shape=(40, 3), classes=2, seed=seed)


def run(model, settings=SETTINGS, **options):
    return train(model, windows(97, 1), windows(40, 2), settings, preprocess=preprocess, **options)


class Interrupted(Exception):
    """Stands for Ctrl-C or power loss."""


def interrupting_at(part):
    def progress(_what, done):
        if done >= part:
            raise Interrupted

    return progress


def test_it_learns_and_keeps_the_best_epoch():
    model = net()
    result = run(model, msgspec.structs.replace(SETTINGS, epochs=8))
    assert result.best_metric is not None
    assert result.best_metric >= 0.9
    assert result.best_metric == max(record.validation.metric for record in result.history)
    assert evaluate(model, windows(40, 2), SETTINGS, preprocess=preprocess).metric == result.best_metric
    assert not model.training


def test_reconstruction_learns():
    samples = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32) @ np.ones((4, 12), np.float32) / 4
    model = zoo.make("fc_autoencoder", input_shape=(12,), hidden=16, depth=1)
    settings = TrainingSettings(task="reconstruction", epochs=40, batch_size=16, learning_rate=1e-2)
    result = train(model, ArrayExamples(samples), ArrayExamples(samples), settings)
    assert result.metric == "mse"
    assert result.best_metric < 0.2 * result.history[0].validation.metric


def test_equal_arguments_give_equal_bits_and_leave_torch_as_it_was():
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    first, second = net(), net()
    result = run(first)
    torch.rand(3)
    assert msgspec.structs.asdict(run(second)) == msgspec.structs.asdict(result)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    torch.random.set_rng_state(before[0])
    run(net())
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_another_seed_gives_another_course():
    assert run(net()).history != run(net(), msgspec.structs.replace(SETTINGS, seed=1)).history


@pytest.mark.parametrize("part", [0.1, 0.4, 0.6, 0.99])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path, part, optimiser):
    settings = msgspec.structs.replace(SETTINGS, optimiser=optimiser)
    whole, broken, resumed = net(), net(), net(seed=9)
    if part < 0.25:
        resumed = net()  # nothing was saved yet: the caller starts with the same weights again
    expected = run(whole, settings)
    with pytest.raises(Interrupted):
        run(broken, settings, checkpoint=tmp_path / "state.pt", progress=interrupting_at(part))
    result = run(resumed, settings, checkpoint=tmp_path / "state.pt")
    assert result == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_finished_training_is_not_repeated(tmp_path):
    first = run(net(), checkpoint=tmp_path / "state.pt")
    calls = []
    assert run(net(seed=5), checkpoint=tmp_path / "state.pt", progress=lambda *call: calls.append(call)) == first
    assert not calls


def test_patience_stops_early():
    settings = msgspec.structs.replace(SETTINGS, epochs=30, patience=2, learning_rate=1e-9, augmentation="none")
    result = run(net(), settings)
    assert result.stopped_early
    assert result.epochs_run == result.best_epoch + 2


def test_progress_rises_to_one():
    parts = []
    run(net(), progress=lambda _what, part: parts.append(part))
    assert parts == sorted(parts)
    assert parts[0] == 0
    assert parts[-1] == 1


def test_predictions_agree_with_the_metric():
    model, examples = net(), windows(40, 2)
    (samples, targets), *_ = examples.batches(40)
    part = float((predict(model, samples, preprocess=preprocess, batch_size=7).argmax(1) == targets).mean())
    assert part == evaluate(model, examples, SETTINGS, preprocess=preprocess).metric


@pytest.mark.parametrize("damage", ["truncate", "flip", "text"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "state.pt"
    run(net(), msgspec.structs.replace(SETTINGS, epochs=1), checkpoint=path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[100:400] = b"\xff" * 300
    path.write_bytes({"truncate": data[: len(data) // 2], "flip": data, "text": b"hello"}[damage])
    with pytest.raises(UserError, match=r"state\.pt: the checkpoint"):
        run(net(), msgspec.structs.replace(SETTINGS, epochs=1), checkpoint=path)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    run(net(), checkpoint=path)
    with pytest.raises(UserError, match="other settings: learning_rate"):
        run(net(), msgspec.structs.replace(SETTINGS, learning_rate=1e-4), checkpoint=path)
    with pytest.raises(UserError, match="another model"):
        run(zoo.make("conv1d", input_shape=(40, 3), classes=2, width=2.0), checkpoint=path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_data_and_bad_settings_are_told():
    good = windows(20, 0)
    samples, targets = next(good.batches(20))
    values = preprocess(samples)
    holed = values.copy()
    holed[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="epoch 1, batch 1"):
        train(net(), ArrayExamples(holed, targets), None, msgspec.structs.replace(SETTINGS, batch_size=32))
    with pytest.raises(UserError, match="not finite any more"):
        train(net(), ArrayExamples(values * 1e38, targets), None, SETTINGS)
    with pytest.raises(DataError, match="the model has 2 classes"):
        train(net(), ArrayExamples(values, targets + 1), None, SETTINGS)
    with pytest.raises(DataError, match="targets of shape"):
        ArrayExamples(values, targets[:3])
    with pytest.raises(DataError, match="at least 2 examples"):
        train(net(), ArrayExamples(values[:1], targets[:1]), None, SETTINGS)
    with pytest.raises(DataError, match="validation set is empty"):
        train(net(), good, ArrayExamples(values[:0], targets[:0]), SETTINGS)
    with pytest.raises(UserError, match=r"does not take a batch of shape \(2, 40, 2\)"):
        train(net(), ArrayExamples(values[:, :, :2], targets), None, SETTINGS)
    with pytest.raises(UserError, match=r"epochs must be at least 1; learning_rate"):
        train(net(), good, None, TrainingSettings(epochs=0, learning_rate=-1))
    with pytest.raises(UserError, match="does not reconstruct"):
        train(net(), ArrayExamples(values), None, TrainingSettings(task="reconstruction"))


def test_a_last_batch_of_one_sample_is_left_out():
    examples = windows(33, 0)
    model = zoo.make("fc_autoencoder", input_shape=(40, 3), hidden=8, depth=1)
    settings = TrainingSettings(task="reconstruction", epochs=1, batch_size=16)
    assert train(model, examples, None, settings, preprocess=preprocess).epochs_run == 1


def test_bfloat16_trains():
    result = run(net(), msgspec.structs.replace(SETTINGS, precision="bfloat16", epochs=8))
    assert result.best_metric >= 0.85
