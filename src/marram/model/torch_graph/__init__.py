"""A float Graph executed by torch with gradients, so that whatever file a model came from, it can be trained.

Importing this room of ``model`` imports torch.
"""

from marram.model.torch_graph.module import AfterNode, TorchGraph, trained_graph

__all__ = ["AfterNode", "TorchGraph", "trained_graph"]
