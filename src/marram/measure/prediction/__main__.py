"""Counts samples on emulated cores and fits what each part of the kernels costs.

    python -m marram.measure.prediction [--cores cortex-m4 ...] [--samples 140] [--counts .bench/predictors] [--out <folder>]

Samples that are counted already are kept in ``--counts`` as long as the kernels stay the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from marram.compile import device
from marram.compile.c.families import family_of
from marram.measure.prediction.coefficients import coefficients
from marram.measure.prediction.counting import counted_samples
from marram.measure.prediction.fitting import fit, observed
from marram.measure.prediction.samples import RARE, USUAL, sample

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
ALIKE = {"cortex-m7": "cortex-m4", "cortex-m33": "cortex-m4"}
"""Cores with the kernels of another one, whose costs are taken where samples leave them open."""
_PACKAGE = Path(__file__).parent / "coefficients"


def main() -> None:
    """Fit the cores that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=CORES)
    parser.add_argument("--samples", type=int, default=USUAL)
    parser.add_argument("--counts", type=Path, default=Path(".bench/predictors"))
    parser.add_argument("--out", type=Path, default=_PACKAGE)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for core in asked.cores:
        target = device(core)
        seeds = (*range(asked.samples), *range(USUAL, USUAL + RARE))
        counted = counted_samples(target, seeds, asked.counts)
        prior = coefficients(ALIKE[core]) if core in ALIKE else None
        found = fit(observed(((sample(seed).graph, one) for seed, one in counted), family_of(target)), prior)
        (asked.out / f"{core}.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
        print(  # noqa: T201
            f"{core}: {found.nets} nets; held out, 95 % within {found.instructions.p95:.2%} of their instructions, "
            f"{found.flash.p95:.2%} of flash, {found.stack_error.p95:.2%} of stack"
        )


if __name__ == "__main__":
    main()
