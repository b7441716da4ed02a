"""Self-check plans with features that read more than their own row: windows, tables, keys, folds.

They are generated from registries, so a new window statistic, aggregate or encoder is included
automatically. Functions that yield calls yield pairs of a feature's name and its expression.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, get_args
from zlib import crc32

from fastfeat.api.plan import Plan
from fastfeat.expr import Expr, col, when
from fastfeat.operators import OPERATORS
from fastfeat.operators.ahead import ahead
from fastfeat.operators.calendar import DatetimeParts
from fastfeat.operators.categories import cross
from fastfeat.operators.lookup import Lookup, asof, lookup
from fastfeat.operators.operator import Case, Operator
from fastfeat.operators.targets import TargetStatistic
from fastfeat.operators.windows import (
    Window,
    count,
    session_id,
    time_since,
    time_since_last,
    window,
)
from fastfeat.steps.windows.rows import OVER_FUNCTIONS
from fastfeat.steps.windows.texts import BY_TIME
from fastfeat.trust.selfcheck.tables import KINDS

_NUMBERS = ("f64", "i64", "f32", "i8", "flag")
_GIVES_TEXT = ("mode", "first", "last", "lag")
_OF_TEXT = ("count", "null_count", "n_unique", "rank", *_GIVES_TEXT)
_ENTITY: dict[str, Any] = {"time": "t", "by": "key"}
WINDOWS: dict[str, dict[str, Any]] = {
    "left": {**_ENTITY},
    "right": {**_ENTITY, "closed": "right"},
    "left 7d": {**_ENTITY, "last": "7d"},
    "right 7d": {**_ENTITY, "last": "7d", "closed": "right"},
    "both 2d": {**_ENTITY, "last": "2d", "closed": "both", "offset": "12h"},
    "neither 9d": {**_ENTITY, "last": "9d", "closed": "neither", "min_samples": 2},
    "rows 4": {**_ENTITY, "rows": 4, "closed": "right", "tie": "step"},
    "days": {
        "time": col("t").dt.truncate("1d"),
        "by": ["key", "text"],
        "last": "20d",
        "rows": 3,
        "offset": "1d",
        "closed": "right",
    },
    "steps": {"time": "step", "last": 300, "rows": 6, "closed": "both", "tie": "i8"},
    "table": {**_ENTITY, "last": "10d", "table": "payments", "closed": "right"},
    "table steps": {"time": "step", "right_time": "step", "rows": 5, "table": "payments"},
}
"""Arguments of `window` by name: each kind of end, with and without bounds, and tables."""
_NOT_OF_TABLES = frozenset({"rank"})
_TURNS = (
    "count", "null_count", "sum", "mean", "var", "std", "min", "max", "quantile", "mode",
    "n_unique", "first", "last", "lag", "time_since", "time_since_lag", "ewm_mean", "ewm_mean_by",
    "rank", "slope", "streak", "ewm_sum", "ewm_sum_by", "skew", "kurtosis",
)  # fmt: skip
"""Functions that take columns in turn; later functions choose by a hash of their name instead."""
_OF_ALL_PAST = frozenset(name for name, row in OVER_FUNCTIONS.items() if row.of_all_past)

Calls = Iterator[tuple[str, Expr]]


def past_plans() -> dict[str, Plan]:
    """Return the plans by name; their data are the tables of `past_tables`."""
    plans = {f"window {name}": Plan(dict(_over(name))) for name in WINDOWS}
    plans |= {f"ahead {name}": plan for name, plan in _ahead()}
    plans["asof"] = Plan(dict(_asof()))
    plans["lookup"] = Plan(dict(_lookup()))
    plans["by"] = Plan(dict(_by()))
    plans["folds"] = Plan(dict(_folds()), outcomes=["flag", "f64", "i8"])
    plans["folds in time"] = Plan(dict(_folds_in_time()), label={"y": col("f64") > 0})
    plans["nested"] = Plan(dict(_nested()), label="flag", label_delay="12h", row_id="row")
    plans["parts"] = Plan(dict(_parts()))
    return plans


def live_plan() -> Plan:
    """Return a plan for a live state: with windows, table lookups, an encoder and a label."""
    week = window("7d", **_ENTITY)
    return Plan(
        {
            "n": count(over=week),
            "sum": col("f64").sum(over=week),
            "median": col("i8").median(over=window("3d", closed="right", **_ENTITY)),
            "flags": col("flag").mean(over=window("9d", offset="12h", **_ENTITY)),
            "lag": col("f32").lag(2, over=window(rows=2, **_ENTITY)),
            "idle": time_since_last(over=window("30d", **_ENTITY)),
            "paid": col("f64").mean(over=window("10d", table="payments", **_ENTITY)),
            "asof": asof("payments", tolerance="5d", **_ENTITY).col("i8"),
            "looked_up": lookup("keys", by="key").col("f32"),
            "scaled": col("i64").standard_scale(by="text"),
            "encoded": col("text").target_encode("flag", folds=3),
        },
        label="flag",
        label_delay="12h",
        row_id="row",
    )


def _over(name: str) -> Calls:
    """Yield calls of every function over the window `name` of `WINDOWS`.

    Functions take columns of different types in turn.
    """
    over = window(**WINDOWS[name])
    of_table = "table" in WINDOWS[name]
    bounded = {"last", "rows"} & WINDOWS[name].keys()
    turn = list(WINDOWS).index(name)
    for function in dict.fromkeys((*_TURNS, *OVER_FUNCTIONS)):
        if (of_table and function in _NOT_OF_TABLES) or (bounded and function in _OF_ALL_PAST):
            continue
        number = turn + _turn_of(function)
        columns = (_NUMBERS[(number + k) % len(_NUMBERS)] for k in range(2))
        for place, column in enumerate(dict.fromkeys(columns)):
            for told, made in _calls(function, column, over, unit=WINDOWS[name]["time"]):
                if place == 0 or function not in ("quantile", "rank"):
                    yield f"{told} {column}", made
        if function in _OF_TEXT:
            for told, made in list(_calls(function, "text", over, unit=""))[:2]:
                yield f"{told} text", made.hash() if function in _GIVES_TEXT else made
    if not of_table:
        yield from _own_value(over, session_of=None if bounded else over)


def _turn_of(function: str) -> int:
    """Return the number by which a function chooses its first column among the possible ones.

    A new function in the registry changes no other function's number.
    """
    return _TURNS.index(function) if function in _TURNS else crc32(function.encode())


def _calls(function: str, column: str, over: Window, unit: Any) -> Calls:
    """Yield the calls of one function over a window, with each set of parameters.

    `unit` is the time column of the window.
    """
    x = col(column)
    match function:
        case "time_since":
            yield "time_since_last", time_since_last(over=over)
            yield "time_since", time_since(x > 0, over=over)
        case "time_since_lag":
            return  # needs sessions
        case _ if function in _OF_ALL_PAST and function.endswith(BY_TIME):
            half_life = 90 if unit == "step" else "36h"
            method = getattr(x, function.removesuffix(BY_TIME))
            yield function, method(half_life=half_life, over=over)
        case _ if function in _OF_ALL_PAST:
            yield from (
                (f"{function} {alpha}", getattr(x, function)(alpha=alpha, over=over))
                for alpha in (0.3, 1)
            )
        case "streak":
            yield "streak", (x > 0).streak(over=over)
        case "lag":
            yield from ((f"lag {n}", x.lag(n, over=over)) for n in (1, 3))
        case "rank":
            for method, pct in product(("average", "min", "max"), (False, True)):
                yield f"rank {method} {pct}", x.rank(method=method, pct=pct, over=over)  # pyright: ignore[reportArgumentType]  # of a table
        case _:
            operator = OPERATORS.get(function)
            cases = operator.cases if operator else ()
            for params in _different(case.params for case in cases) or [{}]:
                told = " ".join(map(str, (function, *params.values())))
                yield told, getattr(x, function)(over=over, **params)


def _own_value(over: Window, session_of: Window | None) -> Calls:
    """Yield calls of operators that combine functions over a window, such as differences.

    `session_of` is the window for sessions, or None for no sessions.
    """
    yield "diff", col("f64").diff(2, over=over)
    yield "pct_change", col("i8").pct_change(over=over)
    yield "range", col("f32").range(over=over)
    yield "any", (col("i8") > 90).any(over=over)
    yield "all", (col("i8") > -90).all(over=over)
    if session_of is not None:
        yield "session_id", session_id("1d", over=session_of)


def _ahead() -> Iterator[tuple[str, Plan]]:
    """Yield the name and the plan of each label that reads later rows.

    Each plan has one feature, which reads its own row only.
    """
    own: dict[str, Any] = {**_ENTITY, "gap": "1h"}
    of_table: dict[str, Any] = {**_ENTITY, "table": "payments", "end": "1970-03-01"}
    labels: dict[str, Expr] = {
        "count": count(over=ahead("3d", **own)),
        "mean": col("f64").mean(over=ahead("9d", **own)),
        "last": col("i64").last(over=ahead("3d", **own)),
        "quantile": col("i8").quantile(0.75, over=ahead("9d", **_ENTITY)),
        "std of a table": col("f32").std(over=ahead("20d", **of_table)),
        "mode of a table": col("i8").mode(over=ahead("20d", **of_table)),
        "steps": col("flag").any(over=ahead(200, time="step", by="key", tie="row")),
    }
    for name, label in labels.items():
        yield name, Plan({"row": col("u64") + 1}, label={"ahead": label})


def _asof() -> Calls:
    keys: dict[str, Any] = {"none": None, "key": "key", "two": ["key", "text"]}
    keys["mapped"] = {col("key") + 1: "key", "text": "text"}
    for by, tolerance, delay, exact in product(keys, (None, "2d"), (None, "1h"), (True, False)):
        found = asof(
            "payments",
            time="t",
            by=keys[by],
            tolerance=tolerance,
            delay=delay,
            allow_exact_matches=exact,
        )
        yield from _of_row(f"{by} {tolerance} {delay} {exact}", found, ("f64", "text"))
    of_steps = asof("payments", time="step", by="key", tolerance=400, delay=5)
    yield from _of_row("steps", of_steps, _NUMBERS)
    day = asof("payments", time=col("t").dt.truncate("1d"), right_time="t", delay="1d")
    yield from _of_row("day", day, _NUMBERS)


def _lookup() -> Calls:
    found = {
        "name": lookup("keys", by="key"),
        "list": lookup("keys", by=["key", "text"]),
        "mapping": lookup("keys", by={"u64": "key"}),
        "expression": lookup("keys", by={(col("key") % 7).cast("int64") + 3: "key"}),
    }
    for name, row in found.items():
        yield from _of_row(name, row, (*_NUMBERS, "u64", "text", "t"))
    place = found["name"].col("code")
    yield "mean by a found key", col("f64").mean(by=[place])
    yield "codes of a found key", place.ordinal_encode()


def _of_row(name: str, row: Lookup, columns: tuple[str, ...]) -> Calls:
    for column in columns:
        value = row.col(column)
        yield f"{name} {column}", value.hash() if column in ("text", "t") else value


def _by() -> Calls:
    """Yield calls of every operator with a parameter `by`: one key, two keys, or an expression.

    Further calls leave out keys of few rows.
    """
    keys: dict[str, Any] = {"key": "key", "two": ["key", "text"], "expression": col("i8") % 5}
    for name, operator in _with_parameters("by", "min_rows"):  # text is not split by keys
        cases = [case for case in operator.cases if _is_learnt_per_key(name, case)]
        for number, case in enumerate(cases):
            for place, (by, given) in enumerate(keys.items()):
                kinds = KINDS[case.on[0]]
                column = kinds[(number + place) % len(kinds)]
                made = operator.of(col(column), **case.params, by=given)
                yield f"{name} {number} {by} {column}", made
            few = operator.of(col(KINDS[case.on[0]][0]), **case.params, by="key", min_rows=60)
            yield f"{name} {number} of 60 rows", few
    yield "count_encode of 60 rows", col("key").count_encode(min_rows=60)


def _is_learnt_per_key(name: str, case: Case) -> bool:
    """Return whether an operator's case accepts `by`: imputation by a constant and text do not."""
    of_text = name == "n_unique" and "text" in case.on
    return not of_text and isinstance(case.params.get("value", "mean"), str)


def _folds() -> Calls:
    """Yield calls of every target encoder with several numbers and kinds of folds.

    The kinds are folds by entity, folds from a column, and folds with a limit on rare keys.
    """
    variants: dict[str, dict[str, Any]] = {
        "3": {"folds": 3},
        "entities": {"folds": 4, "fold_by": "key"},
        "column": {"fold": col("u64") % 3},
        "60 rows": {"folds": 3, "min_rows": 60},
    }
    for (name, operator), (told, given) in product(_with_parameters("folds"), variants.items()):
        for number, case in enumerate(operator.cases):
            target = case.params.get("target", "i8" if "classes" in case.params else "flag")
            params = {k: v for k, v in case.params.items() if k not in (*given, "target")}
            if "fold" in given:
                params.pop("folds", None)
            for column in ("key", "text"):
                made = operator.of(col(column), target, **{**params, **given})
                yield f"{name} {number} {told} {column}", made
    for stat in get_args(TargetStatistic):
        yield f"target_encode {stat}", col("key").target_encode("f64", stat=stat, smooth=3.0)
    yield "target_encode auto", col("key").target_encode("f64", folds=3)


def _folds_in_time() -> Calls:
    for column in ("key", "text"):
        yield f"target {column}", col(column).target_encode("y", time="t", folds=4)
        yield f"woe {column}", col(column).woe_encode("y", time="t", folds=3)
    yield "target steps", col("key").target_encode("y", time="step", folds=5, smooth=2.0)


def _nested() -> Calls:
    """Yield expressions in which windows, table lookups and keys are nested."""
    week, all_past = window("7d", **_ENTITY), window(**_ENTITY)
    late = window("9d", offset="12h", **_ENTITY)
    x = col("f64")
    yield "scaled", (x - x.mean(over=week)).standard_scale()
    yield "scaled by", col("i8").sum(over=week).standard_scale(by="text")
    yield "cut", count(over=all_past).qcut(4)
    yield "labels", col("flag").mean(over=late).fill_null(col("flag").mean(over=late).mean())
    yield "window of a window", (x - x.mean(over=week)).max(over=week)
    yield "codes of a lag", col("text").lag(1, over=all_past).ordinal_encode(min_frequency=2)
    yield "hot", col("text").last(over=week).one_hot_encode()
    crossed = cross("key", col("text").last(over=week))
    yield "crossed", crossed.count_encode()
    yield "window of a row of a table", asof("payments", **_ENTITY).col("i8").mean(over=week)
    yield "key of a table", x.median(by=[lookup("keys", by="key").col("code")])
    yield "chosen", when(x > x.mean(over=week)).then(x).otherwise(x.median())
    yield "encoded", cross("text", "i8").target_encode("flag", folds=3, smooth=1.0)


def _parts() -> Calls:
    """Yield calls for every part of a time, and calls that no operator's cases cover."""
    t, length = col("at").dt, col("at") - col("at").min()
    for name, method in vars(DatetimeParts).items():
        if name.startswith("total_"):
            yield name, getattr(length.dt, name)()
        elif name in ("date", "epoch", "replace_time_zone", "truncate"):
            continue
        elif callable(method) and not name.startswith("_"):
            yield name, getattr(t, name)(tz="America/New_York")
    yield "date", t.date(tz="Asia/Kolkata").dt.epoch("s")
    for ambiguous in ("earliest", "latest", "null"):
        local = t.replace_time_zone("America/New_York", ambiguous=ambiguous, non_existent="null")
        yield f"replace_time_zone {ambiguous}", local.dt.epoch("s")
    yield from ((f"epoch {unit}", t.epoch(unit)) for unit in ("ns", "us", "ms", "s", "d"))
    for column in ("lf64", "li8", "ltext"):
        elements = col(column).list
        yield f"slice {column}", elements.slice(1, 2).list.len()
        yield f"tail {column}", elements.slice(-3).list.first().hash()
    yield "cross", cross("text", "key", "flag").ordinal_encode(max_categories=20)


def _with_parameters(*names: str) -> list[tuple[str, Operator]]:
    return [
        (operator_name, operator)
        for operator_name, operator in OPERATORS.items()
        if {*names} <= inspect.signature(operator.define).parameters.keys()
    ]


def _different(every: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for params in every:
        if params not in found:
            found.append(params)
    return found
