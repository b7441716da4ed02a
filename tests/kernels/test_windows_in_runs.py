"""Windows of values of few bits, of rows at even times, of batches around the size of levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.windows import layout, slices
from fastfeat_kernels.windows.reference import over as over_by_definition
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds, WindowInput
from fastfeat_kernels.windows.state import ordered, over
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import Value, chunked, make_chunk, numpy_chunk
from fastfeat_tests.kernels.window_rows import RUN, check

SUMS: list[str] = ["sum", "mean", "var", "std"]


def check_all(
    codes: np.ndarray[Any, Any],
    times: list[Value],
    column: tuple[str, list[Value]],
    chunks: Any,
    wanted: list[WantedStatistic],
    first_row: int = 0,
) -> None:
    """Assert that statistics of one column are those by definition, to the bit."""
    n_entities = int(codes.max(initial=0)) + 1
    rows = ordered(codes, [make_chunk("int64", times)], None, n_entities, RUN)
    found = over(rows, [WindowInput(column[0], chunks)], wanted, RUN, 1, first_row)
    expected = over_by_definition(codes.tolist(), times, None, [column], wanted, first_row)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, first_row)


@pytest.mark.parametrize("element", ["float64", "int64", "uint64"])
@given(data=st.data())
def test_values_of_few_bits(element: str, data: st.DataObject) -> None:
    """As many as sums in float64 hold, one more, one less: of 40 rows 47, with squares 20."""
    n_bits = data.draw(st.sampled_from([1, 8, 19, 20, 21, 46, 47, 48, 55]))
    most = 2**n_bits - data.draw(st.sampled_from([0, 1]))
    lowest = 0 if element == "uint64" else -most
    whole = st.one_of(st.integers(lowest, most), st.sampled_from([lowest, most]))
    if element == "float64":
        unit = 2.0 ** data.draw(st.sampled_from([-300, -60, -1, 0, 3, 400]))
        special = [math.inf, -math.inf, math.nan, None, -0.0, 5e-324, unit / 2]
        some = data.draw(st.lists(st.sampled_from(special), max_size=2))
        value = st.one_of(whole.map(lambda x: float(x) * unit), *map(st.just, some))
    else:
        value = st.one_of(whole, whole, *([st.none()] if data.draw(st.booleans()) else []))
    values: list[Value] = data.draw(st.lists(value, max_size=40))
    n_rows = len(values)
    codes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n_rows, max_size=n_rows)), "i4")
    times: list[Value] = data.draw(st.lists(st.integers(0, 30), min_size=n_rows, max_size=n_rows))
    names: list[str] = data.draw(st.sampled_from([SUMS, SUMS[:2], ["std", "mean"]]))
    few = [
        WindowBounds(-5, -1),
        WindowBounds(NO_BOUND, own=True),
        WindowBounds(own=True, rows=2, min_samples=2),
    ]
    wanted = [
        WantedStatistic(window, 0, name, ddof=data.draw(st.sampled_from([0, 1, 3])))
        for window in few
        for name in names
    ]
    if element == "int64":
        wanted += [WantedStatistic(window, 0, "whole_mean") for window in few]
    chunks = data.draw(chunked(element, values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        patch.setattr(slices, "SLICE", data.draw(st.sampled_from([1, 3])))
        check_all(codes, times, (element, values), chunks, wanted)


@given(data=st.data())
def test_rows_at_even_times_with_gaps_and_peers(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.sampled_from([1, 3, 29, 70, 200]), min_size=1, max_size=4))
    changed = data.draw(st.lists(st.integers(0, sum(sizes)), max_size=3))
    steps = np.ones(sum(sizes), np.int64)
    for at in changed:
        steps[at : at + 1] = data.draw(st.sampled_from([0, 2, 30]))
    codes = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    times = np.cumsum(steps)
    if data.draw(st.booleans()):  # all entities at the same times
        times = np.concatenate([times[:size] for size in sizes])
    values: list[Value] = np.random.default_rng(3).normal(0, 1, len(codes)).tolist()
    lows, highs = st.sampled_from([NO_BOUND, -40, -9, -3, 0]), st.sampled_from([-28, -1, 0, 2])
    few = [
        WindowBounds(data.draw(lows), data.draw(highs), data.draw(st.booleans()), rows)
        for rows in (0, 0, 2)
    ]
    names: list[str] = ["n_rows", "sum", "max", "min", "lag", "first", "last"]
    wanted = [WantedStatistic(window, 0, name, n=2) for window in few for name in names]
    first_row = data.draw(st.sampled_from([0, 0, len(codes) // 3]))
    order = np.arange(len(codes))
    if data.draw(st.booleans()):
        order = np.argsort(times, kind="stable")
    column = "float64", [values[k] for k in order]
    chunks = [make_chunk(*column)]
    check_all(codes[order], times[order].tolist(), column, chunks, wanted, first_row)


@pytest.mark.parametrize("n_rows", [layout.LEVEL_ROWS - 1, layout.LEVEL_ROWS, 9000])
def test_least_and_greatest_values_of_batches_of_any_size(n_rows: int) -> None:
    values = np.random.default_rng(4).normal(0, 1, n_rows)
    values[::700] = np.nan
    lengths = [1, 2, 3, 64, 1000, 4095, n_rows]
    wanted = [
        WantedStatistic(WindowBounds(own=True, rows=length), 0, name)
        for length in lengths
        for name in ("min", "max")
    ]
    wanted += [
        WantedStatistic(WindowBounds(-length + 1, 0), 0, name)
        for length in lengths
        for name in ("max",)
    ]
    times = numpy_chunk(np.arange(n_rows))
    rows = ordered(np.zeros(n_rows, np.int32), [times], None, 1, RUN)
    found = over(rows, [WindowInput("float64", [numpy_chunk(values)])], wanted, RUN)
    for one, got in zip(wanted, found, strict=True):
        length = one.window.rows or 1 - one.window.low
        sign = -1.0 if one.statistic == "min" else 1.0
        padded = np.concatenate(
            [np.full(length - 1, -np.inf), np.nan_to_num(sign * values, nan=-np.inf)]
        )
        best = sign * np.lib.stride_tricks.sliding_window_view(padded, length).max(axis=1)
        expected = np.where(np.isinf(best), np.nan, best)
        np.testing.assert_array_equal(got.values, expected)
