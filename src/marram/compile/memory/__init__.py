"""The memory planner: tasks on values -> one arena, or one in each of several memories.

``planning`` and ``regions`` choose; ``drawing`` shows; ``plan.py`` has the types.
"""

from marram.compile.memory.drawing import draw_plan
from marram.compile.memory.filling import Region
from marram.compile.memory.plan import Call, Copy, Form, Memory, MemoryPlan, Problem, Slot, Task, Value
from marram.compile.memory.planning import plan_memory
from marram.compile.memory.regions import plan_in_regions, settled
from marram.compile.memory.traffic import Weights

__all__ = [
    "Call",
    "Copy",
    "Form",
    "Memory",
    "MemoryPlan",
    "Problem",
    "Region",
    "Slot",
    "Task",
    "Value",
    "Weights",
    "draw_plan",
    "plan_in_regions",
    "plan_memory",
    "settled",
]
