"""Sizes known before linking are those of the linked image, to the byte, on every core."""

from __future__ import annotations

import msgspec
import pytest
from tests.compile.toolchain.nets import FAMILY_OF, generated_for, plain, spoilt

from marram.compile.toolchain.boards import boards, boards_of
from marram.compile.toolchain.cross import compile_for, compile_model, fits, link_application, link_harness
from marram.compile.toolchain.elf import read_elf
from marram.core.errors import ToolError, UserError


@pytest.fixture(scope="module", params=FAMILY_OF)
def compiled(request, tmp_path_factory):
    return compile_for(generated_for(request.param), request.param, tmp_path_factory.mktemp(request.param))


def test_forecast_is_what_the_linker_makes(compiled):
    image = link_application(compiled)
    assert (compiled.sizes.flash_bytes, compiled.sizes.ram_bytes) == (image.flash_bytes, image.ram_bytes)


def test_image_has_the_weights_and_the_arena_and_little_else(compiled):
    weights = sum(layer.weight_bytes + layer.table_bytes for layer in compiled.generated.layers)
    assert weights <= compiled.sizes.constant_bytes <= weights + 400  # vectors, and what kernels know of their layers
    arena = compiled.generated.plan.arena_bytes
    assert arena <= compiled.sizes.ram_bytes <= arena + 16
    assert compiled.sizes.flash_bytes - compiled.sizes.code_bytes - compiled.sizes.constant_bytes < 64


ODD = """
static const unsigned char odd_table[13] = {1, 2, 3};
__attribute__((aligned(32))) static const unsigned char wide_table[33] = {4};
static unsigned char odd_state[7] = {5, 6};
__attribute__((aligned(16))) static unsigned char wide_state[40] = {7};
static unsigned char zeros[11];
static volatile long long divided = 100;
"""
USE = """
    odd_state[0]++; wide_state[1]++; zeros[2]++;
    divided /= (long long)(arena_bytes + odd_table[zeros[3]] + wide_table[zeros[4]]);
"""


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_odd_sizes_and_alignments_are_forecast_as_well(core, tmp_path):
    generated = spoilt(generated_for(core), USE)
    text = generated.files["net.c"].replace('#include "net.h"', f'#include "net.h"\n{ODD}', 1)
    changed = msgspec.structs.replace(generated, files={**generated.files, "net.c": text})
    compiled = compile_for(changed, core, tmp_path)
    image = link_application(compiled)
    assert (compiled.sizes.flash_bytes, compiled.sizes.ram_bytes) == (image.flash_bytes, image.ram_bytes)
    assert read_elf(image.path.read_bytes(), name="a").symbol("__aeabi_ldivmod"), "the compiler's library is in it"


def test_the_small_board_is_taken_while_it_is_large_enough(tmp_path):
    small, large = boards_of("cortex-m0")
    assert compile_for(plain(), "cortex-m0", tmp_path / "a").board == small
    grown = compile_for(plain(96), "cortex-m0", tmp_path / "b")
    assert grown.board == large
    assert not fits(msgspec.structs.replace(grown, board=small))


def test_a_model_that_fits_on_no_board_is_refused_with_its_needs(tmp_path):
    large = spoilt(plain(), "    static volatile unsigned char large[524288];\n    large[0] = 1;")
    with pytest.raises(UserError, match="fits on no emulated board") as caught:
        compile_for(large, "cortex-m55", tmp_path)
    assert "of 524288 bytes of RAM" in str(caught.value)


def test_harness_fits_where_it_is_said_to(compiled):
    harness = link_harness(compiled)
    assert harness.flash_bytes - compiled.sizes.flash_bytes < 4096
    assert harness.ram_bytes - compiled.sizes.ram_bytes <= 256


def test_cores_without_a_model_of_their_own_have_a_stand_in():
    assert boards_of("cortex-m0plus") == boards_of("cortex-m0")
    assert boards_of("cortex-m85") == boards_of("cortex-m55")
    with pytest.raises(UserError, match="cortex-a9"):
        boards_of("cortex-a9")
    assert len({board.name for board in boards()}) == len(boards())


def test_refused_source_shows_the_compiler_s_words(tmp_path):
    generated = generated_for("cortex-m4")
    broken = msgspec.structs.replace(generated, files={**generated.files, "net.c": "int f(void) { return nonsense; }\n"})
    with pytest.raises(ToolError, match="nonsense") as caught:
        compile_model(broken, boards_of("cortex-m4")[0], tmp_path)
    assert "arm-none-eabi-gcc" in caught.value.command


def test_missing_compiler_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="not installed") as caught:
        compile_model(generated_for("cortex-m4"), boards_of("cortex-m4")[0], tmp_path / "out")
    assert "scripts/system-packages mcu" in str(caught.value)
    assert "gcc-arm-none-eabi" in str(caught.value)
