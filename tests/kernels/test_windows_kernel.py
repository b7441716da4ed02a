"""The kernel of windows against its reference, to the bit, and against itself however it is run."""

from __future__ import annotations

import importlib
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.compile import compile_entry
from fastfeat_kernels.load import load_object
from fastfeat_kernels.windows import ordering, slices
from fastfeat_kernels.windows.reference import over as over_by_definition
from fastfeat_kernels.windows.requests import (
    NO_BOUND,
    Column,
    Found,
    Interpolation,
    Name,
    RankMethod,
    Wanted,
    Window,
)
from fastfeat_kernels.windows.state import (
    Ordered,
    late_row,
    ordered,
    over,
    partition_shift,
    permutation,
)
from hypothesis import given
from hypothesis import strategies as st
from kernel_columns import (
    Value,
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    values_of,
)

RUN = compiled("windows")
EXTREME_TIMES = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1]
BOUNDS = [NO_BOUND, -(2**63) + 1, -10, -3, -1, 0, 1, 4, 2**63 - 1]
NAMES: list[Name] = [
    "n_rows", "count", "sum", "mean", "var", "std", "min", "max",
    "first", "last", "lag", "quantile", "n_unique", "mode", "rank", "percentile",
    "ewm_mean", "ewm_mean_by", "slope", "streak",
]  # fmt: skip
METHODS: list[RankMethod] = ["average", "min", "max"]
INTERPOLATIONS: list[Interpolation] = ["linear", "lower", "higher", "nearest", "midpoint"]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    return Window(
        draw(st.sampled_from(BOUNDS)),
        draw(st.sampled_from(BOUNDS)),
        draw(st.booleans()),
        draw(st.sampled_from([0, 0, 1, 2, 3, 10])),
        draw(st.sampled_from([0, 0, 0, 1, 2, 5])),
    )


def of_all_past(wanted: Wanted) -> Wanted:
    """Return the same over a window that holds all before its end, where only that is computed."""
    if wanted.statistic not in ("ewm_mean", "ewm_mean_by"):
        return wanted
    return wanted._replace(window=wanted.window._replace(low=NO_BOUND, rows=0))


@st.composite
def requests(draw: st.DrawFn, n_columns: int, names: Sequence[Name] = NAMES) -> list[Wanted]:
    few = draw(st.lists(windows(), min_size=1, max_size=3))
    one = st.builds(
        Wanted,
        st.sampled_from(few),
        st.integers(0, n_columns - 1),
        st.sampled_from(names),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([1, 2, 3, 7]),
        st.sampled_from([0.0, 0.25, 0.5, 0.1, 0.99, 1.0]),
        st.sampled_from(INTERPOLATIONS),
        st.none(),
        st.sampled_from(METHODS),
        st.sampled_from([0.0, 0.5, 0.9, 0.999]),
        st.sampled_from([1.0, 0.01, 3.7, 1e18]),
        st.sampled_from([(1, 1), (10**9, 1), (1, 86400), (7, 3)]),
    ).map(of_all_past)
    return draw(st.lists(one, min_size=1, max_size=12))


@st.composite
def entities(draw: st.DrawFn, n_rows: int) -> tuple[np.ndarray[Any, Any], int]:
    """Return an entity for each row, some none, and how many there are."""
    n = draw(st.sampled_from([1, 2, 3, max(n_rows, 1), n_rows + 5]))
    seed, lowest = draw(st.integers(0, 2**32)), draw(st.sampled_from([0, 0, -1]))
    return np.random.default_rng(seed).integers(lowest, n, n_rows, np.int32), n


@st.composite
def instants(draw: st.DrawFn, n_rows: int) -> list[Value]:
    """Return a time for each row: near each other, extreme, missing; often sorted."""
    near = st.integers(-6, 12)
    kind = draw(st.sampled_from([near, st.one_of(near, st.sampled_from(EXTREME_TIMES))]))
    missing = draw(st.sampled_from([[], [st.none()]]))
    time = st.one_of(kind, kind, *missing)
    times: list[Value] = draw(st.lists(time, min_size=n_rows, max_size=n_rows))
    if draw(st.booleans()):
        times.sort(key=lambda x: (x is None, x or 0))
    return times


def words_of(found: Found) -> list[tuple[bool, bytes]]:
    """Return for each row whether there is a value, and its bits."""
    values = found.values
    present = found.present
    if present is None:
        present = values == values if values.dtype.kind == "f" else np.ones(len(values), np.bool_)
    plain: list[Any] = values.tolist()
    return [
        (there, bits_of(value) if there else b"")
        for there, value in zip(present.tolist(), plain, strict=True)
    ]


def bits_of(value: float | int | bool) -> bytes:
    return struct.pack("<d", value) if isinstance(value, float) else repr(int(value)).encode()


def expected_words(values: Sequence[Value]) -> list[tuple[bool, bytes]]:
    known = [None if value is None or value != value else value for value in values]
    return [(value is not None, b"" if value is None else bits_of(value)) for value in known]


def check(found: Found, wanted: Wanted, expected: Sequence[Value], first_row: int) -> None:
    is_large = [
        wanted.statistic == "sum" and type(x) is int and not -(2**63) <= x < 2**63 for x in expected
    ]
    overflow_row = first_row + is_large.index(True) if any(is_large) else -1
    assert found.overflow_row == overflow_row
    got, want = words_of(found), expected_words(expected)
    assert [x for x, bad in zip(got, is_large, strict=True) if not bad] == [
        x for x, bad in zip(want, is_large, strict=True) if not bad
    ]


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
    chunks = [Column(element, data.draw(chunked(element, values)))]
    chunks.append(Column("float64", data.draw(chunked("float64", other))))
    time_chunks, n_parts = data.draw(chunked("int64", times)), data.draw(st.integers(1, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8, 1 << 13])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 5, 13])))
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
    names: list[Name] = [name for name in NAMES if name not in ("rank", "percentile")]
    wanted = data.draw(requests(1, names))
    wanted = [one._replace(window=one.window._replace(own=False)) for one in wanted]
    column = Column(element, data.draw(chunked(element, values)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8, 1 << 13])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 5, 13])))
        patch.setattr(slices, "LONG", data.draw(st.sampled_from([1, 5, 1 << 17])))
        shift = partition_shift(n_rows + n_asking, n_entities)
        rows, asking = (
            ordered(numbers, [make_chunk("int64", at)], None, n_entities, RUN, 2, shift)
            for numbers, at in ((codes, times), (asking_codes, asking_times))
        )
        found = over(rows, [column], wanted, RUN, data.draw(st.integers(1, 5)), asking=asking)
    expected = over_by_definition(
        codes.tolist(),
        times,
        None,
        [(element, values)],
        wanted,
        asking=(asking_codes.tolist(), asking_times),
    )
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_rows_that_ask_have_the_entities_of_those_seen_and_no_windows_of_their_own() -> None:
    def rows_of(n_entities: int) -> Ordered:
        codes = np.zeros(1, np.int32)
        return ordered(codes, [make_chunk("int64", [0])], None, n_entities, RUN)

    column = Column("int64", [make_chunk("int64", [1])])
    with pytest.raises(ValueError, match="other entities"):
        over(rows_of(1), [column], [Wanted(Window(), 0, "sum")], RUN, asking=rows_of(2))
    with pytest.raises(ValueError, match="the row itself"):
        over(rows_of(1), [column], [Wanted(Window(own=True), 0, "sum")], RUN, asking=rows_of(1))


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
    wanted = data.draw(requests(1, ["sum", "mean", "var", "std", "slope", "ewm_mean"]))
    rows = ordered(codes, [make_chunk("int64", times)], None, 3, RUN)
    found = over(rows, [Column("float64", data.draw(chunked("float64", values)))], wanted, RUN)
    expected = over_by_definition(codes.tolist(), times, None, [("float64", values)], wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


@pytest.mark.parametrize("element", ["int64", "uint64", "float64"])
@given(data=st.data())
def test_ties_order_rows_of_one_instant(element: str, data: st.DataObject) -> None:
    ties = data.draw(columns(element, 40))[:40]
    n_rows = len(ties)
    times: list[Value] = data.draw(st.lists(st.integers(0, 3), min_size=n_rows, max_size=n_rows))
    codes, n_entities = data.draw(entities(n_rows))
    chunks = [make_chunk("int64", times)]
    rows = ordered(
        codes, chunks, Column(element, data.draw(chunked(element, ties))), n_entities, RUN
    )
    numbers = np.arange(n_rows)
    wanted = [Wanted(Window(own=True), 0, "lag", n=2), Wanted(Window(own=True), 0, "n_rows")]
    found = over(rows, [Column("int64", [numpy_chunk(numbers)])], wanted, RUN)
    expected = over_by_definition(
        codes.tolist(), times, ties, [("int64", numbers.tolist())], wanted
    )
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


@given(seed=st.integers(0, 2**32), n_rows=st.sampled_from([0, 1, 3000]), is_sorted=st.booleans())
def test_permutation_is_the_order_of_windows(seed: int, n_rows: int, is_sorted: bool) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-1, 40, n_rows, np.int32)
    times, ties = random.integers(0, 50, n_rows), random.integers(0, 3, n_rows)
    if is_sorted:
        times.sort()
    column = Column("int64", [numpy_chunk(ties)])
    rows = ordered(codes, [numpy_chunk(times)], column, 40, RUN, 3)
    expected = np.lexsort((np.arange(n_rows), ties, times, codes))
    expected = expected[codes[expected] >= 0]
    assert permutation(rows, RUN).tolist() == expected.tolist()
    assert rows.times[: len(expected)].tolist() == times[expected].tolist()
    assert rows.is_as_given == (expected.tolist() == list(range(n_rows)))


def everything(column: int = 0) -> list[Wanted]:
    """Return all statistics over windows that are short, long, of rows, of all, with peers."""
    few = [
        Window(-50, -1), Window(-1000, own=True), Window(NO_BOUND, own=True, rows=3),
        Window(NO_BOUND, -1), Window(-3000, -900, min_samples=2), Window(-10, 10),
    ]  # fmt: skip
    wanted = [Wanted(window, column, name, n=2, q=0.3) for window in few for name in NAMES]
    return [of_all_past(one) for one in wanted]


def table(seed: int, n_rows: int, sizes: Sequence[float]) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    codes = random.choice(len(sizes), n_rows, p=sizes).astype(np.int32)
    values = random.normal(10, 3, n_rows)
    values[random.random(n_rows) < 0.05] = np.nan
    return codes, np.sort(random.integers(0, 30 * n_rows // len(sizes), n_rows)), values


def same(a: Found, b: Found) -> bool:
    """Return whether two results are the same to the bit."""
    if (a.present is None) != (b.present is None) or a.overflow_row != b.overflow_row:
        return False
    return a.values.tobytes() == b.values.tobytes() and same_flags(a.present, b.present)


def same_flags(a: Any, b: Any) -> bool:
    """Return whether both say the same of all rows, or nothing."""
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b))


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
    column = Column(element, [numpy_chunk(values)])
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
        parts = over(alone, [Column(element, [numpy_chunk(values_alone)])], wanted, RUN)
        for whole, part in zip(found, parts, strict=True):
            assert whole.values[own].tobytes() == part.values.tobytes()
            if part.present is not None and whole.present is not None:
                assert same_flags(whole.present[own], part.present)


@pytest.mark.parametrize("stripe_bits", [8, 13])
@pytest.mark.parametrize("first_row", [0, 1, 4000, 4096, 8999, 9000])
def test_history_changes_nothing_but_who_asks(first_row: int, stripe_bits: int) -> None:
    codes, times, values = table(3, 9000, [0.5, *[0.5 / 40] * 40])
    codes[::50] = -1
    column, wanted = Column("float64", [numpy_chunk(values)]), everything()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "MIN_STRIPE_BITS", stripe_bits)
        rows = ordered(codes, [numpy_chunk(times)], None, 41, RUN, 3)
        whole, some = (over(rows, [column], wanted, RUN, 3, first) for first in (0, first_row))
    for a, b in zip(whole, some, strict=True):
        assert a.values[first_row:].tobytes() == b.values.tobytes()
        if a.present is not None:
            assert same_flags(a.present[first_row:], b.present)


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

    def found(places: Any, first: int, n_parts: int) -> list[Found]:
        chunks = [numpy_chunk(instants_of[places])]
        rows = ordered(numbers[places], chunks, None, 60, RUN, n_parts)
        assert rows.is_as_given == (places[0] == 0)
        return over(
            rows, [Column(kind, [numpy_chunk(values[places])])], wanted, RUN, n_parts, first
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


def test_a_long_entity_equals_the_reference() -> None:
    n_rows = 1300  # more than one block of rows that ask
    random = np.random.default_rng(5)
    times, values = np.sort(random.integers(0, 4000, n_rows)), random.integers(-9, 9, n_rows) / 4
    names: list[Name] = ["count", "sum", "min", "max", "last", "quantile", "n_unique", "mode"]
    wanted = [Wanted(Window(-100, -1), 0, name) for name in names]
    codes = np.zeros(n_rows, np.int32)
    rows = ordered(codes, [numpy_chunk(times)], None, 1, RUN)
    found = over(rows, [Column("float64", [numpy_chunk(values)])], wanted, RUN)
    columns_of = [("float64", values.tolist())]
    expected = over_by_definition(codes.tolist(), times.tolist(), None, columns_of, wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_sums_of_integers_name_the_first_row_that_overflows() -> None:
    values = np.array([2**62, 1, 2**62, 2**62, -(2**62)])
    codes = np.array([0, 1, 0, 1, 0], np.int32)
    rows = ordered(codes, [numpy_chunk(np.arange(5))], None, 2, RUN)
    column = Column("int64", [numpy_chunk(values)])
    window = Window(own=True)
    (found,) = over(rows, [column], [Wanted(window, 0, "sum")], RUN)
    assert found.overflow_row == 2
    assert found.values.tolist() == [2**62, 1, 0, 2**62 + 1, 2**62]
    (found,) = over(rows, [column], [Wanted(window, 0, "sum")], RUN, first_row=3)
    assert found.overflow_row == -1


@given(data=st.data())
def test_a_late_row_of_the_history_is_the_first(data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(0, 40))
    codes, n_entities = data.draw(entities(n_rows))
    times, first_row = data.draw(instants(n_rows)), data.draw(st.integers(0, n_rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "PARTITION_ROWS", data.draw(st.sampled_from([1, 8])))
        patch.setattr(ordering, "MIN_STRIPE_BITS", data.draw(st.sampled_from([4, 13])))
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
    found = over(rows, [Column("int64", data.draw(chunked("int64", values)))], wanted, RUN)
    expected = over_by_definition(codes.tolist(), times, None, [("int64", values)], wanted)
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
    past = st.builds(Window, low, st.just(-1), st.booleans(), st.sampled_from([0, 2]), least)
    picks: list[tuple[int, Name, int]] = [(0, "last", 1), (1, "last", 1), (0, "lag", 2)]
    wanted = [Wanted(data.draw(past), column, name, n=n) for column, name, n in picks]
    wanted = [one._replace(since=since) for one in wanted]
    rows = ordered(codes, [make_chunk("int64", times)], None, n_entities, RUN)
    columns = [Column("int64", data.draw(chunked("int64", values))) for values in (times, some)]
    found = over(rows, columns, wanted, RUN)
    by_definition = [("int64", times), ("int64", some)]
    expected = over_by_definition(codes.tolist(), times, None, by_definition, wanted)
    for one, got, want in zip(wanted, found, expected, strict=True):
        check(got, one, want, 0)


def test_a_time_since_beyond_int64_names_its_row() -> None:
    times = np.array([-(2**63), 0, 2**63 - 1])
    rows = ordered(np.zeros(3, np.int32), [numpy_chunk(times)], None, 1, RUN)
    wanted = Wanted(Window(high=-1, rows=1), 0, "lag", since=(1, 0))
    far = wanted._replace(n=2, window=Window(high=-1))
    found = over(rows, [Column("int64", [numpy_chunk(times)])], [wanted, far], RUN)
    assert [one.overflow_row for one in found] == [1, 2]
    assert found[0].values[2] == 2**63 - 1


def test_slices_of_a_long_entity_reach_what_its_windows_do() -> None:
    times = np.arange(0, 4000, 2)
    codes = np.repeat(np.array([0, 1, 2], np.int32), [1500, 480, 20])
    rows = ordered(codes, [numpy_chunk(times)], None, 3, RUN)
    near = [Wanted(Window(-50, own=True), 0, "sum"), Wanted(Window(own=True), 0, "lag", n=40)]
    far = Wanted(Window(own=True), 0, "sum")
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


def test_what_has_left_a_window_changes_nothing_in_it() -> None:
    wild = [1e300, -1e300, math.inf, -math.inf, 5e-324, math.nan, 1e-300]
    calm = np.random.default_rng(1).normal(size=200)
    codes, times = np.zeros(207, np.int32), np.arange(207)
    leaving: list[Name] = [name for name in NAMES if not name.startswith("ewm")]
    wanted = [Wanted(Window(-10, -1), 0, name, q=0.4) for name in leaving]
    rows = ordered(codes, [numpy_chunk(times)], None, 1, RUN)
    values = np.concatenate([wild, calm])
    found = over(rows, [Column("float64", [numpy_chunk(values)])], wanted, RUN)
    alone = ordered(codes[:200], [numpy_chunk(times[:200])], None, 1, RUN)
    clean = over(alone, [Column("float64", [numpy_chunk(calm)])], wanted, RUN)
    for a, b in zip(found, clean, strict=True):
        assert a.values[17:].tobytes() == b.values[10:].tobytes()


def test_only_numbers_of_rows_are_asked_for() -> None:
    rows = ordered(np.array([0, 0, -1], np.int32), [numpy_chunk(np.arange(3))], None, 1, RUN)
    (found,) = over(rows, [], [Wanted(Window(own=True), 0, "n_rows")], RUN)
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
    with pytest.raises(ValueError, match="3 rows where 2"):
        ordered(codes[:2], times, None, 1, RUN)
    rows, column = ordered(codes, times, None, 1, RUN), Column("int64", times)
    bad = [
        Wanted(Window(), 1, "sum"),
        Wanted(Window(rows=-1), 0, "sum"),
        Wanted(Window(), 0, "lag", n=0),
        Wanted(Window(), 0, "var", ddof=-1),
        Wanted(Window(), 0, "quantile", q=math.nan),
        Wanted(Window(), 0, "sum", since=(1, 0)),
        Wanted(Window(), 0, "whole_quantile"),
        Wanted(Window(), 0, "ewm_mean", decay=1.5),
        Wanted(Window(), 0, "ewm_mean_by", half_life=0.0),
        Wanted(Window(low=-3), 0, "ewm_mean"),
        Wanted(Window(rows=3), 0, "ewm_mean_by"),
        Wanted(Window(), 0, "slope", per=(1, 0)),
    ]
    for one in bad:
        with pytest.raises(ValueError, match="out of range"):
            over(rows, [column], [one], RUN)


def test_sums_of_many_rows_are_exact() -> None:
    n_rows = 30_000  # the sum of the high limbs is no float any more
    values = np.random.default_rng(4).uniform(1.9, 2, n_rows)
    values[::7] += 2.0**-40
    rows = ordered(np.zeros(n_rows, np.int32), [numpy_chunk(np.arange(n_rows))], None, 1, RUN)
    names: list[Name] = ["sum", "mean", "var", "std"]
    wanted = [Wanted(Window(own=True), 0, name) for name in names]
    found = over(rows, [Column("float64", [numpy_chunk(values)])], wanted, RUN)
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
