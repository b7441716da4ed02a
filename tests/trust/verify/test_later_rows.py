"""Features without the rows that come later: plans that build keep their bits, leaks are found."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import InvalidPlan, Leakage
from fastfeat.execute.call_rows import CallRows
from fastfeat.plan.declare import rows_ahead
from fastfeat.trust.verify.later_rows import LaterRows, later_rows_of
from fastfeat_tests.live.random_plans import DEVICE, OF_NUMBERS, SHOPS, TABLES, X, events

pytestmark = [pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")]
TS = col("ts")
DAY = datetime.timedelta(days=1)
SOON = {"soon": ff.count(over=ff.ahead("1s", by="user", time="ts")) > 0}
GONE = {"gone": ff.count(over=ff.ahead("60d", by="user", time="ts")) == 0}


def noise(n_rows: int = 600, seed: int = 0) -> pa.Table:
    """Return rows of 60 users in half a year, in no order."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 180 * 86_400, n_rows)
    booked = seconds - rng.integers(0, 60 * 86_400, n_rows)
    return pa.table(
        {
            "ts": pa.array(1_700_000_000 + seconds, pa.timestamp("s")),
            "booked": pa.array(1_700_000_000 + booked, pa.timestamp("s")),
            "user": rng.integers(0, n_rows // 10, n_rows),
            "x": rng.normal(size=n_rows),
        }
    )


def window(last: Any = "60d", time: Any = "ts", **options: Any) -> Any:
    return ff.window(last, by="user", time=time, **options)


def asof(time: Any = "ts", right_time: str = "ts") -> Expr:
    return ff.asof("logins", by="user", time=time, right_time=right_time).col("x")


def found(features: Mapping[str, Expr], data: pa.Table, **options: Any) -> LaterRows:
    """Return what removing later rows shows of a plan that is fitted on the data."""
    last = pa.table({"user": range(60), "x": [0.0] * 60, "ts": [data["ts"][-1]] * 60})
    tables = {"logins": data, "users": last, "last": last}
    fitted = ff.Plan(features, **options).fit(data, tables=tables)
    return later_rows_of(fitted.record, CallRows(data, tables=tables), 600)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans build that see later rows."""
    for rule in ("check_clocks_ahead", "refuse_rows_ahead"):
        monkeypatch.setattr(rows_ahead, rule, lambda *_: None)


MONTH = TS.dt.truncate("1mo")
SOUND = {
    "control": ff.count(over=window()),
    "rounded": ff.count(over=window(time=MONTH)),
    "of_table": ff.count(over=window(time=MONTH, right_time="ts", table="logins")),
    "asof": asof(),
}
LEAKS = {
    "reversed": ff.count(over=window(60 * 86_400, time=-TS.dt.epoch("s"))),
    "table ahead": ff.count(over=window(time=TS + 60 * DAY, right_time="ts", table="logins")),
    "asof ahead": asof(TS + 60 * DAY),
    "booked": TS.max(over=window(None, time="booked")),
    "whole month": ff.count(over=window(time=MONTH, closed="both")),
}
LEARNT = {"per date": ff.lit(1).count(by=TS.dt.date())}


@pytest.mark.usefixtures("unchecked")
def test_every_leak_of_later_rows_is_found_and_nothing_else() -> None:
    later = found({**SOUND, **LEAKS, **LEARNT}, noise(), label=GONE)
    assert [change.column for change in later.changes] == list(LEAKS)
    (check,) = later.checks
    assert check.name == "all rows = without later rows, by col('ts')"
    assert check.n_rows > 500
    changed = {change.column: change.n_moments for change in later.changes}
    assert min(changed.values()) > 40, changed
    first = later.changes[0]
    assert str(check).startswith(
        f"FAIL all rows = without later rows, by col('ts') ({check.n_rows} rows, at 49 moments): "
        f"feature 'reversed', row {first.row}: {first.values[0]} with all rows, but "
        f"{first.values[1]} without the rows after {first.moment}; it changes at "
    )
    assert "values that fit has learnt from later rows" in later.cannot_see[0]


@pytest.mark.usefixtures("unchecked")
def test_verify_and_leak_test_report_a_leak_of_later_rows() -> None:
    data = noise().sort_by("ts")
    label = {"next": ff.count(over=ff.ahead("20d", by="user", time="ts")) > 0}
    booked = LEAKS["booked"].dt.epoch("s")
    plan = ff.Plan({"control": SOUND["control"], "booked": booked}, label=label)
    fitted = plan.fit(data)
    failed = [check for check in fitted.verify(data, n_rows=300).checks if check.difference]
    assert [check.name for check in failed] == ["all rows = without later rows, by col('ts')"]
    report = ff.leak_test(plan, data, n_permutations=2, cv=2)
    assert not report.ok
    assert report.leaks == ["booked"]
    assert report.permuted == ("next",)
    assert "feature 'booked', row " in repr(report)


def test_what_a_user_vouches_for_is_listed_and_not_judged() -> None:
    features = {
        "control": SOUND["control"],
        "booked": LEAKS["booked"],
        "user": ff.lookup("users", by="user").col("x"),
        "last": ff.lookup("last", by="user").col("x"),
    }
    label = {"no more": ff.count(over=ff.ahead("60d", by="user", time="ts", table="last")) == 0}
    known: dict[str, Any] = {"known_tables": {"last": ["x"]}, "known_clocks": ["booked"]}
    later = found(features, noise(), label=label, **known)
    assert not later.changes
    assert later.on_word == (
        "features that see rows by col('booked'), which is in known_clocks=: 'booked'",
        "tables that are only looked up by key: 'users'",
        "tables in known_tables=: 'last'",
    )
    assert [check.name for check in later.checks] == ["all rows = without later rows, by col('ts')"]


def test_without_a_label_ahead_each_clock_judges_its_own_features() -> None:
    both = ff.count(over=window()) + ff.count(over=window(time="booked"))
    later = found({**SOUND, "booked": LEAKS["booked"], "both": both}, noise())
    assert not later.changes
    assert [check.name.partition(", by ")[2] for check in later.checks] == [
        "col('ts')",
        "col('ts').dt.truncate(every='1mo')",
        "col('booked')",
    ]
    assert later.on_word == (
        "features that see rows by several clocks, col('booked') and col('ts'): 'both'",
    )


def test_plan_that_sees_no_other_rows_has_no_such_check() -> None:
    later = found({"x": X + 1}, noise())
    assert later == LaterRows()
    assert later.cannot_see == ()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("has_time", [True, False])
def test_rows_without_a_time_stay(has_time: bool) -> None:
    """The window sees the later row by another clock; it is removed only where it has a time."""
    data = pa.table(
        {
            "user": [1, 1, 2, 2],
            "ts": pa.array([10, 20 if has_time else None, 10, 30], pa.timestamp("s")),
            "booked": pa.array([5, 1, 5, 7], pa.timestamp("s")),
            "x": [1.0] * 4,
        }
    )
    later = found({"n": ff.count(over=window(None, time="booked"))}, data, label=SOON)
    assert [change.row for change in later.changes] == ([0] if has_time else [])


@pytest.mark.usefixtures("unchecked")
def test_history_and_its_twins_are_removed_too() -> None:
    """The twin of a row has another time in the history, by which it would stay."""
    columns = {"id": [1, 2], "user": [1, 1], "x": [1.0, 2.0]}
    seconds = pa.timestamp("s")
    rows = {"ts": pa.array([10, 20], seconds), "booked": pa.array([5, 1], seconds)}
    before = {"ts": pa.array([3, 4], seconds), "booked": rows["booked"]}
    data, history = (pa.table({**columns, **times}) for times in (rows, before))
    features = {"n": ff.count(over=window(None, time="booked")), "age": TS.max(over=window())}
    fitted = ff.Plan(features, label=SOON, row_id="id").fit(data)
    later = later_rows_of(fitted.record, CallRows(data, history=history), 9)
    assert [change.column for change in later.changes] == ["n"]


def test_large_tables_are_indexed_at_fewer_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise()
    assert found({"asof": asof()}, data).checks[0].note == ", at 49 moments"
    monkeypatch.setattr("fastfeat.trust.verify.later_rows.TABLE_ROWS", 7 * len(data))
    assert found({"asof": asof()}, data).checks[0].note == ", at 6 moments"


CLOCKS: dict[str, Expr | str] = {
    "ts": "ts",
    "hours": TS.dt.truncate("2h"),
    "date": TS.dt.date(),
    "before": TS - datetime.timedelta(hours=1),
    "after": TS + datetime.timedelta(hours=2),
    "seconds": TS.cast(pa.timestamp("s")),
    "epoch": TS.dt.epoch("s"),
    "back": -TS.dt.epoch("s"),
    "other": "t",
}


@st.composite
def clocked_features(draw: st.DrawFn) -> dict[str, Expr]:
    """Return features that see rows by many clocks, those that a label may forbid among them."""
    depths = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
    return {f"f{k}": draw(_feature(depth)) for k, depth in enumerate(depths)}


@st.composite
def _feature(draw: st.DrawFn, depth: int) -> Expr:
    name = draw(st.sampled_from(sorted(CLOCKS)))
    is_number = name in ("epoch", "back", "other")

    def length(low: int, high: int) -> Any:
        n = draw(st.none() | st.integers(low, high))
        if n is None or name == "other":
            return n
        return n * 3600 if is_number else f"{n * (24 if name == 'date' else 1)}h"

    by = draw(st.sampled_from(["card", "shop", None]))
    kind = draw(st.sampled_from(["window", "window", "table", "asof"]))
    right: dict[str, Any] = {"right_time": "n" if is_number else "ts"}
    if kind == "asof":
        right |= {"delay": length(0, 3), "allow_exact_matches": draw(st.booleans())}
        return ff.asof("log", by=by or "card", time=CLOCKS[name], **right).col("x")
    options: dict[str, Any] = {
        "closed": draw(st.sampled_from(["left", "right", "both", "neither"])),
        "tie": "ts" if kind == "window" and draw(st.booleans()) else None,
        **({"table": "log", **right} if kind == "table" else {}),
    }
    over = ff.window(length(1, 6), by=by, time=CLOCKS[name], offset=length(0, 3), **options)
    of = X
    if kind == "window" and depth:
        of = draw(st.sampled_from([WHOLE_ROW, SHOPS, DEVICE.hash(8)]) | _feature(depth - 1))
    function = draw(st.sampled_from(["count", "first", "last", "lag", "max", "n_unique", "rank"]))
    if kind == "table" and function in ("lag", "rank"):
        function = "count"
    return OF_NUMBERS[function](of.cast("float64"), over)


WHOLE_ROW = col("whole")
AHEAD = {
    "data": ff.ahead("3h", by="card", time="ts"),
    "rounded": ff.ahead("3h", by="card", time=TS.dt.truncate("2h")),
    "table": ff.ahead("3h", by="card", time="ts", table="log"),
}


def building(features: Mapping[str, Expr], label: Mapping[str, Expr] | None) -> Iterator[str]:
    """Yield the features that may stand beside a label."""
    for name, feature in features.items():
        try:
            ff.Plan({name: feature}, label=label)
        except (Leakage, InvalidPlan):
            continue
        yield name


def check_random_plan(
    features: Mapping[str, Expr], ahead: str | None, rows: pa.Table, log: pa.Table
) -> str:
    """Check that a plan of the features that build sees no later rows; return how it went."""
    label = None if ahead is None else {"label": ff.count(over=AHEAD[ahead]) > 0}
    chosen = {name: features[name] for name in building(features, label)}
    if not chosen:
        return "refused"
    log = log.append_column("n", log["ts"].cast(pa.int64()))
    tables = {**TABLES, "log": log}
    try:
        fitted = ff.Plan(chosen, label=label).fit(rows, tables=tables)
        later = later_rows_of(fitted.record, CallRows(rows, tables=tables), 24)
    except (Leakage, InvalidPlan, ff.errors.InvalidData, ff.errors.TypeMismatch) as error:
        return type(error).__name__
    assert not later.changes, (ahead, chosen, later)
    return "judged" if any(not check.skipped for check in later.checks) else "skipped"


@settings(max_examples=1 + settings().max_examples // 6)  # each compiles a plan
@given(
    clocked_features(),
    st.sampled_from([None, *AHEAD]),
    events(most=16),
    events(most=16),
)
def test_random_plans_that_build_see_no_later_row(
    features: dict[str, Expr], ahead: str | None, rows: pa.Table, log: pa.Table
) -> None:
    check_random_plan(features, ahead, rows, log)
