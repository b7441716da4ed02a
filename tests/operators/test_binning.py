"""Bins closed on either side: the same codes as pandas, Polars and NumPy give."""

from __future__ import annotations

import math
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


NEAR = [*range(2**53 - 3, 2**53 + 5), *range(2**63 - 1030, 2**63 + 4, 3), 2**63, 2**64 - 1]
FAR = sorted([-(2**63), -(2**53) - 1, -1, 0, 1, *NEAR])
EXACT_EDGES: dict[str, list[float]] = {
    "float": [2.0**53],
    "integers": [-(2**63), -(2**53) - 1, 2**53 + 1, 2**53 + 2, 2**63 - 1, 2**63, 2**64 - 1],
    "beyond": [-math.inf, -(2.0**70), 0.5, 2.0**63, 2**63 + 2, 2.0**64, 2.0**70, math.inf],
    "searched": [float(2**53), *range(2**53 + 1, 2**53 + 20), 2.0**63],
    "none within": [-(2.0**70), 2.0**70],
}


@pytest.mark.parametrize("kind", ["int64", "uint64", "float64", "int32"])
def test_numbers_are_cut_by_their_true_values(kind: str) -> None:
    low, high = (0, 2**64) if kind == "uint64" else (-(2**31), 2**31)
    low, high = (-(2**63), 2**63) if kind == "int64" else (low, high)
    data = {"x": np.array([x for x in FAR if kind == "float64" or low <= x < high], kind)}
    plan = ff.Plan(
        {
            f"{name} {closed}": col("x").cut(edges, closed=closed)
            for name, edges in EXACT_EDGES.items()
            for closed in ("left", "right")
        }
    )
    fitted, values = plan.fit(data), data["x"].tolist()
    assert ff.Plan.from_json(plan.to_json()).fit(data) == fitted
    for backend in ("cpu", "reference", "emulated"):
        found: Any = fitted.transform(data, backend=backend)
        for name, edges in EXACT_EDGES.items():
            not_above = [sum(edge <= x for edge in edges) for x in values]
            below = [sum(edge < x for edge in edges) for x in values]
            assert found[f"{name} left"].to_pylist() == not_above, (name, backend)
            assert found[f"{name} right"].to_pylist() == below, (name, backend)
    last = [column.to_pylist()[-1] for column in fitted.transform(data, to="arrow").columns]
    assert fitted.transform_row({"x": values[-1]}).tolist() == last


def test_edges_that_no_float_equals_stay_apart() -> None:
    edges = [2**53, 2**53 + 1, 2**53 + 2]
    data = {"x": np.array([2**53 - 1, *edges])}
    plan = ff.Plan({"bin": col("x").cut(edges)})
    assert plan.fit(data).transform(data)["bin"].to_pylist() == [0, 1, 2, 3]
    text = "col('x').cut([9007199254740992.0, 9007199254740993, 9007199254740994.0])"
    assert repr(col("x").cut(edges)) == text
    with pytest.raises(InvalidPlan, match="rising order"):
        col("x").cut([2**53 + 1, 2**53])
