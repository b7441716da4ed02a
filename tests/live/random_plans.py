"""Random plans with windows, and random rows for them, in which anything may be missing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.operators.windows import Window

HOUR = 3_600_000_000
FLOATS = st.sampled_from([0.0, -0.0, 0.1, 1.5, -2.0, 1e300, float("inf"), -float("inf")])
FLOATS |= st.just(float("nan")) | st.floats(-10, 10)
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "card": (pa.string(), st.sampled_from(["a", "b"])),
    "shop": (pa.int32(), st.integers(1, 2)),
    "x": (pa.float64(), FLOATS),
    "small": (pa.float32(), st.sampled_from([0.5, -1.25, 3.0])),
    "whole": (pa.int64(), st.integers(-5, 5)),
    "flag": (pa.bool_(), st.booleans()),
    "device": (pa.string(), st.sampled_from(["web", "app", "é", ""])),
    "day": (pa.date32(), st.integers(0, 9)),
    "tie": (pa.float64(), st.sampled_from([0.0, 1.0, 2.0])),
    "tags": (pa.list_(pa.string()), st.lists(st.sampled_from(["u", "v"]), max_size=2)),
    "late": (pa.float64(), st.sampled_from([1.0, 2.0, -3.5])),
}
TABLES = {
    "rates": pa.table({"shop": [1, 2], "rate": [0.5, None], "name": ["one", "two"]}),
    "weather": pa.table({"t": [0, 2, 4, 6], "shop": [1, 1, 2, 2], "rain": [0.0, 1.0, None, 3.0]}),
}
X, WHOLE, DEVICE = col("x"), col("whole"), col("device")
SHOPS = ff.lookup("rates", by="shop").col("rate")
RAIN = ff.asof("weather", by="shop", time="t").col("rain")
TAGS = col("tags").list.len()
SUNNY = ff.window(4, by="shop", time="t", table="weather")
OF_ROWS: dict[str, ff.Expr] = {
    "row": X.clip(-5, 5),
    "scaled": X.clip(-5, 5).standard_scale(),
    "code": DEVICE.ordinal_encode(),
    "rate": SHOPS,
    "rain": RAIN,
    "rains": col("rain").sum(over=SUNNY),
    "n_tags": col("tags").list.len(),
    "bucket": DEVICE.hash(8),
}
"""Features that no window of the data is in."""
OF_LATE = ff.window("5h", by="card", time="ts")


def typed_column(draw: st.DrawFn, name: str, n: int) -> pa.Array:
    """Return a column of random values, each of which may be missing."""
    dtype, values = COLUMNS[name]
    return pa.array(draw(st.lists(st.none() | values, min_size=n, max_size=n)), dtype)


@st.composite
def events(draw: st.DrawFn, *, in_order: bool = False, most: int = 24) -> pa.Table:
    """Return rows at few moments of two clocks that run alike.

    Args:
        draw: draws.
        in_order: whether no row is earlier than one before it, by its tie breaker too.
        most: how many there are at most.
    """
    n = draw(st.integers(1, most))
    steps = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    moments = [
        t if known else None
        for t, known in zip(
            sorted(steps) if in_order else steps,
            draw(st.lists(st.sampled_from([True, True, True, False]), min_size=n, max_size=n)),
            strict=True,
        )
    ]
    columns = {
        "id": pa.array(range(100, 100 + n), pa.int64()),
        "t": pa.array(moments, pa.int64()),
        "ts": pa.array([None if t is None else t * HOUR for t in moments], pa.timestamp("us")),
    }
    columns |= {name: typed_column(draw, name, n) for name in COLUMNS}
    if in_order:
        steps.sort()
        ties = zip(steps, columns["tie"].to_pylist(), strict=True)
        ordered = sorted(ties, key=lambda one: (one[0], one[1] is not None, one[1] or 0))
        columns["tie"] = pa.array([tie for _, tie in ordered], pa.float64())
    return pa.table(columns)


OF_ANY = {
    "count": lambda x, w: x.count(over=w),
    "null_count": lambda x, w: x.null_count(over=w),
    "n_unique": lambda x, w: x.n_unique(over=w),
    "rank": lambda x, w: x.rank(over=w),
    "percentile": lambda x, w: x.rank(over=w, method="max", pct=True),
    "streak": lambda x, w: (x.is_null()).streak(over=w),
}
OF_NUMBERS = {
    **OF_ANY,
    "first": lambda x, w: x.first(over=w),
    "last": lambda x, w: x.last(over=w),
    "lag": lambda x, w: x.lag(2, over=w),
    "min": lambda x, w: x.min(over=w),
    "max": lambda x, w: x.max(over=w),
    "mode": lambda x, w: x.mode(over=w),
    "sum": lambda x, w: x.sum(over=w),
    "mean": lambda x, w: x.mean(over=w),
    "var": lambda x, w: x.var(over=w, ddof=0),
    "std": lambda x, w: x.std(over=w),
    "skew": lambda x, w: x.skew(over=w),
    "kurtosis": lambda x, w: x.kurtosis(over=w, bias=False),
    "quantile": lambda x, w: x.quantile(0.3, over=w, interpolation="midpoint"),
    "slope": lambda x, w: x.slope(over=w),
}
OF_TEXT = {
    **{name: OF_ANY[name] for name in ("count", "null_count", "n_unique", "rank")},
    "lag": lambda x, w: x.lag(1, over=w).ordinal_encode(),
    "last": lambda x, w: x.last(over=w) == "app",
    "first": lambda x, w: x.first(over=w).ordinal_encode(),
}
OF_TIMES = {
    "count": lambda w: ff.count(over=w),
    "since": lambda w: ff.time_since_last(over=w),
    "since_that": lambda w: ff.time_since(X > 1, over=w),
}


@st.composite
def windows(draw: st.DrawFn, *, in_order: bool = False) -> Window:
    """Return a window over one of two clocks; one of rows in order has no tie."""
    is_time = draw(st.booleans())

    def length(low: int, high: int) -> Any:
        n = draw(st.none() | st.integers(low, high))
        return n if n is None or not is_time else f"{n}h"

    return ff.window(
        length(1, 6),
        time="ts" if is_time else draw(st.sampled_from(["t", "t", col("t") + WHOLE * 0])),
        by=draw(st.sampled_from(["card", "shop", None, ["card", "shop"], X > 0])),
        rows=draw(st.none() | st.integers(1, 4)),
        offset=length(0, 3),
        closed=draw(st.sampled_from(["left", "right", "both", "neither"])),
        min_samples=draw(st.sampled_from([0, 0, 0, 2])),
        tie=None if in_order else draw(st.sampled_from([None, None, "tie"])),
    )


def unbounded(window: Window) -> Window:
    """Return a window of the same order over all rows before its end."""
    from fastfeat.ir.node import Call, params_of

    params = {**dict(window.node.params), "last": None, "rows": None}
    return Window(Call("window", window.node.args, params_of(**params)))


@st.composite
def functions(draw: st.DrawFn, value: ff.Expr | None, *, in_order: bool = False) -> ff.Expr:
    """Return a function over a window of some numbers, or of any column."""
    window = draw(windows(in_order=in_order))
    if value is None and draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(sorted(OF_TIMES)).map(OF_TIMES.__getitem__))(window)
    if value is None and draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(sorted(OF_TEXT)).map(OF_TEXT.__getitem__))(DEVICE, window)
    if in_order and draw(st.integers(0, 8)) == 0:
        return ff.session_id("2h", over=ff.window(time="ts", by="card"))
    if draw(st.integers(0, 8)) == 0:
        of = X if value is None else value
        length: Any = "5h" if window.node.args[0].args[0] is col("ts").node else 5
        half_life = st.just(of.ewm_sum(half_life=length, over=unbounded(window)))
        return draw(st.just(of.ewm_mean(alpha=0.3, over=unbounded(window))) | half_life)
    of = value
    if of is None:
        of = draw(st.sampled_from([X, X, WHOLE, col("small"), X.abs(), SHOPS, RAIN, TAGS]))
    return draw(st.sampled_from(sorted(OF_NUMBERS)).map(OF_NUMBERS.__getitem__))(of, window)


@st.composite
def features(draw: st.DrawFn, *, nested: bool = False) -> dict[str, ff.Expr]:
    """Return some features; nested ones are windows over what windows give, of rows in order."""
    found: dict[str, ff.Expr] = {}
    for k in range(draw(st.integers(1, 4))):
        one = draw(functions(None, in_order=nested))
        if nested and draw(st.booleans()):
            one = draw(functions(one.cast("float64"), in_order=True))
        found[f"f{k}"] = one
    for name in draw(st.lists(st.sampled_from(sorted(OF_ROWS)), max_size=2, unique=True)):
        found[name] = OF_ROWS[name]
    if draw(st.booleans()):
        found["late"] = col("late").mean(over=OF_LATE)
    return found


def fitted(chosen: dict[str, ff.Expr], rows: pa.Table) -> ff.FittedPlan:
    """Return a plan whose rows are told by their id, fitted on rows."""
    plan = ff.Plan(chosen, row_id="id", outcomes=["late"])
    return plan.fit(rows, tables=TABLES)
