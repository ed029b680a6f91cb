"""The memory planner: tasks on values -> one arena. ``plan`` chooses; ``drawing`` shows; ``plan.py`` has the types."""

from marram.compile.memory.drawing import draw_plan
from marram.compile.memory.plan import Call, Form, MemoryPlan, Problem, Slot, Task, Value
from marram.compile.memory.planning import plan_memory
from marram.compile.memory.regions import Region, RegionPlan, Weights, place_in_regions

__all__ = [
    "Call",
    "Form",
    "MemoryPlan",
    "Problem",
    "Region",
    "RegionPlan",
    "Slot",
    "Task",
    "Value",
    "Weights",
    "draw_plan",
    "place_in_regions",
    "plan_memory",
]
