"""Lineage: the columns that features come from, and the ways by which they do."""

from __future__ import annotations

import fastfeat as ff
from fastfeat import col
from fastfeat.tell.lineage import lineage

WEEK = ff.window("7d", by="plane", time="t")
WEATHER = ff.asof("weather", by="origin", time="t", delay="1h")


def ways(feature: ff.Expr, **options: object) -> dict[str, str]:
    """Return the ways of each column of one feature, those of tables as "table.column"."""
    plan = ff.Plan({"f": feature}, **options)  # pyright: ignore[reportArgumentType]
    (found,) = lineage(plan.declaration.nodes).values()
    return {
        source.column if source.table is None else f"{source.table}.{source.column}": " ".join(
            source.ways
        )
        for source in found
    }


def test_columns_of_the_row_itself() -> None:
    assert ways(col("x")) == {"x": "itself"}
    assert ways(col("x") + col("y") * col("x")) == {"x": "computed", "y": "computed"}
    assert ways(ff.lit(1) + 0 * col("x")) == {"x": "computed"}


def test_what_is_learnt_is_told_beside_what_is_computed() -> None:
    assert ways(col("x").standard_scale()) == {"x": "computed learnt"}
    assert ways(col("x") - col("y").mean()) == {"x": "computed", "y": "learnt"}
    assert ways(col("x") - col("y").mean(by="k")) == {
        "x": "computed",
        "y": "learnt",
        "k": "group learnt",
    }
    assert ways(col("k").ordinal_encode()) == {"k": "computed learnt"}
    encoded = ff.cross("a", "b").target_encode("y", folds=5)
    assert ways(encoded, label={"y": col("z") > 1}) == {
        "z": "learnt",
        "a": "group learnt",
        "b": "group learnt",
    }


def test_windows_and_tables_are_ways_of_their_own() -> None:
    assert ways(col("x").mean(over=WEEK)) == {"x": "past", "t": "past", "plane": "past"}
    assert ways(col("x") - col("x").mean(over=WEEK))["x"] == "computed past"
    assert ways(ff.time_since_last(over=WEEK)) == {"t": "past", "plane": "past"}
    seats = ff.lookup("planes", by="plane").col("seats")
    assert ways(seats) == {"plane": "join", "planes.plane": "join", "planes.seats": "itself"}
    assert ways(seats + 1)["planes.seats"] == "computed"
    assert ways(WEATHER.col("temp")) == {
        "t": "join",
        "origin": "join",
        "weather.t": "join",
        "weather.origin": "join",
        "weather.temp": "itself",
    }
    assert ways(WEATHER.col("temp").standard_scale())["weather.temp"] == "computed learnt"
    assert ways((col("x") - seats).mean(over=WEEK))["planes.seats"] == "past"
    rain = ff.window("1d", by={"k": "who"}, time="t", table="rain", right_time="at")
    of_rain = ["rain.mm", "rain.at", "rain.who"]
    expected = {"t": "join", "k": "join", **dict.fromkeys(of_rain, "past")}
    assert ways(col("mm").sum(over=rain)) == expected
    learnt = ways(col("x") - col("x").mean(over=WEEK).mean())
    assert learnt == {"x": "computed learnt", "t": "learnt", "plane": "learnt"}


def test_a_chain_of_thousands_is_walked_without_recursion() -> None:
    x = col("x")
    for _ in range(5000):
        x = x + 1
    assert ways(x) == {"x": "computed"}
