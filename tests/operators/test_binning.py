"""Bins closed on either side: the same codes as pandas, Polars and NumPy give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, TypeMismatch

EDGES = st.lists(st.integers(-4, 4), min_size=1, max_size=20, unique=True).map(sorted)
pytestmark = pytest.mark.filterwarnings("ignore:`q?cut` is deprecated:DeprecationWarning")  # Polars
VALUES = st.lists(st.one_of(st.none(), st.integers(-6, 6)), min_size=1, max_size=12)


def codes(feature: ff.Expr, values: list[Any], backend: Any = "reference") -> list[Any]:
    data = {"x": np.array([np.nan if x is None else x for x in values], float)}
    return ff.Plan({"bin": feature}).fit(data).transform(data, backend=backend)["bin"].to_pylist()


@given(EDGES, VALUES)
def test_bins_closed_on_the_right_are_those_of_pandas_and_polars(
    edges: list[int], values: list[int | None]
) -> None:
    found = codes(col("x").cut(edges, closed="right"), values)
    series = pd.Series(values, dtype=float)
    of_pandas: Any = pd.cut(series, [-np.inf, *edges, np.inf], labels=False)
    assert found == [None if np.isnan(code) else int(code) for code in of_pandas]
    labels = [str(k) for k in range(len(edges) + 1)]
    of_polars = pl.Series(values, dtype=pl.Float64).cut(edges, labels=labels).to_list()
    assert found == [None if code is None else int(code) for code in of_polars]


@given(EDGES, VALUES)
def test_bins_closed_on_the_left_are_those_of_numpy(
    edges: list[int], values: list[int | None]
) -> None:
    expected = [None if x is None else int(np.digitize(x, edges)) for x in values]
    assert codes(col("x").cut(edges), values) == expected
    assert codes(col("x").cut(edges, closed="left"), values) == expected


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("n_edges", [3, 40])  # compared whole, and searched
def test_a_value_on_an_edge_belongs_to_the_closed_side(backend: str, n_edges: int) -> None:
    edges = [float(k) for k in range(n_edges)]
    values = [*edges, -1.0, -0.0, 99.0, None]
    assert codes(col("x").cut(edges, closed="right"), values, backend) == [
        *range(n_edges), 0, 0, n_edges, None
    ]  # fmt: skip
    assert codes(col("x").cut(edges), values, backend) == [
        *(k + 1 for k in range(n_edges)), 0, 1, n_edges, None
    ]  # fmt: skip


def test_quantile_bins_closed_on_the_right_are_those_of_pandas_and_polars() -> None:
    values = [1.0, 2.0, 2.5, 4.0, 4.0, 5.0, 7.0, 8.0, 9.0]
    found = codes(col("x").qcut(4, closed="right"), values)
    of_pandas: Any = pd.qcut(values, 4, labels=False)
    assert found == of_pandas.tolist()
    of_polars = pl.Series(values).qcut(4, labels=["0", "1", "2", "3"])
    assert found == [int(code) for code in of_polars.to_list()]
    assert found != codes(col("x").qcut(4), values)


def test_a_side_is_kept_in_plans_and_their_text() -> None:
    plan = ff.Plan({"a": col("x").cut([1.0], closed="right"), "b": col("x").qcut(3)})
    again = ff.Plan.from_json(plan.to_json())
    assert again == plan
    assert str(again.features["a"]) == "col('x').cut([1], closed='right')"


@pytest.mark.parametrize(
    ("use", "error", "hint"),
    [
        (lambda x: x.cut([1], closed="both"), InvalidPlan, "takes 'left' or 'right'"),
        (lambda x: x.cut([1], right=True), TypeMismatch, "closed='right' for right=True"),
        (lambda x: x.qcut(2, left_closed=True), TypeMismatch, "closed='left' for left_closed=True"),
        (lambda x: x.cut([1], right_closed=True), TypeMismatch, "Write closed='right' for"),
        (lambda x: x.bin_intervals([1]), AttributeError, "cut("),
        (lambda x: x.cut(bins=[1]), TypeMismatch, "Write edges="),
        (lambda x: x.qcut(2, labels=["a"]), TypeMismatch, "replace_strict"),
    ],
)
def test_words_of_other_libraries_are_told(
    use: Callable[[Any], Any], error: type[Exception], hint: str
) -> None:
    with pytest.raises(error, match=hint.replace("(", r"\(")):
        use(col("x"))
