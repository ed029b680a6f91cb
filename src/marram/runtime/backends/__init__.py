"""The runtimes of this machine, each behind the port ``Runner``. A runtime is imported when its first Program is opened."""

from __future__ import annotations

from marram.core.errors import UserError
from marram.core.ports import Runner
from marram.core.target import Runtime
from marram.runtime.backends.litert_backend import LiteRtRunner
from marram.runtime.backends.onnxruntime_backend import OnnxRuntimeRunner
from marram.runtime.backends.openvino_backend import OpenVinoRunner


def runner(runtime: Runtime) -> Runner:
    """What runs Programs of that runtime on this machine.

    Raises:
        UserError: such Programs run on a device only.
    """
    runners: dict[str, Runner] = {
        "onnxruntime": OnnxRuntimeRunner(),
        "litert": LiteRtRunner(),
        "openvino": OpenVinoRunner(),
    }
    try:
        return runners[runtime]
    except KeyError:
        hint = f"Here run: {', '.join(runners)}."
        raise UserError(f"programs of runtime {runtime} do not run on this machine", hint=hint) from None
