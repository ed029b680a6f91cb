"""A Zephyr module with a sample application."""

from __future__ import annotations

from collections.abc import Mapping

from marram.compile.c.archive import Sources
from marram.compile.export.example import example_text, readme_text
from marram.core.target import Target

_HOW = """Add the folder to `ZEPHYR_EXTRA_MODULES` and set `CONFIG_{upper}=y`, or build the sample:
`west build -b <board> sample -- -DZEPHYR_EXTRA_MODULES=$PWD`."""


def zephyr(sources: Sources, target: Target, self_test: Mapping[str, str]) -> dict[str, str]:
    """The files of the module, by path."""
    name, upper = sources.name, sources.name.upper()
    return {
        "zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: .\n  kconfig: Kconfig\n",
        "Kconfig": f'config {upper}\n\tbool "Model {name}"\n\thelp\n\t  One neural network as C source, made by marram.\n',
        "CMakeLists.txt": (
            f"if(CONFIG_{upper})\n  zephyr_library()\n  zephyr_library_sources(src/{name}.c src/{name}_self_test.c)\n"
            "  zephyr_include_directories(include)\nendif()\n"
        ),
        f"include/{name}.h": sources.files[f"{name}.h"],
        f"include/{name}_self_test.h": self_test[f"{name}_self_test.h"],
        f"src/{name}.c": sources.files[f"{name}.c"],
        f"src/{name}_self_test.c": self_test[f"{name}_self_test.c"],
        "sample/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.20.0)\nfind_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})\n"
            f"project({name}_sample)\ntarget_sources(app PRIVATE src/main.c)\n"
        ),
        "sample/prj.conf": f"CONFIG_{upper}=y\n",
        "sample/src/main.c": example_text(sources),
        "README.md": readme_text(sources, target, _HOW.replace("{upper}", upper)),
    }
