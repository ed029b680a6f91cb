"""Sample counts against the tests that will be made of them, and contradictions against contracts with and without."""

from __future__ import annotations

from math import ceil, floor
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from marram.compile.profiles import device
from marram.core.contract import (
    Contract,
    DataSection,
    ImageInput,
    ImuInput,
    ModelSection,
    PromiseSection,
    TargetSection,
)
from marram.core.errors import UserError
from marram.measure.statistics import PairedCounts, drop_bounds, wilson
from marram.search.acceptance import accuracy_samples_needed, contradictions, samples_needed, too_few_samples


@pytest.mark.parametrize("drop_max", [0.005, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_where_no_answer_changes_the_bound_has_a_closed_form(drop_max: float, confidence: float) -> None:
    z = NormalDist().inv_cdf(confidence)
    needed = samples_needed(drop_max, confidence, 0.0)
    assert needed == ceil(z * z * (1 - drop_max) / drop_max)
    none = PairedCounts(first_only=0, second_only=0, samples=needed)
    fewer = PairedCounts(first_only=0, second_only=0, samples=needed - 1)
    assert drop_bounds(none, confidence=confidence)[1] <= drop_max < drop_bounds(fewer, confidence=confidence)[1]


@pytest.mark.parametrize("flips", [0.01, 0.04, 0.2])
@pytest.mark.parametrize("drop_max", [0.01, 0.05])
def test_as_many_won_as_lost_pass_from_that_number_on(flips: float, drop_max: float) -> None:
    needed = samples_needed(drop_max, 0.95, flips)
    assert needed is not None
    for samples in (needed, needed + 1, 2 * needed):
        half = floor(flips * samples / 2)  # never more flips than asked
        assert drop_bounds(PairedCounts(first_only=half, second_only=half, samples=samples))[1] <= drop_max
    for samples in (needed - 1, needed // 2):
        half = ceil(flips * samples / 2)  # never fewer
        assert drop_bounds(PairedCounts(first_only=half, second_only=half, samples=samples))[1] > drop_max


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_models_without_a_drop_pass_as_often_as_the_power_says(power: float) -> None:
    needed = samples_needed(0.02, 0.95, 0.05, power=power)
    assert needed is not None
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(needed, [0.025, 0.025, 0.95], size=600)
    passed = np.mean(
        [drop_bounds(PairedCounts(first_only=int(b), second_only=int(c), samples=needed))[1] <= 0.02 for b, c, _ in drawn]
    )
    assert passed == pytest.approx(power, abs=0.05)


def test_more_flips_less_drop_and_more_confidence_need_more() -> None:
    base = samples_needed(0.01, 0.95, 0.02)
    for harder in (samples_needed(0.01, 0.95, 0.05), samples_needed(0.005, 0.95, 0.02), samples_needed(0.01, 0.99, 0.02)):
        assert harder is not None
        assert base is not None
        assert harder > base
    assert samples_needed(0.0, 0.95, 0.02) is None
    assert samples_needed(1.0, 0.95, 0.02) == 1


@pytest.mark.parametrize(("accuracy_min", "observed"), [(0.9, 0.92), (0.75, 0.8), (0.99, 1.0), (0.5, 0.9)])
def test_accuracy_is_shown_from_that_number_on(accuracy_min: float, observed: float) -> None:
    needed = accuracy_samples_needed(accuracy_min, observed, 0.95)
    assert needed is not None
    sided = 2 * 0.95 - 1  # wilson's interval is two-sided
    for samples in range(needed, needed + 60):
        assert wilson(ceil(observed * samples - 1e-9), samples, confidence=sided)[0] >= accuracy_min - 1e-9
    for samples in range(max(1, needed - 60), needed):
        assert wilson(int(observed * samples + 1e-9), samples, confidence=sided)[0] < accuracy_min


def test_an_accuracy_at_the_limit_is_never_shown() -> None:
    assert accuracy_samples_needed(0.9, 0.9, 0.95) is None
    assert accuracy_samples_needed(1.0, 1.0, 0.95) is None
    assert accuracy_samples_needed(0.0, 0.0, 0.95) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: samples_needed(0.01, 1.0, 0.0),
        lambda: samples_needed(0.01, 0.95, 1.5),
        lambda: samples_needed(0.01, 0.95, 0.0, power=0.2),
        lambda: accuracy_samples_needed(0.9, 1.5, 0.95),
    ],
)
def test_shares_are_shares(call: Any) -> None:
    with pytest.raises(UserError):
        call()


def test_too_few_samples_are_told_with_the_numbers() -> None:
    promises = PromiseSection(accuracy_drop_max=0.01)
    assert too_few_samples(promises, 268) is None
    told = too_few_samples(promises, 267)
    assert told is not None
    for part in ("accuracy_drop_max = 0.01", "confidence = 0.95", "268 test samples", "there are 267"):
        assert part in told
    assert "1.0% of the answers" in str(too_few_samples(promises, 268, flips=0.01))
    assert "better than the original" in str(too_few_samples(PromiseSection(accuracy_drop_max=0.0), 10**9))
    assert too_few_samples(PromiseSection(accuracy_min=0.9), 1) is None


def contract(**budget: Any) -> Contract:
    return Contract(
        model=ModelSection(name="m", version="1.0.0", source="zoo:conv1d"),
        data=DataSection(source="x"),
        input=budget.pop("input", ImuInput(channels=("x", "y", "z"), rate_hz=50, window_s=4.0)),
        targets={"band": TargetSection(device="cortex-m4", **budget)},
    )


TARGETS = {"band": device("cortex-m4")}


def test_sound_budgets_have_no_contradictions() -> None:
    sound = contract(latency_ms=30, ram_kib=24, flash_kib=96, energy_uj=600, runtime="c", precision="int8")
    assert contradictions(sound, TARGETS) == ()
    assert contradictions(sound) == ()
    assert contradictions(contract(), TARGETS) == ()


@pytest.mark.parametrize(
    ("budget", "parts"),
    [
        ({"ram_kib": 0.5}, ("targets.band: ram_kib = 0.5 is 512 bytes", "200x3 takes 600 bytes")),
        ({"latency_ms": 0.0003}, ("latency_ms = 0.0003", "600 bytes", "0.000317 ms at 120,000,000 Hz")),
        ({"energy_uj": 0.01}, ("energy_uj = 0.01", "32.9 mW is 0.0104 uJ")),
        ({"precision": "float32"}, ('precision = "float32"', "cortex-m4 computes int8 alone")),
        ({"runtime": "litert"}, ('runtime = "litert"', "has c alone")),
        ({"input": ImageInput(size_px=(512, 512), channels=3)}, ("ram_bytes = 655,360", "512x512x3 takes 786,432 bytes")),
    ],
)
def test_each_contradiction_names_its_fields_and_numbers(budget: dict[str, Any], parts: tuple[str, ...]) -> None:
    found = contradictions(contract(**budget), TARGETS)
    assert len(found) == 1
    for part in parts:
        assert part in found[0]


def test_all_contradictions_are_told_at_once_and_the_limit_itself_is_none() -> None:
    assert len(contradictions(contract(ram_kib=0.1, latency_ms=1e-5, energy_uj=1e-4), TARGETS)) == 3
    assert contradictions(contract(ram_kib=600 / 1024), TARGETS) == ()
    assert len(contradictions(contract(ram_kib=599 / 1024))) == 1
