"""Compiler flags for libraries of family ``host``: fast here, or fast enough on every machine of a kind."""

from __future__ import annotations

from marram.core.errors import UserError

OPTIMISATION = ("-O3",)
BASELINES = {"x86_64": "x86-64-v3", "aarch64": "armv8.2-a+dotprod"}
"""What a library for other machines may use: AVX2 and FMA (x86 since 2013), the dot product (64-bit Arm since 2018)."""


def compiler_flags(machine: str | None = None) -> tuple[str, ...]:
    """Flags for gcc and clang.

    Args:
        machine: ``x86_64`` or ``aarch64`` for any machine of that kind; None for the one that compiles, with all it has.

    Raises:
        UserError: another machine; without ``-march`` the family's plain C would run there.
    """
    if machine is None:
        return (*OPTIMISATION, "-march=native")
    if machine not in BASELINES:
        raise UserError(
            f"no compiler flags are known for machine {machine}",
            where="machine",
            hint=f"One of {', '.join(BASELINES)}, or flags of your own.",
        )
    return (*OPTIMISATION, f"-march={BASELINES[machine]}")
