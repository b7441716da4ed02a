"""Every aggregate: what kernels and finalize give against the definition; types; extremes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.moments import reference as moments_reference
from fastfeat_kernels.moments.exact import nearest_float, rounded
from fastfeat_kernels.moments.state import summarize
from fastfeat_kernels.powers import reference as powers_reference
from fastfeat_kernels.powers.state import NO_POWERS
from fastfeat_kernels.powers.state import summarize as summarize_powers
from fastfeat_kernels.selection import reference as selection_reference
from fastfeat_kernels.selection.state import select
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import (
    ColumnSummary,
    level_of,
    needs_likelihood,
    needs_order,
    needs_powers,
    ranks_of,
)
from fastfeat.aggregates.power import METHODS
from fastfeat.engine.cpu.likelihood import LIKELIHOODS
from fastfeat.engine.cpu.part import Asked
from fastfeat.errors import FastfeatError, InvalidData, Overflow, TypeMismatch
from fastfeat.io.columns.types import storage_type
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import TABLE, DType
from fastfeat.ir.node import Params, params_of
from fastfeat_tests.kernels.kernel_columns import (
    columns,
    make_chunk,
    reference,
)

INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")
NUMBERS = [dtypes.FLOAT64, dtypes.FLOAT32, dtypes.BOOL, dtypes.INT8, dtypes.INT64, dtypes.UINT64]
MOMENTS, SELECTION = reference(moments_reference.ENTRIES), reference(selection_reference.ENTRIES)
POWERS = reference(powers_reference.ENTRIES)
PROBABILITY = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


def learn(name: str, values: list[Any], dtype: DType = dtypes.FLOAT64, **params: Any) -> Any:
    """Return the value of an aggregate as a backend computes it."""
    function, element = AGGREGATES[name], element_of(dtype)
    chunk, given_params = make_chunk(element, values, 3), params_of(**params)
    moments = summarize(element, [chunk], level_of([function]), MOMENTS)
    order: Mapping[int, float] = {}
    if needs_order([function]):
        wanted = [(function, given_params)]
        order = select(
            element, [chunk], lambda n: ranks_of(wanted, n, len(values)), SELECTION
        ).values
    powers = NO_POWERS
    if needs_powers([function]):
        powers = summarize_powers(element, [chunk], POWERS)
    likeliest: dict[str, float | None] = {}
    if needs_likelihood([function]):
        array = chunked_array(values, dtype)
        method = METHODS[name]
        found = LIKELIHOODS[method].at_once
        assert found is not None
        likeliest[method] = found(Asked(dtype, [(name, given_params)]), array, 1)
    return function.finalize(ColumnSummary(dtype, moments, order, powers, likeliest), given_params)


def chunked_array(values: list[Any], dtype: DType) -> pa.ChunkedArray:
    """Return values as an Arrow column in plain storage."""
    return pa.chunked_array([pa.array(values, storage_type(dtype))])


def element_of(dtype: DType) -> str:
    return "int64" if dtype.is_temporal else dtype.name


def same_bits(left: Any, right: Any) -> bool:
    return type(left) is type(right) and repr(left) == repr(right)


@st.composite
def parameters(draw: st.DrawFn, name: str) -> dict[str, Any]:
    match name:
        case "var" | "std":
            return {"ddof": draw(st.integers(0, 2))}
        case "skew":
            return {"bias": draw(st.booleans())}
        case "kurtosis":
            return {"bias": draw(st.booleans()), "fisher": draw(st.booleans())}
        case "quantile":
            return {"q": draw(PROBABILITY), "interpolation": draw(st.sampled_from(INTERPOLATIONS))}
        case "quantiles":
            return {"probabilities": tuple(draw(st.lists(PROBABILITY, min_size=1, max_size=5)))}
        case "even_quantiles":
            return {"n_quantiles": draw(st.integers(1, 12))}
        case "evenly_spaced":
            return {"n_points": draw(st.integers(2, 12))}
        case _:
            return {}


OF_VALUES = [name for name, row in AGGREGATES.items() if not row.primitives & {"keys", "target"}]


@pytest.mark.parametrize("name", OF_VALUES)
@given(data=st.data())
def test_value_equals_definition(name: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([*NUMBERS, *DURATIONS.get(name, [])]))
    values = data.draw(columns(element_of(dtype), max_size=20))
    params = data.draw(parameters(name))
    try:
        expected = AGGREGATES[name].reference(values, params_of(**params), dtype)
    except FastfeatError as error:
        with pytest.raises(type(error)):
            learn(name, values, dtype, **params)
    else:
        assert same_bits(learn(name, values, dtype, **params), expected)


DURATIONS = {name: [dtypes.duration("us")] for name in ("sum", "mean", "min", "max", "quantile")}


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=50))
def test_values_are_close_to_numpy(values: list[float]) -> None:
    x = np.array(values)
    scale = float(np.abs(x).max()) + 1e-300
    assert learn("sum", values) == math.fsum(values)
    assert learn("mean", values) == pytest.approx(x.mean(), rel=1e-12, abs=1e-12 * scale)
    assert learn("std", values, ddof=0) == pytest.approx(x.std(), rel=1e-7, abs=1e-7 * scale)
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        for interpolation in INTERPOLATIONS:
            found = learn("quantile", values, q=q, interpolation=interpolation)
            expected = np.quantile(x, q, method=interpolation)
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-12 * scale)


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("count", {}, 0),
        ("null_count", {}, 2),
        ("sum", {}, 0.0),
        ("mean", {}, None),
        ("var", {"ddof": 0}, None),
        ("std", {"ddof": 1}, None),
        ("skew", {"bias": True}, None),
        ("kurtosis", {"bias": False, "fisher": True}, None),
        ("min", {}, None),
        ("max", {}, None),
        ("quantile", {"q": 0.5, "interpolation": "linear"}, None),
        ("quantiles", {"probabilities": (0.5,)}, None),
        ("even_quantiles", {"n_quantiles": 3}, None),
        ("evenly_spaced", {"n_points": 3}, None),
        ("yeo_johnson_lambda", {}, None),
        ("box_cox_lambda", {}, None),
    ],
)
def test_no_values(name: str, params: dict[str, Any], expected: Any) -> None:
    assert same_bits(learn(name, [None, None], **params), expected)


def test_variance_of_as_few_values_as_ddof_is_missing() -> None:
    assert learn("var", [3.0], ddof=1) is None
    assert learn("var", [3.0], ddof=0) == 0.0
    assert learn("std", [1.0, 3.0], ddof=1) == math.sqrt(2)


def test_infinities_of_one_sign_are_values_and_of_both_signs_are_undefined() -> None:
    up, both = [1.0, math.inf], [math.inf, -math.inf]
    assert (learn("sum", up), learn("mean", up), learn("max", up)) == (math.inf,) * 3
    assert learn("min", both) == -math.inf
    assert math.isnan(learn("sum", both))
    assert math.isnan(learn("mean", both))
    assert math.isnan(learn("var", up, ddof=0))
    assert learn("quantile", up, q=0.0, interpolation="linear") == 1.0
    assert learn("quantile", up, q=1.0, interpolation="linear") == math.inf
    assert math.isnan(learn("quantile", both, q=0.5, interpolation="linear"))


def test_nothing_overflows_on_the_way() -> None:
    huge = [1.7e308, 1.6e308]
    assert learn("sum", huge) == math.inf
    assert learn("mean", huge) == float(Fraction(1.7e308) / 2 + Fraction(1.6e308) / 2)
    assert learn("var", huge, ddof=0) == math.inf
    assert learn("std", huge, ddof=0) == pytest.approx(0.05e308, rel=1e-12)
    ends = [-1.7e308, 1.7e308]
    quartile = learn("quantile", ends, q=0.75, interpolation="linear")
    assert quartile == pytest.approx(0.85e308, rel=1e-15)
    assert learn("quantile", ends, q=0.5, interpolation="midpoint") == 0.0


def test_nothing_underflows_on_the_way() -> None:
    tiny = [0.0, 4e-324 * 4]
    assert learn("mean", tiny) == 1e-323
    assert learn("var", tiny, ddof=0) == 0.0
    assert learn("std", tiny, ddof=0) == 1e-323


def test_sums_round_once() -> None:
    values = [1e16, 1.0, -1e16, 1e-20]
    assert learn("sum", values) == math.fsum(values) == 1.0
    assert learn("mean", [0.1] * 10) == math.fsum([0.1] * 10) / 10


def test_sum_of_integers_is_judged_on_the_result() -> None:
    highest = 2**63 - 1
    assert learn("sum", [highest, 1, -1], dtypes.INT64) == highest
    with pytest.raises(Overflow, match=r"sum: 9223372036854775808 does not fit int64"):
        learn("sum", [highest, 1], dtypes.INT64)
    with pytest.raises(Overflow, match="18446744073709551615"):
        learn("sum", [2**64 - 1], dtypes.UINT64)


def test_moments_of_large_integers_do_not_pass_through_float64() -> None:
    values = [2**62 + 1, 2**62 + 3]
    assert learn("var", values, dtypes.INT64, ddof=0) == 1.0
    assert learn("max", values, dtypes.INT64) == 2**62 + 3


def test_durations_lose_their_fraction_towards_zero_as_in_polars() -> None:
    import polars as pl

    for values in ([1, 2, 4, 6], [-1, -2], [-1, -2, -5, 9, 11]):
        mine = [
            learn("mean", values, dtypes.duration("us")),
            learn("quantile", values, dtypes.duration("us"), q=0.5, interpolation="linear"),
        ]
        frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Duration("us"))})
        theirs = frame.select(m=pl.col("x").mean(), q=pl.col("x").median())
        assert mine == [theirs[name].to_physical()[0] for name in ("m", "q")]


def test_even_quantiles_are_no_more_than_the_rows() -> None:
    assert learn("even_quantiles", [5.0, None, 1.0], n_quantiles=1000) == (1.0, 3.0, 5.0)
    assert learn("even_quantiles", [5.0], n_quantiles=1000) == (5.0,)
    assert learn("even_quantiles", [4.0, 1.0, 2.0], n_quantiles=1) == (1.0,)


def test_points_at_equal_distances_do_not_overflow_or_vanish_on_the_way() -> None:
    half = 2.0**1022
    points = learn("evenly_spaced", [2 * half, -2 * half], n_points=5)
    assert points == (-2 * half, -half, 0.0, half, 2 * half)
    assert learn("evenly_spaced", [0.0, 5e-324], n_points=5)[1:] == (0.0, 0.0, 5e-324, 5e-324)


def test_box_cox_takes_values_above_0() -> None:
    for values in ([2.0, 0.0], [1.0, -3.0]):
        with pytest.raises(InvalidData, match="but the smallest is"):
            learn("box_cox_lambda", values)


RESULTS: list[tuple[str, DType, Params, DType]] = [
    ("count", dtypes.UTF8, (), dtypes.INT64),
    ("null_count", dtypes.timestamp("us", "UTC"), (), dtypes.INT64),
    ("sum", dtypes.INT8, (), dtypes.INT64),
    ("sum", dtypes.BOOL, (), dtypes.INT64),
    ("sum", dtypes.FLOAT32, (), dtypes.FLOAT64),
    ("sum", dtypes.duration("ms"), (), dtypes.duration("ms")),
    ("mean", dtypes.UINT8, (), dtypes.FLOAT64),
    ("mean", dtypes.duration("ns"), (), dtypes.duration("ns")),
    ("min", dtypes.DATE32, (), dtypes.DATE32),
    ("max", dtypes.DECIMAL, (), dtypes.FLOAT64),
    ("max", dtypes.UINT64, (), dtypes.UINT64),
    ("std", dtypes.INT64, params_of(ddof=1), dtypes.FLOAT64),
    ("quantile", dtypes.INT64, params_of(q=0.5, interpolation="lower"), dtypes.FLOAT64),
    ("quantile", dtypes.time("s"), params_of(q=0.5, interpolation="lower"), dtypes.time("s")),
    ("quantiles", dtypes.FLOAT64, params_of(probabilities=(0.5,)), TABLE),
    ("even_quantiles", dtypes.NULL, params_of(n_quantiles=3), TABLE),
    ("evenly_spaced", dtypes.BOOL, params_of(n_points=3), TABLE),
    ("yeo_johnson_lambda", dtypes.INT8, (), dtypes.FLOAT64),
    ("box_cox_lambda", dtypes.FLOAT32, (), dtypes.FLOAT64),
]


@pytest.mark.parametrize(("name", "dtype", "params", "expected"), RESULTS)
def test_type_of_the_value(name: str, dtype: DType, params: Params, expected: DType) -> None:
    assert AGGREGATES[name].result(dtype, params) == expected


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("sum", dtypes.UTF8, r"needs a number or a duration, got utf8\. For text that spells"),
        ("mean", dtypes.DATE32, r"needs a number or a duration, got date32\. Convert it to a"),
        ("std", dtypes.duration("us"), r"needs a number, got duration\[us\]\. Convert it to a"),
        ("min", dtypes.UTF8, r"needs a number, date or time, got utf8"),
        ("quantile", dtypes.timestamp("us"), r"cannot interpolate .* of timestamp\[us\]"),
        ("quantiles", dtypes.DATE32, r"needs a number, got date32"),
        ("even_quantiles", dtypes.UTF8, r"needs a number, got utf8"),
        ("evenly_spaced", dtypes.DATE32, r"needs a number, got date32"),
        ("yeo_johnson_lambda", dtypes.UTF8, r"needs a number, got utf8"),
    ],
)
def test_types_that_an_aggregate_cannot_take(name: str, dtype: DType, message: str) -> None:
    params = params_of(ddof=1, q=0.5, interpolation="linear", probabilities=(), n_quantiles=2)
    with pytest.raises(TypeMismatch, match=message):
        AGGREGATES[name].result(dtype, params)


@given(st.integers(-(10**400), 10**400), st.integers(1, 10**400))
def test_rounding_to_53_bits_agrees_with_division(numerator: int, denominator: int) -> None:
    mantissa, exponent = rounded(numerator, denominator)
    assert mantissa == 0 or 2**52 <= abs(mantissa) <= 2**53
    exact = nearest_float(numerator, denominator)
    if math.isfinite(exact) and (exact == 0 or abs(exact) > 1e-300):
        assert math.ldexp(mantissa, exponent) == exact


@pytest.mark.parametrize("bias", [True, False])
@given(values=st.lists(st.integers(-50, 50).map(lambda x: x / 8), min_size=5, max_size=60))
def test_shapes_are_close_to_scipy(bias: bool, values: list[float]) -> None:
    x = np.array(values)
    if len(set(values)) == 1:
        assert learn("skew", values, bias=bias) is None
        assert learn("kurtosis", values, bias=bias, fisher=True) is None
        return
    assert learn("skew", values, bias=bias) == pytest.approx(stats.skew(x, bias=bias), abs=1e-9)
    for fisher in (True, False):
        expected = stats.kurtosis(x, fisher=fisher, bias=bias)
        found = learn("kurtosis", values, bias=bias, fisher=fisher)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
