"""Bad plans: each gets a clear error when it is made, or when it meets the types of the data."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.errors import FastfeatError, InvalidPlan, Leakage, TypeMismatch

WEEK = ff.window("7d", time="t")
ROWS = pa.table({"price": [1.0, 2.0, None], "n": [1, 2, 3], "city": ["a", "b", None]})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "needs at least one feature"),
        ([], "needs at least one feature"),
        (None, "must be a dict of expressions by name, or a list, got None"),
        (5, "or a list, got 5"),
        ("price", "or a list, got 'price'"),
        (col("price"), r"or a list, got col\('price'\)"),
        ({"": col("n")}, "a feature name must be non-empty text, got ''"),
        ({1: col("n")}, "a feature name must be non-empty text, got 1"),
        ([col("n"), col("n") + 1], "two features are named 'n'. Rename one"),
        ({"a": col("n").cyclical(7), "a_sin": col("n")}, "two features give the column 'a_sin'"),
        ([lit(1)], "has no name, because it reads no column"),
    ],
)
def test_features_that_make_no_plan_are_refused(features, message):
    with pytest.raises(InvalidPlan, match=message):
        ff.Plan(features)


def test_a_feature_that_is_no_expression_says_what_to_write():
    with pytest.raises(TypeMismatch, match=r"'a' must be an expression.*Write col\('price'\)"):
        ff.Plan({"a": "price"})  # pyright: ignore[reportArgumentType]  # what is tested
    with pytest.raises(TypeMismatch, match=r"expressions, got 'price'. Write col\('price'\)"):
        ff.Plan(["price"])  # pyright: ignore[reportArgumentType]  # what is tested


def test_columns_in_one_expression_are_told_to_be_several():
    with pytest.raises(TypeMismatch, match=r"got \['a', 'b'\]. Write .* \[col\(name\) for name in"):
        col(["a", "b"])  # pyright: ignore[reportArgumentType]  # what is tested


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (col("n").abs, r"got the method abs. Add \(\) to call it: col\('n'\).abs\(\)"),
        (col("n").dt.hour, r"got the method hour. Add \(\) to call it: col\('n'\).dt.hour\(\)"),
        (col("n").dt, r"got col\('n'\).dt. Take a part: col\('n'\).dt.hour\(\)"),
        (ff.when(col("n") > 1), r"got a when\(\) without then. End it with .then\(...\).otherw"),
        (ff.when(col("n") > 1).then(1), r"got a when\(\) without otherwise. End it with .otherw"),
        (ff.lookup("t", by="n"), r"got a row of a lookup table. Take a column of it: .col\("),
        ([col("n")], "got a list. Give each expression its own name"),
        (5, r"got 5 of type int. Write lit\(...\) around it"),
        (10**400, r"got an integer of type int. Write lit"),
        (None, r"got None. Write lit\(None\) for a missing value"),
        (lambda x: x, r"got the function <lambda>. A plan cannot run Python functions"),
        (pl.col("n"), r"got a Polars expression. Write it with fastfeat.col"),
        (pl.Series([1]), r"got a Series. Its values cannot be part of a plan. Name"),
        (np.zeros(3), r"got a ndarray. Its values cannot be part of a plan. Name"),
        ({}, r"got a dict. Write an expression, such as col\('name'\)"),
    ],
)
def test_what_is_no_expression_is_told_what_to_write(given, message):
    with pytest.raises(TypeMismatch, match=r"'a' must be an expression, " + message):
        ff.Plan({"a": given})
    with pytest.raises(TypeMismatch, match="a list of features must contain .*" + message):
        ff.Plan([given])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "city"}, "keep must be a list of column names, got 'city'"),
        ({"keep": 5}, "keep must be a list"),
        ({"keep": ["log"]}, "keep='log' has the name of another output"),
        ({"outcomes": None}, "outcomes must be a list"),
        ({"outcomes": "city"}, "outcomes must be a list"),
        (
            {"dtype": "float8"},
            "dtype must be one of 'float16', 'bfloat16', 'float32', 'float64', got 'float8'",
        ),
        ({"dtype": "int"}, "dtype must be"),
        ({"label": 5}, "label must be a column name or"),
        ({"label": {}}, "label must be a column name or"),
        (
            {"label": {"y": "city"}},
            r"or {name: expression}, but 'y' is 'city'. Write col\('city'\)",
        ),
        ({"label": {"y": WEEK}}, r"but 'y' is a window. Aggregate its rows: col\('x'\).mean"),
        ({"label": {5: col("n")}}, "got the name 5"),
        ({"label": {"y": col("n"), "z": col("n")}}, "got 2 labels. A plan has one label"),
        ({"label": ["y", "z"]}, r"got 2 labels\. A plan has one label: .* outcomes="),
        ({"label": col("n") > 1}, r"got \(col\('n'\) > 1\). Give it a name: label={'y': ...}"),
        (
            {"label": pl.Series([1, 2])},
            r"got a Series\. Put it in the data as a column, and pass the column's name",
        ),
        ({"label": {"y": col("city").count() > 1}}, "a label cannot contain learnt values"),
        (
            {"label": "log"},
            r"fitted\.label\(data\) gives it. Leave it out of the features, or rename",
        ),
        ({"label": "city", "keep": ["city"]}, "'city' is the label, .* Leave it out of keep=, or"),
    ],
)
def test_options_that_make_no_plan_are_refused(options, message):
    with pytest.raises(InvalidPlan, match=message):
        ff.Plan({"log": col("price").log1p()}, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ff.Plan({"a\ud800": col("n")}),
        lambda: ff.Plan({"a": col("n\udfff")}),
        lambda: ff.Plan({"a": col("n")}, keep=["\ud83d"]),
        lambda: ff.Plan({"a": col("city") == "\ud800"}),
        lambda: ff.Plan({"a": col("city").replace_strict({"\ud800": 1}, default=0)}),
        lambda: ff.Plan({"a": col("city").is_in(["b", "\ud800"])}),
    ],
)
def test_half_a_character_is_refused_when_the_plan_is_made(make):
    with pytest.raises(InvalidPlan, match=r"lone surrogate"):
        make()


def test_an_integer_beyond_64_bits_is_refused():
    with pytest.raises(
        TypeMismatch, match=r"of 1329 bits does not fit into 64 bits. Write it as a float"
    ):
        ff.Plan({"a": col("n") + 10**400}).fit(ROWS)


def test_an_unknown_zone_is_refused():
    times = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC"))})
    with pytest.raises(
        FastfeatError, match=r"no time zone 'Europe/Berln'. Did you mean 'Europe/Ber"
    ):
        ff.Plan({"hour": col("t").dt.hour(tz="Europe/Berln")}).fit(times)
    elsewhere = pa.table({"t": pa.array([0], pa.timestamp("us", "Mars/Base"))})
    with pytest.raises(FastfeatError, match=r"no time zone 'Mars/Base'"):
        ff.Plan({"hour": col("t").dt.hour()}).fit(elsewhere)


@pytest.mark.parametrize("n_threads", [0, -1, "4", 2.5, True])
def test_a_number_of_threads_that_is_none_is_refused(n_threads):
    with pytest.raises(InvalidPlan, match=r"whole number from 1"):
        ff.set_num_threads(n_threads)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC+2", "Use '+02:00'"),
        ("GMT-5", "Use '-05:00'"),
        ("UTC+05:30", "Use '+05:30'"),
        ("+2", "Use '+02:00'"),
        ("EDT", "Abbreviations are ambiguous and change with the season"),
        ("berlin", "Did you mean 'Europe/Berlin'"),
    ],
)
def test_no_zone_of_another_offset_is_proposed(zone, told):
    times = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC"))})
    with pytest.raises(TypeMismatch, match=f"no time zone .*{re.escape(told)}") as caught:
        ff.Plan({"hour": col("t").dt.hour(tz=zone)}).fit(times)
    assert "Etc/" not in str(caught.value)
    assert "WET" not in str(caught.value)


@pytest.mark.parametrize("text", ["many", "0", "²", "-1", "1.5", "9" * 5000])
def test_a_number_of_threads_from_the_environment_is_checked(monkeypatch, text):
    monkeypatch.setenv("FASTFEAT_NUM_THREADS", text)
    with pytest.raises(InvalidPlan, match=rf"FASTFEAT_NUM_THREADS .* got '{text}'"):
        ff.num_threads()


def test_a_number_of_threads_may_be_of_numpy():
    try:
        ff.set_num_threads(np.int64(3))  # pyright: ignore[reportArgumentType]  # what is tested
        assert ff.num_threads() == 3
    finally:
        ff.set_num_threads(None)


def test_a_late_column_in_a_feature_is_refused():
    with pytest.raises(Leakage, match=r"feature 'a' reads 'n' in its own row"):
        ff.Plan({"a": col("price") / col("n")}, label="n")
    with pytest.raises(Leakage, match=r"\(label=\): .* Remove the feature$"):
        ff.Plan({"a": col("price") / col("n")}, label="n")
    with pytest.raises(Leakage, match=r"\(outcomes=\): .* or remove the column from outcomes=$"):
        ff.Plan({"a": col("price") / col("n")}, outcomes=["n"])
    with pytest.raises(Leakage, match=r"feature 'a' reads 'n' through a value that fit"):
        ff.Plan({"a": col("price") / col("n").mean()}, outcomes=["n"])
    with pytest.raises(Leakage, match=r"feature 'b' reads 'city' in its own row"):
        ff.Plan({"a": col("n"), "b": col("city") == "a"}, label={"y": col("city") == "b"})


@pytest.mark.parametrize("given", [{}, None, 5, object()])
def test_what_is_no_json_or_path_is_refused(given):
    with pytest.raises(
        TypeMismatch, match=r"from_json takes text, got a .*json\.dumps\(\.\.\.\) of a dict"
    ):
        ff.Plan.from_json(given)
    with pytest.raises(TypeMismatch, match=r"load takes the path of a file, got a "):
        ff.load(given)
