"""The walk: each call of an exported program is computed now, if all it reads is constant, or translated onto the page."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from marram.core.errors import InternalError, MarramError, UserError
from marram.core.graph import Graph
from marram.model.layout import cancel_transposes, channels_last_inputs, channels_last_outputs
from marram.model.torch_import.exporting import call_name, constant_nodes, exported
from marram.model.torch_import.page import Activation, Constant, Page
from marram.model.torch_import.table import IDENTITIES, IGNORED, TRANSLATORS

_KNOWN = frozenset({*TRANSLATORS, *IDENTITIES, *IGNORED, "getitem"})


def translated(
    module: nn.Module, example_inputs: Sequence[Any], *, name: str, layout: Literal["channels_last", "as_given"]
) -> Graph:
    """As ``marram.model.torch_import.read``."""
    program = exported(module, example_inputs, _KNOWN)
    written = _written(program, name)
    if layout == "as_given":
        return cancel_transposes(written)
    return channels_last_outputs(channels_last_inputs(written))


def _written(program: ExportedProgram, name: str) -> Graph:
    """The Graph in torch's own axes."""
    page = Page(supported=tuple(sorted(key.removeprefix("aten::") for key in TRANSLATORS)))
    values, inputs = _placeholders(program, page)
    fixed = constant_nodes(program)
    calls = Counter(_path(node) for node in program.graph.nodes if node.op == "call_function" and _is_named(node, fixed))
    for node in program.graph.nodes:
        if node.op == "call_function":
            values[node.name] = _computed(node, values) if node.name in fixed else _translated_call(page, node, values, calls)
        elif node.op not in {"placeholder", "output"}:
            page.operator, page.place = str(node.target), node.name
            page.refuse("")
    outputs: list[Any] = [values.get(spec) if isinstance(spec, str) else spec for spec in program.graph_signature.user_outputs]
    if not outputs or any(not isinstance(value, Activation | Constant) for value in outputs):
        raise UserError("gives something else than tensors", where=f"torch module {name}")
    return page.finish(name, inputs, outputs)


def _placeholders(program: ExportedProgram, page: Page) -> tuple[dict[str, Any], list[Activation]]:
    """Values of the program's placeholders: weights and buffers as constants, the rest as inputs."""
    signature = program.graph_signature
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    values: dict[str, Any] = {}
    inputs = []
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        if node.name in held:
            path = held[node.name]
            stored = program.state_dict.get(path)
            values[node.name] = Constant(name=path, value=stored if stored is not None else program.constants[path])
        else:
            values[node.name] = page.input(node.name, tuple(node.meta["val"].shape))
            inputs.append(values[node.name])
    return values, inputs


def _computed(node: fx.Node, values: dict[str, Any]) -> Any:
    """A call on constants, done now by torch."""
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda source: _raw(values[source.name]))
    sources = [values[source.name] for source in node.all_input_nodes]
    known = next((source.name for source in sources if isinstance(source, Constant)), node.name)
    with torch.no_grad():
        result = node.target(*arguments[0], **arguments[1])  # type: ignore[operator]  # a call_function's target is one
    if isinstance(result, tuple | list):
        return tuple(Constant(name=known, value=part) if isinstance(part, torch.Tensor) else part for part in result)
    return Constant(name=known, value=result) if isinstance(result, torch.Tensor) else result


def _raw(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_raw(part) for part in value]
    return value.value if isinstance(value, Constant) else value


def _translated_call(page: Page, node: fx.Node, values: dict[str, Any], calls: Counter[str]) -> Any:
    """A call that depends on the inputs, written on the page."""
    name, path = call_name(node.target), _path(node)
    page.operator = name.replace("::", ".")
    kind = name.rpartition(":")[2]
    page.place = path if path and calls[path] == 1 else f"{path}.{kind}".lstrip(".")
    arguments: Any = fx.node.map_arg((node.args, node.kwargs), lambda source: values[source.name])
    args, kwargs = arguments
    if node.target is operator.getitem:
        return args[0][args[1]]
    if name in IGNORED:
        return None
    if name not in TRANSLATORS and name not in IDENTITIES:
        page.refuse("")
    page.shape = _result_shape(page, node)
    try:
        result = args[0] if name in IDENTITIES else TRANSLATORS[name](page, *args, **kwargs)
    except MarramError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        page.refuse(f"with these arguments ({error})")
    if isinstance(result, Activation) and page.shape and result.shape != page.shape:
        raise InternalError(f"{page.operator} gave {result.shape} where torch has {page.shape}", where=page.place)
    return result


def _result_shape(page: Page, node: fx.Node) -> tuple[int, ...]:
    result = node.meta.get("val")
    if not isinstance(result, torch.Tensor):
        return ()
    if result.dtype != torch.float32:
        page.refuse(f"with a result of dtype {str(result.dtype).removeprefix('torch.')}")
    return tuple(result.shape)


def _is_named(node: fx.Node, fixed: set[str]) -> bool:
    """Whether a call gives the Graph a node, so that it shares its module's name with others like it."""
    return node.name not in fixed and node.target is not operator.getitem and call_name(node.target) not in IDENTITIES


def _path(node: fx.Node) -> str:
    """The path of the innermost module that a call was made in."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str(next(reversed(stack.values()), ("",))[0])
    return path.partition("@")[0]  # torch appends the count of repeated calls
