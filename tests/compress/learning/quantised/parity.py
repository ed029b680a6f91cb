"""How a module's integers are held against those of the reference, tensor by tensor."""

from __future__ import annotations

import numpy as np
import torch

from marram.model.reference import interpret


def reals(tensor, codes):
    """Samples that enter as given integers."""
    if tensor.quantisation is None:
        return codes.astype(np.float32)
    return (codes.astype(np.int64) - tensor.quantisation.zero_point).astype(np.float32) * np.float32(tensor.quantisation.scale)


def differing(module, codes):
    """How many elements of how many differ between a module and ``interpret`` of its Graph, over all computed tensors."""
    graph = module.graph()
    seen = {}
    interpret(graph, codes, observe=lambda name, array: seen.setdefault(name, []).append(np.atleast_1d(array)))
    inputs = [torch.from_numpy(reals(tensor, array)) for tensor, array in zip(graph.input_tensors, codes, strict=True)]
    now = module.parts.moment()
    parts = [module.values(now, single) for single in module._parted(tuple(inputs))]
    wrong = total = 0
    for name, blocks in seen.items():
        wanted = np.concatenate(blocks)
        given = torch.cat([torch.atleast_1d(part[name].detach()) for part in parts]).numpy()
        if graph.tensors[name].quantisation is not None:
            given += now.zero_point(name)
        assert given.shape == wanted.shape, name
        wrong, total = wrong + int((given != wanted).sum()), total + wanted.size
    return wrong, total


def disturb(module, seed, *, size=0.3):
    """Other parameters than those that a module began with."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if not value.requires_grad:
                continue
            noise = size * torch.randn(value.shape, generator=random)
            step = 1.0 if name.endswith("logarithms") else float(value.abs().mean()) or 0.1
            value.add_(noise * step)
    return module
