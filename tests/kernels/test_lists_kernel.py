"""Sums of lists: those of the reference, and which rows are left to the caller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import Call
from fastfeat_kernels.lists import reference
from fastfeat_kernels.lists.state import Sums, sums_of
from hypothesis import example, given
from hypothesis import strategies as st

from fastfeat.backends.cpu.kernels import runner

LISTS = st.lists(st.lists(st.floats() | st.integers(-9, 9).map(float), max_size=6), max_size=8)


def _by_reference(element: str, sequences: Sequence[Sequence[Call]]) -> None:
    for call in (call for calls in sequences for call in calls):
        getattr(reference, element)(call.table.ctypes.data, call.first, call.n)


def _sums(lists: list[list[float]], run: Any, n_parts: int = 1) -> Sums:
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    values = np.array([x for numbers in lists for x in numbers], np.float64)
    return sums_of(offsets, values, run, n_parts)


@given(lists=LISTS, n_parts=st.integers(1, 4))
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
