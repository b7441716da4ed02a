"""The clocks of windows over late columns: which can be trusted, and how old what they show is."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import Leakage
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Column
from fastfeat.operators.windows import WindowEnds
from fastfeat.plan.declare.clocks import clock_of, offset_for, youngest
from fastfeat.scalars.zones import table_for

DAY = 86_400 * 10**9
DELTA = datetime.timedelta
TS, Y = col("ts"), col("y")

TRUSTED: dict[str, Expr] = {
    "column": TS,
    "15 minutes": TS.dt.truncate("15m"),
    "day": TS.dt.truncate("1d"),
    "week": TS.dt.truncate("1w"),
    "two weeks": TS.dt.truncate("2w"),
    "month": TS.dt.truncate("1mo"),
    "quarter": TS.dt.truncate("1q"),
    "year": TS.dt.truncate("1y"),
    "date": TS.dt.date(),
    "seconds": TS.dt.epoch("s"),
    "days": TS.dt.epoch("d"),
    "another unit": TS.cast("timestamp[s]"),
    "another zone": TS.cast("timestamp[us, Asia/Tokyo]"),
    "date of a cast": TS.cast("date32"),
    "moved": TS + DELTA(hours=7),
    "moved days": (TS - DELTA(hours=7)).dt.date(),
    "seconds of days": TS.dt.truncate("1d").dt.epoch("s"),
    "weeks of moved days": (TS + DELTA(hours=7)).dt.truncate("1d").dt.truncate("1w"),
    "days of weeks": TS.dt.truncate("1w").dt.truncate("1d"),
    "more seconds": TS.dt.epoch("s") + 90,
    "days of a zone": TS.dt.date(tz="Europe/Berlin"),
    "weeks of a zone": TS.dt.truncate("1w", tz="America/New_York"),
    "days of a zone that lost one": TS.dt.date(tz="Pacific/Kwajalein"),
    "days of a fixed zone": TS.dt.truncate("1d", tz="+05:30"),
    "hours of a zone": TS.dt.truncate("6h", tz="Europe/Berlin"),
}
TURNING: dict[str, Expr] = {
    "hours set back to the day before": TS.dt.truncate("6h", tz="America/St_Johns"),
    "days set back": TS.dt.truncate("1d", tz="America/St_Johns"),
    "dates set back": TS.dt.date(tz="America/St_Johns"),
    "thirds of an hour set back by half of one": TS.dt.truncate("20m", tz="Australia/Lord_Howe"),
    "hours set back by a quarter past": TS.dt.truncate("1h", tz="Pacific/Chatham"),
    "forty minutes set back by sixty": TS.dt.truncate("40m", tz="America/New_York"),
}
ALL = TRUSTED | TURNING
UNTRUSTED: dict[str, Expr] = {
    "backwards": -col("day"),
    "modulo": col("day") % 7,
    "scaled": col("day") * 1000,
    "from a constant": 5 - col("day"),
    "rounded": (col("day") / 7).round(),
    "hour": TS.dt.hour(),
    "two columns": col("day") + col("n"),
    "clipped": col("day").clip(0, 3),
    "filled": col("day").fill_null(0),
    "a case": ff.when(col("n") > 0).then(col("day")).otherwise(0),
    "learnt": col("day") - col("day").min(),
    "of a table": ff.lookup("of", by="n").col("at"),
    "constant": ff.lit(1),
    "microseconds as seconds": TS.dt.epoch("us").cast("timestamp[s]"),
    "seconds as days": TS.dt.epoch("s").cast("date32"),
    "days as seconds": TS.dt.epoch("d").cast("timestamp[s]"),
}


def over(time: Any, **window: Any) -> Expr:
    return Y.mean(over=ff.window(time=time, **window))


@pytest.mark.parametrize("name", UNTRUSTED)
def test_a_time_that_may_run_ahead_or_back_is_refused(name: str) -> None:
    for delay in (None, 0):
        with pytest.raises(Leakage, match="may be later than the row, or run backwards"):
            ff.Plan({"f": over(UNTRUSTED[name], offset=1)}, label="y", label_delay=delay)
    ff.Plan({"f": col("x").mean(over=ff.window(time=UNTRUSTED[name]))}, label="y")


@pytest.mark.parametrize("name", TRUSTED)
def test_a_time_that_keeps_the_order_of_rows_builds(name: str) -> None:
    ff.Plan({"f": over(TRUSTED[name])}, label="y")


@pytest.mark.parametrize("name", ALL)
def test_the_offset_that_the_message_names_would_do(name: str) -> None:
    time = ALL[name]
    clock = clock_of(time.node)
    assert clock is not None
    for closed in ("left", "right"):
        needed = offset_for(clock, 30 * DAY // (clock.step or 1), holds_end=closed == "right")
        offset = needed if clock.step else DELTA(microseconds=needed // 1000)
        ff.Plan({"f": over(time, closed=closed, offset=offset)}, label="y", label_delay="30d")
        short = needed - 1 if clock.step else DELTA(microseconds=needed // 1000 - 1)
        if clock.grid and closed == "right":
            continue  # a little less takes the same rows
        with pytest.raises(Leakage, match="'y' is known '30d' after its row") as caught:
            ff.Plan({"f": over(time, closed=closed, offset=short)}, label="y", label_delay="30d")
        told = duration_text(needed) if not clock.step else needed
        assert f"Set offset={told!r} or more" in str(caught.value)


CLOSED: st.SearchStrategy[WindowEnds] = st.sampled_from(["left", "right", "both", "neither"])
MOMENTS = st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(1996, 12, 31))
NEAR = st.integers(0, 40 * 86_400).map(lambda s: DELTA(seconds=s))


@given(
    name=st.sampled_from(sorted(ALL)),
    begin=MOMENTS,
    steps=st.lists(NEAR, min_size=2, max_size=12),
    offset=st.integers(0, 45 * 24).map(lambda h: DELTA(hours=h, minutes=h % 3)),
    closed=CLOSED,
)
def test_no_row_that_a_window_sees_is_younger_than_is_said(
    name: str, begin: datetime.datetime, steps: list[DELTA], offset: DELTA, closed: WindowEnds
) -> None:
    time = ALL[name]
    clock = clock_of(time.node, None)
    assert clock is not None
    length: Any = int(offset.total_seconds()) // (clock.step // 10**9) if clock.step else offset
    holds_end = closed in ("right", "both")
    if holds_end and not offset:
        return  # such a window holds the row itself, and is refused
    window = ff.window(time=time, offset=length, closed=closed)
    seen = TS.max(over=window).cast("timestamp[us, UTC]").dt.epoch("us")
    plan = ff.Plan({"age": (TS.dt.epoch("us") - seen)})
    times = [begin + step for step in steps]
    ages = plan.fit_transform({"ts": pa.array(times, pa.timestamp("us", "UTC"))})[1]["age"]
    n = length if clock.step else int(offset.total_seconds()) * 10**9
    least = youngest(clock, n, holds_end=holds_end) * (clock.step or 1)
    assert all(age * 1000 >= least for age in ages.to_pylist() if age is not None)


def test_the_zone_of_a_column_counts_once_it_is_known() -> None:
    plan = ff.Plan({"f": over(TS.dt.date(), offset="30d")}, label="y", label_delay="30d")
    days = [datetime.datetime(2024, 3, d) for d in (1, 2, 3)]

    def data(zone: str | None) -> pa.Table:
        return pa.table({"ts": pa.array(days, pa.timestamp("us", zone)), "y": [1.0, 2.0, 3.0]})

    for zone in (None, "UTC", "+02:00"):
        plan.fit(data(zone))
    with pytest.raises(Leakage, match=r"sees rows up to '28d.* before .*offset='31d"):
        plan.fit(data("Europe/Berlin"))
    with pytest.raises(Leakage, match="sees rows up to"):
        plan.schema(data("Europe/Berlin").schema)


ZONES = ["America/St_Johns", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Chatham"]
CUTS = {
    **{every: TS.dt.truncate(every) for every in ("15m", "20m", "40m", "1h", "7h", "1d", "1mo")},
    "date": TS.dt.date(),
    "cast": TS.cast("date32"),
}


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_turns_back_where_it_is_said_to(zone: str) -> None:
    """Seen at every minute of the hours around each change from 1970 on."""
    changes = [c for c in table_for(zone).changes if 86_400 < c < 1.6e9]
    minutes = [c + 60 * m for c in changes for m in range(-180, 180)]
    data = pa.table({"ts": pa.array(minutes, pa.timestamp("s", zone))})
    plan = ff.Plan(CUTS).fit(data)
    for name, column in zip(CUTS, plan.transform(data).columns, strict=True):
        times = column.cast("int32" if column.type == pa.date32() else "int64").to_pylist()
        clock = clock_of(plan.record.nodes[name], plan.record.types)
        assert clock is not None
        assert clock.turns == any(later < earlier for earlier, later in pairwise(times)), name


@pytest.mark.parametrize("name", TURNING)
def test_a_clock_that_turns_back_needs_an_offset(name: str) -> None:
    """A row would see the label of a later one, which the clocks put into an earlier interval."""
    time = TURNING[name]
    clock = clock_of(time.node)
    assert clock is not None
    with pytest.raises(Leakage, match="When clocks are set back, a later row may") as caught:
        ff.Plan({"f": over(time)}, label="y")
    needed = duration_text(offset_for(clock, 0, holds_end=False))
    assert f"Set offset={needed!r}" in str(caught.value)
    ff.Plan({"f": over(time, offset=needed)}, label="y")


def test_a_column_whose_zone_turns_back_needs_an_offset() -> None:
    plan = ff.Plan({"f": over(TS.dt.date())}, label="y")
    minutes = [datetime.datetime(2006, 10, 29, 2, 30 + m) for m in range(3)]
    data = {"ts": pa.array(minutes, pa.timestamp("us", "America/St_Johns")), "y": [1.0, 2.0, 3.0]}
    with pytest.raises(Leakage, match="When clocks are set back"):
        plan.fit(data)
    plan.fit({**data, "ts": pa.array(minutes, pa.timestamp("us", "Europe/Berlin"))})


def test_casts_that_scale_steps_once_types_are_known_are_refused() -> None:
    time = TS.cast("int64").cast("timestamp[s]")
    plan = ff.Plan({"f": over(time, offset="30d")}, label="y", label_delay="30d")
    plan.schema({"ts": "timestamp[s]", "y": "float64"})
    with pytest.raises(Leakage, match="may be later than the row"):
        plan.schema({"ts": "timestamp[us]", "y": "float64"})


def test_folds_wait_for_days_of_the_zone_of_a_column() -> None:
    """A day of 25 hours would bring a label an hour before its fold may learn from it."""
    late: Any = {"label": "y", "label_delay": "30d"}
    days = [datetime.datetime(2024, 10, d, 22) for d in range(1, 20)]

    def data(zone: str | None) -> pa.Table:
        n = len(days)
        return pa.table(
            {"ts": pa.array(days, pa.timestamp("us", zone)), "k": ["a"] * n, "y": range(n)}
        )

    plan = ff.Plan({"f": col("k").target_encode("y", time=TS.dt.truncate("1d"))}, **late)
    plan.fit(data(None))
    plan.fit(data("+02:00"))
    with pytest.raises(Leakage, match=r"truncated in the column.s time zone"):
        plan.fit(data("Europe/Berlin"))
    told = TS.dt.truncate("1d", tz="Europe/Berlin")
    ff.Plan({"f": col("k").target_encode("y", time=told)}, **late).fit(data("Europe/Berlin"))


def test_a_label_is_known_once_the_outcomes_that_it_reads_are() -> None:
    late: Any = {"label": {"is_late": col("arr") > 15}, "outcomes": {"arr": "30d"}}
    with pytest.raises(Leakage, match=r"'is_late' is known '30d' after its row \(outcomes=\)"):
        ff.Plan({"f": col("is_late").mean(over=ff.window(time="ts"))}, **late)
    plan = ff.Plan({"f": col("k").target_encode("is_late", time="ts")}, **late)
    days = [datetime.datetime(2024, 1, d) for d in range(1, 21)]
    n = len(days)
    data = {"ts": pa.array(days, pa.timestamp("us")), "k": ["a"] * n, "arr": range(n)}
    assert plan.fit_transform(data)[1]["f"].null_count == n  # nothing is known in any fold


def test_ages_are_exact_where_a_grid_is_even() -> None:
    """The figures of the table in the contract: floor(offset / r) · r, and offset less r."""
    week = clock_of(TS.dt.truncate("1w").node)
    assert week is not None
    assert youngest(week, 30 * DAY, holds_end=False) == 28 * DAY
    assert youngest(week, 35 * DAY, holds_end=True) == 28 * DAY
    month = clock_of(TS.dt.truncate("1mo").node)
    assert month is not None
    assert youngest(month, 61 * DAY, holds_end=False) == 30 * DAY
    plain = clock_of(Column("ts"))
    assert plain is not None
    assert youngest(plain, 30 * DAY, holds_end=True) == 30 * DAY


LATE = {"label": "y", "label_delay": "30d"}


@pytest.mark.parametrize(
    ("time", "offset", "delay", "told"),
    [
        ("ts", "30d", "30d", None),
        (TS.dt.truncate("1d"), "30d", "30d", None),
        (TS.dt.date(), "30d", "30d", None),
        (TS.dt.truncate("1w"), "30d", "30d", r"up to '28d' before .*offset='35d'"),
        (TS.dt.truncate("1mo"), "30d", "30d", r"up to the row's own moment.*offset='61d'"),
        (TS.dt.truncate("1q"), "30d", "30d", r"offset='122d'"),
        (col("day") * 1000, 30, 30, "may be later than the row"),
        (-col("day"), 30, 30, "may be later than the row"),
        (col("day") % 7, 30, 30, "may be later than the row"),
        (TS.dt.epoch("s"), 30, 30, r"here is '1s' of 'ts'.*label_delay='30s'"),
        (TS.dt.epoch("s"), 30, "30d", r"up to 30 before .*offset=2592000 or"),
        (TS.dt.epoch("s"), 30 * 86_400, "30d", None),
        ("day", 30, {"ts": "30d", "day": 30}, None),
        ("ts", "30d", {"ts": "30d", "day": 30}, None),
        ("day", 29, {"ts": "30d", "day": 30}, r"offset=30 or more"),
        ("other", 30, {"ts": "30d", "day": 30}, r"for 'ts', 'day', but .* from 'other'"),
        ("day", 30, "30d", "Write both in the unit of the time"),
        (col("day") + 3, 30, 30, None),
        (col("text").str.to_datetime("%Y-%m-%d"), "30d", {"text": "30d"}, None),
    ],
)
def test_a_delay_is_kept_by_every_clock(time: Any, offset: Any, delay: Any, told: Any) -> None:
    feature = over(time, offset=offset)
    if told is None:
        ff.Plan({"f": feature}, label="y", label_delay=delay)
        return
    with pytest.raises(Leakage, match=told):
        ff.Plan({"f": feature}, label="y", label_delay=delay)


def test_whole_numbers_of_a_timestamp_ask_for_a_duration() -> None:
    plan = ff.Plan({"f": over(TS.cast("int64"), offset=30)}, label="y", label_delay={"ts": 30})
    with pytest.raises(Leakage, match="Write the delay as a duration"):
        plan.fit({"ts": pa.array([0, 1], pa.timestamp("s")), "y": [1.0, 2.0]})
    plan.fit({"ts": [0, 1], "y": [1.0, 2.0]})


def test_outcomes_have_delays_of_their_own() -> None:
    late = {"outcomes": {"arr": "2h", "paid": "60d", "n": None}, **LATE}
    hours, months = ff.window(time="ts", offset="2h"), ff.window(time="ts", offset="60d")
    ff.Plan({"f": col("arr").mean(over=hours), "g": col("paid").mean(over=months)}, **late)
    with pytest.raises(Leakage, match=r"'paid' is known '60d' after its row \(outcomes=\)"):
        ff.Plan({"f": (col("paid") - Y).mean(over=ff.window(time="ts", offset="59d"))}, **late)
    with pytest.raises(Leakage, match=r"'n' is known '30d' after its row \(label_delay=\)"):
        ff.Plan({"f": col("n").mean(over=hours)}, **late)
    plan = ff.Plan({"f": col("arr").mean(over=hours)}, **late)
    assert ff.Plan.from_json(plan.to_json()).outcomes == plan.outcomes
    told = plan.explain("leakage")
    assert "arr (known '2h' later), n (known '30d' later), paid (known '60d' later)" in told
    assert "(by col('ts'), at least '2h' old)" in told
