"""Loops that compute 64 rows at a time and write bools as bits, against the reference."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col

FEATURES: dict[str, Any] = {
    "above": col("x") > 0.25,
    "also_above": col("x") > -0.5,
    "equal": col("x") == col("y"),
    "of_sum": (col("x") + col("y")) * 2 <= 1,
    "between": col("y").is_between(-0.5, 0.5),
    "finite": col("y").is_finite(),
    "narrow": col("single") < 0.25,
    "small": col("small") == 3,
    "unsigned": col("unsigned") > 2,
    "is_null": col("x").is_null(),
    "is_not_null": col("small").is_not_null(),
    "both": col("flag") & col("known"),
    "either": (col("x") > 0) | (col("y") < 0),
    "negated": ~col("flag"),
    "filled": (col("x") > 0).fill_null(True),
}


def rows(n_rows: int, seed: int, *, missing: bool) -> pa.Table:
    """Return random rows with columns of several types; some values are missing, infinite or -0."""
    rng = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, 0.25, np.inf, -np.inf, -0.5])

    def floats() -> np.ndarray:
        values = rng.normal(0, 1, n_rows)
        return np.where(rng.random(n_rows) < 0.3, rng.choice(special, n_rows), values)

    def column(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=rng.random(n_rows) < 0.2 if missing else None)

    return pa.table(
        {
            "x": column(floats()),
            "y": column(floats()),
            "single": column(floats().astype(np.float32)),
            "small": column(rng.integers(-5, 5, n_rows).astype(np.int16)),
            "unsigned": column(rng.integers(0, 5, n_rows).astype(np.uint64)),
            "flag": column(rng.random(n_rows) < 0.5),
            "known": pa.array(rng.random(n_rows) < 0.5),
        }
    )


PLAN = ff.Plan(FEATURES)
FITTED = PLAN.fit(rows(100, 0, missing=True))


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "all there"])
@given(
    n_rows=st.sampled_from((0, 1, 2, 63, 64, 65, 127, 128, 200, 2047, 2048, 2049, 4160)),
    offset=st.integers(0, 70),
    seed=st.integers(0, 1000),
)
def test_bits_equal_the_reference(missing: bool, n_rows: int, offset: int, seed: int) -> None:
    table = rows(n_rows + offset, seed, missing=missing).slice(offset)
    found = FITTED.transform(table)
    assert found.equals(FITTED.transform(table, backend="reference"))
    found.validate(full=True)


MANY = rows(70_000, 9, missing=True)
"""More rows than a small batch has, so that chunks are not put together first."""


@given(cuts=st.lists(st.integers(0, 70_000), max_size=6))
def test_chunks_change_no_bit(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), MANY.num_rows]
    chunks = [MANY.slice(a, b - a) for a, b in pairwise(edges)]
    assert FITTED.transform(pa.concat_tables(chunks)).equals(FITTED.transform(MANY))


def test_rows_after_the_end_are_zero_bits() -> None:
    """Memory after the last row is the same in every run, so that buffers can be compared."""
    table = rows(70, 3, missing=True)
    for column in FITTED.transform(table).columns:
        validity, values = column.chunk(0).buffers()
        for bits in (values, *([validity] if validity else [])):
            assert int.from_bytes(bits.to_pybytes()[:16], "little") >> 70 == 0


def test_indicators_of_categories_equal_the_reference() -> None:
    words = pa.array([["a", "b", "c", None, "d"][k % 5] for k in range(999)])
    table = pa.table({"k": words})
    fitted = ff.Plan({"k": col("k").one_hot_encode(missing="column")}).fit(table)
    assert fitted.transform(table).equals(fitted.transform(table, backend="reference"))


def test_bools_are_computed_as_bits_and_other_outputs_are_not() -> None:
    for feature, is_of_bits in (
        (col("x") > 0, True),
        (col("x").is_null(), True),
        (col("x") + 1, False),
        (col("x").sin() > 0, False),  # calls a function
        (col("small") // 2 == 1, False),  # processors divide integers one by one
    ):
        text = ff.Plan({"f": feature}).fit(rows(10, 0, missing=True)).explain("cpu")
        assert ("@word_0(" in text) == is_of_bits, feature
