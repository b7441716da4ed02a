"""What lies between two durations, of columns in words of 64 bits: against exact fractions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.aggregates.order import Interpolation, duration_between, neighbours
from fastfeat.steps.windows.cpu import durations_between, shares

TICKS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)
SHARES = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.5, 5e-324, 2.0**-64, 1 - 2.0**-53])
PAIRS = st.tuples(TICKS, TICKS, SHARES | st.integers(1, 1100).map(lambda n: 0.7 * 2.0**-n))


@given(st.lists(PAIRS, min_size=1))
def test_what_lies_between_is_exact_and_without_its_fraction(
    rows: list[tuple[int, int, float]],
) -> None:
    ends = [(min(a, b), max(a, b)) for a, b, _ in rows]
    low, high = np.array(ends, np.int64).T.copy()
    found = durations_between(low, high, np.array([share for *_, share in rows]))
    expected = [duration_between(*pair, row[2]) for pair, row in zip(ends, rows, strict=True)]
    assert found.tolist() == expected


@pytest.mark.parametrize("interpolation", ["linear", "midpoint"])
@given(counts=st.lists(st.integers(1, 2**40)), q=st.floats(0, 1))
def test_shares_are_those_of_quantiles(
    counts: list[int], q: float, interpolation: Interpolation
) -> None:
    expected = [neighbours(count, q, interpolation)[2] for count in counts]
    assert shares(np.array(counts, np.int64), q, interpolation).tolist() == expected
