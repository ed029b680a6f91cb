"""The schema as data against the module that flatc generated from the real one."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated

from marram.model.tflite import schema

FLAGS = {
    "bool": "Bool",
    "byte": "Int8",
    "ubyte": "Uint8",
    "int": "Int32",
    "uint": "Uint32",
    "long": "Int64",
    "ulong": "Uint64",
    "float": "Float32",
}


def camel(name):
    """``fused_activation_function`` -> ``FusedActivationFunction``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


FIELDS = [(table, field) for table, fields in schema.TABLES.items() for field in fields]


@pytest.mark.parametrize(("table", "field"), FIELDS, ids=str)
def test_a_field_has_its_place_type_and_default(table, field):
    names = list(schema.TABLES[table])
    kind, _, default = schema.TABLES[table][field].partition("=")
    accessor = getattr(getattr(generated, table), camel(field), None)
    if accessor is None:  # fields that are out of use have no accessor: nobody may stand in their place
        assert field in {"deprecated_tag", "new_height", "new_width"}
        return
    source = inspect.getsource(accessor)
    assert int(re.search(r"_tab\.Offset\((\d+)\)", source)[1]) == 4 + 2 * names.index(field)
    inner = kind.strip("[]")
    if kind in schema.SCALARS:
        assert f"number_types.{FLAGS[kind]}Flags, o" in source
        literal = re.search(r"return (\S+)$", source.strip())[1]
        assert literal in ({default, "True"} if default else {"0", "0.0", "False"})
    elif inner in schema.SCALARS:
        assert f"number_types.{FLAGS[inner]}Flags" in source
        assert "_tab.Vector(o)" in source
    elif kind == "string":
        assert "_tab.String(" in source
    elif kind == "union":
        assert "_tab.Union(" in source
    else:
        assert f"obj = {inner}()" in source
        assert ("_tab.Vector(o)" in source) == kind.startswith("[")


def numbers(enumeration):
    return {name: value for name, value in vars(enumeration).items() if isinstance(value, int)}


def test_operators_options_and_types_have_their_numbers():
    assert dict(zip(schema.OPERATORS, range(len(schema.OPERATORS)), strict=True)) == numbers(generated.BuiltinOperator)
    options = numbers(generated.BuiltinOptions)
    assert schema.OPTIONS.items() <= options.items()
    assert set(schema.OPTIONS) == {table for table in schema.TABLES if table.endswith("Options")}
    types = {name.lower(): value for name, value in numbers(generated.TensorType).items()}
    assert {name: code for code, name in schema.DTYPES.items()}.items() <= types.items()
    assert {name.upper(): code for code, name in schema.ACTIVATIONS.items()} == numbers(generated.ActivationFunctionType)
    assert numbers(generated.Padding) == {"SAME": schema.SAME, "VALID": schema.VALID}


def test_scalars_have_their_widths():
    assert {name: np.dtype(code).itemsize for name, code in schema.SCALARS.items()} == {
        "bool": 1,
        "byte": 1,
        "ubyte": 1,
        "int": 4,
        "uint": 4,
        "long": 8,
        "ulong": 8,
        "float": 4,
    }
