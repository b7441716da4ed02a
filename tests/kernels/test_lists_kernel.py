"""Functions of lists: those of the reference, and which sums are left to the caller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import KernelRowCall
from fastfeat_kernels.lists import reference
from fastfeat_kernels.lists.state import (
    ListSums,
    elements_of,
    extremes_of,
    integer_sums_of,
    sums_of,
)
from hypothesis import example, given
from hypothesis import strategies as st

from fastfeat.engine.cpu.kernels import runner

FLOATS = st.floats() | st.integers(-9, 9).map(float)
LISTS = st.lists(st.lists(FLOATS, max_size=6), max_size=30)
WORDS = st.integers(-9, 9) | st.integers(-(2**63), 2**63 - 1)
PARTS = st.integers(1, 4)


def _by_reference(element: str, sequences: Sequence[Sequence[KernelRowCall]]) -> None:
    for call in (call for calls in sequences for call in calls):
        getattr(reference, element)(call.table.ctypes.data, call.first, call.n)


def _sums(lists: list[list[float]], run: Any, n_parts: int = 1) -> ListSums:
    return sums_of(*_column(lists, np.float64), run, n_parts)


def _column(lists: list[list[Any]], dtype: Any) -> tuple[Any, Any]:
    """Return offsets and elements; what the first list does not have comes before it."""
    offsets = np.cumsum([3, *map(len, lists)], dtype=np.int64)
    values = np.array([0, 1, 2, *(x for numbers in lists for x in numbers)], dtype)
    return offsets, values


@given(lists=LISTS, n_parts=PARTS)
@example(lists=[[], [math.nan], [1e300, 1.0, -1e300], [-0.0], [5e-324, -5e-324]], n_parts=2)
@example(lists=[[1.7976931348623157e308, 1e300, -1e308], [math.inf], [1e308, 1e308]], n_parts=1)
def test_sums_that_are_not_left_are_exact(lists: list[list[float]], n_parts: int) -> None:
    found, expected = _sums(lists, runner("lists"), n_parts), _sums(lists, _by_reference)
    assert found.counts.tolist() == expected.counts.tolist()
    assert not (expected.left & ~found.left).any()
    kept = ~found.left
    assert found.sums[kept].tobytes() == expected.sums[kept].tobytes()


@pytest.mark.parametrize(
    "numbers",
    [[0.1] * 1000, [1e16, 1.0, -1e16, 3.0], [x / 7 for x in range(100)], [1e300, 1.0, -1e300], []],
)
def test_sums_of_like_numbers_are_not_left(numbers: list[float]) -> None:
    found = _sums([numbers], runner("lists"))
    assert not found.left[0]
    assert found.sums[0] == math.fsum(numbers)


@pytest.mark.parametrize(
    "numbers", [[math.inf], [1e308, 1e308], [1e300, 1.0, 1e-300], [-math.inf, math.inf]]
)
def test_sums_that_two_floats_do_not_hold_are_left(numbers: list[float]) -> None:
    assert _sums([numbers], runner("lists")).left[0]


@given(lists=st.lists(st.lists(WORDS, max_size=6), max_size=30), n_parts=PARTS)
def test_integer_sums_equal_their_reference(lists: list[list[int]], n_parts: int) -> None:
    offsets, values = _column(lists, np.int64)
    sums, left = integer_sums_of(offsets, values, runner("lists"), n_parts)
    expected, too_large = integer_sums_of(offsets, values, _by_reference)
    assert (sums.tolist(), left.tolist()) == (expected.tolist(), too_large.tolist())
    assert [int(one) for one in sums[~left]] == [
        sum(x) for x, is_left in zip(lists, left, strict=True) if not is_left
    ]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint64])
@given(data=st.data(), n_parts=PARTS, greatest=st.booleans())
def test_extremes_equal_their_reference(
    dtype: Any, data: st.DataObject, n_parts: int, greatest: bool
) -> None:
    numbers = {np.float64: FLOATS, np.int64: WORDS, np.uint64: st.integers(0, 2**64 - 1)}[dtype]
    lists = data.draw(st.lists(st.lists(numbers, max_size=6), max_size=30))
    offsets, values = _column(lists, dtype)
    found, counts = extremes_of(offsets, values, runner("lists"), n_parts, greatest=greatest)
    expected, numbers_of = extremes_of(offsets, values, _by_reference, greatest=greatest)
    assert (found.tobytes(), counts.tolist()) == (expected.tobytes(), numbers_of.tolist())
    for row, given_numbers in enumerate(lists):
        known = [x for x in given_numbers if x == x]
        assert counts[row] == len(known)
        assert not known or found[row] == (max(known) if greatest else min(known))


@given(
    lists=st.lists(st.lists(WORDS, max_size=6), max_size=30),
    index=st.integers(-7, 7) | st.sampled_from([2**70, -(2**70)]),
    n_parts=PARTS,
)
def test_elements_equal_their_reference(lists: list[list[int]], index: int, n_parts: int) -> None:
    offsets, values = _column(lists, np.int64)
    found, there = elements_of(offsets, values, index, runner("lists"), n_parts)
    expected, inside = elements_of(offsets, values, index, _by_reference)
    assert (found.tolist(), there.tolist()) == (expected.tolist(), inside.tolist())
    assert there.tolist() == [-len(x) <= index < len(x) for x in lists]
