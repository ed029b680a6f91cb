"""Engines: a function over many items, in this process, in several, or on a Ray cluster, with the same results."""

from marram.search.engines.cluster import ray
from marram.search.engines.engine import Engine, Failed
from marram.search.engines.local import serial
from marram.search.engines.pool import processes

__all__ = ["Engine", "Failed", "processes", "ray", "serial"]
