"""Distances of counts: scipy's figures, and brackets that hold whatever the values in bins are."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import jensenshannon

from fastfeat.trust.quality import distances
from fastfeat.trust.quality.distances import BinnedSide, Bins, Bracket

_COUNTS = hnp.arrays(np.int64, 12, elements=st.integers(0, 50))


@pytest.mark.parametrize("degrees", [1, 2, 9, 63, 64, 300])
@pytest.mark.parametrize("probability", [0.01, 0.5, 0.999, 1 - 1e-9])
def test_the_quantile_of_chi_squared_is_that_of_scipy(probability: float, degrees: int) -> None:
    found = distances.chi_squared_quantile(probability, degrees)
    assert found == pytest.approx(stats.chi2.ppf(probability, degrees), rel=1e-6)


@given(_COUNTS, _COUNTS)
def test_chi_squared_and_jensen_shannon_are_those_of_scipy(
    then: np.ndarray, now: np.ndarray
) -> None:
    found = distances.chi_squared(then, now)
    there = then + now > 0
    if not (then.sum() and now.sum()) or there.sum() < 2:
        assert found.statistic == 0
        assert found.p_value == 1
        return
    table = np.stack([then[there], now[there]])
    of_scipy: Any = stats.chi2_contingency(table, correction=False)
    assert found.statistic == pytest.approx(of_scipy.statistic, abs=1e-9)
    assert found.degrees == of_scipy.dof
    assert found.p_value == pytest.approx(of_scipy.pvalue, abs=1e-9)
    apart = jensenshannon(then, now, base=2)
    assert distances.jensen_shannon(then, now) == pytest.approx(np.nan_to_num(apart), abs=1e-7)


def test_psi_of_many_rows_is_the_sum_of_the_textbook() -> None:
    then, now = np.array([40_000, 40_000, 20_000]), np.array([20_000, 40_000, 40_000])
    by_hand = 0.2 * math.log(2) + 0.2 * math.log(2)
    assert distances.psi(then, now) == pytest.approx(by_hand, rel=1e-4)
    assert distances.psi(then, then) == 0
    assert distances.psi(then, now) == pytest.approx(distances.psi(now, then))


def test_an_empty_sample_is_no_distance_and_any_difference_is_chance() -> None:
    some, none = np.array([3, 4]), np.array([0, 0])
    assert distances.psi(some, none) == 0
    assert distances.jensen_shannon(some, none) == 0
    assert distances.psi_noise(2, 7, 0) == math.inf
    assert distances.share_noise(0, 7, 0, 0) == math.inf
    assert distances.ks_noise(0, 7) == math.inf
    binned, empty = _binned([3, 4]), _binned([0, 0])
    bins = Bins(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert distances.kolmogorov_smirnov(bins, binned, empty) == (0, 0)
    assert distances.wasserstein(bins, empty, binned) == (0, 0)
    zero = distances.BinnedMoments(np.array(0.0), np.array(0.0))
    assert distances.area_noise(bins, empty, binned, zero) == math.inf


def _binned(counts: list[int], n_low: int = 0, n_high: int = 0) -> BinnedSide:
    ends = np.zeros(len(counts)), np.ones(len(counts))
    return BinnedSide(np.array(counts), np.array(n_low), np.array(n_high), *ends)


def test_infinite_values_are_an_infinite_distance_where_their_shares_differ() -> None:
    bins = Bins(np.array([0.0]), np.array([0.0]))
    then, now = _binned([4], n_high=4), _binned([3], n_high=3)
    assert distances.wasserstein(bins, then, now) == (0, 0)
    assert distances.wasserstein(bins, then, _binned([3], n_high=4)) == (math.inf, math.inf)
    apart = distances.kolmogorov_smirnov(bins, then, _binned([4], n_low=4))
    assert apart == pytest.approx(Bracket(0.5, 0.5))


def test_a_bin_of_one_value_leaves_no_room() -> None:
    bins = Bins(np.array([0.0, 1.0, 7.0]), np.array([0.0, 1.0, 7.0]))
    then, now = _binned([5, 3, 2]), _binned([3, 4, 3])
    found = distances.wasserstein(bins, then, now)
    assert found == pytest.approx(Bracket(0.2 * 1 + 0.1 * 6, 0.2 * 1 + 0.1 * 6))
    assert distances.kolmogorov_smirnov(bins, then, now) == pytest.approx(Bracket(0.2, 0.2))


@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
)
def test_a_bracket_of_one_bin_and_two_means_holds(then: np.ndarray, now: np.ndarray) -> None:
    bins = Bins(np.array([0.0]), np.array([1.0]))
    none = np.array(0)
    means = ([x.mean(keepdims=True)] * 2 for x in (then, now))
    counts = (np.array([len(x)]) for x in (then, now))
    sides = (BinnedSide(n, none, none, *mean) for n, mean in zip(counts, means, strict=True))
    low, high = distances.wasserstein(bins, *sides)
    assert low - 1e-9 <= stats.wasserstein_distance(then, now) <= high + 1e-9


@given(st.lists(st.integers(0, 30), min_size=1), st.lists(st.integers(0, 30), min_size=1))
def test_a_bracket_of_the_least_floats_holds(then: list[int], now: list[int]) -> None:
    values = np.array([k * 5e-324 for k in range(31)], np.float64)
    none, means = np.array(0), [np.zeros(31)] * 2
    sides = [BinnedSide(np.bincount(x, minlength=31), none, none, *means) for x in (then, now)]
    low, high = distances.wasserstein(Bins(values, values), *sides)
    shares = [[Fraction(sum(x <= k for x in of), len(of)) for k in range(30)] for of in (then, now)]
    apart = sum(abs(f - g) for f, g in zip(*shares, strict=True)) * Fraction(5e-324)
    assert Fraction(float(low)) <= apart <= Fraction(float(high))


def test_groups_are_of_about_equal_counts_and_a_frequent_value_has_its_own() -> None:
    even = distances.coarse_groups(np.full(64, 100), 10_000)
    assert len(even) == 10
    counts = np.add.reduceat(np.full(64, 100), even)
    assert counts.min() >= 600
    assert counts.max() <= 700
    heavy = np.array([10, 10, 10, 5_000, 10, 10, 10])
    assert distances.coarse_groups(heavy, 10_000).tolist() == [0, 3, 4]
    assert len(distances.coarse_groups(np.full(64, 100), 45)) == 4  # ten of each are expected


@pytest.mark.parametrize("n", [100, 300])
def test_of_samples_without_a_difference_no_figure_is_told(n: int) -> None:
    rng = np.random.default_rng(n)
    then = rng.multinomial(50_000, np.full(10, 0.1))
    noise = distances.psi_noise(10, 50_000, n)
    found = [distances.psi(then, rng.multinomial(n, then / then.sum())) for _ in range(2_000)]
    assert np.mean(np.array(found) > max(0.1, noise)) <= 0.005
    missing = rng.binomial(n, 0.01, 2_000)
    told = [abs(k / n - 0.01) > distances.share_noise(500, 50_000, k, n) for k in missing]
    assert np.mean(told) <= 0.001


@pytest.mark.parametrize("apart", [0.001, 0.05, 0.5])
def test_the_noise_of_psi_beside_a_known_distance_is_that_of_scipy(apart: float) -> None:
    unit = 1 / 3_000 + 1 / 300
    exact = float(stats.ncx2.ppf(0.999, 19, apart / unit)) * unit
    assert distances.psi_noise(20, 3_000, 300, apart=apart) == pytest.approx(exact, rel=0.03)
