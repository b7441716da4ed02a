# pyright: basic, reportArgumentType=false
"""The features of the demo once more, written in Polars and scikit-learn.

Features of a row and its past are computed once, for all flights; the rest is learnt in each fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from fastfeat.demo.plan import NEW_YORK, REGIONAL, WEST_COAST

Matrix = Any
"""An array of shape (n_rows, n_features)."""

N_QUANTILES = 1000
TO_LEARN_FROM = ["carrier", "route", "distance_log", "distance", "dep_delay", "origin"]
CARRIER = 0
"""The place of the carrier's code among the features."""


def of_rows(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Return the features of rows and their past, after the columns to learn from."""
    leaves = pl.col("time_hour").dt.convert_time_zone(NEW_YORK).dt
    delay, distance = pl.col("dep_delay"), pl.col("distance")
    minute = pl.col("sched_dep_time") // 100 * 60 + pl.col("sched_dep_time") % 100
    read = [
        pl.col("carrier", "distance", "dep_delay", "origin"),
        pl.concat_str("origin", "dest", separator="-").alias("route"),
        distance.log1p().alias("distance_log"),
    ]
    made = {
        **_cyclical("hour", leaves.hour(), 24),
        **_cyclical("weekday", leaves.weekday(), 7),
        **_cyclical("day", leaves.ordinal_day(), 365),
        **_cyclical("minute", minute, 1440),
        "is_weekend": leaves.weekday() >= 6,
        "origin_code": pl.col("origin").replace_strict({"EWR": 0, "JFK": 1, "LGA": 2}),
        "is_west_coast": pl.col("dest").is_in(WEST_COAST),
        "is_regional": pl.col("carrier").is_in(REGIONAL),
        "distance_band": pl.sum_horizontal(distance >= edge for edge in (250, 500, 1000, 2000)),
        "never_left": delay.is_null(),
        "left_late": (delay > 15).fill_null(False),
        "delay_log": delay.sign() * delay.abs().log1p(),
        "delay_per_mile": delay / distance,
        **_last_week(),
        **{name: pl.col(name) for name in ("temp", "wind_speed", "visib", "precip")},
    }
    rows = _with_weather(flights, weather).lazy().select(*read, **made)
    return rows.collect(engine="streaming")


def _cyclical(name: str, value: pl.Expr, period: int) -> dict[str, pl.Expr]:
    angle = value * (2 * np.pi / period)
    return {f"{name}_sin": angle.sin(), f"{name}_cos": angle.cos()}


def _last_week() -> dict[str, pl.Expr]:
    """Return the features of each plane in seven days, before a flight or before it had landed."""

    def over(value: pl.Expr, offset: str | None = None) -> pl.Expr:
        window = value.rolling("time_hour", period="7d", offset=offset, closed="left")
        return window.over("tailnum")

    landed = "-204h"  # seven days and 36 hours
    has_plane = pl.col("tailnum").is_not_null()
    made = {
        "flights_7d": over(pl.len()),
        "last_7d": over(pl.col("time_hour").last()),
        "speed_7d": over((pl.col("distance") / (pl.col("air_time") / 60)).mean(), landed),
        "arr_delay_7d": over(pl.col("arr_delay").mean(), landed),
        "late_7d": over((pl.col("arr_delay") > 15).mean(), landed),
    }
    last = pl.col("time_hour") - made.pop("last_7d")
    made["hours_since_last"] = last.dt.total_seconds() / 3600
    return {name: pl.when(has_plane).then(value) for name, value in made.items()}


def _with_weather(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Return the flights with the weather measured at the airport in the last completed hour."""
    measured = weather.select(
        pl.col("time_hour").dt.offset_by("1h"),
        "origin",
        *("temp", "wind_speed", "visib", "precip"),
    ).sort("time_hour")
    return flights.join_asof(
        measured, on="time_hour", by="origin", tolerance="2h", check_sortedness=False
    )


def of_fold(rows: pl.DataFrame, label: Any, train: Any, test: Any) -> tuple[Matrix, Matrix]:
    """Return the features of a fold's training rows, out of fold, and of its test rows.

    Args:
        rows: Result of `of_rows`.
        label: Label of each row, shape (n_rows,).
        train: Numbers of training rows, shape (n_train,).
        test: Numbers of test rows, shape (n_test,).
    """
    learnt, of_train, of_test = _by_scikit_learn(), rows[train], rows[test]
    first = learnt.fit_transform(of_train, label[train])
    return _joined(first, of_train, of_train), _joined(learnt.transform(of_test), of_test, of_train)


def _by_scikit_learn() -> ColumnTransformer:
    """Return scikit-learn's transformers for the columns to learn from."""
    codes = OrdinalEncoder(
        min_frequency=100, handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float64
    )
    imputed = make_pipeline(SimpleImputer(strategy="median"), RobustScaler())
    rank = QuantileTransformer(n_quantiles=N_QUANTILES, subsample=None)
    return ColumnTransformer(
        [
            ("carrier", codes, ["carrier"]),
            ("route", TargetEncoder(smooth=20, target_type="binary"), ["route"]),
            ("distance", StandardScaler(), ["distance_log"]),
            ("delay", imputed, ["dep_delay"]),
            ("delay_rank", rank, ["dep_delay"]),
        ]
    )


def _joined(made: Matrix, rows: pl.DataFrame, train: pl.DataFrame) -> Matrix:
    """Return all features: from scikit-learn, learnt by key from `train`, and without a fit."""
    delay = pl.col("dep_delay")
    low, high = train.select(low=delay.quantile(0.01), high=delay.quantile(0.99)).row(0)
    edges = np.unique(np.quantile(train["dep_delay"].drop_nulls(), np.arange(1, 10) / 10))
    of_carrier = train.group_by("carrier").agg(
        share=pl.len() / len(train), usual_distance=pl.col("distance").mean()
    )
    of_origin = train.group_by("origin").agg(usual_delay=delay.median())
    joined = (
        rows.lazy()
        .join(of_carrier.lazy(), on="carrier", how="left", maintain_order="left")
        .join(of_origin.lazy(), on="origin", how="left", maintain_order="left")
        .select(
            *rows.columns[len(TO_LEARN_FROM) :],
            share=pl.col("share").fill_null(0),
            distance_vs_carrier=pl.col("distance") - pl.col("usual_distance"),
            delay_vs_origin=delay - pl.col("usual_delay"),
            delay_clipped=(delay.clip(low, high) - low) / (high - low),
            delay_decile=pl.sum_horizontal(delay >= edge for edge in edges.tolist()),
        )
        .collect()
    )
    return np.column_stack([made, joined.to_numpy()]).astype(np.float32)
