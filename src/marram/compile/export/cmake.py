"""A CMake project: the model as a static library, an example beside it, a toolchain file for the target's core."""

from __future__ import annotations

from collections.abc import Mapping

from marram.compile.c.archive import Sources
from marram.compile.export.example import example_text, readme_text
from marram.core.target import Target

_HOW = """For this machine: `cmake -B build && cmake --build build`.

For the microcontroller: `cmake -B build -DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake && cmake --build build` gives the
library; link it into your firmware and include its folder."""


def cmake(sources: Sources, target: Target, self_test: Mapping[str, str]) -> dict[str, str]:
    """The files of the project, by path."""
    name = sources.name
    return {
        "CMakeLists.txt": _lists(name),
        "arm-none-eabi.cmake": _toolchain(target),
        f"include/{name}.h": sources.files[f"{name}.h"],
        f"include/{name}_self_test.h": self_test[f"{name}_self_test.h"],
        f"src/{name}.c": sources.files[f"{name}.c"],
        f"src/{name}_self_test.c": self_test[f"{name}_self_test.c"],
        "example/main.c": example_text(sources),
        "README.md": readme_text(sources, target, _HOW),
    }


def _lists(name: str) -> str:
    return f"""cmake_minimum_required(VERSION 3.16)
project({name} C)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_library({name} STATIC src/{name}.c src/{name}_self_test.c)
target_include_directories({name} PUBLIC include)
target_compile_features({name} PUBLIC c_std_11)

if(NOT CMAKE_CROSSCOMPILING)
  add_executable({name}_example example/main.c)
  target_link_libraries({name}_example PRIVATE {name})
endif()
"""


def _toolchain(target: Target) -> str:
    return f"""set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "-mthumb -mcpu={target.core} -ffunction-sections -fdata-sections")
"""
