"""Windows over the rows of a table: what the data's rows see of it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payments_table import ASKING, PAYMENTS, payments, seen

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    InvalidPlan,
    Leakage,
    Overflow,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.operators.windows import Window
from fastfeat.plan.verify import first_difference

BACKENDS = ("cpu", "reference")
EXAMPLES = 10 + settings().max_examples // 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_the_table_feed_and_rows_of_the_data_ask(backend: str) -> None:
    all_before = payments()
    features = {
        "n": ff.count(over=all_before),
        "values": col("amount").count(over=all_before),
        "missing": col("amount").null_count(over=all_before),
        "total": col("amount").sum(over=all_before),
        "mean": col("amount").mean(over=all_before),
        "lag": col("amount").lag(1, over=all_before),
        "last": col("amount").last(over=all_before),
        "shop": col("shop").lag(2, over=all_before) == "y",
        "since": ff.time_since_last(over=all_before),
        "large": ff.time_since(col("amount") > 2, over=all_before),
    }
    assert seen(features, backend=backend) == {
        "n": [1, 4, 0, None, 0, None],
        "values": [1, 3, 0, None, 0, None],
        "missing": [0, 1, 0, None, 0, None],
        "total": [1.0, 8.0, 0.0, None, 0.0, None],
        "mean": [1.0, 8.0 / 3, None, None, None, None],
        "lag": [1.0, 4.0, None, None, None, None],
        "last": [1.0, 4.0, None, None, None, None],
        "shop": [None, None, None, None, None, None],
        "since": [10, 1, None, None, None, None],
        "large": [None, 1, None, None, None, None],
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_right_takes_all_rows_of_the_moment_and_tie_orders_them(backend: str) -> None:
    features = {
        "left": ff.count(over=payments(10)),
        "right": ff.count(over=payments(10, closed="right")),
        "both": ff.count(over=payments(10, closed="both")),
        "neither": ff.count(over=payments(10, closed="neither")),
        "offset": ff.count(over=payments(10, offset=1, closed="right")),
        "as_they_come": col("seq").lag(1, over=payments(closed="right")),
        "tied": col("seq").lag(1, over=payments(closed="right", tie="seq")),
        "latest": col("seq").sum(over=payments(closed="right", tie=col("seq"), rows=1)),
    }
    found = {name: column[:1] for name, column in seen(features, backend=backend).items()}
    assert found == {
        "left": [1],
        "right": [2],
        "both": [3],
        "neither": [0],
        "offset": [1],
        "as_they_come": [1],
        "tied": [2],
        "latest": [2],
    }


def test_min_samples_counts_values_and_rows_count_rows() -> None:
    features = {
        "mean": col("amount").mean(over=payments(min_samples=3)),
        "two": col("amount").mean(over=payments(rows=2)),
        "n": col("amount").count(over=payments(min_samples=9)),
    }
    assert seen(features) == {
        "mean": [None, 8.0 / 3, None, None, None, None],
        "two": [1.0, 3.5, None, None, None, None],
        "n": [1, 3, 0, None, 0, None],
    }


FUNCTIONS: dict[str, Callable[[list[float | None]], Any]] = {
    "count": lambda values: sum(x is not None for x in values),
    "sum": lambda values: math.fsum(x for x in values if x is not None),
    "max": lambda values: max((x for x in values if x is not None), default=None),
    "first": lambda values: next((x for x in values if x is not None), None),
    "n_unique": lambda values: len({x for x in values if x is not None}),
    "lag": lambda values: values[-2] if len(values) > 1 else None,
}


@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
@pytest.mark.parametrize("options", [(3, None, 0), (None, 2, 0), (5, 3, 2), (None, None, 1)])
def test_every_row_has_what_a_search_of_the_whole_table_finds(
    closed: str, options: tuple[int | None, int | None, int]
) -> None:
    last, rows, offset = options
    rng = np.random.default_rng(7)
    times, cards = rng.integers(0, 40, 200).tolist(), rng.integers(0, 5, 200).tolist()
    amounts = [None if x < 2 else float(x) for x in rng.integers(0, 9, 200)]
    asking = [*zip(rng.integers(-3, 45, 80).tolist(), rng.integers(0, 7, 80).tolist(), strict=True)]
    payments_of = sorted(zip(times, range(200), cards, amounts, strict=True), key=lambda p: p[:2])

    def window_of(moment: int, card: int) -> list[float | None]:
        end, found = moment - offset, list[float | None]()
        for time, _, other, amount in payments_of:
            is_before = time <= end if closed in ("right", "both") else time < end
            begin = end - (last or 0)
            is_after = time >= begin if closed in ("left", "both") else time > begin
            if other == card and is_before and (last is None or is_after):
                found.append(amount)
        return found[-rows:] if rows else found

    window = payments(last, rows=rows, offset=offset or None, closed=closed)
    arguments: dict[str, Any] = {"lag": {"n": 2}}
    features = {
        name: getattr(col("amount"), name)(over=window, **arguments.get(name, {}))
        for name in FUNCTIONS
    }
    table = {"ts": times, "card": cards, "amount": amounts}
    data = {"ts": [moment for moment, _ in asking], "card": [card for _, card in asking]}
    for backend in ("cpu", "reference"):
        found = seen(features, data, pa.table(table), backend)
        for name, function in FUNCTIONS.items():
            assert found[name] == [function(window_of(*row)) for row in asking], (name, backend)


def test_windows_are_those_of_duckdb() -> None:
    rng = np.random.default_rng(11)
    start = np.datetime64("2024-01-01", "us")
    table = pa.table(
        {
            "ts": start + rng.integers(0, 10**6, 500) * np.timedelta64(1, "s"),
            "card": rng.integers(0, 20, 500),
            "amount": rng.integers(0, 1000, 500),
        }
    )
    data = pa.table(
        {
            "ts": start + rng.integers(0, 10**6, 300) * np.timedelta64(1, "s"),
            "card": rng.integers(0, 25, 300),
        }
    )
    week = payments("3d", closed="right")
    found = seen(
        {
            "n": ff.count(over=week),
            "total": col("amount").sum(over=week),
            "least": col("amount").min(over=week),
        },
        data,
        table,
    )
    query = """
        SELECT count(p.ts) AS n, coalesce(sum(p.amount), 0)::BIGINT AS total, min(p.amount) AS least
        FROM (SELECT row_number() OVER () AS i, * FROM data) d LEFT JOIN table_ p
        ON p.card = d.card AND p.ts <= d.ts AND p.ts > d.ts - INTERVAL 3 DAY
        GROUP BY d.i ORDER BY d.i
    """
    with duckdb.connect() as connection:
        connection.register("data", data)
        connection.register("table_", table)
        expected = connection.execute(query).fetchall()
    assert [*zip(*found.values(), strict=True)] == expected


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
    "quantile": lambda x, w: x.quantile(0.3, over=w),
    "slope": lambda x, w: x.slope(over=w),
}
OF_ALL_PAST: dict[str, Any] = {
    "ewm_mean": lambda x, w: x.ewm_mean(alpha=0.3, over=w),
    "ewm_mean_by": lambda x, w: x.ewm_mean(half_life=2, over=w),
}


def functions_of(kind: str, window: Window) -> dict[str, Any]:
    """Return the functions over a window that take a type."""
    found = {**OF_ANY, **({} if kind == "string" else OF_ORDERED)}
    if kind == "duration":
        return {**found, "sum": OF_NUMBERS["sum"], "mean": OF_NUMBERS["mean"]}
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
    }
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


def test_expressions_inside_are_computed_over_the_rows_of_the_table() -> None:
    every = payments(closed="right")
    data = {"ts": [40], "card": ["a"], "amount": [1e9]}
    tags = pa.array([["u"], [], ["u", "v"], None, [], [], []], pa.list_(pa.string()))
    table = PAYMENTS.append_column("tags", tags)
    features = {
        "large": (col("amount") > 2).sum(over=every),
        "ratio": (col("amount") / (col("seq") + 1)).mean(over=every),
        "upper": (col("shop").str.to_uppercase() == "Y").sum(over=every),
        "length": col("shop").str.len_chars().sum(over=every),
        "chosen": ff.when(col("shop") == "y").then(col("amount")).otherwise(0).sum(over=every),
        "tags": col("tags").list.len().sum(over=every),
        "one": ff.lit(1).sum(over=every),
        "outside": col("amount").max(over=every) + col("amount"),
    }
    for backend in ("cpu", "reference"):
        assert seen(features, data, table, backend) == {
            "large": [2],
            "ratio": [(4.0 + 1.0 + 1.5) / 3],
            "upper": [2],
            "length": [3],
            "chosen": [1.0],
            "tags": [3],
            "one": [4],
            "outside": [4.0 + 1e9],
        }


def test_keys_of_several_parts_and_other_types_are_compared_exactly() -> None:
    table = pa.table(
        {
            "at": [1, 2, 3],
            "k": [1.0, 2.0, 2.5],
            "who": pa.array([*"abb"]).dictionary_encode(),
        }
    )
    data = {"ts": [9, 9, 9], "k": pa.array([1, 2, 2], pa.int8()), "name": ["A", "B", "a"]}
    by: Any = {"k": "k", col("name").str.to_lowercase(): "who"}
    window = ff.window(time="ts", right_time="at", by=by, table="payments")
    for backend in ("cpu", "reference"):
        assert seen({"n": ff.count(over=window)}, data, table, backend) == {"n": [1, 1, 0]}
    told = "ff.window(by={'k': 'k', col('name').str.to_lowercase(): 'who'}, time='ts', "
    assert repr(window) == told + "table='payments', right_time='at')"
    tied = payments("7d", rows=3, offset="1h", closed="both", min_samples=2, tie="seq")
    assert repr(tied) == (
        "ff.window('7d', rows=3, by='card', time='ts', offset='1h', closed='both', min_samples=2, "
        "tie='seq', table='payments')"
    )


def test_a_window_stands_in_any_expression_and_under_training_aggregates_and_windows() -> None:
    week, card = payments(15), ff.window(time="ts", by="card")
    paid = col("amount").sum(over=week)
    features = {
        "scaled": paid.standard_scale(),
        "before": paid.max(over=card),
        "coded": col("shop").last(over=week).ordinal_encode(),
        "mixed": ff.count(over=week) - ff.count(over=card),
    }
    data = pa.table({"ts": [20, 31, 40], "card": ["a", "a", "a"]})
    tables = {"payments": PAYMENTS}
    fitted, found = ff.Plan(features).fit_transform(data, tables=tables)
    assert found["before"].to_pylist() == [None, 1.0, 7.0]
    assert found["mixed"].to_pylist() == [1, 2, -1]
    report = fitted.verify(data, tables=tables, history="batch", backends=BACKENDS)
    assert report.ok, report
    assert fitted.plan.history_needed() == {"card": "everything"}


def fitted_plan() -> ff.FittedPlan:
    """Return a plan of which every function is over a window of a table."""
    window = payments(15, closed="right", tie="seq")
    features = {
        "n": ff.count(over=window),
        "mean": col("amount").mean(over=window),
        "min": col("amount").min(over=window),
        "shop": col("shop").mode(over=window).ordinal_encode(),
        "first": col("shop").first(over=window) == "y",
        "since": ff.time_since_last(over=window),
        "log": (col("amount") + 1).log().sum(over=window),
    }
    return ff.Plan(features).fit(ASKING, tables={"payments": PAYMENTS})


def test_rows_alone_in_parts_and_in_a_batch_see_the_same() -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    report = fitted.verify(ASKING, tables=tables, backends=BACKENDS)
    assert report.ok, report
    assert "batch = one row at a time (6 rows)" in str(report)
    whole = fitted.transform(ASKING, tables=tables)
    parts = [fitted.transform(ASKING.slice(k, 2), tables=tables) for k in (0, 2, 4)]
    assert pa.concat_tables(parts).equals(whole)
    order = [6, 2, 3, 0, 5, 1, 4]  # rows of one instant and tie stay as they were
    moved = fitted.transform(ASKING, tables={"payments": PAYMENTS.take(order).to_pandas()})
    assert moved.equals(whole)
    with pytest.raises(UnknownColumn, match="lacks the column 'card'"):
        fitted.transform_row({"ts": 3}, tables=tables)
    row = fitted.transform_row({"ts": 31, "card": "a"}, tables={"payments": PAYMENTS.to_pydict()})
    assert row.tolist()[:2] == [3.0, 3.5]


def test_plans_that_saw_other_types_of_a_table_do_not_share_what_is_made_of_it() -> None:
    at = datetime.datetime(1970, 1, 1, 7)
    tables = {"payments": pa.table({"ts": [1], "card": ["a"], "when": [at]})}
    plan = ff.Plan({"hour": col("when").last(over=payments()).dt.hour()})
    for unit in ("us", "s", "ms"):
        table = {"ts": [1], "card": ["a"], "when": pa.array([at], pa.timestamp(unit))}
        fitted = plan.fit({"ts": [2], "card": ["a"]}, tables={"payments": table})
        assert fitted.transform_row({"ts": 2, "card": "a"}, tables=tables).tolist() == [7.0]
        found = fitted.transform({"ts": [2], "card": ["a"]}, tables=tables)
        assert found["hour"].to_pylist() == [7]


def test_plans_and_artifacts_are_read_again(tmp_path: Path) -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    expected = fitted.transform(ASKING, tables=tables)
    fitted.save(tmp_path / "plan")
    assert ff.load(tmp_path / "plan").transform(ASKING, tables=tables).equals(expected)
    chosen = fitted.select(["mean", "n"])
    assert chosen.transform(ASKING, tables=tables).equals(expected.select(["mean", "n"]))
    text = fitted.plan.to_json()
    assert ff.Plan.from_json(text).to_json() == text
    assert ff.Plan.from_json(text).fit(ASKING, tables=tables).transform(
        ASKING, tables=tables
    ).equals(expected)  # fmt: skip
    assert list(ff.Plan([col("amount").mean(over=payments())]).nodes) == ["amount"]


@pytest.mark.parametrize("closed", ["left", "right"])
def test_what_the_table_holds_later_changes_nothing(closed: str) -> None:
    window = payments(15, closed=closed, tie="seq")
    features = {"n": ff.count(over=window), "sum": col("amount").sum(over=window)}
    data = {"ts": [20], "card": ["a"]}
    known = PAYMENTS.filter(pc.field("ts") < (20 if closed == "left" else 21))
    later = known.slice(0, 2).set_column(0, "ts", pa.array([20 if closed == "left" else 21, 40]))
    assert seen(features, data, pa.concat_tables([later, known])) == seen(features, data, known)
    assert seen(features, data, PAYMENTS) == seen(features, data, known)


def test_history_adds_nothing_and_is_not_missed() -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    assert fitted.plan.history_needed() == {}
    alone = fitted.transform(ASKING, tables=tables)  # a warning would be an error
    earlier = {"ts": [1, 2], "card": ["a", "a"], "amount": [5.0, 5.0]}
    assert fitted.transform(ASKING, tables=tables, history=earlier).equals(alone)


def test_columns_of_the_table_are_not_late_and_are_told() -> None:
    plan = ff.Plan({"paid": col("amount").sum(over=payments("7d", closed="right"))}, label="amount")
    told = plan.explain("leakage")
    assert "lookup tables: payments['amount'], payments['ts'], payments['card']" in told
    assert "rows of tables: col('amount').sum(over=ff.window('7d', by='card', time='ts', " in told
    assert "own row: ts, card" in told
    with pytest.raises(Leakage, match="its time, key or tie reads what is known only after"):
        ff.Plan({"n": ff.count(over=payments())}, outcomes=["card"])


def test_a_window_over_a_table_is_written_in_full() -> None:
    for options, kind, told in (
        ({"table": 3}, TypeMismatch, "takes the name of a table"),
        ({"right_time": 3}, TypeMismatch, "takes the name of a column"),
        ({"time": col("ts") + 1}, InvalidPlan, "right_time="),
        ({"table": None, "right_time": "at"}, InvalidPlan, "give its name too"),
        ({"table": None, "by": {"card": "card"}}, InvalidPlan, "give its name too"),
        ({"by": col("card")}, TypeMismatch, "takes a name, a list of names, or a mapping"),
        ({"by": {}}, InvalidPlan, "names no key"),
        ({"tie": 1}, TypeMismatch, "takes the name of a column of the table"),
        ({"tie": col("seq") + 1}, TypeMismatch, "takes the name of a column of the table"),
    ):
        with pytest.raises(kind, match=told):
            payments(**options)


def test_an_empty_table_and_empty_data_give_empty_windows() -> None:
    features = {"n": ff.count(over=payments()), "m": col("amount").mean(over=payments())}
    empty = PAYMENTS.slice(0, 0)
    for backend in ("cpu", "reference"):
        found = seen(features, ASKING, empty, backend)
        assert found == {"n": [0, 0, 0, None, 0, None], "m": [None] * 6}
        assert seen(features, ASKING.slice(0, 0), PAYMENTS, backend) == {"n": [], "m": []}
