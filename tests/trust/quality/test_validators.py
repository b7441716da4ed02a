"""Rows that break rules, counted beside pandera and dataframely, on flights with planted faults."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from docs.demos.trust_faults import FAULTS
from fastfeat import col
from fastfeat.demo.flights import read_flights

pandera: Any = pytest.importorskip("pandera.polars")
dataframely: Any = pytest.importorskip("dataframely")

CARRIERS = [
    "9E",
    "AA",
    "AS",
    "B6",
    "DL",
    "EV",
    "F9",
    "FL",
    "HA",
    "MQ",
    "UA",
    "US",
    "VX",
    "WN",
    "YV",
]
DELAYS, DISTANCES = (-120, 1500), (1, 6000)
CONTRACT = ff.Contract(
    {
        "carrier": col("carrier").is_in(CARRIERS),
        "dep_delay": col("dep_delay").is_between(*DELAYS) | col("dep_delay").is_null(),
        "distance": col("distance").is_between(*DISTANCES),
        "tailnum": col("tailnum").is_not_null(),
    }
)


def _by_pandera(frame: pl.DataFrame) -> dict[str, int]:
    check, column = pandera.Check, pandera.Column
    schema = pandera.DataFrameSchema(
        {
            "carrier": column(str, check.isin(CARRIERS)),
            "dep_delay": column(int, check.in_range(*DELAYS), nullable=True),
            "distance": column(int, check.in_range(*DISTANCES)),
            "tailnum": column(str),
        }
    )
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        return dict(error.failure_cases.group_by("column").len().rows())
    return {}


def _by_dataframely(frame: pl.DataFrame) -> dict[str, int]:
    dy = dataframely

    class Flights(dy.Schema):
        carrier = dy.String(nullable=False, check=lambda c: c.is_in(CARRIERS))
        dep_delay = dy.Int64(nullable=True, min=DELAYS[0], max=DELAYS[1])
        distance = dy.Int64(nullable=False, min=DISTANCES[0], max=DISTANCES[1])
        tailnum = dy.String(nullable=False)

    _, failures = Flights.filter(frame)
    found: dict[str, int] = {}
    for rule, n in failures.counts().items():
        name = rule.partition("|")[0]
        found[name] = found.get(name, 0) + n
    return found


@pytest.fixture(scope="module")
def november() -> pa.Table:
    flights = read_flights()
    columns = ["carrier", "dep_delay", "distance", "tailnum", "dest", "time_hour"]
    return flights.filter(flights["month"].to_numpy() == 11).select(columns)


@pytest.mark.parametrize("fault", ["seconds", "nulls", "new carrier", "sentinel", "kilometres"])
def test_counts_are_those_of_other_validators(november: pa.Table, fault: str) -> None:
    flights = next(one.plant(november) for one in FAULTS if one.name == fault)
    counts = {name: n for name, n in CONTRACT.check(flights).counts.items() if n}
    frame: Any = pl.from_arrow(flights.select(list(CONTRACT.rules)))
    assert counts == _by_pandera(frame) == _by_dataframely(frame)
    assert counts
