"""The order of rows in the kernel of windows: however they come and are divided, the same bits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.windows import ordering, slices
from fastfeat_kernels.windows.requests import (
    StatisticColumn,
    WantedStatistic,
    WindowBounds,
    WindowInput,
)
from fastfeat_kernels.windows.state import late_row, ordered, over, permutation
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import chunked, compiled, numpy_chunk
from fastfeat_tests.kernels.window_rows import (
    RUN,
    entities,
    everything,
    instants,
    same,
    same_flags,
    table,
)


@given(seed=st.integers(0, 2**32), n_rows=st.sampled_from([0, 1, 3000]), is_sorted=st.booleans())
def test_permutation_is_the_order_of_windows(seed: int, n_rows: int, is_sorted: bool) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-1, 40, n_rows, np.int32)
    times, ties = random.integers(0, 50, n_rows), random.integers(0, 3, n_rows)
    if is_sorted:
        times.sort()
    column = WindowInput("int64", [numpy_chunk(ties)])
    rows = ordered(codes, [numpy_chunk(times)], column, 40, RUN, 3)
    expected = np.lexsort((np.arange(n_rows), ties, times, codes))
    expected = expected[codes[expected] >= 0]
    assert permutation(rows, RUN).tolist() == expected.tolist()
    assert rows.times[: len(expected)].tolist() == times[expected].tolist()
    assert rows.is_as_given == (expected.tolist() == list(range(n_rows)))


class Taken(list[Any]):
    """Spare memory that another thread takes once it is seen."""

    def __bool__(self) -> bool:
        return True


def test_two_threads_deal_columns_of_the_same_rows() -> None:
    values = np.arange(9)
    rows = ordered(np.zeros(9, np.int32), [numpy_chunk(values)], None, 1, RUN)
    rows = replace(rows, spare=Taken())
    assert permutation(rows, RUN).tolist() == values.tolist()


@pytest.mark.parametrize("kind", ["float64", "int64"])
@pytest.mark.parametrize("first_row", [0, 1, 4099, 8999, 9000])
def test_rows_that_come_in_order_have_the_same_values(first_row: int, kind: str) -> None:
    codes, times, values = table(7, 9000, [1 / 60] * 60)
    order = np.lexsort((np.arange(9000), times, codes))
    names = np.random.default_rng(0).permutation(60).astype(np.int32)  # in no order themselves
    numbers, instants_of, values = names[codes[order]], times[order], values[order]
    if kind == "int64":
        values = np.nan_to_num(values * 9).astype(np.int64)
    wanted = everything()

    def found(places: Any, first: int, n_parts: int) -> list[StatisticColumn]:
        chunks = [numpy_chunk(instants_of[places])]
        rows = ordered(numbers[places], chunks, None, 60, RUN, n_parts)
        assert rows.is_as_given == (places[0] == 0)
        return over(
            rows, [WindowInput(kind, [numpy_chunk(values[places])])], wanted, RUN, n_parts, first
        )

    everyone = np.arange(9000)
    back = np.lexsort((everyone, numbers, instants_of))
    given, moved = found(everyone, first_row, 3), found(back, 0, 2)
    places = np.empty(9000, np.int64)
    places[back] = everyone
    for a, b in zip(given, moved, strict=True):
        assert a.values.tobytes() == b.values[places][first_row:].tobytes()
        if a.present is not None and b.present is not None:
            assert same_flags(a.present, b.present[places][first_row:])


@pytest.mark.parametrize("sizes", [[0.5, *[0.5 / 40] * 40], [1.0], [1 / 2000] * 2000])
@pytest.mark.parametrize("kind", ["plain", "wild", "integers"])
def test_an_entity_alone_has_the_same_values(sizes: list[float], kind: str) -> None:
    codes, times, values = table(len(sizes), 9000, sizes)
    element = "float64"
    if kind == "wild":
        values[::97], values[5::301], values[7::500] = 1e300, -1e-300, math.inf
    elif kind == "integers":
        element, values = "int64", np.nan_to_num(values * 1e17).astype(np.int64)
    wanted = everything()
    rows = ordered(codes, [numpy_chunk(times)], None, len(sizes), RUN, 2)
    column = WindowInput(element, [numpy_chunk(values)])
    found = over(rows, [column], wanted, RUN, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", 100)
        patch.setattr(ordering, "MIN_STRIPE_BITS", 7)
        patch.setattr(slices, "LONG", 300)
        patch.setattr(slices, "SLICE", 200)
        run = compiled("windows", 2)
        again = over(
            ordered(codes, [numpy_chunk(times)], None, len(sizes), run, 5), [column], wanted, run, 7
        )
    assert all(map(same, found, again))
    for entity in [0, len(sizes) - 1]:
        own = np.flatnonzero(codes == entity)
        times_alone, values_alone = times[own], values[own]
        alone = ordered(np.zeros(len(own), np.int32), [numpy_chunk(times_alone)], None, 1, RUN)
        parts = over(alone, [WindowInput(element, [numpy_chunk(values_alone)])], wanted, RUN)
        for whole, part in zip(found, parts, strict=True):
            assert whole.values[own].tobytes() == part.values.tobytes()
            if part.present is not None and whole.present is not None:
                assert same_flags(whole.present[own], part.present)


@pytest.mark.parametrize("stripe_bits", [8, 13])
@pytest.mark.parametrize("first_row", [0, 1, 4000, 4096, 8999, 9000])
def test_history_changes_nothing_but_who_asks(first_row: int, stripe_bits: int) -> None:
    codes, times, values = table(3, 9000, [0.5, *[0.5 / 40] * 40])
    codes[::50] = -1
    column, wanted = WindowInput("float64", [numpy_chunk(values)]), everything()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "MIN_STRIPE_BITS", stripe_bits)
        rows = ordered(codes, [numpy_chunk(times)], None, 41, RUN, 3)
        whole, some = (over(rows, [column], wanted, RUN, 3, first) for first in (0, first_row))
    for a, b in zip(whole, some, strict=True):
        assert a.values[first_row:].tobytes() == b.values.tobytes()
        if a.present is not None:
            assert same_flags(a.present[first_row:], b.present)


@given(data=st.data())
def test_a_late_row_of_the_history_is_the_first(data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(0, 40))
    codes, n_entities = data.draw(entities(n_rows))
    times, first_row = data.draw(instants(n_rows)), data.draw(st.integers(0, n_rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 13])))
        patch.setattr(ordering, "FEW_ROWS", data.draw(st.sampled_from([0, 2048])))
        rows = ordered(codes, data.draw(chunked("int64", times)), None, n_entities, RUN, 2)
    begins: dict[int, float] = {}
    for row in range(first_row, n_rows):
        code, time = int(codes[row]), times[row]
        if code >= 0 and time is not None:
            begins[code] = min(time, begins.get(code, time))
    late = [
        row
        for row, time in enumerate(times[:first_row])
        if time is not None and time > begins.get(int(codes[row]), math.inf)
    ]
    assert late_row(rows, first_row, RUN) == min(late, default=-1)


def test_slices_of_a_long_entity_reach_what_its_windows_do() -> None:
    times = np.arange(0, 4000, 2)
    codes = np.repeat(np.array([0, 1, 2], np.int32), [1500, 480, 20])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", 1000)
        patch.setattr(ordering, "FEW_ROWS", 0)
        rows = ordered(codes, [numpy_chunk(times)], None, 3, RUN)
    near = [
        WantedStatistic(WindowBounds(-50, own=True), 0, "sum"),
        WantedStatistic(WindowBounds(own=True), 0, "lag", n=40),
    ]
    far = WantedStatistic(WindowBounds(own=True), 0, "quantile")
    asked = np.diff(rows.partition_starts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "LONG", 200)
        patch.setattr(slices, "SLICE", 100)
        cut, whole = slices.units(rows, near, asked), slices.units(rows, [*near, far], asked)
    assert [(unit.first, unit.n, unit.bounds) for unit in whole] == [(0, 2, None), (2, 1, None)]
    sliced = [unit for unit in cut if unit.bounds]
    assert len(sliced) == 20
    assert [unit.first_place for unit in sliced] == [*range(0, 1500, 100), *range(1500, 1980, 100)]
    for unit in sliced:
        assert unit.bounds is not None
        begin = 0 if unit.first_place < 1500 else 1500
        assert unit.bounds == (max(begin, unit.first_place - 39), unit.end_place)
    (rest,) = [unit for unit in cut if not unit.bounds]
    assert (rest.first, rest.n, rest.n_rows) == (2, 1, 20)
    assert slices.max_rows(rows, cut) == 139
