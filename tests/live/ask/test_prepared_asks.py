"""One row that asks by tables made once: the bits and the messages of the general way."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError
from fastfeat.live.state.state import LiveState

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
START = datetime.datetime(2024, 1, 1)
N, ENTITIES = 400, 7
SHOPS = pa.table({"small": pa.array([0, 1, 2], pa.int8()), "size": [1.5, None, 3.0]})
FUNCTIONS = (
    *("sum", "mean", "var", "std", "min", "max", "median", "first", "last", "mode", "n_unique"),
    *("null_count", "skew", "kurtosis", "slope", "rank", "quantile", "lag"),
)
PARAMS: dict[str, dict[str, Any]] = {"quantile": {"q": 0.3}, "lag": {"n": 2}}


def table(n_rows: int, seed: int, first: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    minutes = first + np.sort(rng.integers(0, 3 * n_rows, n_rows))
    floats = rng.normal(size=n_rows)
    floats[rng.random(n_rows) < 0.1] = np.nan
    instants = pa.array(
        [START + datetime.timedelta(minutes=int(k)) for k in minutes], pa.timestamp("ms")
    )
    return pa.table(
        {
            "who": pa.array([f"w{k}é" for k in rng.integers(0, ENTITIES, n_rows)]),
            "kind": pa.array(rng.integers(0, 2, n_rows).astype(np.int32)),
            "t": instants,
            "x": pa.array(floats),
            "f": pa.array(rng.normal(size=n_rows).astype(np.float32)),
            "i": pa.array(rng.integers(-(10**12), 10**12, n_rows)),
            "small": pa.array(rng.integers(-3, 3, n_rows).astype(np.int8)),
            "u": pa.array(rng.integers(0, 2**32, n_rows).astype(np.uint32)),
            "flag": pa.array(rng.random(n_rows) < 0.5),
            "gap": pa.array([None if k % 5 == 0 else k for k in range(n_rows)], pa.int64()),
            "y": pa.array(rng.random(n_rows) < 0.5),
            "city": pa.array([None if k % 4 == 0 else f"c{k % 3}ß" for k in range(n_rows)]),
        }
    )  # fmt: skip


PAST, ASKING = table(N, 0, 0), table(60, 1, 3 * N + 100)


def calls(column: str, over: ff.Window) -> dict[str, Any]:
    """Return functions of a column over a window, by their name."""
    chosen = ("first", "last", "mode", "n_unique") if column == "flag" else FUNCTIONS
    return {
        function: getattr(col(column), function)(over=over, **PARAMS.get(function, {}))
        for function in chosen
    }


@cache
def fitted(name: str) -> ff.FittedPlan:
    month = ff.window("30d", by="who", time="t")
    recent = ff.window("2h", by=["who", "kind"], time="t", closed="both", min_samples=2)
    few = ff.window(rows=5, by="who", time="t")
    everything = ff.window("60d", time="t")
    features: dict[str, dict[str, Any]] = {
        **{column: calls(column, month) for column in ("x", "f", "i", "small", "u", "flag")},
        "other windows": {
            "n": ff.count(over=month),
            "recent": ff.count(over=recent),
            "few": col("x").mean(over=few),
            "all": col("small").max(over=everything),
            "idle": ff.time_since_last(over=month),
            "own": col("x") - col("x").mean(over=recent),
            "late": col("y").mean(over=ff.window("9d", by="who", time="t", offset="1h")),
            "code": col("who").ordinal_encode(),
            "shop": ff.lookup("shops", by="small").col("size"),
        },
        "computed": {
            "share": (col("x") / (col("i") / 1e12 + 3)).clip(-1, 1).mean(over=month),
            "above": (col("x") > 0).sum(over=month),
            "whole": (col("small") * 2).max(over=few),
            "both": (col("flag") & (col("f") > 0)).mean(over=month),
            "narrow": (col("f") * 3).sum(over=month),
            "more": (col("gap") + col("i")).last(over=month),
            "hour": col("t").dt.hour().mode(over=month),
            "wide": col("u").sqrt().std(over=recent),
            "late": (col("y") & col("flag")).sum(
                over=ff.window("9d", by="who", time="t", offset="1h")
            ),
        },
        "text": {
            "n_unique": col("who").n_unique(over=ff.window("9h", by="kind", time="t")),
            "cities": col("city").n_unique(over=month),
            "last city": col("city").last(over=month) == "c1ß",
            "mode city": col("city").mode(over=few).ordinal_encode(),
            "no city": col("city").first(over=ff.window("1m", by="who", time="t")).is_null(),
            "same": (
                col("who").mode(over=ff.window("9h", by="kind", time="t"))
                == col("who").last(over=ff.window("9h", by="kind", time="t"))
            ),
            "before": col("who")
            .lag(1, over=ff.window(by="kind", time="t", last="9d"))
            .ordinal_encode(),
        },
        "nested": {
            "most": col("x").mean(over=month).max(over=recent),
            "gap": (col("x") - col("x").mean(over=few)).std(over=month),
            "codes": col("small").mode(over=few).n_unique(over=month),
            "texts": col("who")
            .last(over=ff.window("9h", by="kind", time="t"))
            .n_unique(over=month),
        },
        "ties": {
            "first": col("x").first(over=ff.window("9d", by="who", time="t", tie="i")),
            "sum": col("x").sum(over=ff.window("9d", by="who", time="t", tie="i", closed="both")),
        },
        "missing": {"sum": col("gap").sum(over=month), "last": col("gap").last(over=few)},
    }
    plan = ff.Plan(features[name], outcomes=["y"])
    return plan.fit(PAST, history="batch", tables={"shops": SHOPS})


NAMES = (
    *("x", "f", "i", "small", "u", "flag", "other windows", "missing"),
    *("computed", "text", "nested", "ties"),
)


def begun(name: str, **options: Any) -> ff.Live[Any]:
    return fitted(name).online(PAST, tables={"shops": SHOPS}, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_prepared_row_has_the_bits_of_the_batch(name):
    plan, live = fitted(name), begun(name)
    matrix = plan.transform(ASKING, history=PAST, to="numpy", tables={"shops": SHOPS})
    for k, row in enumerate(ASKING.to_pylist()):
        alone = plan.transform(
            ASKING.slice(k, 1), history=PAST, to="numpy", tables={"shops": SHOPS}
        )[0]
        found = live._state.features_of_rows([row])
        assert found is not None or name == "ties"
        assert live.features(row).tobytes() == alone.tobytes(), k
    live = begun(name, late="error" if name == "nested" else "insert")
    for k, row in enumerate(ASKING.to_pylist()):
        expected = matrix[k]
        if name == "ties":  # a row that comes later may stand before this one
            tables, one = {"shops": SHOPS}, ASKING.slice(k, 1)
            history = live.history()
            (expected,) = plan.transform(one, history=history, to="numpy", tables=tables)
        assert live.process(row).tobytes() == np.ascontiguousarray(expected).tobytes(), k


OTHERS = [None, float("nan"), "w1é", "new", "\ud800", 3, 2**70, -1, 2.5, 0.1, True, b"w1", [1], {},
          START, START + datetime.timedelta(days=300), START.replace(tzinfo=datetime.UTC),
          np.float64(2.0), np.int8(1), np.datetime64("2024-03-01")]  # fmt: skip
COLUMNS = {name: ASKING.column(name).to_pylist() for name in ASKING.column_names}


def rows() -> st.SearchStrategy[dict[str, Any]]:
    usual = {
        name: st.one_of(*[st.sampled_from(known)] * 6, st.sampled_from(OTHERS))
        for name, known in COLUMNS.items()
    }
    return st.fixed_dictionaries({k: v for k, v in usual.items() if k != "y"})


def outcome(ask: Any, row: Any) -> Any:
    try:
        return ask(row).tobytes()
    except FastfeatError as error:
        return type(error), str(error)


@given(rows(), st.sampled_from(NAMES), st.sampled_from(["", *COLUMNS]))
def test_what_is_asked_is_answered_as_in_the_general_way(row, name, lacking):
    row.pop(lacking, None)
    live = begun(name, keep="1d")
    asked = outcome(live.features, row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveState, "features_of_rows", lambda state, rows: None)
        patch.setattr(LiveState, "_arrive_few", lambda *_: None)
        assert asked == outcome(live.features, row)
        expected = outcome(begun(name, keep="1d").process, row)
    assert outcome(live.process, row) == expected


def test_rows_that_arrive_are_seen_by_the_next_and_forgotten_ones_are_not():
    live = begun("other windows", late="insert")
    for row in ASKING.to_pylist():
        live.process(row)
    asked = {**ASKING.to_pylist()[-1], "t": START + datetime.timedelta(days=2)}
    for change in (lambda: None, lambda: live.forget("who", "w2é"), lambda: live.process(asked)):
        change()
        plan, tables = fitted("other windows"), {"shops": SHOPS}
        history = live.history()
        expected = plan.transform(
            pa.Table.from_pylist([asked], ASKING.schema), history=history, to="numpy", tables=tables
        )
        assert live.features(asked).tobytes() == expected[0].tobytes()
