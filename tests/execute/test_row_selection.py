"""`rows=` as users write it: masks and numbers of any library, and what is neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, TypeMismatch

FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "numpy": np.array,
    "object": lambda rows: np.array(rows, object),
    "arrow": pa.array,
    "chunks": lambda rows: pa.chunked_array([rows[:1], rows[1:]]),
    "pandas": lambda rows: pd.Series(rows, index=range(100, 100 + len(rows))),
    "nullable": lambda rows: pd.Series(rows).convert_dtypes(),
    "polars": pl.Series,
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_given_in_any_form(form: str) -> None:
    data = {"x": [1.0, 2.0, 4.0, 8.0]}
    fitted = ff.Plan({"x": col("x") + col("x").max()}).fit(
        data, rows=FORMS[form]([True, False, True, False])
    )
    assert fitted.transform(data, rows=FORMS[form]([2, 0, 2]))["x"].to_pylist() == [8.0, 5.0, 8.0]


def test_rows_are_small_integers_ranges_and_unsigned_too() -> None:
    data, fitted = {"x": [1.0, 2.0, 4.0]}, ff.Plan({"x": col("x")}).fit({"x": [1.0]})
    for rows in (range(1, 3), np.array([1, 2], np.uint8), np.array([1, 2], np.int16)):
        assert fitted.transform(data, rows=rows)["x"].to_pylist() == [2.0, 4.0]


BAD = [
    ([True, False], InvalidData, "2 flags, but the data has 3 rows"),
    ([0, 3], InvalidData, "value 1 is 3, but the data has 3 rows"),
    ([0, -1], InvalidData, "value 1 is -1.*from 0, not"),
    ([2**70], TypeMismatch, "rows= must hold .* got list"),
    (np.array([2**63], np.uint64), InvalidData, "value 0 is 9223372036854775808"),
    ([None, True, False], InvalidData, "value 0 is missing"),
    (pa.array([1, None]), InvalidData, "value 1 is missing"),
    (pd.Series([1, None]), TypeMismatch, "type double"),
    ([0.0, 1.0], TypeMismatch, "type double"),
    (["a"], TypeMismatch, "type string"),
    ([[0], [1]], TypeMismatch, "type list"),
    (np.zeros((3, 1), bool), TypeMismatch, r"shape \(3, 1\)"),
    (np.int64(1), TypeMismatch, r"shape \(\)"),
    (1, TypeMismatch, "rows= must hold .* got int"),
    ("x", TypeMismatch, "rows= must hold .* got str"),
    (slice(2), TypeMismatch, "rows= must hold .* got slice"),
    (pd.DataFrame({"m": [True, False, True]}), TypeMismatch, "type struct"),
]


@pytest.mark.parametrize(("rows", "kind", "told"), BAD)
def test_rows_that_are_none_are_errors(rows: Any, kind: type[Exception], told: str) -> None:
    data = {"x": [1.0, 2.0, 3.0], "y": [0, 1, 1]}
    plan = ff.Plan({"x": col("x").standard_scale()}, label="y")
    fitted = plan.fit(data)
    for run in (plan.fit, plan.fit_transform, fitted.transform, fitted.label):
        with pytest.raises(kind, match=told):
            run(data, rows=rows)


def test_no_row_is_an_error_of_fit_and_no_row_out_of_transform() -> None:
    data = {"x": [1.0, 2.0], "y": [0, 1]}
    plan = ff.Plan({"x": col("x")}, label="y")
    fitted = plan.fit(data)
    for none in ([], [False, False]):
        for fit in (plan.fit, plan.fit_transform):
            with pytest.raises(InvalidData, match="rows= selects no row"):
                fit(data, rows=none)
        assert fitted.transform(data, rows=none).equals(fitted.transform(data).slice(0, 0))
        assert fitted.transform(data, rows=none, to="numpy").shape == (0, 1)
        assert len(fitted.label(data, rows=none)) == 0
