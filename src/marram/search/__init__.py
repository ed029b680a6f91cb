"""The room ``search``: choices and a way to judge them make the Pareto front of what meets the limits."""

from marram.search.engines.cluster import ray
from marram.search.engines.engine import Engine, Failed
from marram.search.engines.local import serial
from marram.search.engines.pool import processes

__all__ = ["Engine", "Failed", "processes", "ray", "serial"]
