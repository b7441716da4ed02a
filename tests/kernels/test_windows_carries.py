"""Windows without a beginning over entities that are cut: the same bits, in memory of a slice."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.windows import slices, state
from fastfeat_kernels.windows.programs import passes
from fastfeat_kernels.windows.reference import over as over_by_definition
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds, WindowInput
from fastfeat_kernels.windows.state import ordered, over
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    Value,
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    values_of,
)
from fastfeat_tests.kernels.window_rows import (
    BOUNDS,
    NAMES,
    RUN,
    check,
    everything,
    instants,
    requests,
    same,
    table,
)

CARRIED: list[str] = [
    "n_rows", "count", "sum", "mean", "var", "std", "min", "max", "first", "last", "lag",
]  # fmt: skip
SUMS: list[str] = ["sum", "mean", "var", "std"]


def cut(patch: pytest.MonkeyPatch, long: int, size: int) -> None:
    """Let entities of more than `long` rows be cut into slices of at least `size` that ask."""
    patch.setattr(slices, "LONG", long)
    patch.setattr(slices, "SLICE", size)


@st.composite
def open_windows(draw: st.DrawFn) -> WindowBounds:
    """Return a window that mostly has no beginning, and mostly ends not after its row."""
    low, rows = draw(st.sampled_from([(NO_BOUND, 0)] * 4 + [(-3, 0), (NO_BOUND, 2), (-9, 3)]))
    high = draw(st.sampled_from([0, -1, -2, -5, *BOUNDS]))
    own, least = draw(st.booleans()), draw(st.sampled_from([0, 0, 1, 2, 5]))
    return WindowBounds(low, high, own, rows, least)


@st.composite
def tame_floats(draw: st.DrawFn) -> st.SearchStrategy[Value]:
    """Return floats that are on one grid, narrow or of limbs, and some that are special."""
    n_bits = draw(st.sampled_from([1, 8, 19, 40, 52]))
    unit = 2.0 ** draw(st.sampled_from([-300, -60, 0, 400]))
    special = [math.inf, -math.inf, math.nan, None, -0.0, 0.0]
    some = draw(st.lists(st.sampled_from(special), max_size=3))
    whole = st.integers(-(2**n_bits), 2**n_bits).map(lambda x: float(x) * unit)
    return st.one_of(whole, *map(st.just, some))


@pytest.mark.parametrize("element", ["tame", *ELEMENTS])
@given(data=st.data())
def test_slices_equal_the_reference(element: str, data: st.DataObject) -> None:
    if element == "tame":
        element = "float64"
        values: list[Value] = data.draw(st.lists(data.draw(tame_floats()), max_size=40))
    else:
        values = data.draw(columns(element, 25))[:40]
    n_rows = len(values)
    n_entities = data.draw(st.sampled_from([1, 1, 2]))
    seed, lowest = data.draw(st.integers(0, 2**32)), data.draw(st.sampled_from([0, 0, -1]))
    codes = np.random.default_rng(seed).integers(lowest, n_entities, n_rows, np.int32)
    times, first_row = data.draw(instants(n_rows)), data.draw(st.sampled_from([0, 0, n_rows // 2]))
    tie = st.one_of(st.none(), values_of("int64"))
    ties = data.draw(st.none() | st.lists(tie, min_size=n_rows, max_size=n_rows))
    other: list[Value] = data.draw(
        st.lists(st.integers(-9, 9) | st.none(), min_size=n_rows, max_size=n_rows)
    )
    names = data.draw(st.sampled_from([CARRIED, CARRIED, SUMS, NAMES]))
    wanted, n_parts = data.draw(requests(2, names, open_windows())), data.draw(st.integers(1, 5))
    chunks = [WindowInput(element, data.draw(chunked(element, values)))]
    chunks.append(WindowInput("int64", data.draw(chunked("int64", other))))
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, data.draw(st.sampled_from([1, 3, 8])), data.draw(st.sampled_from([1, 2, 5])))
        run = compiled("windows", data.draw(st.sampled_from([1, 2])))
        order = None if ties is None else WindowInput("int64", [make_chunk("int64", ties)])
        rows = ordered(codes, [make_chunk("int64", times)], order, n_entities, run, n_parts)
        found = over(rows, chunks, wanted, run, n_parts, first_row)
    by_definition = [(element, values), ("int64", other)]
    expected = over_by_definition(codes.tolist(), times, ties, by_definition, wanted, first_row)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, first_row)


@pytest.mark.parametrize("kind", ["limbs", "whole", "wild", "infinite", "integers", "unsigned"])
def test_an_entity_that_is_cut_has_the_same_values(kind: str) -> None:
    codes, times, values = table(7, 6000, [0.9, 0.1])
    element = "float64"
    if kind == "whole":
        values = np.round(values)
    elif kind == "wild":
        values[::97], values[5::301] = 1e300, -1e-300
    elif kind == "infinite":
        values[5::701], values[4000] = math.inf, -math.inf
    elif kind in ("integers", "unsigned"):
        element = {"integers": "int64", "unsigned": "uint64"}[kind]
        values = np.nan_to_num(values * 1e16).astype(element)
    wanted = everything()
    wanted += [WantedStatistic(WindowBounds(high=-700), 0, name, n=2) for name in CARRIED]
    column = WindowInput(element, [numpy_chunk(values)])
    rows = ordered(codes, [numpy_chunk(times)], None, 2, RUN)
    found = over(rows, [column], wanted, RUN)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, 500, 300)
        again = over(rows, [column], wanted, compiled("windows", 2), 3)
    for one, a, b in zip(wanted, found, again, strict=True):
        assert same(a, b), one


@pytest.mark.parametrize("kind", ["narrow", "limbs", "wide"])
def test_all_that_came_before_is_exact_in_an_entity_of_many_rows(kind: str) -> None:
    n_rows = 300_000
    random = np.random.default_rng(8)
    values = random.integers(-9, 9, n_rows) / 4 if kind == "narrow" else random.normal(0, 1, n_rows)
    values[random.random(n_rows) < 0.01] = np.nan
    if kind == "wide":
        values[n_rows // 2] = 1e-300
    times, wanted = (
        np.arange(n_rows),
        [WantedStatistic(WindowBounds(own=True), 0, name) for name in CARRIED],
    )
    rows = ordered(np.zeros(n_rows, np.int32), [numpy_chunk(times)], None, 1, RUN)
    n_carried: list[int] = []

    def keep(*args: Any) -> list[slices.WorkUnit]:
        units = slices.units(*args)
        n_carried.append(sum(unit.n_carried > 0 for unit in units))
        return units

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "units", keep)
        run = compiled("windows", 2)
        found = over(rows, [WindowInput("float64", [numpy_chunk(values)])], wanted, run, 4)
    assert n_carried == ([9, 0, 9] if kind == "wide" else [9, 9])  # of two passes
    results = dict(zip(CARRIED, found, strict=True))
    for row in [0, 32_767, 32_768, 65_536, 200_000, n_rows - 1]:
        known = values[: row + 1][~np.isnan(values[: row + 1])]
        n, exact = len(known), [Fraction(x) for x in known.tolist()]
        spread = float(n * sum(x * x for x in exact) - sum(exact) ** 2)
        variance = spread / (n * (n - 1)) if n > 1 else math.nan
        expected: dict[str, float] = {
            "n_rows": row + 1, "count": n, "sum": math.fsum(known),
            "mean": math.fsum(known) / n, "var": variance, "std": math.sqrt(variance),
            "min": known.min(), "max": known.max(), "first": known[0], "last": known[-1],
            "lag": values[row],
        }  # fmt: skip
        for name, value in expected.items():
            np.testing.assert_array_equal(results[name].values[row], value, name)


def test_a_slice_begins_with_what_no_window_reaches_by_row() -> None:
    times = np.arange(0, 4000, 2)
    rows = ordered(
        np.repeat(np.array([0, 1], "i4"), [1500, 500]), [numpy_chunk(times)], None, 2, RUN
    )
    whole_past, delayed = WindowBounds(own=True), WindowBounds(high=-100)

    def units_of(*wanted: WantedStatistic) -> list[slices.WorkUnit]:
        with pytest.MonkeyPatch.context() as patch:
            cut(patch, 200, 100)
            return [
                unit
                for unit in slices.units(rows, wanted, np.diff(rows.partition_starts))
                if unit.first_place == 300
            ]

    (unit,) = units_of(WantedStatistic(whole_past, 0, "sum"))
    assert (unit.bounds, unit.n_carried) == ((299, 400), 300)
    (unit,) = units_of(
        WantedStatistic(whole_past, 0, "max"),
        WantedStatistic(WindowBounds(-20, own=True), 0, "sum"),
    )
    assert (unit.bounds, unit.n_carried) == ((289, 400), 290)
    (unit,) = units_of(
        WantedStatistic(whole_past, 0, "first"), WantedStatistic(whole_past, 0, "lag", n=40)
    )
    assert (unit.bounds, unit.n_carried) == ((260, 400), 261)
    (unit,) = units_of(WantedStatistic(whole_past._replace(min_samples=9), 0, "lag", n=40))
    assert (unit.bounds, unit.n_carried) == ((260, 400), 261)
    (unit,) = units_of(WantedStatistic(delayed, 0, "count"))
    assert (unit.bounds, unit.n_carried) == ((250, 400), 251)
    (unit,) = units_of(WantedStatistic(whole_past, 0, "lag", n=40))
    assert (unit.bounds, unit.n_carried) == ((261, 400), 0)
    (unit,) = units_of(
        WantedStatistic(whole_past, 0, "sum"),
        WantedStatistic(WindowBounds(-1000, own=True), 0, "sum"),
    )
    assert (unit.bounds, unit.n_carried) == ((0, 450), 0)
    assert not units_of(WantedStatistic(whole_past, 0, "quantile"))


def test_an_entity_of_few_of_all_rows_is_not_cut_where_a_slice_begins_with_more() -> None:
    codes = np.repeat(np.arange(40, dtype=np.int32), 300)
    rows = ordered(codes, [numpy_chunk(np.arange(len(codes)))], None, 40, RUN)
    asked = np.diff(rows.partition_starts)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, 200, 100)
        near = slices.units(rows, [WantedStatistic(WindowBounds(-9, own=True), 0, "sum")], asked)
        far = slices.units(rows, [WantedStatistic(WindowBounds(own=True), 0, "sum")], asked)
    assert all(unit.bounds for unit in near)
    assert not any(unit.bounds for unit in far)


def test_what_keeps_entities_whole_has_passes_of_its_own_where_some_are_long() -> None:
    past, week = WindowBounds(own=True), WindowBounds(-7, own=True)
    wanted = [
        WantedStatistic(past, 0, "sum"),
        WantedStatistic(past, 0, "quantile"),
        WantedStatistic(week, 0, "quantile"),
        WantedStatistic(past, 1, "max"),
        WantedStatistic(past, 1, "ewm_mean"),
    ]
    assert passes(wanted, ["float64"] * 2) == [[0, 1, 2, 3, 4]]
    assert passes(wanted, ["float64"] * 2, is_cut=True) == [[0, 2, 3], [1, 4]]
