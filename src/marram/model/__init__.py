"""The room ``model``: importers, exporters, the integer reference, the zoo and training, all around one Graph."""

from marram.model.drawing import draw
from marram.model.files import load, load_opaque, save
from marram.model.printing import describe
from marram.model.reference import interpret
from marram.model.spec import verify

__all__ = ["describe", "draw", "interpret", "load", "load_opaque", "save", "verify"]
