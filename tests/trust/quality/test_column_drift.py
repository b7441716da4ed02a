"""Drift of a column: scipy's figures in the brackets, no alarms by chance, and alarms where due."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, UTF8, DType
from fastfeat.learn.row_sample import numbers_of_sample
from fastfeat.trust.quality.column_drift import ColumnDrift, ComparedColumn, compared_columns
from fastfeat.trust.quality.counting import count_column
from fastfeat.trust.quality.layout import SAMPLED, kind_of, layout_of
from fastfeat.trust.quality.profile import ColumnProfile
from fastfeat.trust.quality.thresholds import SECTIONS, thresholds

LIMITS: dict[str, Any] = {word: thresholds(None, "drift")[word] for word in SECTIONS["drift"].named}
Draw = Callable[[np.random.Generator, int], Any]


def _profiles(
    then: Any, now: Any, dtype: DType = FLOAT64, sample: Any = None
) -> tuple[ColumnProfile, ColumnProfile]:
    columns = [pa.chunked_array([pa.array(rows)]) for rows in (then, now)]
    sampled = columns[0] if sample is None else pa.chunked_array([pa.array(sample)])
    layout = layout_of("x", dtype, kind_of(dtype), sampled)
    first, second = (count_column(layout, column) for column in columns)
    return first, second


def compared_column(then: ColumnProfile, now: ColumnProfile, limits: Any) -> ColumnDrift:
    (found,) = compared_columns([ComparedColumn(then, now, limits)])
    return found


def _drift(then: Any, now: Any, dtype: DType = FLOAT64, **limits: Any) -> ColumnDrift:
    return compared_column(*_profiles(then, now, dtype), {**LIMITS, **limits})


DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "at an offset": lambda rng, n: 1e6 + rng.normal(size=n),
    "far from 0": lambda rng, n: -1e15 + rng.integers(0, 100, n),
    "heavy tail": lambda rng, n: rng.pareto(0.8, size=n),
    "two heavy tails": lambda rng, n: rng.standard_cauchy(n),
    "counts": lambda rng, n: rng.poisson(rng.integers(1, 40), n).astype(float),
    "many counts": lambda rng, n: rng.integers(0, 200, n).astype(float),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.8, 0, rng.exponential(1, n)),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "any scale": lambda rng, n: rng.lognormal(0, 3, n) * 10.0 ** rng.integers(-200, 200),
    "one value": lambda rng, n: np.full(n, rng.normal()),
}
SIZES = [1, 2, 3, 10, 50, 300, 2000]


@given(st.integers(0, 2**32), st.sampled_from(sorted(DRAWS)))
@settings(max_examples=settings().max_examples * 4)
def test_the_figures_of_scipy_are_in_the_brackets(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    then = DRAWS[kind](rng, int(rng.choice(SIZES)))
    other = DRAWS[kind if rng.random() < 0.8 else str(rng.choice(sorted(DRAWS)))]
    now = other(rng, int(rng.choice(SIZES))) * rng.choice([1, 1, 1, 1.1, 60, -1])
    now = now + rng.choice([0, 0, 0, 0.1, -999, np.abs(then).max() / 3])
    sample = then if rng.random() < 0.5 else rng.choice(then, max(1, len(then) // 3))
    dtype = FLOAT64
    whole = [(x == np.round(x)).all() and np.abs(x).max() < 2**53 for x in (then, now)]
    if all(whole) and rng.random() < 0.7:
        dtype, then, now, sample = INT64, *(x.astype(np.int64) for x in (then, now, sample))
    drift = compared_column(*_profiles(then, now, dtype, sample), LIMITS)
    assert drift.ks is not None
    assert drift.wasserstein is not None
    with np.errstate(all="ignore"):  # of scipy's own p value
        ks: Any = stats.ks_2samp(then, now, method="asymp")
    assert drift.ks.low <= ks.statistic <= drift.ks.high
    apart = stats.wasserstein_distance(then, now)
    assert drift.wasserstein.low <= apart * (1 + 1e-12)
    assert apart * (1 - 1e-12) <= drift.wasserstein.high


@pytest.mark.parametrize("kind", sorted(DRAWS))
def test_the_bracket_of_ks_is_narrow(kind: str) -> None:
    rng = np.random.default_rng(3)
    then = DRAWS[kind](rng, 20_000)
    for now in (DRAWS[kind](rng, 5_000), then[:5_000] * 1.1):
        low, high = _drift(then, now).ks or (0, 1)
        assert high - low <= 2 / 64


def test_the_least_wasserstein_is_near_the_true_one() -> None:
    rng = np.random.default_rng(1)
    then, now = rng.lognormal(0, 1, 20_000), 1.1 * rng.lognormal(0, 1, 20_000)
    low, _ = _drift(then, now).wasserstein or (0, 0)
    assert low == pytest.approx(stats.wasserstein_distance(then, now), rel=0.03)


ZIPF = 1 / np.arange(1, 301)
KINDS: dict[str, tuple[DType, Draw]] = {
    "normal": (FLOAT64, DRAWS["normal"]),
    "two heavy tails": (FLOAT64, DRAWS["two heavy tails"]),
    "counts": (INT64, lambda rng, n: rng.poisson(3, n)),
    "zeros": (FLOAT64, DRAWS["zeros"]),
    "rare bool": (BOOL, lambda rng, n: rng.random(n) < 0.03),
    "16 categories": (UTF8, lambda rng, n: rng.integers(0, 16, n).astype(str)),
    "300, few of them frequent": (
        UTF8,
        lambda rng, n: rng.choice(300, n, p=ZIPF / ZIPF.sum()).astype(str),
    ),
    "some missing": (
        FLOAT64,
        lambda rng, n: pa.array(rng.normal(size=n), mask=rng.random(n) < 0.01),
    ),
}


def _share_told(kind: str, n_then: int, n_now: int, n_batches: int) -> float:
    rng = np.random.default_rng(n_then + n_now)
    dtype, draw = KINDS[kind]
    column = pa.chunked_array([pa.array(draw(rng, n_then))])
    sample = column.take(pa.array(numbers_of_sample(n_then, SAMPLED)))
    layout = layout_of("x", dtype, kind_of(dtype), sample)
    then = count_column(layout, column)
    told = 0
    for _ in range(n_batches):
        now = count_column(layout, pa.chunked_array([pa.array(draw(rng, n_now))]))
        told += compared_column(then, now, LIMITS).is_drifted
    return told / n_batches


def _zeros(rng: np.random.Generator, n: int, scale: float = 1.0) -> Any:
    return np.where(rng.random(n) < 0.8, 0, scale * rng.lognormal(size=n))


@pytest.mark.parametrize(
    ("change", "then", "now", "n", "word"),
    [
        (
            "a quarter of a deviation",
            lambda rng, n: rng.normal(size=n),
            lambda rng, n: rng.normal(0.25, 1, n),
            1_000,
            "Wasserstein",
        ),
        (
            "the rest of a column of zeros",
            _zeros,
            lambda rng, n: _zeros(rng, n, 1.5),
            5_000,
            "Wasserstein",
        ),
        (
            "the rest of a column of zeros, twice as large",
            _zeros,
            lambda rng, n: _zeros(rng, n, 2.0),
            1_000,
            "Wasserstein",
        ),
        (
            "1 % that nobody has seen",
            lambda rng, n: rng.normal(size=n),
            lambda rng, n: np.where(np.arange(n) < n // 100, 50.0, rng.normal(size=n)),
            1_000,
            "outside the earlier range",
        ),
        (
            "a quarter of a deviation beside infinite values",
            lambda rng, n: np.where(rng.random(n) < 0.05, -np.inf, rng.normal(size=n)),
            lambda rng, n: np.where(rng.random(n) < 0.05, -np.inf, rng.normal(0.25, 1, n)),
            1_000,
            "Wasserstein",
        ),
    ],
)
def test_a_change_that_people_expect_to_be_told_is_told(
    change: str, then: Draw, now: Draw, n: int, word: str
) -> None:
    rng = np.random.default_rng(7)
    column = pa.chunked_array([pa.array(then(rng, 20_000))])
    layout = layout_of("x", FLOAT64, "number", column)
    training = count_column(layout, column)

    def drifts(draw: Draw) -> list[ColumnDrift]:
        batches = (
            count_column(layout, pa.chunked_array([pa.array(draw(rng, n))])) for _ in range(20)
        )
        return compared_columns([ComparedColumn(training, batch, LIMITS) for batch in batches])

    assert sum(word in drift.reason for drift in drifts(now)) >= 16, change
    assert not any(drift.is_drifted for drift in drifts(then))


def test_the_smallest_shift_is_where_a_shift_begins_to_be_told() -> None:
    rng = np.random.default_rng(3)
    then = rng.gamma(2, 3, 20_000)
    for n in (300, 2_000):
        now = rng.choice(then, n, replace=False)
        smallest = _drift(then, now).smallest_shift or 0.0
        assert 0.1 <= smallest <= 0.3
        below, above = (_drift(then, now + k * smallest * then.std()) for k in (0.6, 1.5))
        assert not below.has_moved
        assert above.has_moved
        assert "Wasserstein" in above.reason
    categories = _drift(["a", "b"], ["a"], UTF8)
    assert categories.smallest_shift is None
    assert not categories.has_moved
    assert _drift([1.0] * 50, [1.0] * 50).smallest_shift is None


def test_a_limit_that_is_raised_leaves_a_shift_and_numbers_beyond_untold() -> None:
    rng = np.random.default_rng(8)
    then, now = rng.normal(size=20_000), rng.normal(0.25, 1, 2_000)
    now[:20] = 50.0
    words = ("Wasserstein", "outside the earlier range")
    for loose, told in (
        ({}, (True, True)),
        ({"wasserstein": 9.0}, (False, True)),
        ({"beyond": 0.02}, (True, False)),
    ):
        reason = _drift(then, now, FLOAT64, **loose).reason
        assert tuple(word in reason for word in words) == told


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_batches_without_drift_are_not_told(kind: str) -> None:
    assert _share_told(kind, 20_000, 100, 100) <= 0.02  # at night of 2,000


@pytest.mark.parametrize(("n_categories", "n_then"), [(300, 1_000), (300, 3_000), (1_000, 10_000)])
def test_batches_of_more_categories_than_are_kept_are_not_told(
    n_categories: int, n_then: int
) -> None:
    told, rng = 0, np.random.default_rng(n_then)

    def some(n: int) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(rng.integers(0, n_categories, n).astype(str))])

    for _ in range(10):
        column = some(n_then)
        layout = layout_of("x", UTF8, "category", column)
        then = count_column(layout, column)
        batches = (
            compared_column(then, count_column(layout, some(300)), LIMITS) for _ in range(20)
        )
        told += sum(batch.is_drifted for batch in batches)
    assert told / 200 <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("n_now", [100, 300])
@pytest.mark.parametrize("n_then", [2_000, 20_000])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_of_2000_batches_without_drift_hardly_one_is_told(
    kind: str, n_then: int, n_now: int
) -> None:
    assert _share_told(kind, n_then, n_now, 2_000) <= 0.005


def test_a_shift_by_half_a_standard_deviation_is_told_of_few_rows() -> None:
    rng = np.random.default_rng(5)
    column = pa.chunked_array([pa.array(rng.normal(size=20_000))])
    layout = layout_of("x", FLOAT64, "number", column)
    then = count_column(layout, column)
    for n, least in ((100, 0.4), (300, 0.95)):
        found = [
            compared_column(
                then,
                count_column(layout, pa.chunked_array([pa.array(rng.normal(0.5, 1, n))])),
                LIMITS,
            ).is_drifted
            for _ in range(100)
        ]
        assert np.mean(found) >= least


def test_a_small_shift_of_many_rows_is_not_told_whatever_its_p_value_is() -> None:
    rng = np.random.default_rng(0)
    drift = _drift(rng.normal(size=200_000), rng.normal(0.03, 1, 200_000))
    assert drift.chi2.p_value < 1e-6
    assert not drift.is_drifted


def test_missing_values_are_told_with_both_shares() -> None:
    rng = np.random.default_rng(0)

    def some(n: int, share: float) -> Any:
        return pa.array(rng.normal(size=n), mask=np.arange(n) < round(share * n))

    then = some(10_000, 0.01)
    assert not _drift(then, some(1_000, 0.025)).is_drifted
    drift = _drift(then, some(1_000, 0.1))
    assert drift.missing == (0.01, 0.1)
    assert drift.reason == "missing 10 %, 1 % before"
    assert drift.severity > 1
    assert _drift(some(10_000, 0.5), some(1_000, 0.2)).reason == "missing 20 %, 50 % before"
    assert not _drift(then, some(20, 0.1)).is_drifted  # two of twenty


def test_values_beyond_all_that_were_seen_are_told() -> None:
    rng = np.random.default_rng(2)
    then = rng.normal(size=10_000)
    now = np.where(np.arange(1_000) < 50, -999.0, rng.normal(size=1_000))
    drift = _drift(then, now)
    assert drift.is_drifted
    assert "values outside the earlier range 5" in drift.reason
    assert drift.unseen.now == pytest.approx(0.05, abs=0.002)
    infinite = _drift(then, np.where(np.arange(1_000) < 50, math.inf, now + 0))
    assert infinite.wasserstein == (math.inf, math.inf)


def test_unseen_categories_are_told() -> None:
    then, now = ["a", "b"] * 1_000, ["a", "b"] * 90 + ["c"] * 20
    drift = _drift(then, now, UTF8)
    assert drift.is_drifted
    assert drift.unseen == (0, 0.1)
    assert "unseen categories 10 %, 0 % before" in drift.reason
    assert drift.ks is drift.wasserstein is None


def test_of_more_categories_than_are_counted_the_others_are_no_unseen_ones() -> None:
    then = [*(["a", "b"] * 1_000), *(f"k{k}" for k in range(400))]
    drift = _drift(then, [f"k{k}" for k in range(200)], UTF8)
    assert "categories beyond the 256 counted ones" in drift.reason
    assert "unseen" not in drift.reason


@pytest.mark.parametrize(
    ("n_then", "n_now", "told"),
    [
        (0, 300, True),  # of 10,000 rows each: 3 points of what nobody has seen
        (400, 700, True),
        (1_500, 1_800, True),
        (7_900, 8_300, False),  # 4 of what most rows are
        (7_900, 8_800, True),
    ],
)
def test_growth_of_categories_beyond_those_counted_is_judged_by_their_share(
    n_then: int, n_now: int, told: bool
) -> None:
    def some(n_beyond: int) -> list[str]:
        places = 256 * np.sqrt(np.linspace(0, 1, 10_000 - n_beyond, endpoint=False))
        counted_ones = [f"k{int(k)}" for k in places]  # each more often than the one before
        return counted_ones + [f"other{k}" for k in range(n_beyond)]

    first, second = _profiles(some(n_then), some(n_now), UTF8, sample=some(0))
    drift = compared_column(first, second, LIMITS)
    assert drift.unseen == (n_then / 10_000, n_now / 10_000)
    assert ("categories" in drift.reason) is told
    assert drift.is_drifted is told
    tight = compared_column(first, second, {**LIMITS, "unseen": 0.005})
    assert tight.is_drifted


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ([1.0, 2.0], [], "no rows now"),
        ([], [1.0, 2.0], "no rows before"),
        ([1.0, 2.0], [2.0], ""),
        ([None, None], [None], "no values before"),
        ([1.0], [None], "no values now"),
    ],
)
def test_of_too_little_nothing_is_told_but_why(then: Any, now: Any, told: str) -> None:
    then, now = pa.array(then, pa.float64()), pa.array(now, pa.float64())
    drift = _drift(then, now)
    assert not drift.is_drifted
    assert drift.reason == told
    assert drift.severity < 1


def test_what_was_always_missing_and_is_not_now_is_told() -> None:
    none, some = pa.array([None] * 1_000, pa.float64()), np.arange(1_000.0)
    assert _drift(none, some).is_drifted
    assert _drift(some, none).is_drifted


def test_what_the_sample_of_edges_has_not_seen_is_expected_by_the_share_of_rows_in_it() -> None:
    n, rng = 4 * SAMPLED, np.random.default_rng(0)
    rare = np.where(rng.random(n) < 0.05, np.arange(n) + 20, rng.integers(0, 20, n)).astype(str)
    column = pa.chunked_array([pa.array(rare)])
    sample = column.take(pa.array(numbers_of_sample(n, SAMPLED)))
    then = count_column(layout_of("x", UTF8, "category", sample), column)
    found = compared_column(then, then, LIMITS)
    expected = found.unseen.then * (1 + SAMPLED / n)
    assert found.unseen_threshold - 0.02 <= expected - found.unseen.then + 256 / n


def test_limits_that_are_given_are_told_by_the_least_of_a_bracket() -> None:
    rng = np.random.default_rng(0)
    then, now = rng.normal(size=20_000), rng.normal(0.2, 1, 5_000)
    high: dict[str, Any] = {"wasserstein": 0.5}
    assert not _drift(then, now, **high).is_drifted
    assert _drift(then, now, **high, ks=0.05).reason.startswith("KS at least 0.0")
    assert _drift(then, now, wasserstein=0.1).reason.startswith("Wasserstein at least 0.")
    assert _drift(then, now, **high, jensen_shannon=0.05).reason.startswith("Jensen-Shannon 0.")
    assert not _drift(then, now, **high, ks=0.2, jensen_shannon=0.5).is_drifted
    few = rng.normal(size=20)
    assert not _drift(then, few, ks=0.01, wasserstein=0.01, jensen_shannon=0.01).is_drifted


def test_many_columns_are_compared_as_each_alone() -> None:
    rng = np.random.default_rng(4)
    pairs: list[tuple[ColumnProfile, ColumnProfile]] = []
    for dtype, draw in [*KINDS.values(), *((FLOAT64, draw) for draw in DRAWS.values())]:
        pairs.append(_profiles(draw(rng, 300), draw(rng, 40), dtype))
    pairs.append(_profiles(pa.array([None], pa.float64()), [1.0]))
    pairs.append(_profiles([math.inf, -math.inf], [math.inf]))
    found = compared_columns([ComparedColumn(*pair, LIMITS) for pair in pairs])
    assert found == [compared_column(*pair, LIMITS) for pair in pairs]
    assert compared_columns([]) == []
