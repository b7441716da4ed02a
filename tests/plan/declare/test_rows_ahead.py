"""Rows ahead: beside a label that looks ahead no feature sees later rows, by whatever clock or key.

One table says of each feature whether it is refused, and what its AUC against labels of pure noise
was before it was: the mark `slow` measures that again, with the rules turned off.
"""

from __future__ import annotations

import datetime
import pickle
import random
import warnings
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import FastfeatWarning, InvalidPlan, Leakage, TypeMismatch
from fastfeat.io.sources.schema import as_dtype
from fastfeat.plan.declare import leakage
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.clocks import determines_time, lead_over, rises_with

TS, X, K = col("ts"), col("x"), col("k")
DATE, MONTH = TS.dt.date(), TS.dt.truncate("1mo")
HOUR, WEEKDAY = TS.dt.hour(), TS.dt.weekday()
SECONDS = TS.dt.epoch("s")
LATER = TS + datetime.timedelta(days=60)
OF_USER: dict[str, Any] = {"by": "user", "time": "ts"}


def window(last: Any = None, **options: Any) -> ff.Window:
    return ff.window(last, **{**OF_USER, **options})


def asof(table: str = "logins", **options: Any) -> Expr:
    found = ff.asof(table, **{**OF_USER, "right_time": "ts", **options}).col("ts")
    return since_now(found)


def of_table(last: Any = "60d", **options: Any) -> ff.Window:
    return window(last, **{"right_time": "ts", "table": "logins", **options})


def since_now(time: Expr) -> Expr:
    return (time - TS).dt.total_seconds()


LABELS: Mapping[str, Expr] = {
    "gone": ff.count(over=ff.ahead("60d", **OF_USER)) == 0,
    "no login": ff.count(over=ff.ahead("60d", table="logins", **OF_USER)) == 0,
    "not last": ff.count(over=ff.ahead("60d", table="last", **OF_USER)) == 0,
    "next day": ff.count(over=ff.ahead("1d", **OF_USER)) == 0,
    "busy": ff.count(over=ff.ahead("12h", by="store", time="ts")) > 5,
    "next week": ff.count(over=ff.ahead("1w", by="user", time=TS.dt.truncate("1w"))) == 0,
    "crowded": ff.count(over=ff.ahead("14d", time="ts")) > 311,
    "higher": X.last(over=ff.ahead("60d", **OF_USER)) > 0,
}


class Row(NamedTuple):
    """A feature beside a label.

    Args:
        label: its name in `LABELS`.
        feature: the expression.
        told: what the error says; None where the plan builds.
        before: the AUC of the feature before it was refused; .5 of what builds.
    """

    label: str
    feature: Expr
    told: str | None = None
    before: float = 0.5


BACKWARD = window(60 * 86_400, time=-SECONDS)
LEARNT = "learns per key from 'ts', the time by which the label reads later rows"
RANKS = "numbers values computed from 'ts', the time by which the label reads later rows"
ROWS = [
    # windows over the data
    Row("gone", ff.count(over=window("60d"))),
    Row("gone", ff.count(over=BACKWARD), "may be later than the row, or run backwards", 1.0),
    Row("higher", X.first(over=BACKWARD), "may be later than the row, or run backwards", 1.0),
    Row(
        "gone",
        since_now(TS.max(over=window(time="booked"))),
        r"known_clocks=\['booked'\]",
        0.62,
    ),
    Row("gone", ff.count(over=window("60d", time=LATER))),  # by which all rows are later
    Row("next day", ff.count(over=window("1d", time=DATE, closed="both")), "tie='ts'", 0.6),
    Row("next day", ff.count(over=window("1d", time=DATE, closed="both", tie="ts"))),
    Row("next day", ff.count(over=window("1d", time=DATE))),
    Row("next day", ff.count(over=window("1d", time=DATE, closed="right", offset="1d"))),
    Row("gone", ff.count(over=window("60d", time=MONTH, closed="right")), "tie='ts'", 0.55),
    # rows of tables: those of the data among them
    Row("gone", ff.count(over=of_table())),
    Row("gone", ff.count(over=of_table(time=LATER)), "is up to '60d' after col", 1.0),
    Row("gone", ff.count(over=of_table(time=LATER, offset="60d"))),
    Row("no login", ff.count(over=of_table(time=LATER)), "offset='60d'", 1.0),
    Row("gone", asof(time=LATER), "is up to '60d' after col", 1.0),
    Row("no login", asof(time=LATER), "delay='60d'", 1.0),
    Row("gone", asof(time=LATER, delay="60d")),
    Row("gone", asof(time=MONTH)),
    Row(
        "gone",
        asof(time=MONTH + datetime.timedelta(days=31)),
        "is up to '31d' after col",
        0.7,
    ),
    Row("no login", asof(time="ts", right_time="booked"), r"right_time='ts'.*\['booked'\]", 0.7),
    Row(
        "not last",
        since_now(ff.lookup("last", by="user").col("ts")),
        r"known_tables=\{'last'",
        0.97,
    ),
    Row("not last", ff.lookup("users", by="user").col("age")),
    # a label by a rounded clock: it looks ahead of all of the week
    Row("next week", ff.count(over=window("60d"))),
    Row("next week", ff.count(over=window("60d", time=TS.dt.truncate("1w"), closed="right"))),
    Row("next week", asof(time=TS.dt.truncate("1w"))),
    Row("next week", asof(), "is up to '7d' after col"),  # as if it were the label's table
    # what is learnt of keys that read the clock
    Row("busy", ff.lit(1).count(by=DATE), LEARNT, 0.66),
    Row("busy", DATE.count_encode(), LEARNT, 0.66),
    Row("busy", DATE.ordinal_encode(), RANKS, 0.66),
    Row("busy", DATE.one_hot_encode(min_frequency=3), RANKS),
    Row("busy", ff.lit(1.0).sum(by=DATE), LEARNT, 0.66),
    Row("busy", X.mean(by=DATE), LEARNT),
    Row("crowded", ff.lit(1).count(by=TS.dt.month()), LEARNT, 0.75),
    Row("crowded", TS.dt.quarter().ordinal_encode(), RANKS, 0.75),
    Row("busy", WEEKDAY.count_encode()),
    Row("busy", ff.lit(1).count(by=WEEKDAY)),
    Row("busy", HOUR.ordinal_encode()),
    Row("busy", X.mean(by=HOUR)),
    Row("busy", X.mean(by=TS.dt.month())),
    Row("busy", K.ordinal_encode()),
    Row("busy", K.count_encode()),
    # folds by time
    Row("gone", K.target_encode("z", time="booked"), r"known_clocks=\['booked'\]"),
    Row("gone", K.target_encode("z", time=DATE)),
    Row("busy", DATE.target_encode("z"), r"Set fold_by=\['store'\], or time="),
]


def plan_of(row: Row, **options: Any) -> ff.Plan:
    return ff.Plan({"f": row.feature}, label={"y": LABELS[row.label]}, outcomes=["z"], **options)


@pytest.mark.parametrize("row", [row for row in ROWS if row.told], ids=lambda row: str(row.feature))
def test_what_may_see_later_rows_is_refused(row: Row) -> None:
    with pytest.raises(Leakage, match=row.told):
        plan_of(row)


def drawn(seed: int, n: int = 8_000) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Return rows of a year, in no order, that are pure noise; and tables beside them."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, 360 * 86_400, n)
    booked = seconds - rng.integers(0, 60 * 86_400, n)
    data = pa.table(
        {
            "ts": pa.array(1_700_000_000 + seconds, pa.timestamp("s")),
            "booked": pa.array(1_700_000_000 + booked, pa.timestamp("s")),
            "user": rng.integers(0, n // 10, n),
            "store": rng.integers(0, 3, n),
            "k": rng.integers(0, 40, n),
            "x": rng.normal(size=n),
            "z": rng.integers(0, 2, n),
        }
    )
    last = data.group_by("user").aggregate([("ts", "max")]).rename_columns(["user", "ts"])
    users = pa.table({"user": np.arange(n // 10), "age": rng.integers(18, 80, n // 10)})
    return data, {"logins": data, "last": last, "users": users}


def aucs(rows: list[Row], data: pa.Table, tables: dict[str, pa.Table]) -> NDArray[np.float64]:
    """Return the AUC of each feature against the label, and the error of that of noise."""
    features = {f"f{k}.": row.feature for k, row in enumerate(rows)}
    plan = ff.Plan(features, label={"y": LABELS[rows[0].label]}, outcomes=["z"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        fitted, made = plan.fit_transform(data, tables=tables)
        label = fitted.label(data, tables=tables)
    has_label = np.array(label.is_valid())
    y = np.array(label.drop_null()).astype(int)
    error = (len(y) / (12 * y.sum() * (len(y) - y.sum()))) ** 0.5
    found: list[float] = []
    for name in features:  # of several columns the first
        column = next(made.column(one) for one in made.column_names if one.startswith(name))
        values = np.array(column.cast("float64").fill_null(-1e9))[has_label]
        auc = float(roc_auc_score(y, values))
        found.append(max(auc, 1 - auc))
    return np.array([*found, error])


@pytest.mark.parametrize("label", dict.fromkeys(row.label for row in ROWS if not row.told))
def test_what_builds_tells_nothing_of_noise(label: str) -> None:
    rows = [row for row in ROWS if row.label == label and not row.told]
    seed = random.randrange(10**9)
    print("seed", seed)
    *found, error = aucs(rows, *drawn(seed))
    told = {str(row.feature): auc for row, auc in zip(rows, found, strict=True)}
    assert max(found) < 0.5 + 6 * error, told


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_what_is_refused_told_of_noise(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in ROWS if row.label == label and row.told]

    def check_nothing(*args: Any, **options: Any) -> None:
        """Take the place of a rule."""

    for rule in ("check_clocks_ahead", "refuse_ranks", "refuse_rows_ahead", "_check_folds_of"):
        monkeypatch.setattr(leakage, rule, check_nothing)
    *found, _ = aucs(rows, *drawn(7))
    for row, auc in zip(rows, found, strict=True):
        print(f"{auc:.3f}", row.before, row.feature)
    for row, auc in zip(rows, found, strict=True):
        assert auc == pytest.approx(row.before, abs=0.04), str(row.feature)


BOOKED = ff.count(over=window("60d", time="booked"))
BY_KEY = asof(by={"user": "key"})


def test_another_clock_is_known_on_the_users_word() -> None:
    plan = plan_of(Row("gone", BOOKED), known_clocks=["booked"])
    for again in (plan, ff.Plan.from_json(plan.to_json()), pickle.loads(pickle.dumps(plan))):
        assert again.known_clocks == ("booked",)
        assert again.to_json() == plan.to_json()
    told = "clocks that are declared as known, which is not checked: booked"
    assert told in plan.explain("leakage")
    assert "known_clocks" not in plan_of(Row("gone", X)).to_json()


@pytest.mark.parametrize(
    ("label", "known", "told"),
    [
        ("gone", ["bookt"], r"of a feature reads a time column with that name.*'booked'"),
        ("gone", ["booked", "ts"], "'ts' is the time column by which the label reads"),
        ("gone", ["key"], r"of a feature reads a time column with that name\. Leave it out"),
        (None, ["booked"], "no label is computed from later rows"),
        ("gone", "booked", "known_clocks must be a list of column names"),
    ],
)
def test_a_clock_that_needs_no_word_is_refused(label: str | None, known: Any, told: str) -> None:
    of_label: Any = "z" if label is None else {"y": LABELS[label]}
    with pytest.raises(InvalidPlan, match=told):
        ff.Plan({"f": BOOKED, "g": BY_KEY}, label=of_label, known_clocks=known)


def test_a_known_clock_runs_neither_ahead_of_its_own_moment_nor_back() -> None:
    for time in (-col("booked").dt.epoch("s"), col("booked") + datetime.timedelta(days=1)):
        ahead = Row("gone", ff.count(over=of_table(None, time=time)))
        with pytest.raises(Leakage, match=r"or run backwards|is up to '1d' after"):
            plan_of(ahead, known_clocks=["booked"])


def test_selected_features_keep_the_clocks_that_they_read() -> None:
    features = {"f": BOOKED, "g": ff.count(over=window("60d"))}
    plan = ff.Plan(features, label={"y": LABELS["next day"]}, known_clocks=["booked"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        fitted = plan.fit(drawn(3, 40)[0], backend="reference")
    assert fitted.select(["f"]).plan.known_clocks == ("booked",)
    assert fitted.select(["g"]).plan.known_clocks == ()


def test_what_is_looked_up_in_the_table_of_the_label_may_be_known() -> None:
    row = Row("not last", ff.lookup("last", by="user").col("country"))
    with pytest.raises(Leakage, match=r"known_tables=\{'last': \['country'\]\}"):
        plan_of(row)
    plan_of(row, known_tables={"last": ["country"]})


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (asof(time=LATER), "up to '60d' after the row's own moment"),
        (asof(time=LATER, delay="7d"), "up to '53d' after the row's own moment"),
        (asof(time=MONTH + datetime.timedelta(days=31)), "up to '31d' after the row's own moment"),
        (asof(), "(by col('ts'), up to the row's own moment)"),
        (asof(allow_exact_matches=False), "(by col('ts'), before the row's own moment)"),
        (asof(delay="2d"), "at least '2d' old"),
        (asof(time="n", right_time="n", delay=2), "at least 2 old"),
        (asof(time=col("n") + 3, right_time="n", delay=2), "up to 1 after the row's own moment"),
        (asof(time=TS.max(over=window())), "of unknown age"),
        (ff.count(over=of_table(time=LATER)), "up to '60d' after the row's own moment"),
        (ff.count(over=of_table(time=LATER, closed="right")), "up to '60d' after"),
        (ff.count(over=of_table(time=LATER, offset="60d")), "before the row's own moment"),
        (ff.count(over=of_table(time=LATER, offset="63d")), "at least '3d' old"),
        (ff.count(over=of_table(time=DATE, closed="right")), "up to the row's own moment"),
        (ff.count(over=window("60d", time=LATER)), "before the row's own moment"),
    ],
)
def test_explain_says_by_how_much_rows_of_a_table_come_after_the_moment(
    seen: Expr, told: str
) -> None:
    lines = ff.Plan({"f": seen}).explain("leakage").splitlines()
    *_, line = [one for one in lines if one.startswith(("  latest row", "  rows of", "  earlier"))]
    assert told in line


def test_columns_of_tables_are_listed_as_taken_on_the_users_word() -> None:
    found = ff.asof("last", **OF_USER)
    features = {"age": ff.lookup("users", by="user").col("age"), "x": found.col("x")}
    told = ff.Plan(features, label={"y": LABELS["not last"]}).explain("leakage")
    assert told.endswith(
        "columns of tables, assumed to be known then, which is not checked:\n"
        "  users: user, age\n"
        "  last: user, x"  # its time is the label's
    )


def test_the_time_of_a_label_may_be_of_several_functions() -> None:
    ahead = ff.ahead("1w", by="user", time=DATE.dt.truncate("1w"))
    plan = ff.Plan({"f": ff.count(over=window("60d"))}, label={"y": ff.count(over=ahead) == 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        fitted = plan.fit(drawn(3, 40)[0], backend="reference")
    assert fitted.feature_names == ["f"]


def truncated(time: Expr, every: str) -> Expr:
    return time.dt.truncate(every)


STEPS: list[Callable[[Expr], Expr]] = [
    *(
        partial(lambda every, t: t.dt.truncate(every), every)
        for every in ("12h", "1d", "1w", "1mo")
    ),
    lambda t: t.dt.truncate("1d", tz="Europe/Berlin", naive="UTC"),
    lambda t: t.cast(pa.timestamp("s")),
    lambda t: t + datetime.timedelta(hours=7),
    lambda t: t - datetime.timedelta(days=2),
    lambda t: t - datetime.timedelta(hours=31),
    lambda t: t.dt.date(),
    lambda t: t.dt.date(tz="+04:00", naive="UTC"),
    lambda t: t.dt.date(tz="-05:00", naive="UTC"),
    lambda t: t.dt.truncate("1d", tz="+04:00", naive="UTC"),
]
PATHS = st.lists(st.sampled_from(STEPS), max_size=3)


@given(PATHS, PATHS, PATHS, st.integers(0, 2**32))
@example([], [STEPS[0]], [STEPS[3], STEPS[0]], 0)  # few of the hours of one are those of months
@example([], [STEPS[3], STEPS[0]], [STEPS[0]], 0)
@example([], [STEPS[6]], [STEPS[9], STEPS[6]], 0)  # a date and 7 hours are that date
@example([], [STEPS[8], STEPS[1]], [STEPS[1]], 0)
@example([], [STEPS[6], STEPS[1]], [STEPS[9], STEPS[1]], 0)
@example([], [STEPS[1]], [STEPS[12], STEPS[1]], 0)
def test_clocks_lie_and_rise_as_it_is_said_of_them(
    common: list[Any], one: list[Any], two: list[Any], seed: int
) -> None:
    """By brute force over random moments: how far one is after the other, order, and equality."""
    typed = {"ts": as_dtype(pa.timestamp("us"))}

    def along(path: list[Any]) -> Expr:
        return reduce(lambda time, step: step(time), path, TS)

    a, b = along(common + one), along(common + two)
    try:
        types = bind([a.node, b.node], typed)
    except TypeMismatch:  # of a date there are no hours
        assume(False)
        raise
    moments = np.random.default_rng(seed).integers(0, 90 * 86_400, 60) * 1_000_000
    data = pa.table({"ts": pa.array(1_709_000_000_000_000 + moments, pa.timestamp("us"))})
    plan = ff.Plan({"a": a.dt.epoch("us"), "b": b.dt.epoch("us")})
    found = plan.fit(data, backend="reference").transform(data, backend="reference")
    x, y = (np.array(found.column(name)) for name in "ab")
    lead = lead_over(a.node, b.node, types)
    assert lead is not None
    assert (x - y).max() * 1000 <= lead
    assert rises_with(a.node, b.node, types)
    later = x[:, None] > x[None, :]
    assert (y[:, None] >= y[None, :])[later].all()
    if determines_time(a.node, b.node, types):
        same = x[:, None] == x[None, :]
        assert (y[:, None] == y[None, :])[same].all()
