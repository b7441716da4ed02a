"""Plans as code of pandas and Polars: every operator gives what `transform` gives, or says why not.

The reference computes what is expected: nothing is compiled.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.operators import OPERATORS
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat.tell.peers.agreement import arrow_of, compare_features
from fastfeat.tell.peers.code import PEERS, code_of_supported_features
from fastfeat.trust.selfcheck.plans import operator_features, plan_of
from fastfeat.trust.selfcheck.tables import KINDS

NAN, INF = float("nan"), float("inf")
_OF_LISTS = frozenset(name for name in OPERATORS if name.startswith("list."))
_OF_TEXT = {
    *("str.slice", "str.extract", "str.replace", "str.replace_all", "str.token_count"),
    *("str.count_matches", "str.find", "str.split_count", "str.to_integer"),
    *("str.to_float", "str.to_datetime"),
}
_HASHED = {"hash", "str.hash_ngrams", "str.hash_tokens"}
NOT_WRITTEN = {
    "pandas": {*_OF_LISTS, *_OF_TEXT, *_HASHED, "quantile_transform", "spline_transform"},
    "polars": {
        *(*_OF_LISTS, *_OF_TEXT, *_HASHED),
        *("quantile_transform", "spline_transform", "expm1", "power_transform"),
    },
}
"""Operators of which a peer has no case; `explain` says why."""
_THROUGH_HASH = {
    *("str.to_lowercase", "str.to_uppercase", "str.strip_chars", "str.strip_chars_start"),
    "str.strip_chars_end",
}
"""Operators whose cases are hashed, which no peer does; other tests below compare them."""
NAMES = list(PEERS)
PEER = pytest.mark.parametrize("peer", NAMES)


def run(text: str, peer: str, table: pa.Table, *more: pa.Table | None) -> pa.Table:
    """Return the features that a module of a peer computes of a table."""
    space: dict[str, Any] = {}
    exec(compile(text, "module", "exec"), space)

    def taken(rows: pa.Table | None) -> Any:
        if rows is None:
            return None
        return rows.to_pandas() if peer == "pandas" else pl.from_arrow(rows)

    return arrow_of(space["features"](taken(table), *map(taken, more)))


def check(fitted: ff.FittedPlan, peer: str, table: pa.Table, *more: pa.Table | None) -> int:
    """Compare what a peer can compute, and return how many features that are."""
    text, refused = code_of_supported_features(fitted.record, peer)
    names = [n for n in fitted.feature_names if n not in {one.feature for one in refused}]
    if not names:
        return 0
    history: dict[str, Any] = {"history": more[0]} if more else {}
    expected = fitted.transform(table, backend="reference", **history)
    found = run(text, peer, table, *more)
    assert found.column_names == names
    wrong = [str(one) for one in compare_features(expected.select(names), found) if not one.ok]
    assert not wrong, wrong[0]
    return len(names)


def small(n: int = 9) -> pa.Table:
    """Return rows of every kind, with ties, missing values and NaN."""
    numbers = [3, None, 1, 4, 1, 5, 9, 2, 6][:n]
    floats = [0.5, None, NAN, -0.0, INF, -2.5, 1e-300, 7.0, 200.0][:n]
    columns = {
        "f64": pa.array(floats, pa.float64(), from_pandas=False),
        "f32": pa.array(numbers, pa.float32()),
        "i64": pa.array(numbers, pa.int64()),
        "i8": pa.array([None if n is None else n - 5 for n in numbers], pa.int8()),
        "u64": pa.array(numbers, pa.uint64()),
        "flag": pa.array([True, False, None, True, False, True, None, True, False][:n], pa.bool_()),
        "text": pa.array(["a", "b", "", None, "é", "zz", "a", "b", "new"][:n]),
        "pos": pa.array([1.0, 2.5, None, 4.0, 1e-5, 9.0, 2.0, 3.0, 1e6][:n]),
        "lf64": pa.array([[1.0], None, [], [2.0, NAN], [0.5], [1.0], [], [3.0], [4.0]][:n]),
        "li8": pa.array([[1], None, [], [2, 3], [1], [5], [], [3], [4]][:n], pa.list_(pa.int8())),
        "ltext": pa.array([["a"], None, [], ["b", "a"], ["c"], ["a"], [], ["b"], ["z"]][:n]),
    }
    degrees = [0.0, 90.0, None, -45.0, 12.5, 33.0, -90.0, 1.0, 60.0][:n]
    columns |= {
        name: pa.array(degrees[k:] + degrees[:k]) for k, name in enumerate(KINDS["degrees"])
    }
    return pa.table({name: column.slice(0, n) for name, column in columns.items()})


def learnt_from() -> pa.Table:
    """Return rows to learn from, without infinities."""
    table = small()
    at = table.schema.get_field_index("f64")
    return table.set_column(at, "f64", pa.array([0.5, None, 3.0, -1.0, 8.0, -2.5, 4.0, 7.0, 20.0]))


FAMILIES = operator_features()


@PEER
@pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_operators_agree_with_transform(family: str, peer: str) -> None:
    fitted = plan_of(FAMILIES[family]).fit(learnt_from(), backend="reference")
    check(fitted, peer, small())
    check(fitted, peer, small(0))
    check(fitted, peer, pa.table({n: pa.nulls(2, t.type) for n, t in zip(*_fields(), strict=True)}))


def _fields() -> tuple[list[str], list[pa.Field]]:
    schema = small().schema
    return schema.names, list(schema)


@PEER
def test_every_function_is_written_or_says_why(peer: str) -> None:
    rows, unwritten = PEERS[peer].rows, PEERS[peer].unwritten
    functions = [*SCALARS, *STEPS]
    assert [f for f in functions if (f in rows) == (f in unwritten)] == []
    assert all(unwritten.values())
    unknown = {*rows, *unwritten} - {*functions, "by key"}
    assert not unknown


@PEER
@pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
def test_operators_that_are_not_written_are_known(peer: str) -> None:
    written: set[str] = set()
    for features in FAMILIES.values():
        fitted = plan_of(features).fit(learnt_from(), backend="reference")
        _, refused = code_of_supported_features(fitted.record, peer)
        assert all(one.reason for one in refused)
        out = {one.feature for one in refused}
        for name, feature in features.items():
            if not out.issuperset(fitted.select(name).feature_names):
                known = (op for op, row in OPERATORS.items() if row is feature.operator)
                written.add(next(known))
    assert set(OPERATORS) - written == NOT_WRITTEN[peer] | _THROUGH_HASH


_BINARY = ("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=")


def _two(sign: str, x: Any, y: Any) -> Any:
    return eval(f"x {sign} y", {"x": x, "y": y})


NUMBERS = ("f64", "f32", "i64", "i8", "flag")


def arithmetic() -> dict[str, Any]:
    """Return every sign between columns and constants of every kind."""
    features: dict[str, Any] = {}
    for sign in _BINARY:
        for left in NUMBERS:
            for right in NUMBERS:
                features[f"{left} {sign} {right}"] = _two(sign, col(left), col(right))
            for constant in (2, -3, 0.5):
                features[f"{left} {sign} {constant}"] = _two(sign, col(left), constant)
                if not (sign in "// %" and left == "flag"):
                    features[f"{constant} {sign} {left}"] = _two(sign, constant, col(left))
    for sign in "&|^":
        features[f"flag {sign}"] = _two(sign, col("flag"), col("f64") > 1)
        features[f"int {sign}"] = _two(sign, col("i64"), col("i8"))
    features["not"] = ~(col("f64") > 1)
    features["text"] = (col("text") == "a") | (col("text") != "b")
    features["same text"] = col("text") == col("text")
    for k in ("f64", "i64"):
        features[f"{k} squared"], features[f"{k} cubed"] = col(k) ** 2, col(k) ** 3
    features["root"], features["base"] = col("pos") ** 0.3, 2.0 ** col("f32")
    features["negative"], features["size"] = -col("i8"), abs(col("f64"))
    return features


@PEER
def test_signs_agree_with_transform(peer: str) -> None:
    check(ff.Plan(arithmetic()).fit(learnt_from(), backend="reference"), peer, small())


def choices() -> dict[str, Any]:
    big = col("f64") > 1
    return {
        "floats": ff.when(big).then(col("f64")).otherwise(col("i64")),
        "integers": ff.when(col("flag")).then(col("i64")).otherwise(7),
        "bools": ff.when(big).then(col("flag")).otherwise(False),
        "constants": ff.when(big).then(1.5).otherwise(None),
        "filled": big.fill_null(False),
        "coalesced": ff.coalesce(col("i8"), col("i64"), 3),
        "text in": col("text").is_in(["a", "é"]),
        "mapped": col("text").replace_strict({"a": 1, "b": None}, default=5),
        "stripped": col("text").str.strip_chars("z").str.to_uppercase().str.len_chars(),
        "bytes": col("text").str.to_lowercase().str.len_bytes(),
        "starts": col("text").str.starts_with("z"),
        "cut": col("f32").cut([1.0, 3.0, 5.0]),
        "cut right": col("i8").cut([-3.0, 0.0], closed="right"),
        "scaled": col("f32").standard_scale(by="text"),
        "mean": col("f32") - col("f32").mean(by=["text", "flag"]),
        "crossed": ff.cross(col("text"), col("flag")).ordinal_encode(),
        "share": col("text").count_encode(normalize=True),
        "rare": col("text").ordinal_encode(min_frequency=2),
        "as int": col("f32").cast("int8"),
        "lossy": col("f64").cast("int16", strict=False),
    }


@PEER
@pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
def test_choices_and_keys_agree_with_transform(peer: str) -> None:
    fitted = ff.Plan(choices(), dtype="float32").fit(learnt_from(), backend="reference")
    assert check(fitted, peer, small()) == len(choices())
    assert check(fitted, peer, small(0)) == len(choices())


def moments(zone: str | None, unit: str) -> pa.Table:
    """Return moments around midnight, ends of months and changes of clocks."""
    given = [
        *(dt.datetime(2024, 2, 29, 23, 59, 59, 999_000), dt.datetime(1969, 12, 31, 12)),
        *(dt.datetime(2024, 3, 31, 0, 59), dt.datetime(2024, 3, 31, 1, 1), None),
        *(dt.datetime(2023, 12, 31, 23), dt.datetime(2024, 9, 30), dt.datetime(2020, 1, 1)),
    ]
    typed = pa.timestamp(unit, zone)
    days = pa.array([None if t is None else t.date() for t in given], pa.date32())
    seconds = pa.array([0, 90_061, None, -3_601, 59, -1, 86_400, 1], pa.int64())
    return pa.table(
        {
            "t": pa.array(given, pa.timestamp("us", zone)).cast(typed, safe=False),
            "d": days,
            "late": seconds.cast(pa.duration("s")).cast(pa.duration(unit)),
        }
    )


_PARTS = [name for name in SCALARS if name.startswith("dt.")]
_CLOCK = {"hour", "minute", "second", "millisecond", "microsecond", "nanosecond"}


def calendar(zone: str | None) -> dict[str, Any]:
    features: dict[str, Any] = {}
    t, d, late = col("t"), col("d"), col("late")
    for name in (part.removeprefix("dt.") for part in _PARTS):
        if name.startswith("total_"):
            features[name] = getattr(late.dt, name)()
        elif name not in ("truncate", "replace_time_zone", "epoch"):
            features[name] = getattr(t.dt, name)()
            if name not in _CLOCK:
                features[f"{name} of a date"] = getattr(d.dt, name)()
    for unit in ("d", "s", "ms", "us"):
        features[f"epoch {unit}"] = t.dt.epoch(unit)
    for every in ("15m", "1d", "1w", "1mo", "1q", "1y"):
        features[f"every {every}"] = t.dt.truncate(every).dt.epoch("s")
    if zone is not None:
        features["hour there"] = t.dt.hour(tz="America/New_York")
    else:
        features["hour there"] = t.dt.hour(tz="America/New_York", naive="UTC")
    features["later"] = (t + dt.timedelta(hours=3)).dt.epoch("s")
    features["between"] = (t - (t - late)).dt.total_seconds()
    features["after"] = d > dt.date(2020, 6, 1)
    features["filled"] = t.is_null()
    return features


@PEER
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_calendar_agrees_with_transform(zone: str | None, unit: str, peer: str) -> None:
    table = moments(zone, unit)
    fitted = ff.Plan(calendar(zone)).fit(table, backend="reference")
    assert check(fitted, peer, table) >= len(calendar(zone)) - 6
    check(fitted, peer, table.slice(0, 0))


def events() -> pa.Table:
    """Return events of three entities in order, many at one moment, some without key or time."""
    rng = np.random.default_rng(3)
    n = 60
    hours = sorted(int(h) for h in rng.integers(0, 80, n))
    times = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=h) for h in hours]
    numbers = [None if k % 9 == 0 else int(v) for k, v in enumerate(rng.integers(0, 9, n))]
    floats = [None if k % 7 == 0 else float(v) for k, v in enumerate(rng.normal(size=n))]
    return pa.table(
        {
            "t": pa.array([None if k == 5 else t for k, t in enumerate(times)], pa.timestamp("us")),
            "step": pa.array(hours),
            "k": pa.array([None if k == 8 else "abc"[k % 3] for k in range(n)]),
            "j": pa.array(rng.integers(0, 2, n)),
            "x": pa.array(floats),
            "n": pa.array(numbers),
            "b": pa.array([bool(k % 2) for k in range(n)]),
        }
    )


WINDOWS = {
    "left": {"last": "12h", "by": "k", "time": "t"},
    "before": {"last": "1d", "by": ["k", "j"], "time": "t", "closed": "both", "offset": "2h"},
    "neither": {"last": "5h", "time": "t", "closed": "neither", "min_samples": 2},
    "rows": {"last": "3d", "by": "k", "time": "t", "rows": 3},
    "right": {"last": "12h", "by": "k", "time": "t", "closed": "right"},
    "steps": {"last": 9, "by": "k", "time": "step"},
}
IN_PANDAS_ALONE = {"right"}
"""Windows that Polars does not have: they hold rows of the same moment that come later."""


def over(window: Any) -> dict[str, Any]:
    x, n, b = col("x"), col("n"), col("b")
    return {
        "rows": ff.count(over=window),
        "count": x.count(over=window),
        "nulls": n.null_count(over=window),
        "sum": x.sum(over=window),
        "whole sum": n.sum(over=window),
        "true": b.sum(over=window),
        "mean": (x * 2).mean(over=window),
        "min": n.min(over=window),
        "max": x.max(over=window),
        "std": x.std(over=window),
        "var": n.var(over=window, ddof=0),
        "quantile": x.quantile(0.3, over=window),
        "lag": n.lag(2, over=window),
        "nested": (x - x.mean(over=window)).max(over=window),
    }


@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")
@pytest.mark.parametrize(
    ("name", "peer"),
    [(n, p) for n in WINDOWS for p in NAMES if p == "pandas" or n not in IN_PANDAS_ALONE],
)
def test_windows_agree_with_transform(name: str, peer: str) -> None:
    table = events()
    features = over(ff.window(**WINDOWS[name]))
    fitted = ff.Plan(features).fit(table, backend="reference")
    assert check(fitted, peer, table) == len(features)
    assert check(fitted, peer, table.slice(40), table.slice(0, 40)) == len(features)
    assert check(fitted, peer, table.slice(0, 0)) == len(features)


@PEER
@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")
def test_rows_may_lack_what_is_known_later(peer: str) -> None:
    window = ff.window("12h", by="k", time="t")
    features = {"sum": col("x").sum(over=window), "true": col("b").sum(over=window)}
    fitted = ff.Plan(features, outcomes=["x", "b"]).fit(events(), backend="reference")
    later = events().slice(40).drop_columns(["x", "b"])
    assert check(fitted, peer, later, events().slice(0, 40)) == 2
    assert check(fitted, peer, later) == 2


def test_polars_says_which_windows_it_does_not_have() -> None:
    window = ff.window(**WINDOWS["right"])
    fitted = ff.Plan({"x": col("x").sum(over=window)}).fit(events(), backend="reference")
    with pytest.raises(ff.errors.NotExportable, match="later rows with the same time"):
        fitted.explain("polars")


def readings() -> pa.Table:
    hours = [0, 10, 10, 30, 31, 70, None, 40]
    times = [None if h is None else dt.datetime(2024, 1, 1) + dt.timedelta(hours=h) for h in hours]
    return pa.table(
        {
            "t": pa.array(times, pa.timestamp("us")),
            "k": ["a", "b", "b", "a", "c", "a", "b", None],
            "v": [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0, 8.0],
            "m": pa.array([1, 2, 3, 4, None, 6, 7, 8]),
        }
    )


@PEER
def test_tables_agree_with_transform(peer: str) -> None:
    known = pa.table({"k": ["a", "c", None], "v": [1.5, None, 3.0], "m": [1, 2, 3]})
    one = ff.lookup("known", by="k")
    latest = ff.asof("readings", time="t", by="k", tolerance="1d", delay="1h")
    strict = ff.asof("readings", time="t", allow_exact_matches=False)
    features = {"v": one.col("v"), "m": one.col("m") + 1, "any": strict.col("m")}
    features |= {"latest": latest.col("v"), "m2": latest.col("m")}
    tables = {"known": known, "readings": readings()}
    fitted = ff.Plan(features).fit(events(), tables=tables, backend="reference")
    text, refused = code_of_supported_features(fitted.record, peer)
    assert not refused
    expected = fitted.transform(events(), tables=tables, backend="reference")
    space: dict[str, Any] = {}
    exec(compile(text, "module", "exec"), space)
    take: Any = pl.from_arrow if peer == "polars" else (lambda table: table.to_pandas())
    taken = {name: take(table) for name, table in tables.items()}
    found = arrow_of(space["features"](take(events()), None, taken))
    assert [str(one) for one in compare_features(expected, found) if not one.ok] == []


HOSTILE = [
    'x"]; import os; os.abort() #',
    "'); raise SystemExit(3) #",
    "line\nbreak\r\t",
    "é 変 \u202e",
    "{x} {p[0]} %s",
    '\'"""',
    "back\\slash\\",
]


@PEER
def test_names_reach_the_code_as_text_alone(peer: str) -> None:
    table = pa.table({name: [1.0, None, 3.0] for name in HOSTILE})
    features = {f"f {n}": (col(n) > 1).fill_null(False) for n in HOSTILE}
    features |= {f"k {n}": col(n).is_in([3.0]) for n in HOSTILE}
    assert check(ff.Plan(features).fit(table, backend="reference"), peer, table) == len(features)


@PEER
def test_values_reach_the_code_as_text_alone(peer: str) -> None:
    table = pa.table({"x": HOSTILE, "y": [float(k) for k in range(len(HOSTILE))]})
    features = {
        "code": col("x").ordinal_encode(),
        "mean": col("y").mean(by="x"),
        "in": col("x").is_in(HOSTILE[:2]),
        "map": col("x").replace_strict({name: k for k, name in enumerate(HOSTILE)}),
        "ends": col("x").str.ends_with(HOSTILE[0]),
    }
    assert check(ff.Plan(features).fit(table, backend="reference"), peer, table) == len(features)


@PEER
def test_what_cannot_be_written_is_named(peer: str) -> None:
    plan = ff.Plan({"a": col("x").hash(n_buckets=9), "b": col("x").sqrt(), "c": col("x").hash()})
    fitted = plan.fit({"x": [1.0]}, backend="reference")
    told = r"(?s)2 of 3 features.*'a': hash:.*'c': hash"
    with pytest.raises(ff.errors.NotExportable, match=told):
        fitted.explain(peer)
    assert "features(" in fitted.select("b").explain(peer)
    with pytest.raises(ff.errors.InvalidPlan, match=r"fitted\.explain"):
        plan.explain(peer)


@PEER
@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (
            ff.when(col("x") > 1).then(col("k")).otherwise(col("m")).ordinal_encode(),
            "values of",
        ),
        (col("n").cut([2**60 - 1, 2**60]), "compared as rounded floats, not exactly"),
        (col("x").cut([2**60 - 1]), "compared as rounded floats, not exactly"),
    ],
)
def test_what_a_peer_would_compute_otherwise_is_not_written(
    peer: str, feature: ff.Expr, told: str
) -> None:
    rows = {"x": [1.0, 2.0], "n": [1, 2**60], "k": ["a", "b"], "m": ["c", "d"]}
    fitted = ff.Plan({"f": feature}).fit(rows, backend="reference")
    with pytest.raises(ff.errors.NotExportable, match=told):
        fitted.explain(peer)


def trees() -> st.SearchStrategy[Any]:
    """Return expressions of numbers, as trees of functions that both peers have."""
    leaf = st.sampled_from(NUMBERS).map(col) | st.sampled_from([2.0, -0.5, 3.0])
    floats = leaf.map(lambda x: x * 1.0 if isinstance(x, ff.Expr) else col("f64") + x)

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        two = st.tuples(st.sampled_from("+-*/"), inner, inner).map(lambda t: _two(*t))
        one = st.tuples(st.sampled_from(["abs", "floor", "sqrt", "sin", "sign"]), inner)
        made = one.map(lambda pair: getattr(pair[1], pair[0])())
        chosen = st.tuples(inner, inner, inner).map(
            lambda t: ff.when(t[0] > 1.0).then(t[1]).otherwise(t[2])
        )
        filled = st.tuples(inner, inner).map(lambda t: t[0].fill_null(t[1]))
        clipped = inner.map(lambda x: x.clip(-5.0, 5.0))
        least = st.tuples(inner, inner).map(lambda t: ff.min_horizontal(*t))
        return two | made | chosen | filled | clipped | least

    return st.recursive(floats, grown, max_leaves=8)


@settings(max_examples=10 + settings().max_examples // 5)
@given(trees())
def test_random_plans_agree_with_transform(tree: Any) -> None:
    fitted = ff.Plan({"x": tree.clip(-1e6, 1e6), "is": tree > 1.0}).fit(
        learnt_from(), backend="reference"
    )
    for peer in NAMES:
        assert check(fitted, peer, small()) == 2


@PEER
def test_literals_keep_their_bits(peer: str) -> None:
    values = [-0.0, INF, -INF, 5e-324, 0.1, 1.7976931348623157e308]
    features = {f"{v!r}": ff.coalesce(col("x"), v) for v in values}
    fitted = ff.Plan(features).fit({"x": pa.array([None], pa.float64())}, backend="reference")
    found = run(fitted.explain(peer), peer, pa.table({"x": pa.array([None], pa.float64())}))
    bits = [np.float64(found[name][0].as_py()).view(np.int64) for name in features]
    assert bits == [np.float64(v).view(np.int64) for v in values]
