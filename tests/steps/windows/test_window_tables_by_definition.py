"""Windows over the rows of a table against their definition, of any type and any unit of time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.operators.windows import Window
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.steps.windows.between_ticks import TICKS, is_between_ticks
from fastfeat_tests.steps.windows.payments_table import payments, seen

EXAMPLES = 10 + settings().max_examples // 4
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "float64": (pa.float64(), st.floats() | st.sampled_from([0.1, -0.0, 1e300, -1e300])),
    "float32": (pa.float32(), st.floats(width=32)),
    "int64": (pa.int64(), st.integers(-(2**40), 2**40)),
    "uint64": (pa.uint64(), st.integers(0, 2**40)),
    "bool": (pa.bool_(), st.booleans()),
    "date32": (pa.date32(), st.integers(-(10**5), 10**5)),
    "duration": (pa.duration("us"), st.integers(-(2**40), 2**40)),
    "string": (pa.string(), st.sampled_from(["", "a", "é"])),
}
OF_ANY: dict[str, Any] = {
    "count": lambda x, w: x.count(over=w),
    "null_count": lambda x, w: x.null_count(over=w),
    "n_unique": lambda x, w: x.n_unique(over=w),
    "last": lambda x, w: x.last(over=w),
    "lag": lambda x, w: x.lag(2, over=w),
    "first": lambda x, w: x.first(over=w),
}
OF_ORDERED: dict[str, Any] = {
    "min": lambda x, w: x.min(over=w),
    "max": lambda x, w: x.max(over=w),
    "mode": lambda x, w: x.mode(over=w),
}
OF_NUMBERS: dict[str, Any] = {
    "sum": lambda x, w: x.sum(over=w),
    "mean": lambda x, w: x.mean(over=w),
    "std": lambda x, w: x.std(over=w),
    "skew": lambda x, w: x.skew(over=w),
    "kurtosis": lambda x, w: x.kurtosis(over=w, bias=False, fisher=False),
    "quantile": lambda x, w: x.quantile(0.3, over=w),
    "slope": lambda x, w: x.slope(over=w),
}
OF_ALL_PAST: dict[str, Any] = {
    "ewm_mean": lambda x, w: x.ewm_mean(alpha=0.3, over=w),
    "ewm_mean_by": lambda x, w: x.ewm_mean(half_life=2, over=w),
    "ewm_sum": lambda x, w: x.ewm_sum(alpha=0.3, over=w),
    "ewm_sum_by": lambda x, w: x.ewm_sum(half_life=2, over=w),
}


def functions_of(kind: str, window: Window) -> dict[str, Any]:
    """Return the functions over a window that take a type."""
    found = {**OF_ANY, **({} if kind == "string" else OF_ORDERED)}
    if kind == "duration":
        return found | {name: OF_NUMBERS[name] for name in ("sum", "mean", "quantile")}
    if kind in ("date32", "string"):
        return found
    found |= {**OF_NUMBERS, **({"streak": lambda x, w: x.streak(over=w)} if kind == "bool" else {})}
    given = dict(window.node.params)
    return found if given["last"] or given["rows"] else {**found, **OF_ALL_PAST}


def columns(draw: st.DrawFn, n: int, **of: tuple[st.SearchStrategy[Any], pa.DataType]) -> pa.Table:
    """Return columns with missing values, in two chunks."""
    table = pa.table(
        {
            name: pa.array(draw(st.lists(st.none() | x, min_size=n, max_size=n)), kind)
            for name, (x, kind) in of.items()
        }
    )
    cut = draw(st.integers(0, n))
    return pa.concat_tables([table.slice(0, cut), table.slice(cut)])


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([*TYPES]), st.data())
def test_every_function_over_every_window_is_its_definition(kind: str, data: st.DataObject) -> None:
    draw: Any = data.draw
    dtype, values = TYPES[kind]
    moments, cards = (st.integers(-6, 6), pa.int64()), st.sampled_from(["a", "b", "c"])
    rows = columns(draw, draw(st.integers(0, 25)), ts=moments, card=(cards, pa.string()))
    ties = (st.floats(0, 2), pa.float64())
    table = columns(
        draw,
        draw(st.integers(0, 25)),
        ts=moments,
        card=(st.sampled_from(["a", "b"]), pa.string()),
        seq=ties,
        x=(values, dtype),
    )
    window = payments(
        draw(st.none() | st.integers(1, 8)),
        by=draw(st.sampled_from(["card", None])),
        rows=draw(st.none() | st.integers(1, 4)),
        offset=draw(st.none() | st.integers(0, 3)),
        closed=draw(st.sampled_from(["left", "right", "both", "neither"])),
        min_samples=draw(st.integers(0, 3)),
        tie=draw(st.sampled_from([None, "seq"])),
    )
    functions = functions_of(kind, window)
    features = {name: function(col("x"), window) for name, function in functions.items()}
    if kind == "string":  # a feature is a number
        features |= {name: features[name] == "a" for name in ("first", "last", "lag")}
    fitted = ff.Plan(features).fit(rows, tables={"payments": table})
    found, expected = (
        fitted.transform(rows, tables={"payments": table}, backend=backend)
        for backend in ("cpu", "reference")
    )
    for name in fitted.feature_names:
        one, other = (features[name].combine_chunks() for features in (found, expected))
        assert one.type == other.type
        assert first_difference(one, other) is None, name


UNITS = {unit: pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")} | {
    "date32": pa.date32(),
    "date64": pa.date64(),
}
MS_OF_DAY = 86_400_000


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([*UNITS]), st.sampled_from([*UNITS]), st.data())
def test_times_of_any_two_units_are_compared_as_instants(
    left: str, right: str, data: st.DataObject
) -> None:
    draw: Any = data.draw
    far = draw(st.sampled_from([5, 10**4, 2**30, 2**62]))

    def times(unit: str, n: int) -> pa.Array:
        ticks = draw(st.lists(st.none() | st.integers(-far, far), min_size=n, max_size=n))
        if unit == "date32":
            ticks = [None if t is None else max(min(t, 2**31 - 1), -(2**31)) for t in ticks]
            return pa.array(ticks, pa.int32()).view(UNITS[unit])
        if unit == "date64":
            ticks = [None if t is None else t // MS_OF_DAY * MS_OF_DAY for t in ticks]
        return pa.array(ticks, pa.int64()).view(UNITS[unit])

    rows = pa.table({"ts": times(left, 15), "card": [0, 1, 2] * 5})
    table = pa.table({"ts": times(right, 20), "card": [0.0, 1.0] * 10, "x": [*range(20)]})
    window = payments(
        draw(st.sampled_from([None, "1ns", "3ns", "1500ms", "36h", "3d"])),
        offset=draw(st.sampled_from([None, "1ns", "1h", "25h"])),
        closed=draw(st.sampled_from(["left", "right", "both", "neither"])),
    )
    features = {
        "n": ff.count(over=window),
        "since": ff.time_since_last(over=window),
        "sum": col("x").sum(over=window),
        "lag": col("x").lag(2, over=window),
        "slope": col("x").slope(over=window),
        "level": col("x").ewm_mean(half_life="90m", over=payments(closed="right")),
        "total": col("x").ewm_sum(half_life="90m", over=payments(closed="right")),
    }
    if is_between_ticks(window, min(TICKS[left], TICKS[right])):
        with pytest.raises(TypeMismatch, match="the window is always empty"):
            seen(features, rows, table)
        return
    found, expected = (seen(features, rows, table, backend) for backend in ("cpu", "reference"))
    assert found == expected


def test_times_that_the_finer_type_does_not_hold_are_still_compared() -> None:
    second, longest = pa.timestamp("s"), 2**63 - 1
    late = pa.array([253_402_300_799, 0], second)  # the year 9999
    precise = pa.array([longest, -longest], pa.timestamp("ns"))
    n = {"n": ff.count(over=ff.window(time="ts", table="payments")), "x": col("x").sum(
        over=ff.window(time="ts", table="payments")
    )}  # fmt: skip
    for backend in ("cpu", "reference"):
        asked = seen(n, {"ts": late}, pa.table({"ts": precise, "x": [1, 2]}), backend)
        assert asked == {"n": [2, 1], "x": [3, 2]}
        told = seen(n, {"ts": precise}, pa.table({"ts": late, "x": [1, 2]}), backend)
        assert told == {"n": [1, 0], "x": [2, 0]}
        ancient = pa.table({"ts": pa.array([-62_135_596_800, 0], second), "x": [1, 2]})  # year 1
        assert seen(n, {"ts": precise}, ancient, backend) == {"n": [2, 1], "x": [3, 1]}
    table = pa.table({"ts": precise, "x": [2**62, 2**62]})
    total = {"x": (col("x") * 1).sum(over=ff.window(time="ts", closed="both", table="payments"))}
    for backend in ("cpu", "reference"):
        with pytest.raises(Overflow, match="row 0"):
            seen(total, {"ts": late}, table, backend)
