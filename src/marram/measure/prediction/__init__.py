"""The price of a Graph on a core that takes generated C, without compiling or running it: ``predict`` and ``lower_bounds``.

The planner says what the arena takes, the families which kernels are called with which sizes. How often the parts of each
kernel run follows from its loops (``loops``); what a run of each part costs was fitted to counted nets (``fitting``,
``samples``).
"""

from marram.measure.prediction.bounds import Bounds, lower_bounds
from marram.measure.prediction.cache import PriceCache
from marram.measure.prediction.coefficients import Coefficients, Errors
from marram.measure.prediction.nominal import nominal
from marram.measure.prediction.prediction import LayerPrice, Prediction, predict

__all__ = [
    "Bounds",
    "Coefficients",
    "Errors",
    "LayerPrice",
    "Prediction",
    "PriceCache",
    "lower_bounds",
    "nominal",
    "predict",
]
