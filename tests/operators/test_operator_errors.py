"""What an operator refuses, and how it says so."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError, InvalidData, InvalidPlan, Overflow, TypeMismatch

X: Any = col("x")
columns: Any = ff.columns  # untyped, as the callers of these tests are
polynomial: Any = ff.polynomial_features

BAD_PARAMETERS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: X.round(-1), InvalidPlan, "round(decimals=-1)"),
    (lambda: X.round(1.5), InvalidPlan, "1.5"),
    (lambda: X.log(0), InvalidPlan, "log(base=0)"),
    (lambda: X.log(1), InvalidPlan, "other than 1"),
    (lambda: X.log(True), InvalidPlan, "True"),
    (lambda: X.clip(3, 1), InvalidPlan, "clip(3, 1)"),
    (lambda: X.is_between(0, 1, closed="open"), InvalidPlan, "'open'"),
    (lambda: X.is_in("abc"), TypeMismatch, "collection"),
    (lambda: X.is_in(3), TypeMismatch, "is_in(3)"),
    (lambda: X.is_in([[1]]), TypeMismatch, "[1]"),
    (lambda: X.replace_strict([1, 2]), TypeMismatch, "mapping"),
    (lambda: X.replace_strict({}), InvalidPlan, "the mapping is empty"),
    (lambda: X.replace_strict({1: 2}, default=X), TypeMismatch, "fill_null"),
    (lambda: X.cast("int7"), TypeMismatch, "'int7'"),
    (lambda: X.cast("timestamp"), TypeMismatch, "timestamp[us, UTC]"),
    (lambda: X.cast("duration[us, UTC]"), TypeMismatch, "duration"),
    (lambda: X.cast(3), TypeMismatch, "3 is not a type"),
    (lambda: X.cast(pa.list_(pa.int64())), TypeMismatch, "list"),
    (lambda: X.is_nan(), TypeMismatch, "is_null()"),
    (lambda: X.is_not_nan(), TypeMismatch, "is_not_null()"),
    (lambda: X.fill_nan(0), TypeMismatch, "fill_null()"),
    (lambda: X == None, TypeMismatch, "Use is_null()"),  # noqa: E711
    (lambda: X != None, TypeMismatch, "is_not_null()"),  # noqa: E711
    (lambda: X == None, TypeMismatch, "with None gives a missing value in every row"),  # noqa: E711
    (lambda: float("nan") == X, TypeMismatch, "with nan gives a missing value in every row"),
    (lambda: np.float64("nan") == X, TypeMismatch, "is_null()"),
    (lambda: pd.NaT == X, TypeMismatch, "is_null()"),
    (lambda: X > None, TypeMismatch, "is_null()"),
    (lambda: X.quantile(1.5), InvalidPlan, "quantile(q=1.5): takes a number from 0 to 1"),
    (lambda: X.quantile(0.5, interpolation="cubic"), InvalidPlan, "'cubic'"),
    (lambda: X.std(ddof=-1), InvalidPlan, "ddof=-1"),
    (lambda: X.mean(over="key"), InvalidPlan, "by="),
    (lambda: X.mean(over="key"), InvalidPlan, "window"),
    (lambda: X.mean(by=[]), InvalidPlan, "names no key"),
    (lambda: X.mean(by=3), TypeMismatch, "the name of a column"),
    (lambda: X.mean(by=["a", 3]), TypeMismatch, "neither the name of a column"),
    (lambda: X.ordinal_encode(min_frequency=0), InvalidPlan, "a number of rows, at least 1"),
    (lambda: X.ordinal_encode(min_frequency=1.5), InvalidPlan, "a share"),
    (lambda: X.ordinal_encode(max_categories=0), InvalidPlan, "from 1"),
    (lambda: X.ordinal_encode(vocabulary=["a", "a"]), InvalidPlan, "lists 'a' twice"),
    (lambda: X.ordinal_encode(vocabulary=[]), InvalidPlan, "the list of categories is empty"),
    (lambda: X.ordinal_encode(vocabulary="ab"), TypeMismatch, "a list of categories"),
    (lambda: X.ordinal_encode(vocabulary=["a", None]), InvalidPlan, "code 0"),
    (lambda: X.ordinal_encode(vocabulary=["a"], max_categories=3), InvalidPlan, "that fit learns"),
    (lambda: X.binary_encode(n_columns=1), InvalidPlan, "binary_encode(n_columns=1)"),
    (lambda: X.one_hot_encode(drop="last"), InvalidPlan, "'first' or 'if_binary'"),
    (lambda: X.one_hot_encode(missing="nan"), InvalidPlan, "'zeros' or 'column'"),
    (lambda: ff.cross(X), InvalidPlan, "two or more"),
    (lambda: ff.cross(X, cast("str", 3)), TypeMismatch, "neither the name of a column"),
    (lambda: X.min_max_scale(feature_range=(1, 0)), InvalidPlan, "below"),
    (lambda: X.min_max_scale(feature_range=(0, float("inf"))), InvalidPlan, "finite"),
    (lambda: X.min_max_scale(feature_range="01"), InvalidPlan, "'01'"),
    (lambda: X.robust_scale(quantile_range=(75, 25)), InvalidPlan, "(75, 25)"),
    (
        lambda: X.robust_scale(quantile_range=(0, 100), unit_variance=True),
        InvalidPlan,
        "unit_variance",
    ),
    (lambda: X.impute("average"), InvalidPlan, 'takes "mean"'),
    (lambda: X.impute(0, by="k"), InvalidPlan, "by= applies only to 'mean'"),
    (lambda: X.impute("unknown"), InvalidPlan, ".fill_null('unknown')"),
    (lambda: X.cut([]), InvalidPlan, "one or more"),
    (lambda: X.cut([1, 1]), InvalidPlan, "rising order"),
    (lambda: X.cut([0, float("nan")]), InvalidPlan, "rising order"),
    (lambda: X.cut("ab"), InvalidPlan, "cut(edges='ab')"),
    (lambda: X.cut(3), InvalidPlan, "cut(edges=3): takes a list of one or more numbers. For"),
    (
        lambda: X.cut(4),
        InvalidPlan,
        "write cut([4]). For 4 bins of about equally many rows write qcut(4)",
    ),
    (lambda: X.cut(np.float64(0.5)), InvalidPlan, "For one edge write cut([0.5])"),
    (lambda: X.qcut(1), InvalidPlan, "qcut(q=1): takes a whole number from 2 to 100,000"),
    (lambda: X.qcut([0, 0.5]), InvalidPlan, "Leave out 0 and 1"),
    (lambda: X.qcut([0.5, 0.25]), InvalidPlan, "rising order"),
    (lambda: X.k_bins_discretize(n_bins=1), InvalidPlan, "a whole number from 2 to 100,000"),
    (
        lambda: X.k_bins_discretize(strategy="kmeans"),
        InvalidPlan,
        "k_bins_discretize(strategy='kmeans'): takes 'uniform' or 'quantile'",
    ),
    (
        lambda: X.quantile_transform(n_quantiles=0),
        InvalidPlan,
        "quantile_transform(n_quantiles=0): takes a whole number",
    ),
    (lambda: X.quantile_transform(output_distribution="beta"), InvalidPlan, "'beta'"),
    (lambda: X.power_transform(method="log"), InvalidPlan, "takes 'yeo-johnson' or 'box-cox'"),
    (lambda: X.power_transform(standardize=1), InvalidPlan, "standardize=1"),
    (lambda: X.spline_transform(n_knots=1), InvalidPlan, "from 2 to 1,000"),
    (lambda: X.spline_transform(degree=11), InvalidPlan, "degree=11): takes a whole number"),
    (lambda: X.spline_transform(knots="kmeans"), InvalidPlan, "takes 'uniform' or 'quantile'"),
    (lambda: X.spline_transform(knots=[1]), InvalidPlan, "finite numbers in rising order"),
    (lambda: X.spline_transform(knots=[1, 1]), InvalidPlan, "rising order without repeats"),
    (lambda: X.spline_transform(extrapolation="none"), InvalidPlan, "'periodic' or 'error'"),
    (
        lambda: X.spline_transform(n_knots=3, extrapolation="periodic"),
        InvalidPlan,
        "periodic splines with 3 knots need a degree below 3",
    ),
    (
        lambda: X.spline_transform(n_knots=2, degree=0, include_bias=False),
        InvalidPlan,
        "leaves out the only column",
    ),
    (lambda: X.spline_transform() + 1, InvalidPlan, "must be the last"),
    (
        lambda: X.cyclical(0),
        InvalidPlan,
        "cyclical(period=0): takes a number from 1e-150 to 1e+150",
    ),
    (lambda: X.cut(["1", "2"]), InvalidPlan, "one or more numbers"),
    (lambda: X.cut({1, 2}), InvalidPlan, "takes a list"),
    (lambda: X.cut([0, 10**400]), InvalidPlan, "takes no number larger than 1.8e308"),
    (lambda: X.qcut(True), InvalidPlan, "qcut(q=True)"),
    (lambda: X.qcut(np.True_), InvalidPlan, "takes a whole number"),
    (lambda: X.qcut(4.0), InvalidPlan, "qcut(q=4.0)"),
    (lambda: X.var(ddof=np.float64(1)), InvalidPlan, "var(ddof="),
    (lambda: X.quantile("0.5"), InvalidPlan, "quantile(q='0.5')"),
    (lambda: X.quantile(float("nan")), InvalidPlan, "quantile(q=nan)"),
    (lambda: X.clip(np.int64(3), np.int64(1)), InvalidPlan, "above the upper bound"),
    (lambda: X.cast("int8", strict="no"), InvalidPlan, "cast(strict='no'): takes True or False"),
    (lambda: X.max_abs_scale(clip="no"), InvalidPlan, "max_abs_scale(clip='no')"),
    (lambda: X.standard_scale(with_mean=1), InvalidPlan, "standard_scale(with_mean=1)"),
    (lambda: X.dt.truncate(5), TypeMismatch, "truncate(every=5): takes a text"),
    (lambda: X.dt.truncate(datetime.timedelta(hours=1)), TypeMismatch, "'15m'"),
    (lambda: X.dt.truncate("1 fortnight"), TypeMismatch, "cannot read every="),
    (lambda: X.dt.truncate("1d", tz=5), TypeMismatch, "truncate(tz=5): takes the name"),
    (lambda: X.dt.hour(tz=5), TypeMismatch, "hour(tz=5): takes the name of a time zone"),
    (lambda: X.dt.hour(tz=""), TypeMismatch, "'Europe/Berlin' or '+02:00'"),
    (lambda: X.cyclical(7) + 1, InvalidPlan, "must be the last"),
    (lambda: ff.coalesce(), InvalidPlan, "coalesce()"),
    (lambda: ff.polynomial_features(), InvalidPlan, "polynomial_features()"),
    (lambda: ff.polynomial_features("a", degree=0), InvalidPlan, "degree=0"),
    (lambda: ff.polynomial_features("a", degree=20_000), InvalidPlan, "more than 10,000"),
    (lambda: ff.polynomial_features("a", "a"), InvalidPlan, "two expressions are called 'a'"),
    (lambda: ff.polynomial_features("a", "b", "a b"), InvalidPlan, "with the same name"),
    (lambda: polynomial("a", interaction_only=1), InvalidPlan, "interaction_only=1"),
    (lambda: ff.polynomial_features("a") + 1, InvalidPlan, "must be the last"),
    (lambda: X.impute(0, add_indicator="yes"), InvalidPlan, "add_indicator='yes'"),
    (lambda: X.impute(0, add_indicator=True) + 1, InvalidPlan, "must be the last"),
    (lambda: ff.haversine("a", "b", "c", None), TypeMismatch, "None"),
    (lambda: columns({"a": "int64"}, "number"), InvalidPlan, "'number'"),
    (lambda: columns({"a": "int64"}, exclude="b"), ff.errors.UnknownColumn, "'b'"),
    (lambda: columns(3), TypeMismatch, "int"),
    (lambda: ff.when("a"), TypeMismatch, "such as col('a') > 0, or write col('a')"),  # type: ignore
    (lambda: ff.when(X).then(1).when("a"), TypeMismatch, "write col('a')"),  # type: ignore
    (lambda: ff.when(X).then("a"), TypeMismatch, "Write col('a') for a column"),
    (lambda: ff.when(X).then(1).otherwise("b"), TypeMismatch, "Write col('b') for a column"),
    (lambda: X.clip("qty", 3), TypeMismatch, "Write col('qty') for a column"),
    (lambda: X.clip(0, "qty"), TypeMismatch, "Write col('qty') for a column"),
    (lambda: max(X, 0), TypeMismatch, "fastfeat.max_horizontal()"),
    (lambda: min(X, 0), TypeMismatch, ".clip()"),
    (lambda: X.is_between(0, 1, closed=X), InvalidPlan, "closed=col('x')): takes"),
    (lambda: X.quantile(0.5, interpolation=X), InvalidPlan, "interpolation=col('x')"),
    (lambda: X.quantile_transform(output_distribution=X), InvalidPlan, "=col('x')): takes"),
    (lambda: X.dt.epoch(X), TypeMismatch, "epoch(col('x')): unknown unit"),
    (lambda: setattr(X, "foo", 1), AttributeError, "an expression cannot be changed"),
]


@pytest.mark.parametrize(("call", "kind", "told"), BAD_PARAMETERS)
def test_bad_parameter_is_refused(
    call: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert told in str(caught.value)


WELCOME: list[tuple[ff.Expr, ff.Expr]] = [
    (X.qcut(np.int64(4)), X.qcut(4)),
    (X.qcut(np.array(4)), X.qcut(4)),
    (X.qcut(np.array([0.25, 0.5])), X.qcut([0.25, 0.5])),
    (X.qcut(pa.array([0.25, 0.5])), X.qcut([0.25, 0.5])),
    (X.cut(pd.Series([1, 2])), X.cut([1.0, 2.0])),
    (X.cut(range(3)), X.cut([0.0, 1.0, 2.0])),
    (X.std(ddof=np.int64(0)), X.std(ddof=0)),
    (X.var(ddof=np.uint8(0)), X.var(ddof=0)),
    (X.round(np.int32(2)), X.round(2)),
    (X.log(np.float32(2)), X.log(2)),
    (X.cyclical(np.int64(24)), X.cyclical(24)),
    (X.cyclical(decimal.Decimal("24")), X.cyclical(24)),
    (X.quantile(np.float32(0.5)), X.quantile(0.5)),
    (X.quantile_transform(n_quantiles=np.int64(9)), X.quantile_transform(n_quantiles=9)),
    (X.min_max_scale(feature_range=np.array([0, 2])), X.min_max_scale(feature_range=(0, 2))),
    (X.robust_scale(quantile_range=np.array([5, 95.0])), X.robust_scale(quantile_range=(5, 95.0))),
    (X.max_abs_scale(clip=np.True_), X.max_abs_scale(clip=True)),
    (X.standard_scale(with_mean=np.False_), X.standard_scale(with_mean=False)),
    (X.cast("int8", strict=np.False_), X.cast("int8", strict=False)),
]


@pytest.mark.parametrize(("by_numpy", "plain"), WELCOME)
def test_scalars_of_numpy_are_parameters_as_those_of_python(
    by_numpy: ff.Expr, plain: ff.Expr
) -> None:
    assert by_numpy.nodes == plain.nodes  # nodes are interned: equal ones are one
    ff.Plan({"y": by_numpy}).to_json()


TABLE = pa.table(
    {
        "x": [1.5, 300.0, None],
        "i": pa.array([-(2**63), 5, None]),
        "u": pa.array([2**64 - 1, 5, None], pa.uint64()),
        "s": ["a", "b", None],
        "b": [b"a", b"b", None],
        "t": pa.array([datetime.datetime(2020, 1, 1)] * 3, pa.timestamp("us")),
        "day": pa.array([datetime.date(2020, 1, 1)] * 3),
        "d": pa.array([datetime.timedelta(1)] * 3, pa.duration("us")),
    }
)
BAD_TYPES: list[tuple[ff.Expr, str]] = [
    (col("s").log1p(), "needs a number, got utf8"),
    (col("s").standard_scale(), "utf8"),
    (col("t").standard_scale(), "timestamp"),
    (col("t").cyclical(24), ".dt.hour()"),
    (col("d").cyclical(24), "duration"),
    (col("s").clip(0, 1), "utf8"),
    (col("s").cut([1]), "utf8"),
    (col("s").cast("float64"), "replace_strict"),
    (col("x").cast("utf8"), "cannot cast float64 to utf8"),
    (col("x").cast("float16"), "float16"),
    (col("x").is_in(["a"]), "'a'"),
    (col("s").is_in([1]), "1"),
    (
        col("s").replace_strict({"a": "b"}, default=None),
        "Map to numbers that you choose: {'a': 0",
    ),
    (col("x").replace_strict({1: 2**70}, default=None), "int64"),
    (col("s").fill_null("b"), "text"),
    (ff.sum_horizontal("x", "s"), "utf8"),
    (ff.haversine("x", "x", "x", "s"), "utf8"),
    (ff.when(col("x")).then(1).otherwise(0), "needs a bool"),
    (col("x") & True, "Compare first"),
    (col("s") < "b", "cannot compare utf8 < utf8. Text has no order here: compare it only with =="),
    (col("x") > "b", "write col('name') for a column"),
    (col("s").fill_null("b"), "is text, col('s').fill_null('b'): features must be numbers"),
    (ff.max_horizontal("s", "s"), "replace_strict({'a': 1, None: 0})"),
    (col("s").fill_null(1), "needs values of one type, got utf8 and int64"),
    (col("x").str.len_chars(), "needs text, got float64"),
    (col("b").str.len_chars(), "needs text, got binary. A CSV file that is not UTF-8"),
    (col("b") == "a", "cannot compare binary == utf8"),
    (col("b").is_in(["a"]), "is_in needs numbers or text, got binary"),
    (ff.cross("s", "x"), "is a cross"),
    (
        col("day").is_in(["2024-01-02"]),
        "is_in cannot look for '2024-01-02' in values of date32. Pass",
    ),
    (
        col("t").impute("median"),
        "interpolation='lower'), or 'higher' or 'nearest'. For impute(), pass",
    ),
]


@pytest.mark.parametrize(("expression", "told"), BAD_TYPES)
def test_wrong_type_is_refused_when_bound(expression: ff.Expr, told: str) -> None:
    with pytest.raises(TypeMismatch) as caught:
        ff.Plan({"y": expression}).fit(TABLE)
    assert told in str(caught.value)


BAD_VALUES: list[tuple[ff.Expr, type[FastfeatError], str]] = [
    (col("i").abs(), Overflow, "row 0"),
    (col("i") - 1, Overflow, "row 0"),
    (-col("i"), Overflow, "row 0"),
    (col("i") // -1, Overflow, "row 0"),
    (col("i").clip(0, 10) ** 40, Overflow, "row 1"),
    (col("u") + 1, Overflow, "row 0"),
    (ff.sum_horizontal("i", ff.lit(-1)), Overflow, "row 0"),
    (col("x").cast("int8"), Overflow, "row 1"),
    (col("x").replace_strict({1.5: 1}), InvalidData, "row 1"),
    (col("s").replace_strict({"a": 1}), InvalidData, "row 1"),
]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_bad_value_is_refused_with_its_row(backend: str) -> None:
    for expression, kind, told in BAD_VALUES:
        fitted = ff.Plan({"y": expression}).fit(TABLE)
        with pytest.raises(kind) as caught:
            fitted.transform(TABLE, backend=backend)
        assert told in str(caught.value)
        assert "'y'" in str(caught.value)


def test_an_expression_fills_missing_values() -> None:
    plan = ff.Plan({"x": X.impute(X.max())})
    assert plan.fit(TABLE).transform(TABLE)["x"].to_pylist() == [1.5, 300.0, 300.0]


def test_uint64_is_looked_up_and_compared_without_overflow() -> None:
    plan = ff.Plan(
        {
            "in": col("u").is_in([2**64 - 1, -1, 0.5]),
            "above": col("u") > 2**63,
            "between": col("u").is_between(-3, 2**63),
            "mapped": col("u").replace_strict({2**64 - 1: 7, -1: 8}, default=None),
            "finite": col("u").is_finite(),
            "fraction": col("u") / 2,
        }
    )
    features = plan.fit(TABLE).transform(TABLE).to_pydict()
    assert features == {
        "in": [True, False, None],
        "above": [True, False, None],
        "between": [False, True, None],
        "mapped": [7, None, None],
        "finite": [True, True, None],
        "fraction": [2.0**63, 2.5, None],
    }


def test_types_are_written_in_many_ways() -> None:
    ways: list[object] = ["int32", " int32 ", pa.int32(), np.int32, np.dtype("int32")]
    for way in ways:
        assert repr(col("x").cast(way)) == repr(col("x").cast("int32"))
    assert repr(col("x").cast(float)) == repr(col("x").cast("float64"))
    assert repr(col("x").cast(bool)) == repr(col("x").cast("bool"))
    stamp = ff.DType("timestamp", "us", "Europe/Berlin")
    assert repr(col("x").cast("timestamp[us, Europe/Berlin]")) == repr(col("x").cast(stamp))
    assert repr(col("x").cast(np.dtype("m8[ms]"))) == repr(col("x").cast("duration[ms]"))


def test_is_in_takes_any_collection() -> None:
    expected = repr(col("x").is_in([1, 2]))
    collections = [(1, 2), {1: 0, 2: 0}, range(1, 3), np.array([1, 2]), pa.array([1, None, 2])]
    for values in collections:
        assert repr(col("x").is_in(values)) == expected


def test_is_in_of_dates_compares_each() -> None:
    day = datetime.datetime(2020, 1, 1)
    plan = ff.Plan(
        {
            "two": col("t").is_in([day, datetime.datetime(2021, 1, 1)]),
            "none": col("t").is_in([]),
            "only missing": col("d").is_in([None]),
        }
    )
    features = plan.fit(TABLE).transform(TABLE).to_pydict()
    assert features == {"two": [True] * 3, "none": [False] * 3, "only missing": [False] * 3}


def test_columns_are_chosen_by_type() -> None:
    assert ff.columns(TABLE) == ["x", "i", "u", "s", "b", "t", "day", "d"]
    assert ff.columns(TABLE, "numeric", exclude=["i"]) == ["x", "u"]
    assert ff.columns(TABLE.schema, "temporal") == ["t", "day", "d"]
    assert ff.columns({"a": "utf8", "b": bool}, "text") == ["a"]
    assert ff.columns({"a": [1.5], "b": [True]}, "boolean") == ["b"]
    assert ff.columns({"a": [[1]], "b": ["x"]}, "all") == ["a", "b"]
    assert ff.columns({"a": [[1]], "b": ["x"]}, "text") == ["b"]
