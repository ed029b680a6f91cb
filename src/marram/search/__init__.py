"""The room ``search``: choices and a way to judge them make the Pareto front of what meets the limits."""

from marram.search.acceptance import accuracy_samples_needed, contradictions, samples_needed, too_few_samples
from marram.search.engines import Engine, Failed, processes, ray, serial
from marram.search.front import hypervolume, knee, pareto_front
from marram.search.known import Kept, Known
from marram.search.trials import Objective, Outcome, Study, Trial, Variable

__all__ = [
    "Engine",
    "Failed",
    "Kept",
    "Known",
    "Objective",
    "Outcome",
    "Study",
    "Trial",
    "Variable",
    "accuracy_samples_needed",
    "contradictions",
    "hypervolume",
    "knee",
    "pareto_front",
    "processes",
    "ray",
    "samples_needed",
    "serial",
    "too_few_samples",
]
