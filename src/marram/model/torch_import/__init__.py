"""Torch module -> Graph, through ``torch.export``: what the module does on one example, in evaluation mode.

``exporting`` makes the ATen graph, ``translation`` walks it, ``table`` says which function translates which ATen operator; they
stand in a module for each family and write on a ``page``. On the page tensors have torch's own axes, with a transpose around
each operator that is bound to channels last; ``marram.model.layout`` cancels them at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from marram.core.graph import Array, Graph

if TYPE_CHECKING:
    from torch import nn

__all__ = ["read"]


def read(
    module: nn.Module,
    example_inputs: Sequence[Array],
    *,
    name: str | None = None,
    layout: Literal["channels_last", "as_given"] = "channels_last",
) -> Graph:
    """The Graph of a torch module. The module is left as it was; weights are copied.

    Args:
        module: anything that ``torch.export`` takes; it is read in evaluation mode.
        example_inputs: one float32 array for each argument of ``forward``. Of a larger batch the first sample is taken.
        name: the Graph's name; the class's name if not given.
        layout: "channels_last" takes inputs and gives outputs of rank 3 and more channels last wherever the module's own order
            would cost a transpose, as for images ``(N,C,H,W)``; "as_given" keeps the module's order.

    Returns:
        A float Graph with batch 1. Batch norms are still in it; names are those of the module's parts.

    Raises:
        UnsupportedOperator: an ATen operator that the Graph does not have, or control flow that depends on the data.
        UserError: the module does not take the example, or an input is not float32.
    """
    from marram.model.torch_import.translation import translated

    return translated(module, example_inputs, name=name or type(module).__name__, layout=layout)
