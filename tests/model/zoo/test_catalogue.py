"""The zoo: every family builds, has the published size, and is a function of its seed."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from marram.core.errors import UserError
from marram.model import zoo

SHAPES = {
    "conv1d": [(200, 6), (51, 3)],
    "conv_autoencoder": [(16, 24, 3), (64, 6)],
    "ds_cnn": [(49, 10), (49, 10, 1), (98, 40)],
    "fc_autoencoder": [(640,), (10, 4)],
    "mobilenet_v1": [(96, 96, 3), (28, 28, 1)],
    "mobilenet_v2": [(64, 64, 3), (32, 32, 3)],
    "resnet8": [(32, 32, 3), (29, 21, 1)],
    "transformer": [(200, 6), (16, 16, 3)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]


def test_every_name_is_tried():
    assert tuple(sorted(SHAPES)) == zoo.names()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_takes_channels_last_and_keeps_samples_apart(name, shape):
    module = zoo.make(name, input_shape=shape, classes=5).eval()
    batch = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together, alone = module(batch), module(batch[1:2])
    assert together.shape == ((3, 5) if zoo.task(name) == "classification" else (3, *shape))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "macs"),
    [
        ("resnet8", (32, 32, 3), 10, 12_501_632),
        ("ds_cnn", (49, 10), 12, 2_656_768),
        ("mobilenet_v1", (96, 96, 3), 2, 7_489_664),
        ("fc_autoencoder", (640,), 0, 264_192),
    ],
)
def test_macs_equal_mlperf_tiny(name, shape, classes, macs):
    module = zoo.make(name, input_shape=shape, classes=classes).eval()
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *shape))
    assert counter.get_total_flops() == 2 * macs


def test_watch_net_is_small():
    module = zoo.make("conv1d", input_shape=(200, 6), classes=7)
    assert 5_000 <= sum(p.numel() for p in module.parameters()) <= 10_000


def test_weights_follow_the_seed_and_leave_the_global_state():
    before = torch.random.get_rng_state()
    states = [zoo.make("conv1d", input_shape=(200, 6), classes=7, seed=seed).state_dict() for seed in (3, 3, 4)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["classifier.weight"], states[2]["classifier.weight"])


def test_options_change_the_net():
    narrow, wide = (zoo.make("mobilenet_v2", input_shape=(32, 32, 3), classes=10, width=w) for w in (0.35, 1.0))
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters())


@pytest.mark.parametrize(("name", "shape"), [("conv1d", (200, 6)), ("ds_cnn", (49, 10))])
def test_without_padding_a_row_depends_on_no_window_s_end(name, shape):
    """Features of a longer window are those of each shorter one in it."""
    module = zoo.make(name, input_shape=shape, classes=5, pad_time=False).eval()
    seen = []
    module.blocks.register_forward_hook(lambda _module, _inputs, found: seen.append(found))
    batch = torch.randn(1, shape[0] + 16, shape[1], generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        module(batch)
        module(batch[:, 16:])
    whole, part = (found.flatten(0, 1) for found in seen)
    time = 1 if name == "ds_cnn" else 2
    torch.testing.assert_close(whole.narrow(time, whole.shape[time] - part.shape[time], part.shape[time]), part)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("resnet9", {"input_shape": (32, 32, 3), "classes": 10}, "Did you mean resnet8"),
        ("resnet8", {"input_shape": (32, 32), "classes": 10}, "images"),
        ("resnet8", {"input_shape": (32, 0, 3), "classes": 10}, "positive"),
        ("resnet8", {"input_shape": (32, 32, 3), "classes": 1}, "at least 2 classes"),
        ("mobilenet_v2", {"input_shape": (32, 32, 3), "classes": 2, "widht": 1}, "Did you mean width"),
        ("conv_autoencoder", {"input_shape": (31, 32, 3)}, "halved"),
        ("ds_cnn", {"input_shape": (49, 10, 3), "classes": 2}, "one channel"),
        ("ds_cnn", {"input_shape": (9, 10), "classes": 2}, "smaller"),
        ("transformer", {"input_shape": (200, 6), "classes": 2, "patch": 7}, "multiple"),
        ("transformer", {"input_shape": (200, 6), "classes": 2, "heads": 5}, "heads"),
        ("conv1d", {"input_shape": (200, 6), "classes": 2, "kernel": 4}, "odd"),
        ("conv1d", {"input_shape": (200, 6), "classes": 2, "width": "wide"}, "option width is 'wide', not a positive number"),
        ("conv1d", {"input_shape": (200, 6), "classes": 2, "dropout": 1}, "from 0 to below 1"),
        ("conv1d", {"input_shape": (200, 6), "classes": 2, "pad_time": 1}, "option pad_time is 1, not true or false"),
        ("conv1d", {"input_shape": (40, 6), "classes": 2, "pad_time": False}, "kernel has 7 rows would read 6"),
        ("resnet8", {"input_shape": (32, 32, 3), "classes": 2, "channels": 0}, "positive"),
        ("resnet8", {"input_shape": (32, 32, 3), "classes": 2, "channels": 2.5}, "make no net"),
        ("ds_cnn", {"input_shape": (49, 10), "classes": 2, "dropout": 0.5}, "make no net"),
    ],
)
def test_mistakes_are_told(name, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        zoo.make(name, **arguments)
