"""The first sensor contract: what is refused, what is flagged, what passes."""

from __future__ import annotations

import numpy as np
import pytest

from marram.sense import SensorContract, check

CONTRACT = SensorContract(dtype="float32", shape=(20, 2), channels=("ax", "ay"), low=(-2.0, -2.0), high=(2.0, 2.0))


def window():
    return np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)


def codes(verdict):
    return [finding.code for finding in verdict.findings]


def test_a_good_window_is_accepted():
    verdict = check(window(), CONTRACT)
    assert verdict.outcome == "accepted"
    assert verdict.findings == ()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (window().astype(np.float64), "dtype"),
        (window().T, "shape"),
        (window()[:1], "shape"),
        (np.zeros((0, 2), np.float32), "shape"),
        (np.full((20, 2), np.nan, np.float32), "not_finite"),
        (np.full((20, 2), -np.inf, np.float32), "not_finite"),
    ],
)
def test_what_cannot_be_used_is_refused(bad, code):
    verdict = check(bad, CONTRACT)
    assert verdict.outcome == "refused"
    assert codes(verdict) == [code]


def test_values_out_of_range_are_flagged_by_channel():
    bad = window()
    bad[3, 1] = 9.81
    verdict = check(bad, CONTRACT)
    assert verdict.outcome == "flagged"
    assert verdict.findings[0].text == "channel ay: 1 values outside the stated range"


def test_a_channel_that_stands_still_is_flagged():
    bad = window()
    bad[:, 0] = 0.25
    verdict = check(bad, CONTRACT)
    assert verdict.outcome == "flagged"
    assert codes(verdict) == ["constant"]
    assert "ax is 0.25" in verdict.findings[0].text


def test_images_and_names_left_out():
    image = np.zeros((4, 4, 1), np.uint8)
    verdict = check(image, SensorContract(dtype="uint8", shape=(4, 4, 1)))
    assert codes(verdict) == ["constant"]
