"""What a routine's C says, as numbers."""

from __future__ import annotations

import pytest

from marram.core.errors import InternalError
from marram.measure.prediction.c_text import arguments, fields, initialiser, trips, whole_rows

BODY = """const int row_begin = 0, row_end = 7;
static const marram_dsp_conv conv = {{.in_height = 8, .pad_left = -1}, 2, @stream@, tile};
for (int i0 = 0; i0 < 4; i0++) {
    for (int i1 = 0; i1 < 12; i1++) {
        marram_move(x0 + i0 * (3 + i1), ((marram_window){.in_height = 5, .width = 3}), y[i0], 12u);
    }
}"""


def test_arguments_stay_together_inside_of_brackets() -> None:
    assert arguments(BODY, "marram_move") == [
        "x0 + i0 * (3 + i1)",
        "((marram_window){.in_height = 5, .width = 3})",
        "y[i0]",
        "12u",
    ]
    assert initialiser(BODY, "conv") == ["{.in_height = 8, .pad_left = -1}", "2", "@stream@", "tile"]


def test_loops_fields_and_rows_are_found() -> None:
    assert trips(BODY) == [4, 12]
    assert fields(BODY) == {"in_height": 8, "pad_left": -1, "width": 3}
    assert whole_rows(BODY) == (0, 7)
    assert whole_rows("marram_move(row_begin);") is None


def test_what_is_not_there_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="is not called here"):
        arguments(BODY, "marram_fill")
    with pytest.raises(InternalError, match="not closed"):
        arguments("marram_fill(1, 2", "marram_fill")
