"""Layout: a Graph with transposes around its spatial operators -> the same Graph with as few of them as possible.

Importers of channels-first formats put a ``Transpose`` before and after each operator that is bound to channels last and leave
the rest to ``cancel_transposes``. A transpose vanishes by storing a tensor in another order: see ``assignment`` for the search,
``rules`` for what each operator does when its tensors are stored permuted, ``rewriting`` for the new Graph.
"""

from marram.model.layout.cancelling import cancel_transposes
from marram.model.layout.interface import channels_last_inputs, channels_last_outputs

__all__ = ["cancel_transposes", "channels_last_inputs", "channels_last_outputs"]
