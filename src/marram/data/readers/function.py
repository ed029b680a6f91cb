"""A Python function as the source of data: ``file.py:function`` or ``package.module:function``.

It takes nothing, or the project's folder as an argument named ``folder``, and returns a ``Dataset``, a mapping of arrays as
``data.arrays`` describes it, or a sequence of recordings (``Recording`` or mappings with ``signal``, ``label``, ``group``).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marram.core.contract import ImuInput, InputSection
from marram.core.errors import DataError, MarramError
from marram.data.arrays import from_arrays
from marram.data.dataset import Dataset
from marram.data.layout import nearest
from marram.data.recordings import Recording, cut

REFERENCE = re.compile(r"(?P<module>[^:]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


def read(
    reference: str, *, base: Path, section: InputSection, group: str | None = None, classes: Sequence[str] | None = None
) -> Dataset:
    """Call the function and make a Dataset of what it returns.

    Args:
        reference: ``file.py:function``, relative to ``base``, or ``package.module:function``.
        base: the project's folder.
        section: the contract's ``[input]``.
        group: what a group is.
        classes: declared class names.

    Raises:
        DataError: no such function, it failed (its own error is named), or it returned something else.
    """
    value = _called(resolve(reference, base), reference, base)
    if isinstance(value, Dataset):
        return value
    if isinstance(value, Mapping):
        return from_arrays(value, section=section, group=group, classes=classes, source=reference)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and isinstance(section, ImuInput):
        return cut(
            [_recording(item, number, group, reference) for number, item in enumerate(value)],
            rate_hz=section.rate_hz,
            window_s=section.window_s,
            stride_s=section.stride_s,
            channels=section.channels,
            classes=classes,
            group_name=group or "group",
            source=reference,
        )
    raise DataError(
        f"returned {type(value).__name__}",
        where=reference,
        hint="Return a marram.data.Dataset, a mapping of arrays x and y, or, for kind 'imu', a list of recordings.",
    )


def resolve(reference: str, base: Path) -> Callable[..., Any]:
    """The function that ``file.py:name`` or ``package.module:name`` names; a file is taken from ``base``.

    Raises:
        DataError: there is no such file, module or function, or its code fails.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise DataError(f"{reference!r} names no function", hint="Write file.py:function or package.module:function.")
    module = _module(match["module"], base, reference)
    function = getattr(module, match["name"], None)
    if not callable(function):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise DataError(
            f"has no function {match['name']!r}",
            where=match["module"],
            hint=f"It has: {', '.join(public)}.{nearest(match['name'], public)}",
        )
    return function  # type: ignore[no-any-return]  # a user's module is untyped


def _module(name: str, base: Path, reference: str) -> Any:
    path = (base / name).resolve() if name.endswith(".py") else None
    if path is not None and not path.is_file():
        near = nearest(path.name, [other.name for other in path.parent.glob("*.py")])
        raise DataError("no such file", where=str(path), hint=f"The data's source is {reference!r}.{near}")
    try:
        return importlib.import_module(name) if path is None else _executed(path)
    except MarramError:
        raise
    except Exception as error:
        raise _failure(error, reference) from error


def _executed(path: Path) -> Any:
    """The module in a file that is on no import path."""
    spec = importlib.util.spec_from_file_location(f"marram_source_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickles of the user's module look there
    spec.loader.exec_module(module)
    return module


def _called(function: Callable[..., Any], reference: str, base: Path) -> Any:
    try:
        takes_folder = "folder" in inspect.signature(function).parameters
        return function(folder=base) if takes_folder else function()
    except MarramError:
        raise
    except Exception as error:
        raise _failure(error, reference) from error


def _failure(error: Exception, reference: str) -> DataError:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return DataError(f"failed: {type(error).__name__}: {error}{place}", where=reference, hint="Correct the function.")


def _recording(item: Any, number: int, group: str | None, reference: str) -> Recording:
    if isinstance(item, Recording):
        return item
    if not isinstance(item, Mapping) or "signal" not in item:
        raise DataError(
            f"entry {number} is {type(item).__name__}", where=reference, hint="Give Recordings or mappings with a signal."
        )
    owner = next((item[key] for key in (group, "group") if key is not None and key in item), None)
    return Recording(
        signal=np.asarray(item["signal"]),
        name=str(item.get("name", f"{reference}: recording {number}")),
        label=None if item.get("label") is None else str(item["label"]),
        group=None if owner is None else str(owner),
        rate_hz=None if item.get("rate_hz") is None else float(item["rate_hz"]),
    )
