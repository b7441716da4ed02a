"""No leakage, seen from the values: labels that are not known yet do not move a feature.

Random plans that build are fitted once. Then the labels of a row, and of all rows whose label comes
later than the row's moment, are changed in the data and in the tables, and the features of that row
must keep their bits: what fit has learnt is held fixed.
"""

from __future__ import annotations

import datetime
import random
import warnings
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from hypothesis import given, target
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import FastfeatWarning, Leakage
from fastfeat.operators.windows import Window

N_ROWS = 40
BEGIN = datetime.datetime(2024, 1, 1)
HOUR = datetime.timedelta(hours=1)
TS = col("ts")
CLOCKS: list[str | Expr] = [
    "ts",
    TS.dt.truncate("1d"),
    TS.dt.truncate("1w"),
    TS.dt.date(),
    TS + datetime.timedelta(hours=5),
    (TS - datetime.timedelta(hours=5)).dt.truncate("6h"),
    TS.cast("timestamp[s]"),
]
OTHER_CLOCKS: list[str | Expr] = ["booked", -TS.dt.epoch("s")]
"""Those by which what windows saw may not be seen again."""
AGGREGATES: list[Callable[..., Expr]] = [
    Expr.mean, Expr.sum, Expr.max, Expr.count, Expr.median, Expr.first, Expr.last, Expr.lag,
    Expr.std, Expr.n_unique, Expr.slope, Expr.skew, Expr.kurtosis,
]  # fmt: skip


def rows(seed: int) -> dict[str, list[Any]]:
    rng = random.Random(seed)
    hours = [rng.choice((rng.randrange(0, 400), 24 * rng.randrange(16))) for _ in range(N_ROWS)]
    return {
        "ts": [BEGIN + hour * HOUR for hour in hours],
        "booked": [BEGIN + (hour - rng.randrange(200)) * HOUR for hour in hours],
        "k": [rng.choice("ab") for _ in hours],
        "id": [*range(N_ROWS)],
        "x": [float(rng.randrange(9)) for _ in hours],
        "y": [rng.choice((None, *map(float, range(5)))) for _ in hours],
    }


def window(rng: random.Random, *, of_past: bool) -> Window:
    """Return a window; one of what windows saw is never over the table, whose rows have no past."""
    of_table = not of_past and rng.random() < 0.3
    options: dict[str, Any] = {
        "last": rng.choice([None, "2d", "9d"]),
        "by": rng.choice([None, "k"]),
        "offset": rng.choice([None, "1h", "1d", "3d", "8d", "15d"]),
        "closed": rng.choice(["left", "right", "both", "neither"]),
        "rows": rng.choice([None, 2]),
    }
    if of_table:
        return ff.window(time="ts", table="self", **options)
    return ff.window(time=rng.choice(CLOCKS + OTHER_CLOCKS * of_past), **options)


def feature(rng: random.Random, depth: int = 0) -> Expr:
    """Return an expression that may see late columns by any way that plans have."""
    is_past = depth < 2 and rng.random() < 0.4
    if is_past:
        value = feature(rng, depth + 1) + rng.choice([col("x"), ff.lit(1.0)])
    else:
        large = ff.when(col("y") > 2).then(col("x")).otherwise(0.0)
        value = rng.choice([col("y"), col("y") * 2 + col("x"), large])
    made = rng.choice(AGGREGATES)(value, over=window(rng, of_past=is_past))
    match rng.randrange(4):
        case 0:
            return made - made.mean()
        case 1:
            return made.standard_scale() * col("x")
        case _:
            return made


def table(data: dict[str, list[Any]]) -> pa.Table:
    types = {
        "ts": pa.timestamp("us"),
        "booked": pa.timestamp("us"),
        "y": pa.float64(),
        "x": pa.float64(),
    }
    return pa.table({name: pa.array(v, types.get(name)) for name, v in data.items()})


@given(
    seed=st.integers(0, 2**32),
    delay=st.sampled_from([None, "1h", "1d", "7d"]),
    at=st.integers(0, N_ROWS - 1),
)
def test_labels_that_are_not_known_yet_move_no_feature(
    seed: int, delay: str | None, at: int
) -> None:
    rng = random.Random(seed)
    features: dict[str, Expr] = {}
    for k in range(6):
        one = feature(rng)
        try:
            ff.Plan({"f": one}, label="y", label_delay=delay)
        except Leakage:
            continue
        features[f"f{k}"] = one
    target(len(features))
    if not features:
        return
    data = rows(seed)
    after = {None: 0, "1h": 1, "1d": 24, "7d": 24 * 7}[delay] * HOUR
    moment = data["ts"][at]
    unknown = [row == at or moment < ts + after for row, ts in enumerate(data["ts"])]
    unknown = [
        flag or (delay is None and ts >= moment)
        for flag, ts in zip(unknown, data["ts"], strict=True)
    ]
    flipped = {
        **data,
        "y": [
            float(rng.randrange(50, 99)) if flag else y
            for flag, y in zip(unknown, data["y"], strict=True)
        ],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        plan = ff.Plan(features, label="y", label_delay=delay)
        fitted = plan.fit(table(data), tables={"self": table(data)})
        before, later = (
            fitted.transform(table(one), history="batch", tables={"self": table(one)}).slice(at, 1)
            for one in (data, flipped)
        )
    assert before.to_pylist() == later.to_pylist()
