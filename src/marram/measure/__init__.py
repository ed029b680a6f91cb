"""The room ``measure``: a Program on a device makes Evidence."""

from marram.measure.accuracy import Accuracy, Predict, accuracy_figures, answers, graph_predictor, session_predictor
from marram.measure.latency import Latency, Subject, fastest, latency_figures, time_calls
from marram.measure.machine import describe_machine
from marram.measure.measurement import Measurement, latency_inputs, run, take
from marram.measure.memory import Memory, memory_figures, weigh
from marram.measure.parity import against_reference, compare, session_outputs
from marram.measure.verdicts import Limit, budget_limits, judge, promise_limits

__all__ = [
    "Accuracy",
    "Latency",
    "Limit",
    "Measurement",
    "Memory",
    "Predict",
    "Subject",
    "accuracy_figures",
    "against_reference",
    "answers",
    "budget_limits",
    "compare",
    "describe_machine",
    "fastest",
    "graph_predictor",
    "judge",
    "latency_figures",
    "latency_inputs",
    "memory_figures",
    "promise_limits",
    "run",
    "session_outputs",
    "session_predictor",
    "take",
    "time_calls",
    "weigh",
]
