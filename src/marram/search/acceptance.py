"""Acceptance before any work: how many test samples a promise needs to be shown, and which limits no model can keep.

Nothing here is a guess: a contradiction is named only where it holds for every model that looks at its whole input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, prod, sqrt
from statistics import NormalDist

from marram.core.contract import Contract, PromiseSection, TargetSection
from marram.core.errors import UserError
from marram.core.target import Target
from marram.measure.statistics import PairedCounts, tango_score
from marram.sense.preprocess import output_shape, preprocess_for

_SCALE = 1_000_000
_BUS_BYTES = 16  # no core of ours reads more in a cycle


def samples_needed(drop_max: float, confidence: float, flips: float, *, power: float = 0.5) -> int | None:
    """Test samples at which a model as accurate as the original shows it: the upper bound of its drop is at most the limit.

    Args:
        drop_max: the promised largest drop, a share.
        confidence: of the one-sided bound.
        flips: the share of samples on which exactly one of both is right; 0 is the least that may be asked for.
        power: the chance that the test passes, at least 0.5, where it does if as many samples are won as lost.

    Returns:
        The number; None where no number is enough, since the limit is 0.

    The score test that ``measure.statistics.drop_bounds`` inverts, at a difference of the limit. Its power follows from the
    score's variance under the limit and under equality, as in J. Nam, Establishing equivalence of two treatments and sample
    size requirements in matched-pairs design, Biometrics 53 (1997).
    """
    _check_confidence(confidence)
    if not 0.5 <= power < 1:
        raise UserError(f"a power is at least 0.5 and below 1, not {power}")
    if not 0 <= flips <= 1 or not 0 <= drop_max <= 1:
        raise UserError(f"a drop of {drop_max} and flips of {flips} are not both shares from 0 to 1")
    if drop_max == 0:
        return None
    half = round(flips * _SCALE / 2)
    score = tango_score(PairedCounts(first_only=half, second_only=half, samples=_SCALE), drop_max) / sqrt(_SCALE)
    if score == -float("inf"):
        return 1
    spread = drop_max / -score  # standard deviation of one sample's difference under the limit
    wanted = NormalDist().inv_cdf(confidence) * spread + NormalDist().inv_cdf(power) * sqrt(flips)
    return max(1, ceil((wanted / drop_max) ** 2 - 1e-9))


def accuracy_samples_needed(accuracy_min: float, observed: float, confidence: float) -> int | None:
    """Test samples at which an observed accuracy shows that the true one is at least the limit.

    Args:
        accuracy_min: the promised accuracy.
        observed: the accuracy that is expected to be seen.
        confidence: of the one-sided Wilson bound.

    Returns:
        The number; None where no number is enough, since the accuracy is not above the limit.
    """
    _check_confidence(confidence)
    if not 0 <= accuracy_min <= 1 or not 0 <= observed <= 1:
        raise UserError(f"accuracies of {accuracy_min} and {observed} are not both shares from 0 to 1")
    if accuracy_min == 0:
        return 1
    if observed <= accuracy_min:
        return None
    quantile = NormalDist().inv_cdf(confidence)
    return max(1, ceil(quantile**2 * accuracy_min * (1 - accuracy_min) / (observed - accuracy_min) ** 2 - 1e-9))


def too_few_samples(promises: PromiseSection, samples: int, *, flips: float = 0.0) -> str | None:
    """Why a test part cannot show the promised drop for a model that is as accurate as the original; None where it can.

    Args:
        promises: the contract's.
        samples: of the test part.
        flips: as for ``samples_needed``; 0 is the best case, so what is told then holds for every model that is not better.
    """
    if promises.accuracy_drop_max is None:
        return None
    promised = f"promises.accuracy_drop_max = {promises.accuracy_drop_max:g} at promises.confidence = {promises.confidence:g}"
    needed = samples_needed(promises.accuracy_drop_max, promises.confidence, flips)
    if needed is None:
        return f"{promised} can be shown only by a model that is better than the original, whatever the number of test samples"
    if samples >= needed:
        return None
    least = f" even where {flips:.1%} of the answers change between right and wrong" if flips else " even if no answer changes"
    return f"{promised} needs {needed:,} test samples{least}, and there are {samples:,}"


def contradictions(contract: Contract, targets: Mapping[str, Target] | None = None) -> tuple[str, ...]:
    """Limits that no model can keep, each with its fields and numbers; empty where none is seen.

    Args:
        contract: what is promised.
        targets: the profiles of the contract's targets, by their names there; without one fewer limits can be checked.
    """
    shape = output_shape(preprocess_for(contract.input))
    found: list[str] = []
    for name, section in contract.targets.items():
        found += (f"targets.{name}: {text}" for text in _of_target(section, (targets or {}).get(name), shape))
    return tuple(found)


def _of_target(section: TargetSection, target: Target | None, shape: tuple[int, ...]) -> Iterator[str]:
    size = prod(shape)
    window = f"one input of shape {'x'.join(map(str, shape))} takes {size:,} bytes as int8"
    if section.ram_kib is not None and section.ram_kib * 1024 < size:
        yield f"ram_kib = {section.ram_kib:g} is {section.ram_kib * 1024:,.0f} bytes, and {window}"
    if target is None:
        return
    in_c = target.runtimes == ("c",)
    if in_c and target.ram_bytes is not None and target.ram_bytes < size:
        yield f"device {target.name} has ram_bytes = {target.ram_bytes:,}, and {window}"
    if section.precision is not None and section.precision not in target.dtypes:
        yield f'precision = "{section.precision}", and device {target.name} computes {", ".join(target.dtypes)} alone'
    if section.runtime is not None and section.runtime not in target.runtimes:
        yield f'runtime = "{section.runtime}", and device {target.name} has {", ".join(target.runtimes)} alone'
    if in_c and target.clock_hz is not None:
        yield from _too_soon(section, target, target.clock_hz, size)


def _too_soon(section: TargetSection, target: Target, clock_hz: int, size: int) -> Iterator[str]:
    """Limits below what it takes to read the input once."""
    cycles = ceil(size / _BUS_BYTES)
    least_ms = cycles / clock_hz * 1e3
    reading = f"reading an input of {size:,} bytes once, {_BUS_BYTES} a cycle, takes {least_ms:.3g} ms at {clock_hz:,} Hz"
    if section.latency_ms is not None and section.latency_ms < least_ms:
        yield f"latency_ms = {section.latency_ms:g}, and {reading}"
    if section.energy_uj is not None and target.power is not None:
        least_uj = target.power.active_mw * (1 - target.power.spread) * least_ms
        if section.energy_uj < least_uj:
            draw = f"{target.power.active_mw * (1 - target.power.spread):.3g} mW"
            yield f"energy_uj = {section.energy_uj:g}, and {reading}, which at {draw} is {least_uj:.3g} uJ"


def _check_confidence(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise UserError(f"a confidence is above 0.5 and below 1, not {confidence}")
