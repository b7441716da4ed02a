"""The CPU of fresh processes: each side runs, and a side that fails is an error."""

from __future__ import annotations

import subprocess

import pytest

from bench import fresh


@pytest.mark.parametrize("side", fresh.SIDES)
def test_each_side_runs_and_takes_time(side: str) -> None:
    if "Polars" in side:
        pytest.importorskip("polars")
    assert fresh.cpu_ms(fresh.SIDES[side], {}) > 0


def test_a_side_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        fresh.cpu_ms("raise SystemExit(3)", {})
