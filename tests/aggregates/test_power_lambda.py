"""The search for the power of `power_transform`: its parts, and what it finds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import fastfeat as ff
from fastfeat import col
from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.power import PowerRange, bounds, find_most_likely_power
from fastfeat.engine.cpu.likelihood import MOST_POWERS
from fastfeat.ir.dtypes import FLOAT64

FIELD = PowerRange("yeo-johnson", 0.5, 20.0)
CONVEX: list[tuple[Callable[[float], float], float]] = [
    (lambda x: (x - 1.25) ** 2, 1.25),
    (lambda x: math.exp(x / 8) - 3 * x, 8 * math.log(24)),
    (lambda x: math.log(math.cosh(x - 3.0)) if abs(x) < 300 else abs(x - 3.0), 3.0),
    (lambda x: (x - 2.0) ** 2 if -5 < x < 9 else math.inf, 2.0),
    (lambda x: x, bounds(FIELD)[0]),
]


@pytest.mark.parametrize(("function", "minimum"), CONVEX)
def test_the_search_finds_the_minimum_of_a_smooth_function(
    function: Callable[[float], float], minimum: float
) -> None:
    least, most = bounds(FIELD)
    found = find_most_likely_power(FIELD, lambda powers: [function(power) for power in powers])
    assert least <= found <= most
    assert found == pytest.approx(minimum, rel=1e-9, abs=1e-9)


def test_where_no_power_is_possible_it_is_1() -> None:
    assert find_most_likely_power(FIELD, lambda powers: [math.inf for _ in powers]) == 1.0


def test_no_grid_has_more_powers_than_a_state_has_room_for() -> None:
    sizes: list[int] = []

    def costs_of(powers: Sequence[float]) -> list[float]:
        sizes.append(len(powers))
        return [abs(power - 0.123) for power in powers]

    find_most_likely_power(FIELD, costs_of)
    assert max(sizes) <= MOST_POWERS
    assert len(sizes) <= 6


def _columns() -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    random = np.random.default_rng(13)
    return {
        "normal": random.normal(3, 2, 1000),
        "skewed": random.lognormal(0, 2, 3000),
        "below": -random.gamma(2, 2, 500),
        "ties": random.integers(1, 30, 3000) / 4,
        "few": np.array([3.0, 1.0, 2.0, 2.0, 8.0]),
        "far": random.normal(1e6, 1e3, 2000),
        "near": random.lognormal(0, 1, 1000) * 1e-6,
    }


def _learnt(values: Any, **params: Any) -> float:
    plan = ff.Plan({"y": col("x").power_transform(standardize=False, **params)})
    (found,) = plan.fit({"x": values}).learnt().values()
    return found


@pytest.mark.parametrize("name", _columns())
def test_lambda_is_that_of_scipy(name: str) -> None:
    values = _columns()[name]
    # far from 0 the likelihood is flat: the maximum, -11.86063, is found to 4e-6 of it, and SciPy's
    # Yeo-Johnson is not asked, see below; for numbers above 0 that is Box-Cox of x + 1
    near = 2e-5 if name == "far" else 1e-6
    if name == "far":
        expected = stats.boxcox_normmax(values + 1, method="mle")
    else:
        expected = stats.yeojohnson_normmax(values)
    assert _learnt(values) == pytest.approx(expected, near, 5e-8)
    if values.min() > 0:
        expected = stats.boxcox_normmax(values, method="mle")
        assert _learnt(values, method="box-cox") == pytest.approx(expected, near, 5e-8)


@pytest.mark.parametrize("name", ["normal", "skewed", "below", "ties", "few"])
def test_no_power_near_it_is_likelier(name: str) -> None:
    values = _columns()[name].tolist()

    def likelihood(power: float) -> float:
        raised = [
            ((x + 1) ** power - 1) / power
            if x >= 0
            else -((1 - x) ** (2 - power) - 1) / (2 - power)
            for x in values
        ]
        logarithms = [math.copysign(math.log1p(abs(x)), x) for x in values]
        spread = math.log(statistics.pvariance(raised))
        return (power - 1) * math.fsum(logarithms) - len(values) / 2 * spread

    found = _learnt(values)
    assert likelihood(found) > likelihood(found - 1e-3)
    assert likelihood(found) > likelihood(found + 1e-3)


SCIPY_1_17_FAR = -1.8249985946621703
"""What `yeojohnson_normmax` of SciPy 1.17.1, the last for Python 3.11, gives for `far`.

SciPy 1.18.1 gives -11.86064. Ours is right: in exact arithmetic the logarithm of the likelihood is
-13787.91684 at our -11.8606 and -13788.06566 at -1.825, and 1 gives -13788.16130.
"""


def test_far_from_0_the_power_is_likelier_than_that_of_scipy_1_17() -> None:
    values = _columns()["far"].tolist()
    with mpmath.workdps(120):  # powers of 1e6 near -12 differ after some 75 digits
        logarithms = [mpmath.log(mpmath.mpf(x) + 1) for x in values]

        def likelihood(power: float) -> float:
            raised = [mpmath.expm1(power * x) / power for x in logarithms]
            mean = mpmath.fsum(raised) / len(values)
            variance = mpmath.fsum((x - mean) ** 2 for x in raised) / len(values)
            return (power - 1) * mpmath.fsum(logarithms) - len(values) / 2 * mpmath.log(variance)

        found = _learnt(values)
        best = likelihood(found)
        assert best > likelihood(SCIPY_1_17_FAR) + 0.14
        assert best > likelihood(found - 0.01)
        assert best > likelihood(found + 0.01)


@given(st.permutations([1.5, -3.0, 0.0, -0.0, 7.25, 7.25, 1e3]))
def test_lambda_does_not_depend_on_the_order(values: list[float]) -> None:
    reference = AGGREGATES["yeo_johnson_lambda"].reference
    assert reference(values, (), FLOAT64) == reference(sorted(values), (), FLOAT64)


def test_lambda_has_the_same_bits_however_the_rows_are_split() -> None:
    values = _columns()["normal"]
    whole = _learnt(values)
    for backend in ("cpu", "reference"):
        plan = ff.Plan({"y": col("x").power_transform(standardize=False)})
        parts = pa.table({"x": pa.chunked_array([values[::-1][:333], values[::-1][333:]])})
        assert list(plan.fit(parts, backend=backend).learnt().values()) == [whole]


def test_a_constant_is_left_as_it_is() -> None:
    for values in ([7.0] * 5, [0.0, -0.0], [0.1 + 0.2, 0.3]):
        assert _learnt(values) == 1.0
    assert _learnt([7.0, 7.0], method="box-cox") == 1.0
    fitted = ff.Plan({"y": col("x").power_transform(standardize=False)}).fit({"x": [7.0]})
    result = fitted.transform({"x": [7.0, -2.5, None]})["y"].to_pylist()
    assert result == pytest.approx([7.0, -2.5, None])
