"""The ``marram`` command's entry: settings of the process first, then everything else is imported."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line.

    The reference interpreter multiplies small matrices, for which OpenBLAS's threads cost more than they bring on a
    busy machine (``benchmarks/reference_speed.py``), so one is the default; whoever sets the variable keeps their choice.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from marram.cli.app import app

    app()
