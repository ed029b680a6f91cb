"""The room ``runtime``: a bundle becomes a running model. A light room."""

from marram.runtime.backends import runner
from marram.runtime.engine import Engine, Prediction, golden_outputs, preprocess_of

__all__ = ["Engine", "Prediction", "golden_outputs", "preprocess_of", "runner"]
