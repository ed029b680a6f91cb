"""``marram.toml`` -> Contract. All mistakes are reported in one go: line, key, what was expected, the nearest right key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from marram.core.contract import Contract
from marram.core.errors import ContractError, UserError
from marram.core.toml_lines import key_lines

S = TypeVar("S", bound=msgspec.Struct)

_MAX_BYTES = 1 << 20


def read(path: Path) -> Contract:
    """The contract in the file.

    Raises:
        UserError: there is no such file, or it is not text.
        ContractError: one or more mistakes, all of them listed.
    """
    return parse(_text(path), where=str(path))


def parse(text: str, *, where: str = "marram.toml") -> Contract:
    """The contract in a text; ``where`` names it in errors.

    Raises:
        ContractError: one or more mistakes, all of them listed.
    """
    values = _values(text, where)
    _refuse(_problems(values), text, where)
    return msgspec.convert(values, Contract)


def parse_struct(text: str, kind: type[S], *, where: str) -> S:
    """Another struct from a TOML text, its mistakes reported as a contract's are.

    Raises:
        ContractError: one or more mistakes, all of them listed.
    """
    values = _values(text, where)
    _refuse(_struct_problems(kind, values, ""), text, where)
    return msgspec.convert(values, kind)


def _values(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractError((f"not valid TOML: {error}",), where=where) from error


def _refuse(problems: Iterator[tuple[str, str]], text: str, where: str) -> None:
    """Raise all the problems, if there are any, in the order of their lines."""
    lines = key_lines(text)
    found = sorted((_line(lines, key), f"{key}: {problem}" if key else problem) for key, problem in problems)
    if found:
        raise ContractError(tuple(f"line {line}: {text}" if line else text for line, text in found), where=where)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"is larger than {_MAX_BYTES} bytes, so it is no contract", where=str(path))
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError("there is no such file", where=str(path), hint="Start one with: marram init watch") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", where=str(path)) from error


def _problems(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) for the whole contract."""
    yield from _struct_problems(Contract, values, "")
    if not isinstance(values.get("targets"), dict) or not values["targets"]:
        yield "targets", 'at least one target is needed, as in [targets.here] with device = "host"'


def _struct_problems(kind: type[msgspec.Struct], values: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    tag_field = kind.__struct_config__.tag_field
    for key in values:
        if key not in fields and key != tag_field:
            yield _join(path, key), f"unknown key{_nearest(key, fields)}"
    for key, field in fields.items():
        if key in values:
            yield from _value_problems(field.type, values[key], _join(path, key))
        elif field.required and not (path == "" and key == "targets"):
            yield _join(path, key), f"missing; expected {_expected(field.type)}"


def _value_problems(kind: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    options = _structs_of(kind)
    if options and isinstance(value, dict):
        chosen = options[0] if len(options) == 1 else _tagged(options, value)
        if chosen is None:
            tags = [str(option.__struct_config__.tag) for option in options]
            field = options[0].__struct_config__.tag_field
            given = value.get(field)
            yield _join(path, str(field)), f"expected one of {', '.join(tags)}, got {given!r}{_nearest(str(given), tags)}"
        else:
            yield from _struct_problems(chosen, value, path)
    elif get_origin(kind) is dict and isinstance(value, dict) and _structs_of(get_args(kind)[1]):
        for key, item in value.items():
            yield from _value_problems(get_args(kind)[1], item, _join(path, key))
    else:
        yield from _plain_problem(kind, value, path)


def _plain_problem(kind: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        hint = _nearest(value, words) if isinstance(value, str) and (words := _literals(kind)) else ""
        yield path, f"expected {_expected(kind)}, got {value!r}{hint}"


def _structs_of(kind: Any) -> tuple[type[msgspec.Struct], ...]:
    members = get_args(kind) if get_origin(kind) is not None and get_origin(kind) not in {dict, tuple} else (kind,)
    return tuple(m for m in _union(kind) or members if isinstance(m, type) and issubclass(m, msgspec.Struct))


def _union(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if isinstance(kind, type(int | str)) else ()


def _tagged(options: tuple[type[msgspec.Struct], ...], value: dict[str, Any]) -> type[msgspec.Struct] | None:
    by_tag = {option.__struct_config__.tag: option for option in options}
    return by_tag.get(value.get(str(options[0].__struct_config__.tag_field)))


def _literals(kind: Any) -> tuple[str, ...]:
    """The words that a Literal anywhere in a type allows."""
    words = [arg for arg in get_args(kind) if isinstance(arg, str)]
    for arg in get_args(kind):
        words += _literals(arg)
    return tuple(words)


def _expected(kind: Any) -> str:
    """A type in plain words, with its bounds."""
    schema = msgspec.json.schema(kind)
    return _describe(schema, schema.get("$defs", {}))


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "object": "a table",
}
_BOUNDS = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


def _describe(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "a table"
    if "anyOf" in schema:
        options = [_describe(option, definitions) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(options))
    if "enum" in schema:
        return "one of " + ", ".join(repr(word) for word in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items") or {}]
        length = f"{len(items)} of " if schema.get("prefixItems") else ""
        return f"a list of {length}{_describe(items[0], definitions)}"
    if "description" in schema and "pattern" in schema:
        return str(schema["description"])
    bounds = [f"{sign} {schema[word]:g}" for word, sign in _BOUNDS.items() if word in schema]
    return " ".join([_WORDS.get(str(schema.get("type")), "a value"), *bounds])


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(map(str, known)))}" if known else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _line(lines: dict[str, int], key: str) -> int:
    """The line of a key, or of the nearest table that holds it; 0 for a section that is not there."""
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return 0
