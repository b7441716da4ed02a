"""Outputs of different libraries are compared before anything is timed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bench.compare import EXACT, OutputsDiffer, Tolerance, columns_of, n_bytes, require_equal

VALUES = [1.5, None, -0.0, math.inf]
FORMS = {
    "arrow": pa.table({"x": pa.array(VALUES)}),
    "arrow NaN": pa.table({"x": pa.array([1.5, math.nan, -0.0, math.inf])}),
    "pandas": pd.DataFrame({"x": [1.5, math.nan, 0.0, math.inf]}),
    "polars": pl.DataFrame({"x": VALUES}),
    "matrix": np.array([[1.5], [math.nan], [0.0], [math.inf]]),
    "arrays": [np.array([1.5, math.nan, 0.0, math.inf])],
}


@pytest.mark.parametrize("left", FORMS)
@pytest.mark.parametrize("right", FORMS)
def test_the_same_values_agree_in_every_form(left: str, right: str) -> None:
    require_equal(FORMS[left], FORMS[right], EXACT, "two forms")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([np.array([1.5, math.nan, 0.0, 2.0])], r"row 3: inf against 2.0 \(1 of 4 rows differ\)"),
        ([np.array([1.5, 0.0, 0.0, math.inf])], "row 1: missing against 0.0"),
        ([np.array([math.nan, math.nan, 0.0, math.inf])], "row 0: 1.5 against missing"),
        ([np.array([1.5, math.nan, 0.0])], "4 rows against 3"),
        ([np.zeros(4), np.zeros(4)], "1 columns against 2"),
    ],
)
def test_a_difference_is_named(other: Any, message: str) -> None:
    with pytest.raises(OutputsDiffer, match=message):
        require_equal(FORMS["arrow"], other, Tolerance(0.1, 0.1), "ours and theirs")


def test_the_tolerance_is_absolute_plus_relative() -> None:
    expected = [np.array([0.0, 100.0])]
    require_equal(expected, [np.array([0.5, 101.5])], Tolerance(0.01, 0.5), "both")
    with pytest.raises(OutputsDiffer, match="row 1"):
        require_equal(expected, [np.array([0.5, 101.6])], Tolerance(0.01, 0.5), "both")
    with pytest.raises(OutputsDiffer, match="row 0"):
        require_equal(expected, [np.array([0.6, 100.0])], Tolerance(0.01, 0.5), "both")


def test_integers_and_booleans_agree_across_widths() -> None:
    arrow = pa.table({"a": pa.array([1, None, 3], pa.int32()), "b": pa.array([True, None, False])})
    frame = pl.DataFrame({"a": [1, None, 3], "b": [True, None, False]})
    require_equal(arrow, frame, EXACT, "widths")
    require_equal(
        arrow, [np.array([1.0, math.nan, 3.0]), np.array([1.0, math.nan, 0.0])], EXACT, "floats"
    )


def test_sizes_count_tables_and_arrays_alone() -> None:
    matrix = np.zeros((3, 2), np.float32)
    assert n_bytes(matrix) == 24
    assert n_bytes([np.zeros(3), np.zeros(3)]) == 48
    assert n_bytes(pa.table({"x": pa.array([1.0, 2.0])})) == 16
    assert n_bytes(("anything", 1)) == 0


def test_an_unknown_result_is_refused() -> None:
    with pytest.raises(TypeError, match="type object cannot be compared"):
        columns_of(object())
