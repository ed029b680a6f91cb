"""The Report noun: what a device tells the fleet. Counts and fixed-bin sketches, never raw data."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Tally = Annotated[int, Meta(ge=0)]


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts over one reporting window of one device.

    ``classes`` counts outputs by class, ``confidence`` and ``latency`` are histograms over the bins that the bundle
    fixes, ``verdicts`` counts input verdicts in the order ok, suspect, reject.
    """

    device: str
    bundle_digest: str
    sequence: Tally
    window_s: Annotated[float, Meta(gt=0.0)]
    inferences: Tally
    failures: Tally
    classes: tuple[Tally, ...]
    confidence: tuple[Tally, ...]
    latency: tuple[Tally, ...]
    verdicts: tuple[Tally, Tally, Tally]
