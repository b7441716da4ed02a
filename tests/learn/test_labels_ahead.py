"""Plans whose label looks ahead: what fit learns, and what is kept."""

from __future__ import annotations

import copy
import datetime
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    FastfeatWarning,
    InvalidData,
    RowsWithoutLabel,
    TypeMismatch,
    UnknownColumn,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.EncodedInFold"
)  # what they learn of rows is looked at
SOON = ff.ahead(10, time="t", by="k")
WEEK = ff.window(7, time="t", by="k")
CHURNED = {"churned": ff.count(over=SOON) == 0}
LEARNING = {
    "x": col("x").standard_scale(),
    "rank": col("x").quantile_transform(n_quantiles=5),
    "filled": col("x").impute("median"),
    "by": col("x").mean(by="c"),
    "code": col("c").ordinal_encode(),
    "n": col("c").count_encode(),
    "encoded": col("c").target_encode("churned", folds=3, fold_by="k"),
    "woe": col("c").woe_encode("churned", folds=2, fold_by="k"),
    "by_time": col("c").target_encode("churned", time="t", folds=3),
}
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 40),
        st.sampled_from("ab"),
        st.none() | st.integers(-9, 9),
        st.sampled_from(["u", "v", None]),
    ),
    min_size=1,
    max_size=30,
)


def table_of(rows: list[Any]) -> pa.Table:
    t, k, x, c = ([row[i] for row in rows] for i in range(4))
    return pa.table(
        {
            "t": pa.array(t, pa.int64()),
            "k": pa.array(k, pa.string()),
            "x": pa.array(x, pa.float64()),
            "c": pa.array(c, pa.string()),
        }
    )


TRAIN = table_of([(3 * n, "ab"[n % 2], n % 5, "uvw"[n % 3]) for n in range(20)])


def quietly(run: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        return run(*args, **options)


def same(one: Any, other: Any) -> bool:
    """Return whether what fit has learnt is the same to the bit; names may differ."""
    if isinstance(one, pa.Table):
        return one.equals(other)
    return one == other or (one != one and other != other)


@given(rows=ROWS)
def test_fit_learns_what_the_rows_with_a_label_say(rows: list[Any]) -> None:
    data = table_of(rows)
    try:
        fitted, features = quietly(ff.Plan(LEARNING, label=CHURNED).fit_transform, data)
    except InvalidData as error:
        if "has a label" not in str(error):
            raise
        return
    label = fitted.label(data)
    known = label.is_valid()
    alone = data.append_column("churned", label).filter(known)
    expected, out_of_fold = quietly(
        ff.Plan(LEARNING, label="churned", label_delay=10).fit_transform, alone
    )
    assert (fitted.n_rows, fitted.record.n_rows_without_label) == (
        alone.num_rows,
        data.num_rows - alone.num_rows,
    )
    assert all(map(same, fitted.learnt().values(), expected.learnt().values()))
    assert features.filter(known).equals(out_of_fold)
    others = data.filter(pa.array([not one for one in known.to_pylist()]))
    rest = features.filter(pa.array([not one for one in known.to_pylist()]))
    assert rest.equals(expected.transform(others))
    assert same_values(fitted.transform(data), expected.transform(data))


def same_values(one: pa.Table, other: pa.Table) -> bool:
    return one.equals(other)


def test_windows_see_the_rows_that_nothing_is_learnt_from() -> None:
    features = {
        "n": ff.count(over=WEEK),
        "sum": col("x").sum(over=WEEK).standard_scale(),
        "encoded": col("c").target_encode("churned", folds=2, fold_by="k"),
    }
    fitted, found = quietly(ff.Plan(features, label=CHURNED).fit_transform, TRAIN)
    assert 0 < fitted.record.n_rows_without_label < 20
    later = fitted.transform(TRAIN, history="batch")
    assert found["n"].to_pylist() == later["n"].to_pylist()
    assert found["sum"].to_pylist() == later["sum"].to_pylist()
    seen = ff.Plan({"sum": col("x").sum(over=WEEK)}).fit(TRAIN).transform(TRAIN, history="batch")
    known = np.array(fitted.label(TRAIN).is_valid())
    sums = np.array(seen["sum"].to_pylist(), float)
    assert next(iter(fitted.learnt().values())) == pytest.approx(sums[known].mean())


@pytest.mark.parametrize("to", ["arrow", "numpy", "cupy", "cupy_columns"])
@pytest.mark.parametrize("folds", [False, True])
def test_features_of_all_rows_come_in_their_order(to: str, folds: bool) -> None:
    features = {"t": col("t"), "x": col("x").standard_scale()}
    if folds:
        features["encoded"] = col("c").target_encode("churned", folds=2, fold_by="k")
    plan = ff.Plan(features, label=CHURNED, dtype="float32")
    shuffled = TRAIN.take(np.random.default_rng(0).permutation(20))
    _, expected = quietly(plan.fit_transform, shuffled, backend="reference")
    backend = "emulated" if to.startswith("cupy") else "cpu"
    _, found = quietly(plan.fit_transform, shuffled, to=to, backend=backend)
    if to == "arrow":
        assert found.equals(expected)
        return
    columns = (
        found
        if to == "cupy_columns"
        else dict(zip(expected.column_names, _columns(found), strict=True))
    )
    for name in expected.column_names:
        column = columns[name].get() if to == "cupy_columns" else columns[name]
        assert [None if x != x else x for x in column.tolist()] == expected[name].to_pylist()
    if to == "numpy":
        assert found.flags.f_contiguous
        assert found.dtype == np.float32


def _columns(matrix: Any) -> list[Any]:
    here = matrix.get() if hasattr(matrix, "get") else matrix
    return [here[:, k] for k in range(here.shape[1])]


def test_kept_columns_stay_as_they_are() -> None:
    coded = TRAIN.append_column("id", pa.array(list("abcdefghijklmnopqrst")).dictionary_encode())
    features = {"encoded": col("c").target_encode("churned", fold_by="k")}
    _, found = quietly(ff.Plan(features, label=CHURNED, keep=["id", "t"]).fit_transform, coded)
    assert found["id"].type == coded["id"].type
    assert found.select(["id", "t"]).equals(coded.select(["id", "t"]))


def test_fit_says_how_many_rows_have_no_label() -> None:
    days = [datetime.datetime(2024, 4, day) for day in (1, 2, 10)] + [None]
    data = {"ts": days, "user": [1, 1, 1, 1], "x": [1.0, 2.0, 3.0, 4.0]}
    ahead = ff.ahead("5d", by="user", time="ts", gap="1d")
    plan = ff.Plan({"x": col("x").mean()}, label={"y": col("x").last(over=ahead)})
    told = (
        r"^3 of 4 training rows have no label, and nothing is learnt from them: 1 because the "
        r"window of 6d ends after 2024-04-10, the last recorded time; 1 because the time or key is "
        r"missing; 1 because the rows ahead give no value$"
    )
    early = {**data, "ts": [days[0], datetime.datetime(2024, 4, 3), days[2], None]}
    with pytest.warns(RowsWithoutLabel, match=told):
        quiet = plan.fit(early)
    assert (quiet.n_rows, quiet.record.n_rows_without_label) == (1, 3)
    with pytest.raises(InvalidData, match=r"none of 4 training rows has a label: .*end="):
        plan.fit(data)
    every = ff.Plan(
        {"x": col("x").standard_scale()},
        label={"y": ff.count(over=ff.ahead("5d", by="user", time="ts", end="2025-01-01"))},
    )
    whole = {name: values[:3] for name, values in data.items()}
    assert (
        every.fit(whole).record.n_rows_without_label == 0
    )  # and no warning, which would be an error


def test_end_is_a_moment_in_many_forms() -> None:
    at = datetime.datetime(2024, 5, 1, 12, 30)
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    ends = [
        at,
        at.replace(tzinfo=datetime.UTC),
        (at + datetime.timedelta(hours=2)).replace(tzinfo=berlin),
        np.datetime64("2024-05-01T12:30:00", "s"),
        "2024-05-01T12:30:00",
        "2024-05-01 12:30",
        "2024-05-01T14:30:00.000000000+02:00",
    ]
    for end in ends:
        assert repr(ff.ahead("1d", time="t", end=end)) == (
            "ff.ahead('1d', time='t', end='2024-05-01T12:30:00')"
        )
    day = ff.ahead("1d", time="t", end=datetime.date(2024, 5, 1))
    assert repr(day) == "ff.ahead('1d', time='t', end='2024-05-01')"
    exact = ff.ahead("1d", time="t", end="2024-05-01T00:00:00.000000001")
    assert repr(exact) == "ff.ahead('1d', time='t', end='2024-05-01T00:00:00.000000001')"


def test_windows_ahead_print_as_they_are_written() -> None:
    for written in (
        "ff.ahead('30d', by='user', time='ts')",
        "ff.ahead(3, by=['a', 'b'], time='t', gap=2, tie='n', end=7)",
        "ff.ahead('1h30m', by={'user': 'who'}, time='ts', table='logins', right_time='at')",
        "ff.ahead('1d', time='t', end='2024-05-01T00:00:00.123456789')",
    ):
        assert repr(eval(written)) == written
        assert show_of_label(f"col('x').sum(over={written})") == f"col('x').sum(over={written})"


def show_of_label(written: str) -> str:
    label: Any = ff.Plan({"z": col("z")}, label={"y": eval(written)}).label
    return repr(label["y"])


LOGINS = pa.table({"who": ["a", "b", "b"], "at": [12, 30, 99], "n": [1, 2, 3]})
OF_TABLE = ff.ahead(10, by={"k": "who"}, time="t", table="logins", right_time="at")


@pytest.fixture(scope="module")
def of_table() -> ff.FittedPlan:
    features = {"encoded": col("c").target_encode("y", fold_by="k"), "x": col("x").min_max_scale()}
    plan = ff.Plan(features, label={"y": col("n").sum(over=OF_TABLE)})
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    return plan.fit(TRAIN, tables={"logins": LOGINS})


def test_transform_never_needs_the_table_of_the_label(of_table: ff.FittedPlan) -> None:
    features = of_table.transform(TRAIN)
    assert features.equals(of_table.transform(TRAIN, tables={"logins": LOGINS}))
    assert of_table.verify(TRAIN).ok
    assert of_table.select(["encoded"]).transform(TRAIN)["encoded"].equals(features["encoded"])
    one = of_table.transform_row({"x": 2.0, "c": "u"})
    assert one.tolist()[1] == 0.5
    with pytest.raises(UnknownColumn, match="'logins', which is not in tables="):
        of_table.label(TRAIN)
    with pytest.raises(UnknownColumn, match="'logins', which is not in tables="):
        of_table.plan.fit(TRAIN)


def test_a_table_that_features_read_too_is_needed_for_them() -> None:
    seen = ff.window(by={"k": "who"}, time="t", table="logins", right_time="at")
    features = {"encoded": col("c").target_encode("y", fold_by="k"), "n": col("n").sum(over=seen)}
    tables = {"logins": LOGINS}
    fitted = ff.Plan(features, label={"y": ff.count(over=OF_TABLE)}).fit(TRAIN, tables=tables)
    assert fitted.transform(TRAIN, tables=tables)["n"].to_pylist()[-1] == 2
    with pytest.raises(UnknownColumn, match="'logins'"):
        fitted.transform(TRAIN)


@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_the_label_is_in_the_artifact(of_table: ff.FittedPlan, way: str, tmp_path: Path) -> None:
    tables = {"logins": LOGINS}
    plan = ff.Plan({"encoded": col("c").target_encode("churned", fold_by="k")}, label=CHURNED)
    for fitted in (of_table, quietly(plan.fit, TRAIN)):
        if way == "file":
            fitted.save(tmp_path / "plan")
            again = ff.load(tmp_path / "plan")
        else:
            again = pickle.loads(pickle.dumps(fitted)) if way == "pickle" else copy.copy(fitted)
        assert again.label(TRAIN, tables=tables).equals(fitted.label(TRAIN, tables=tables))
        assert again.record.label_inputs == fitted.record.label_inputs is not None
        assert again.record.label_tables == fitted.record.label_tables
        assert again.record.n_rows_without_label == fitted.record.n_rows_without_label
        assert again.transform(TRAIN).equals(fitted.transform(TRAIN))


def test_the_label_is_of_the_types_that_fit_saw() -> None:
    fitted = quietly(ff.Plan({"x": col("x")}, label={"y": ff.count(over=SOON)}).fit, TRAIN)
    text = TRAIN.set_column(0, "t", TRAIN["t"].cast(pa.string()))
    with pytest.raises(TypeMismatch, match="fit saw int64"):
        fitted.label(text)
    assert fitted.label(TRAIN.slice(0, 0)).to_pylist() == []


def test_history_is_seen_and_says_until_when_is_recorded() -> None:
    plan = ff.Plan({"x": col("x").standard_scale()}, label=CHURNED)
    early, late = TRAIN.slice(0, 10), TRAIN.slice(10)
    fitted = quietly(plan.fit, late, history=early)
    assert fitted.record.n_rows_without_label == 4
    everything = fitted.label(early, history=late).to_pylist()  # later rows are welcome here
    assert everything == fitted.label(TRAIN).to_pylist()[:10]
    assert None not in everything
    with pytest.raises(UnknownColumn, match="history="):
        plan.fit(late, history=early.drop_columns(["k"]))


def test_rows_of_one_id_are_seen_ahead_once() -> None:
    data = TRAIN.append_column("id", pa.array(range(20)))
    features = {
        "s": col("x").sum(over=WEEK),
        "encoded": col("c").target_encode("n", folds=2, fold_by="k"),
    }
    plan = ff.Plan(features, label={"n": ff.count(over=SOON)}, row_id="id")
    expected = quietly(plan.fit, data)
    part = data.slice(5, 9)
    fitted, found = quietly(plan.fit_transform, part, history=data)  # which goes on after it
    assert (fitted.n_rows, fitted.record.n_rows_without_label) == (9, 0)
    assert fitted.label(part, history=data).equals(expected.label(data).slice(5, 9))
    assert (
        found["s"].to_pylist() == expected.transform(data, history="batch")["s"].to_pylist()[5:14]
    )
    some, found = quietly(plan.fit_transform, data.slice(8), history=data.slice(0, 12))
    assert (some.n_rows, some.record.n_rows_without_label) == (8, 4)
    assert found["s"].to_pylist() == expected.transform(data, history="batch")["s"].to_pylist()[8:]


def test_history_that_is_later_than_the_data_is_still_an_error() -> None:
    plan = ff.Plan({"s": col("x").sum(over=WEEK).standard_scale()}, label=CHURNED)
    data = pa.concat_tables([TRAIN.slice(0, 15), table_of([(3, None, 1, "u")])])  # has no label
    assert quietly(plan.fit, data).record.n_rows_without_label > 0
    with pytest.raises(InvalidData, match="is later than a data row"):
        quietly(plan.fit, data, history=TRAIN.slice(15))


def test_fit_needs_the_columns_of_a_label_that_looks_ahead() -> None:
    plan = ff.Plan({"x": col("x")}, label=CHURNED)
    with pytest.raises(UnknownColumn, match="lacks the column 'k'"):
        quietly(plan.fit, TRAIN.drop_columns(["k"]))
    assert quietly(plan.fit, TRAIN.slice(0, 0)).n_rows == 0


def test_explain_shows_how_far_the_label_looks() -> None:
    text = ff.Plan({"x": col("x")}, label=CHURNED).explain()
    assert "label churned = (col('t').count(over=ff.ahead(10, by='k', time='t')) == 0)" in text
    assert "fit learns nothing from rows without a label" in text


def test_windows_ahead_need_no_history() -> None:
    plan = ff.Plan({"encoded": col("c").target_encode("churned", fold_by="k")}, label=CHURNED)
    assert plan.history_needed() == {}
    assert str(plan.schema(TRAIN.schema).field("encoded").type) == "double"
