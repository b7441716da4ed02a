"""The map from columns of the output to features and to columns of the data."""

from __future__ import annotations

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import TypeMismatch

WEEK = ff.window("7d", by="k", time="t")
PLANE = ff.lookup("planes", by="k")
PLAN = ff.Plan(
    {
        "hour": col("x").cyclical(24),
        "is": col("k").one_hot_encode(),
        "rate": ff.cross("k", "m").target_encode("y", fold="f"),
        "vs": col("x") - col("x").mean(by="m"),
        "past": (col("z") / col("x")).sum(over=WEEK),
        "seats": PLANE.col("seats") + col("x"),
        "weather": ff.asof("rates", by="m", time="t").col("rate"),
        "one": ff.lit(1) + col("x").is_null(),
    },
    label="y",
    outcomes=["z"],
)
DATA = {
    "k": ["a", "b", "a"],
    "m": ["u", "u", "v"],
    "x": [1.0, 2.0, 4.0],
    "z": [1.0, 2.0, 4.0],
    "f": [0, 1, 0],
    "t": pa.array([0, 1, 2], pa.timestamp("s")),
    "y": [1, 0, 1],
}
TABLES = {
    "planes": {"k": ["a"], "seats": [180]},
    "rates": {"m": ["u"], "t": pa.array([0], pa.timestamp("s")), "rate": [0.5]},
}


def test_each_column_is_mapped_to_its_feature_and_its_sources() -> None:
    fitted = PLAN.fit(DATA, tables=TABLES)
    mapped = ff.quality.feature_map(fitted)
    assert mapped["column"].to_pylist() == fitted.feature_names
    assert [(row["column"], row["feature"], row["sources"]) for row in mapped.to_pylist()] == [
        ("hour_sin", "hour", ["x"]),
        ("hour_cos", "hour", ["x"]),
        ("is_a", "is", ["k"]),
        ("is_b", "is", ["k"]),
        ("rate", "rate", ["k", "m"]),  # neither the label nor the fold
        ("vs", "vs", ["x", "m"]),
        ("past", "past", ["z", "x", "t", "k"]),
        ("seats", "seats", ["k", "planes.k", "planes.seats", "x"]),
        ("weather", "weather", ["t", "m", "rates.t", "rates.m", "rates.rate"]),
        ("one", "one", ["x"]),
    ]


def test_the_map_of_a_selection_is_a_part_of_the_map() -> None:
    fitted = PLAN.fit(DATA, tables=TABLES)
    rows = {row["column"]: row for row in ff.quality.feature_map(fitted).to_pylist()}
    chosen = ff.quality.feature_map(fitted.select(["vs", "is"])).to_pylist()
    assert chosen == [rows["vs"], rows["is_a"], rows["is_b"]]


def test_features_without_a_column_have_no_row() -> None:
    data = {"k": pa.array([None, None], pa.string()), "x": [1.0, 2.0]}
    with pytest.warns(ff.errors.NoCategories):
        fitted = ff.Plan({"is": col("k").one_hot_encode(), "x": col("x")}).fit(data)
    assert ff.quality.feature_map(fitted).to_pylist() == [
        {"column": "x", "feature": "x", "sources": ["x"]}
    ]
    assert ff.quality.feature_map(fitted.select("is")).num_rows == 0


def test_an_argument_is_refused() -> None:
    fitted = PLAN.fit(DATA, tables=TABLES)
    with pytest.raises(TypeMismatch, match=r"feature_map\(.*, 1\): too many positional"):
        ff.quality.feature_map(fitted, 1)  # type: ignore[call-arg]  # pyright: ignore
