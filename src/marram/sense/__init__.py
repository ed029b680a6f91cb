"""The room ``sense``: a window from a sensor becomes what the model takes. A light room."""

from marram.sense.contract import Finding, SensorContract, WindowVerdict, check
from marram.sense.preprocess import (
    AudioPreprocess,
    ImagePreprocess,
    Preprocess,
    TensorPreprocess,
    WindowPreprocess,
    apply,
    fit,
    input_quantisation,
    output_shape,
    preprocess_for,
    quantise,
    quantised,
)

__all__ = [
    "AudioPreprocess",
    "Finding",
    "ImagePreprocess",
    "Preprocess",
    "SensorContract",
    "TensorPreprocess",
    "WindowPreprocess",
    "WindowVerdict",
    "apply",
    "check",
    "fit",
    "input_quantisation",
    "output_shape",
    "preprocess_for",
    "quantise",
    "quantised",
]
