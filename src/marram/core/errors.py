"""The error tree. Each family has one exit code, so that a script can tell them apart.

    MarramError
    |-- UserError             2   what was asked for cannot be done: what, where, what to do
    |   |-- ContractError         mistakes in marram.toml, all of them at once
    |   |-- DataError             recordings that cannot be used as they are
    |   |-- ModelFileError        a model file that is damaged, hostile or not of its format
    |   |-- UnsupportedOperator   an operator that the Graph does not have
    |   `-- MissingExtra          an optional part of marram that is not installed
    |-- IntegrityError        3   what arrived cannot be trusted; never caught inside the library
    |-- DeviceError           4   the device did not do it
    |-- ToolError             5   an outside tool failed: the command and its output
    `-- InternalError        70   a bug of ours

Exit code 0 is success, 1 is a build or a check that ran and found a promise broken, 130 is Ctrl-C.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_BROKEN_PROMISE = 1
EXIT_INTERRUPTED = 130


class MarramError(Exception):
    """Root of every error that marram raises on purpose.

    Args:
        what: what was wrong, in one sentence.
        where: the file, line, node, tensor or key at fault; None where there is no place.
        hint: what to do about it; None where nothing can be said.
    """

    exit_code = 70

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """The sentence a person reads: place, fault, remedy."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text


class UserError(MarramError):
    """What the caller asked for cannot be done as asked."""

    exit_code = 2


class ContractError(UserError):
    """Every mistake found in one contract, in the order of its lines.

    Args:
        problems: one sentence for each mistake, with its line and key.
        where: the contract's path.
    """

    def __init__(self, problems: tuple[str, ...], *, where: str) -> None:
        count = len(problems)
        summary = f"{count} mistake{'s' if count != 1 else ''} in the contract"
        super().__init__(summary, where=where, hint="\n  ".join(problems))
        self.problems = problems


class DataError(UserError):
    """Data that cannot be used: empty, constant, NaN, leaking, of the wrong shape or class."""


class ModelFileError(UserError):
    """A model file that is truncated, damaged, hostile or not of the format it claims."""


class UnsupportedOperator(UserError):
    """An operator that the Graph does not have.

    Args:
        operator: the operator's name in the file's own vocabulary.
        node: the node's name or index in that file.
        where: the file.
        supported: the operators that the importer takes.
    """

    def __init__(self, operator: str, *, node: str, where: str | None = None, supported: tuple[str, ...] = ()) -> None:
        hint = f"Supported operators: {', '.join(supported)}." if supported else None
        super().__init__(f"operator {operator} of node {node} is not supported", where=where, hint=hint)
        self.operator = operator
        self.node = node
        self.supported = supported


class MissingExtra(UserError):
    """An optional part of marram is needed and not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of marram that brings it.
    """

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"Install it with: pip install 'marram[{extra}]'")
        self.package = package
        self.extra = extra


class IntegrityError(MarramError):
    """What arrived cannot be trusted: signature, digest, version order, target or golden vectors."""

    exit_code = 3


class DeviceError(MarramError):
    """The device could not be reached or did not do what it was told."""

    exit_code = 4


class ToolError(MarramError):
    """An outside tool failed.

    Args:
        command: the command as it was run.
        output: what it printed, the last part if long.
    """

    exit_code = 5

    def __init__(self, what: str, *, command: str, output: str = "", hint: str | None = None) -> None:
        tail = output[-4000:].strip()
        super().__init__(what, where=command, hint="\n  ".join(filter(None, (hint, tail))) or None)
        self.command = command
        self.output = output


class InternalError(MarramError):
    """A bug of ours. Please report it with the text."""

    exit_code = 70
