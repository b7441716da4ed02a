"""Distances and cyclical features against multiple-precision arithmetic and known places."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col

RADIUS = 6371.0088
NAMES = ("lat1", "lon1", "lat2", "lon2")


def _distances(points: Any) -> list[float | None]:
    fitted = ff.Plan({"km": ff.haversine(*NAMES)}).fit({name: [0.0] for name in NAMES})
    columns = dict(zip(NAMES, np.asarray(points, dtype=float).T, strict=True))
    return fitted.transform({n: np.ascontiguousarray(c) for n, c in columns.items()})[
        "km"
    ].to_pylist()


def _exact_distance(lat1: float, lon1: float, lat2: float, lon2: float) -> mpmath.mpf:
    """Return the distance by the tangent formula of the chord, in 60 digits."""
    with mpmath.workdps(60):
        degree = mpmath.pi / 180
        a, b = mpmath.mpf(lat1) * degree, mpmath.mpf(lat2) * degree
        turn = (mpmath.mpf(lon2) - mpmath.mpf(lon1)) * degree
        across = mpmath.hypot(
            mpmath.cos(b) * mpmath.sin(turn),
            mpmath.cos(a) * mpmath.sin(b) - mpmath.sin(a) * mpmath.cos(b) * mpmath.cos(turn),
        )
        along = mpmath.sin(a) * mpmath.sin(b) + mpmath.cos(a) * mpmath.cos(b) * mpmath.cos(turn)
        return mpmath.atan2(across, along) * RADIUS


def test_haversine_gives_known_distances() -> None:
    quarter = RADIUS * math.pi / 2
    assert _distances(
        [
            (0, 0, 0, 0),
            (0, 0, 0, 90),
            (0, 0, 0, 180),
            (0, 0, 90, 57),
            (90, 0, -90, 0),
            (10, 20, 10, 380),
            (91, 0, 0, 0),
            (0, 0, math.nan, 0),
            (0, math.inf, 0, 0),
        ]
    ) == [
        0.0,
        pytest.approx(quarter, rel=1e-15),
        pytest.approx(2 * quarter, rel=1e-15),
        pytest.approx(quarter, rel=1e-15),
        pytest.approx(2 * quarter, rel=1e-15),
        pytest.approx(0, abs=1e-11),
        None,
        None,
        None,
    ]
    # New York JFK to London Heathrow: 5,540 km
    assert _distances([(40.6398, -73.7789, 51.4706, -0.4619)]) == [pytest.approx(5540, abs=1)]


def test_haversine_is_exact_near_far_and_at_the_poles() -> None:
    random = np.random.default_rng(3)
    lat1, lon1 = random.uniform(-90, 90, 150), random.uniform(-180, 180, 150)
    step = 10.0 ** random.uniform(-12, 1, 150)
    lat2 = np.clip(lat1 + step * random.uniform(-1, 1, 150), -90, 90)
    lon2 = lon1 + step * random.uniform(-1, 1, 150)
    near = np.stack([lat1, lon1, lat2, lon2], axis=1)
    opposite = np.stack([lat1, lon1, -lat2, lon2 + 180], axis=1)
    polar = np.stack([90 - step / 10, lon1, 90 - step / 7, lon2 * 3], axis=1)
    points = np.concatenate([near, opposite, polar])
    for point, result in zip(points, _distances(points), strict=True):
        exact = _exact_distance(*point)
        assert result is not None
        assert abs(result - exact) <= 8 * math.ulp(float(exact)), tuple(point)


@pytest.mark.parametrize("period", [24.0, 7.0, 365.25, 0.1, 3.0])
def test_cyclical_is_exact(period: float) -> None:
    random = np.random.default_rng(5)
    values = np.concatenate(
        [
            np.arange(-30, 60) * period / 8,
            random.uniform(-3, 3, 200) * period,
            random.uniform(-1, 1, 100) * 10.0 ** random.uniform(-30, 30, 100),
            [1e300, -1e300, 5e-324],
        ]
    )
    fitted = ff.Plan({"c": col("x").cyclical(period)}).fit({"x": values})
    features = fitted.transform({"x": values})
    for x, sin, cos in zip(
        values, features["c_sin"].to_pylist(), features["c_cos"].to_pylist(), strict=True
    ):
        with mpmath.workdps(800):
            angle = 2 * mpmath.pi * mpmath.mpf(x) / mpmath.mpf(period)
            assert abs(sin - mpmath.sin(angle)) <= 2 * math.ulp(sin), x
            assert abs(cos - mpmath.cos(angle)) <= 2 * math.ulp(cos), x


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.float64])
def test_quarters_of_a_period_are_exact(kind: Any) -> None:
    hours = np.array([0, 6, 12, 18, 24, 30], dtype=kind)
    features = ff.Plan({"h": col("h").cyclical(24)}).fit({"h": hours}).transform({"h": hours})
    assert features["h_sin"].to_pylist() == [0.0, 1.0, 0.0, -1.0, 0.0, 1.0]
    assert features["h_cos"].to_pylist() == [1.0, 0.0, -1.0, 0.0, 1.0, 0.0]
    for name in ("h_sin", "h_cos"):
        assert not any(math.copysign(1, v) < 0 for v in features[name].to_pylist() if v == 0)


def test_integers_are_reduced_before_they_become_floats() -> None:
    seconds = np.array([2**62 + 1, -(2**62) - 5, 2**53 + 1], dtype=np.int64)
    features = (
        ff.Plan({"s": col("s").cyclical(86400)}).fit({"s": seconds}).transform({"s": seconds})
    )
    for given, sin in zip(seconds, features["s_sin"].to_pylist(), strict=True):
        angle = 2 * math.pi * (int(given) % 86400) / 86400
        assert sin == pytest.approx(math.sin(angle), abs=1e-15)


@pytest.mark.parametrize("period", [7, 24, 0.1, 1e10])
def test_numbers_of_very_many_periods_lose_nothing(period: float) -> None:
    """The largest before the exact reduction begins, between the quarters, and those beyond it."""
    rng = np.random.default_rng(0)
    quarters = np.concatenate([2.0 ** rng.uniform(40, 50, 2000), [960583910610301.6 / 0.25]])
    x = np.concatenate([quarters * period / 4, [1681021843568026.0]])
    found = ff.Plan({"c": col("x").cyclical(period)}).fit({"x": x}).transform({"x": x})
    with mpmath.workdps(60):
        for value, sin, cos in zip(
            x, found["c_sin"].to_pylist(), found["c_cos"].to_pylist(), strict=True
        ):
            angle = 2 * mpmath.pi * (mpmath.mpf(value) / mpmath.mpf(period))
            assert abs(sin - mpmath.sin(angle)) <= 2.0**-52
            assert abs(cos - mpmath.cos(angle)) <= 2.0**-52
