"""marram: machine learning at the edge, with a contract.

The verbs of the command line are functions of the same names here: ``build``, ``init``, ``verify``, ``run``, ``bench``,
``doctor``, ``explain`` (``--revert`` is ``revert``), ``diff``, ``debug_quantisation``; ``compress``, which is a room, is
``squeeze`` with ``Wishes``. Names are handed on lazily, so that a light room stays light: ``import marram`` imports nothing
heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marram._build.benchmarking import bench
    from marram._build.comparing import diff
    from marram._build.debugging import debug_quantisation
    from marram._build.diagnosis import doctor
    from marram._build.explaining import explain
    from marram._build.job import build
    from marram._build.reverting import revert
    from marram._build.serving import run
    from marram._build.squeezing import Wishes, squeeze
    from marram._build.templates import init
    from marram._build.verification import verify
    from marram.report.record import BuildResult

__all__ = [
    "BuildResult",
    "Wishes",
    "bench",
    "build",
    "debug_quantisation",
    "diff",
    "doctor",
    "explain",
    "init",
    "revert",
    "run",
    "squeeze",
    "verify",
]

__version__ = "0.1.0"

_PLACES = {
    "BuildResult": "marram.report.record",
    "Wishes": "marram._build.squeezing",
    "bench": "marram._build.benchmarking",
    "build": "marram._build.job",
    "debug_quantisation": "marram._build.debugging",
    "diff": "marram._build.comparing",
    "doctor": "marram._build.diagnosis",
    "explain": "marram._build.explaining",
    "init": "marram._build.templates",
    "revert": "marram._build.reverting",
    "run": "marram._build.serving",
    "squeeze": "marram._build.squeezing",
    "verify": "marram._build.verification",
}


def __getattr__(name: str) -> Any:
    """Find a public name on its first use."""
    if name not in _PLACES:
        raise AttributeError(f"module 'marram' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
