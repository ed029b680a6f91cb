"""Torch module and example -> functional ATen graph with the constants that it reads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from marram.core.errors import UnsupportedOperator, UserError
from marram.model.torch_import.attention import batch_first_attention

_MOST_DECOMPOSITIONS = 8


def exported(module: nn.Module, example_inputs: Sequence[Any], known: Collection[str]) -> ExportedProgram:
    """The module's program on the first sample of the example.

    Args:
        module: read in evaluation mode, which is put back.
        example_inputs: arrays for ``forward``.
        known: ATen names such as ``aten::relu`` that need no decomposition; others are decomposed as far as torch can.

    Raises:
        UnsupportedOperator: control flow depends on the data.
        UserError: the module does not take the example.
    """
    inputs = tuple(_first_sample(value, index) for index, value in enumerate(example_inputs))
    with _as_it_was(module), batch_first_attention(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks about its own deprecations
        try:
            program = torch.export.export(module.eval(), inputs)
        except GuardOnDataDependentSymNode as error:
            raise UnsupportedOperator("control flow that depends on the data", node=type(module).__name__) from error
        except Exception as error:  # whatever the user's own code raises, torch.export hands on
            raise _refusal(module, inputs, error) from error
        return _decomposed(program, known)


def call_name(target: Any) -> str:
    """``aten::relu`` of an ATen operator; the plain name of anything else that a graph may call."""
    schema = getattr(target, "_schema", None)
    return str(schema.name) if schema is not None else str(getattr(target, "__name__", target))


def constant_nodes(program: ExportedProgram) -> set[str]:
    """Names of the nodes whose value does not depend on the inputs."""
    given = set(program.graph_signature.user_inputs)
    found: set[str] = set()
    for node in program.graph.nodes:
        if node.op == "output":
            continue
        if node.op == "placeholder" and node.name in given:
            continue
        if all(source.name in found for source in node.all_input_nodes):
            found.add(node.name)
    return found


def _decomposed(program: ExportedProgram, known: Collection[str]) -> ExportedProgram:
    """The functional program, its unknown operators taken apart until they are known or cannot be taken apart further."""
    if any(_mutates(node) for node in program.graph.nodes):
        program = program.run_decompositions({})
    if not _unknown(program, known):  # spares torch's long table of rules
        return program
    rules = torch.export.default_decompositions()
    for _ in range(_MOST_DECOMPOSITIONS):
        chosen = {target: rules[target] for target in _unknown(program, known) if target in rules}
        if not chosen:
            return program
        program = program.run_decompositions(chosen)
    return program


def _mutates(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _unknown(program: ExportedProgram, known: Collection[str]) -> set[Any]:
    """Operators on computed tensors that have no translation."""
    fixed = constant_nodes(program)
    return {
        node.target
        for node in program.graph.nodes
        if node.op == "call_function" and node.name not in fixed and call_name(node.target) not in known
    }


def _first_sample(value: Any, index: int) -> torch.Tensor:
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype != np.float32 or array.ndim < 1 or array.size == 0:
        raise UserError(
            f"example input {index} is {array.dtype} of shape {array.shape}",
            hint="A Graph takes float32 arrays with a leading batch axis; give such an example.",
        )
    return torch.from_numpy(np.ascontiguousarray(array[:1]))


def _refusal(module: nn.Module, inputs: tuple[torch.Tensor, ...], error: Exception) -> UserError:
    shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(
        f"cannot be exported with inputs of shape {shapes}: {reason}",
        where=f"torch module {type(module).__name__}",
        hint="Check that module(*example) runs, and that forward takes and gives tensors only.",
    )


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Training modes of all parts, torch's attention switch and its loggers' handlers, put back afterwards.

    While exporting, torch logs what it then also raises; the errors say it better.
    """
    logger = logging.getLogger("torch")
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    modes = [(part, part.training) for part in module.modules()]
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator that has no parts to translate
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        logger.handlers, logger.propagate = handlers, propagate
        for part, mode in modes:
            part.training = mode
