"""No leakage through time: what a plan refuses; `test_future` looks at what it computes."""

from __future__ import annotations

import bisect
import datetime
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import FoldsLeak, InvalidPlan, Leakage, TypeMismatch

CARD = ff.window(by="card", time="t")
WEEK = ff.window("7d", by="card", time="t")
ENCODED = col("card").target_encode("y")
Y = col("y")


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (Y.mean(over=ff.window("7d", time="t", closed="right")), "includes the row itself"),
        (Y.lag(1, over=ff.window(time="t", closed="both")), "includes the row itself"),
        (ENCODED.mean(over=WEEK), "encoding out of the window"),
        (ENCODED.lag(1, over=CARD), "encoding out of the window"),
        (Y.diff(over=CARD), "in its own row"),
        (col("x").mean(over=ff.window(by="y", time="t")), "time=, by= or tie= of the window"),
        (col("x").mean(over=ff.window(time="t", tie="y")), "time=, by= or tie= of the window"),
        (Y.lag(1, over=CARD).ordinal_encode(), "through a window of earlier rows"),
        (col("x").mean(by=Y.lag(1, over=CARD)), "through a window of earlier rows"),
        (Y.mean(over=WEEK).mean(by="card"), "through a window of earlier rows"),
        (
            col("x").sum(over=ff.window(by=Y.lag(1, over=CARD), time="t")),
            "time=, by= or tie= of the window",
        ),
        (col("card").target_encode(Y.lag(1, over=CARD)), "the target reads a window"),
        ((Y - Y.mean()).mean(over=WEEK), "that fit learns from all rows of a column"),
        (Y.standard_scale().lag(1, over=CARD), "that fit learns from all rows of a column"),
        (Y.ordinal_encode().last(over=CARD), "that fit learns from all rows of a column"),
        (Y.mean(by="card").lag(1, over=CARD), "learns per key from a column"),
        (Y.rank(over=WEEK), "compares the row's own"),
        (Y.rank(over=ff.window("7d", time="t", offset="1d"), pct=True), "compares the row's own"),
        ((Y > 0).streak(over=ff.window(time="t", closed="right")), "includes the row itself"),
        (Y.slope(over=ff.window("7d", time="t", closed="both")), "includes the row itself"),
        (Y.ewm_mean(alpha=0.5, over=ff.window(time="t", closed="right")), "includes the row"),
        (ENCODED.rank(over=WEEK), "encoding out of the window"),
    ],
)
def test_a_path_of_late_values_does_not_build(feature: ff.Expr, told: str) -> None:
    with pytest.raises(Leakage, match=told):
        ff.Plan({"f": feature}, label="y")


@pytest.mark.parametrize(
    "feature",
    [
        Y.mean(over=WEEK),
        Y.mean(over=ff.window("7d", by="card", time="t", closed="neither")),
        Y.mean(over=ff.window("7d", time="t", closed="right", offset="1h")),
        Y.lag(1, over=CARD).sum(over=WEEK),
        Y.lag(1, over=CARD).rank(over=WEEK),
        Y.ewm_mean(half_life="3d", over=CARD),
        (Y > 0).streak(over=CARD),
        Y.slope(over=WEEK),
        Y.mean(over=WEEK).standard_scale(),
        (Y - col("x").mean()).mean(over=WEEK),
        col("x") - Y.mean(over=WEEK),
        col("x").mean(over=ff.window("7d", time="t", closed="right")),
    ],
)
def test_a_window_without_the_row_may_read_late_values(feature: ff.Expr) -> None:
    ff.Plan({"f": feature}, label="y")


def test_labels_that_come_late_need_an_offset() -> None:
    with pytest.raises(Leakage, match="offset='30d' or more"):
        ff.Plan({"f": Y.mean(over=WEEK)}, label="y", label_delay="30d")
    short = ff.window("7d", time="t", offset="29d")
    with pytest.raises(Leakage, match="offset='30d' or more"):
        ff.Plan({"f": Y.mean(over=short)}, label="y", label_delay="30d")
    kinds = "label_delay=30 is a whole number, but the length of the window is a duration. Write"
    with pytest.raises(Leakage, match=kinds):
        ff.Plan({"f": Y.mean(over=short)}, label="y", label_delay=30)
    with pytest.raises(Leakage, match=r"known 30 after .*offset=30 or more"):
        ff.Plan({"f": Y.mean(over=ff.window(7, time="t"))}, label="y", label_delay=30)
    far = ff.window("7d", time="t", offset="30d", closed="right")
    ff.Plan({"f": Y.mean(over=far), "x": col("x").mean(over=WEEK)}, label="y", label_delay="30d")


@pytest.mark.parametrize("delay", ["30d", 30, 0])
def test_a_delay_of_no_late_columns_is_refused(delay: Any) -> None:
    features = {"f": col("x").mean(over=WEEK)}
    with pytest.raises(
        InvalidPlan, match=rf"label_delay={delay!r}\).*declares neither .*\. Declare"
    ):
        ff.Plan(features, label_delay=delay)
    assert ff.Plan(features, outcomes=["y"], label_delay=delay).label_delay == delay


@pytest.mark.parametrize("encode", [Expr.target_encode, Expr.woe_encode])
def test_folds_by_time_learn_by_a_clock_that_can_be_trusted(encode: Callable[..., Expr]) -> None:
    late: dict[str, Any] = {"label": "y", "label_delay": "30d"}
    ff.Plan({"f": encode(col("k"), "y", time="t")}, **late)
    ff.Plan({"f": encode(col("k"), "y", time=col("t").dt.truncate("1w"))}, **late)
    ff.Plan({"f": encode(col("k"), "y", time=-col("n"))}, label="y")
    ff.Plan({"f": encode(col("k"), "y")}, **late)
    with pytest.raises(Leakage, match="may be later than the row, or run backwards"):
        ff.Plan({"f": encode(col("k"), "y", time=-col("n"))}, **late)
    with pytest.raises(TypeMismatch, match=r"label_delay= .* in the unit of the time, such as 30$"):
        ff.Plan({"f": encode(col("k"), "y", time="t")}, **late).fit({"k": [1], "y": [1], "t": [1]})


@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(0, 40), st.sampled_from("ab"), st.none() | st.integers(0, 9)
        ),
        min_size=1,
        max_size=40,
    ),
    n_folds=st.integers(2, 6),
    delay=st.integers(0, 30),
    backend=st.sampled_from(["cpu", "reference"]),
)
def test_folds_by_time_learn_what_is_known_when_they_begin(
    rows: list[tuple[int | None, str, int | None]], n_folds: int, delay: int, backend: str
) -> None:
    """A fold sees the rows whose time and the delay lie before its own first time."""
    times, keys, values = (list(column) for column in zip(*rows, strict=True))
    data = pa.table(
        {"t": pa.array(times, pa.int64()), "k": keys, "y": pa.array(values, pa.float64())}
    )
    encoded = col("k").target_encode("y", time="t", folds=n_folds, smooth=0)
    plan = ff.Plan({"f": encoded}, label="y", label_delay=delay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.errors.FastfeatWarning)
        found = plan.fit_transform(data, backend=backend)[1]["f"].to_pylist()
    known = sorted(time for time in times if time is not None)
    folds = [
        None if time is None else bisect.bisect_left(known, time) * n_folds // len(known)
        for time in times
    ]
    for (time, key, _), fold, value in zip(rows, folds, found, strict=True):
        if time is None:
            continue
        begins = min(t for t, f in zip(times, folds, strict=True) if f == fold and t is not None)
        seen = [
            (k, y) for t, k, y in rows if t is not None and y is not None and t + delay < begins
        ]
        same = [y for k, y in seen if k == key] or [y for _, y in seen]
        assert value == (sum(same) / len(same) if same else None)


def test_folds_that_are_many_or_small_give_a_warning() -> None:
    n = 2000
    data = {"k": [*range(4)] * (n // 4), "y": [0, 1] * (n // 2), "id": [*range(n)]}
    data["g"] = [k % 8 for k in range(n)]
    data["few"] = [0 if k > 30 else k % 3 + 1 for k in range(n)]

    def fitted(encoder: Callable[..., Expr] = Expr.target_encode, **folds: Any) -> None:
        ff.Plan({"f": encoder(col("k"), "y", **folds)}, label="y").fit(data)

    for odd, told in (
        ({"folds": 11}, "11 folds"),
        ({"folds": 1000}, r"folds, 2,000 of 2,000 rows in folds of fewer than 20"),
        ({"fold": "id"}, "2,000 folds, 2,000 of 2,000 rows"),
        ({"fold_by": "id", "folds": 50}, "50 folds"),
        ({"fold": "few"}, "31 of 2,000 rows in folds of fewer than 20"),
    ):
        for encoder in (Expr.target_encode, Expr.woe_encode):
            with pytest.warns(FoldsLeak, match=told):
                fitted(encoder, **odd)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FoldsLeak)
        enough: list[dict[str, Any]] = [
            {},
            {"folds": 10},
            {"fold": "g"},
            {"time": "id", "folds": 50},
        ]
        for folds in enough:
            fitted(**folds)


def test_windows_in_windows_have_one_clock_where_they_see_late_columns() -> None:
    for inner, outer in (
        ("t", -col("t")),
        ("t", "booked"),
        ("t", col("t").dt.truncate("1d")),
        (col("t").dt.truncate("1d"), "t"),
    ):
        seen = Y.lag(1, over=ff.window(time=inner))
        feature = (seen + col("x")).lag(1, over=ff.window(time=outer, by="card"))
        with pytest.raises(
            Leakage, match="With two different times a row may see its own"
        ) as caught:
            ff.Plan({"f": feature}, label="y")
        for time in (inner, outer):
            assert repr(col(time) if isinstance(time, str) else time) in str(caught.value)
        past = Y.mean(over=ff.window(time=inner)).mean()
        with pytest.raises(Leakage, match="two different times"):
            ff.Plan({"f": (col("x") - past).max(over=ff.window(time=outer))}, label="y")
        ff.Plan({"f": feature})
        ff.Plan({"f": Y.lag(1, over=ff.window(time=inner)) * col("x").mean(over=CARD)}, label="y")


def test_an_encoding_beside_a_label_comes_into_no_window() -> None:
    with pytest.raises(Leakage, match="encoding out of the window"):
        ff.Plan({"f": (Y - ENCODED).mean(over=WEEK)}, label="y")
    with pytest.raises(Leakage, match="encoding out of the window"):
        ff.Plan({"f": ff.when(ENCODED > 1).then(Y).otherwise(0).lag(1, over=CARD)}, label="y")


SELF: dict[str, Any] = {"table": "self", "by": "card"}


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (ff.lookup("self", by="id").col("y"), "reads 'y' of the table 'self'"),
        (ff.lookup("self", by="id").col("y").mean(by="id"), "reads 'y' of the table 'self'"),
        (ff.lookup("self", by="id").col("y").ordinal_encode(), "reads 'y' of the table 'self'"),
        (ff.lookup("self", by={"id": "y"}).col("x"), "reads 'y' of the table 'self'"),
        (ff.asof("self", by="id", time="t").col("y"), "reads 'y' of the table 'self'"),
        (ff.asof("self", time="t", right_time="y").col("x"), "reads 'y' of the table 'self'"),
        (Y.lag(1, over=ff.window(time="t", closed="right", **SELF)), "the moment of the row"),
        (Y.lag(1, over=ff.window(time="t", closed="both", **SELF)), "the moment of the row"),
        (Y.lag(1, over=ff.window(time="closed_at", right_time="t", **SELF)), "one column that"),
        (Y.max(over=ff.window(time=col("t") + 1, right_time="t", **SELF)), "one column that"),
        (
            ff.count(over=ff.window(time="t", table="self", by={"id": "y"})),
            "time=, by= or tie= of the window",
        ),
        (
            Y.mean(over=ff.window(time="t", **SELF)).mean(by="card"),
            "through a window of earlier rows",
        ),
        (
            Y.mean(over=ff.window(time="t", **SELF)).mean(over=ff.window(time="u")),
            "two different times",
        ),
    ],
)
def test_late_columns_of_a_table_are_late(feature: Expr, told: str) -> None:
    with pytest.raises(Leakage, match=told):
        ff.Plan({"f": feature}, label="y")
    ff.Plan({"f": feature}, label="y2")
    if "two different times" not in told and "earlier rows" not in told and "by= or" not in told:
        ff.Plan({"f": feature}, label="y", known_tables={"self": ["y"]})


def test_a_window_over_a_table_keeps_the_delay() -> None:
    def plan(delay: Any, **window: Any) -> ff.Plan:
        return ff.Plan(
            {"f": Y.mean(over=ff.window(time="t", **SELF, **window))}, label="y", label_delay=delay
        )

    plan(None)
    plan(500, offset=500)
    plan("3d", offset="3d", closed="both")
    with pytest.raises(Leakage, match="offset=500 or more"):
        plan(500)
    with pytest.raises(Leakage, match="offset=500 or more"):
        plan(500, offset=499, closed="right")


def test_times_of_a_table_may_not_be_coarser_than_those_of_the_data() -> None:
    plan = ff.Plan({"f": Y.mean(over=ff.window(time="t", **SELF))}, label="y")
    moments = [datetime.datetime(2024, 1, 1, 9), datetime.datetime(2024, 1, 1, 15)]
    data = {"t": pa.array(moments, pa.timestamp("us")), "card": ["a", "a"], "y": [1.0, 2.0]}
    days = {**data, "t": data["t"].cast(pa.date32())}
    with pytest.raises(Leakage, match=r"is date32, coarser than timestamp\[us\] in the data"):
        plan.fit(data, tables={"self": days})
    plan.fit(data, tables={"self": data})
    plan.fit(days, tables={"self": days})


def test_what_the_label_reads_may_be_known() -> None:
    label = {"late": col("receipt") > col("commit")}
    slack = {"slack": col("commit") - col("ship")}
    with pytest.raises(Leakage, match=r"if 'commit' is known .* Plan\(\.\.\., known=\['commit'\]"):
        ff.Plan(slack, label=label)
    plan = ff.Plan(slack, label=label, known=["commit"])
    assert plan.late == ["receipt"]
    days = [datetime.date(2024, 1, d) for d in (1, 2, 3)]
    data = {"ship": days, "commit": days, "receipt": days[::-1]}
    fitted = plan.fit(data)
    for one in (fitted, ff.Plan.from_json(plan.to_json()).fit(data), fitted.select("slack")):
        assert one.transform({"ship": days, "commit": days[::-1]}).num_rows == 3
        assert one.label(data).to_pylist() == [True, False, False]
        assert "label inputs that are declared as known: commit" in one.plan.explain("leakage")
    with pytest.raises(Leakage, match="'receipt' in its own row"):
        ff.Plan({"f": col("receipt")}, label=label, known=["commit"])
    encoded = {"f": col("k").target_encode("late")}
    ff.Plan(encoded, label=label, known=["commit"])
    with pytest.raises(Leakage, match="the target reads 'commit', which is not declared"):
        ff.Plan({"f": col("k").target_encode("commit")}, label=label, known=["commit"])
    with pytest.raises(Leakage, match="Did you mean 'late'"):
        ff.Plan({"f": col("k").target_encode("is_late")}, label=label, known=["commit"])


@pytest.mark.parametrize(
    ("late", "told"),
    [
        ({"label": "y", "known": ["y"]}, "is the label itself"),
        ({"label": {"l": Y + 1}, "known": ["l"]}, "is the label itself"),
        ({"label": {"l": Y + 1}, "known": ["y"]}, "names every column that the label"),
        ({"label": {"l": Y + col("x")}, "known": ["x", "y"]}, "names every column that the label"),
        ({"label": {"l": Y + col("x")}, "known": ["z"]}, "counts as known anyway"),
        ({"known": ["z"]}, "counts as known anyway"),
        ({"label": {"l": Y + col("x")}, "outcomes": ["x"], "known": ["x"]}, "outcomes= too"),
        ({"label": "y", "known": "y"}, "known must be a list"),
        ({"label": "y", "known_tables": {"self": ["z"]}}, "has that name, so it counts as known"),
        ({"label": "y", "known_tables": {"other": ["y"]}}, "no feature reads a table with that"),
        ({"label": "y", "known_tables": {"self": "y"}}, "must be {table:"),
        ({"label": "y", "known_tables": ["y"]}, "must be {table:"),
        ({"label": "y", "label_delay": {}}, "the mapping is empty"),
        ({"label": "y", "label_delay": {"t": None}}, "time column 't' is None"),
        ({"label": "y", "label_delay": {"t": "1mo"}}, "has no fixed length"),
        (
            {"outcomes": {"y": "-3d"}},
            r"{'y': '-3d'}\): must not be negative\. Write the length without",
        ),
        ({"label_delay": {"t": "3d"}}, "declares neither"),
    ],
)
def test_what_is_said_of_late_columns_is_checked(late: dict[str, Any], told: str) -> None:
    features = {"f": ff.lookup("self", by="id").col("z")}
    with pytest.raises(InvalidPlan, match=told):
        ff.Plan(features, **late)


def test_the_report_shows_what_is_seen_of_earlier_rows() -> None:
    told = ff.Plan({"f": Y.mean(over=WEEK)}, label="y").explain("leakage")
    assert "earlier rows: col('y').mean(over=ff.window('7d', by='card', time='t'))" in told
    assert "own row: t, card" in told


def test_the_report_names_the_clock_and_the_age_of_what_a_window_sees() -> None:
    day = col("t").dt.truncate("1w")
    plan = ff.Plan(
        {
            "a": Y.mean(over=ff.window("7d", time=day, offset="35d")),
            "b": col("x").sum(over=ff.window("7d", time="t", closed="right")),
            "c": col("x").sum(over=ff.window(time=-col("n"))),
            "d": col("x").sum(over=ff.window(time="t", table="self")),
            "e": col("x").mean(over=ff.window(time=col("t").dt.epoch("s"), offset=90)),
        },
        label="y",
        label_delay="30d",
    )
    told = plan.explain("leakage")
    assert "late columns (label, outcomes): y (known '30d' later)" in told
    assert "(by col('t').dt.truncate(every='1w'), at least '35d' old)" in told
    assert "(by col('t'), up to the row's own moment)" in told
    assert "(by (-col('n')), of unknown age)" in told
    assert "rows of tables: col('x').sum(over=ff.window(time='t', table='self'))" in told
    assert "(by col('t'), before the row's own moment)" in told
    assert "at least 90 old" in told
    assert told.endswith("features differ from features of data with the column:\n  y")
    assert "features differ" not in ff.Plan({"f": col("x")}, label="y").explain("leakage")


def test_folds_that_leak_name_all_features_once() -> None:
    rng = np.random.default_rng(0)
    names = ["homeworld", "species", "sex"]
    data = {name: rng.integers(0, 9, 200) for name in names} | {"y": rng.integers(0, 2, 200)}
    features = {name: col(name).target_encode("y", folds=12) for name in names[:2]}
    features["odd"] = features["species"] * 2 + col("sex")
    features["few"] = col("sex").target_encode("y", folds=2)
    plan = ff.Plan(features, label="y")
    told = (
        r"^'homeworld', 'species', 'odd': 12 folds, \d+ of \d+ rows in folds of fewer than 20\. "
        r"The smaller the folds, .* time=, which reveals nothing$"
    )
    for call in (plan.fit, plan.fit_transform, lambda rows: [*plan.cross_fit(rows, cv=4)]):
        with pytest.warns(FoldsLeak, match=told) as found:
            call(data)
        assert len([one for one in found if one.category is FoldsLeak]) == 1


@pytest.mark.parametrize("n", [19, 20])
def test_many_encodings_out_of_fold_give_one_warning(n: int) -> None:
    rng = np.random.default_rng(0)
    data = {f"k{i}": rng.integers(0, 9, 300) for i in range(n)} | {"y": rng.integers(0, 2, 300)}
    in_time = {"t": col("k0").target_encode("y", time="k1", folds=2)}
    features = {f"k{i}": col(f"k{i}").target_encode("y", folds=2 + i % 3) for i in range(n)}
    plan = ff.Plan(features | in_time, label="y")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", FoldsLeak)
        for _ in plan.cross_fit(data, cv=3):
            pass
    told = [str(one.message) for one in found if one.category is FoldsLeak]
    assert len(told) == (n == 20)
    for text in told:
        assert text.startswith("20 target encodings out of fold, 'k0', 'k3', ")
        assert all(f"'k{i}'" in text for i in range(n))
        assert "AUC of .53, .58 and .59" in text
