"""SAME and VALID against explicit padding, and against LiteRT's geometry."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from marram.model.tflite.padding import explicit, scheme
from marram.model.tflite.schema import SAME, VALID

SMALL = st.integers(1, 5)
PAIRS = st.tuples(SMALL, SMALL)
SIZES = st.tuples(st.integers(5, 24), st.integers(5, 24))


def places(size, kernel, stride, dilation, before, after):
    """First input place of each window, counted one by one."""
    reach = dilation * (kernel - 1) + 1
    return [start for start in range(-before, size + after - reach + 1) if (start + before) % stride == 0]


@settings(derandomize=True, max_examples=300)
@given(SIZES, PAIRS, PAIRS, st.sampled_from([SAME, VALID]))
def test_a_scheme_comes_back_from_its_padding(size, kernel, stride, code):
    edges = explicit(code, size, kernel, stride=stride)
    found = scheme(edges, size, kernel, stride=stride)
    assert found is not None
    assert explicit(found, size, kernel, stride=stride)[::2] == edges[::2]


@settings(derandomize=True, max_examples=500)
@given(SIZES, PAIRS, PAIRS, PAIRS, st.tuples(*[st.integers(0, 4)] * 4))
def test_a_scheme_is_found_exactly_where_the_windows_fall_alike(size, kernel, stride, dilation, edges):
    reach = [step * (k - 1) + 1 for step, k in zip(dilation, kernel, strict=True)]
    if any(size[i] + edges[2 * i] + edges[2 * i + 1] < reach[i] for i in (0, 1)):
        return

    def windows(padding):
        return [places(size[i], kernel[i], stride[i], dilation[i], *padding[2 * i : 2 * i + 2]) for i in (0, 1)]

    meant = {code: explicit(code, size, kernel, stride=stride, dilation=dilation) for code in (SAME, VALID)}
    alike = {code for code, padding in meant.items() if windows(padding) == windows(edges)}
    found = scheme(edges, size, kernel, stride=stride, dilation=dilation)
    assert found == max(alike, default=None)


def test_the_odd_place_of_same_lies_behind():
    assert explicit(SAME, (96, 5), (3, 2), stride=(2, 1)) == (0, 1, 0, 1)
