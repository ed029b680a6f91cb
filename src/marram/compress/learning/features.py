"""Features: tensors inside student and teacher, remembered as they pass, and compared. Importing this module imports torch.

Values are channels last: ``(B, ..., C)`` with any number of spatial axes. Sources: Romero et al., FitNets, 2015 (features
through a projection); Zagoruyko and Komodakis, Paying More Attention to Attention, 2017 (attention maps).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from marram.core.graph import Graph


class Taps:
    """Remembers the values of named tensors while it is open. Samples that are run one by one are put together again."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parts: dict[str, list[Tensor]] = {name: [] for name in names}
        self._is_open = False

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """The value, unchanged."""
        if self._is_open and name in self._parts:
            self._parts[name].append(value)
        return value

    @contextmanager
    def open(self) -> Iterator[None]:
        """Forget what was remembered; remember what passes inside."""
        for parts in self._parts.values():
            parts.clear()
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def take(self) -> dict[str, Tensor]:
        """The remembered values, float32 ``(B, ..., C)``, and nothing kept."""
        values = {name: torch.cat(parts).float() for name, parts in self._parts.items()}
        for parts in self._parts.values():
            parts.clear()
        return values


class Comparison(nn.Module):
    """The mean of the losses of pairs; its parameters are projections of the student's channels to the teacher's.

    Args:
        student: has the student's tensors.
        teacher: has the teacher's; None where there are no pairs.
        pairs: the student's tensor to the teacher's.
        compare: ``features``: mean squared error; ``attention``: squared distance of attention maps.
        seed: of the projections' first weights.
    """

    def __init__(
        self,
        student: Graph,
        teacher: Graph | None,
        pairs: Mapping[str, str],
        compare: Literal["features", "attention"],
        *,
        seed: int,
    ) -> None:
        super().__init__()
        self.pairs = dict(pairs)
        self.compare = compare
        self.projections = nn.ModuleList()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for mine, theirs in self.pairs.items():
                assert teacher is not None
                channels = student.tensors[mine].shape[-1], teacher.tensors[theirs].shape[-1]
                same = compare == "attention" or channels[0] == channels[1]
                self.projections.append(nn.Identity() if same else nn.Linear(*channels, bias=False))

    def forward(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """The mean over pairs, a scalar."""
        losses = []
        for (mine, theirs), projection in zip(self.pairs.items(), self.projections, strict=True):
            if self.compare == "attention":
                losses.append(attention_loss(student[mine], teacher[theirs]))
            else:
                losses.append(feature_loss(projection(student[mine]).float(), teacher[theirs]))
        return torch.stack(losses).mean()


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of tensors with as many channels; the one with more places is averaged to the other's."""
    return functional.mse_loss(*_resized(student, teacher))


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of attention maps, the mean over samples: 0 for equal ones, 2 for those without a place in common."""
    maps = [functional.normalize(value.flatten(1), dim=1) for value in _resized(_attention(student), _attention(teacher))]
    return (maps[0] - maps[1]).square().sum(dim=1).mean()


def _attention(value: Tensor) -> Tensor:
    """``(B, ..., 1)``: the sum over channels of squares."""
    return value.square().sum(dim=-1, keepdim=True)


def _resized(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the smaller number of places along each spatial axis, by averages."""
    sizes = [min(pair) for pair in zip(a.shape[1:-1], b.shape[1:-1], strict=True)]
    return _averaged(a, sizes), _averaged(b, sizes)


def _averaged(value: Tensor, sizes: list[int]) -> Tensor:
    for axis, size in enumerate(sizes, start=1):
        if value.shape[axis] != size:
            moved = value.movedim(axis, -1)
            rows = functional.adaptive_avg_pool1d(moved.reshape(len(value), -1, moved.shape[-1]), size)
            value = rows.reshape(*moved.shape[:-1], size).movedim(-1, axis)
    return value
