"""Which engine runs a search's trials: the choice of the command line made into the engine itself."""

from __future__ import annotations

import os
from enum import StrEnum

from marram.core.errors import UserError
from marram.search.engines import Engine, processes, ray, serial


class EngineName(StrEnum):
    """What ``--engine`` takes."""

    serial = "serial"
    processes = "processes"
    ray = "ray"


def engine_of(name: EngineName, workers: int | None, address: str | None) -> Engine:
    """The engine, not started yet.

    Raises:
        UserError: an address for another engine than Ray, workers where there is one, or a cluster that cannot be reached.
        MissingExtra: Ray is not installed.
    """
    if address is not None and name != EngineName.ray:
        raise UserError(f"--address is for --engine ray, not {name}")
    if name == EngineName.serial:
        if workers not in {None, 1}:
            raise UserError(f"--engine serial has one worker, not {workers}", hint="Use --engine processes.")
        return serial()
    if name == EngineName.ray:
        return ray(address or "local", workers=workers)
    return processes(workers or os.cpu_count() or 1)
