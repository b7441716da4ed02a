"""Scales of columns whose range is more than the greatest float."""

from __future__ import annotations

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData

WIDE = {"x": [1.7e308, -1.7e308, 1.6e308, -1.6e308]}


@pytest.mark.parametrize(
    "feature",
    [
        col("x").min_max_scale(),
        col("x").min_max_scale(feature_range=(-1, 1)),
        col("x").robust_scale(),
    ],
)
def test_a_range_that_overflows_is_an_error(feature: ff.Expr):
    plan = ff.Plan({"f": feature})
    with pytest.raises(InvalidData, match=r"col\('x'\) has a range above the largest float"):
        plan.fit(WIDE)
    narrower = {"x": [value / 4 for value in WIDE["x"]]}
    values = plan.fit_transform(narrower)[1]["f"].to_pylist()
    assert [v for _, v in sorted(zip(WIDE["x"], values, strict=True))] == sorted(values)


def test_a_scale_that_is_no_range_is_right():
    features = {"s": col("x").standard_scale(), "m": col("x").max_abs_scale()}
    table = ff.Plan(features).fit_transform(WIDE)[1]
    assert table["m"].to_pylist() == [1.0, -1.0, 1.6e308 / 1.7e308, -1.6e308 / 1.7e308]
    assert table["s"].to_pylist()[0] == -table["s"].to_pylist()[1]
