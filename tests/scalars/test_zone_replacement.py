"""`.dt.replace_time_zone` against Polars and zoneinfo; naive times beside `tz=` are refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, Leakage, NaiveTimes, Overflow, TypeMismatch
from fastfeat.scalars.zone_files import CYCLE
from fastfeat.scalars.zones import table_for
from fastfeat_tests.scalars.temporal_rows import LARGEST, SMALLEST, UNITS, column, computed, fitted

ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "+05:30")
EPOCH = datetime.datetime(1970, 1, 1)
T: Any = col("t").dt
CHRONO_END = 4 * 10**9
"""The zones of Polars follow their rules up to 2099."""


def local_seconds(zone: str) -> st.SearchStrategy[int]:
    """Return local times, as seconds: many near those that come twice or are skipped."""
    anywhere = st.integers(-(5 * 10**9), CHRONO_END)
    changes = [c for c in table_for(zone).changes if abs(c) < CHRONO_END]
    if not changes:
        return anywhere
    near = st.builds(
        lambda change, minutes, second: change + 60 * minutes + second,
        st.sampled_from(changes),
        st.integers(-26 * 60, 26 * 60),
        st.integers(-1, 1),
    )
    return near | anywhere


@cache
def plan_of(unit: str, zone: str) -> ff.FittedPlan:
    """Return a plan that reads local times as those of a zone, in each way that may be missing."""
    both = {"ambiguous": "null", "non_existent": "null"}
    features = {
        word: T.replace_time_zone(zone, **{**both, "ambiguous": word})
        for word in ("earliest", "latest", "null")
    }
    return fitted({**features, "back": features["latest"].dt.replace_time_zone(None)}, t=kind(unit))


def kind(unit: Any, zone: str | None = None) -> pa.DataType:
    return pa.timestamp(unit, zone)


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
def test_local_times_are_the_instants_of_polars(zone: str, data: st.DataObject) -> None:
    unit: Any = data.draw(st.sampled_from(["ms", "us", "ns"]))
    seconds = data.draw(st.lists(local_seconds(zone), min_size=1, max_size=8))
    ticks = [s * UNITS[unit] for s in seconds]
    found = computed(plan_of(unit, zone), {"t": (kind(unit), ticks)})
    frame = pl.DataFrame({"t": pl.Series(ticks, dtype=pl.Int64).cast(pl.Datetime(unit))})
    for word in ("earliest", "latest", "null"):
        moved = pl.col("t").dt.replace_time_zone(
            None if zone[0] == "+" else zone, ambiguous=word, non_existent="null"
        )
        expected = frame.select(moved.to_physical()).to_series().to_list()
        if zone[0] == "+":
            expected = [t - (5 * 3600 + 1800) * UNITS[unit] for t in ticks]
        assert found[word] == expected
    is_there = [t is not None for t in found["latest"]]
    assert found["back"] == [t if there else None for t, there in zip(ticks, is_there, strict=True)]


@given(data=st.data(), zone=st.sampled_from(ZONES[:4]))
def test_local_times_of_far_years_repeat_those_of_near_ones(data: st.DataObject, zone: str) -> None:
    """The Gregorian calendar repeats each 400 years, and so do the rules of a zone."""
    near = data.draw(st.integers(3 * 10**9, 14 * 10**9))
    n_cycles = data.draw(st.integers(1, 200))
    plan = plan_of("s", zone)
    found = computed(plan, {"t": (kind("s"), [near + CYCLE, near + (n_cycles + 1) * CYCLE])})
    for first, later in found.values():
        assert later == (None if first is None else first + n_cycles * CYCLE)


def seconds_of(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return int((datetime.datetime(year, month, day, hour, minute) - EPOCH).total_seconds())


@pytest.mark.parametrize(
    ("options", "time", "word"),
    [
        ({}, (2024, 10, 27, 2, 30), "this local time occurs twice"),
        ({"non_existent": "null"}, (2024, 10, 27, 2, 30), "ambiguous='earliest' or 'latest'"),
        ({}, (2024, 3, 31, 2, 30), "this local time does not exist"),
        ({"ambiguous": "earliest"}, (2024, 3, 31, 2, 30), "non_existent='null'"),
    ],
)
def test_a_doubtful_local_time_is_an_error_that_names_the_row(
    options: dict[str, Any], time: tuple[int, ...], word: str
) -> None:
    plan = fitted({"f": T.replace_time_zone("Europe/Berlin", **options)}, t=kind("us"))
    ticks = [0, seconds_of(*time) * 10**6]
    rows = pa.table({"t": column(kind("us"), ticks)})
    for backend in ("cpu", "reference"):
        with pytest.raises(InvalidData, match=f"(?s)feature 'f', row 1 .*{word}"):
            plan.transform(rows, backend=backend)


def test_an_instant_beyond_its_type_is_an_error() -> None:
    west = fitted({"f": T.replace_time_zone("-05:00")}, t=kind("s"))
    east = fitted({"f": T.replace_time_zone("+05:00")}, t=kind("s"))
    assert computed(east, {"t": (kind("s"), [LARGEST])}) == {"f": [LARGEST - 5 * 3600]}
    for plan, ticks in ((west, LARGEST), (east, SMALLEST)):
        with pytest.raises(Overflow, match="outside the range of its type"):
            computed(plan, {"t": (kind("s"), [ticks])})


def test_a_zone_is_replaced_by_another_at_the_same_local_time() -> None:
    instant = datetime.datetime(2024, 7, 1, 8, tzinfo=ZoneInfo("Asia/Tokyo"))
    rows = pa.table({"t": pa.array([instant, None], kind("us", "Asia/Tokyo"))})
    plan = ff.Plan(
        {
            "there": T.replace_time_zone("America/New_York"),
            "local": T.replace_time_zone(None),
            "hour": T.replace_time_zone("America/New_York").dt.hour(),
        }
    ).fit(rows)
    for backend in ("cpu", "reference"):
        found = plan.transform(rows, backend=backend)
        assert found.schema.field("there").type == kind("us", "America/New_York")
        wall = instant.replace(tzinfo=None)
        of_new_york = wall.replace(tzinfo=ZoneInfo("America/New_York"))
        assert found.to_pydict() == {
            "there": [of_new_york, None],
            "local": [wall, None],
            "hour": [8, None],
        }


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        (lambda: T.replace_time_zone(""), TypeMismatch, "'Europe/Berlin' or '+02:00'"),
        (lambda: T.replace_time_zone(5), TypeMismatch, "replace_time_zone(5)"),
        (lambda: T.replace_time_zone("UTC", ambiguous="first"), InvalidPlan, "'earliest'"),
        (lambda: T.replace_time_zone("UTC", non_existent="latest"), InvalidPlan, "'null'"),
        (lambda: fitted({"f": T.replace_time_zone("Mars")}, t=kind("s")), TypeMismatch, "Mars"),
        (lambda: fitted({"f": T.replace_time_zone("UTC")}, t=pa.date32()), TypeMismatch, "date32"),
        (lambda: T.hour(naive="UTC"), InvalidPlan, "naive= needs tz="),
        (lambda: T.hour(tz="Asia/Tokyo", naive="Asia/Tokyo"), InvalidPlan, "_zone('Asia/Tokyo')"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(
    use: Callable[[], Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error) as found:
        use()
    assert word in str(found.value)


IN_ZONE = {"tz": "America/New_York"}
REFUSED: dict[str, Callable[[dict[str, str]], ff.Plan]] = {
    **{
        name: lambda zone, name=name: ff.Plan({"f": getattr(T, name)(**zone)})
        for name in ("hour", "date", "is_weekend", "week", "nanosecond", "days_in_month")
    },
    "truncate": lambda zone: ff.Plan({"f": T.truncate("1d", **zone)}),
    "below another function": lambda zone: ff.Plan({"f": T.hour(**zone).cyclical(24)}),
    "of text": lambda zone: ff.Plan({"f": (T.hour(**zone) > 1) & col("x").is_null()}),
    "clock of a window": lambda zone: ff.Plan(
        {"f": col("x").sum(over=ff.window("1d", time=T.truncate("1d", **zone)))}
    ),
    "key of a window": lambda zone: ff.Plan(
        {"f": ff.count(over=ff.window("1d", time="t", by=T.hour(**zone)))}
    ),
    "key": lambda zone: ff.Plan({"f": col("x").mean(by=T.weekday(**zone))}),
    "time of folds": lambda zone: ff.Plan(
        {"f": T.hour().target_encode("y", time=T.date(**zone))}, label="y"
    ),
    "key of folds": lambda zone: ff.Plan(
        {"f": T.hour().target_encode("y", fold_by=T.date(**zone))}, label="y"
    ),
    "label": lambda zone: ff.Plan({"f": col("x")}, label={"l": T.hour(**zone) > 3}),
}


def naive_rows() -> pa.Table:
    return pa.table(
        {
            "t": pa.array([EPOCH.replace(year=2024), None], kind("us")),
            "x": [1.0, 2.0],
            "y": [0, 1],
        }
    )


@pytest.mark.parametrize("where", REFUSED)
def test_a_naive_time_beside_a_zone_is_refused_with_both_readings(where: str) -> None:
    with pytest.raises(TypeMismatch) as found:
        REFUSED[where](IN_ZONE).fit(naive_rows())
    told = str(found.value)
    assert "timestamp[us] has no time zone" in told
    assert ".dt.replace_time_zone(zone='America/New_York')." in told
    assert "naive='UTC'" in told


@pytest.mark.parametrize("name", ["t", "tz='America/New_York'", "x.dt.", "x" * 500])
@pytest.mark.parametrize(
    "part",
    [
        lambda t, **zone: t.hour(**zone),
        lambda t, **zone: t.date(**zone),
        lambda t, **zone: t.truncate("1h", **zone),
    ],
    ids=["hour", "date", "truncate"],
)
def test_the_calls_that_are_advised_are_those_of_both_readings(
    name: str, part: Callable[..., ff.Expr]
) -> None:
    rows = naive_rows().rename_columns([name, "x", "y"])
    of = col(name).dt
    with pytest.raises(TypeMismatch) as found:
        ff.Plan({"f": part(of, **IN_ZONE)}).fit(rows)
    local = part(of.replace_time_zone(IN_ZONE["tz"]).dt)
    of_utc = part(of, **IN_ZONE, naive="UTC")
    assert str(found.value).endswith(f"write {local!r}; for UTC times write {of_utc!r}")
    for advised in (local, of_utc):
        ff.Plan({"f": advised}).fit(rows)


@pytest.mark.parametrize("where", ["hour", "clock of a window", "time of folds", "label"])
def test_it_is_refused_wherever_types_are_bound(where: str) -> None:
    plan, schema = REFUSED[where](IN_ZONE), naive_rows().schema
    for bind in (plan.schema, plan.compile):
        if where != "label":  # of which nothing is a feature
            with pytest.raises(TypeMismatch, match="can mean two things"):
                bind(schema)
    with pytest.raises(TypeMismatch, match="can mean two things"):
        plan.learning(schema)


def test_the_word_for_utc_is_the_earlier_reading() -> None:
    rows = naive_rows()
    aware = rows.set_column(0, "t", rows["t"].cast(kind("us", "UTC")))
    said = ff.Plan({"f": T.hour(**IN_ZONE, naive="UTC"), "g": T.hour()}).fit(rows)
    assert said.transform(rows)["f"].to_pylist() == [19, None]
    assert said.transform(rows)["g"].to_pylist() == [0, None]
    of_aware = ff.Plan({"f": T.hour(**IN_ZONE, naive="UTC")}).fit(aware)
    assert of_aware.transform(aware)["f"].to_pylist() == [19, None]


def test_a_saved_plan_that_has_one_loads_and_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastfeat.learn.training_data.check_new_plan", lambda types: None)
    path, rows = tmp_path / "old.fastfeat", naive_rows()
    ff.Plan({"f": T.hour(**IN_ZONE), "g": T.date(**IN_ZONE)}).fit(rows).save(path)
    with pytest.warns(NaiveTimes, match=r"can mean two things.* them as UTC \(also in 1 more"):
        loaded = ff.load(path)
    assert loaded.transform(rows)["f"].to_pylist() == [19, None]


def test_a_rule_of_a_contract_cannot_be_decided() -> None:
    report = ff.Contract({"late": T.hour(**IN_ZONE) > 3}).check(naive_rows())
    assert not report.ok
    assert "naive='UTC'" in str(report)


def test_a_replaced_zone_is_no_clock_that_late_columns_trust() -> None:
    clock = T.replace_time_zone("Europe/Berlin", ambiguous="earliest", non_existent="null")
    window = ff.window("7d", time=clock, by="x")
    with pytest.raises(Leakage):
        ff.Plan({"f": col("y").mean(over=window)}, label="y")


def test_words_stand_in_plans() -> None:
    words = T.replace_time_zone(None), T.hour(tz="Asia/Tokyo", naive="UTC")
    plan = ff.Plan({"a": words[0], "b": words[1]})
    assert ff.Plan.from_json(plan.to_json()) == plan
    assert [str(word) for word in words] == [
        "col('t').dt.replace_time_zone(zone=None)",
        "col('t').dt.hour(naive='UTC', tz='Asia/Tokyo')",
    ]
