"""Which families there are, what they take, and how one is built with seeded weights."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from marram.core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Task = Literal["classification", "reconstruction"]


class _Family(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue: its ``build(input_shape, classes, **options)`` stands in the module of its name."""

    task: Task
    ranks: tuple[int, ...]
    takes: str


_FAMILIES = {
    "conv1d": _Family(task="classification", ranks=(2,), takes="windows (time, channels)"),
    "conv_autoencoder": _Family(
        task="reconstruction", ranks=(2, 3), takes="images (height, width, channels) or windows (time, channels)"
    ),
    "ds_cnn": _Family(task="classification", ranks=(2, 3), takes="log-mel features (time, bins) or (time, bins, 1)"),
    "fc_autoencoder": _Family(task="reconstruction", ranks=(1, 2), takes="vectors (features,) or windows (time, channels)"),
    "mobilenet_v1": _Family(task="classification", ranks=(3,), takes="images (height, width, channels)"),
    "mobilenet_v2": _Family(task="classification", ranks=(3,), takes="images (height, width, channels)"),
    "resnet8": _Family(task="classification", ranks=(3,), takes="images (height, width, channels)"),
    "transformer": _Family(
        task="classification", ranks=(2, 3), takes="windows (time, channels) or images (height, width, channels)"
    ),
}


def names() -> tuple[str, ...]:
    """The names that ``make`` takes, sorted."""
    return tuple(sorted(_FAMILIES))


def task(name: str) -> Task:
    """What a zoo model is trained for: class scores, or its own input again.

    Raises:
        UserError: there is no zoo model of that name.
    """
    return _family(name).task


def make(name: str, *, input_shape: tuple[int, ...], classes: int = 0, seed: int = 0, **options: Any) -> nn.Module:
    """A zoo model with fresh weights.

    Args:
        name: one of ``names()``.
        input_shape: shape of one sample, channels last, without the batch axis.
        classes: number of classes, at least 2; autoencoders take no notice of it.
        seed: decides the weights; torch's global random state is left as it was.
        options: what the family's ``build`` takes beyond these, such as ``width`` of the MobileNets.

    Returns:
        A module in training mode that takes ``(N, *input_shape)`` float32 and gives logits ``(N, classes)``, or, for an
        autoencoder, ``(N, *input_shape)``.

    Raises:
        UserError: unknown name or option, or a shape or class count that the family cannot take.
    """
    import torch

    family = _family(name)
    shape = _checked_shape(name, family, input_shape)
    if family.task == "classification" and classes < 2:
        raise UserError(f"a classifier needs at least 2 classes, not {classes}", where=f"zoo model {name}")
    build = importlib.import_module(f"marram.model.zoo.{name}").build
    _check_options(name, build, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module: nn.Module = build(shape, classes, **options)
        except (TypeError, ValueError, RuntimeError) as error:  # from torch's layers, on options of a wrong kind
            raise UserError(f"options {options} make no net: {error}", where=f"zoo model {name}") from error
    return module


def _family(name: str) -> _Family:
    if name in _FAMILIES:
        return _FAMILIES[name]
    near = difflib.get_close_matches(name, _FAMILIES, n=1)
    guess = f"Did you mean {near[0]}? " if near else ""
    raise UserError(f"there is no zoo model {name!r}", hint=f"{guess}The zoo has {', '.join(names())}.")


def _checked_shape(name: str, family: _Family, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(input_shape)
    if len(shape) not in family.ranks or any(not isinstance(n, int) or n < 1 for n in shape):
        raise UserError(
            f"input shape {shape} does not fit",
            where=f"zoo model {name}",
            hint=f"It takes {family.takes}, positive whole numbers, without the batch axis.",
        )
    return shape


def _check_options(name: str, build: Any, options: dict[str, Any]) -> None:
    parameters = inspect.signature(build).parameters
    known = tuple(parameters)[2:]
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            guess = f"Did you mean {near[0]}? " if near else ""
            listed = f"It takes {', '.join(known)}." if known else "It takes none."
            raise UserError(f"there is no option {option!r}", where=f"zoo model {name}", hint=guess + listed)
        if isinstance(parameters[option].default, bool):
            if not isinstance(value, bool):
                raise UserError(f"option {option} is {value!r}, not true or false", where=f"zoo model {name}")
            continue
        parts = value if isinstance(value, list | tuple) else [value]
        fits = _is_chance if option == "dropout" else _is_positive
        if value is not None and not all(map(fits, parts)):
            wanted = "from 0 to below 1" if option == "dropout" else "a positive number"
            raise UserError(f"option {option} is {value!r}, not {wanted}", where=f"zoo model {name}")


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_chance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
