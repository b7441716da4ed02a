"""Rows, windows and statistics for tests of the kernel of windows, and how results are compared."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.windows.requests import (
    NO_BOUND,
    StatisticColumn,
    WantedStatistic,
    WindowBounds,
)
from fastfeat_kernels.windows.statistics import STATISTICS
from fastfeat_kernels.words import Interpolation, RankMethod
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import Value, compiled

RUN = compiled("windows")
EXTREME_TIMES = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1]
BOUNDS = [NO_BOUND, -(2**63) + 1, -10, -3, -1, 0, 1, 4, 2**63 - 1]
NAMES = [name for name, row in STATISTICS.items() if not row.of_integers]
METHODS: list[RankMethod] = ["average", "min", "max"]
INTERPOLATIONS: list[Interpolation] = ["linear", "lower", "higher", "nearest", "midpoint"]


@st.composite
def windows(draw: st.DrawFn) -> WindowBounds:
    return WindowBounds(
        draw(st.sampled_from(BOUNDS)),
        draw(st.sampled_from(BOUNDS)),
        draw(st.booleans()),
        draw(st.sampled_from([0, 0, 1, 2, 3, 10])),
        draw(st.sampled_from([0, 0, 0, 1, 2, 5])),
    )


def of_all_past(wanted: WantedStatistic) -> WantedStatistic:
    """Return the same over a window that holds all before its end, where only that is computed."""
    if not STATISTICS[wanted.statistic].of_all_past:
        return wanted
    return wanted._replace(window=wanted.window._replace(low=NO_BOUND, rows=0))


@st.composite
def requests(
    draw: st.DrawFn,
    n_columns: int,
    names: Sequence[str] = NAMES,
    window: st.SearchStrategy[WindowBounds] = windows(),  # noqa: B008
) -> list[WantedStatistic]:
    few = draw(st.lists(window, min_size=1, max_size=3))
    one = st.builds(
        WantedStatistic,
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
        st.booleans(),
        st.booleans(),
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


def words_of(found: StatisticColumn) -> list[tuple[bool, bytes]]:
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


def check(
    found: StatisticColumn, wanted: WantedStatistic, expected: Sequence[Value], first_row: int
) -> None:
    is_large = [
        wanted.statistic == "sum" and type(x) is int and not -(2**63) <= x < 2**63 for x in expected
    ]
    overflow_row = first_row + is_large.index(True) if any(is_large) else -1
    assert found.overflow_row == overflow_row
    got, want = words_of(found), expected_words(expected)
    assert [x for x, bad in zip(got, is_large, strict=True) if not bad] == [
        x for x, bad in zip(want, is_large, strict=True) if not bad
    ]


def everything(column: int = 0) -> list[WantedStatistic]:
    """Return all statistics over windows that are short, long, of rows, of all, with peers."""
    few = [
        WindowBounds(-50, -1),
        WindowBounds(-1000, own=True),
        WindowBounds(NO_BOUND, own=True, rows=3),
        WindowBounds(NO_BOUND, -1),
        WindowBounds(-3000, -900, min_samples=2),
        WindowBounds(-10, 10),
    ]
    wanted = [WantedStatistic(window, column, name, n=2, q=0.3) for window in few for name in NAMES]
    return [of_all_past(one) for one in wanted]


def table(seed: int, n_rows: int, sizes: Sequence[float]) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    codes = random.choice(len(sizes), n_rows, p=sizes).astype(np.int32)
    values = random.normal(10, 3, n_rows)
    values[random.random(n_rows) < 0.05] = np.nan
    return codes, np.sort(random.integers(0, 30 * n_rows // len(sizes), n_rows)), values


def same(a: StatisticColumn, b: StatisticColumn) -> bool:
    """Return whether two results are the same to the bit."""
    if (a.present is None) != (b.present is None) or a.overflow_row != b.overflow_row:
        return False
    return a.values.tobytes() == b.values.tobytes() and same_flags(a.present, b.present)


def same_flags(a: Any, b: Any) -> bool:
    """Return whether both say the same of all rows, or nothing."""
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b))
