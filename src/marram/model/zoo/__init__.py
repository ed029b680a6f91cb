"""The lean zoo: small networks that fit edge devices, one family a file, channels last at the interface.

``names()`` lists them, ``make(name, input_shape=..., classes=...)`` builds one with seeded weights. Inputs are
``(N, *input_shape)``: images ``(H, W, C)``, windows ``(T, C)``, log-mel ``(T, F)`` or ``(T, F, 1)``, vectors ``(I,)``.
"""

from marram.model.zoo.catalogue import make, names, task

__all__ = ["make", "names", "task"]
