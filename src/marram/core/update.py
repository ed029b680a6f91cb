"""The Update noun: what a device adds to a training round. Masked and clipped before it leaves."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from marram.core.graph import Array


class Update(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device's contribution to one round.

    ``values`` are integers modulo a power of two, masked so that only the sum over devices means anything;
    ``clip_norm`` bounds the contribution before masking, which is what the privacy ledger counts with.
    """

    round_digest: str
    device: str
    values: Array
    modulus_bits: Annotated[int, Meta(ge=8, le=64)]
    clip_norm: Annotated[float, Meta(gt=0.0)]
    samples: Annotated[int, Meta(ge=1)]
