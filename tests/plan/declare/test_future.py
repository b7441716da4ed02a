"""No leakage through time, for each function over a window by name: nothing later moves a value."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Leakage, TypeMismatch
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, DType
from fastfeat.ir.node import params_of
from fastfeat.ir.parameters import are_valid
from fastfeat.operators.windows import Window, over_window
from fastfeat.steps.windows.rows import OVER_FUNCTIONS

Rows = list[dict[str, Any]]

SCHEMA = pa.schema(
    [
        *(("id", pa.int64()), ("t", pa.int64()), ("card", pa.string())),
        *(("x", pa.float64()), ("y", pa.int64())),
    ]
)
OPTIONS: Rows = [
    {},
    {"n": 2},
    {"ddof": 1},
    {"q": 0.3, "interpolation": "linear"},
    {"method": "average", "pct": False},
    {"alpha": 0.5},
    {"half_life": 3},
    {"bias": True},
    {"bias": True, "fisher": True},
]
"""Parameters of functions over windows, of which each takes the first that fit it."""
WITHOUT_ROW = {
    "week": {"last": 7},
    "before": {"closed": "neither"},
    "latest": {"rows": 3},
    "ago": {"last": 5, "offset": 2, "closed": "right"},
}
WITH_ROW = {"right": {"last": 4, "closed": "right"}, "both": {"closed": "both"}}


def window(of_all_past: bool = False, **given: Any) -> Window:
    reach = {} if of_all_past else {name: given.get(name) for name in ("last", "rows")}
    given = {name: value for name, value in given.items() if name not in ("last", "rows")}
    return ff.window(**reach, by="card", time="t", **given)


def options_of(name: str) -> dict[str, Any]:
    """Return parameters that a function takes."""
    parameters = OVER_FUNCTIONS[name].parameters
    found = [given for given in OPTIONS if are_valid(parameters, params_of(**given))]
    assert found, f"{name} takes none of OPTIONS: give it a line"
    return found[0]


def takes(name: str, dtype: DType) -> bool:
    try:
        OVER_FUNCTIONS[name].result(dtype, options_of(name))
    except TypeMismatch:
        return False
    return True


def over(name: str, column: str, given: Mapping[str, Any]) -> ff.Expr:
    """Return a function of a column over a window; of times of its rows where it needs those."""
    row, x = OVER_FUNCTIONS[name], col(column)
    if name.startswith("time_since"):  # times of rows that the column chooses
        x = ff.when(x > 0).then(col("t")).otherwise(None)
    elif not takes(name, FLOAT64 if column == "x" else INT64):
        assert takes(name, BOOL)
        x = x > 0
    chosen = window(row.of_all_past, **given)
    return over_window(name, x, chosen, **options_of(name))


def over_table(name: str, given: Mapping[str, Any]) -> ff.Expr:
    """Return a function of the rows of a table, which are in the window of a row."""
    row, x = OVER_FUNCTIONS[name], col("rate")
    if name.startswith("time_since"):
        x = ff.when(x > 0).then(col("t")).otherwise(None)
    elif not takes(name, FLOAT64):
        x = x > 4
    chosen = window(row.of_all_past, **given, table="rates")
    return over_window(name, x, chosen, **options_of(name))


def reads_own_row(name: str) -> bool:
    return OVER_FUNCTIONS[name].reads_own


def features() -> Iterator[tuple[str, ff.Expr]]:
    """Yield every function over every window, and what is made of windows in other ways."""
    for shape, reach in {**WITHOUT_ROW, **WITH_ROW}.items():
        for name in OVER_FUNCTIONS:
            yield f"{name}_{shape}", over(name, "x", reach)
    for shape, reach in WITHOUT_ROW.items():
        for name in OVER_FUNCTIONS:
            if not reads_own_row(name):
                yield f"label_{name}_{shape}", over(name, "y", reach)
    for shape, reach in {**WITHOUT_ROW, **WITH_ROW}.items():
        for name in OVER_FUNCTIONS:
            if not reads_own_row(name):
                yield f"of_table_{name}_{shape}", over_table(name, reach)
    plane, past = window(), window(closed="right")
    yield "rows", ff.count(over=plane)
    yield "since", ff.time_since_last(over=plane)
    yield "since_large", ff.time_since(col("x") > 1, over=plane)
    yield "any", (col("x") > 1).any(over=plane)
    yield "all", (col("x") > 1).all(over=plane)
    yield "session", ff.session_id(3, over=plane)
    yield "nested", col("x").lag(1, over=past).max(over=window(last=9))
    yield "relative", col("x") / col("x").mean(over=past)
    for delay in (0, 2):
        rate = ff.asof("rates", time="t", by="card", delay=delay, tolerance=9).col("rate")
        yield f"rate_{delay}", rate
        yield f"rate_before_{delay}", rate.lag(1, over=plane)


PLAN = ff.Plan(dict(features()), label="y", keep=["id"])


def events(n: int, rng: random.Random, begins: int = 0) -> Rows:
    """Return rows in the order of time; those of one instant stand as they come in."""
    rows = [
        {
            "t": rng.choice([None, *range(begins, 12)]),
            "card": rng.choice(["a", "b", None]),
            "x": rng.choice([None, 0.1, 2.0, -3.5, 1e300]),
            "y": rng.choice([0, 1, None]),
        }
        for _ in range(n)
    ]
    rows.sort(key=lambda row: -1 if row["t"] is None else row["t"])
    return [{"id": k, **row} for k, row in enumerate(rows)]


def mixed(rows: Rows, rng: random.Random) -> Rows:
    """Return rows in any order in which those of one instant stand as they did."""
    times = [row["t"] for row in rows]
    rng.shuffle(times)
    left = {t: iter([row for row in rows if row["t"] == t]) for t in times}
    return [next(left[t]) for t in times]


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


RATES: Rows = [{"t": t, "card": card, "rate": t + 0.5} for t in range(0, 12, 3) for card in "ab"]


def rates_given(rates: Rows) -> dict[str, pa.Table]:
    return {"rates": pa.Table.from_pylist(rates)}


with warnings.catch_warnings():
    warnings.simplefilter("ignore", ff.errors.TiesInOrder)
    FITTED = PLAN.fit(table(events(60, random.Random(1))), tables=rates_given(RATES))


def by_id(rows: Rows, rates: Rows) -> dict[int, Any]:
    """Return the features of rows, by the number of the row."""
    features = FITTED.transform(table(rows), history="batch", tables=rates_given(rates))
    found = features.to_pylist()
    return {row.pop("id"): row for row in found}


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(0, 10**6), st.sampled_from(["change", "delete", "permute"]))
def test_later_rows_and_later_peers_move_nothing(n: int, seed: int, how: str) -> None:
    rng = random.Random(seed)
    rows = events(n, rng)
    cut = rng.randrange(1, n + 1)
    before, after = rows[:cut], rows[cut:]
    now = before[-1]["t"] or 0
    rates = [row for row in RATES if row["t"] <= now]
    match how:
        case "change":  # other values, at other moments that are not before the latest row's
            after = [{**row, "id": cut + k} for k, row in enumerate(events(n, rng, now))]
            rates += [{**row, "rate": -1.0} for row in RATES if row["t"] > now]
        case "permute":
            rng.shuffle(after)
        case _:
            after = []
    whole, moved = by_id(mixed(rows, rng), RATES), by_id(mixed(before + after, rng), rates)
    for row in before:
        assert whole[row["id"]] == moved[row["id"]]


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(0, 10**6))
def test_the_label_of_a_row_and_of_its_peers_moves_none_of_its_features(n: int, seed: int) -> None:
    rng = random.Random(seed)
    rows = events(n, rng)
    chosen = rng.choice(rows)
    flipped = [{**r, "y": 1 - (r["y"] or 0)} if r["t"] == chosen["t"] else r for r in rows]
    order = [row["id"] for row in mixed(rows, rng)]
    whole, moved = (by_id([part[k] for k in order], RATES) for part in (rows, flipped))
    assert whole[chosen["id"]] == moved[chosen["id"]]


@settings(max_examples=25)
@given(st.integers(6, 30), st.integers(0, 10**6), st.sampled_from(["row", "peers"]))
def test_the_label_of_a_row_does_not_move_its_encoding_in_fit(n: int, seed: int, who: str) -> None:
    rng = random.Random(seed)
    rows = [{**row, "y": row["y"] or 0} for row in events(n, rng)]
    at = rng.randrange(n)
    plan = ff.Plan(
        {
            "folds": col("card").target_encode("y", folds=3, smooth=2),
            "in_time": col("card").target_encode("y", folds=3, smooth=2, time="t"),
            "woe": col("card").woe_encode("y", folds=3),
            "ordered": over("mean", "y", WITHOUT_ROW["before"]),
        },
        label="y",
    )
    names = list(plan.declaration.nodes) if who == "row" else ["in_time", "ordered"]
    flipped = [
        {**row, "y": 1 - row["y"]}
        if k == at or (who == "peers" and row["t"] == rows[at]["t"])
        else row
        for k, row in enumerate(rows)
    ]
    whole, moved = (plan.fit_transform(table(part))[1].slice(at, 1) for part in (rows, flipped))
    assert whole.select(names).to_pylist() == moved.select(names).to_pylist()


@pytest.mark.parametrize("name", OVER_FUNCTIONS)
def test_a_label_does_not_come_into_a_window_that_holds_the_row(name: str) -> None:
    refused = [*WITH_ROW.values(), *(WITHOUT_ROW.values() if reads_own_row(name) else ())]
    for reach in refused:
        with pytest.raises(Leakage, match="known only after"):
            ff.Plan({"f": over(name, "y", reach)}, label="y")
