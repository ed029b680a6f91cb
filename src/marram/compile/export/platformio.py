"""A PlatformIO project with the model as a private library."""

from __future__ import annotations

import json
from collections.abc import Mapping

from marram.compile.c.archive import Sources
from marram.compile.export.example import example_text, readme_text
from marram.core.target import Target

_HOW = "`pio run` builds for the board in `platformio.ini`; change it to yours. The library is in `lib/`."
_BOARDS = {
    "cortex-m0": ("nordicnrf51", "bbcmicrobit", "mbed"),
    "cortex-m0plus": ("ststm32", "nucleo_g071rb", "stm32cube"),
    "cortex-m3": ("ststm32", "bluepill_f103c8_128k", "stm32cube"),
    "cortex-m4": ("ststm32", "nucleo_l4r5zi", "stm32cube"),
    "cortex-m7": ("ststm32", "nucleo_f767zi", "stm32cube"),
    "cortex-m33": ("ststm32", "nucleo_u575zi_q", "stm32cube"),
}


def platformio(sources: Sources, target: Target, self_test: Mapping[str, str]) -> dict[str, str]:
    """The files of the project, by path."""
    name = sources.name
    platform, board, framework = _BOARDS.get(target.core, ("ststm32", "genericSTM32", "stm32cube"))
    library = {
        "name": name,
        "version": "1.0.0",
        "description": "One neural network as C source, integer arithmetic only.",
        "build": {"flags": ["-O2"]},
    }
    return {
        "platformio.ini": f"[env:{board}]\nplatform = {platform}\nboard = {board}\nframework = {framework}\n",
        f"lib/{name}/library.json": json.dumps(library, indent=2) + "\n",
        f"lib/{name}/include/{name}.h": sources.files[f"{name}.h"],
        f"lib/{name}/include/{name}_self_test.h": self_test[f"{name}_self_test.h"],
        f"lib/{name}/src/{name}.c": sources.files[f"{name}.c"],
        f"lib/{name}/src/{name}_self_test.c": self_test[f"{name}_self_test.c"],
        "src/main.c": example_text(sources),
        "README.md": readme_text(sources, target, _HOW),
    }
