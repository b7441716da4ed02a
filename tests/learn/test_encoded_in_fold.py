"""`EncodedInFold`: rows whose labels fit has put into an encoding, given to `transform`."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import EncodedInFold
from fastfeat.execute import encoded_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::fastfeat.errors.ColumnConstant"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TooFewValues"),
]
K, X = col("k"), col("x")
FEATURES = {"k": K.target_encode("y"), "x": X.standard_scale(), "s": col("s").str.len_chars()}
PLAN = ff.Plan(FEATURES, label="y")
BY_ID = ff.Plan(FEATURES, label="y", row_id="id")


def rows_of(n: int, seed: int, *, ids: Any = None) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "k": rng.choice(list("abc"), n).tolist(),
            "x": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.1),
            "s": pa.array(rng.choice(["p", "qq", ""], n).tolist(), mask=rng.random(n) < 0.1),
            "y": pa.array(rng.integers(0, 2, n), mask=rng.random(n) < 0.2),
            "id": np.arange(n) + 1000 * seed if ids is None else ids,
        }
    )


@contextmanager
def silent() -> Generator[None]:
    """Let no warning of these rows pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", EncodedInFold)
        yield


def warned(match: str = "") -> Any:
    return pytest.warns(EncodedInFold, match=match)


@pytest.mark.parametrize("n", [1, 2, 300])
def test_the_rows_of_fit_are_told_in_any_order_and_form(n: int) -> None:
    data = rows_of(n, 0)
    data = data.set_column(3, "y", pa.array(np.arange(n) % 2))
    order = np.random.default_rng(1).permutation(n)
    forms: list[Callable[[pa.Table], Any]] = [
        lambda table: table,
        lambda table: table.drop_columns(["y", "id"]),
        lambda table: table.take(pa.array(order)),
        lambda table: table.to_pandas(),
        lambda table: pl.from_arrow(table),
        lambda table: pa.concat_tables([table.slice(0, 1), table.slice(1)]),
        lambda table: table.to_pandas().astype({"k": "category"}),
        lambda table: table.set_column(0, "k", table["k"].cast(pa.large_string())),
    ]
    for form in forms:
        with warned(f"from {n} of {n} row"):
            PLAN.fit(data).transform(form(data))


def test_other_rows_are_silent() -> None:
    fitted, other = PLAN.fit(rows_of(200, 0)), rows_of(200, 1)
    with silent():
        fitted.transform(other)
        fitted.transform(rows_of(200, 0).slice(0, 199))  # a part is not known without ids
        fitted.transform(other, to="numpy")
        fitted.transform(other.slice(0, 0))


def test_one_value_that_differs_is_another_row() -> None:
    data = rows_of(50, 3)
    fitted = PLAN.fit(data)
    x = data["x"].to_pylist()
    x[7] = 1.25
    with silent():
        fitted.transform(data.set_column(1, "x", pa.array(x)))
        fitted.transform(data.set_column(2, "s", data["s"].take(pa.array([*range(1, 50), 0]))))


def test_the_message_names_the_encoder_and_what_to_do_and_comes_once() -> None:
    data = rows_of(40, 0)
    fitted = PLAN.fit(data)
    told = (
        r"^fit has learnt from 29 of 40 rows .*col\('k'\).target_encode.*plan.fit_transform\(data\)"
    )
    with warned(told) as caught:
        fitted.transform(data)
    assert Path(caught[0].filename) == Path(__file__)
    with silent():
        fitted.transform(data)
    with warned():  # once a fitted plan
        PLAN.fit(data).transform(data)


def test_rows_that_were_learnt_from_and_those_that_were_not() -> None:
    data = rows_of(120, 4)
    mask = np.random.default_rng(0).random(120) < 0.6
    there = data["y"].is_valid().to_numpy()
    n = np.count_nonzero(mask & there)
    for rows in (mask, np.flatnonzero(mask)[::-1], mask & there, None):
        n_rows = 120 if rows is None else np.arange(120)[rows].size
        with warned(f"from {n} of {n_rows} rows"):
            PLAN.fit(data, rows=mask).transform(data, rows=rows)
    fitted = PLAN.fit(data, rows=mask)
    with silent():
        fitted.transform(data, rows=~mask)
        fitted.transform(data, rows=~there)
        fitted.transform(data.filter(pa.array(~mask)))
    with warned():
        fitted.transform(data.filter(pa.array(mask)))


def test_by_the_id_each_row_is_known() -> None:
    data = rows_of(120, 5)
    mask = np.random.default_rng(0).random(120) < 0.6
    learnt = mask & data["y"].is_valid().to_numpy()
    fitted = BY_ID.fit(data, rows=mask)
    with silent():
        fitted.transform(data, rows=~learnt)
        fitted.transform(data.drop_columns(["id"]))
        fitted.transform(rows_of(30, 6))
    one = int(np.flatnonzero(learnt)[0])
    with warned("from 1 of 1 row passed"):
        BY_ID.fit(data, rows=mask).transform(data, rows=[one])
    both = pa.concat_tables([rows_of(30, 6), data])
    with warned(f"{np.count_nonzero(learnt)} of 150 rows"):
        fitted.transform(both)


@pytest.mark.parametrize(
    "ids",
    [
        [f"id {k}" for k in range(40)],
        np.arange(40).astype(float),
        np.arange(40).astype("datetime64[s]"),
        np.arange(40, dtype=np.uint64) + 2**63,
        [bytes([k]) for k in range(40)],
    ],
    ids=["text", "floats", "times", "unsigned", "bytes"],
)
def test_ids_are_of_any_type(ids: Any) -> None:
    data = rows_of(40, 0, ids=ids)
    data = data.set_column(3, "y", pa.array(np.arange(40) % 2))
    fitted = BY_ID.fit(data)
    with silent():
        fitted.transform(rows_of(40, 0, ids=["x"] * 40))
    with warned("40 of 40 rows"):
        fitted.transform(data)


def test_a_row_without_an_id_is_no_row_that_was_learnt_from() -> None:
    fitted = BY_ID.fit(rows_of(40, 0))  # one of the ids is 0
    with silent():
        fitted.transform(rows_of(40, 1, ids=pa.nulls(40, pa.int64())))


@given(st.integers(1, 60), st.integers(0, 10**6), st.data())
def test_rows_are_known_by_id_just_where_they_were_learnt_from(
    n: int, seed: int, data: st.DataObject
) -> None:
    table = rows_of(n, seed % 7)
    numbers = st.lists(st.integers(0, n - 1), min_size=1, unique=True)
    rows, asked = data.draw(numbers), data.draw(numbers)
    known = {row for row in rows if table["y"][row].is_valid}
    fitted = BY_ID.fit(table, rows=rows)
    told = len(known.intersection(asked))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", EncodedInFold)
        fitted.transform(table, rows=asked)
    assert len(caught) == (told > 0)
    if told:
        assert f"{told} of {len(asked)} row" in str(caught[0].message)


def test_plans_that_put_no_label_into_a_code_are_silent() -> None:
    data = rows_of(40, 0)
    plan = ff.Plan({"k": K.ordinal_encode(), "x": X - X.mean(by="k")}, label="y", row_id="id")
    fitted = plan.fit(data)
    assert fitted.record.encoded is None
    with silent():
        fitted.transform(data)


def test_what_asks_for_no_training_features_is_silent(tmp_path: Path) -> None:
    data = rows_of(60, 0)
    for plan in (PLAN, BY_ID):
        with silent():
            fitted, _ = plan.fit_transform(data)
            fitted.label(data)
            assert fitted.verify(data, n_rows=20).ok
            assert fitted.select(["x"]).transform(data).num_rows == 60
            pickle.loads(pickle.dumps(fitted)).transform(data)
            fitted.save(tmp_path / "plan.fastfeat")
            ff.load(tmp_path / "plan.fastfeat").transform(data)
        with warned():  # and what fit_transform has fitted tells as what fit has
            fitted.transform(data)


def test_verify_is_silent_where_it_reads_the_ids() -> None:
    data = rows_of(60, 0).append_column("t", pa.array(np.arange(60)))
    history = data.slice(0, 20).set_column(4, "id", pa.array(np.arange(20) - 50))
    before = history.set_column(5, "t", pa.array(np.arange(20) - 30))
    windows = {**FEATURES, "n": ff.count(over=ff.window(9, time="t"))}
    fitted = ff.Plan(windows, label="y", row_id="id").fit(data, history=before)
    with silent():
        assert fitted.verify(data, history=before, n_rows=20).ok
    with warned():
        fitted.transform(data, history=before)


def test_a_selection_with_an_encoding_tells_by_the_id() -> None:
    data = rows_of(60, 0)
    fitted = BY_ID.fit(data)
    with silent():
        fitted.select(["x"]).transform(data)
    with warned():
        fitted.select(["k"]).transform(data)
    with silent():
        fitted.transform(data)  # it was told


def test_woe_and_labels_that_are_expressions_are_encodings_too() -> None:
    data = pd.DataFrame({"k": [*"ab"] * 40, "delay": np.arange(80.0)})
    plan = ff.Plan({"k": K.woe_encode("late")}, label={"late": col("delay") % 3 > 1})
    with warned("woe_encode"):
        plan.fit(data).transform(data[["k"]])
    with silent():
        plan.fit(data).transform(pd.DataFrame({"k": [*"aab"] * 26 + ["a", "b"]}))


def test_rows_without_any_label_are_silent() -> None:
    data = rows_of(20, 0).set_column(3, "y", pa.nulls(20, pa.int64()))
    for plan in (PLAN, BY_ID):
        with silent():
            plan.fit(data).transform(data)


def test_a_target_of_nan_is_none() -> None:
    data = pa.table({"k": [*"ab"] * 50, "x": np.arange(100.0), "y": [1.0, np.nan] * 50})
    fitted = ff.Plan({"k": K.target_encode("y"), "x": X}, label="y").fit(data)
    with silent():
        fitted.transform(data, rows=np.arange(1, 100, 2))
    with warned("50 of 50 rows"):
        fitted.transform(data, rows=np.arange(0, 100, 2))


@pytest.mark.parametrize(
    "backend", ["reference", pytest.param("emulated", marks=pytest.mark.emulator)]
)
def test_every_backend_tells(backend: str) -> None:
    data = rows_of(30, 0)
    with warned():
        PLAN.fit(data, backend=backend).transform(data, backend=backend)


def test_of_many_rows_some_are_hashed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_rows, "_FEW", 100)
    data = rows_of(5000, 0)
    flags = pa.array(np.zeros(5000, bool))
    wide = {**FEATURES, "f": col("f") == True, **{f"n{k}": col("x") + k for k in range(3)}}  # noqa: E712
    plan = ff.Plan(wide, label="y")
    data = data.append_column("f", flags)
    fitted = plan.fit(data)
    changed = data["s"].to_pylist()
    changed[:] = reversed(changed)
    with silent():
        fitted.transform(data.set_column(2, "s", pa.array(changed)))
        fitted.transform(rows_of(5000, 1).append_column("f", flags))
    with warned():
        fitted.transform(data.take(pa.array(np.arange(5000)[::-1])))


@pytest.mark.parametrize("profile", [True, "inputs", False])
@pytest.mark.parametrize("n", [20_000, 60_000])
def test_memory_of_training_rows_is_not_held(n: int, profile: Any) -> None:
    data = rows_of(n, 0)
    data = data.take(pa.array(np.arange(n)))  # the columns of NumPy too: all in Arrow's memory
    n_bytes, before = data.nbytes, pa.total_allocated_bytes()
    fitted = PLAN.fit(data, profile=profile)
    del data
    assert fitted.record.encoded is not None
    held = pa.total_allocated_bytes() - before + n_bytes
    assert held < n_bytes // 10
    assert (fitted.record.profile is None) == (profile is False)
