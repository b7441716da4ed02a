"""Pictures of profiles: every row that has a value stands in one cell, near its value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.trust.quality.distribution import N_CELLS, distribution, length_text, value_text
from fastfeat.trust.quality.profile import ColumnProfile
from fastfeat.trust.quality.table_profiles import counted_tables, profile_of_tables


def profiles(then: Any, *others: Any) -> list[ColumnProfile]:
    """Return the profile of a column, and those of others on the same edges and categories."""
    tables = [pa.table({"x": values}) for values in (then, *others)]
    fitted = ff.Plan({"there": col("x").is_null()}).fit(tables[0]).record
    first = profile_of_tables(fitted, tables[0], None)
    rest = [counted_tables(first, fitted, table, None) for table in tables[1:]]
    return [profile.inputs["x"] for profile in (first, *rest)]


def test_bins_of_equal_counts_are_drawn_as_the_values_are() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    (then,) = profiles(values)
    found = distribution(then)
    assert found is not None
    assert found.labels == ()
    assert found.then.sum() == pytest.approx(1)
    low, high = then.edges[1], then.edges[-2]
    expected, _ = np.histogram(np.clip(values, low, high), np.linspace(low, high, N_CELLS + 1))
    assert found.then == pytest.approx(expected / len(values), abs=0.01)
    assert (found.first[:2], found.last[:2]) == ("< ", "> ")


def test_a_frequent_value_stands_in_its_cell() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(20_000) < 0.5, 0.5, rng.random(20_000))
    found = distribution(*profiles(values, values[:1000]))
    assert found is not None
    assert found.now is not None
    assert found.then[N_CELLS // 2] == pytest.approx(0.5, abs=0.03)
    assert np.delete(found.then, N_CELLS // 2).max() < 0.04
    assert found.now.sum() == pytest.approx(1)


def test_few_values_are_drawn_as_categories() -> None:
    found = distribution(*profiles([0, 1, 1, 2], [2, 2, None]))
    assert found is not None
    assert found.labels == ("0", "1", "2")
    assert found.then.tolist() == [0.25, 0.5, 0.25]
    assert found.now is not None
    assert found.now.tolist() == [0, 0, 1]
    assert found.moved == "2: 25% → 100%"


def test_values_beyond_those_of_training_are_seen() -> None:
    found = distribution(*profiles([0.0, 1.0, 1.0, 2.0], [-999.0, np.inf]))
    assert found is not None
    assert found.now is not None
    assert found.now.sum() == pytest.approx(1)
    assert found.now[0] > 0
    assert found.now[-1] > 0


def test_categories_have_one_more_cell_for_others() -> None:
    found = distribution(*profiles(["a", "a", "b"], ["a", "z", None]))
    assert found is not None
    assert found.labels == ("a", "b", "other")
    assert found.now is not None
    assert found.now.tolist() == [0.5, 0, 0.5]
    (alone,) = profiles([True, False, True])
    shown = distribution(alone)
    assert shown is not None
    assert shown.labels == ("True", "False")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([], []),
        ([None], [1.0]),
        ([1.0], []),
        ([np.inf, -np.inf], [np.nan]),
        ([3.0] * 9, [3.0]),
        ([1e308, -1e308], [0.0]),
        ([5e-324, 0.0], [1e-323]),
        ([2**62, 2**62 + 1], [2**62]),
        (pa.array([None, None], pa.string()), pa.array(["<b>"])),
    ],
    ids=str,
)
def test_odd_columns_are_drawn_or_left_out(then: Any, now: Any) -> None:
    wanted = pa.array(then, pa.float64()) if isinstance(then, list) and not then else pa.array(then)
    if pa.types.is_null(wanted.type):
        wanted = wanted.cast(pa.float64())
    found = distribution(*profiles(wanted, pa.array(now, wanted.type)))
    if found is not None:
        shares = [found.then, *([] if found.now is None else [found.now])]
        assert all(np.isfinite(of).all() and of.sum() <= 1 + 1e-9 for of in shares)
        assert "<b>" not in found.html()
        assert found.html().startswith("<svg")


def test_rows_that_are_only_counted_have_no_picture() -> None:
    assert distribution(ColumnProfile("x", "list[int64]", "other", n_rows=2)) is None


def test_times_are_told_as_times() -> None:
    then = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 29)]
    (profile,) = profiles(pa.array(then, pa.timestamp("ms", "UTC")))
    assert value_text(profile, profile.least) == "2026-01-01"
    assert length_text(profile, 1.5 * 86_400_000) == "1.5 d"
    assert length_text(profile, 1_500) == "1.5 s"
    (dates,) = profiles(pa.array([0, 1], pa.date32()))
    assert length_text(dates, 0.25) == "6 h"
    (number,) = profiles([1.25, 1234567.0, 12.0])
    texts = [value_text(number, value) for value in (1.25, 1234567.0, 12.0, float("nan"))]
    assert texts == ["1.25", "1.235e+06", "12", ""]
    texts = [value_text(number, value, n_digits=2) for value in (0.008266, 1234.5, 0.5, 1e7)]
    assert texts == ["0.0083", "1,234", "0.5", "1e+07"]
