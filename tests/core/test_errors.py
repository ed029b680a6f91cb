"""The error tree: each family has its own exit code, and an error says what, where and what to do."""

from __future__ import annotations

from marram.core import errors


def test_families_have_distinct_exit_codes() -> None:
    families = (errors.UserError, errors.IntegrityError, errors.DeviceError, errors.ToolError, errors.InternalError)
    codes = [family.exit_code for family in families]
    assert len(set(codes)) == len(codes)
    assert not {errors.EXIT_OK, errors.EXIT_BROKEN_PROMISE, errors.EXIT_INTERRUPTED} & set(codes)


def test_every_error_belongs_to_the_tree_drawn_in_the_docstring() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    for kind in classes:
        assert issubclass(kind, errors.MarramError)
        assert kind.__name__ in (errors.__doc__ or "")


def test_text_has_place_fault_and_remedy() -> None:
    error = errors.UserError("is empty", where="data/dogs", hint="Add images.")
    assert str(error) == "data/dogs: is empty\n  Add images."


def test_tool_errors_keep_the_end_of_the_output() -> None:
    error = errors.ToolError("failed", command="cc x.c", output="a" * 9000 + "the end")
    assert str(error).endswith("the end")
    assert len(str(error)) < 5000
