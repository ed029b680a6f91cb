"""Random int8 networks of window operators one after the other, with residuals: what planners like to roll."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.model.graphs import RULES, Draft

from marram.core import operators as ops
from marram.core.graph import Graph

_KINDS = (ops.Conv2D, ops.Conv2D, ops.DepthwiseConv2D, ops.DepthwiseConv2D, ops.MaxPool2D, ops.AveragePool2D, ops.Relu)


def _residual(d: Draft) -> None:
    """The sum of the newest tensor and an older one of its shape, which may have to be made first."""
    names = [name for name in d.tensors if name not in d.constants]
    last = d.tensors[names[-1]]
    alike = [d.tensors[name] for name in names[:-1] if d.tensors[name].shape == last.shape]
    if alike:
        d.apply(ops.Add(activation=d.activation()), [d.choice(alike[-2:]), last], [d.quantisation()])


@st.composite
def image_chains(draw: st.DrawFn, *, most_nodes: int = 8) -> Graph:
    """A graph of at most so many nodes on an image of 6 to 24 rows, or on a sequence of as many steps."""
    d = Draft(draw, integer=True)
    width = draw(st.sampled_from([1, 2, 5, 7]))
    rows = d.number(6, 24)
    sequence = draw(st.integers(0, 4)) == 0
    d.add_input((1, 1, rows * 2, d.number(1, 6)) if sequence else (1, rows, width, d.number(1, 6)))
    for _ in range(d.number(2, most_nodes)):
        x = [d.tensors[name] for name in d.tensors if name not in d.constants][-1]
        if x.size > 3000:
            break
        if draw(st.integers(0, 3)) == 0:
            _residual(d)
        else:
            RULES[d.choice(_KINDS)](d, x)
    if not d.nodes:
        RULES[ops.Relu](d, d.tensors[d.inputs[0]])
    return d.graph()
