"""`eq_missing` and `ne_missing`: missing equals missing, of every type that `==` takes."""

from __future__ import annotations

import datetime
import math
from typing import Any

import polars as pl
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import TypeMismatch

DAY, LATER = datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)
PAIRS: dict[str, tuple[Any, Any]] = {
    "integers": (2**53, 2**53 + 1),
    "floats": (0.5, math.inf),
    "bools": (False, True),
    "texts": ("", "é"),
    "bytes": (b"", b"\xff"),
    "dates": (DAY, LATER),
    "times": (datetime.time(1), datetime.time(2)),
    "durations": (datetime.timedelta(0), datetime.timedelta(days=1)),
    "timestamps": (datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)),
}
EQUAL, DIFFERENT = col("x").eq_missing(col("y")), col("x").ne_missing(col("y"))


@pytest.mark.parametrize("kind", PAIRS)
def test_columns_are_compared_as_polars_compares_them(kind: str) -> None:
    values = [*PAIRS[kind], None]
    rows = {"x": values * 3, "y": [value for value in values for _ in values]}
    fitted = ff.Plan({"equal": EQUAL, "different": DIFFERENT}).fit(rows)
    expected = pl.DataFrame(rows).select(
        equal=pl.col("x").eq_missing(pl.col("y")), different=pl.col("x").ne_missing(pl.col("y"))
    )
    for backend in ("cpu", "reference"):
        assert fitted.transform(rows, backend=backend).to_pydict() == expected.to_dict(
            as_series=False
        )


@pytest.mark.parametrize("value", [1, 0.5, True, None])
def test_a_constant_is_compared_as_polars_compares_it(value: Any) -> None:
    rows = {"x": [1.0, 0.5, None]}
    found = ff.Plan({"same": col("x").eq_missing(value)}).fit(rows).transform(rows)
    given = pl.lit(None, pl.Float64) if value is None else float(value)
    expected = pl.DataFrame(rows).select(same=pl.col("x").eq_missing(given))
    assert found["same"].to_pylist() == expected["same"].to_list()


def test_nan_is_missing_here() -> None:
    rows = {"x": [math.nan, math.nan, 1.0], "y": [None, math.nan, math.nan]}
    found = ff.Plan({"equal": EQUAL, "different": DIFFERENT}).fit(rows).transform(rows)
    assert found["equal"].to_pylist() == [True, True, False]
    assert found["different"].to_pylist() == [False, False, True]


def test_one_is_the_opposite_of_the_other_after_fit_too() -> None:
    changed = col("kind").ne_missing(col("kind").mode())
    fitted = ff.Plan({"rare": changed, "usual": col("kind").eq_missing("a")}).fit(
        {"kind": ["a", "a", "b"]}
    )
    found = fitted.transform({"kind": ["a", "b", None]}).to_pydict()
    assert found == {"rare": [False, True, True], "usual": [True, False, False]}


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeMismatch, match="cannot compare utf8 == int64"):
        ff.Plan({"same": EQUAL}).fit({"x": ["a"], "y": [1]})
