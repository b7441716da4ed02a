"""The windows of the CPU against their definitions: every function, window and type of value."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.ir.node import Call, params_of
from fastfeat.operators.windows import Window
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.steps.windows.between_ticks import TICKS, is_between_ticks

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.TiesInOrder"
)  # what they are is tested

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "float64": (pa.float64(), st.floats() | st.sampled_from([0.1, -0.0, 0.0, 1e300, -1e300])),
    "float32": (pa.float32(), st.floats(width=32)),
    "int64": (pa.int64(), st.integers(-(2**40), 2**40)),
    "uint64": (pa.uint64(), st.integers(0, 2**40)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "bool": (pa.bool_(), st.booleans()),
    "date32": (pa.date32(), st.integers(-(10**5), 10**5)),
    "duration": (pa.duration("us"), st.integers(-(2**40), 2**40)),
    "timestamp": (pa.timestamp("ms"), st.integers(-(2**40), 2**40)),
    "string": (pa.string(), st.sampled_from(["", "a", "b", "é"])),
}
NUMBERS = ("float64", "float32", "int64", "uint64", "int8", "bool")


def all_past(window: Window) -> Window:
    """Return a window of the same end that reaches back to the first row."""
    params = {**dict(window.node.params), "last": None, "rows": None}
    return Window(Call("window", window.node.args, params_of(**params)))


OF_ANY = {
    "count": lambda x, w: x.count(over=w),
    "null_count": lambda x, w: x.null_count(over=w),
    "n_unique": lambda x, w: x.n_unique(over=w),
    "first": lambda x, w: x.first(over=w),
    "last": lambda x, w: x.last(over=w),
    "lag": lambda x, w: x.lag(2, over=w),
    "rank": lambda x, w: x.rank(over=w),
    "percentile": lambda x, w: x.rank(over=w, method="max", pct=True),
}
OF_ORDERED = {
    "min": lambda x, w: x.min(over=w),
    "max": lambda x, w: x.max(over=w),
    "mode": lambda x, w: x.mode(over=w),
}
OF_NUMBERS = {
    "sum": lambda x, w: x.sum(over=w),
    "mean": lambda x, w: x.mean(over=w),
    "var": lambda x, w: x.var(over=w, ddof=0),
    "std": lambda x, w: x.std(over=w),
    "skew": lambda x, w: x.skew(over=w, bias=False),
    "kurtosis": lambda x, w: x.kurtosis(over=w),
    "quantile": lambda x, w: x.quantile(0.3, over=w, interpolation="midpoint"),
    "slope": lambda x, w: x.slope(over=w),
    "by_rows": lambda x, w: x.ewm_mean(alpha=0.3, over=all_past(w)),
    "by_time": lambda x, w: x.ewm_mean(half_life=3, over=all_past(w)),
    "sum_by_rows": lambda x, w: x.ewm_sum(alpha=0.3, over=all_past(w)),
    "sum_by_time": lambda x, w: x.ewm_sum(half_life=3, over=all_past(w)),
}
OF_BOOLS = {"streak": lambda x, w: x.streak(over=w)}
OF_TIMES = {
    "lower": lambda x, w: x.quantile(0.6, over=w, interpolation="lower"),
    "nearest": lambda x, w: x.quantile(0.3, over=w, interpolation="nearest"),
}
DURATIONS = {
    **{name: OF_NUMBERS[name] for name in ("sum", "mean", "quantile")},
    "median": lambda x, w: x.median(over=w),
    "between": lambda x, w: x.quantile(0.3, over=w),
}


def functions_of(kind: str) -> dict[str, Any]:
    """Return the functions over windows that take a type, as features."""
    found = {**OF_ANY, **({} if kind == "string" else OF_ORDERED)}
    found |= OF_NUMBERS if kind in NUMBERS else DURATIONS if kind == "duration" else {}
    found |= OF_BOOLS if kind == "bool" else {}
    found |= OF_TIMES if kind in ("date32", "timestamp", "duration") else {}
    if kind == "string":  # a feature is a number
        text = {name: found[name] for name in ("first", "last", "lag")}
        return {**found, **{n: (lambda x, w, f=f: f(x, w) == "a") for n, f in text.items()}}
    return found


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Return a window over whole-number times, with or without each of its options."""
    return ff.window(
        draw(st.none() | st.integers(1, 8)),
        time="t",
        by=draw(st.sampled_from(["k", None])),
        rows=draw(st.none() | st.integers(1, 4)),
        offset=draw(st.none() | st.integers(0, 3)),
        closed=draw(st.sampled_from(["left", "right", "both", "neither"])),
        min_samples=draw(st.integers(0, 3)),
        tie=draw(st.sampled_from([None, "tie"])),
    )


@st.composite
def tables(draw: st.DrawFn, kind: str) -> pa.Table:
    """Return rows with few times, two entities, missing values in every column, in chunks."""
    dtype, values = TYPES[kind]
    n = draw(st.integers(0, 30))

    def column(strategy: st.SearchStrategy[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(draw(st.lists(st.none() | strategy, min_size=n, max_size=n)), kind)

    columns = {
        "t": column(st.integers(-6, 6), pa.int64()),
        "k": column(st.sampled_from(["a", "b"]), pa.string()),
        "tie": column(st.floats(0, 2), pa.float64()),
        "x": column(values, dtype),
    }
    table = pa.table(columns)
    cut = draw(st.integers(0, n))
    return pa.concat_tables([table.slice(0, cut), table.slice(cut)])


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_every_function_over_every_window_is_its_definition(kind: str, data: st.DataObject) -> None:
    table, window = data.draw(tables(kind)), data.draw(windows())
    plan = ff.Plan({name: f(col("x"), window) for name, f in functions_of(kind).items()})
    fitted = plan.fit(table)
    found, expected = (
        fitted.transform(table, history="batch", backend=backend)
        for backend in ("cpu", "reference")
    )
    for name in fitted.feature_names:
        one, other = (features[name].combine_chunks() for features in (found, expected))
        assert one.type == other.type
        assert first_difference(one, other) is None, name


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "date"])
@given(data=st.data())
def test_ends_of_windows_fall_between_the_ticks_of_any_time(unit: str, data: st.DataObject) -> None:
    far = data.draw(st.sampled_from([5, 10**4, 2**40]))
    ticks = data.draw(st.lists(st.none() | st.integers(-far, far), max_size=20))
    kind = pa.date32() if unit == "date" else pa.timestamp(unit)
    times = pa.array([t if t is None or unit != "date" else t % 10**6 for t in ticks], pa.int64())
    column = times.cast(pa.int32()).view(kind) if unit == "date" else times.view(kind)
    window = ff.window(
        data.draw(st.sampled_from(["1ns", "3ns", "1ms", "1500ms", "36h", "3d"])),
        time="t",
        offset=data.draw(st.sampled_from([None, "1ns", "2ns", "1h", "25h"])),
        closed=data.draw(st.sampled_from(["left", "right", "both", "neither"])),
    )
    half_life = data.draw(st.sampled_from(["1ns", "7ns", "1ms", "36h"]))
    plan = ff.Plan(
        {
            "n": ff.count(over=window),
            "since": ff.time_since_last(over=window),
            "slope": col("x").slope(over=window),
            "by_time": col("x").ewm_mean(half_life=half_life, over=all_past(window)),
            "sum_by_time": col("x").ewm_sum(half_life=half_life, over=all_past(window)),
        }
    )
    values = data.draw(st.lists(st.floats(), min_size=len(ticks), max_size=len(ticks)))
    table = pa.table({"t": column, "x": pa.array(values, pa.float64())})
    if is_between_ticks(window, TICKS[unit]):
        with pytest.raises(TypeMismatch, match="the window is always empty"):
            plan.fit(table)
        return
    fitted = plan.fit(table)
    found, expected = (
        fitted.transform(table, history="batch", backend=backend).to_pydict()
        for backend in ("cpu", "reference")
    )
    assert found == expected


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_sum_beyond_int64_names_the_feature_and_the_row(backend: str) -> None:
    table = {"t": [0, 1, 2], "x": [2**62, 2**62, 0]}
    fitted = ff.Plan({"s": col("x").sum(over=ff.window(time="t"))}).fit(table)
    with pytest.raises(Overflow, match=r"col\('x'\)\.sum\(.*\), row 2: .*Cast the values"):
        fitted.transform(table, history="batch", backend=backend)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_time_since_beyond_int64_names_the_feature_and_the_row(backend: str) -> None:
    since = ff.time_since_last(over=ff.window(time="t"))
    fitted = ff.Plan({"n": ff.count(over=ff.window(time="t")), "s": since}).fit({"t": [0]})
    with pytest.raises(
        Overflow, match=r"time_since_last\(.*\), row 1: the time since that row does"
    ):
        fitted.transform({"t": [-(2**63), 2**63 - 1]}, history="batch", backend=backend)
