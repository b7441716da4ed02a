"""Windows over the rows of a table: what the data's rows see of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.steps.windows.payments_table import ASKING, PAYMENTS, payments, seen

BACKENDS = ("cpu", "reference")


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


@pytest.mark.parametrize("closed", ["left", "right"])
def test_what_the_table_holds_later_changes_nothing(closed: str) -> None:
    window = payments(15, closed=closed, tie="seq")
    features = {"n": ff.count(over=window), "sum": col("amount").sum(over=window)}
    data = {"ts": [20], "card": ["a"]}
    known = PAYMENTS.filter(pc.field("ts") < (20 if closed == "left" else 21))
    later = known.slice(0, 2).set_column(0, "ts", pa.array([20 if closed == "left" else 21, 40]))
    assert seen(features, data, pa.concat_tables([later, known])) == seen(features, data, known)
    assert seen(features, data, PAYMENTS) == seen(features, data, known)


def test_an_empty_table_and_empty_data_give_empty_windows() -> None:
    features = {"n": ff.count(over=payments()), "m": col("amount").mean(over=payments())}
    empty = PAYMENTS.slice(0, 0)
    for backend in ("cpu", "reference"):
        found = seen(features, ASKING, empty, backend)
        assert found == {"n": [0, 0, 0, None, 0, None], "m": [None] * 6}
        assert seen(features, ASKING.slice(0, 0), PAYMENTS, backend) == {"n": [], "m": []}
