"""Device profiles: what a contract may name as ``device``. A profile is a TOML file whose keys are the fields of ``Target``."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from marram.core.contract_file import parse_struct
from marram.core.errors import ContractError, UserError
from marram.core.target import Target

_MAX_BYTES = 1 << 16


def devices() -> tuple[Target, ...]:
    """The profiles that come with marram, those of this machine first, then by name."""
    folder = files("marram.compile") / "device_profiles"
    found = [
        parse_struct(entry.read_text(encoding="utf-8"), Target, where=entry.name)
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    ]
    return tuple(sorted(found, key=lambda target: (not target.here, target.name)))


def device(name: str | Path) -> Target:
    """The profile of that name, or the one in a TOML file of the user's own.

    Raises:
        UserError: there is no such profile, or the file has mistakes; all of them are listed.
    """
    if isinstance(name, Path) or name.endswith(".toml"):
        return _from_file(Path(name))
    known = {target.name: target for target in devices()}
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"Did you mean {close[0]}? " if close else ""
    hint = f"{guess}Known: {', '.join(known)}. A TOML file with the fields of a profile adds one."
    raise UserError(f"there is no device {name!r}", where="device", hint=hint)


def _from_file(path: Path) -> Target:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"is larger than {_MAX_BYTES} bytes, so it is no device profile", where=str(path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError("there is no such device profile", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", where=str(path)) from error
    try:
        target = parse_struct(text, Target, where=str(path))
    except ContractError as error:
        count = len(error.problems)
        what = f"{count} mistake{'s' if count != 1 else ''} in the device profile"
        raise UserError(what, where=str(path), hint="\n  ".join(error.problems)) from error
    if not target.runtimes:
        raise UserError("the device profile names no runtime", where=str(path), hint='For instance: runtimes = ["litert"]')
    return target
