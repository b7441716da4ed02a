"""The reference of `quantile_transform` where the learnt quantiles are subnormal."""

from __future__ import annotations

import math

import fastfeat as ff
from fastfeat import col
from fastfeat.operators import OPERATORS


def test_ranks_between_subnormal_quantiles_agree_with_the_reference() -> None:
    train, row = [5e-324, -1e-310], [0.0]
    fitted = ff.Plan({"rank": col("x").quantile_transform()}).fit({"x": train})
    (found,) = fitted.transform({"x": row})["rank"].to_pylist()
    (wanted,) = OPERATORS["quantile_transform"].reference([train], [row])
    assert wanted is not None
    assert math.isclose(found, wanted, abs_tol=8 * 2.0**-53)
