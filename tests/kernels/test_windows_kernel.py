"""The kernel of windows against its reference, to the bit."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.compile import compile_entry
from fastfeat_kernels.load import load_object
from fastfeat_kernels.windows import ordering, slices
from fastfeat_kernels.windows.reference import over as over_by_definition
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds, WindowInput
from fastfeat_kernels.windows.state import WindowOrder, ordered, over, partition_shift
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
from fastfeat_tests.kernels.window_rows import NAMES, RUN, check, entities, instants, requests


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_kernel_equals_reference(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 25))[:60]
    n_rows = len(values)
    codes, n_entities = data.draw(entities(n_rows))
    times = data.draw(instants(n_rows))
    other: list[Value] = data.draw(
        st.lists(st.one_of(st.none(), values_of("float64")), min_size=n_rows, max_size=n_rows)
    )
    wanted, first_row = data.draw(requests(2)), data.draw(st.sampled_from([0, 0, n_rows // 2]))
    chunks = [WindowInput(element, data.draw(chunked(element, values)))]
    chunks.append(WindowInput("float64", data.draw(chunked("float64", other))))
    time_chunks, n_parts = data.draw(chunked("int64", times)), data.draw(st.integers(1, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8, 1 << 13])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 5, 13])))
        patch.setattr(ordering, "FEW_ROWS", data.draw(st.sampled_from([0, 2048])))
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        patch.setattr(slices, "SLICE", data.draw(st.sampled_from([1, 3, 1 << 15])))
        run = compiled("windows", data.draw(st.sampled_from([1, 2])))
        rows = ordered(codes, time_chunks, None, n_entities, run, n_parts)
        found = over(rows, chunks, wanted, run, data.draw(st.integers(1, 5)), first_row)
    expected = over_by_definition(
        codes.tolist(), times, None, [(element, values), ("float64", other)], wanted, first_row
    )
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, first_row)


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_rows_that_ask_see_the_rows_of_others(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 25))[:40]
    n_rows, n_asking = len(values), data.draw(st.integers(0, 30))
    codes, n_entities = data.draw(entities(n_rows))
    times, asking_times = data.draw(instants(n_rows)), data.draw(instants(n_asking))
    seed = data.draw(st.integers(0, 2**32))
    asking_codes = np.random.default_rng(seed).integers(-1, n_entities, n_asking, np.int32)
    names: list[str] = [name for name in NAMES if name not in ("rank", "percentile")]
    wanted = data.draw(requests(1, names))
    wanted = [one._replace(window=one.window._replace(own=False)) for one in wanted]
    column = WindowInput(element, data.draw(chunked(element, values)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8, 1 << 13])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 5, 13])))
        patch.setattr(ordering, "FEW_ROWS", data.draw(st.sampled_from([0, 2048])))
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        shift = partition_shift(n_rows + n_asking, n_entities)
        rows, query = (
            ordered(numbers, [make_chunk("int64", at)], None, n_entities, RUN, 2, shift)
            for numbers, at in ((codes, times), (asking_codes, asking_times))
        )
        found = over(rows, [column], wanted, RUN, data.draw(st.integers(1, 5)), query=query)
    expected = over_by_definition(
        codes.tolist(),
        times,
        None,
        [(element, values)],
        wanted,
        query=(asking_codes.tolist(), asking_times),
    )
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_rows_that_ask_have_the_entities_of_those_seen_and_no_windows_of_their_own() -> None:
    def rows_of(n_entities: int) -> WindowOrder:
        codes = np.zeros(1, np.int32)
        return ordered(codes, [make_chunk("int64", [0])], None, n_entities, RUN)

    column = WindowInput("int64", [make_chunk("int64", [1])])
    with pytest.raises(ValueError, match="differ in entities"):
        over(
            rows_of(1), [column], [WantedStatistic(WindowBounds(), 0, "sum")], RUN, query=rows_of(2)
        )
    with pytest.raises(ValueError, match="the query row itself"):
        over(
            rows_of(1),
            [column],
            [WantedStatistic(WindowBounds(own=True), 0, "sum")],
            RUN,
            query=rows_of(1),
        )


@pytest.mark.parametrize("element", ["int64", "uint64", "float64"])
@given(data=st.data())
def test_ties_order_rows_of_one_instant(element: str, data: st.DataObject) -> None:
    ties = data.draw(columns(element, 40))[:40]
    n_rows = len(ties)
    times: list[Value] = data.draw(st.lists(st.integers(0, 3), min_size=n_rows, max_size=n_rows))
    codes, n_entities = data.draw(entities(n_rows))
    chunks = [make_chunk("int64", times)]
    rows = ordered(
        codes, chunks, WindowInput(element, data.draw(chunked(element, ties))), n_entities, RUN
    )
    numbers = np.arange(n_rows)
    wanted = [
        WantedStatistic(WindowBounds(own=True), 0, "lag", n=2),
        WantedStatistic(WindowBounds(own=True), 0, "n_rows"),
    ]
    found = over(rows, [WindowInput("int64", [numpy_chunk(numbers)])], wanted, RUN)
    expected = over_by_definition(
        codes.tolist(), times, ties, [("int64", numbers.tolist())], wanted
    )
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_a_long_entity_equals_the_reference() -> None:
    n_rows = 1300  # more than one block of rows that ask
    random = np.random.default_rng(5)
    times, values = np.sort(random.integers(0, 4000, n_rows)), random.integers(-9, 9, n_rows) / 4
    names: list[str] = ["count", "sum", "min", "max", "last", "quantile", "n_unique", "mode"]
    wanted = [WantedStatistic(WindowBounds(-100, -1), 0, name) for name in names]
    codes = np.zeros(n_rows, np.int32)
    rows = ordered(codes, [numpy_chunk(times)], None, 1, RUN)
    found = over(rows, [WindowInput("float64", [numpy_chunk(values)])], wanted, RUN)
    columns_of = [("float64", values.tolist())]
    expected = over_by_definition(codes.tolist(), times.tolist(), None, columns_of, wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


@pytest.mark.parametrize("since", [(1, 0), (1, 1000), (86400, 1)])
@given(data=st.data())
def test_the_time_since_something_is_told_in_ticks_or_seconds(
    since: tuple[int, int], data: st.DataObject
) -> None:
    n_rows = data.draw(st.integers(0, 30))
    codes, n_entities = data.draw(entities(n_rows))
    near = st.none() | st.integers(-6, 12)
    times: list[Value] = data.draw(st.lists(near, min_size=n_rows, max_size=n_rows))
    known = data.draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows))
    some = [time if is_known else None for time, is_known in zip(times, known, strict=True)]
    low, least = st.sampled_from([NO_BOUND, -5]), st.integers(0, 2)
    past = st.builds(WindowBounds, low, st.just(-1), st.booleans(), st.sampled_from([0, 2]), least)
    picks: list[tuple[int, str, int]] = [(0, "last", 1), (1, "last", 1), (0, "lag", 2)]
    wanted = [WantedStatistic(data.draw(past), column, name, n=n) for column, name, n in picks]
    wanted = [one._replace(since=since) for one in wanted]
    rows = ordered(codes, [make_chunk("int64", times)], None, n_entities, RUN)
    columns = [
        WindowInput("int64", data.draw(chunked("int64", values))) for values in (times, some)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        patch.setattr(slices, "SLICE", data.draw(st.sampled_from([1, 3])))
        found = over(rows, columns, wanted, RUN)
    by_definition = [("int64", times), ("int64", some)]
    expected = over_by_definition(codes.tolist(), times, None, by_definition, wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_a_time_since_beyond_int64_names_its_row() -> None:
    times = np.array([-(2**63), 0, 2**63 - 1])
    rows = ordered(np.zeros(3, np.int32), [numpy_chunk(times)], None, 1, RUN)
    wanted = WantedStatistic(WindowBounds(high=-1, rows=1), 0, "lag", since=(1, 0))
    far = wanted._replace(n=2, window=WindowBounds(high=-1))
    found = over(rows, [WindowInput("int64", [numpy_chunk(times)])], [wanted, far], RUN)
    assert [one.overflow_row for one in found] == [1, 2]
    assert found[0].values[2] == 2**63 - 1


def test_what_has_left_a_window_changes_nothing_in_it() -> None:
    wild = [1e300, -1e300, math.inf, -math.inf, 5e-324, math.nan, 1e-300]
    calm = np.random.default_rng(1).normal(size=200)
    codes, times = np.zeros(207, np.int32), np.arange(207)
    leaving: list[str] = [name for name in NAMES if not name.startswith("ewm")]
    wanted = [WantedStatistic(WindowBounds(-10, -1), 0, name, q=0.4) for name in leaving]
    rows = ordered(codes, [numpy_chunk(times)], None, 1, RUN)
    values = np.concatenate([wild, calm])
    found = over(rows, [WindowInput("float64", [numpy_chunk(values)])], wanted, RUN)
    alone = ordered(codes[:200], [numpy_chunk(times[:200])], None, 1, RUN)
    clean = over(alone, [WindowInput("float64", [numpy_chunk(calm)])], wanted, RUN)
    for a, b in zip(found, clean, strict=True):
        assert a.values[17:].tobytes() == b.values[10:].tobytes()


def test_only_numbers_of_rows_are_asked_for() -> None:
    rows = ordered(np.array([0, 0, -1], np.int32), [numpy_chunk(np.arange(3))], None, 1, RUN)
    (found,) = over(rows, [], [WantedStatistic(WindowBounds(own=True), 0, "n_rows")], RUN)
    assert found.values.tolist() == [1, 2, 0]
    assert found.present is not None
    assert found.present.tolist() == [True, True, False]
    assert over(rows, [], [], RUN) == []


def test_entries_load_where_there_is_no_numba() -> None:
    entries = importlib.import_module("fastfeat_kernels.windows.cpu").ENTRIES
    for entry in entries.values():
        load_object(*compile_entry(entry))  # refuses code that calls into Numba or libm


def test_what_is_out_of_range_is_refused() -> None:
    codes, times = np.zeros(3, np.int32), [numpy_chunk(np.arange(3))]
    with pytest.raises(ValueError, match=r"entity 0 is not in \[0, 0\)"):
        ordered(codes, times, None, 0, RUN)
    with pytest.raises(ValueError, match="3 rows, but there are 2"):
        ordered(codes[:2], times, None, 1, RUN)
    rows, column = ordered(codes, times, None, 1, RUN), WindowInput("int64", times)
    bad = [
        WantedStatistic(WindowBounds(), 1, "sum"),
        WantedStatistic(WindowBounds(rows=-1), 0, "sum"),
        WantedStatistic(WindowBounds(), 0, "lag", n=0),
        WantedStatistic(WindowBounds(), 0, "var", ddof=-1),
        WantedStatistic(WindowBounds(), 0, "quantile", q=math.nan),
        WantedStatistic(WindowBounds(), 0, "sum", since=(1, 0)),
        WantedStatistic(WindowBounds(), 0, "whole_quantile"),
        WantedStatistic(WindowBounds(), 0, "ewm_mean", decay=1.5),
        WantedStatistic(WindowBounds(), 0, "ewm_mean_by", half_life=0.0),
        WantedStatistic(WindowBounds(low=-3), 0, "ewm_mean"),
        WantedStatistic(WindowBounds(rows=3), 0, "ewm_mean_by"),
        WantedStatistic(WindowBounds(), 0, "slope", per=(1, 0)),
    ]
    for one in bad:
        with pytest.raises(ValueError, match="out of range"):
            over(rows, [column], [one], RUN)
