"""Files and modules -> Graph, Graph -> files: one door for every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marram.core.durable import write_atomically
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, OpaqueModel

if TYPE_CHECKING:
    from torch import nn

SUFFIXES = (".onnx", ".tflite")


def load(source: str | Path | nn.Module, *, example: Array | Sequence[Array] | None = None, name: str | None = None) -> Graph:
    """The Graph of a model.

    Args:
        source: an ``.onnx`` or ``.tflite`` file, or a torch module.
        example: for a torch module: one array for each input, float32, batch 1, as its ``forward`` takes them.
        name: the Graph's name; the file's or class's name if not given.

    Raises:
        UserError: no such file, an unknown format, or a module without an example.
        ModelFileError: the file is damaged.
        UnsupportedOperator: it has an operator that the Graph does not have; ``load_opaque`` takes the file as it is.
    """
    if not isinstance(source, str | Path):
        return _load_module(source, example, name)
    path = _existing(Path(source))
    if path.suffix == ".onnx":
        from marram.model.onnx import read as read_onnx

        return read_onnx(path, name=name)
    from marram.model.tflite import read as read_tflite

    return read_tflite(path, name=name)


def load_opaque(source: str | Path, *, name: str | None = None) -> OpaqueModel:
    """A model file as it is, for runtimes that take operators which the Graph does not have.

    Raises:
        UserError: no such file or an unknown format.
        ModelFileError: the file is damaged.
    """
    path = _existing(Path(source))
    if path.suffix == ".onnx":
        from marram.model.onnx import read_opaque as read_opaque_onnx

        return read_opaque_onnx(path, name=name)
    from marram.model.tflite import read_opaque as read_opaque_tflite

    return read_opaque_tflite(path, name=name)


def save(graph: Graph, path: str | Path, *, pack: bool = False) -> Path:
    """Write a Graph as ``.onnx`` or ``.tflite``, by the path's suffix; whole or not at all.

    Args:
        graph: float or integer.
        path: of the file.
        pack: weights that fit 4 bits (``weight_bits`` of 4 and 2) stand in 4 bits, where each file otherwise has them as int8.

    Raises:
        UserError: an unknown suffix, an operator that the format lacks, weights that are to be packed and cannot be, or a
            place that cannot be written.
    """
    target = Path(path)
    if target.suffix == ".onnx":
        from marram.model.onnx import write as write_onnx

        data = write_onnx(graph, pack=pack)
    elif target.suffix == ".tflite":
        from marram.model.tflite import write as write_tflite

        data = write_tflite(graph, pack=pack)
    else:
        raise UserError(f"unknown model format {target.suffix!r}", where=str(target), hint=f"Known: {', '.join(SUFFIXES)}.")
    write_atomically(target, data)
    return target


def _existing(path: Path) -> Path:
    if path.suffix not in SUFFIXES:
        raise UserError(f"unknown model format {path.suffix!r}", where=str(path), hint=f"Known: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError("there is no such model file", where=str(path))
    return path


def _load_module(module: Any, example: Array | Sequence[Array] | None, name: str | None) -> Graph:
    if example is None:
        raise UserError("a torch module needs an example input", hint="Pass example=numpy.zeros((1, ...), numpy.float32).")
    from marram.model.torch_import import read as read_module

    arrays = tuple(example) if isinstance(example, list | tuple) else (example,)
    return read_module(module, arrays, name=name)
