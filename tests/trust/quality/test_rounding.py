"""Rounding: what float types cost features, against fractions and the features themselves."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan
from fastfeat.ir.dtypes import FLOAT_FORMATS
from fastfeat.trust.quality.rounding import NARROW, rounded, roundings_of, roundings_text

FLOATS = st.floats() | st.floats(-2, 2) | st.floats(-1e-7, 1e-7) | st.sampled_from([0.0, -0.0])


def nearest(x: float, dtype: str) -> float:
    """Return the nearest number of a type, ties to even, by fractions."""
    if x == 0 or not math.isfinite(x):
        return x
    kind = FLOAT_FORMATS[dtype]
    unit = Fraction(2) ** (max(math.frexp(x)[1], 2 - kind.largest_exponent) - kind.n_bits)
    found = abs(round(Fraction(x) / unit) * unit)
    return math.copysign(float(found) if found <= Fraction(kind.largest) else math.inf, x)


@given(st.lists(FLOATS, min_size=1), st.sampled_from(NARROW))
@example([1.794e308, -1.794e308], "bfloat16")  # up, to 2**1024
def test_values_are_rounded_to_the_nearest(values, dtype):
    found = rounded(np.array(values), dtype)
    np.testing.assert_array_equal(found, [nearest(x, dtype) for x in values])
    zeros = found == 0
    assert np.array_equal(np.signbit(found[zeros]), np.signbit(np.array(values)[zeros]))


@pytest.mark.parametrize("dtype", NARROW)
def test_features_are_rounded_as_it_is_told(dtype):
    x = np.concatenate([np.random.default_rng(0).lognormal(0, 3, 500), [1e-9, np.nan]])
    wide = ff.Plan({"x": col("x") / 3}).fit({"x": x})
    narrow = ff.Plan({"x": col("x") / 3}, dtype=dtype).fit({"x": x})
    values = wide.transform({"x": x})["x"].to_numpy()
    found = narrow.transform({"x": x})["x"].to_numpy().astype(np.float64)
    np.testing.assert_array_equal(found, rounded(values, dtype))
    one = ff.quality.rounding(narrow, {"x": x})["x"][dtype]
    assert one == ff.quality.rounding(wide, {"x": x}, dtypes=[dtype])["x"][dtype]
    assert one.largest == np.nanmax(np.abs(found - values))
    assert one.largest_relative == np.nanmax(np.abs(found - values) / values)
    assert one.n_values == 501
    assert one.n_vanished == (dtype == "float16")


@pytest.mark.parametrize("dtype", NARROW)
def test_the_share_is_bounded_by_the_bits_of_the_type(dtype):
    kind = FLOAT_FORMATS[dtype]
    x = np.random.default_rng(1).uniform(1, 2, 5000) * 2.0 ** np.random.default_rng(2).integers(
        1 - kind.largest_exponent, kind.largest_exponent, 5000
    )
    one = roundings_of(x, [dtype])[dtype]
    assert one.fits
    assert 2.0 ** -(kind.n_bits + 1) < one.largest_relative <= 2.0**-kind.n_bits
    assert one.rms_relative < one.largest_relative


def test_what_a_type_does_not_hold_is_counted():
    one = roundings_of(np.array([70_000.0, -1e30, 1.0, np.inf, np.nan, 0.0, 1e-9]))["float16"]
    assert (one.n_values, one.n_beyond, one.n_vanished, one.fits) == (5, 2, 1, False)
    assert one.largest_relative == 1.0
    none = roundings_of(np.array([np.nan]))["float16"]
    assert none.fits
    assert none.largest_relative == none.rms_relative == none.largest == 0.0
    assert roundings_text(roundings_of(np.array([1e-9, 1.0]), ["float16"])).endswith(
        "1 rounded to 0"
    )


def test_features_that_are_no_floats_have_no_rounding():
    fitted = ff.Plan({"n": col("n"), "x": col("n") / 2}).fit({"n": [1, 2]})
    assert set(ff.quality.rounding(fitted, {"n": [3, None]})) == {"x"}
    assert ff.quality.rounding(ff.Plan({"n": col("n")}).fit({"n": [1]}), {"n": [1]}) == {}
    assert ff.quality.rounding(fitted, {"n": np.zeros(0, np.int64)})["x"]["float16"].n_values == 0
    with pytest.raises(InvalidPlan, match=r"may contain 'float16', .* got 'int8'"):
        ff.quality.rounding(fitted, {"n": [1]}, dtypes=["int8"])
