"""Small outputs as they are answered: the values of `transform`, of one row and of several."""

from __future__ import annotations

import json
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.serve.answers import matrix_of, rows_of
from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.served_plan import served_plan

pytest.importorskip("ml_dtypes")
ROWS = {"x": [0.1, None, 3.0], "c": ["a", "b", "a"], "is": [True, False, True]}
FLOATS = {"x": col("x") / 3, "code": col("c").ordinal_encode()}
CODES = {"code": col("c").ordinal_encode(), "is": col("is").fill_null(False)}


@pytest.mark.parametrize(
    ("features", "options", "has_short_way"),
    [
        (FLOATS, {"dtype": "float16"}, True),
        (FLOATS, {"dtype": "bfloat16"}, False),
        (CODES, {"codes": "smallest"}, True),
    ],
)
def test_json_has_the_values_of_transform(
    features: dict[str, Any], options: dict[str, Any], has_short_way: bool
) -> None:
    fitted = ff.Plan(features, **options).fit(ROWS)
    table = fitted.transform(ROWS)
    wanted = [list(row.values()) for row in table.to_pylist()]
    assert json.loads(write_json(rows_of(table))) == wanted
    with fitted.online() as live:
        served = served_plan(live, fitted, 10)
        assert (served.plain_row is not None) is has_short_way
        if served.plain_row is not None:
            for k, row in enumerate(wanted):
                given = served.plain_row.read({name: ROWS[name][k] for name in fitted.inputs})
                found = served.plain_row.written(live.features(given), fitted.feature_names)
                assert json.loads(write_json(found)) == row
    matrix = matrix_of(table)
    assert matrix.shape == (3, 2)
