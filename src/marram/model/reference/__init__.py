"""The reference interpreter: what each operator computes, in numpy, bit for bit for integers. The one truth of the house.

What comes in: a Graph and arrays of samples. What goes out: the arrays of its outputs. Each operator family has a module;
``tables.py`` says which function serves which operator.
"""

from marram.model.reference.execution import Observe, Prepared, interpret, prepare, run
from marram.model.reference.feeding import Inputs

__all__ = ["Inputs", "Observe", "Prepared", "interpret", "prepare", "run"]
