"""Keys that only tell groups apart: put in order when somebody looks at them, and not before."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.aggregates import keys as aggregate_keys
from fastfeat.aggregates.keys import Vocabulary
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower import typed
from fastfeat.steps.keys import cpu_counting, cpu_vocabulary

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

KEYS = {
    "int64": st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "float64": st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -2.0]),
    "string": st.sampled_from(["", "a", "ab", "b", "a longer text than sixteen bytes", "ü"]),
    "bool": st.booleans(),
}


def _plan() -> ff.Plan:
    return ff.Plan(
        {
            "mean": col("x").mean(by="k"),
            "least": col("x").min(by="k"),
            "n": ff.col("x").count(by=["k", "j"]),
            "scaled": col("x").standard_scale(by=["j", "k"]),
            "target": ff.cross("j", "k").target_encode("y", folds=3),
            "odds": col("j").woe_encode("y", folds=3),
        },
        label="y",
    )


def _is_in_order(fitted: Any) -> bool:
    constants = fitted.record.constants.values()
    return all(one.order is None for one in constants if isinstance(one, Vocabulary))


@given(kind=st.sampled_from(list(KEYS)), is_dictionary=st.booleans(), data=st.data())
def test_artifacts_are_those_of_keys_that_were_put_in_order(
    kind: str, is_dictionary: bool, data: st.DataObject
) -> None:
    n_rows = data.draw(st.integers(1, 40))
    keys = data.draw(st.lists(st.none() | KEYS[kind], min_size=n_rows, max_size=n_rows))
    others = data.draw(st.lists(st.none() | st.integers(0, 3), min_size=n_rows, max_size=n_rows))
    column = pa.array(keys, pa.type_for_alias(kind))
    if is_dictionary and kind == "string":
        column = pa.DictionaryArray.from_arrays(
            pa.array([None if k is None else i for i, k in enumerate(keys)], pa.int32()),
            column.fill_null("never used"),
        )
    numbers = np.arange(n_rows)
    columns = {"k": column, "j": pa.array(others, pa.int64())}
    rows = pa.table({**columns, "x": numbers * 0.1, "y": numbers % 3 % 2})
    fitted, training = _plan().fit_transform(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_plans, "in_any_order", lambda roots: frozenset())
        patch.setattr(typed, "_HELD", WeakValueDictionary())  # or it finds what the other has made
        in_order, features = _plan().fit_transform(rows)
    assert _is_in_order(in_order)
    assert training.equals(features)
    assert fitted.transform(rows).equals(in_order.transform(rows))
    assert artifact_bytes(fitted.record) == artifact_bytes(in_order.record)
    learnt = zip(fitted.learnt().values(), in_order.learnt().values(), strict=True)
    assert all(mine.equals(theirs) for mine, theirs in learnt)
    row = rows.slice(0, 1).to_pylist()[0]
    assert str(fitted.transform_row(row)) == str(in_order.transform_row(row))


def test_nothing_is_sorted_before_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("in_final_order", "in_order"):
        sort = getattr(cpu_counting, name)

        def counted(*args: Any, name: str = name, sort: Any = sort) -> Any:
            calls.append(name)
            return sort(*args)

        monkeypatch.setattr(cpu_counting, name, counted)
    n_keys = 3_000
    keys = np.random.default_rng(1).integers(0, n_keys, 20_000) * 7_919_000_003
    rows = pa.table({"k": keys, "j": keys % 5, "x": np.arange(20_000) / 7, "y": keys % 2})
    fitted, features = _plan().fit_transform(rows)
    assert fitted.transform(rows)["scaled"].equals(features["scaled"])
    assert not calls
    assert not _is_in_order(fitted)
    learnt = fitted.learnt()
    assert calls
    vocabulary = next(table for table in learnt.values() if table.column_names == ["k", "count"])
    assert vocabulary["k"].to_pylist() == [
        key for key, _ in sorted(_counts(keys).items(), key=lambda one: (-one[1], one[0]))
    ]
    n_calls = len(calls)
    assert artifact_bytes(fitted.record)
    assert len(calls) == n_calls


def _counts(keys: Any) -> dict[int, int]:
    found, counts = np.unique(keys, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize(
    "other",
    [
        col("k").ordinal_encode(),
        col("k").count_encode(),
        col("k").one_hot_encode(),
        col("k").mode(),
    ],
    ids=["ordinal", "count", "one_hot", "mode"],
)
def test_keys_whose_order_something_reads_are_in_order(other: ff.Expr) -> None:
    rows = {"k": [5, 4, 4, 3, 4, 3], "x": [1.0, 2, 3, 4, 5, 6], "y": [0.0, 1, 0, 1, 1, 0]}
    fitted = ff.Plan({"mean": col("x").mean(by="k"), "other": other}, label="y").fit(rows)
    assert _is_in_order(fitted)


def test_a_selection_has_the_values_of_its_keys() -> None:
    rows = {"k": [5, 4, 4, 3, 4, 3], "j": [1, 1, 2, 2, 2, 2], "x": [1.0, 2, 3, 4, 5, 6]}
    rows |= {"y": [0, 1, 0, 1, 1, 0]}
    fitted = _plan().fit(rows)
    selected = fitted.select(["mean"])
    assert selected.learnt()["col('x').mean(by=col('k'))"].to_pydict() == {
        "k": [None, None, 4, 3, 5],
        "value": [None, None, 10 / 3, 5.0, 1.0],
    }
    assert selected.transform(rows)["mean"].equals(fitted.transform(rows)["mean"])


@pytest.mark.parametrize("kind", ["int64", "float64", "uint64", "string"])
def test_the_rows_of_fit_are_found_again_and_no_others_are_taken_for_them(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(aggregate_keys, "_MIN_KEYS", 1)
    looked_up: list[int] = []
    look_up = cpu_vocabulary.lookup

    def counted(index: Any, chunks: Any, *args: Any, **options: Any) -> Any:
        looked_up.append(len(looked_up))
        return look_up(index, chunks, *args, **options)

    monkeypatch.setattr(cpu_vocabulary, "lookup", counted)
    n_rows, plan = 5_000, ff.Plan({"mean": col("x").mean(by="k")})
    memory = np.random.default_rng(2).integers(0, 1_500, n_rows) * 1_000_003.0
    memory[::7] = np.nan

    def rows() -> pa.Table:
        is_missing = np.isnan(memory)
        keys = pa.array(np.where(is_missing, 0, memory).astype(np.int64), mask=is_missing)
        column = pa.array(memory) if kind == "float64" else keys.cast(kind)
        return pa.table({"k": column, "x": np.arange(n_rows) / 7})

    table = rows()
    fitted = plan.fit(table)
    features = fitted.transform(table)
    assert bool(looked_up) == (kind == "string")
    for row in (0, n_rows // 2, n_rows - 2):  # the memory of float64 is that of the table, too
        fitted = plan.fit(table)
        memory[row] = memory[row + 1]
        changed = rows() if kind != "float64" else table
        found = fitted.transform(changed)
        fitted.save(tmp_path / f"{row}.fastfeat")
        assert found.equals(ff.load(tmp_path / f"{row}.fastfeat").transform(changed))
        assert found["mean"][row] == found["mean"][row + 1]
        assert looked_up
        assert not found.equals(features)
        table = changed
        features = found
