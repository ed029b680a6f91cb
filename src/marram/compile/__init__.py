"""The room ``compile``: a Graph and a Target make a Program."""

from marram.compile.profiles import device, devices
from marram.compile.programs import build, candidates

__all__ = ["build", "candidates", "device", "devices"]
