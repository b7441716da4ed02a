"""Sums, means and variances over windows: exact, whatever the values and however many."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from fastfeat_kernels.windows import slices
from fastfeat_kernels.windows.reference import over as over_by_definition
from fastfeat_kernels.windows.requests import WantedStatistic, WindowBounds, WindowInput
from fastfeat_kernels.windows.state import ordered, over
from fastfeat_kernels.words import Interpolation
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import Value, chunked, make_chunk, numpy_chunk
from fastfeat_tests.kernels.window_rows import RUN, check, requests

WILD = [1e300, -1e300, 1.7e308, -1.7e308, 5e-324, -5e-324, 2.0**-1040, 1e-300, 1.0, 3.0, 0.1, 1e17]


@given(data=st.data())
def test_sums_of_any_spread_are_exact(data: st.DataObject) -> None:
    special = [math.inf, -math.inf, None, math.nan, 0.0, -0.0]
    kinds = [WILD, [*WILD, *special], [x for x in WILD if abs(x) < 1], [5e-324, 1e-320, 2e-310]]
    kind = data.draw(st.sampled_from(kinds))
    either = st.one_of(st.sampled_from(kind), st.floats(allow_nan=False, allow_infinity=False))
    values: list[Value] = data.draw(st.lists(st.one_of(st.sampled_from(kind), either), max_size=40))
    n_rows = len(values)
    codes = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n_rows, max_size=n_rows)), "i4")
    times: list[Value] = data.draw(st.lists(st.integers(0, 9), min_size=n_rows, max_size=n_rows))
    names: list[str] = ["sum", "mean", "var", "std", "slope", "ewm_mean", "skew", "kurtosis"]
    wanted = data.draw(requests(1, names))
    column = WindowInput("float64", data.draw(chunked("float64", values)))
    rows = ordered(codes, [make_chunk("int64", times)], None, 3, RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        patch.setattr(slices, "SLICE", data.draw(st.sampled_from([1, 3])))
        found = over(rows, [column], wanted, RUN)
    expected = over_by_definition(codes.tolist(), times, None, [("float64", values)], wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_sums_of_many_rows_are_exact() -> None:
    n_rows = 30_000  # the sum of the high limbs is no float any more
    values = np.random.default_rng(4).uniform(1.9, 2, n_rows)
    values[::7] += 2.0**-40
    rows = ordered(np.zeros(n_rows, np.int32), [numpy_chunk(np.arange(n_rows))], None, 1, RUN)
    names: list[str] = ["sum", "mean", "var", "std"]
    wanted = [WantedStatistic(WindowBounds(own=True), 0, name) for name in names]
    found = over(rows, [WindowInput("float64", [numpy_chunk(values)])], wanted, RUN)
    for row in [100, 9_000, 20_000, 29_998, 29_999]:
        known = values[: row + 1].tolist()
        total, n = math.fsum(known), row + 1
        assert found[0].values[row] == total
        assert found[1].values[row] == total / n
        exact = [Fraction(x) for x in known]
        spread = n * sum(x * x for x in exact) - sum(exact) ** 2
        variance = float(spread) / (n * (n - 1))
        assert found[2].values[row] == variance
        assert found[3].values[row] == math.sqrt(variance)


def test_sums_of_integers_name_the_first_row_that_overflows() -> None:
    values = np.array([2**62, 1, 2**62, 2**62, -(2**62)])
    codes = np.array([0, 1, 0, 1, 0], np.int32)
    rows = ordered(codes, [numpy_chunk(np.arange(5))], None, 2, RUN)
    column = WindowInput("int64", [numpy_chunk(values)])
    window = WindowBounds(own=True)
    (found,) = over(rows, [column], [WantedStatistic(window, 0, "sum")], RUN)
    assert found.overflow_row == 2
    assert found.values.tolist() == [2**62, 1, 0, 2**62 + 1, 2**62]
    (found,) = over(rows, [column], [WantedStatistic(window, 0, "sum")], RUN, first_row=3)
    assert found.overflow_row == -1


def test_sums_of_integers_carry_from_limb_to_limb() -> None:
    limb = 2**40
    values = [limb - 1, 1, 2**61, -1, limb - 1, limb - 1, -(2**61), -limb, 1 - limb, 3, -(2**61)]
    n_rows = len(values)
    rows = ordered(np.zeros(n_rows, np.int32), [numpy_chunk(np.arange(n_rows))], None, 1, RUN)
    wanted = [WantedStatistic(WindowBounds(own=True, rows=k), 0, "sum") for k in (0, 2, 3, 5)]
    found = over(rows, [WindowInput("int64", [numpy_chunk(np.array(values))])], wanted, RUN)
    for one, got in zip(wanted, found, strict=True):
        first = [max(0, k + 1 - one.window.rows) if one.window.rows else 0 for k in range(n_rows)]
        sums = [sum(values[start : k + 1]) for k, start in enumerate(first)]
        assert got.values.tolist() == sums
        assert got.overflow_row == -1


@given(data=st.data())
def test_whole_means_and_quantiles_are_exact(data: st.DataObject) -> None:
    extreme = [-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2, -1, 0, 1]
    number = st.sampled_from(extreme) | st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)
    values: list[Value] = data.draw(st.lists(st.none() | number, max_size=40))
    n_rows = len(values)
    codes = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n_rows, max_size=n_rows)), "i4")
    times: list[Value] = data.draw(st.lists(st.integers(0, 9), min_size=n_rows, max_size=n_rows))
    wanted = data.draw(requests(1, ["whole_mean", "mean", "whole_quantile"]))
    kinds: dict[Interpolation, Interpolation] = {"linear": "nearest", "midpoint": "lower"}
    wanted = [
        one._replace(interpolation=kinds.get(one.interpolation, one.interpolation))
        for one in wanted
    ]
    rows = ordered(codes, [make_chunk("int64", times)], None, 3, RUN)
    found = over(rows, [WindowInput("int64", data.draw(chunked("int64", values)))], wanted, RUN)
    expected = over_by_definition(codes.tolist(), times, None, [("int64", values)], wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)
