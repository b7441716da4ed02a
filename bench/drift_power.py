"""The detection rate of drift, and its false alarms: `python -m bench.drift_power`.

Batches are drawn, counted like a fitted plan counts its rows, and compared with 20,000 training
rows at the default thresholds. It writes two tables for docs/drift.md: for each change the share of
batches that are reported; and the share of unchanged batches that are reported anyway.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fastfeat.ir.dtypes import FLOAT64, INT64, UTF8, DType
from fastfeat.learn.row_sample import numbers_of_sample
from fastfeat.trust.quality.column_drift import ColumnDrift, ComparedColumn, compared_columns
from fastfeat.trust.quality.counting import count_column
from fastfeat.trust.quality.layout import SAMPLED, kind_of, layout_of
from fastfeat.trust.quality.thresholds import SECTIONS, thresholds

N_THEN = 20_000
SIZES = (100, 1_000, 5_000)
N_CHANGED, N_UNCHANGED, N_TRAININGS = 200, 2_000, 10
LIMITS = {word: thresholds(None, "drift")[word] for word in SECTIONS["drift"].named}

Draw = Callable[[np.random.Generator, int], Any]


def _zeros(random: np.random.Generator, n: int, scale: float = 1.0) -> Any:
    return np.where(random.random(n) < 0.8, 0.0, scale * random.lognormal(size=n))


def _missing(share: float) -> Draw:
    return lambda random, n: pa.array(random.normal(size=n), mask=random.random(n) < share)


def _categories(random: np.random.Generator, n: int) -> Any:
    return random.integers(0, 16, n).astype(str)


def _outliers(share: float, value: float) -> Draw:
    def draw(random: np.random.Generator, n: int) -> Any:
        return np.where(random.random(n) < share, value, random.normal(size=n))

    return draw


def _normal(mean: float = 0.0, std: float = 1.0) -> Draw:
    return lambda random, n: random.normal(mean, std, n)


CHANGES: dict[str, tuple[DType, Draw, Draw]] = {
    "mean + 0.1 deviations": (FLOAT64, _normal(), _normal(0.1)),
    "mean + 0.25 deviations": (FLOAT64, _normal(), _normal(0.25)),
    "mean + 0.5 deviations": (FLOAT64, _normal(), _normal(0.5)),
    "deviation × 1.5": (FLOAT64, _normal(), _normal(0.0, 1.5)),
    "80 % zeros, the others × 1.5": (
        FLOAT64,
        _zeros,
        lambda random, n: _zeros(random, n, 1.5),
    ),
    "80 % zeros, the others × 2": (FLOAT64, _zeros, lambda random, n: _zeros(random, n, 2.0)),
    "5 % more missing": (FLOAT64, _missing(0.02), _missing(0.07)),
    "3 % of a new category": (
        UTF8,
        _categories,
        lambda random, n: np.where(random.random(n) < 0.03, "new", _categories(random, n)),
    ),
    "1 % of 50 deviations": (FLOAT64, _normal(), _outliers(0.01, 50.0)),
    "1 % of -999": (FLOAT64, _normal(), _outliers(0.01, -999.0)),
    "3 % of -999": (FLOAT64, _normal(), _outliers(0.03, -999.0)),
}
"""Changes: the type of the column, training values, later values."""

ZIPF = 1 / np.arange(1, 301)
UNCHANGED: dict[str, tuple[DType, Draw]] = {
    "normal": (FLOAT64, _normal()),
    "lognormal, sigma 2": (FLOAT64, lambda random, n: random.lognormal(0, 2, n)),
    "Cauchy": (FLOAT64, lambda random, n: random.standard_cauchy(n)),
    "Pareto, exponent 0.8": (FLOAT64, lambda random, n: random.pareto(0.8, n)),
    "80 % zeros": (FLOAT64, _zeros),
    "99 % zeros": (
        FLOAT64,
        lambda random, n: np.where(random.random(n) < 0.99, 0.0, random.lognormal(size=n)),
    ),
    "integers, Poisson of 3": (INT64, lambda random, n: random.poisson(3, n)),
    "rare flag, 1 %": (INT64, lambda random, n: (random.random(n) < 0.01).astype(np.int64)),
    "1 % infinite": (
        FLOAT64,
        lambda random, n: np.where(random.random(n) < 0.01, -np.inf, random.normal(size=n)),
    ),
    "16 categories": (UTF8, _categories),
    "300 categories, few of them frequent": (
        UTF8,
        lambda random, n: random.choice(300, n, p=ZIPF / ZIPF.sum()).astype(str),
    ),
    "2 % missing": (FLOAT64, _missing(0.02)),
}
"""Columns without drift: their type, and one distribution for training and later values."""


def drifts(
    dtype: DType, then: Draw, now: Draw, n_now: int, n_batches: int, seed: int
) -> Iterator[ColumnDrift]:
    """Yield the drift of batches; each tenth of them is compared with its own training rows."""
    random = np.random.default_rng([seed, n_now])
    for _ in range(N_TRAININGS):
        column = pa.chunked_array([pa.array(then(random, N_THEN))])
        sample = column.take(pa.array(numbers_of_sample(N_THEN, SAMPLED)))
        layout = layout_of("x", dtype, kind_of(dtype), sample)
        training = count_column(layout, column)
        batches = (
            count_column(layout, pa.chunked_array([pa.array(now(random, n_now))]))
            for _ in range(n_batches // N_TRAININGS)
        )
        yield from compared_columns([ComparedColumn(training, batch, LIMITS) for batch in batches])


def share_told(found: Sequence[ColumnDrift]) -> float:
    """Return the share of batches with reported drift."""
    return sum(of.is_drifted for of in found) / len(found)


def tables() -> Iterator[str]:
    """Yield both tables, line by line."""
    sizes = " | ".join(f"{n:,} rows" for n in SIZES)
    yield f"| change, share of {N_CHANGED} batches that are told | {sizes} |"
    yield "|---|" + "---|" * len(SIZES)
    for seed, (name, (dtype, then, now)) in enumerate(CHANGES.items()):
        found = [share_told([*drifts(dtype, then, now, n, N_CHANGED, seed)]) for n in SIZES]
        yield f"| {name} | {' | '.join(f'{share:.2f}' for share in found)} |"
    yield ""
    yield f"| no change, {N_UNCHANGED:,} batches | {sizes} | smallest shift of {SIZES[1]:,} rows |"
    yield "|---|" + "---|" * (len(SIZES) + 1)
    for seed, (name, (dtype, draw)) in enumerate(UNCHANGED.items(), len(CHANGES)):
        every = [[*drifts(dtype, draw, draw, n, N_UNCHANGED, seed)] for n in SIZES]
        shares = " | ".join(f"{share_told(found):.2%}" for found in every)
        shifts = [of.smallest_shift for of in every[1] if of.smallest_shift is not None]
        smallest = f"{np.median(shifts):.2f} deviations" if shifts else "–"
        yield f"| {name} | {shares} | {smallest} |"
        if "-v" in sys.argv:
            for found in every:
                for of in found:
                    if of.is_drifted:
                        yield f"    {of.n_now} {of.reason}"


if __name__ == "__main__":
    for line in tables():
        print(line, flush=True)
