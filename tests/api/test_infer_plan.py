"""First plans from raw tables: what becomes of each kind of column, leaks, bad input."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, UnknownColumn

N = 400
RNG = np.random.default_rng(5)
Y = RNG.integers(0, 2, N)
WORDS = ["good", "bad", "late", "red", "blue", "green"]
TABLE: dict[str, Any] = {
    "row": np.arange(N),
    "age": RNG.normal(size=N),
    "price": RNG.random(N) * 100,
    "city": RNG.choice(list("abc"), N),
    "street": RNG.choice([f"street {k}" for k in range(60)], N),
    "zip": RNG.integers(10_000, 10_050, N),
    "text_number": [f"{k % 90}.5" for k in range(N)],
    "day": [f"2024-{k % 12 + 1:02}-{k % 28 + 1:02}" for k in range(N)],
    "note": [" ".join(RNG.choice(WORDS, 5)) for _ in range(N)],
    "code": [f"x{k}" for k in range(N)],
    "constant": np.ones(N),
    "flag": RNG.random(N) < 0.5,
    "when": np.datetime64("2024-01-01T00:00", "us") + RNG.integers(0, 10**9, N) * 40_000,
    "left": np.where(Y, "yes", "no"),
}


def notes_of(inferred: Any) -> dict[str, tuple[str, str]]:
    return {note.column: (note.kind, note.text) for note in reversed(inferred.notes)}


def test_each_kind_of_column_has_its_features() -> None:
    inferred = ff.infer_plan(TABLE, label="left")
    notes = notes_of(inferred)
    assert {name for name, (kind, _) in notes.items() if kind == "left out"} == {
        *("row", "code", "constant")
    }
    texts = {name: repr(of) for name, of in inferred.plan.features.items()}
    assert texts["age"] == "col('age')"
    assert texts["price"] == "col('price').log1p()"
    assert "one_hot_encode" in texts["city"]
    assert "target_encode" in texts["street"]
    assert "count_encode" in texts["zip_count"]
    assert "to_float" in texts["text_number"]
    assert "to_datetime(format='%Y-%m-%d'" in texts["day_month"]
    assert "hash_tokens" in texts["note_words"]
    assert texts["flag"] == "col('flag')"
    assert {"when_month", "when_hour", "when_days"} <= texts.keys()
    assert "when_year" in texts
    fitted, features = inferred.plan.fit_transform(TABLE)
    assert features.num_rows == N
    assert fitted.verify(TABLE).ok


def test_features_of_the_past_need_time_and_entity() -> None:
    table = {**TABLE, "who": RNG.choice(list("uvwxyz"), N)}
    inferred = ff.infer_plan(table, label="left", time="when", entity="who")
    names = [*inferred.plan.features]
    assert {"who_time_since_last", "age_previous", "age_mean_10"} <= set(names)
    assert "zip_previous" not in names
    assert "who" not in names
    source = inferred.to_python()
    assert "over=ff.window(rows=10, by='who', time='when')" in source
    with pytest.raises(InvalidPlan, match="Pass time="):
        ff.infer_plan(table, entity="who")


def test_columns_that_tell_the_label_are_left_out() -> None:
    table = {
        **TABLE,
        "left_date": TABLE["day"],
        "twice": 2.0 * Y + 1,
        "minus": -1.0 * Y,
        "apart": Y * 10 + RNG.random(N),
        "told": np.where(Y, RNG.choice(list("mn"), N), RNG.choice(list("op"), N)),
    }
    notes = notes_of(ff.infer_plan(table, label="left"))
    leaks = {name for name, (kind, _) in notes.items() if kind == "leak?"}
    assert leaks == {"left_date", "twice", "minus", "apart", "told"}
    assert notes["minus"][1] == "its correlation with 'left' is -1"
    assert not any(kind == "leak?" for kind, _ in notes_of(ff.infer_plan(table)).values())


def test_noise_is_no_leak() -> None:
    rng = np.random.default_rng(0)
    table = {f"x{k}": rng.normal(size=500) for k in range(40)}
    table |= {f"c{k}": rng.integers(0, 100, 500).astype(str) for k in range(10)}
    inferred = ff.infer_plan({**table, "y": rng.integers(0, 2, 500)}, label="y")
    assert {note.kind for note in inferred.notes} == {"kept"}


@pytest.mark.parametrize("label", [None, "left", "age", "street"])
def test_source_builds_the_plan_again(label: str | None) -> None:
    inferred = ff.infer_plan({**TABLE, "left_at": TABLE["age"]}, label=label)
    names: dict[str, Any] = {}
    source = inferred.to_python()
    exec(source, names)
    assert names["plan"].to_json() == inferred.plan.to_json()
    if label == "left":
        assert "        # 'left_at': col('left_at')," in source
    for note in inferred.notes:
        assert note.column in repr(inferred)


def test_tables_of_pandas_files_and_arrow_give_one_plan(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    arrow = pa.table(TABLE)
    pq.write_table(arrow, tmp_path / "t.parquet")
    plans = [
        ff.infer_plan(data, label="left").plan.to_json()
        for data in (TABLE, arrow, tmp_path / "t.parquet", arrow.to_pandas())
    ]
    assert len(set(plans)) == 1


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        ({"x": [1.0, 2.0]}, {"label": "y"}, UnknownColumn, "no column 'y'"),
        ({"x": [1.0, 2.0]}, {"exclude": ["y"]}, UnknownColumn, "no column 'y'"),
        ({"x": pa.array([], pa.float64())}, {}, InvalidData, "no rows"),
        ({"x": [1.0, 2.0], "y": [1, 1]}, {"label": "y"}, InvalidData, "all of them are 1"),
        (
            {"x": [1.0, 2.0], "y": pa.array([None, None], pa.float64())},
            {"label": "y"},
            InvalidData,
            "all of them are missing",
        ),
        ({"x": [1.0, 1.0]}, {}, InvalidData, "no column of the table gives a feature: x: all"),
        ({"x": ["a", "b"], "y": [1, 2]}, {"time": "x"}, TypeMismatch, "a clock is"),
        ({"x": [[1], [2]], "y": [1, 2]}, {"label": "x"}, TypeMismatch, "a label is of"),
        ({"x": [1, 2], "y": [1, 2]}, {"label": "x", "time": "x"}, InvalidPlan, "is time= too"),
        ({"x": [1, 2], "y": [1, 2]}, {"label": "x", "exclude": ["x"]}, InvalidPlan, "exclude="),
    ],
)
def test_bad_input_is_named(
    table: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ff.infer_plan(pa.table(table), **options)


def test_text_that_is_not_utf8_is_named_by_its_column() -> None:
    offsets = pa.py_buffer(np.array([0, 1, 2], np.int32))
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(InvalidData, match=r"col\('z'\).*, row 0: the text is not UTF-8"):
        ff.infer_plan(pa.table({"z": texts}))


def test_wide_and_hostile_tables() -> None:
    rng = np.random.default_rng(1)
    wide = pa.table({f"x{k}": rng.normal(size=50) for k in range(2000)})
    assert len(ff.infer_plan(wide).plan.features) == 2000
    names = ['"]; import os; ["', "a\nb", "*/", "plan", "é", "x_count", "x", ""]
    table = pa.table({name: rng.integers(0, 9, 60).astype(str) for name in names})
    inferred = ff.infer_plan(table)
    found: dict[str, Any] = {}
    exec(inferred.to_python(), found)
    assert found["plan"].to_json() == inferred.plan.to_json()
    assert inferred.plan.fit_transform(table)[1].num_rows == 60


VALUES = st.one_of(
    st.lists(st.none() | st.floats(), min_size=30, max_size=30),
    st.lists(st.none() | st.integers(-5, 5), min_size=30, max_size=30),
    st.lists(st.none() | st.text(max_size=6), min_size=30, max_size=30),
    st.lists(st.none() | st.booleans(), min_size=30, max_size=30),
    st.lists(st.none() | st.dates(), min_size=30, max_size=30),
    st.lists(st.none() | st.datetimes(), min_size=30, max_size=30),
    st.lists(st.none() | st.lists(st.integers(0, 3), max_size=3), min_size=30, max_size=30),
)


@given(columns=st.lists(VALUES, min_size=1, max_size=4), has_label=st.booleans())
def test_any_table_gives_a_plan_that_fits_it_or_a_named_error(
    columns: list[list[Any]], has_label: bool
) -> None:
    table = {f"c{k}": pa.array(values) for k, values in enumerate(columns)}
    if has_label:
        table["y"] = pa.array([k % 2 for k in range(30)])
    data = pa.table(table)
    inferred = None
    with contextlib.suppress(InvalidData):  # all columns are constant, missing, or ids
        inferred = ff.infer_plan(data, label="y" if has_label else None)
    if inferred is None:
        with pytest.raises(InvalidData, match="no column of the table gives a feature"):
            ff.infer_plan(data, label="y" if has_label else None)
        return
    assert inferred.plan.fit_transform(data)[1].num_rows == 30
