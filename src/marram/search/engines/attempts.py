"""One attempt at an item, and how its outcome crosses from a worker to the caller: values and errors as bytes.

Both ends are processes of one user running the same marram, so pickle is trusted here; nothing of it is ever read from a file.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from marram.core.errors import InternalError, MarramError, UserError
from marram.search.engines.engine import Failed

Kind = Literal["value", "raised", "lost"]
TRIES = 2

_HINT = "What trials run and take must come from modules that can be imported, not from a script, a notebook or a lambda."


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt: its value, the exception that it raised, or how its worker or memory was lost."""

    kind: Kind
    value: Any


def attempt(function: Callable[[Any], Any], item: Any) -> Attempt:
    """Call the function; what it raises is the outcome, only Ctrl-C and exits go through."""
    try:
        return Attempt(kind="value", value=function(item))
    except MemoryError as error:
        return Attempt(kind="lost", value=f"out of memory: {error}")
    except Exception as error:  # noqa: BLE001 - it is raised again on the caller's side
        return Attempt(kind="raised", value=error)


def packed(value: object) -> bytes:
    """A function or an item as bytes for a worker.

    Raises:
        UserError: it cannot be pickled, or only within this process.
    """
    if getattr(value, "__module__", None) == "__main__":
        raise UserError(f"workers cannot find {_named(value)}: it is defined in the script that runs", hint=_HINT)
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(f"{_named(value)} cannot be sent to a worker: {error}", hint=_HINT) from error


def unpacked(data: bytes) -> Any:
    """What ``packed`` made into bytes.

    Raises:
        UserError: this process cannot import what the value is made of.
    """
    try:
        return pickle.loads(data)  # noqa: S301 - from our own process
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError) as error:
        raise UserError(f"a worker cannot read what it was sent: {error}", hint=_HINT) from error


def answered(function: bytes | Callable[[Any], Any], item: bytes) -> bytes:
    """In a worker: an attempt from bytes to bytes. Never raises but for Ctrl-C and exits."""
    try:
        call, value = unpacked(function) if isinstance(function, bytes) else function, unpacked(item)
    except UserError as error:
        return to_bytes(Attempt(kind="raised", value=error))
    return to_bytes(attempt(call, value))


def to_bytes(made: Attempt) -> bytes:
    """An attempt's outcome for the caller; an error keeps its class, arguments and attributes, and tells its place here."""
    value = _crossing(made.value) if made.kind == "raised" else made.value
    try:
        return pickle.dumps((made.kind, value), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - pickling runs code of the value's own
        what = made.value if made.kind == "raised" else error
        trace = "".join(traceback.format_exception(what))
        return pickle.dumps(
            ("raised", _crossing(InternalError(f"what a trial gave cannot be sent back: {what!r}", hint=trace)))
        )


def from_bytes(data: bytes) -> Attempt:
    """The outcome that ``to_bytes`` wrote."""
    kind, value = pickle.loads(data)  # noqa: S301 - from our own worker
    return Attempt(kind=kind, value=_crossed(*value) if kind == "raised" else value)


def result(made: Attempt) -> Any:
    """What a map has in the item's place: its value, or ``Failed`` where the last try was lost. Raises what was raised."""
    if made.kind == "raised":
        raise made.value
    return Failed(reason=f"{made.value}; tried {TRIES} times") if made.kind == "lost" else made.value


def _crossing(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any]]:
    """An exception in parts: those of marram take keywords, which pickle would lose."""
    state = dict(error.__dict__)
    if not isinstance(error, MarramError):
        trace = "".join(traceback.format_exception(error)).rstrip()
        state["__notes__"] = [*state.get("__notes__", []), f"raised in a worker:\n{trace}"]
    return type(error), error.args, state


def _crossed(kind: type[Exception], arguments: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


def _named(value: object) -> str:
    return getattr(value, "__qualname__", None) or type(value).__qualname__
