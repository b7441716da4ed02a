"""The 12 row features, written once for each library, and repeated with other constants.

This module imports nothing at the top: a fresh process that computes its first result pays only for
the library that it uses. Inputs are four float64 columns a b c d and four float32 columns e f g h;
every feature is float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

INPUTS = ("a", "b", "c", "d", "e", "f", "g", "h")


@dataclass(frozen=True, slots=True)
class Constants:
    """The numbers in one repetition of the list; every repetition has its own.

    `shift` is 0 in the first, where nothing is shifted, since an addition of 0 would cost some
    libraries time and others none.
    """

    mean: float
    deviation: float
    bound: float
    shift: float
    threshold: float
    edges: tuple[float, ...]
    period: float
    log_mean: float
    centre: float


def constants(repetition: int) -> Constants:
    """Return the constants of a repetition; the edges are exact in both float32 and float64."""
    step = float(repetition)
    return Constants(
        mean=10.0 + step / 4,
        deviation=3.0 + step / 8,
        bound=8.0 + step / 2,
        shift=step / 16,
        threshold=step / 8,
        edges=tuple(5.0 + 10 * k + step / 4 for k in range(10)),
        period=24.0 + step,
        log_mean=0.9 + step / 32,
        centre=12.0 + step / 4,
    )


def repetitions(n_features: int) -> list[Constants]:
    """Return the constants of all repetitions for n features; the last may be cut."""
    return [constants(index) for index in range(-(-n_features // 12))]


def table(n_rows: int) -> pa.Table:
    """Return the inputs: 5 % missing in every column, 1 % zeros among the divisors."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(0)
    divisor = rng.normal(0, 5, n_rows)
    divisor[rng.random(n_rows) < 0.01] = 0
    doubles = [
        rng.normal(10, 3, n_rows), divisor, rng.exponential(5, n_rows), rng.normal(0, 1, n_rows)
    ]  # fmt: skip
    singles = [
        rng.normal(0, 2, n_rows), rng.normal(1, 2, n_rows),
        rng.uniform(0, 100, n_rows), rng.uniform(0, 24, n_rows),
    ]  # fmt: skip
    columns = doubles + [column.astype(np.float32) for column in singles]
    missing = [rng.random(n_rows) < 0.05 for _ in columns]
    return pa.table(
        {
            name: pa.array(column, mask=mask)
            for name, column, mask in zip(INPUTS, columns, missing, strict=True)
        }
    )


def shifted(column: Any, shift: float) -> Any:
    """Return column - shift, or the column itself for a shift of 0."""
    return column - shift if shift else column


def fastfeat_features(n_features: int) -> dict[str, Any]:
    """Return expressions; `cyclical` gives two columns, so that there is one entry less for it."""
    import fastfeat as ff

    a, b, c, d, e, f, g, h = (ff.col(name) for name in INPUTS)
    features: dict[str, Any] = {}
    for index, k in enumerate(repetitions(n_features)):
        a_shifted, e_shifted = shifted(a, k.shift), shifted(e, k.shift)
        features |= {
            f"r{index}_filled": a.fill_null(k.mean),
            f"r{index}_clipped": b.fill_null(0).clip(-k.bound, k.bound),
            f"r{index}_log": c.fill_null(k.shift).log1p(),
            f"r{index}_scaled": ((a - k.mean) / k.deviation).fill_null(0),
            f"r{index}_ratio": ff.when(b != 0).then(a_shifted / b).otherwise(0).fill_null(0),
            f"r{index}_ratio32": ff.when(f != 0).then(e_shifted / f).otherwise(0).fill_null(0),
            f"r{index}_choice": ff.when(d > k.threshold).then(d).otherwise(e),
            f"r{index}_bin": g.cut(list(k.edges)).fill_null(-1).cast("float64"),
            f"r{index}_hour": h.cyclical(k.period),
            f"r{index}_log_abs": ((e_shifted.abs().log1p() - k.log_mean) / 0.5).fill_null(0),
            f"r{index}_hour_scaled": ((h.clip(1, 23) - k.centre) / 6.9).fill_null(0),
        }
    whole, rest = divmod(n_features, 12)
    assert rest <= 8, "the list is cut before its two-column feature"
    return dict(list(features.items())[: 11 * whole + rest])


def fastfeat_plan(n_features: int) -> Any:
    """Return the plan of n features in float32."""
    import fastfeat as ff

    return ff.Plan(fastfeat_features(n_features), dtype="float32")


def pandas_features(frame: pd.DataFrame, n_features: int) -> pd.DataFrame:
    """Return the features in pandas, with NumPy functions on its columns where they are faster."""
    import numpy as np
    import pandas as pd

    a, b, c, d, e, f, g, h = (frame[name] for name in INPUTS)
    single = np.float32
    features: list[Any] = []
    for k in repetitions(n_features):
        ratio, ratio32 = shifted(a, k.shift) / b, shifted(e, k.shift) / f
        angle = h * single(2 * np.pi / k.period)
        bins = np.searchsorted(np.array(k.edges, single), g.to_numpy(), side="right")
        log_abs = np.log1p(shifted(e, k.shift).abs())
        features += [
            a.fillna(k.mean).astype(single),
            b.fillna(0).clip(-k.bound, k.bound).astype(single),
            np.log1p(c.fillna(k.shift)).astype(single),
            ((a - k.mean) / k.deviation).fillna(0).astype(single),
            ratio.where((b != 0) & ratio.notna(), 0).astype(single),
            ratio32.where((f != 0) & ratio32.notna(), 0),
            d.where(d > k.threshold, e).astype(single),
            pd.Series(np.where(g.isna(), -1, bins).astype(single)),
            np.sin(angle),
            np.cos(angle),
            ((log_abs - k.log_mean) / 0.5).fillna(0),
            ((h.clip(1, 23) - k.centre) / 6.9).fillna(0),
        ]
    return pd.DataFrame(dict(enumerate(features[:n_features])), copy=False)


def polars_features(n_features: int, single_precision: bool = False) -> list[pl.Expr]:
    """Return Polars expressions.

    With `single_precision` float64 inputs are rounded to float32 before computing. That is less
    precise than the others, and a sixth faster; its outputs are within the tolerance.
    """
    import math

    import polars as pl

    a, b, c, d, e, f, g, h = (pl.col(name) for name in INPUTS)
    if single_precision:
        a, b, c, d = (column.cast(pl.Float32) for column in (a, b, c, d))
    features: list[pl.Expr] = []
    for k in repetitions(n_features):
        a_shifted, e_shifted = shifted(a, k.shift), shifted(e, k.shift)
        # The fastest of five ways to count edges; `search_sorted` and `cut` take twice as long.
        bins = pl.sum_horizontal([g >= edge for edge in k.edges], ignore_nulls=False)
        angle = h * (2 * math.pi / k.period)
        features += [
            a.fill_null(k.mean),
            b.fill_null(0).clip(-k.bound, k.bound),
            c.fill_null(k.shift).log1p(),
            ((a - k.mean) / k.deviation).fill_null(0),
            pl.when((b != 0) & a.is_not_null()).then(a_shifted / b).otherwise(0),
            pl.when((f != 0) & e.is_not_null()).then(e_shifted / f).otherwise(0),
            pl.when(d > k.threshold).then(d).otherwise(e),
            bins.cast(pl.Float32).fill_null(-1),
            angle.sin(),
            angle.cos(),
            ((e_shifted.abs().log1p() - k.log_mean) / 0.5).fill_null(0),
            ((h.clip(1, 23) - k.centre) / 6.9).fill_null(0),
        ]
    return [
        feature.cast(pl.Float32).alias(f"f{index}")
        for index, feature in enumerate(features[:n_features])
    ]


def numpy_12_features(
    inputs: dict[str, np.ndarray], rows: slice, outputs: list[np.ndarray]
) -> None:
    """Fill some rows of the 12 outputs with NumPy; missing is NaN. Threads call it for blocks."""
    import numpy as np

    single, k = np.float32, constants(0)
    a, b, c, d, e, f, g, h = (inputs[name][rows] for name in INPUTS)
    out = [output[rows] for output in outputs]
    with np.errstate(all="ignore"):
        out[0][:] = np.where(np.isnan(a), k.mean, a)
        out[1][:] = np.clip(np.where(np.isnan(b), 0, b), -k.bound, k.bound)
        out[2][:] = np.log1p(np.where(np.isnan(c), 0, c).astype(single))
        scaled = (a - k.mean) / k.deviation
        out[3][:] = np.where(np.isnan(scaled), 0, scaled)
        ratio, ratio32 = a / b, e / f
        out[4][:] = np.where((b != 0) & ~np.isnan(ratio), ratio, 0)
        out[5][:] = np.where((f != 0) & ~np.isnan(ratio32), ratio32, 0)
        out[6][:] = np.where(d > k.threshold, d, e)
        bins = np.zeros(len(g), np.int8)
        for edge in k.edges:
            bins += g >= single(edge)
        out[7][:] = np.where(np.isnan(g), -1, bins)
        angle = h * single(2 * np.pi / k.period)
        np.sin(angle, out=out[8])
        np.cos(angle, out=out[9])
        log_abs = (np.log1p(np.abs(e)) - single(k.log_mean)) * single(2)
        out[10][:] = np.where(np.isnan(log_abs), 0, log_abs)
        hour = (np.clip(h, single(1), single(23)) - single(k.centre)) / single(6.9)
        out[11][:] = np.where(np.isnan(hour), 0, hour)


def python_12_features(row: dict[str, float | None]) -> np.ndarray:
    """Return the 12 features of one row in plain Python, written as by hand."""
    import math
    from bisect import bisect_right

    import numpy as np

    k = _FIRST
    a, b, c, d, e, f, g, h = [row[name] for name in INPUTS]
    missing = math.nan
    angle = missing if h is None else h * (2 * math.pi / k.period)
    return np.array(
        [
            k.mean if a is None else a,
            0.0 if b is None else min(max(b, -k.bound), k.bound),
            math.log1p(0.0 if c is None else c),
            0.0 if a is None else (a - k.mean) / k.deviation,
            0.0 if a is None or not b else a / b,
            0.0 if e is None or not f else e / f,
            d if d is not None and d > k.threshold else missing if e is None else e,
            -1 if g is None else bisect_right(k.edges, g),
            math.sin(angle),
            math.cos(angle),
            0.0 if e is None else (math.log1p(abs(e)) - k.log_mean) / 0.5,
            0.0 if h is None else (min(max(h, 1), 23) - k.centre) / 6.9,
        ],
        np.float32,
    )


_FIRST = constants(0)
