"""A moment of training: every integer and scale as the parameters have them now. Importing it imports torch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from torch import Tensor

from marram.core.graph import Array, Node, Quantisation
from marram.core.graph import Tensor as GraphTensor
from marram.model.reference.site import Kernel, Site
from marram.model.reference.tables import kernel_of

_MOST_KERNELS = 512


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer's weights now: integers float32, scales ``()`` or ``(C,)``, bias float64 ``(C,)`` or None, axes of a sum."""

    codes: Tensor
    scales: Tensor
    bias: Tensor | None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What kernels need beside the values.

    ``tensors`` are the Graph's with quantisations as they are now, ``scales`` those of activations as scalars with gradients,
    ``layers`` the weights by node, ``kernels`` the reference's kernels that are known already, by what they depend on.
    """

    tensors: Mapping[str, GraphTensor]
    scales: Mapping[str, Tensor]
    layers: Mapping[str, Layer]
    kernels: dict[object, Kernel]

    def quantisation(self, name: str) -> Quantisation:
        """A quantised tensor's, as it is now."""
        found = self.tensors[name].quantisation
        assert found is not None
        return found

    def zero_point(self, name: str) -> int:
        """An activation's."""
        return self.quantisation(name).zero_point

    def limits(self, name: str) -> tuple[float, float]:
        """The least and greatest integer of an activation less its zero point."""
        info, zero_point = np.iinfo(self.tensors[name].dtype), self.zero_point(name)
        return float(info.min - zero_point), float(info.max - zero_point)

    def site(self, node: Node, constants: Mapping[str, Array] | None = None) -> Site:
        """The node as the reference sees it now."""
        known = constants or {}
        return Site(
            graph_name="quantisation-aware training",
            node=node,
            inputs=tuple(self.tensors[name] if name else None for name in node.inputs),
            outputs=tuple(self.tensors[name] for name in node.outputs if name),
            constants=tuple(known.get(name) for name in node.inputs),
        )

    def kernel(self, node: Node, constants: Mapping[str, Array] | None = None) -> Kernel:
        """The reference's kernel; made once where no constants go into it."""
        if constants:
            return kernel_of(self.site(node, constants))
        described = [
            (tensor.shape, tensor.dtype, tensor.quantisation)
            for tensor in (self.tensors[name] for name in (*node.inputs, *node.outputs) if name)
        ]
        key = (node.op, tuple(described))
        if key not in self.kernels:
            if len(self.kernels) >= _MOST_KERNELS:
                self.kernels.clear()
            self.kernels[key] = kernel_of(self.site(node))
        return self.kernels[key]
