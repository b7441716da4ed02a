"""Hand-over to libraries of boosted trees: what rows and features may come with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.integrations.library_data import hand_over

DATA = {"x": np.arange(4.0)}
FITTED = ff.Plan({"a": col("x") * 2}).fit(DATA)


@pytest.mark.parametrize(
    "beside",
    [
        {"rows": np.array([True, False, True, True])},
        {"history": pd.DataFrame(DATA)},
        {"tables": {"t": pd.DataFrame(DATA)}},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_features_come_without_rows_history_and_tables(beside: dict[str, Any]) -> None:
    features = FITTED.transform(DATA)
    assert hand_over(FITTED, CallRows(None), features, False, None).features.equals(features)
    with pytest.raises(TypeMismatch, match="are for data, not for features="):
        hand_over(FITTED, CallRows(None, **beside), features, False, None)
    with pytest.raises(TypeMismatch, match="pass either data or features="):
        hand_over(FITTED, CallRows(DATA), features, False, None)
