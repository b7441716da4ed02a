"""Numbers as people read them."""

from __future__ import annotations

import pytest

from bench import units


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (99.94, "99.9"), (4.318, "4.32"), (0.00024, "0.000240"), (0, "0")],
)
def test_three_digits_are_never_a_power_of_ten(value: float, text: str) -> None:
    assert units.three_digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.3, "12.3 s"), (0.02764, "27.6 ms"), (2.64e-6, "2.64 µs"), (4.2e-8, "42.0 ns")],
)
def test_seconds_take_the_unit_that_fits(seconds: float, text: str) -> None:
    assert units.seconds(seconds) == text


def test_sizes_and_shares() -> None:
    assert units.n_bytes(2_400_000_000) == "2.40 GB"
    assert units.n_bytes(65_000_000) == "65.0 MB"
    assert units.percent(0.483) == "48 %"
    assert units.times(4.318) == "4.32×"
